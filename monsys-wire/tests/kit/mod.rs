//! An agent, its hub, and one good request to be spoiled.

#![allow(dead_code, reason = "each test uses another part")]
#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

pub(crate) mod device;

use monsys_core::id::AgentId;
use monsys_wire::envelope::{Admitted, AuthProfile, BodyForm, Credentials, Received, Scratch};
use monsys_wire::header::{AUTHORIZATION, BearerToken, SIGNATURE};
use monsys_wire::sign::Message;
use monsys_wire::{Audience, Reject, SigningKey, canonical};

/// The `data` of the good request.
pub(crate) const METRICS: &str = r#"{"cpu_usage_percent":4.2}"#;

pub(crate) struct Agent {
    pub(crate) key: SigningKey,
    pub(crate) token: BearerToken,
    pub(crate) id: AgentId,
    pub(crate) hub: Audience,
}

/// A request as it would arrive.
pub(crate) struct Request {
    pub(crate) headers: Vec<(&'static str, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Agent {
    pub(crate) fn new() -> Self {
        let secret = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        Self {
            key: SigningKey::parse_secret_hex(secret).unwrap(),
            token: BearerToken::from_random_bytes([9; 32]),
            id: AgentId::from_random_bytes([3; 16]),
            hub: Audience::parse("hub-1").unwrap(),
        }
    }

    /// A good body with other data.
    pub(crate) fn body(&self, kind: &str, data: &str) -> String {
        format!(
            concat!(
                r#"{{"agent_id":"{id}","agent_version":"0.1.0","aud":"hub-1","#,
                r#""captured_at":"2026-11-21T01:15:41.123456Z","data":{data},"epoch":1,"#,
                r#""sent_at":"2026-11-21T01:15:41.3Z","seq":17,"type":"{kind}","v":1}}"#
            ),
            id = self.id,
            data = data,
            kind = kind
        )
    }

    /// The body, signed over its canonical form; over its bytes if it has none.
    pub(crate) fn request(&self, body: &str) -> Request {
        let mut scratch = canonical::Scratch::new();
        let signed = match canonical::canonicalize(body.as_bytes(), &mut scratch) {
            Ok(canonical) => self.key.sign(&Message::ingest(canonical.as_bytes())),
            Err(_) => self.key.sign(&Message::ingest(body.as_bytes())),
        };
        Request {
            headers: vec![
                (AUTHORIZATION, self.token.to_header_value().into_bytes()),
                (SIGNATURE, signed.to_string().into_bytes()),
            ],
            body: body.as_bytes().to_vec(),
        }
    }

    pub(crate) fn good(&self) -> Request {
        self.request(&self.body("metrics", METRICS))
    }

    /// What a hub says that has pinned this agent's key.
    pub(crate) fn send(&self, request: &Request) -> Result<Admitted, Reject> {
        self.send_as(request, |credentials| credentials, BodyForm::Accept)
    }

    pub(crate) fn send_as(
        &self,
        request: &Request,
        change: impl FnOnce(Credentials<'_>) -> Credentials<'_>,
        form: BodyForm,
    ) -> Result<Admitted, Reject> {
        let pinned = self.key.verifying_key();
        let owner = Credentials::new(self.id, AuthProfile::Ed25519).with_pinned_key(&pinned);
        request.admit(&change(owner), &self.hub, form)
    }

    /// What a hub says that knows no key of this agent.
    pub(crate) fn send_unpinned(&self, request: &Request) -> Result<Admitted, Reject> {
        let owner = Credentials::new(self.id, AuthProfile::Ed25519);
        request.admit(&owner, &self.hub, BodyForm::Accept)
    }

    /// The code and pointer with which a body is refused, signed and all.
    pub(crate) fn refusal(&self, body: &str) -> (&'static str, Option<String>) {
        let reject = self.send(&self.request(body)).unwrap_err();
        (reject.code(), reject.pointer().map(str::to_owned))
    }
}

impl Request {
    pub(crate) fn admit(
        &self,
        owner: &Credentials<'_>,
        hub: &Audience,
        form: BodyForm,
    ) -> Result<Admitted, Reject> {
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_slice()));
        Received::new(&self.body, headers)?
            .authenticate(owner, form, &mut Scratch::new())?
            .fresh(hub)?
            .admit()
    }

    /// The same request with one header set, or removed.
    pub(crate) fn with(mut self, name: &'static str, value: Option<&[u8]>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers
            .extend(value.map(|value| (name, value.to_vec())));
        self
    }

    pub(crate) fn header(&self, name: &str) -> &[u8] {
        &self
            .headers
            .iter()
            .find(|(known, _)| *known == name)
            .unwrap()
            .1
    }
}
