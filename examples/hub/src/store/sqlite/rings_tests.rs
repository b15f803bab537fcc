//! That facts are the same with rings and without, whatever happened before.

use std::path::PathBuf;

use monsys_core::anomaly::{AnomalyKind, Finding, Transition};
use monsys_core::id::{AgentId, TenantId};
use monsys_core::name::{AgentVersion, DisplayName};
use monsys_core::position::{ContentHash, Position};
use monsys_core::sample::{CpuPercent, MetricSample};
use monsys_core::severity::Severity;
use monsys_core::store::{
    AgentStore, CycleCommit, CycleStore, FactsPage, IngestBatch, IngestStore, Maintenance,
    NewAgent, NewCredential, Payload, PublicKey, Retention, SignatureStatus, StoreFuture,
    TokenDigest, VersionSeen,
};
use monsys_core::time::{Span, Timestamp};
use monsys_integrity::{Config, Cycle, finding_signal, reconcile, version};
use rusqlite::Connection;

use super::SqliteStore;
use super::cycle::Page;
use crate::store::AccountStore;

const TENANT: TenantId = TenantId::from_bytes([1; 16]);
const N_AGENTS: u8 = 6;

/// A store with agents, and a clock that is set by hand.
struct Scene {
    directory: PathBuf,
    store: SqliteStore,
    runtime: tokio::runtime::Runtime,
    now: Timestamp,
    /// Of each agent the next position, and those that were left open.
    next: [(i64, Vec<i64>); N_AGENTS as usize],
}

impl Scene {
    fn new(name: &str) -> Self {
        let directory = format!("monsys-rings-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(directory);
        std::fs::create_dir_all(&directory).unwrap();
        let scene = Self {
            store: SqliteStore::open(&directory.join("rings.db")).unwrap(),
            runtime: tokio::runtime::Runtime::new().unwrap(),
            now: Timestamp::from_unix_micros(1_778_364_220_000_000).unwrap(),
            next: std::array::from_fn(|_| (1, Vec::new())),
            directory,
        };
        let name = DisplayName::parse("one").unwrap();
        scene.wait(scene.store.add_tenant(TENANT, name));
        for n in 0..N_AGENTS {
            scene.wait(scene.store.enrol(&NewAgent {
                agent: agent(n),
                tenant: TENANT,
                name: DisplayName::parse(&format!("web-{n}")).unwrap(),
                credential: NewCredential::Token {
                    token: TokenDigest([n; 32]),
                    key: Some(PublicKey([n; 32])),
                    pin_until: scene.now,
                },
                enrolled_at: scene.now,
            }));
        }
        scene
    }

    fn wait<T>(&self, future: StoreFuture<'_, T>) -> T {
        self.runtime.block_on(future).unwrap()
    }

    fn file(&self) -> PathBuf {
        self.directory.join("rings.db")
    }

    fn pass(&mut self, seconds: i64) {
        self.now = self.now.saturating_add(Span::from_secs(seconds));
    }

    /// A metric of an agent that arrives now.
    fn metric(&mut self, n: u8, cpu: f64, draw: &mut Draw) -> IngestBatch {
        let (next, open) = &mut self.next[usize::from(n)];
        let late_s = draw.below(7_200);
        let (seq, age_s) = match open.pop() {
            Some(seq) if draw.below(2) == 0 => (seq, late_s),
            left => {
                open.extend(left);
                // A position may be skipped, to be filled from a backlog.
                if draw.below(4) == 0 {
                    open.push(*next);
                    *next += 1;
                }
                *next += 1;
                let is_off = draw.below(8) == 0;
                (*next - 1, if is_off { late_s } else { 0 })
            }
        };
        let sent_at = self.now.saturating_sub(Span::from_millis(draw.below(900)));
        let captured_at = sent_at.saturating_sub(Span::from_secs(age_s));
        batch(n, seq, [captured_at, sent_at, self.now], cpu)
    }

    /// Commits payloads, one by one or as many callers at once, which share a transaction.
    fn commit(&self, batches: &[IngestBatch], is_at_once: bool) {
        if !is_at_once {
            self.wait(self.store.commit(batches));
            return;
        }
        let commits = batches.iter().map(|batch| {
            let (store, batch) = (self.store.clone(), batch.clone());
            self.runtime
                .spawn(async move { store.commit(&[batch]).await.unwrap() })
        });
        for commit in commits.collect::<Vec<_>>() {
            self.runtime.block_on(commit).unwrap();
        }
    }

    /// All facts, a few agents a page.
    fn facts(&self) -> Vec<FactsPage> {
        let mut pages = Vec::new();
        let mut after = None;
        loop {
            let page = self.wait(self.store.facts(TENANT, after, 4, self.now));
            after = page.next;
            pages.push(page);
            if after.is_none() {
                return pages;
            }
        }
    }

    /// The same, read from the file alone.
    fn plain_facts(&self) -> Vec<FactsPage> {
        let connection = Connection::open(self.file()).unwrap();
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let page = Page {
                tenant: TENANT,
                after,
                n_agents: 4,
                now: self.now,
            };
            let page = page.facts(&connection, None).unwrap();
            after = page.next;
            pages.push(page);
            if after.is_none() {
                return pages;
            }
        }
    }

