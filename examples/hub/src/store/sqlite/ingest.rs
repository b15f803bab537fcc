//! What one accepted payload writes.

use std::collections::{BTreeMap, BTreeSet};

use monsys_core::facts::ClockReading;
use monsys_core::limit;
use monsys_core::position::{Admission, ContentHash, PositionSet};
use monsys_core::sample::MetricSample;
use monsys_core::signal::Signal;
use monsys_core::store::{
    IngestBatch, IngestFinding, IngestOutcome, IngestStore, NonceOutcome, NonceUse, Payload,
    SignatureStatus, StoreError, StoreFuture,
};
use rusqlite::{Connection, params};

use super::SqliteStore;
use super::anomaly::record;
use super::column::{OrStoreError, bytes32, first, rows, text};
use super::nonce::{check_profile, spend, use_nonce};
use super::rings::MetricChange;
use super::signal::put_signal;
use crate::store::payload_text;

impl IngestStore for SqliteStore {
    fn commit<'a>(&'a self, batches: &'a [IngestBatch]) -> StoreFuture<'a, Vec<IngestOutcome>> {
        // Made here, so that nobody waits for it who waits for the one thread that writes.
        let with_columns = |batch: &IngestBatch| (batch.clone(), Columns::of(batch));
        let batches: Vec<_> = batches.iter().map(with_columns).collect();
        self.write_metrics(move |connection, metrics| {
            batches
                .iter()
                .map(|(batch, columns)| commit_one(connection, batch, columns, metrics))
                .collect()
        })
    }

    fn spend_nonce<'a>(&'a self, spent: &'a NonceUse) -> StoreFuture<'a, NonceOutcome> {
        let spent = *spent;
        self.write(move |connection| spend(connection, &spent))
    }

    fn record<'a>(&'a self, finding: &'a IngestFinding) -> StoreFuture<'a, ()> {
        let found = finding.clone();
        self.write(move |connection| {
            let (finding, signal) = (&found.finding, &found.signal);
            let of = (found.tenant, found.agent);
            record(connection, of, found.at, finding, found.occurrences, signal).map(drop)
        })
    }
}

fn commit_one(
    connection: &Connection,
    batch: &IngestBatch,
    columns: &Columns,
    metrics: &mut Vec<MetricChange>,
) -> Result<IngestOutcome, StoreError> {
    let mut positions = positions_of(connection, batch, columns)?;
    if let Some(nonce) = batch.nonce {
        let of = (batch.tenant, batch.agent);
        match use_nonce(connection, of, nonce, batch.received_at)? {
            NonceOutcome::Spent => {}
            NonceOutcome::Used => return Ok(IngestOutcome::NonceUsed),
            NonceOutcome::Full { retry_after_s } => {
                return Ok(IngestOutcome::NoncesFull { retry_after_s });
            }
        }
    }
    let known = if positions.has_seen(batch.position) {
        content_at(connection, batch, columns)?
    } else {
        None
    };
    let fills_gap = match positions.admit(batch.position, batch.content, known) {
        Admission::Duplicate => return Ok(IngestOutcome::Duplicate),
        Admission::Replay => return Ok(IngestOutcome::Replay),
        Admission::GivenUp => return Ok(IngestOutcome::GivenUp),
        Admission::StaleEpoch { min_epoch } => return Ok(IngestOutcome::StaleEpoch { min_epoch }),
        Admission::OutOfRange => return Ok(IngestOutcome::OutOfRange),
        Admission::Fresh { fills_gap } => fills_gap,
    };
    if let Payload::Signals(signals) = &batch.payload
        && let Some(index) = key_too_many(connection, columns, signals)?
    {
        return Ok(IngestOutcome::TooManyKeys { index });
    }
    let is_spooled = fills_gap && batch.is_late();
    keep_content(connection, batch, columns)?;
    update_agent(connection, batch, columns, &positions, fills_gap)?;
    match &batch.payload {
        Payload::Metrics(sample) => {
            insert_metrics(connection, batch, columns, sample, is_spooled)?;
            metrics.push(received(batch, sample, is_spooled));
        }
        Payload::Signals(signals) => {
            for signal in signals {
                put_signal(connection, batch.tenant, signal)?;
            }
        }
        Payload::Endpoint(_) => insert_endpoint(connection, columns)?,
        _ => {
            return Err(StoreError::Refused {
                constraint: "payload_kind".into(),
            });
        }
    }
    if let Some((finding, signal)) = &batch.finding {
        record(
            connection,
            (batch.tenant, batch.agent),
            batch.received_at,
            finding,
            1,
            signal,
        )?;
    }
    Ok(IngestOutcome::Accepted)
}

