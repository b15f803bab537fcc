//! Who sent payloads, for all that came together in one query.
//!
//! Neither a token nor a device says whose it is, so both are looked up by functions of the schema
//! that cross the tenants and answer nothing else.

use deadpool_postgres::Pool;
use monsys_core::store::{
    AgentRecord, DeviceRecord, PublicKey, SharedKey, StoreError, StoreFuture, TokenDigest,
};
use tokio_postgres::Row;

use super::column::{DAMAGED, bytes32, word};
use super::fault::Fault;
use super::transaction::{Plan, run_on};
use crate::store::look_up::LookUps;

/// The senders that are asked for.
#[derive(Clone)]
pub(super) struct Senders {
    /// Agents by the digests of their tokens.
    pub(super) by_token: LookUps<TokenDigest, Option<AgentRecord>>,
    /// Devices by organisation and name.
    pub(super) by_device: LookUps<[String; 2], Option<DeviceRecord>>,
}

impl Senders {
    /// Asks on the connections of a pool.
    pub(super) fn new(pool: &Pool) -> Self {
        let (of_tokens, of_devices) = (pool.clone(), pool.clone());
        Self {
            by_token: LookUps::new(move |tokens| agents_by_token(of_tokens.clone(), tokens)),
            by_device: LookUps::new(move |names| agents_by_device(of_devices.clone(), names)),
        }
    }
}

fn agents_by_token(
    pool: Pool,
    tokens: Vec<TokenDigest>,
) -> StoreFuture<'static, Vec<Option<AgentRecord>>> {
    let plan = Plan::read_hub("agents by token");
    run_on(pool, plan, Vec::new, move |tx| {
        let digests: Vec<_> = tokens.iter().map(|token| token.0.to_vec()).collect();
        Box::pin(async move {
            let sql = "SELECT asked.n, a.id, a.tenant_id, a.name, a.tenant_name, a.public_key, \
                       a.pin_until, a.is_revoked \
                       FROM unnest($1::bytea[]) WITH ORDINALITY AS asked (token, n), \
                       LATERAL monsys_agent_by_token(asked.token) AS a";
            let rows = tx.rows(sql, &[&digests]).await?;
            by_number(&rows, digests.len(), record)
        })
    })
}

fn agents_by_device(
    pool: Pool,
    names: Vec<[String; 2]>,
) -> StoreFuture<'static, Vec<Option<DeviceRecord>>> {
    let plan = Plan::read_hub("agents by device");
    run_on(pool, plan, Vec::new, move |tx| {
        let (orgs, devices): (Vec<_>, Vec<_>) = names
            .iter()
            .map(|[org, device]| (org.clone(), device.clone()))
            .unzip();
        Box::pin(async move {
            let sql = "SELECT asked.n, a.id, a.tenant_id, a.device_key, a.is_revoked \
                       FROM unnest($1::text[], $2::text[]) WITH ORDINALITY \
                       AS asked (org, device, n), \
                       LATERAL monsys_device_by_name(asked.org, asked.device) AS a";
            let rows = tx.rows(sql, &[&orgs, &devices]).await?;
            by_number(&rows, orgs.len(), device_record)
        })
    })
}

/// What was found for each of so many keys; the first column says for which a row is, from 1 on.
fn by_number<T>(
    rows: &[Row],
    n_keys: usize,
    read: fn(&Row) -> Result<T, Fault>,
) -> Result<Vec<Option<T>>, Fault> {
    let mut found: Vec<Option<T>> = (0..n_keys).map(|_| None).collect();
    for row in rows {
        let number: i64 = row.try_get(0)?;
        let index = usize::try_from(number - 1).map_err(|_| DAMAGED)?;
        let place = found
            .get_mut(index)
            .ok_or(Fault::Answer(StoreError::Damaged))?;
        *place = Some(read(row)?);
    }
    Ok(found)
}

fn record(row: &Row) -> Result<AgentRecord, Fault> {
    Ok(AgentRecord {
        agent: row.try_get(1)?,
        tenant: row.try_get(2)?,
        name: word(row, 3)?,
        tenant_name: word(row, 4)?,
        key: bytes32(row, 5)?.map(PublicKey),
        pin_until: row.try_get(6)?,
        is_revoked: row.try_get(7)?,
    })
}

fn device_record(row: &Row) -> Result<DeviceRecord, Fault> {
    let key: &[u8] = row.try_get(3)?;
    Ok(DeviceRecord {
        agent: row.try_get(1)?,
        tenant: row.try_get(2)?,
        key: SharedKey::from_secret_bytes(key.try_into().map_err(|_| DAMAGED)?),
        is_revoked: row.try_get(4)?,
    })
}
