//! Who sent payloads, for all that came together on one connection.

use std::sync::Arc;

use monsys_core::store::{
    AgentRecord, DeviceRecord, PublicKey, SharedKey, StoreError, TokenDigest,
};
use rusqlite::{Connection, Row};

use super::Readers;
use super::column::{OrStoreError, bytes32, first, text};
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
    /// Asks on connections that nobody else uses.
    pub(super) fn new(readers: Readers) -> Self {
        let of_tokens = Arc::new(readers);
        let of_devices = Arc::clone(&of_tokens);
        Self {
            by_token: LookUps::new(move |tokens: Vec<TokenDigest>| {
                Box::pin(Arc::clone(&of_tokens).run(move |connection| {
                    tokens
                        .iter()
                        .map(|token| by_token(connection, token))
                        .collect()
                }))
            }),
            by_device: LookUps::new(move |names: Vec<[String; 2]>| {
                Box::pin(Arc::clone(&of_devices).run(move |connection| {
                    names
                        .iter()
                        .map(|names| by_device(connection, names))
                        .collect()
                }))
            }),
        }
    }
}

/// Asks for the agent of a token.
pub(super) const BY_TOKEN: &str = "SELECT a.id, a.tenant_id, a.name, t.name, a.public_key, \
    a.pin_until, a.revoked_at IS NOT NULL FROM agents a JOIN tenants t ON t.id = a.tenant_id \
    WHERE a.token_digest = ?1";

pub(super) fn by_token(
    connection: &Connection,
    token: &TokenDigest,
) -> Result<Option<AgentRecord>, StoreError> {
    let mut statement = connection.prepare_cached(BY_TOKEN).or_store_error()?;
    first(&mut statement, [token.0.as_slice()], |row| {
        Ok(AgentRecord {
            agent: text(row, 0)?,
            tenant: text(row, 1)?,
            name: text(row, 2)?,
            tenant_name: text(row, 3)?,
            key: bytes32(row, 4)?.map(PublicKey),
            pin_until: text(row, 5)?,
            is_revoked: row.get(6).or_store_error()?,
        })
    })
}

fn by_device(
    connection: &Connection,
    [org, device]: &[String; 2],
) -> Result<Option<DeviceRecord>, StoreError> {
    let sql = "SELECT a.id, a.tenant_id, a.device_key, a.revoked_at IS NOT NULL \
               FROM tenants t JOIN agents a ON a.tenant_id = t.id \
               WHERE t.name = ?1 AND a.name = ?2 AND a.device_key IS NOT NULL";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    first(&mut statement, [org, device], |row| {
        Ok(DeviceRecord {
            agent: text(row, 0)?,
            tenant: text(row, 1)?,
            key: shared_key(row, 2)?,
            is_revoked: row.get(3).or_store_error()?,
        })
    })
}

/// Reads the key of a device without a copy that is not wiped.
fn shared_key(row: &Row<'_>, index: usize) -> Result<SharedKey, StoreError> {
    let value = row.get_ref(index).or_store_error()?;
    let bytes = value.as_blob().map_err(|_| StoreError::Damaged)?;
    let bytes = bytes.try_into().map_err(|_| StoreError::Damaged)?;
    Ok(SharedKey::from_secret_bytes(bytes))
}
