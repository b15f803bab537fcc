//! What every request shares.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use monsys_core::anomaly::Finding;
use monsys_core::id::{AgentId, TenantId};
use monsys_core::limit;
use monsys_core::store::{AgentRecord, DeviceRecord, IngestFinding, StoreError, TokenDigest};
use monsys_integrity::detect::duplicate_feed::FeedIndex;
use monsys_integrity::finding_signal;
use monsys_wire::envelope::Scratch;
use monsys_wire::{Audience, Reject, VerifyingKey};

use crate::clock::Clock;
use crate::config::HubConfig;
use crate::drain::Ending;
use crate::ingest::{CloneWatch, FindingGate, GroupCommit, InFlight, Limiter, Rate};
use crate::live::Live;
use crate::random::random_bytes;
use crate::scores::ScoreBoards;
use crate::security::login::Auth;
use crate::standing::WideReads;
use crate::store::HubStore;
use crate::telemetry::Telemetry;
use crate::trend::Trends;
use crate::worker::CycleBoard;

/// A running hub.
pub(crate) struct App {
    /// The database.
    pub(crate) store: Arc<dyn HubStore>,
    /// The queue of payloads before it.
    pub(crate) group: GroupCommit,
    /// What stamps payloads and cycles.
    pub(crate) clock: Clock,
    /// Who this hub is, which every payload must name.
    pub(crate) audience: Audience,
    /// What the operator chose.
    pub(crate) config: HubConfig,
    /// What happened so far.
    pub(crate) telemetry: Telemetry,
    /// What the worker does, and where it is asked for a cycle.
    pub(crate) worker: CycleBoard,
    /// By what people prove who they are.
    pub(crate) auth: Auth,
    /// Bounds findings of refused requests.
    pub(crate) gate: FindingGate,
    /// Whose positions are refused and accepted by turns.
    pub(crate) clones: CloneWatch,
    /// What agents sent lately, to find those that send the same.
    pub(crate) feeds: Mutex<FeedIndex>,
    /// Bounds payloads of an organisation.
    pub(crate) org_limit: Limiter<TenantId>,
    /// Bounds unauthenticated requests of an address.
    pub(crate) address_limit: Limiter<IpAddr>,
    /// Bounds bodies in flight of those who showed a valid token.
    pub(crate) bodies_of_agents: InFlight,
    /// Bounds bodies in flight of the hmac profile, where nobody has shown anything yet.
    pub(crate) bodies_of_strangers: InFlight,
    /// Bounds requests that read whatever stands about an organisation.
    pub(crate) wide_reads: WideReads,
    /// Scores of large organisations that requests share for a moment.
    pub(crate) scores: ScoreBoards,
    /// How fleets went.
    pub(crate) trends: Trends,
    /// Who is told when the ledger grows.
    pub(crate) live: Live,
    /// Buffers for canonicalising.
    pub(crate) scratch: ScratchPool,
    /// Whether nobody new should come.
    pub(crate) ending: Ending,
}

/// Buffers that requests borrow, so that canonicalising allocates nothing after warm-up.
#[derive(Default)]
pub(crate) struct ScratchPool {
    idle: Mutex<Vec<Scratch>>,
}

impl ScratchPool {
    /// Takes a buffer, or makes one.
    pub(crate) fn take(&self) -> Scratch {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
            .unwrap_or_default()
    }

    /// Keeps a buffer for the next request.
    pub(crate) fn give_back(&self, scratch: Scratch) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < SCRATCHES_KEPT {
            idle.push(scratch);
        }
    }
}

impl App {
    /// Opens the hub of a store: its identity is made once and stays.
    ///
    /// # Errors
    /// When the store does not answer, or holds an identity that is none.
    pub(crate) async fn open(
        store: Arc<dyn HubStore>,
        clock: Clock,
        config: HubConfig,
    ) -> Result<Arc<Self>, StoreError> {
        let fresh = AgentId::from_random_bytes(random_bytes()).to_string();
        let hub_id = store.meta_or_insert("hub_id", fresh).await?;
        let audience = Audience::parse(&hub_id).map_err(|_| StoreError::Damaged)?;
        Ok(Arc::new(Self {
            group: GroupCommit::new(Arc::<dyn HubStore>::clone(&store)),
            live: Live::new(Arc::new(Arc::<dyn HubStore>::clone(&store))),
            auth: Auth::new(&config.secrets, &hub_id),
            store,
            clock,
            audience,
            telemetry: Telemetry::new(),
            worker: CycleBoard::default(),
            gate: FindingGate::default(),
            clones: CloneWatch::default(),
            feeds: Mutex::new(FeedIndex::new(limit::FEED_STRETCHES_MAX, clock.now())),
            org_limit: Limiter::new(Rate::per_second(config.org_rate)),
            address_limit: Limiter::new(Rate::per_second(config.address_rate)),
            bodies_of_agents: InFlight::new(),
            bodies_of_strangers: InFlight::new(),
            wide_reads: WideReads::default(),
            scores: ScoreBoards::default(),
            trends: Trends::default(),
            scratch: ScratchPool::default(),
            ending: Ending::default(),
            config,
        }))
    }

