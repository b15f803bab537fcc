//! A trust score for a page: read from the store, computed and explained, while the tenant has
//! 100,000 current signals.

use std::hint::black_box;
use std::time::Instant;

use monsys_core::id::TenantId;
use monsys_core::name::{DisplayName, SubjectId, SubjectType};
use monsys_core::signal::{Signal, SignalDraft};
use monsys_core::store::SignalFilter;
use monsys_hub::store::{HubStore, SqliteStore};
use monsys_signals::trust::{self, Scratch};
use monsys_signals::{Catalog, SignalView};
use tokio::runtime::Runtime;

use super::server::{Server, now, runtime};
use super::{median, progress};
use crate::report::Figure;
use crate::report::Target::AtMostNanos;

/// On either store.
pub fn figures() -> Vec<Figure> {
    progress("the score of one subject, 100,000 signals in the tenant");
    let directory = std::env::temp_dir().join(format!("monsys-page-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let store = SqliteStore::open(&directory.join("page.db")).expect("an open store");
    let mut figures = vec![figure("SQLite", &runtime(), &store)];
    drop(store);
    std::fs::remove_dir_all(&directory).expect("our directory");
    if let Some(server) = Server::start() {
        figures.push(figure("PostgreSQL", &server.wait, &server.store()));
    }
    figures
}

fn figure(name: &str, wait: &Runtime, store: &dyn HubStore) -> Figure {
    let (tenant, now) = (TenantId::from_random_bytes([7; 16]), now());
    let named = DisplayName::parse("page").expect("a name");
    wait.block_on(store.add_tenant(tenant, named))
        .expect("a new tenant");
    for subject in 0..N_SUBJECTS {
        let signals = (0..N_KEYS).map(|key| signal(subject, key));
        wait.block_on(store.emit(tenant, signals.collect()))
            .expect("stored signals");
    }
    let (catalog, mut scratch) = (Catalog::standard(), Scratch::new());
    let mut nanos = |subject: usize| {
        let filter = SignalFilter {
            subject_type: SubjectType::parse("agent").ok(),
            subject_id: SubjectId::parse(&id_of(subject)).ok(),
            ..SignalFilter::default()
        };
        let start = Instant::now();
        let read = store.current(tenant, &filter, None, 2_000, now);
        let page = wait.block_on(read).expect("a page");
        let rows: Vec<_> = page.signals.iter().map(SignalView::from).collect();
        assert_eq!(rows.len(), N_KEYS);
        black_box(trust::explain(&rows, &catalog, &mut scratch, now));
        start.elapsed().as_nanos() as f64
    };
    let mut all: Vec<_> = (0..N_SUBJECTS).map(&mut nanos).collect();
    let worst = all.iter().copied().fold(0.0, f64::max);
    let figure = Figure::new(
        format!("score for a page/{name}, 100,000 signals"),
        median(&mut all),
        10e6,
        AtMostNanos(10e6),
    );
    figure.with_detail(format!("{N_KEYS} rows; worst {:.1} ms", worst / 1e6))
}

fn signal(subject: usize, key: usize) -> Signal {
    let draft = SignalDraft {
        source: SOURCES[key % SOURCES.len()].into(),
        subject_type: "agent".into(),
        subject_id: id_of(subject),
        key: format!("page.n{key}"),
        value: format!(r#"{{"unit":"days","value":{key}}}"#),
        severity: Some(SEVERITIES[key % SEVERITIES.len()].into()),
        observed_at: now(),
        ttl_seconds: None,
    };
    Signal::validate(&draft, now()).expect("a valid signal")
}

fn id_of(subject: usize) -> String {
    format!("subject-{subject}")
}

const N_SUBJECTS: usize = 100;
const N_KEYS: usize = 1_000;
const SOURCES: [&str; 3] = ["backup_check", "endpoint_posture", "integrity_check"];
const SEVERITIES: [&str; 5] = ["info", "low", "medium", "high", "critical"];
