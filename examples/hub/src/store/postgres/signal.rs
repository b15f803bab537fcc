//! Signals as they are written in PostgreSQL: appended to the history, and put in their places.

use std::collections::BTreeMap;

use monsys_core::id::TenantId;
use monsys_core::severity::Severity;
use monsys_core::signal::Signal;
use monsys_core::store::SignalSlot;
use tokio_postgres::Row;

use super::column::DAMAGED;
use super::fault::Fault;
use super::partition::{Slice, Table};
use super::row_values::{Form, RowValues, Value, value};
use super::transaction::Tx;

/// Writes signals of one tenant, in the order of arrival: appends them to the history, and lets
/// each take its slot unless a later one has it.
pub(super) async fn store_signals(
    tx: &Tx,
    tenant: TenantId,
    signals: &[&Signal],
) -> Result<(), Fault> {
    let arrivals = arrivals(tx, signals.len()).await?;
    tx.write(&rows_of(tenant, signals, arrivals)).await
}

/// The same as the last that a transaction does.
pub(super) async fn store_signals_and_commit(
    tx: &Tx,
    tenant: TenantId,
    signals: &[&Signal],
) -> Result<(), Fault> {
    let arrivals = arrivals(tx, signals.len()).await?;
    let rows = rows_of(tenant, signals, arrivals);
    tx.write_and_commit(&rows).await
}

/// What signals leave in the history and in the slots, where each has its number. Every writer
/// comes through here.
pub(super) fn rows_of<'a>(
    tenant: TenantId,
    signals: &[&'a Signal],
    arrivals: Vec<i64>,
) -> [RowValues<'a>; 2] {
    let mut history = Vec::with_capacity(signals.len() * HISTORY_TYPES.len());
    // One statement writes a row once; in the order of the key no two of them wait for each other.
    let mut latest: BTreeMap<SignalSlot, (&Signal, i64)> = BTreeMap::new();
    for (&signal, arrival) in signals.iter().zip(arrivals) {
        history.extend(columns(tenant, signal));
        history.push(value(arrival));
        let held = latest
            .entry(SignalSlot::of(signal))
            .or_insert((signal, arrival));
        if (signal.observed_at(), arrival) >= (held.0.observed_at(), held.1) {
            *held = (signal, arrival);
        }
    }
    let mut current = Vec::with_capacity(latest.len() * CURRENT_TYPES.len());
    for (signal, arrival) in latest.into_values() {
        current.extend(columns(tenant, signal));
        current.push(value(arrival));
        current.push(value(signal.expires_at()));
    }
    [
        RowValues {
            form: &HISTORY,
            values: history,
        },
        RowValues {
            form: &CURRENT,
            values: current,
        },
    ]
}

/// Numbers for so many signals, rising. They are taken before any place is locked, so that history
/// and places agree on which of two transactions came first.
async fn arrivals(tx: &Tx, n_signals: usize) -> Result<Vec<i64>, Fault> {
    let n_signals = i64::try_from(n_signals).map_err(|_| DAMAGED)?;
    arrivals_of(&tx.rows(ARRIVALS, &[&n_signals]).await?)
}

/// Reads the rows of [`ARRIVALS`].
pub(super) fn arrivals_of(rows: &[Row]) -> Result<Vec<i64>, Fault> {
    let numbers = rows.iter().map(|row| Ok(row.try_get(0)?));
    let mut numbers = numbers.collect::<Result<Vec<i64>, Fault>>()?;
    numbers.sort_unstable();
    Ok(numbers)
}

fn columns(tenant: TenantId, signal: &Signal) -> [Value<'_>; 9] {
    [
        value(tenant),
        value(signal.source().as_str()),
        value(signal.subject_type().as_str()),
        value(signal.subject_id().as_str()),
        value(signal.key().as_str()),
        value(signal.value()),
        value(signal.severity().map(Severity::as_str)),
        value(signal.observed_at()),
        value(signal.ttl_seconds()),
    ]
}

/// Where a signal goes.
pub(super) fn slice_of(signal: &Signal) -> Slice {
    Slice {
        table: Table::Signals,
        at: signal.observed_at(),
    }
}

/// Numbers for so many signals.
pub(super) const ARRIVALS: &str =
    "SELECT nextval('signal_arrivals') FROM generate_series(1, $1::bigint)";

static HISTORY: Form = Form::new(
    "INSERT INTO signal_streams (tenant_id, source, subject_type, subject_id, signal_key, \
     signal_value, severity, observed_at, ttl_seconds, arrival)",
    &HISTORY_TYPES,
    "",
);

static CURRENT: Form = Form::new(
    "INSERT INTO signal_current AS c (tenant_id, source, subject_type, subject_id, \
     signal_key, signal_value, severity, observed_at, ttl_seconds, arrival, expires_at)",
    &CURRENT_TYPES,
    " ON CONFLICT (tenant_id, subject_type, subject_id, source, signal_key) DO UPDATE \
     SET signal_value = excluded.signal_value, severity = excluded.severity, \
     observed_at = excluded.observed_at, ttl_seconds = excluded.ttl_seconds, \
     arrival = excluded.arrival, expires_at = excluded.expires_at \
     WHERE (excluded.observed_at, excluded.arrival) >= (c.observed_at, c.arrival)",
);

const HISTORY_TYPES: [&str; 10] = [
    "uuid",
    "text",
    "text",
    "text",
    "text",
    "text::jsonb",
    "text",
    "timestamptz",
    "bigint",
    "bigint",
];

const CURRENT_TYPES: [&str; 11] = [
    "uuid",
    "text",
    "text",
    "text",
    "text",
    "text::jsonb",
    "text",
    "timestamptz",
    "bigint",
    "bigint",
    "timestamptz",
];
