//! Memory of the hub: idle, and over many payloads.
//!
//! Idle is a hub that has just started on a SQLite store with ten thousand agents. Then payloads
//! come, small ones so that all of them fit the disk, and after each round resident memory is read.
//! What the program keeps by design shows as a step: the last hour of each agent that a cycle has
//! judged, 12 bytes a metric, from the first cycle on (ten minutes after the start), and it fills until
//! payloads have come for an hour. So growth is judged by the last quarter of the readings against the third,
//! and the slope is that of the second half. As fast as they are answered ten million payloads take
//! half an hour, in which each agent sends twenty times as often as agents do and its hour never ends:
//! `--payload-rate 1500` takes two, of which the second half shows what stays.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;

use super::body::Size;
use super::client::{Arrivals, send};
use super::scene::Scene;
use super::{Options, say};
use crate::report::Figure;
use crate::report::Target::AtMost;
use crate::store::server::runtime;
use crate::store::{median, progress};

/// The figures of memory.
pub(super) fn run(options: &Options) {
    let mut scene = Scene::on_sqlite(&runtime(), &options.program, "memory", &[]);
    let idle = settled(&scene);
    let name = "memory/idle, 10,000 agents known";
    let figure = Figure::new(name, idle, IDLE_BYTES_MAX, AtMost(1.0));
    say(
        options,
        &figure.with_detail(format!("bytes resident, {}", megabytes(idle))),
    );
    progress(&format!("memory over {} payloads", options.n_payloads));
    let round = (options.n_payloads / N_READINGS).clamp(1, ROUND_MAX);
    let arrivals = match options.payload_rate {
        Some(rate) => Arrivals::Open {
            a_second: f64::from(rate),
        },
        None => Arrivals::Closed,
    };
    let mut readings = vec![(0, idle)];
    let mut n_stored = 0;
    while n_stored < options.n_payloads {
        let n = usize::try_from(round).expect("a small number");
        let requests = scene.crowd.requests(n, Size::Small);
        let answers = send(&scene.plan(arrivals, ENDLESS), &requests);
        assert_eq!(answers.n_of(202), n, "{}", answers.statuses());
        n_stored += round;
        let now = scene.hub.resident_bytes() as f64;
        readings.push((n_stored, now));
        if n_stored % (round * 10) == 0 {
            let rate = answers.rate_of(202);
            progress(&format!(
                "{n_stored} payloads, {}, {rate:.0}/s",
                megabytes(now)
            ));
        }
    }
    say(options, &growth(&readings));
    let scene = scene.restart(&options.program, &[]);
    let again = settled(&scene);
    let name = format!("memory/idle, {n_stored} payloads stored");
    let figure = Figure::new(name, again, IDLE_BYTES_MAX, AtMost(1.0));
    say(
        options,
        &figure.with_detail(format!(
            "bytes resident after a new start, {}",
            megabytes(again)
        )),
    );
    scene.kill().remove();
}

/// Resident memory once it has been the same for some seconds.
fn settled(scene: &Scene) -> f64 {
    let mut last = scene.hub.resident_bytes();
    loop {
        hold_a_connection(scene);
        let now = scene.hub.resident_bytes();
        if now.abs_diff(last) <= 64 << 10 {
            return now as f64;
        }
        last = now;
    }
}

/// Does nothing for five seconds but keep a connection open, as an agent does between two payloads.
fn hold_a_connection(scene: &Scene) {
    let mut stream = TcpStream::connect(scene.hub.addr).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("an option");
    let read = stream.read(&mut [0]);
    assert!(read.is_err(), "an idle connection was answered: {read:?}");
}

fn growth(readings: &[(u64, f64)]) -> Figure {
    let quarter = readings.len() / 4;
    let of =
        |part: &[(u64, f64)]| median(&mut part.iter().map(|(_, bytes)| *bytes).collect::<Vec<_>>());
    let third = of(&readings[2 * quarter..=3 * quarter]);
    let last = of(&readings[3 * quarter..]);
    let shown = readings.iter().step_by((readings.len() / 10).max(1));
    let shown = shown.map(|(n, bytes)| format!("{n}: {}", megabytes(*bytes)));
    let detail = format!(
        "bytes, median of the last quarter against the third; {:+.3} MB a million payloads in the \
         second half; {}",
        slope(&readings[2 * quarter..]),
        shown.collect::<Vec<_>>().join(", "),
    );
    Figure::new("memory/growth", last, third, AtMost(1.02)).with_detail(detail)
}

/// Bytes a payload, by least squares.
fn slope(readings: &[(u64, f64)]) -> f64 {
    let n = readings.len() as f64;
    let mean_x = readings.iter().map(|(x, _)| *x as f64).sum::<f64>() / n;
    let mean_y = readings.iter().map(|(_, y)| y).sum::<f64>() / n;
    let of = |of: fn(f64, f64) -> f64| {
        let terms = readings
            .iter()
            .map(|(x, y)| of(*x as f64 - mean_x, y - mean_y));
        terms.sum::<f64>()
    };
    of(|x, y| x * y) / of(|x, _| x * x)
}

fn megabytes(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
}

const IDLE_BYTES_MAX: f64 = 60e6;
const N_READINGS: u64 = 100;
const ROUND_MAX: u64 = 100_000;
/// A round ends with its last payload.
const ENDLESS: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_that_of_the_line() {
        let line: Vec<_> = (0..50_u64)
            .map(|n| (n * 1_000, 5e6 + 2.0 * (n * 1_000) as f64))
            .collect();
        assert!((slope(&line) - 2.0).abs() < 1e-9);
    }
}