/// What of a payload stands in columns as text.
#[derive(Default)]
struct Columns {
    tenant: String,
    agent: String,
    received_at: String,
    captured_at: String,
    /// Of metrics.
    sent_at: String,
    disks: Option<String>,
    networks: Option<String>,
    /// Of a snapshot of an endpoint.
    endpoint: [String; 5],
}

impl Columns {
    fn of(batch: &IngestBatch) -> Self {
        let columns = Self {
            tenant: batch.tenant.to_string(),
            agent: batch.agent.to_string(),
            received_at: batch.received_at.to_rfc3339(),
            captured_at: batch.captured_at.to_rfc3339(),
            ..Self::default()
        };
        match &batch.payload {
            Payload::Metrics(sample) => Self {
                sent_at: batch.sent_at.to_rfc3339(),
                disks: sample.disks.as_deref().map(payload_text::disks),
                networks: sample.networks.as_deref().map(payload_text::networks),
                ..columns
            },
            Payload::Endpoint(snapshot) => Self {
                endpoint: payload_text::endpoint(snapshot),
                ..columns
            },
            Payload::Signals(_) | _ => columns,
        }
    }
}

/// Reads the positions of an agent, and makes sure that what the request was checked against still
/// holds: a key pinned since, or an agent revoked since, makes the sender come again.
fn positions_of(
    connection: &Connection,
    batch: &IngestBatch,
    columns: &Columns,
) -> Result<PositionSet, StoreError> {
    let sql = "SELECT positions, public_key IS NOT NULL, revoked_at IS NOT NULL, \
               device_key IS NOT NULL FROM agents \
               WHERE tenant_id = ?1 AND id = ?2 AND id <> tenant_id";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let read = |row: &rusqlite::Row<'_>| {
        let bytes = row
            .get_ref(0)
            .or_store_error()?
            .as_blob()
            .map_err(|_| StoreError::Damaged)?;
        let [is_pinned, is_revoked, is_device] = [flag(row, 1)?, flag(row, 2)?, flag(row, 3)?];
        let can_verify = is_pinned || is_device;
        if is_revoked || (can_verify && batch.signature == SignatureStatus::Unpinned) {
            return Err(StoreError::Outdated);
        }
        check_profile(is_device, batch.nonce)?;
        PositionSet::from_bytes(bytes).map_err(|_| StoreError::Damaged)
    };
    let ids = [&columns.tenant, &columns.agent];
    first(&mut statement, ids, read)?.ok_or(StoreError::NotFound)
}

fn flag(row: &rusqlite::Row<'_>, index: usize) -> Result<bool, StoreError> {
    row.get(index).or_store_error()
}

fn content_at(
    connection: &Connection,
    batch: &IngestBatch,
    columns: &Columns,
) -> Result<Option<ContentHash>, StoreError> {
    let sql = "SELECT content FROM ingest_contents \
               WHERE tenant_id = ?1 AND agent_id = ?2 AND epoch = ?3 AND seq = ?4";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let (epoch, seq) = place(batch);
    let parameters = params![columns.tenant, columns.agent, epoch, seq];
    first(&mut statement, parameters, |row| {
        Ok(bytes32(row, 0)?.map(ContentHash))
    })
    .map(Option::flatten)
}

fn keep_content(
    connection: &Connection,
    batch: &IngestBatch,
    columns: &Columns,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO ingest_contents (tenant_id, agent_id, epoch, seq, content, received_at) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let (epoch, seq) = place(batch);
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let inserted = statement.execute(params![
        columns.tenant,
        columns.agent,
        epoch,
        seq,
        batch.content.0.as_slice(),
        columns.received_at,
    ]);
    inserted.or_store_error().map(drop)
}

/// Positions end at 2^53 − 1, so both parts fit a column.
fn place(batch: &IngestBatch) -> (i64, i64) {
    let part = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    (part(batch.position.epoch()), part(batch.position.seq()))
}

