//! Agents with keys of their own, and what they send: signed beforehand, kept in memory as the very
//! bytes of the requests.

use std::ops::Range;
use std::sync::Mutex;

use monsys_core::id::{AgentId, TenantId};
use monsys_core::name::DisplayName;
use monsys_core::store::{NewAgent, NewCredential, PublicKey, SharedKey, TokenDigest};
use monsys_hub::store::HubStore;
use monsys_wire::device::Nonce;
use monsys_wire::header::{AUTHORIZATION, BearerToken, SIGNATURE, SignedHeaders};
use monsys_wire::sign::Claim;
use monsys_wire::sign::Message;
use monsys_wire::{DeviceIdentity, DeviceKey, SigningKey};
use tokio::runtime::Runtime;

use super::body::{Size, Template};
use crate::store::server::now;

/// How agents prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Token and Ed25519 signature.
    Ed25519,
    /// Shared key, HMAC-SHA256.
    Hmac,
}

impl Profile {
    /// The word of contract §3.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Hmac => "hmac",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Ed25519 => "/api/v1/ingest",
            Self::Hmac => "/ingest",
        }
    }
}

/// Agents of one organisation and one profile, and how far each has got.
pub struct Crowd {
    /// Their organisation.
    pub tenant: TenantId,
    /// What it is called.
    pub org: String,
    /// How they prove who they are.
    pub profile: Profile,
    members: Vec<Member>,
    /// Payloads made so far: the members take turns.
    n_made: u64,
    audience: String,
}

/// One agent.
pub struct Member {
    /// Its identifier in the store.
    pub id: AgentId,
    /// What it signs with.
    pub secret: Secret,
}

/// What an agent signs with.
pub enum Secret {
    /// Key and token of the ed25519 profile.
    Ed25519(Box<SigningKey>, BearerToken),
    /// Name and key of the hmac profile.
    Hmac(DeviceIdentity, DeviceKey),
}

/// Requests in the order in which they are to be sent.
pub struct Requests {
    chunks: Vec<Chunk>,
    chunk_len: usize,
    n: usize,
}

struct Chunk {
    bytes: Vec<u8>,
    /// Where each ends, and where its body starts.
    ends: Vec<(usize, usize)>,
    places: Vec<Place>,
}

/// Whose payload a request carries, and at which number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Index of the member.
    pub member: usize,
    /// Number of the position, in epoch 1.
    pub seq: u64,
}

