//! An agent in the hands of a test: it composes and signs as the real one does, or as it should not.

use std::time::Duration;

use monsys_core::id::AgentId;
use monsys_core::name::AgentVersion;
use monsys_core::position::Position;
use monsys_core::sample::{CpuPercent, MetricSample};
use monsys_wire::compose::{Outbound, OutgoingBody, OutgoingPayload};
use monsys_wire::header::{AUTHORIZATION, CONTENT_TYPE, JSON_TYPE, SIGNATURE};
use monsys_wire::pin::PinRequest;
use monsys_wire::sign::Message;
use monsys_wire::{Audience, SigningKey, canonical};
use serde_json::Value;

use super::raw::{Answer, request};
use super::{Hub, now};

pub(crate) const INGEST: &str = "/api/v1/ingest";

/// An enrolled agent.
pub(crate) struct TestAgent {
    pub(crate) id: AgentId,
    pub(crate) name: String,
    pub(crate) token: String,
    pub(crate) audience: Audience,
    pub(crate) key: SigningKey,
    http: ureq::Agent,
}

impl TestAgent {
    /// Takes what `agent enrol --json` printed.
    pub(crate) fn new(enrolled: &Value, name: &str, key: SigningKey) -> Self {
        Self {
            id: AgentId::parse(enrolled["agent_id"].as_str().unwrap()).unwrap(),
            name: name.to_owned(),
            token: enrolled["token"].as_str().unwrap().to_owned(),
            audience: Audience::parse(enrolled["aud"].as_str().unwrap()).unwrap(),
            key,
            http: client(),
        }
    }

    /// Composes a sample of this moment.
    pub(crate) fn metrics(&self, position: (i64, i64), cpu: f64) -> OutgoingBody {
        self.metrics_of(position, cpu, "0.1.0")
    }

    pub(crate) fn metrics_of(
        &self,
        (epoch, seq): (i64, i64),
        cpu: f64,
        version: &str,
    ) -> OutgoingBody {
        let sample = MetricSample::of_cpu(CpuPercent::new(cpu).unwrap());
        self.compose((epoch, seq), version, Outbound::Metrics(&sample))
    }

    pub(crate) fn compose(
        &self,
        (epoch, seq): (i64, i64),
        version: &str,
        data: Outbound<'_>,
    ) -> OutgoingBody {
        let now = now();
        OutgoingBody::compose(&OutgoingPayload {
            audience: &self.audience,
            agent_id: self.id,
            agent_version: &AgentVersion::parse(version).unwrap(),
            position: Position::new(epoch, seq).unwrap(),
            captured_at: now,
            sent_at: now,
            data,
        })
        .unwrap()
    }

    /// Signs a body over its canonical form; one that has none is signed as it is.
    pub(crate) fn sign(&self, body: &[u8]) -> String {
        let mut scratch = canonical::Scratch::new();
        let message = match canonical::canonicalize(body, &mut scratch) {
            Ok(canonical) => Message::ingest(canonical.as_bytes()),
            Err(_) => Message::ingest(body),
        };
        self.key.sign(&message).to_string()
    }

    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    /// Sends a body, signed.
    pub(crate) fn send(&self, hub: &Hub, body: &[u8]) -> Answer {
        self.try_send(&hub.url(""), body).unwrap()
    }

    /// Sends a body, signed, to a hub that may not be there.
    pub(crate) fn try_send(&self, url: &str, body: &[u8]) -> Result<Answer, ureq::Error> {
        self.try_send_with(url, body, Some(&self.sign(body)))
    }

    /// Sends a body with another signature than its own, or none.
    pub(crate) fn send_with(&self, hub: &Hub, body: &[u8], signature: Option<&str>) -> Answer {
        self.try_send_with(&hub.url(""), body, signature).unwrap()
    }

    pub(crate) fn try_send_with(
        &self,
        url: &str,
        body: &[u8],
        signature: Option<&str>,
    ) -> Result<Answer, ureq::Error> {
        let mut request = self
            .http
            .post(format!("{url}{INGEST}"))
            .header(AUTHORIZATION, self.bearer())
            .header(CONTENT_TYPE, JSON_TYPE);
        if let Some(signature) = signature {
            request = request.header(SIGNATURE, signature);
        }
        read(request.send(body)?)
    }

    /// Sends an honest sample, which must be accepted.
    pub(crate) fn report(&self, hub: &Hub, position: (i64, i64), cpu: f64, version: &str) {
        self.send(hub, self.metrics_of(position, cpu, version).as_bytes())
            .accepted();
    }

    /// Asks the hub to pin the key.
    pub(crate) fn pin(&self, hub: &Hub) -> Answer {
        let body = PinRequest::compose(&self.key, &self.audience, self.id);
        let request = self
            .http
            .post(hub.url("/api/v1/agents/pin"))
            .header(AUTHORIZATION, self.bearer())
            .header(CONTENT_TYPE, JSON_TYPE);
        read(request.send(body).unwrap()).unwrap()
    }

    /// A signed request as bytes, to be sent by hand.
    pub(crate) fn raw(&self, body: &[u8]) -> Vec<u8> {
        let (bearer, signature) = (self.bearer(), self.sign(body));
        let headers = [
            (AUTHORIZATION, bearer.as_str()),
            (SIGNATURE, &signature),
            (CONTENT_TYPE, JSON_TYPE),
        ];
        request("POST", INGEST, &headers, body)
    }
}

/// A client that takes every answer as it is and goes straight to the hub.
pub(crate) fn client() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into()
}

/// Takes an answer out of the client's hands.
pub(crate) fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<Answer, ureq::Error> {
    let body = response.body_mut().read_to_string()?;
    let text = |value: &ureq::http::HeaderValue| value.to_str().unwrap().to_owned();
    let headers = response.headers().iter();
    let headers = headers
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect();
    Ok(Answer {
        status: response.status().as_u16(),
        headers,
        body,
    })
}
