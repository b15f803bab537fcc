//! Signals in PostgreSQL.

use monsys_core::id::TenantId;
use monsys_core::severity::Severity;
use monsys_core::signal::Signal;

use super::fault::Fault;
use super::partition::{Slice, Table};
use super::row_values::{RowValues, value};
use super::transaction::Tx;

/// Writes signals of one tenant.
pub(super) async fn insert_signals(
    tx: &Tx,
    tenant: TenantId,
    signals: &[&Signal],
) -> Result<(), Fault> {
    let mut values = Vec::with_capacity(signals.len() * 9);
    for signal in signals {
        values.extend([
            value(tenant),
            value(signal.source().as_str()),
            value(signal.subject_type().as_str()),
            value(signal.subject_id().as_str()),
            value(signal.key().as_str()),
            value(signal.value()),
            value(signal.severity().map(Severity::as_str)),
            value(signal.observed_at()),
            value(signal.ttl_seconds()),
        ]);
    }
    let rows = RowValues {
        head: "INSERT INTO signal_streams (tenant_id, source, subject_type, subject_id, \
               signal_key, signal_value, severity, observed_at, ttl_seconds)",
        columns: &[
            "uuid",
            "text",
            "text",
            "text",
            "text",
            "text::jsonb",
            "text",
            "timestamptz",
            "bigint",
        ],
        tail: "",
        values,
    };
    rows.write(tx).await
}

/// Where a signal goes.
pub(super) fn slice_of(signal: &Signal) -> Slice {
    Slice {
        table: Table::Signals,
        at: signal.observed_at(),
    }
}