impl Crowd {
    /// Enrols so many agents, keys pinned, in an organisation of the profile's name.
    pub fn enrol(
        wait: &Runtime,
        store: &(impl HubStore + Clone + 'static),
        profile: Profile,
        n_members: usize,
    ) -> Self {
        let org = profile.as_str().to_owned();
        let tenant = TenantId::from_random_bytes([profile as u8 + 1; 16]);
        let name = DisplayName::parse(&org).expect("a name");
        wait.block_on(async {
            let added = store.add_tenant(tenant, name).await;
            added.expect("a new tenant");
        });
        let audience = wait.block_on(store.meta_or_insert("hub_id", AUDIENCE.to_owned()));
        let members: Vec<_> = (0..n_members).map(|n| Member::new(profile, n)).collect();
        let news: Vec<_> = members
            .iter()
            .map(|member| member.new_agent(tenant))
            .collect();
        let tasks: Vec<_> = (0..N_ENROLLING)
            .map(|first| {
                let mine = news.iter().skip(first).step_by(N_ENROLLING);
                let (mine, store) = (mine.cloned().collect::<Vec<_>>(), store.clone());
                wait.spawn(async move {
                    for agent in &mine {
                        store.enrol(agent).await.expect("an agent");
                    }
                })
            })
            .collect();
        for task in tasks {
            wait.block_on(task).expect("enrolled agents");
        }
        Self {
            tenant,
            org,
            profile,
            members,
            n_made: 0,
            audience: audience.expect("an identity"),
        }
    }

    /// The same agents, at their first positions, for another that knows them.
    pub fn anew(profile: Profile, known: &Self) -> Self {
        let n_members = known.members.len();
        Self {
            tenant: known.tenant,
            org: known.org.clone(),
            profile,
            members: (0..n_members).map(|n| Member::new(profile, n)).collect(),
            n_made: 0,
            audience: known.audience.clone(),
        }
    }

    /// Makes and signs the next payloads: the members take turns, each at its next position.
    pub fn requests(&mut self, n: usize, size: Size) -> Requests {
        let template = Template::new(size, &self.audience);
        let (first, n_members) = (self.n_made, self.members.len() as u64);
        self.n_made += n as u64;
        let chunk_len = n.div_ceil(N_CHUNKS).max(1);
        let place = |at: usize| {
            let turn = first + at as u64;
            let member = usize::try_from(turn % n_members).expect("a small number");
            Place {
                member,
                seq: turn / n_members + 1,
            }
        };
        let starts = (0..n).step_by(chunk_len).rev().collect::<Vec<_>>();
        let (starts, done) = (Mutex::new(starts), Mutex::new(Vec::new()));
        let work = || {
            loop {
                let start = starts.lock().expect("no panic").pop();
                let Some(start) = start else { return };
                let range = start..n.min(start + chunk_len);
                let chunk = self.chunk(&template, range.map(place));
                done.lock().expect("no panic").push((start, chunk));
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..N_SIGNING {
                scope.spawn(work);
            }
        });
        let mut chunks = done.into_inner().expect("no panic");
        chunks.sort_by_key(|(start, _)| *start);
        let chunks = chunks.into_iter().map(|(_, chunk)| chunk).collect();
        Requests {
            chunks,
            chunk_len,
            n,
        }
    }

    /// The agents.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Whom payloads are for.
    pub fn audience(&self) -> &str {
        &self.audience
    }

    fn chunk(&self, template: &Template, places: impl Iterator<Item = Place>) -> Chunk {
        let mut chunk = Chunk {
            bytes: Vec::new(),
            ends: Vec::new(),
            places: places.collect(),
        };
        let (mut body, at) = (String::new(), now());
        let at_text = at.to_rfc3339();
        for place in &chunk.places {
            let member = &self.members[place.member];
            let name = match &member.secret {
                Secret::Ed25519(..) => &member.id.to_string(),
                Secret::Hmac(identity, _) => identity.device(),
            };
            template.write(&mut body, name, &at_text, place.seq);
            let proof = member.proof(body.as_bytes(), place.seq, at);
            let head = format!(
                "POST {} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
                 {proof}content-length: {}\r\n\r\n",
                self.profile.path(),
                body.len(),
            );
            chunk.bytes.extend_from_slice(head.as_bytes());
            let start_of_body = chunk.bytes.len();
            chunk.bytes.extend_from_slice(body.as_bytes());
            chunk.ends.push((start_of_body, chunk.bytes.len()));
        }
        chunk
    }
}

impl Member {
    fn new(profile: Profile, n: usize) -> Self {
        let mut seed = [profile as u8 + 1; 32];
        // An odd factor, so that the identifiers do not come in order.
        let mixed = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        seed[..8].copy_from_slice(&mixed.to_be_bytes());
        let (id, _) = seed.split_first_chunk().expect("32 bytes");
        let secret = match profile {
            Profile::Ed25519 => Secret::Ed25519(
                Box::new(SigningKey::from_secret_bytes(seed)),
                BearerToken::from_random_bytes(seed),
            ),
            Profile::Hmac => Secret::Hmac(
                DeviceIdentity::parse(profile.as_str(), &format!("device-{n:05}"))
                    .expect("an identity"),
                DeviceKey::from_secret_bytes(seed),
            ),
        };
        let id = AgentId::from_random_bytes(*id);
        Self { id, secret }
    }

