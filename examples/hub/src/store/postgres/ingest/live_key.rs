//! How many keys an agent may keep alive per source.

use std::collections::{BTreeMap, BTreeSet};

use monsys_core::id::{AgentId, TenantId};
use monsys_core::limit;
use monsys_core::signal::Signal;
use monsys_core::store::IngestBatch;
use monsys_core::time::{Span, Timestamp};

use super::super::fault::Fault;
use super::super::row_values::{RowValues, value};
use super::super::transaction::Tx;

/// Until when each key holds; `None` is until superseded.
type Keys = BTreeMap<String, Option<Timestamp>>;

/// The keys of the agents that sent signals, by agent and source.
#[derive(Default)]
pub(super) struct LiveKeys(BTreeMap<(AgentId, String), Source>);

#[derive(Default)]
struct Source {
    keys: Keys,
    written: BTreeSet<String>,
    expired_at: Option<Timestamp>,
}

impl LiveKeys {
    /// Takes the keys of a payload, or finds its first signal beyond what the agent may have.
    pub(super) async fn take(
        &mut self,
        tx: &Tx,
        batch: &IngestBatch,
        signals: &[Signal],
    ) -> Result<Option<usize>, Fault> {
        let mut taken: BTreeMap<&str, Keys> = BTreeMap::new();
        for (index, signal) in signals.iter().enumerate() {
            let source = signal.source().as_str();
            if !taken.contains_key(source) {
                let mut keys = self.read(tx, batch, source).await?.keys.clone();
                keys.retain(|_, until| until.is_none_or(|until| until > batch.received_at));
                taken.insert(source, keys);
            }
            let Some(keys) = taken.get_mut(source) else {
                continue;
            };
            keys.insert(signal.key().as_str().to_owned(), expires_at(signal));
            if keys.len() > limit::LIVE_KEYS_PER_SOURCE_MAX {
                return Ok(Some(index));
            }
        }
        for (source, keys) in taken {
            let own = self.0.entry((batch.agent, source.to_owned())).or_default();
            own.keys = keys;
            own.expired_at = own.expired_at.max(Some(batch.received_at));
        }
        for signal in signals {
            let name = (batch.agent, signal.source().as_str().to_owned());
            let own = self.0.entry(name).or_default();
            own.written.insert(signal.key().as_str().to_owned());
        }
        Ok(None)
    }

    async fn read(&mut self, tx: &Tx, batch: &IngestBatch, source: &str) -> Result<&Source, Fault> {
        let name = (batch.agent, source.to_owned());
        if !self.0.contains_key(&name) {
            let sql = "SELECT signal_key, expires_at FROM signal_keys \
                       WHERE tenant_id = $1 AND agent_id = $2 AND source = $3";
            let mut keys = Keys::new();
            for row in tx
                .rows(sql, &[&batch.tenant, &batch.agent, &source])
                .await?
            {
                keys.insert(row.try_get(0)?, row.try_get(1)?);
            }
            let read = Source {
                keys,
                ..Source::default()
            };
            self.0.insert(name.clone(), read);
        }
        Ok(self.0.entry(name).or_default())
    }

    /// Keeps until when keys are live, and forgets those that no longer are.
    pub(super) async fn write(self, tx: &Tx, tenant: TenantId) -> Result<(), Fault> {
        let mut values = Vec::new();
        for ((agent, source), of_source) in &self.0 {
            let Some(expired_at) = of_source.expired_at else {
                continue;
            };
            let sql = "DELETE FROM signal_keys WHERE tenant_id = $1 AND agent_id = $2 \
                       AND source = $3 AND expires_at <= $4";
            tx.execute(sql, &[&tenant, agent, source, &expired_at])
                .await?;
            for key in &of_source.written {
                values.extend([
                    value(tenant),
                    value(*agent),
                    value(source.as_str()),
                    value(key.as_str()),
                    value(of_source.keys.get(key).copied().flatten()),
                ]);
            }
        }
        let rows = RowValues {
            head: "INSERT INTO signal_keys (tenant_id, agent_id, source, signal_key, expires_at)",
            columns: &["uuid", "uuid", "text", "text", "timestamptz"],
            tail: " ON CONFLICT (tenant_id, agent_id, source, signal_key) \
                   DO UPDATE SET expires_at = excluded.expires_at",
            values,
        };
        rows.write(tx).await
    }
}

fn expires_at(signal: &Signal) -> Option<Timestamp> {
    let ttl = signal.ttl_seconds()?;
    Some(signal.observed_at().saturating_add(Span::from_secs(ttl)))
}
