//! What must not change under a position.

use std::collections::BTreeMap;

use monsys_core::id::{AgentId, TenantId};
use monsys_core::limit;
use monsys_core::position::ContentHash;
use monsys_core::store::IngestBatch;
use monsys_core::time::{Span, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::column::{DAMAGED, bytes32};
use super::super::fault::Fault;
use super::super::row_values::{Form, RowValues, value};

/// An agent and a position.
type Place = (AgentId, i64, i64);

/// The contents at the positions that the payloads name.
pub(super) struct Contents {
    known: BTreeMap<Place, ContentHash>,
    kept: Vec<(Place, ContentHash, Timestamp)>,
}

/// The parameters of [`CONTENTS`] but for the tenant.
pub(super) struct ContentsQuery {
    agents: Vec<AgentId>,
    epochs: Vec<i64>,
    seqs: Vec<i64>,
    since: Timestamp,
}

impl ContentsQuery {
    pub(super) fn new(batches: &[&IngestBatch]) -> Self {
        let places: Vec<Place> = batches.iter().map(|batch| place(batch)).collect();
        let earliest = batches.iter().map(|batch| batch.received_at).min();
        // Twice as long as contents are kept at least, so that only slices are left out which
        // are about to be dropped.
        let kept = Span::from_secs(2 * limit::CONTENT_HASH_KEPT_S);
        Self {
            agents: places.iter().map(|place| place.0).collect(),
            epochs: places.iter().map(|place| place.1).collect(),
            seqs: places.iter().map(|place| place.2).collect(),
            since: earliest.unwrap_or(Timestamp::MIN).saturating_sub(kept),
        }
    }

    pub(super) fn parameters<'q>(&'q self, tenant: &'q TenantId) -> [&'q (dyn ToSql + Sync); 5] {
        [tenant, &self.agents, &self.epochs, &self.seqs, &self.since]
    }
}

impl Contents {
    /// Reads the rows of [`CONTENTS`].
    pub(super) fn of(rows: &[Row]) -> Result<Self, Fault> {
        let mut known = BTreeMap::new();
        for row in rows {
            let place = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let content = bytes32(row, 3)?.map(ContentHash).ok_or(DAMAGED)?;
            // The latest stays.
            known.insert(place, content);
        }
        let kept = Vec::new();
        Ok(Self { known, kept })
    }

    pub(super) fn at(&self, batch: &IngestBatch) -> Option<ContentHash> {
        self.known.get(&place(batch)).copied()
    }

    pub(super) fn keep(&mut self, batch: &IngestBatch) {
        let place = place(batch);
        self.known.insert(place, batch.content);
        self.kept.push((place, batch.content, batch.received_at));
    }

    /// What is kept of the payloads that were accepted.
    pub(super) fn into_rows(self, tenant: TenantId) -> RowValues<'static> {
        let mut values = Vec::with_capacity(self.kept.len() * 6);
        for ((agent, epoch, seq), content, received_at) in self.kept {
            values.extend([
                value(tenant),
                value(agent),
                value(epoch),
                value(seq),
                value(content.0.to_vec()),
                value(received_at),
            ]);
        }
        RowValues {
            form: &KEPT,
            values,
        }
    }
}

static KEPT: Form = Form::new(
    "INSERT INTO ingest_contents (tenant_id, agent_id, epoch, seq, content, received_at)",
    &["uuid", "uuid", "bigint", "bigint", "bytea", "timestamptz"],
    "",
);

/// The contents at some positions. Each position is looked up by itself, which OFFSET makes sure of:
/// as a plain join, and as long as the table was not analysed, all that the organisation sent of late
/// was read for each group of payloads.
pub(super) const CONTENTS: &str = "SELECT c.agent_id, c.epoch, c.seq, c.content \
    FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) k (agent_id, epoch, seq) \
    CROSS JOIN LATERAL (SELECT i.agent_id, i.epoch, i.seq, i.content, i.received_at \
    FROM ingest_contents i WHERE i.tenant_id = $1 AND i.agent_id = k.agent_id \
    AND i.epoch = k.epoch AND i.seq = k.seq AND i.received_at > $5 OFFSET 0) c \
    ORDER BY c.received_at";

fn place(batch: &IngestBatch) -> Place {
    let (epoch, seq) = position_columns(batch);
    (batch.agent, epoch, seq)
}

/// Positions end at 2^53 − 1, so both parts fit a column.
pub(super) fn position_columns(batch: &IngestBatch) -> (i64, i64) {
    let part = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    (part(batch.position.epoch()), part(batch.position.seq()))
}
