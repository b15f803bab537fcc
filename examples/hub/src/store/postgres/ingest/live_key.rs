//! How many keys an agent may keep alive per source.

use std::collections::{BTreeMap, BTreeSet};

use monsys_core::id::{AgentId, TenantId};
use monsys_core::limit;
use monsys_core::signal::Signal;
use monsys_core::store::{IngestBatch, Payload};
use monsys_core::time::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::column::DAMAGED;
use super::super::fault::Fault;

/// The latest signal of each key: when it was observed, and until when it holds; `None` is until
/// superseded.
type Keys = BTreeMap<String, (Timestamp, Option<Timestamp>)>;

/// What is current of the agents that sent signals, by agent and source: what the table holds, and
/// what this transaction will write into it.
#[derive(Default)]
pub(super) struct LiveKeys(BTreeMap<(AgentId, String), Keys>);

/// The parameters of [`KEYS`] but for the tenant: each agent and source once, when the first of the
/// payloads came, and each key that they name.
pub(in crate::store::postgres) struct LiveKeysQuery {
    subjects: Vec<String>,
    sources: Vec<String>,
    earliest: Timestamp,
    keys: Vec<String>,
}

impl LiveKeysQuery {
    pub(in crate::store::postgres) fn new(batches: &[&IngestBatch]) -> Self {
        let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for batch in batches {
            let Payload::Signals(signals) = &batch.payload else {
                continue;
            };
            names.extend(signals.iter().map(|signal| (batch.agent, signal.source())));
            keys.extend(signals.iter().map(|signal| signal.key().as_str()));
        }
        let earliest = batches.iter().map(|batch| batch.received_at).min();
        let names = names.into_iter();
        let (subjects, sources) = names
            .map(|(agent, source)| (agent.to_string(), source.as_str().to_owned()))
            .unzip();
        Self {
            subjects,
            sources,
            earliest: earliest.unwrap_or(Timestamp::MIN),
            keys: keys.into_iter().map(str::to_owned).collect(),
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    pub(in crate::store::postgres) fn parameters<'q>(
        &'q self,
        tenant: &'q TenantId,
    ) -> [&'q (dyn ToSql + Sync); 5] {
        [
            tenant,
            &self.subjects,
            &self.sources,
            &self.earliest,
            &self.keys,
        ]
    }
}

impl LiveKeys {
    /// Reads the rows of [`KEYS`].
    pub(super) fn of(rows: &[Row]) -> Result<Self, Fault> {
        let mut live = Self::default();
        for row in rows {
            let agent = AgentId::parse(row.try_get(0)?).map_err(|_| DAMAGED)?;
            let keys = live.0.entry((agent, row.try_get(1)?)).or_default();
            keys.insert(row.try_get(2)?, (row.try_get(3)?, row.try_get(4)?));
        }
        Ok(live)
    }

    /// Takes the keys of a payload, or finds its first signal beyond what the agent may have.
    pub(super) fn take(&mut self, batch: &IngestBatch, signals: &[Signal]) -> Option<usize> {
        let mut live: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (index, signal) in signals.iter().enumerate() {
            let source = signal.source().as_str();
            if !live.contains_key(source) {
                let keys = self.0.entry((batch.agent, source.to_owned())).or_default();
                let is_live = |until: Option<Timestamp>| match until {
                    None => true,
                    Some(until) => until > batch.received_at,
                };
                let found = keys.iter().filter(|(_, (_, until))| is_live(*until));
                live.insert(source, found.map(|(key, _)| key.clone()).collect());
            }
            let Some(keys) = live.get_mut(source) else {
                continue;
            };
            keys.insert(signal.key().as_str().to_owned());
            if keys.len() > limit::LIVE_KEYS_PER_SOURCE_MAX {
                return Some(index);
            }
        }
        let agent = batch.agent.to_string();
        let is_own = |signal: &&Signal| {
            signal.subject_type().as_str() == "agent" && signal.subject_id().as_str() == agent
        };
        for signal in signals.iter().filter(is_own) {
            let name = (batch.agent, signal.source().as_str().to_owned());
            let latest = (signal.observed_at(), signal.expires_at());
            let keys = self.0.entry(name).or_default();
            let held = keys
                .entry(signal.key().as_str().to_owned())
                .or_insert(latest);
            if latest.0 >= held.0 {
                *held = latest;
            }
        }
        None
    }
}

/// What is current of some agents, as far as it decides: what no payload may still find alive
/// counts only under a key that one names. Expired keys are kept for half a year, so that an agent
/// with a new key each time would have all of them read by every payload. Their rows are locked,
/// and nobody else speaks for them. Each agent is looked up by itself, which OFFSET makes sure of.
pub(in crate::store::postgres) const KEYS: &str = "SELECT c.subject_id, c.source, c.signal_key, \
    c.observed_at, c.expires_at FROM unnest($2::text[], $3::text[]) k (subject_id, source) \
    CROSS JOIN LATERAL (SELECT s.subject_id, s.source, s.signal_key, s.observed_at, s.expires_at \
    FROM signal_current s WHERE s.tenant_id = $1 AND s.subject_type = 'agent' \
    AND s.subject_id = k.subject_id AND s.source = k.source \
    AND (s.expires_at IS NULL OR s.expires_at > $4 OR s.signal_key = ANY ($5::text[])) \
    OFFSET 0) c";
