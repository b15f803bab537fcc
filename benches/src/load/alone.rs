//! What a payload costs without a hub around it: verifying alone, and storing alone.
//!
//! Both are the very code that the hub runs, on requests of the same kind. Verifying is one thread:
//! headers, the pinned key or the shared one, canonical form, signature or MAC, audience, schema,
//! content hash. Storing is the hub's queue before the hub's store on the hub's runtime: each caller
//! looks the agent up and commits a payload that was verified before the clock started.

use std::sync::Arc;
use std::time::Instant;

use monsys_core::store::{
    AgentStore as _, IngestBatch, IngestOutcome, Payload, TokenDigest, VersionSeen,
};
use monsys_hub::GroupCommit;
use monsys_hub::store::PostgresStore;
use monsys_integrity::version;
use monsys_wire::envelope::hmac::{DeviceCredentials, NonceVerdict, Received as ReceivedOfDevice};
use monsys_wire::envelope::{AuthProfile, BodyForm, Credentials, Scratch};
use monsys_wire::header::DeviceHeaders;
use monsys_wire::{
    Admitted, Audience, DeviceKey, Received, Reject, RequestHeaders, VerifyingKey, schema,
};
use tokio::runtime::Runtime;

use super::crowd::{Crowd, Member, Requests, Secret};
use super::scene::{micros_each, micros_here};
use super::usage;
use crate::store::server::now;

/// A verified payload, and which member sent it.
pub(super) type Verified = (IngestBatch, usize);

/// Microseconds of CPU to verify one of these requests, and what they hold.
pub(super) fn verify(crowd: &Crowd, requests: &Requests) -> (f64, Vec<Verified>) {
    let audience = Audience::parse(crowd.audience()).expect("an audience");
    let keys: Vec<_> = crowd.members().iter().map(key_of).collect();
    let (mut scratch, mut verified) = (Scratch::new(), Vec::with_capacity(requests.n()));
    let parted: Vec<_> = (0..requests.n())
        .map(|index| {
            let (head, body) = requests.head_and_body(index);
            (pairs(head), body)
        })
        .collect();
    let micros = micros_here(requests.n(), || {
        for (index, (headers, body)) in parted.iter().enumerate() {
            let member = requests.place(index).member;
            let of = &crowd.members()[member];
            let request = (headers.as_slice(), *body);
            let admitted = admit(of, &keys[member], request, &audience, &mut scratch);
            let batch = batch(crowd, of, admitted.expect("a payload of ours"));
            verified.push((batch, member));
        }
    });
    (micros, verified)
}

/// What storing alone did.
pub(super) struct StoredAlone {
    /// Microseconds of CPU a payload, of this process.
    pub(super) micros: f64,
    /// Payloads a second.
    pub(super) rate: f64,
}

/// Looks up and commits payloads by so many callers, one after another each.
pub(super) fn store(
    wait: &Runtime,
    store: &PostgresStore,
    crowd: &Crowd,
    payloads: Vec<Verified>,
    n_callers: usize,
) -> StoredAlone {
    let n = payloads.len();
    let group = GroupCommit::new(Arc::new(store.clone()));
    let mut shares: Vec<Vec<_>> = (0..n_callers).map(|_| Vec::new()).collect();
    for (index, (payload, member)) in payloads.into_iter().enumerate() {
        let claim = Claim::of(&crowd.members()[member], &crowd.org);
        shares[index % n_callers].push((claim, payload));
    }
    let (cpu, start) = (usage::cpu_of_this_process(), Instant::now());
    let tasks: Vec<_> = shares
        .into_iter()
        .map(|share| {
            let (store, group) = (store.clone(), group.clone());
            wait.spawn(async move {
                for (claim, mut payload) in share {
                    claim.look_up(&store).await;
                    payload.received_at = now();
                    let outcome = group.commit(payload).await;
                    assert_eq!(outcome, Ok(IngestOutcome::Accepted));
                }
            })
        })
        .collect();
    for task in tasks {
        wait.block_on(task).expect("a caller that ended");
    }
    let elapsed = start.elapsed();
    StoredAlone {
        micros: micros_each(usage::cpu_of_this_process() - cpu, n),
        rate: n as f64 / elapsed.as_secs_f64(),
    }
}

/// What a request says of its sender, by which the store finds the agent.
enum Claim {
    Token(TokenDigest),
    Device(String, String),
}

impl Claim {
    fn of(member: &Member, org: &str) -> Self {
        match &member.secret {
            Secret::Ed25519(_, token) => Self::Token(TokenDigest(token.digest())),
            Secret::Hmac(identity, _) => Self::Device(org.to_owned(), identity.device().to_owned()),
        }
    }

    async fn look_up(&self, store: &PostgresStore) {
        let is_known = match self {
            Self::Token(digest) => store
                .agent_by_token(digest)
                .await
                .map(|found| found.is_some()),
            Self::Device(org, device) => {
                let found = store.agent_by_device(org, device).await;
                found.map(|found| found.is_some())
            }
        };
        assert_eq!(is_known, Ok(true));
    }
}

/// The bytes that the store keeps of an agent's key.
fn key_of(member: &Member) -> [u8; 32] {
    match &member.secret {
        Secret::Ed25519(key, _) => key.verifying_key().to_bytes(),
        Secret::Hmac(_, key) => **key.expose_bytes(),
    }
}

fn admit(
    member: &Member,
    key: &[u8; 32],
    (headers, body): (&[(&str, &[u8])], &[u8]),
    audience: &Audience,
    scratch: &mut Scratch,
) -> Result<Admitted, Reject> {
    let headers = headers.iter().copied();
    match &member.secret {
        Secret::Ed25519(..) => {
            let key = VerifyingKey::from_pinned_bytes(key).expect("a key of ours");
            let owner = Credentials::new(member.id, AuthProfile::Ed25519).with_pinned_key(&key);
            Received::with_headers(body, RequestHeaders::parse(headers)?)?
                .authenticate(&owner, BodyForm::Accept, scratch)?
                .fresh(audience)?
                .admit()
        }
        Secret::Hmac(..) => {
            let key = DeviceKey::from_secret_bytes(*key);
            let owner = DeviceCredentials::new(member.id, AuthProfile::Hmac, &key);
            ReceivedOfDevice::with_headers(body, DeviceHeaders::parse(headers)?)?
                .authenticate(Some(&owner), BodyForm::Accept, scratch)?
                .timely(now())?
                .fresh(NonceVerdict::AtCommit, audience)?
                .admit()
        }
    }
}

/// As the hub makes it of an admitted payload.
fn batch(crowd: &Crowd, member: &Member, admitted: Admitted) -> IngestBatch {
    let schema::Payload::Metrics(sample) = admitted.payload else {
        panic!("payloads of ours hold metrics");
    };
    let triple = version::triple(admitted.agent_version.as_str());
    IngestBatch {
        tenant: crowd.tenant,
        agent: member.id,
        received_at: now(),
        captured_at: admitted.captured_at,
        sent_at: admitted.sent_at,
        nonce: admitted.nonce,
        position: admitted.position,
        content: admitted.content_hash,
        signature: admitted.signature,
        version: VersionSeen {
            text: admitted.agent_version,
            triple,
        },
        payload: Payload::Metrics(sample),
        finding: None,
    }
}

/// The headers of a head, as an HTTP library hands them over.
fn pairs(head: &str) -> Vec<(&str, &[u8])> {
    let lines = head.split("\r\n").skip(1);
    let parted = lines.filter_map(|line| line.split_once(": "));
    parted
        .map(|(name, value)| (name, value.as_bytes()))
        .collect()
}
