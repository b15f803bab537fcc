//! Tells viewers that the ledger of their organisation has grown.
//!
//! What: one task per organisation that somebody looks at reads where the ledger ends, each second,
//! and everybody who looks hears of a change. Because the store is read, what other hubs and
//! commands write is heard as well. What not: what has changed; a browser fetches its page again.
//! Cost: one read a second per organisation with viewers, however many there are; a place per
//! viewer, of which every session, organisation and hub has so many.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use monsys_core::id::TenantId;
use monsys_core::ledger::LedgerHead;
use monsys_core::store::StoreFuture;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::store::HubStore;

/// How often the store is asked; a new finding is promised within 2 s.
const LOOK_EACH: Duration = Duration::from_secs(1);
/// Most viewers of one session. A browser that speaks HTTP/1.1 opens six connections to a hub, and
/// two of them stay free for pages.
pub(crate) const SESSION_VIEWERS_MAX: usize = 4;
/// Most viewers of one organisation.
pub(crate) const TENANT_VIEWERS_MAX: usize = 1_000;
/// Most viewers of one hub: a quarter of its connections, so that agents always find one.
pub(crate) const HUB_VIEWERS_MAX: usize = 4_096;

/// Where ledgers end: all that is asked of a store here.
pub(crate) trait Heads: Send + Sync {
    /// Reads where the ledger of an organisation ends.
    fn head(&self, tenant: TenantId) -> StoreFuture<'_, LedgerHead>;
}

impl Heads for Arc<dyn HubStore> {
    fn head(&self, tenant: TenantId) -> StoreFuture<'_, LedgerHead> {
        self.ledger_head(tenant)
    }
}

/// Everybody who looks.
pub(crate) struct Live {
    store: Arc<dyn Heads>,
    shared: Arc<Shared>,
}

/// A place among those who look; given back when it is dropped.
pub(crate) struct Viewer {
    shared: Arc<Shared>,
    session: [u8; 32],
    heads: watch::Receiver<u64>,
    is_over: watch::Receiver<bool>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// The session has all its places.
    Session,
    /// The organisation has all its places.
    Tenant,
    /// The hub has given all its places.
    Hub,
    /// The hub ends.
    Ending,
}

struct Shared {
    rooms: Mutex<Rooms>,
    is_over: watch::Sender<bool>,
}

#[derive(Default)]
struct Rooms {
    /// By organisation, where its ledger ends. A room whose sender is gone is closed to its viewers.
    heads: BTreeMap<TenantId, watch::Sender<u64>>,
    /// By session, the viewers it has.
    sessions: BTreeMap<[u8; 32], usize>,
    n_viewers: usize,
}

impl Live {
    /// Nobody looks yet.
    pub(crate) fn new(store: Arc<dyn Heads>) -> Self {
        let shared = Shared {
            rooms: Mutex::default(),
            is_over: watch::Sender::new(false),
        };
        Self {
            store,
            shared: Arc::new(shared),
        }
    }

    /// Takes a place for a session; the first of an organisation starts its task.
    ///
    /// # Errors
    /// When one of the bounds is reached, or the hub ends.
    pub(crate) fn enter(&self, tenant: TenantId, session: [u8; 32]) -> Result<Viewer, NoPlace> {
        let mut rooms = self.shared.rooms();
        if *self.shared.is_over.borrow() {
            return Err(NoPlace::Ending);
        }
        if rooms.n_viewers >= HUB_VIEWERS_MAX {
            return Err(NoPlace::Hub);
        }
        if rooms.sessions.get(&session).copied().unwrap_or(0) >= SESSION_VIEWERS_MAX {
            return Err(NoPlace::Session);
        }
        let heads = if let Some(heads) = rooms.heads.get(&tenant) {
            if heads.receiver_count() >= TENANT_VIEWERS_MAX {
                return Err(NoPlace::Tenant);
            }
            heads.subscribe()
        } else {
            let (sender, heads) = watch::channel(0);
            rooms.heads.insert(tenant, sender);
            let (store, shared) = (Arc::clone(&self.store), Arc::clone(&self.shared));
            tokio::spawn(async move { follow(store.as_ref(), &shared, tenant).await });
            heads
        };
        *rooms.sessions.entry(session).or_insert(0) += 1;
        rooms.n_viewers += 1;
        Ok(Viewer {
            shared: Arc::clone(&self.shared),
            session,
            heads,
            is_over: self.shared.is_over.subscribe(),
        })
    }

