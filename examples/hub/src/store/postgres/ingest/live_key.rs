//! How many keys an agent may keep alive per source.

use std::collections::{BTreeMap, BTreeSet};

use monsys_core::id::AgentId;
use monsys_core::limit;
use monsys_core::signal::Signal;
use monsys_core::store::IngestBatch;
use monsys_core::time::Timestamp;

use super::super::fault::Fault;
use super::super::transaction::Tx;

/// The latest signal of each key: when it was observed, and until when it holds; `None` is until
/// superseded.
type Keys = BTreeMap<String, (Timestamp, Option<Timestamp>)>;

/// What is current of the agents that sent signals, by agent and source: what the table holds, and
/// what this transaction will write into it.
#[derive(Default)]
pub(super) struct LiveKeys(BTreeMap<(AgentId, String), Keys>);

impl LiveKeys {
    /// Takes the keys of a payload, or finds its first signal beyond what the agent may have.
    pub(super) async fn take(
        &mut self,
        tx: &Tx,
        batch: &IngestBatch,
        signals: &[Signal],
    ) -> Result<Option<usize>, Fault> {
        let mut live: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (index, signal) in signals.iter().enumerate() {
            let source = signal.source().as_str();
            if !live.contains_key(source) {
                let keys = self.of_source(tx, batch, source).await?;
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
                return Ok(Some(index));
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
        Ok(None)
    }

    async fn of_source(
        &mut self,
        tx: &Tx,
        batch: &IngestBatch,
        source: &str,
    ) -> Result<&Keys, Fault> {
        let name = (batch.agent, source.to_owned());
        if !self.0.contains_key(&name) {
            // The agent's row is locked, and nobody else speaks for the agent.
            let sql = "SELECT signal_key, observed_at, expires_at FROM signal_current \
                       WHERE tenant_id = $1 AND subject_type = 'agent' AND subject_id = $2 \
                       AND source = $3";
            let subject = batch.agent.to_string();
            let mut keys = Keys::new();
            for row in tx.rows(sql, &[&batch.tenant, &subject, &source]).await? {
                keys.insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
            }
            self.0.insert(name.clone(), keys);
        }
        Ok(self.0.entry(name).or_default())
    }
}
