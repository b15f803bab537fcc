//! A device of the hmac profile, its hub, and one good request to be spoiled.

use monsys_core::id::AgentId;
use monsys_core::time::{Span, Timestamp};
use monsys_wire::device::Nonce;
use monsys_wire::envelope::hmac::{DeviceCredentials, NonceVerdict, Received};
use monsys_wire::envelope::{Admitted, AuthProfile, BodyForm, Scratch};
use monsys_wire::header::{DEVICE, MAC, NONCE, ORG, SignedHeaders, TIMESTAMP};
use monsys_wire::sign::Claim;
use monsys_wire::{Audience, DeviceIdentity, DeviceKey, Reject, canonical};

use super::{METRICS, Request};

pub(crate) struct Device {
    pub(crate) identity: DeviceIdentity,
    pub(crate) key: DeviceKey,
    pub(crate) nonce: Nonce,
    pub(crate) id: AgentId,
    pub(crate) hub: Audience,
    pub(crate) now: Timestamp,
}

/// What the hub finds out on its own.
#[derive(Clone, Copy)]
pub(crate) struct Hub {
    pub(crate) is_known: bool,
    pub(crate) is_revoked: bool,
    pub(crate) profile: AuthProfile,
    pub(crate) nonce: NonceVerdict,
    pub(crate) form: BodyForm,
    /// How far its clock is ahead of the device.
    pub(crate) ahead: Span,
}

/// A hub to which the device is in good standing.
pub(crate) const GOOD: Hub = Hub {
    is_known: true,
    is_revoked: false,
    profile: AuthProfile::Hmac,
    nonce: NonceVerdict::Unused,
    form: BodyForm::Accept,
    ahead: Span::from_secs(0),
};

impl Device {
    pub(crate) fn new() -> Self {
        Self {
            identity: DeviceIdentity::parse("acme", "web-1").unwrap(),
            key: DeviceKey::from_secret_bytes([0x2a; 32]),
            nonce: Nonce::from_random_bytes([5; 16]),
            id: AgentId::from_random_bytes([3; 16]),
            hub: Audience::parse("hub-1").unwrap(),
            now: Timestamp::parse_rfc3339("2026-11-21T01:15:41Z").unwrap(),
        }
    }

    pub(crate) fn claim(&self) -> Claim<'_> {
        Claim::new(&self.identity, &self.nonce, self.now)
    }

    /// A good body with other data.
    pub(crate) fn body(&self, data: &str) -> String {
        format!(
            concat!(
                r#"{{"agent_id":"web-1","agent_version":"0.1.0","aud":"hub-1","#,
                r#""captured_at":"2026-11-21T01:15:41Z","data":{data},"epoch":1,"#,
                r#""sent_at":"2026-11-21T01:15:41Z","seq":17,"type":"metrics","v":1}}"#
            ),
            data = data
        )
    }

    /// The body with the MAC of its canonical form; of its bytes if it has none.
    pub(crate) fn request(&self, body: &str) -> Request {
        let mut scratch = canonical::Scratch::new();
        let signed = canonical::canonicalize(body.as_bytes(), &mut scratch)
            .map_or(body.as_bytes(), |canonical| canonical.as_bytes());
        let headers = SignedHeaders::new(&self.claim(), &self.key.mac(&self.claim(), signed));
        Request {
            headers: headers
                .iter()
                .map(|(name, value)| (name, value.as_bytes().to_vec()))
                .collect(),
            body: body.as_bytes().to_vec(),
        }
    }

    pub(crate) fn good(&self) -> Request {
        self.request(&self.body(METRICS))
    }

    pub(crate) fn send(&self, request: &Request) -> Result<Admitted, Reject> {
        self.send_to(request, GOOD)
    }

    pub(crate) fn send_to(&self, request: &Request, hub: Hub) -> Result<Admitted, Reject> {
        let headers = request
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_slice()));
        let mut device = DeviceCredentials::new(self.id, hub.profile, &self.key);
        if hub.is_revoked {
            device = device.revoked();
        }
        Received::new(&request.body, headers)?
            .authenticate(
                hub.is_known.then_some(&device),
                hub.form,
                &mut Scratch::new(),
            )?
            .timely(self.now.saturating_add(hub.ahead))?
            .fresh(hub.nonce, &self.hub)?
            .admit()
    }
}

/// The five headers, in the order of the contract.
pub(crate) const HEADERS: [&str; 5] = [ORG, DEVICE, TIMESTAMP, NONCE, MAC];
