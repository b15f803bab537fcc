//! Agents that send payloads to a store: metrics and three signals in turn.
//!
//! Each payload has a position of its own and a content hash; every other one holds a row of
//! metrics, the others three signals. So a payload writes on average its content hash, half a row
//! of metrics, one and a half signals into the history and as many into what is current, and
//! rewrites the row of its agent: 5.5 rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use monsys_core::id::{AgentId, TenantId};
use monsys_core::name::{AgentVersion, DisplayName};
use monsys_core::position::{ContentHash, Position};
use monsys_core::sample::{Count, CpuPercent, Disk, Finite, MetricSample, Network};
use monsys_core::signal::{Signal, SignalDraft};
use monsys_core::store::{
    IngestBatch, IngestOutcome, IngestStore, NewAgent, NewCredential, Payload, PublicKey,
    SignatureStatus, TokenDigest, VersionSeen,
};
use monsys_core::text::clean_short;
use monsys_core::time::Timestamp;
use monsys_hub::GroupCommit;
use monsys_hub::store::HubStore;
use tokio::runtime::Runtime;

use super::server::now;

/// Enrolled agents of one tenant, and how far each has sent.
pub struct Fleet {
    tenant: TenantId,
    agents: Vec<(AgentId, AtomicI64)>,
}

/// How payloads reach the store.
#[derive(Clone)]
pub enum Door {
    /// Through the queue of a hub, many in one transaction.
    Group(GroupCommit),
    /// Each in a transaction of its own.
    Alone(Arc<dyn IngestStore>),
}

/// What was sent in a while.
pub struct Sent {
    /// For each payload when it was answered, after the start, and how long that took.
    answers: Vec<(Duration, Duration)>,
    time: Duration,
}