    fn new_agent(&self, tenant: TenantId) -> NewAgent {
        let (name, credential) = match &self.secret {
            Secret::Ed25519(key, token) => {
                let credential = NewCredential::Token {
                    token: TokenDigest(token.digest()),
                    key: Some(PublicKey(key.verifying_key().to_bytes())),
                    pin_until: now(),
                };
                (self.id.to_string(), credential)
            }
            Secret::Hmac(identity, key) => {
                let key = SharedKey::from_secret_bytes(key.expose_bytes());
                (identity.device().to_owned(), NewCredential::Device { key })
            }
        };
        NewAgent {
            agent: self.id,
            tenant,
            name: DisplayName::parse(&name).expect("a name"),
            credential,
            enrolled_at: now(),
        }
    }

    /// The headers that prove whose body this is, each with its line end.
    fn proof(&self, body: &[u8], seq: u64, at: monsys_core::time::Timestamp) -> String {
        match &self.secret {
            Secret::Ed25519(key, token) => {
                let signature = key.sign(&Message::ingest(body));
                let token = token.to_header_value();
                format!("{AUTHORIZATION}: {token}\r\n{SIGNATURE}: {signature}\r\n")
            }
            Secret::Hmac(identity, key) => {
                let mut random = [0; 16];
                random[..8].copy_from_slice(&seq.to_be_bytes());
                let nonce = Nonce::from_random_bytes(random);
                let claim = Claim::new(identity, &nonce, at);
                let headers = SignedHeaders::new(&claim, &key.mac(&claim, body));
                let lines = headers
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}\r\n"));
                lines.collect()
            }
        }
    }
}

impl Requests {
    /// How many there are.
    pub const fn n(&self) -> usize {
        self.n
    }

    /// The bytes of one.
    pub fn bytes(&self, index: usize) -> &[u8] {
        let (chunk, range, _) = self.find(index);
        &chunk.bytes[range]
    }

    /// Head and body of one.
    pub fn head_and_body(&self, index: usize) -> (&str, &[u8]) {
        let (chunk, range, body) = self.find(index);
        let head = str::from_utf8(&chunk.bytes[range.start..body]).expect("a head of ours");
        (head, &chunk.bytes[body..range.end])
    }

    /// Whose payload one carries.
    pub fn place(&self, index: usize) -> Place {
        self.chunks[index / self.chunk_len].places[index % self.chunk_len]
    }

    /// The same requests with one header of the head spoilt: as many bytes, refused for their form
    /// alone.
    pub fn spoilt(&self, from: &str, to: &str) -> Self {
        assert_eq!(from.len(), to.len());
        let chunks = self.chunks.iter().map(|chunk| {
            let mut bytes = Vec::with_capacity(chunk.bytes.len());
            let mut start = 0;
            for (body, end) in &chunk.ends {
                let head = str::from_utf8(&chunk.bytes[start..*body]).expect("a head of ours");
                let spoilt = head.replacen(from, to, 1);
                assert_ne!(spoilt, head, "nothing to spoil");
                bytes.extend_from_slice(spoilt.as_bytes());
                bytes.extend_from_slice(&chunk.bytes[*body..*end]);
                start = *end;
            }
            Chunk {
                bytes,
                ends: chunk.ends.clone(),
                places: chunk.places.clone(),
            }
        });
        Self {
            chunks: chunks.collect(),
            ..*self
        }
    }

    fn find(&self, index: usize) -> (&Chunk, Range<usize>, usize) {
        let chunk = &self.chunks[index / self.chunk_len];
        let within = index % self.chunk_len;
        let start = within
            .checked_sub(1)
            .map_or(0, |before| chunk.ends[before].1);
        let (body, end) = chunk.ends[within];
        (chunk, start..end, body)
    }
}

/// The hub that payloads are for, unless the store has an identity already.
const AUDIENCE: &str = "0d6f8a52-2f5c-4c8e-9a57-7d0c5f1b3e11";
const N_ENROLLING: usize = 64;
const N_CHUNKS: usize = 64;
const N_SIGNING: usize = 2;