    /// Sends everybody away, and lets nobody in any more.
    pub(crate) fn end(&self) {
        self.shared.is_over.send_replace(true);
    }
}

impl Viewer {
    /// Waits until the ledger has grown beyond entry `told`, and returns the number of its last
    /// entry; `None` when the hub ends or its store does not answer.
    pub(crate) async fn grown_beyond(&mut self, told: u64) -> Option<u64> {
        tokio::select! {
            _ = self.is_over.wait_for(|is_over| *is_over) => None,
            grown = self.heads.wait_for(|seq| *seq > told) => grown.ok().map(|seq| *seq),
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let mut rooms = self.shared.rooms();
        rooms.n_viewers = rooms.n_viewers.saturating_sub(1);
        if let Some(n_viewers) = rooms.sessions.get_mut(&self.session) {
            *n_viewers -= 1;
            if *n_viewers == 0 {
                rooms.sessions.remove(&self.session);
            }
        }
    }
}

impl Shared {
    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the room of an organisation when nobody is left in it. Who enters takes the same
    /// lock, so nobody enters a room without a task.
    fn is_left(&self, tenant: TenantId) -> bool {
        let mut rooms = self.rooms();
        let is_left = rooms
            .heads
            .get(&tenant)
            .is_none_or(|heads| heads.receiver_count() == 0);
        if is_left {
            rooms.heads.remove(&tenant);
        }
        is_left
    }

    fn tell(&self, tenant: TenantId, seq: u64) {
        if let Some(heads) = self.rooms().heads.get(&tenant) {
            heads.send_if_modified(|known| std::mem::replace(known, seq) != seq);
        }
    }

    fn close(&self, tenant: TenantId) {
        self.rooms().heads.remove(&tenant);
    }
}

/// Reads where a ledger ends until nobody looks any more. A store that does not answer sends all
/// viewers away: a page that hears nothing must not look as if nothing happened.
async fn follow(store: &dyn Heads, shared: &Shared, tenant: TenantId) {
    let mut is_over = shared.is_over.subscribe();
    let mut seconds = tokio::time::interval(LOOK_EACH);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = seconds.tick() => {}
            _ = is_over.wait_for(|is_over| *is_over) => return,
        }
        if shared.is_left(tenant) {
            return;
        }
        match store.head(tenant).await {
            Ok(head) => shared.tell(tenant, head.seq),
            Err(error) => {
                tracing::warn!(%error, "viewers are sent away: the store did not answer");
                shared.close(tenant);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

    use monsys_core::store::StoreError;
    use tokio::time::Instant;

    use super::*;

    const TENANT: TenantId = TenantId::from_bytes([1; 16]);
    const OTHER: TenantId = TenantId::from_bytes([2; 16]);

    /// A ledger of the length that a test chooses, which counts how often it is read.
    #[derive(Default)]
    struct Ledger {
        seq: AtomicU64,
        is_away: AtomicBool,
        n_reads: AtomicUsize,
    }

    impl Heads for Ledger {
        fn head(&self, _: TenantId) -> StoreFuture<'_, LedgerHead> {
            self.n_reads.fetch_add(1, Ordering::Relaxed);
            let head = LedgerHead {
                seq: self.seq.load(Ordering::Relaxed),
                ..LedgerHead::EMPTY
            };
            let is_away = self.is_away.load(Ordering::Relaxed);
            Box::pin(async move {
                if is_away {
                    Err(StoreError::Unavailable)
                } else {
                    Ok(head)
                }
            })
        }
    }

    fn live() -> (Arc<Ledger>, Live) {
        let ledger = Arc::new(Ledger::default());
        let live = Live::new(Arc::<Ledger>::clone(&ledger));
        (ledger, live)
    }

    fn session(n: usize) -> [u8; 32] {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&n.to_be_bytes());
        digest
    }

