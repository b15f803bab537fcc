//! The rows of the payloads themselves.

use monsys_core::endpoint::EndpointSnapshot;
use monsys_core::id::TenantId;
use monsys_core::sample::{Count, Finite, MetricSample};
use monsys_core::signal::Signal;
use monsys_core::store::{IngestBatch, Payload, SignatureStatus, StoreError};

use super::super::fault::Fault;
use super::super::row_values::{Form, RowValues, Value, value};
use super::super::signal::rows_of;
use super::content::position_columns;
use crate::store::payload_text;

/// What accepted payloads of one tenant leave.
#[derive(Default)]
pub(super) struct PayloadRows<'a> {
    metrics: Vec<Value<'a>>,
    snapshots: Vec<Value<'a>>,
    signals: Vec<&'a Signal>,
}

impl<'a> PayloadRows<'a> {
    pub(super) fn add(&mut self, batch: &'a IngestBatch, is_spooled: bool) -> Result<(), Fault> {
        match &batch.payload {
            Payload::Metrics(sample) => self.metrics.extend(metrics(batch, sample, is_spooled)),
            Payload::Signals(signals) => self.signals.extend(signals),
            Payload::Endpoint(snapshot) => self.snapshots.extend(endpoint(batch, snapshot)),
            _ => {
                return Err(Fault::Answer(StoreError::Refused {
                    constraint: "payload_kind".into(),
                }));
            }
        }
        Ok(())
    }

    /// The rows, where each signal has its number.
    pub(super) fn into_rows(self, tenant: TenantId, arrivals: Vec<i64>) -> Vec<RowValues<'a>> {
        let mut rows = vec![
            RowValues {
                form: &METRICS,
                values: self.metrics,
            },
            RowValues {
                form: &SNAPSHOTS,
                values: self.snapshots,
            },
        ];
        rows.extend(rows_of(tenant, &self.signals, arrivals));
        rows
    }
}

fn metrics<'a>(
    batch: &'a IngestBatch,
    sample: &'a MetricSample,
    is_spooled: bool,
) -> [Value<'a>; 21] {
    let (epoch, seq) = position_columns(batch);
    let count = |count: Option<Count>| value(count.map(Count::get));
    let number = |number: Option<Finite>| value(number.map(Finite::get));
    [
        value(batch.tenant),
        value(batch.agent),
        value(batch.received_at),
        value(batch.captured_at),
        value(batch.sent_at),
        value(epoch),
        value(seq),
        value(is_spooled),
        value(batch.signature == SignatureStatus::Verified),
        value(sample.cpu_usage_percent.get()),
        value(sample.cpu_cores.map(|cores| cores.get())),
        number(sample.load1),
        number(sample.load5),
        number(sample.load15),
        count(sample.mem_total_bytes),
        count(sample.mem_used_bytes),
        count(sample.swap_total_bytes),
        count(sample.swap_used_bytes),
        number(sample.uptime_seconds),
        value(sample.disks.as_deref().map(payload_text::disks)),
        value(sample.networks.as_deref().map(payload_text::networks)),
    ]
}

fn endpoint<'a>(batch: &'a IngestBatch, snapshot: &'a EndpointSnapshot) -> [Value<'a>; 9] {
    let [processes, listeners, auth, persistence, health] = payload_text::endpoint(snapshot);
    [
        value(batch.tenant),
        value(batch.agent),
        value(batch.received_at),
        value(batch.captured_at),
        value(processes),
        value(listeners),
        value(auth),
        value(persistence),
        value(health),
    ]
}

/// JSON goes in as text and stays the text that was written.
static METRICS: Form = Form::new(
    "INSERT INTO metrics (tenant_id, agent_id, time, captured_at, sent_at, epoch, seq, \
     is_spooled, is_verified, cpu_usage_percent, cpu_cores, load1, load5, load15, \
     mem_total_bytes, mem_used_bytes, swap_total_bytes, swap_used_bytes, uptime_seconds, disks, \
     networks)",
    &[
        "uuid",
        "uuid",
        "timestamptz",
        "timestamptz",
        "timestamptz",
        "bigint",
        "bigint",
        "boolean",
        "boolean",
        "double precision",
        "bigint",
        "double precision",
        "double precision",
        "double precision",
        "bigint",
        "bigint",
        "bigint",
        "bigint",
        "double precision",
        "text::json",
        "text::json",
    ],
    "",
);

static SNAPSHOTS: Form = Form::new(
    "INSERT INTO endpoint_snapshots (tenant_id, agent_id, time, captured_at, processes, \
     listeners, auth, persistence, health)",
    &[
        "uuid",
        "uuid",
        "timestamptz",
        "timestamptz",
        "text::json",
        "text::json",
        "text::json",
        "text::json",
        "text::json",
    ],
    "",
);
