//! What the hub counts about itself, for `/internal/metrics`.
//!
//! What: counters, gauges and histograms whose labels are closed sets of this program; no value of a
//! label comes from a client. All begin at zero with the process and are there from the first
//! answer on, so that a rate over them never starts in the middle. What not: what the store knows
//! anyway; that is read when somebody asks. Cost of counting: an atomic addition for each figure; no
//! lock, no allocation.
//!
//! The text is written by [`page`], in the classic format of Prometheus, and not by a client library:
//! the one that suits looks its labels up in a map behind a lock, shows none before its first use,
//! and writes OpenMetrics only, which the checker of Prometheus (`promtool check metrics`) does not
//! read.

mod authentication;
mod connection;
mod counter;
mod histogram;
mod ingest;
pub(crate) mod observe;
mod open_anomalies;
pub(crate) mod page;
mod request;
mod store_fault;

use std::sync::Arc;

use monsys_core::store::StoreError;
use monsys_wire::schema::{CleanedTexts, TextMember};

// The interface of the telemetry is
pub(crate) use self::authentication::AuthFailure;
pub(crate) use self::connection::{Connections, OpenConnection};
pub(crate) use self::counter::Counters;
pub(crate) use self::histogram::{Histogram, LATENCY_US, SIZES};
pub(crate) use self::ingest::IngestCounters;
use self::open_anomalies::OpenAnomalies;
pub(crate) use self::request::RequestCounters;
pub(crate) use self::store_fault::SeenFault;
use self::store_fault::StoreFault;

/// All that is counted while the hub runs.
pub(crate) struct Telemetry {
    /// What became of payloads.
    pub(crate) ingest: IngestCounters,
    /// Texts of accepted payloads that are kept otherwise than they were sent.
    sanitised_texts: Counters<TextMember>,
    /// Who did not prove to be who they claim, and why not. Agents stand in [`Self::ingest`].
    pub(crate) auth_failures: Counters<AuthFailure>,
    /// Requests by route.
    pub(crate) requests: RequestCounters,
    /// Connections of clients.
    pub(crate) connections: Arc<Connections>,
    /// What the store did not do.
    pub(crate) store_faults: Counters<StoreFault>,
    /// Open anomalies, as they were counted last.
    pub(crate) open_anomalies: OpenAnomalies,
}

impl Telemetry {
    /// Everything at zero.
    pub(crate) fn new() -> Self {
        Self {
            ingest: IngestCounters::default(),
            sanitised_texts: Counters::default(),
            auth_failures: Counters::default(),
            requests: RequestCounters::new(),
            connections: Arc::default(),
            store_faults: Counters::default(),
            open_anomalies: OpenAnomalies::default(),
        }
    }

    /// Counts the texts of a payload that had to be cleaned.
    pub(crate) fn count_cleaned(&self, cleaned: &CleanedTexts) {
        for (member, n) in cleaned.iter() {
            self.sanitised_texts.add_several(member, n);
        }
    }

    /// Every member whose text is cleaned, and how often that changed one.
    pub(crate) fn sanitised_texts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.sanitised_texts.read()
    }

    /// Counts an error of the store, if it is one.
    pub(crate) fn count_store_error(&self, error: &StoreError) {
        if let Some(fault) = StoreFault::of(error) {
            self.store_faults.add(fault);
        }
    }
}
