//! The stores: the very code that runs in a hub, against plain baselines of the same run.
//!
//! SQLite runs in a file of its own, PostgreSQL in a temporary cluster of its own, both with every
//! commit synced to the disk. Subject and baseline take turns, so that a slow minute hits both, and
//! the median of the turns counts for both. Times are of the wall, because what is waited for is
//! the disk and the server; so a neighbour on the machine shows in the absolutes, less in ratios.
//!
//! Without PostgreSQL's programs there is one loud line, and the figures that need them are absent;
//! with `MONSYS_REQUIRE_PG=1` that is a failure. `MONSYS_BENCH_ONLY=emit` measures one part of
//! PostgreSQL alone: `emit`, `ingest`, `history`.

mod emit;
pub(crate) mod fleet;
mod history;
mod ingest;
pub mod page;
pub(crate) mod server;
mod validator;

use std::time::Duration;

use self::server::Server;
use crate::report::{Figure, Form};

/// All figures of the stores.
pub fn figures() -> Vec<Figure> {
    let only = std::env::var("MONSYS_BENCH_ONLY").ok();
    let is_asked = |part: &str| only.as_deref().is_none_or(|only| only == part);
    let mut figures = Vec::new();
    if is_asked("validator") {
        figures.extend(validator::figures());
    }
    if is_asked("sqlite") {
        figures.extend(ingest::of_sqlite());
    }
    for (part, measure) in PARTS {
        if !is_asked(part) {
            continue;
        }
        match Server::start() {
            Some(server) => {
                let measured = measure(&server);
                for figure in &measured {
                    progress(&figure.line(Form::Text));
                }
                figures.extend(measured);
            }
            None => break,
        }
    }
    figures
}

/// Says what is under way: some parts take a minute.
pub(crate) fn progress(text: &str) {
    eprintln!("# {text}");
}

/// The one in the middle.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The value below which a part of the sorted values lies.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len() - 1;
    sorted[((last as f64) * part).round() as usize]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

type Measure = fn(&Server) -> Vec<Figure>;

const PARTS: [(&str, Measure); 3] = [
    ("emit", emit::figures),
    ("ingest", ingest::of_postgres),
    ("history", history::figures),
];
