//! The rows of the payloads themselves.

use monsys_core::endpoint::{EndpointSnapshot, EndpointText};
use monsys_core::id::TenantId;
use monsys_core::json::ObjectText;
use monsys_core::sample::{Count, Disk, Finite, MetricSample, Network};
use monsys_core::signal::Signal;
use monsys_core::store::{IngestBatch, Payload, SignatureStatus, StoreError};

use super::super::fault::Fault;
use super::super::row_values::{Form, RowValues, Value, value};
use super::super::signal::rows_of;
use super::content::position_columns;

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
        value(sample.disks.as_deref().map(disks)),
        value(sample.networks.as_deref().map(networks)),
    ]
}

fn disks(disks: &[Disk]) -> String {
    list(disks.iter().map(|disk| {
        ObjectText::new()
            .text("mount", &disk.mount)
            .integer("total_bytes", disk.total_bytes.get())
            .integer("used_bytes", disk.used_bytes.get())
    }))
}

fn networks(networks: &[Network]) -> String {
    list(networks.iter().map(|network| {
        ObjectText::new()
            .text("interface", &network.interface)
            .integer("rx_bytes", network.rx_bytes.get())
            .integer("tx_bytes", network.tx_bytes.get())
    }))
}

fn endpoint<'a>(batch: &'a IngestBatch, snapshot: &'a EndpointSnapshot) -> [Value<'a>; 9] {
    let processes = snapshot.processes.iter().map(|process| {
        let object = ObjectText::new().text("name", process.name.as_str());
        let object = object.integer("pid", process.pid);
        let object = optional_text(object, "exe", process.exe.as_ref());
        optional_text(object, "username", process.username.as_ref())
    });
    let listeners = snapshot.listeners.iter().map(|listener| {
        let object = ObjectText::new().text("ip", &listener.ip.to_string());
        let object = object.integer("port", listener.port);
        optional_text(object, "process", listener.process.as_ref())
    });
    let auth = snapshot.auth.iter().map(|auth| {
        ObjectText::new()
            .text("service", auth.service.as_str())
            .text("outcome", auth.outcome.as_str())
            .integer("count", auth.count.get())
    });
    let persistence = snapshot.persistence.iter().map(|entry| {
        ObjectText::new()
            .text("kind", entry.kind.as_str())
            .text("path", entry.path.as_str())
    });
    let health = snapshot.health.iter().map(|health| {
        let object = ObjectText::new().text("collector", health.collector.as_str());
        let object = object.text("state", health.state.as_str());
        optional_text(object, "reason", health.reason.as_ref())
    });
    [
        value(batch.tenant),
        value(batch.agent),
        value(batch.received_at),
        value(batch.captured_at),
        value(list(processes)),
        value(list(listeners)),
        value(list(auth)),
        value(list(persistence)),
        value(list(health)),
    ]
}

fn optional_text(object: ObjectText, name: &str, text: Option<&EndpointText>) -> ObjectText {
    match text {
        Some(text) => object.text(name, text.as_str()),
        None => object.null(name),
    }
}

fn list(objects: impl Iterator<Item = ObjectText>) -> String {
    let members: Vec<_> = objects.map(ObjectText::finish).collect();
    format!("[{}]", members.join(", "))
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