    #[tokio::test(start_paused = true)]
    async fn five_hundred_viewers_cost_one_read_a_second_and_all_hear_within_one() {
        let (ledger, live) = live();
        let viewers: Vec<_> = (0..500)
            .map(|n| live.enter(TENANT, session(n)).ok().unwrap())
            .collect();
        let waiting = viewers.into_iter().map(|mut viewer| async move {
            let seq = viewer.grown_beyond(0).await;
            (seq, Instant::now())
        });
        let waiting: Vec<_> = waiting.map(tokio::spawn).collect();
        let start = Instant::now();
        tokio::time::sleep(Duration::from_millis(60_500)).await;
        assert_eq!(ledger.n_reads.load(Ordering::Relaxed), 61);
        ledger.seq.store(7, Ordering::Relaxed);
        for waiting in waiting {
            let (seq, at) = waiting.await.unwrap();
            assert_eq!((seq, at - start), (Some(7), Duration::from_secs(61)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reading_ends_with_the_last_viewer_and_starts_with_the_next() {
        let (ledger, live) = live();
        let first = live.enter(TENANT, session(1)).ok().unwrap();
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        drop(first);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(ledger.n_reads.load(Ordering::Relaxed), 3);
        ledger.seq.store(3, Ordering::Relaxed);
        let mut next = live.enter(TENANT, session(1)).ok().unwrap();
        assert_eq!(next.grown_beyond(0).await, Some(3));
        drop(next);
        assert_eq!(live.shared.rooms().n_viewers, 0);
        assert!(live.shared.rooms().sessions.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_does_not_answer_sends_viewers_away_and_lets_them_come_back() {
        let (ledger, live) = live();
        let mut viewer = live.enter(TENANT, session(1)).ok().unwrap();
        ledger.is_away.store(true, Ordering::Relaxed);
        assert_eq!(viewer.grown_beyond(0).await, None);
        ledger.is_away.store(false, Ordering::Relaxed);
        ledger.seq.store(1, Ordering::Relaxed);
        let mut again = live.enter(TENANT, session(1)).ok().unwrap();
        assert_eq!(again.grown_beyond(0).await, Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_bounded_and_given_back() {
        let (_, live) = live();
        let mut viewers: Vec<_> = (0..SESSION_VIEWERS_MAX)
            .map(|_| live.enter(TENANT, session(0)).ok().unwrap())
            .collect();
        let refused = |tenant, n| live.enter(tenant, session(n)).err();
        assert_eq!(refused(TENANT, 0), Some(NoPlace::Session));
        assert_eq!(refused(OTHER, 0), Some(NoPlace::Session));
        viewers.pop();
        assert_eq!(refused(TENANT, 0), None, "a place came back");
        let more = (viewers.len()..TENANT_VIEWERS_MAX).map(|n| live.enter(TENANT, session(n)));
        viewers.extend(more.map(|viewer| viewer.ok().unwrap()));
        assert_eq!(refused(TENANT, 9_999), Some(NoPlace::Tenant));
        assert_eq!(refused(OTHER, 9_999), None);
        for n in viewers.len()..HUB_VIEWERS_MAX {
            let tenant = TenantId::from_random_bytes(*session(n).first_chunk().unwrap());
            viewers.push(live.enter(tenant, session(n)).ok().unwrap());
        }
        assert_eq!(refused(OTHER, 9_999), Some(NoPlace::Hub));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_reaches_everybody_and_nobody_enters_any_more() {
        let (_, live) = live();
        let mut viewer = live.enter(TENANT, session(1)).ok().unwrap();
        live.end();
        assert_eq!(viewer.grown_beyond(0).await, None);
        assert_eq!(live.enter(TENANT, session(2)).err(), Some(NoPlace::Ending));
    }
}