fn update_agent(
    connection: &Connection,
    batch: &IngestBatch,
    columns: &Columns,
    positions: &PositionSet,
    fills_gap: bool,
) -> Result<(), StoreError> {
    let is_verified = batch.signature == SignatureStatus::Verified;
    let version = batch.version.text.as_str();
    let current = (is_verified && !fills_gap).then_some(version);
    let key = batch
        .version
        .triple
        .filter(|_| is_verified)
        .map(|triple| triple.to_sort_key());
    let sql = "UPDATE agents SET positions = ?3, last_seen_at = ?4, \
               last_verified_at = coalesce(?5, last_verified_at), version = coalesce(?6, version), \
               version_highest = iif(?7 > version_highest_key, ?8, version_highest), \
               version_highest_key = max(coalesce(?7, ''), version_highest_key) \
               WHERE tenant_id = ?1 AND id = ?2";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let updated = statement.execute(params![
        columns.tenant,
        columns.agent,
        positions.to_bytes(),
        columns.received_at,
        is_verified.then_some(&columns.received_at),
        current,
        key,
        version,
    ]);
    updated.or_store_error().map(drop)
}

fn insert_metrics(
    connection: &Connection,
    batch: &IngestBatch,
    columns: &Columns,
    sample: &MetricSample,
    is_spooled: bool,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO metrics (tenant_id, agent_id, time, captured_at, sent_at, epoch, seq, \
               is_spooled, is_verified, cpu_usage_percent, cpu_cores, load1, load5, load15, \
               mem_total_bytes, mem_used_bytes, swap_total_bytes, swap_used_bytes, \
               uptime_seconds, disks, networks) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, \
               ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)";
    let (epoch, seq) = place(batch);
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let inserted = statement.execute(params![
        columns.tenant,
        columns.agent,
        columns.received_at,
        columns.captured_at,
        columns.sent_at,
        epoch,
        seq,
        is_spooled,
        batch.signature == SignatureStatus::Verified,
        sample.cpu_usage_percent.get(),
        sample.cpu_cores.map(|n| n.get()),
        sample.load1.map(|n| n.get()),
        sample.load5.map(|n| n.get()),
        sample.load15.map(|n| n.get()),
        sample.mem_total_bytes.map(|n| n.get()),
        sample.mem_used_bytes.map(|n| n.get()),
        sample.swap_total_bytes.map(|n| n.get()),
        sample.swap_used_bytes.map(|n| n.get()),
        sample.uptime_seconds.map(|n| n.get()),
        columns.disks,
        columns.networks,
    ]);
    inserted.or_store_error().map(drop)
}

/// What the rings make of a metric.
const fn received(batch: &IngestBatch, sample: &MetricSample, is_spooled: bool) -> MetricChange {
    MetricChange::Received {
        of: (batch.tenant, batch.agent),
        reading: ClockReading {
            captured_at: batch.captured_at,
            sent_at: batch.sent_at,
            received_at: batch.received_at,
            is_spooled,
        },
        cpu_usage_percent: sample.cpu_usage_percent.get(),
    }
}

fn insert_endpoint(connection: &Connection, columns: &Columns) -> Result<(), StoreError> {
    let sql = "INSERT INTO endpoint_snapshots (tenant_id, agent_id, time, captured_at, processes, \
               listeners, auth, persistence, health) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let [processes, listeners, auth, persistence, health] = &columns.endpoint;
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let inserted = statement.execute(params![
        columns.tenant,
        columns.agent,
        columns.received_at,
        columns.captured_at,
        processes,
        listeners,
        auth,
        persistence,
        health,
    ]);
    inserted.or_store_error().map(drop)
}

/// Finds the first signal beyond the live keys that an agent may have of one source.
fn key_too_many(
    connection: &Connection,
    columns: &Columns,
    signals: &[Signal],
) -> Result<Option<usize>, StoreError> {
    let sql = "SELECT signal_key FROM signal_current WHERE tenant_id = ?1 \
               AND subject_type = 'agent' AND subject_id = ?2 AND source = ?3 \
               AND (expires_at IS NULL OR expires_at > ?4)";
    let mut statement = connection.prepare_cached(sql).or_store_error()?;
    let mut live: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (index, signal) in signals.iter().enumerate() {
        let source = signal.source().as_str();
        if !live.contains_key(source) {
            let found = rows(
                &mut statement,
                params![columns.tenant, columns.agent, source, columns.received_at],
                |row| text(row, 0),
            )?;
            live.insert(source, found.into_iter().collect());
        }
        let Some(keys) = live.get_mut(source) else {
            continue;
        };
        keys.insert(signal.key().as_str().to_owned());
        if keys.len() > limit::LIVE_KEYS_PER_SOURCE_MAX {
            return Ok(Some(index));
        }
    }
    Ok(None)
}
