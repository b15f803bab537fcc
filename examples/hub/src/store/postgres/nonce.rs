//! Nonces of devices in PostgreSQL: looked up under the lock of the device's row.
//!
//! A nonce is used once per device within 660 s, also under another timestamp and through another
//! hub. The slices of the table are cut by time, so no unique constraint can say that; the lock
//! can. It is taken for the positions anyway, and everything that spends a nonce takes it first.

use std::collections::BTreeMap;

use monsys_core::id::{AgentId, TenantId};
use monsys_core::store::{
    IngestBatch, NonceDigest, NonceOutcome, NonceUse, NoncesKept, StoreError, nonces_kept_since,
};
use monsys_core::time::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::fault::Fault;
use super::partition::{Slice, Table};
use super::row_values::{Form, RowValues, value};
use super::transaction::Tx;

/// The nonces of one transaction and tenant: what was used before, and what it uses itself.
#[derive(Default)]
pub(super) struct Nonces {
    spent: BTreeMap<AgentId, BTreeMap<NonceDigest, Timestamp>>,
    is_repeated: bool,
}

/// What the table knows about one nonce at one time.
pub(super) struct Known {
    used_at: Option<Timestamp>,
    kept: NoncesKept,
}

/// Refuses a device's payload without a nonce, and another's with one: a caller that mixes the
/// profiles up must not get round the nonces.
pub(super) fn check_profile(is_device: bool, nonce: Option<NonceDigest>) -> Result<(), Fault> {
    if nonce.is_some() == is_device {
        return Ok(());
    }
    Err(Fault::Answer(StoreError::Refused {
        constraint: "nonce_of_device".into(),
    }))
}

/// Uses up the nonce of a request by itself.
pub(super) async fn spend(tx: &Tx, spent: NonceUse) -> Result<NonceOutcome, Fault> {
    let NonceUse {
        tenant,
        agent,
        nonce,
        at,
    } = spent;
    let sql = "SELECT device_key IS NOT NULL FROM agents \
               WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE";
    let found = tx.first(sql, &[&tenant, &agent]).await?;
    let is_device: bool = found.ok_or(StoreError::NotFound)?.try_get(0)?;
    check_profile(is_device, Some(nonce))?;
    let known = known(tx, tenant, &[(agent, nonce, at)]).await?;
    let mut nonces = Nonces::of(tx);
    let known = known.first().ok_or(StoreError::Damaged)?;
    let outcome = nonces.decide((agent, nonce, at), known);
    tx.write(&[nonces.into_rows(tenant)]).await?;
    Ok(outcome)
}

/// What the table knows about each nonce, in the order of the input.
async fn known(
    tx: &Tx,
    tenant: TenantId,
    uses: &[(AgentId, NonceDigest, Timestamp)],
) -> Result<Vec<Known>, Fault> {
    let asked = KnownQuery::new(uses);
    known_of(&tx.rows(KNOWN, &asked.parameters(&tenant)).await?)
}

/// The parameters of [`KNOWN`] but for the tenant.
pub(super) struct KnownQuery<'a> {
    agents: Vec<AgentId>,
    nonces: Vec<&'a [u8]>,
    since: Vec<Timestamp>,
}

impl<'a> KnownQuery<'a> {
    pub(super) fn new(uses: &'a [(AgentId, NonceDigest, Timestamp)]) -> Self {
        let nonces = uses.iter().map(|(_, nonce, _)| nonce.0.as_slice());
        Self {
            agents: uses.iter().map(|(agent, ..)| *agent).collect(),
            nonces: nonces.collect(),
            since: uses.iter().map(|(.., at)| nonces_kept_since(*at)).collect(),
        }
    }

    pub(super) fn parameters<'q>(&'q self, tenant: &'q TenantId) -> [&'q (dyn ToSql + Sync); 4] {
        [tenant, &self.agents, &self.nonces, &self.since]
    }
}

/// Reads the rows of [`KNOWN`].
pub(super) fn known_of(rows: &[Row]) -> Result<Vec<Known>, Fault> {
    let read = |row: &Row| {
        let n_nonces: i64 = row.try_get(1)?;
        Ok(Known {
            used_at: row.try_get(0)?,
            kept: NoncesKept {
                n_nonces: n_nonces.unsigned_abs(),
                oldest: row.try_get(2)?,
            },
        })
    };
    rows.iter().map(read).collect()
}

impl Nonces {
    pub(super) fn of(tx: &Tx) -> Self {
        Self {
            is_repeated: tx.is_repeated,
            ..Self::default()
        }
    }

    /// Decides about a nonce, from what the table knows and what this transaction has used since.
    pub(super) fn decide(
        &mut self,
        (agent, nonce, now): (AgentId, NonceDigest, Timestamp),
        known: &Known,
    ) -> NonceOutcome {
        // An earlier try of this transaction wrote it, and may have been committed unseen: the
        // same nonce at the same microsecond is its own.
        if self.is_repeated && known.used_at == Some(now) {
            return NonceOutcome::Spent;
        }
        let own = self.spent.entry(agent).or_default();
        let since = nonces_kept_since(now);
        let counted = || own.values().filter(|at| **at >= since);
        let n_own = u64::try_from(counted().count()).unwrap_or(u64::MAX);
        let kept = NoncesKept {
            n_nonces: known.kept.n_nonces.saturating_add(n_own),
            oldest: known
                .kept
                .oldest
                .into_iter()
                .chain(counted().copied())
                .min(),
        };
        let used_at = known.used_at.max(own.get(&nonce).copied());
        let outcome = NonceOutcome::decide(used_at, kept, now);
        if outcome == NonceOutcome::Spent {
            own.insert(nonce, now);
        }
        outcome
    }

    /// What was used up, as it is kept.
    pub(super) fn into_rows(self, tenant: TenantId) -> RowValues<'static> {
        let mut values = Vec::new();
        for (agent, nonces) in &self.spent {
            for (nonce, used_at) in nonces {
                let digest = nonce.0.to_vec();
                values.extend([value(tenant), value(*agent), value(digest), value(*used_at)]);
            }
        }
        RowValues {
            form: &NONCES,
            values,
        }
    }
}

static NONCES: Form = Form::new(
    "INSERT INTO ingest_nonces (tenant_id, agent_id, nonce, used_at)",
    &["uuid", "uuid", "bytea", "timestamptz"],
    "",
);

/// Where the nonce of a payload goes.
pub(super) fn slice_of(batch: &IngestBatch) -> Option<Slice> {
    batch.nonce.map(|_| slice_at(batch.received_at))
}

/// Where a nonce goes.
pub(super) const fn slice_at(at: Timestamp) -> Slice {
    Slice {
        table: Table::Nonces,
        at,
    }
}

/// What is kept of some nonces, and how many each device has.
pub(super) const KNOWN: &str = "SELECT (SELECT max(u.used_at) FROM ingest_nonces u WHERE u.tenant_id = $1 \
    AND u.agent_id = k.agent_id AND u.nonce = k.nonce AND u.used_at >= k.since), \
    c.n_nonces, c.oldest \
    FROM unnest($2::uuid[], $3::bytea[], $4::timestamptz[]) \
    WITH ORDINALITY k (agent_id, nonce, since, place) \
    CROSS JOIN LATERAL (SELECT count(*) AS n_nonces, min(n.used_at) AS oldest \
    FROM ingest_nonces n WHERE n.tenant_id = $1 AND n.agent_id = k.agent_id \
    AND n.used_at >= k.since) c ORDER BY k.place";
