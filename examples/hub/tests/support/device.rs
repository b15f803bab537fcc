//! A device of the hmac profile in the hands of a test: it signs as it should, or as it should not.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use monsys_core::name::AgentVersion;
use monsys_core::position::Position;
use monsys_core::sample::{CpuPercent, MetricSample};
use monsys_core::time::{Span, Timestamp};
use monsys_wire::compose::{Outbound, OutgoingBody, OutgoingPayload};
use monsys_wire::device::Nonce;
use monsys_wire::header::{
    CONTENT_TYPE, DEVICE, JSON_TYPE, MAC, NONCE, ORG, SignedHeaders, TIMESTAMP,
};
use monsys_wire::sign::Claim;
use monsys_wire::{Audience, DeviceIdentity, DeviceKey, canonical};
use serde_json::Value;

use super::raw::{Answer, Wire};
use super::refusal::assert_refusal;
use super::store::{Stored, number};
use super::{DataDir, Hub, now};

pub(crate) const INGEST: &str = "/ingest";

/// What every request of a device carries.
pub(crate) const HEADERS: [&str; 5] = [ORG, DEVICE, TIMESTAMP, NONCE, MAC];

/// A hub and one of its devices.
pub(crate) struct DeviceScene {
    pub(crate) data: DataDir,
    pub(crate) hub: Hub,
    pub(crate) device: TestDevice,
}

impl DeviceScene {
    pub(crate) fn new() -> Self {
        let data = DataDir::new();
        data.add_org("acme");
        let device = data.enrol_device("acme", "web-1");
        let hub = Hub::start(&data);
        Self { data, hub, device }
    }

    /// An honest request at a position, with a new nonce.
    pub(crate) fn good(&self, seq: i64) -> DeviceRequest {
        let body = self.device.metrics((1, seq), 4.2);
        self.device.request(&body, &self.device.stamp())
    }

    /// Sends what is to be refused, and asserts that it left nothing behind but its nonce.
    pub(crate) fn refused(&self, request: &DeviceRequest, status: u16, code: &str) -> Answer {
        let before = Stored::of(&self.data);
        let answer = request.send(&self.hub);
        assert_refusal(&answer, status, code);
        assert_eq!(Stored::of(&self.data), before, "{answer:?}");
        answer
    }

    pub(crate) fn n_anomalies(&self) -> i64 {
        number(&self.data, "SELECT count(*) FROM integrity_anomalies", [])
    }
}

/// An enrolled device.
pub(crate) struct TestDevice {
    pub(crate) identity: DeviceIdentity,
    pub(crate) key: DeviceKey,
    pub(crate) audience: Audience,
    n_nonces: AtomicU64,
}

/// When and with which nonce a request is signed.
pub(crate) struct Stamp {
    pub(crate) at: Timestamp,
    pub(crate) nonce: Nonce,
}

/// A signed request, to be sent as it is or spoiled.
#[derive(Clone)]
pub(crate) struct DeviceRequest {
    pub(crate) path: &'static str,
    pub(crate) headers: Vec<(&'static str, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl DataDir {
    /// Enrols a device.
    pub(crate) fn enrol_device(&self, org: &str, name: &str) -> TestDevice {
        let arguments = ["agent", "enrol", "--profile", "hmac", "--org", org];
        TestDevice::new(&self.json(&[&arguments[..], &["--name", name]].concat()))
    }
}

impl TestDevice {
    /// Takes what `agent enrol --profile hmac --json` printed.
    pub(crate) fn new(enrolled: &Value) -> Self {
        let text = |member: &str| enrolled[member].as_str().unwrap();
        Self {
            identity: DeviceIdentity::parse(text("org"), text("device")).unwrap(),
            key: DeviceKey::parse_secret_hex(text("key")).unwrap(),
            audience: Audience::parse(text("aud")).unwrap(),
            n_nonces: AtomicU64::new(0),
        }
    }

