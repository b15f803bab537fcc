//! The signals that the suite works with.

use std::string::String;
use std::vec::Vec;

use super::fixture::now;
use super::{BlockOn, Fixture};
use crate::id::AgentId;
use crate::name::{SubjectId, SubjectType};
use crate::signal::{Signal, SignalDraft};
use crate::store::{IngestBatch, Payload, SignalFilter, StoreError, Subject};
use crate::time::{Span, Timestamp};

pub(super) const SOURCE: &str = "suite_check";

/// A draft whose fields a test changes.
pub(super) struct Draft<'a> {
    pub(super) subject_type: &'a str,
    pub(super) subject_id: &'a str,
    pub(super) key: String,
    pub(super) value: &'a str,
    pub(super) severity: Option<&'a str>,
    pub(super) at: Timestamp,
    pub(super) ttl_seconds: Option<i64>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(subject_id: &'a str, key: usize) -> Self {
        Self {
            subject_type: "endpoint",
            subject_id,
            key: key_of(key),
            value: r#"{"value":1}"#,
            severity: None,
            at: now(),
            ttl_seconds: None,
        }
    }

    pub(super) fn signal(&self) -> Signal {
        let draft = SignalDraft {
            source: SOURCE.into(),
            subject_type: self.subject_type.into(),
            subject_id: self.subject_id.into(),
            key: self.key.clone(),
            value: self.value.into(),
            severity: self.severity.map(String::from),
            observed_at: self.at,
            ttl_seconds: self.ttl_seconds,
        };
        Signal::validate(&draft, now()).expect("a valid signal")
    }
}

pub(super) fn key_of(number: usize) -> String {
    std::format!("suite.k{number}")
}

pub(super) fn later(seconds: i64) -> Timestamp {
    now().saturating_add(Span::from_secs(seconds))
}

pub(super) fn about(subject: &str) -> SignalFilter {
    let is_agent = AgentId::parse(subject).is_ok();
    let subject_type = if is_agent { "agent" } else { "endpoint" };
    SignalFilter {
        subject_type: SubjectType::parse(subject_type).ok(),
        subject_id: SubjectId::parse(subject).ok(),
        ..SignalFilter::default()
    }
}

impl<W: BlockOn> Fixture<'_, W> {
    pub(super) fn emit(&self, tenant: usize, signals: Vec<Signal>) -> Result<(), StoreError> {
        let tenant = self.tenants[tenant];
        self.wait.block_on(self.store.emit(tenant, signals))
    }

    /// All pages of the history.
    pub(super) fn history(&self, tenant: usize, filter: &SignalFilter, n_rows: u32) -> Vec<Signal> {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = self
                .store
                .signals(self.tenants[tenant], filter, after, n_rows);
            let page = self.wait.block_on(page).expect("a page");
            assert!(page.signals.len() <= usize::try_from(n_rows).unwrap_or(usize::MAX));
            listed.extend(page.signals);
            after = page.next;
            if after.is_none() {
                return listed;
            }
        }
    }

    /// All pages of what is current.
    pub(super) fn current(
        &self,
        tenant: usize,
        filter: &SignalFilter,
        n: u32,
        now: Timestamp,
    ) -> Vec<Signal> {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let tenant = self.tenants[tenant];
            let page = self.store.current(tenant, filter, after.as_ref(), n, now);
            let page = self.wait.block_on(page).expect("a page");
            listed.extend(page.signals);
            after = page.next;
            if after.is_none() {
                return listed;
            }
        }
    }

    /// All pages of what stood at a moment, slot by slot.
    pub(super) fn as_of(&self, tenant: usize, subject_id: &str, at: Timestamp) -> Vec<Signal> {
        let subject = Subject {
            subject_type: SubjectType::parse("endpoint").expect("a type"),
            subject_id: SubjectId::parse(subject_id).expect("an id"),
        };
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let tenant = self.tenants[tenant];
            let page = self.store.as_of(tenant, &subject, after.as_ref(), 1, at);
            let page = self.wait.block_on(page).expect("a page");
            listed.extend(page.signals);
            after = page.next;
            if after.is_none() {
                return listed;
            }
        }
    }

    /// A payload of signals of an agent of the first tenant.
    pub(super) fn said(&self, agent: AgentId, seq: i64, keys: &[&str]) -> IngestBatch {
        let subject = std::format!("{agent}");
        let signal = |key: &&str| {
            let draft = Draft {
                subject_type: "agent",
                key: std::format!("said.{key}"),
                ..Draft::new(&subject, 0)
            };
            draft.signal()
        };
        IngestBatch {
            payload: Payload::Signals(keys.iter().map(signal).collect()),
            ..self.metrics(agent, seq, 600)
        }
    }
}