    /// Finds the agent of a token. An unknown token counts against its address; what else proves
    /// nothing is charged by [`Self::unproved`].
    ///
    /// # Errors
    /// `RateLimited` for an address with too many of them, `Unauthorized` for an unknown token.
    pub(crate) async fn find_agent(
        &self,
        peer: IpAddr,
        token: [u8; 32],
    ) -> Result<AgentRecord, Reject> {
        let address = address_key(peer);
        self.address_limit.check(&address, Instant::now())?;
        let found = self.store.agent_by_token(&TokenDigest(token)).await;
        let found = found.map_err(|error| self.store_reject(&error))?;
        if found.is_none() {
            self.unproved(peer);
        }
        found.ok_or(Reject::Unauthorized)
    }

    /// Finds the device that a request claims to come from; that there is none is not an error
    /// yet, and counts when the request proves nothing.
    ///
    /// # Errors
    /// `RateLimited` for an address with too many of them.
    pub(crate) async fn find_device(
        &self,
        peer: IpAddr,
        org: &str,
        device: &str,
    ) -> Result<Option<DeviceRecord>, Reject> {
        self.address_limit
            .check(&address_key(peer), Instant::now())?;
        let found = self.store.agent_by_device(org, device).await;
        found.map_err(|error| self.store_reject(&error))
    }

    /// Counts a request against its address that did not prove to come from an agent.
    ///
    /// Counted afterwards, because what is under way is mostly honest: many agents may share one
    /// address, behind a proxy, and send together.
    pub(crate) fn unproved(&self, peer: IpAddr) {
        self.address_limit.charge(address_key(peer), Instant::now());
    }

    /// Records what a refused request says about its agent, at most once a second per kind.
    /// A revoked agent is trusted in nothing any more, and nothing is found out about it.
    pub(crate) async fn record_finding(&self, agent: &AgentRecord, finding: Finding) {
        if !agent.is_revoked {
            self.record_found(agent.tenant, agent.agent, finding).await;
        }
    }

    /// Records what a refused request says about an agent that is not revoked.
    pub(crate) async fn record_found(&self, tenant: TenantId, agent: AgentId, finding: Finding) {
        let at = self.clock.now();
        let signal = finding_signal(agent, &finding, at);
        let found = IngestFinding {
            tenant,
            agent,
            at,
            occurrences: 1,
            finding,
            signal,
        };
        if let Some(found) = self.gate.offer(found, Instant::now()) {
            self.write_finding(found).await;
        }
    }

    /// Writes the findings that have waited for a second.
    pub(crate) async fn write_due_findings(&self) {
        for found in self.gate.due(Instant::now()) {
            self.write_finding(found).await;
        }
    }

    /// Writes all findings that wait, because the hub ends.
    pub(crate) async fn write_last_findings(&self) {
        for found in self.gate.drain() {
            self.write_finding(found).await;
        }
    }

    async fn write_finding(&self, found: IngestFinding) {
        if let Err(error) = self.store.record(&found).await {
            self.telemetry.count_store_error(&error);
            tracing::error!(agent = %found.agent, kind = %found.finding.kind, %error, "finding not stored yet");
            self.gate.put_back(found, Instant::now());
        }
    }

    /// Refuses a payload while the queue before the store is full. To verify a signature costs most of
    /// what a payload costs: a hub beyond its capacity that verified first would refuse slowly, and
    /// store less.
    ///
    /// # Errors
    /// `StoreUnavailable`, as for one that finds the queue full later.
    pub(crate) fn refuse_when_full(&self) -> Result<(), Reject> {
        if self.group.turns_away() {
            return Err(Reject::StoreUnavailable {
                retry_after_s: RETRY_AFTER_S,
            });
        }
        Ok(())
    }

    /// Decodes the pinned key of an agent.
    ///
    /// # Errors
    /// When the stored key is no key: nothing can be verified until it is repaired.
    pub(crate) fn pinned_key(&self, agent: &AgentRecord) -> Result<Option<VerifyingKey>, Reject> {
        let key = agent
            .key
            .map(|key| VerifyingKey::from_pinned_bytes(&key.0))
            .transpose();
        key.map_err(|error| {
            tracing::error!(agent = %agent.agent, %error, "a pinned key is damaged");
            Reject::StoreUnavailable {
                retry_after_s: RETRY_AFTER_S,
            }
        })
    }

    /// Tells a sender what an error of the store means to it.
    pub(crate) fn store_reject(&self, error: &StoreError) -> Reject {
        self.telemetry.count_store_error(error);
        if *error != StoreError::Outdated {
            tracing::error!(%error, "store did not take a payload");
        }
        Reject::StoreUnavailable {
            retry_after_s: RETRY_AFTER_S,
        }
    }
}

/// Whose bucket an address is: its own, or for IPv6 that of its network of 64 bits, of which one
/// machine may use every address.
pub(crate) fn address_key(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(peer) => {
            let network = u128::from(peer) >> 64 << 64;
            IpAddr::V6(network.into())
        }
    }
}

/// How long senders wait when the store does not answer, in seconds.
const RETRY_AFTER_S: u32 = 5;
/// Buffers kept for the next requests.
const SCRATCHES_KEPT: usize = 16;