impl Fleet {
    /// Enrols agents in a tenant of their own.
    pub fn enrol(
        wait: &Runtime,
        store: &(impl HubStore + Clone + 'static),
        n_agents: usize,
    ) -> Self {
        let tenant = TenantId::from_random_bytes([7; 16]);
        let name = DisplayName::parse("fleet").expect("a name");
        wait.block_on(store.add_tenant(tenant, name))
            .expect("a new tenant");
        let numbered = |n: usize| {
            let mut bytes = [9; 16];
            bytes[..8]
                .copy_from_slice(&(n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
            AgentId::from_random_bytes(bytes)
        };
        let agents: Vec<_> = (0..n_agents).map(numbered).collect();
        let tasks: Vec<_> = (0..N_ENROLLING)
            .map(|first| {
                let mine: Vec<_> = agents
                    .iter()
                    .copied()
                    .skip(first)
                    .step_by(N_ENROLLING)
                    .collect();
                let store = store.clone();
                wait.spawn(async move {
                    for agent in mine {
                        store
                            .enrol(&new_agent(tenant, agent))
                            .await
                            .expect("an agent");
                    }
                })
            })
            .collect();
        for task in tasks {
            wait.block_on(task).expect("enrolled agents");
        }
        let agents = agents.into_iter().map(|agent| (agent, AtomicI64::new(0)));
        Self {
            tenant,
            agents: agents.collect(),
        }
    }

    /// Whose agents they are.
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Lets callers send for a while, one payload after another, each through its door and for its
    /// own share of the agents.
    pub fn send(self: &Arc<Self>, wait: &Runtime, doors: &[Door], time: Duration) -> Sent {
        let start = Instant::now();
        let tasks: Vec<_> = doors
            .iter()
            .enumerate()
            .map(|(first, door)| {
                let (fleet, door, n_callers) = (Arc::clone(self), door.clone(), doors.len());
                wait.spawn(async move {
                    let share = || fleet.agents.iter().skip(first).step_by(n_callers);
                    let mut answers = Vec::new();
                    for (agent, seq) in share().chain(std::iter::repeat_with(share).flatten()) {
                        if start.elapsed() >= time {
                            break;
                        }
                        let seq = seq.fetch_add(1, Ordering::Relaxed) + 1;
                        let asked = Instant::now();
                        door.send(payload(fleet.tenant, *agent, seq)).await;
                        answers.push((start.elapsed(), asked.elapsed()));
                    }
                    answers
                })
            })
            .collect();
        let mut answers = Vec::new();
        for task in tasks {
            answers.extend(wait.block_on(task).expect("a caller that ended"));
        }
        let time = start.elapsed();
        Sent { answers, time }
    }
}

impl Door {
    async fn send(&self, payload: IngestBatch) {
        let outcome = match self {
            Self::Group(group) => group.commit(payload).await.expect("an outcome"),
            Self::Alone(store) => {
                let outcomes = store.commit(std::slice::from_ref(&payload)).await;
                outcomes.expect("an outcome")[0]
            }
        };
        assert_eq!(outcome, IngestOutcome::Accepted);
    }
}

impl Sent {
    /// Payloads a second.
    pub fn rate(&self) -> f64 {
        self.answers.len() as f64 / self.time.as_secs_f64()
    }

    /// Payloads a second in each third of the time.
    pub fn rates_of_thirds(&self) -> [f64; 3] {
        let third = self.time / 3;
        let nanos = third.as_nanos().max(1);
        let mut counts = [0.0; 3];
        for (at, _) in &self.answers {
            let index = usize::try_from(at.as_nanos() / nanos).expect("a small number");
            counts[index.min(2)] += 1.0;
        }
        counts.map(|count| count / third.as_secs_f64())
    }

    /// Milliseconds that payloads took, in order.
    pub fn latencies(&self) -> Vec<f64> {
        let taken = self.answers.iter().map(|(_, taken)| super::millis(*taken));
        let mut taken: Vec<_> = taken.collect();
        taken.sort_by(f64::total_cmp);
        taken
    }
}

fn new_agent(tenant: TenantId, agent: AgentId) -> NewAgent {
    let mut token = [0; 32];
    token[..16].copy_from_slice(&agent.to_bytes());
    NewAgent {
        agent,
        tenant,
        name: DisplayName::parse(&agent.to_string()).expect("a name"),
        credential: NewCredential::Token {
            token: TokenDigest(token),
            key: Some(PublicKey(token)),
            pin_until: now(),
        },
        enrolled_at: now(),
    }
}

fn payload(tenant: TenantId, agent: AgentId, seq: i64) -> IngestBatch {
    let at = now();
    let mut content = [0; 32];
    content[..16].copy_from_slice(&agent.to_bytes());
    content[16..24].copy_from_slice(&seq.to_be_bytes());
    let is_metrics = seq % 2 == 1;
    IngestBatch {
        tenant,
        agent,
        received_at: at,
        captured_at: at,
        sent_at: at,
        nonce: None,
        position: Position::new(1, seq).expect("a small number"),
        content: ContentHash(content),
        signature: SignatureStatus::Verified,
        version: VersionSeen {
            text: AgentVersion::parse("0.1.0").expect("a version"),
            triple: None,
        },
        payload: if is_metrics {
            Payload::Metrics(sample(seq))
        } else {
            Payload::Signals(KEYS.map(|key| signal(agent, key, seq, at)).into())
        },
        finding: None,
    }
}

fn sample(seq: i64) -> MetricSample {
    let number = |value: f64| Finite::non_negative(value).ok();
    let count = |value: i64| Count::new(value).expect("a count");
    let noise = (seq.wrapping_mul(2_654_435_761) % 997) as f64 / 10.0;
    MetricSample {
        load1: number(noise / 20.0),
        load5: number(0.4),
        load15: number(0.3),
        mem_total_bytes: Some(count(16_777_216_000)),
        mem_used_bytes: Some(count(9_000_000_000 + seq * 4_096)),
        swap_total_bytes: Some(count(0)),
        swap_used_bytes: Some(count(0)),
        uptime_seconds: number(86_400.0 + seq as f64 * 15.0),
        disks: Some(vec![Disk {
            mount: clean_short("/", 64),
            total_bytes: count(500_000_000_000),
            used_bytes: count(123_000_000_000 + seq * 512),
        }]),
        networks: Some(vec![Network {
            interface: clean_short("eth0", 64),
            rx_bytes: count(seq * 15_000),
            tx_bytes: count(seq * 9_000),
        }]),
        ..MetricSample::of_cpu(CpuPercent::new(noise.abs()).expect("percent"))
    }
}

fn signal(agent: AgentId, key: &str, seq: i64, at: Timestamp) -> Signal {
    let draft = SignalDraft {
        source: "backup_check".into(),
        subject_type: "agent".into(),
        subject_id: agent.to_string(),
        key: key.into(),
        value: format!(r#"{{"unit":"bytes","value":{}}}"#, seq * 1_000),
        severity: None,
        observed_at: at,
        ttl_seconds: Some(3_600),
    };
    Signal::validate(&draft, at).expect("a valid signal")
}

const KEYS: [&str; 3] = ["backup.age_hours", "backup.size_bytes", "disk.free_bytes"];
const N_ENROLLING: usize = 64;