    /// Asserts that both are the same to the last bit, and so is what a cycle makes of them.
    fn assert_same(&self, what: &str) {
        let (facts, plain) = (self.facts(), self.plain_facts());
        // As text, because −0 is the equal of 0.
        assert_eq!(format!("{facts:?}"), format!("{plain:?}"), "{what}");
        assert_eq!(facts, plain, "{what}");
        let cycle = Cycle {
            previous: None,
            now: self.now,
        };
        for (facts, plain) in facts.iter().zip(&plain) {
            let report = |page: &FactsPage| reconcile(&page.agents, &Config::standard(), cycle);
            assert_eq!(report(facts), report(plain), "{what}");
        }
    }

    fn restart(&mut self) {
        self.store.close();
        self.store = SqliteStore::open(&self.file()).unwrap();
    }

    /// What another process may do to the same file.
    fn change_beside(&self, draw: &mut Draw) {
        let beside = Connection::open(self.file()).unwrap();
        let agent = agent(u8::try_from(draw.below(N_AGENTS.into())).unwrap()).to_string();
        let now = self.now.to_rfc3339();
        let changed = match draw.below(4) {
            0 => beside.execute(
                "INSERT INTO metrics (tenant_id, agent_id, time, captured_at, sent_at, epoch, seq, \
                 is_spooled, is_verified, cpu_usage_percent) VALUES (?1, ?2, ?3, ?3, ?3, 1, 1, 0, 1, 77)",
                [TENANT.to_string(), agent, now],
            ),
            1 => beside.execute(
                "UPDATE metrics SET cpu_usage_percent = 99 WHERE id = \
                 (SELECT max(id) FROM metrics WHERE agent_id = ?1)",
                [agent],
            ),
            2 => beside.execute(
                "DELETE FROM metrics WHERE id IN \
                 (SELECT id FROM metrics WHERE agent_id = ?1 ORDER BY id DESC LIMIT 3)",
                [agent],
            ),
            _ => beside.execute(
                "UPDATE agents SET version = '9.9.9' WHERE id = ?1",
                [agent],
            ),
        };
        changed.unwrap();
    }

    fn find(&self, n: u8) {
        let finding = Finding {
            kind: AnomalyKind::FlatMetrics,
            severity: Severity::High,
            summary: "It looks wrong.".into(),
            detail: "{}".into(),
            evidence: "{}".into(),
        };
        let signal = finding_signal(agent(n), &finding, self.now);
        self.wait(self.store.commit_cycle(&CycleCommit {
            tenant: TENANT,
            at: self.now,
            transitions: vec![Transition::Record {
                agent: agent(n),
                finding,
                occurrences: 1,
                signal,
            }],
        }));
    }

    /// One step of a random history.
    fn step(&mut self, draw: &mut Draw) {
        let n = u8::try_from(draw.below(N_AGENTS.into())).unwrap();
        match draw.below(60) {
            0 => self.pass(-draw.below(10)),
            1 => self.pass(-draw.below(5_000)),
            2 => self.pass(draw.below(8_000)),
            3 if draw.below(4) == 0 => self.pass(15 * 86_400),
            4 => self.restart(),
            5 | 6 => self.change_beside(draw),
            7 => drop(self.wait(self.store.sweep(Retention::standard(), self.now))),
            8 => self.find(n),
            9 if draw.below(6) == 0 => self.wait(self.store.revoke(TENANT, agent(n))),
            10 => {
                // An agent that is gone takes its neighbours of the same call with it.
                let mut gone = self.metric(n, 50.0, draw);
                let lost = gone.clone();
                gone.agent = AgentId::from_bytes([0xee; 16]);
                let failed = self.runtime.block_on(self.store.commit(&[lost, gone]));
                assert!(failed.is_err());
            }
            _ => {
                let mut batches: Vec<_> = (0..1 + draw.below(8))
                    .map(|_| {
                        self.pass(draw.below(5));
                        let n = u8::try_from(draw.below(N_AGENTS.into())).unwrap();
                        let cpu = [0.0, -0.0, 4.2, 100.0][usize::try_from(draw.below(4)).unwrap()];
                        self.metric(n, cpu, draw)
                    })
                    .collect();
                batches.retain(|batch| self.is_active(batch.agent));
                self.commit(&batches, draw.below(3) == 0);
            }
        }
    }