    /// The same device with another name, organisation or key.
    pub(crate) fn other(&self, org: &str, device: &str, key: DeviceKey) -> Self {
        Self {
            identity: DeviceIdentity::parse(org, device).unwrap(),
            key,
            audience: self.audience.clone(),
            n_nonces: AtomicU64::new(1_000_000),
        }
    }

    /// A nonce that this device has not used.
    pub(crate) fn nonce(&self) -> Nonce {
        let n = self.n_nonces.fetch_add(1, Ordering::Relaxed);
        Nonce::parse(&format!("nonce-{n:020}")).unwrap()
    }

    /// This moment and a new nonce.
    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp_ahead(0)
    }

    /// So many seconds from this moment, and a new nonce.
    pub(crate) fn stamp_ahead(&self, seconds: i64) -> Stamp {
        Stamp {
            at: now().saturating_add(Span::from_secs(seconds)),
            nonce: self.nonce(),
        }
    }

    /// Composes a sample of this moment.
    pub(crate) fn metrics(&self, (epoch, seq): (i64, i64), cpu: f64) -> String {
        let (sample, now) = (MetricSample::of_cpu(CpuPercent::new(cpu).unwrap()), now());
        let body = OutgoingBody::compose(&OutgoingPayload {
            audience: &self.audience,
            agent_id: &self.identity,
            agent_version: &AgentVersion::parse("0.1.0").unwrap(),
            position: Position::new(epoch, seq).unwrap(),
            captured_at: now,
            sent_at: now,
            data: Outbound::Metrics(&sample),
        });
        body.unwrap().as_str().to_owned()
    }

    /// Signs a body over its canonical form; one that has none is signed as it is.
    pub(crate) fn request(&self, body: &str, stamp: &Stamp) -> DeviceRequest {
        let mut scratch = canonical::Scratch::new();
        let signed = canonical::canonicalize(body.as_bytes(), &mut scratch)
            .map_or(body.as_bytes(), |canonical| canonical.as_bytes());
        let claim = Claim::new(&self.identity, &stamp.nonce, stamp.at);
        let headers = SignedHeaders::new(&claim, &self.key.mac(&claim, signed));
        let headers = headers
            .iter()
            .map(|(name, value)| (name, value.as_bytes().to_vec()));
        let content_type = (CONTENT_TYPE, JSON_TYPE.as_bytes().to_vec());
        DeviceRequest {
            path: INGEST,
            headers: headers.chain([content_type]).collect(),
            body: body.as_bytes().to_vec(),
        }
    }

    /// Signs a body at this moment with a new nonce, and sends it.
    pub(crate) fn send(&self, hub: &Hub, body: &str) -> Answer {
        self.request(body, &self.stamp()).send(hub)
    }

    /// Sends an honest sample, which must be accepted.
    pub(crate) fn report(&self, hub: &Hub, position: (i64, i64), cpu: f64) {
        self.send(hub, &self.metrics(position, cpu)).accepted();
    }
}

impl DeviceRequest {
    /// The request with another value of a header, or without it.
    pub(crate) fn with(mut self, name: &'static str, value: Option<&[u8]>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers
            .extend(value.map(|value| (name, value.to_vec())));
        self
    }

    pub(crate) fn header(&self, name: &str) -> &[u8] {
        let found = self.headers.iter().find(|(known, _)| *known == name);
        &found.unwrap().1
    }

    pub(crate) fn send(&self, hub: &Hub) -> Answer {
        self.send_to(hub.addr)
    }

    pub(crate) fn send_to(&self, addr: SocketAddr) -> Answer {
        Wire::open(addr).send(&self.raw()).answer().answer()
    }

    /// The request as bytes, to be sent by hand.
    pub(crate) fn raw(&self) -> Vec<u8> {
        let mut bytes = format!("POST {} HTTP/1.1\r\nHost: hub\r\n", self.path).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        let length = self.body.len();
        let end = format!("Connection: close\r\nContent-Length: {length}\r\n\r\n");
        bytes.extend(end.as_bytes());
        bytes.extend(&self.body);
        bytes
    }
}
