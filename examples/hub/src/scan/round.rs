//! One round: many looks at the same time, each written as soon as it is over.

use std::sync::Arc;

use monsys_core::id::TenantId;
use monsys_core::signal::SignalDraft;
use monsys_core::store::{EmitError, Emitter};
use monsys_core::time::Span;
use monsys_signals::scan::cert::{self, Observation, Obstacle};
use rustls::crypto::{CryptoProvider, ring};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::certificate::{Trust, judge};
use super::config::{ScanConfig, Target};
use super::{handshake, lookup};
use crate::clock::Clock;
use crate::error::{Failure, FailureKind};
use crate::store::HubStore;

/// A target and the organisation that it belongs to.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    /// Whose signals these are.
    pub(crate) tenant: TenantId,
    /// What is looked at.
    pub(crate) target: Arc<Target>,
}

/// A look that is over.
pub(crate) struct Look {
    /// Which of the targets of the round.
    pub(crate) index: usize,
    /// What was looked at.
    pub(crate) watched: Watched,
    /// What was seen.
    pub(crate) observation: Observation,
    /// The signals that it makes.
    pub(crate) drafts: Vec<SignalDraft>,
    /// Whether they were stored.
    pub(crate) stored: Result<(), EmitError>,
}

/// What all looks share.
pub(crate) struct Scanner {
    config: ScanConfig,
    provider: Arc<CryptoProvider>,
    lookups: Arc<Semaphore>,
}

impl Scanner {
    /// Makes a scanner of a configuration.
    pub(crate) fn new(config: &ScanConfig) -> Arc<Self> {
        Arc::new(Self {
            config: config.clone(),
            provider: Arc::new(ring::default_provider()),
            lookups: Arc::new(Semaphore::new(config.concurrency)),
        })
    }

    /// How long the signals of a look hold: one that is not watched any more ends by itself, and
    /// two looks may fail to be stored before one that is watched does.
    pub(crate) fn ttl(&self) -> Span {
        Span::from_micros(self.config.interval.micros() * LIVES_FOR_INTERVALS)
    }

    async fn look(&self, target: &Target, clock: &Clock) -> Observation {
        match timeout(self.config.within, self.shown(target)).await {
            Ok(Ok(shown)) => {
                let trust = Trust {
                    roots: &self.config.roots,
                    algorithms: self.provider.signature_verification_algorithms,
                };
                judge(&shown, &target.name, &trust, clock.now())
            }
            Ok(Err(obstacle)) => Observation::Unseen(obstacle),
            Err(_) => Observation::Unseen(Obstacle::TimedOut),
        }
    }

    async fn shown(&self, target: &Target) -> Result<handshake::Shown, Obstacle> {
        let addresses = lookup::addresses(&target.endpoint, target.reach, &self.lookups).await?;
        let (name, within) = (target.name.clone(), self.config.connect_within);
        handshake::shown_at(&addresses, name, &self.provider, within).await
    }
}

/// Finds the organisations of the configured targets.
///
/// # Errors
/// A configuration failure for one that does not exist, else what the store says.
pub(crate) async fn watched(
    store: &dyn HubStore,
    config: &ScanConfig,
) -> Result<Vec<Watched>, Failure> {
    if config.targets.is_empty() {
        return Ok(Vec::new());
    }
    let orgs = store.tenant_names().await?;
    let found = config.targets.iter().map(|target| {
        let org = orgs.iter().find(|(_, name)| name.as_str() == target.org);
        let (tenant, _) = org.ok_or_else(|| {
            let message = format!(
                "scan: certs, {}: no organisation {:?}: expected one of `monsys-hub org list`, \
                 or `org add`",
                target.endpoint, target.org
            );
            Failure::new(FailureKind::Configuration, message)
        })?;
        Ok(Watched {
            tenant: *tenant,
            target: Arc::new(target.clone()),
        })
    });
    found.collect()
}

/// Looks at all of `round`, some at a time, stores what was found of each, and tells `done`.
///
/// When the future is dropped, so are the looks under way and their sockets.
pub(crate) async fn scan(
    scanner: &Arc<Scanner>,
    store: &dyn HubStore,
    clock: &Clock,
    round: Vec<(usize, Watched)>,
    mut done: impl FnMut(Look),
) {
    let mut waiting = round.into_iter();
    let mut looking = JoinSet::new();
    loop {
        while looking.len() < scanner.config.concurrency {
            let Some((index, watched)) = waiting.next() else {
                break;
            };
            let (scanner, clock) = (Arc::clone(scanner), *clock);
            looking.spawn(async move {
                let observation = scanner.look(&watched.target, &clock).await;
                (index, watched, observation)
            });
        }
        let Some(looked) = looking.join_next().await else {
            return;
        };
        let Ok((index, watched, observation)) = looked else {
            tracing::error!("a look at a certificate ended by a panic");
            continue;
        };
        let now = clock.now();
        let drafts = cert::assess(&watched.target.endpoint, &observation, scanner.ttl(), now);
        let stored = Emitter::new(store)
            .emit_batch(watched.tenant, &drafts, now)
            .await;
        done(Look {
            index,
            watched,
            observation,
            drafts,
            stored,
        });
    }
}

/// How many intervals a signal holds.
const LIVES_FOR_INTERVALS: i64 = 3;