    fn is_active(&self, agent: AgentId) -> bool {
        let connection = Connection::open(self.file()).unwrap();
        let sql = "SELECT revoked_at IS NULL FROM agents WHERE id = ?1";
        connection
            .query_row(sql, [agent.to_string()], |row| row.get(0))
            .unwrap()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.store.close();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn facts_are_the_same_with_rings_and_without_whatever_happened() {
    let (mut n_from_rings, mut n_steps) = (0, 0);
    for seed in 0..12 {
        let (mut scene, mut draw) = (Scene::new(&format!("history-{seed}")), Draw(seed));
        for step in 0..150 {
            scene.step(&mut draw);
            n_steps += 1;
            if draw.below(3) == 0 {
                n_from_rings += scene.store.windows_in_memory().0;
                scene.assert_same(&format!("seed {seed}, step {step}"));
            }
        }
    }
    println!("{n_steps} steps; rings held before a comparison: {n_from_rings}");
    assert!(n_from_rings > 500, "{n_from_rings}");
}

#[test]
fn rings_are_filled_once_and_then_fed() {
    let (mut scene, mut draw) = (Scene::new("fed"), Draw(1));
    scene.assert_same("no metrics");
    assert_eq!(scene.store.windows_in_memory().0, usize::from(N_AGENTS));
    for _ in 0..300 {
        scene.pass(15);
        let batches: Vec<_> = (0..N_AGENTS)
            .map(|n| scene.metric(n, 4.2, &mut draw))
            .collect();
        scene.commit(&batches, false);
        // Our own commits let none go.
        assert_eq!(scene.store.windows_in_memory().0, usize::from(N_AGENTS));
    }
    scene.assert_same("an hour");
    let (n_agents, n_bytes) = scene.store.windows_in_memory();
    println!("{} bytes an agent with {} metrics", n_bytes / n_agents, 240);
    scene.pass(86_400);
    scene.assert_same("a day of silence");
    let silent = scene.store.windows_in_memory().1 / n_agents;
    println!("{silent} bytes a silent agent");
    assert!(silent < 700);
    scene.wait(scene.store.revoke(TENANT, agent(0)));
    assert_eq!(scene.store.windows_in_memory().0, usize::from(N_AGENTS) - 1);
}

#[test]
fn what_another_process_wrote_is_seen_whatever_it_was() {
    let (mut scene, mut draw) = (Scene::new("beside"), Draw(2));
    for round in 0..40 {
        scene.pass(15);
        let batches: Vec<_> = (0..N_AGENTS)
            .map(|n| scene.metric(n, 4.2, &mut draw))
            .collect();
        scene.commit(&batches, false);
        scene.assert_same("before");
        scene.assert_same("filled");
        assert_eq!(scene.store.windows_in_memory().0, usize::from(N_AGENTS));
        scene.change_beside(&mut draw);
        // Followed by a commit of our own, which must not hide it, or by none.
        if round % 2 == 0 {
            scene.find(0);
        }
        scene.assert_same("after");
    }
}

fn agent(n: u8) -> AgentId {
    AgentId::from_bytes([0x10 + n; 16])
}

fn batch(
    n: u8,
    seq: i64,
    [captured_at, sent_at, received_at]: [Timestamp; 3],
    cpu: f64,
) -> IngestBatch {
    let mut content = [n; 32];
    content[..8].copy_from_slice(&seq.to_be_bytes());
    let text = AgentVersion::parse("0.1.0").unwrap();
    IngestBatch {
        tenant: TENANT,
        agent: agent(n),
        received_at,
        captured_at,
        sent_at,
        nonce: None,
        position: Position::new(1, seq).unwrap(),
        content: ContentHash(content),
        signature: SignatureStatus::Verified,
        version: VersionSeen {
            triple: version::triple(text.as_str()),
            text,
        },
        payload: Payload::Metrics(MetricSample::of_cpu(CpuPercent::new(cpu).unwrap())),
        finding: None,
    }
}

struct Draw(u64);

impl Draw {
    fn below(&mut self, n: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((z ^ (z >> 31)) % n.unsigned_abs()).unwrap()
    }
}
