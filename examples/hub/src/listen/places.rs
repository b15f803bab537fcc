//! How many connections there may be, and how many of one address.
//!
//! Files are what a process runs out of first: each connection is one, and so are the store and its
//! log. So the limit of the process is raised as far as the system allows, and some are kept free.
//! One address gets a share, so that no single machine keeps everybody else out; a trusted proxy has
//! none, because everybody comes through it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Files that are not connections: the store, its log, looks at endpoints, answers of the agent.
const FILES_KEPT: usize = 256;
/// Least number of connections, whatever the system says.
const CONNECTIONS_MIN: usize = 64;

/// The places of a hub.
#[derive(Clone)]
pub(crate) struct Places {
    of_all: Arc<Semaphore>,
    of_address: Arc<Counts>,
    of_address_max: usize,
    proxies: Arc<[IpNet]>,
}

/// A place; free again when dropped.
pub(crate) struct Place {
    _of_all: OwnedSemaphorePermit,
    of_address: Option<(IpAddr, Arc<Counts>)>,
}

/// How many connections each address has; one without any is not there.
#[derive(Default)]
struct Counts(Mutex<BTreeMap<IpAddr, usize>>);

impl Places {
    /// So many places, so many of them for one address; 0 of an address is no limit.
    pub(crate) fn new(of_all: usize, of_address: usize, proxies: Arc<[IpNet]>) -> Self {
        Self {
            of_all: Arc::new(Semaphore::new(of_all)),
            of_address: Arc::default(),
            of_address_max: of_address,
            proxies,
        }
    }

    /// Takes a place for an address, if there is one.
    pub(super) fn take(&self, peer: IpAddr) -> Option<Place> {
        let of_all = Arc::clone(&self.of_all).try_acquire_owned().ok()?;
        let peer = peer.to_canonical();
        let is_proxy = self.proxies.iter().any(|network| network.contains(&peer));
        if self.of_address_max == 0 || is_proxy {
            return Some(Place {
                _of_all: of_all,
                of_address: None,
            });
        }
        let mut counts = self.of_address.lock();
        let count = counts.entry(peer).or_insert(0);
        if *count >= self.of_address_max {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Place {
            _of_all: of_all,
            of_address: Some((peer, Arc::clone(&self.of_address))),
        })
    }
}

impl Counts {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((peer, counts)) = &self.of_address else {
            return;
        };
        let mut counts = counts.lock();
        // An address without connections is forgotten, so that the map is no larger than they are.
        if let Some(count) = counts.get_mut(peer) {
            *count -= 1;
            if *count == 0 {
                counts.remove(peer);
            }
        }
    }
}

/// Raises the number of files that this process may open as far as the system lets it, and returns
/// how many connections that is enough for.
pub(crate) fn raise_file_limit(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let n_files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let Some(n_files) = n_files else {
        return wanted;
    };
    let n_files = usize::try_from(n_files).unwrap_or(usize::MAX);
    let enough_for = n_files.saturating_sub(FILES_KEPT).max(CONNECTIONS_MIN);
    if enough_for < wanted {
        tracing::warn!(
            n_files,
            connections = enough_for,
            "fewer connections than configured: expected a higher limit of open files"
        );
    }
    wanted.min(enough_for)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_its_share_and_all_get_what_there_is() {
        let proxy: IpAddr = [10, 0, 0, 1].into();
        let proxies = Arc::from([IpNet::from(proxy)]);
        let places = Places::new(5, 2, proxies);
        let (one, other): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let first = places.take(one).unwrap();
        let _second = places.take(one).unwrap();
        assert!(places.take(one).is_none());
        let _others = places.take(other).unwrap();
        let behind: Vec<_> = (0..3).map_while(|_| places.take(proxy)).collect();
        assert_eq!(
            behind.len(),
            2,
            "a proxy has no share, and there are five places"
        );
        assert!(places.take(other).is_none());
        drop(behind);
        assert!(places.take(one).is_none());
        drop(first);
        assert!(places.take(one).is_some());
        drop((_second, _others));
        assert!(places.of_address.lock().is_empty());
    }
}
