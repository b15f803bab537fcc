//! Where the hub is: looked up once, and again when it is not reached there.
//!
//! The HTTP client asks for addresses before each request, also where it has a connection already,
//! and its own resolver starts a thread to ask for them. For an agent that would be a thread and a
//! question to a name server with every sample. What: remembers the answer for as long as it works,
//! at most [`KEPT`]. What not: the question itself, which has the client's limit in time. Cost: a
//! few addresses.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Remembers the addresses of one host; a copy shares the memory.
#[derive(Clone, Default)]
pub(super) struct Remembering {
    known: Arc<Mutex<Option<Known>>>,
}

struct Known {
    host: Uri,
    addresses: ResolvedSocketAddrs,
    since: Instant,
}

impl Remembering {
    /// Forgets them, because nobody answered there.
    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    fn recall(&self, host: &Uri) -> Option<ResolvedSocketAddrs> {
        let known = self.lock();
        let known = known.as_ref()?;
        let is_same =
            known.host.scheme() == host.scheme() && known.host.authority() == host.authority();
        (is_same && known.since.elapsed() < KEPT).then(|| copy(&known.addresses))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolver for Remembering {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        if let Some(addresses) = self.recall(uri) {
            return Ok(addresses);
        }
        let addresses = DefaultResolver::default().resolve(uri, config, timeout)?;
        *self.lock() = Some(Known {
            host: uri.clone(),
            addresses: copy(&addresses),
            since: Instant::now(),
        });
        Ok(addresses)
    }
}

impl fmt::Debug for Remembering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remembering")
    }
}

fn copy(addresses: &ResolvedSocketAddrs) -> ResolvedSocketAddrs {
    let mut copied = DefaultResolver::default().empty();
    for address in addresses.iter() {
        copied.push(*address);
    }
    copied
}

/// A hub that moved is found after this, even while its former address still answers.
pub(super) const KEPT: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use ureq::Timeout;
    use ureq::unversioned::transport::time::Duration as Wait;

    use super::*;

    fn resolve(addresses: &Remembering, uri: &Uri) -> Vec<String> {
        let timeout = NextTimeout {
            after: Wait::NotHappening,
            reason: Timeout::Resolve,
            ..NextTimeout::default()
        };
        let found = addresses.resolve(uri, &Config::default(), timeout).unwrap();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_address_is_remembered_for_its_host_until_it_is_forgotten() {
        let addresses = Remembering::default();
        let [here, same, other] = [
            "http://127.0.0.1:7/a",
            "http://127.0.0.1:7/b",
            "http://127.0.0.1:8/a",
        ]
        .map(|uri| uri.parse::<Uri>().unwrap());
        assert!(addresses.recall(&here).is_none());
        assert_eq!(resolve(&addresses, &here), ["127.0.0.1:7"]);
        assert!(addresses.recall(&same).is_some());
        assert!(addresses.recall(&other).is_none());
        assert_eq!(resolve(&addresses, &other), ["127.0.0.1:8"]);
        assert!(addresses.recall(&here).is_none(), "one host is enough");
        addresses.clone().forget();
        assert!(addresses.recall(&other).is_none());
    }
}
