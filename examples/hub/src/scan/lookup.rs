//! From a host to addresses that may be connected to.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use monsys_signals::scan::cert::Obstacle;
use monsys_signals::scan::{Endpoint, Host};
use tokio::sync::{Semaphore, oneshot};

use super::address::{is_of_one_machine, is_public};
use super::config::Reach;

/// Finds the addresses of an endpoint.
///
/// One that is not allowed refuses them all: a name with an address inside is a name that somebody
/// aims at the inside. The caller connects to what is returned and looks nothing up again.
///
/// # Errors
/// `NameNotResolved` and `AddressRefused`.
pub(super) async fn addresses(
    endpoint: &Endpoint,
    reach: Reach,
    lookups: &Arc<Semaphore>,
) -> Result<Vec<SocketAddr>, Obstacle> {
    let found = match endpoint.host() {
        Host::Address(address) => vec![SocketAddr::new(*address, endpoint.port())],
        Host::Name(name) => look_up(name.clone(), endpoint.port(), lookups).await?,
    };
    allowed(found, reach)
}

/// All addresses of a name as far as they are tried, or why none is.
fn allowed(mut found: Vec<SocketAddr>, reach: Reach) -> Result<Vec<SocketAddr>, Obstacle> {
    let is_allowed = |found: &SocketAddr| match reach {
        Reach::Public => is_public(found.ip()),
        Reach::Anywhere => is_of_one_machine(found.ip()),
    };
    if found.is_empty() {
        return Err(Obstacle::NameNotResolved);
    }
    if !found.iter().all(is_allowed) {
        return Err(Obstacle::AddressRefused);
    }
    found.truncate(ADDRESSES_TRIED_MAX);
    Ok(found)
}

/// Asks the operating system, in a thread of its own: a look-up cannot be called off, and the end
/// of the hub must not wait for one. Its slot is free when it ends, not when nobody waits any more,
/// so that a dead name server cannot make threads pile up.
async fn look_up(
    name: String,
    port: u16,
    lookups: &Arc<Semaphore>,
) -> Result<Vec<SocketAddr>, Obstacle> {
    let slot = Arc::clone(lookups).acquire_owned().await;
    let (answer, answered) = oneshot::channel();
    let thread = std::thread::Builder::new().name("lookup".to_owned());
    let started = thread.spawn(move || {
        let found = (name.as_str(), port).to_socket_addrs();
        drop(slot);
        // The look may have run out of time.
        let _ = answer.send(found.map(Vec::from_iter));
    });
    if let Err(error) = started {
        tracing::error!(%error, "no thread for a look-up");
        return Err(Obstacle::NameNotResolved);
    }
    match answered.await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(_)) | Err(_) => Err(Obstacle::NameNotResolved),
    }
}

/// Most addresses of one name that are tried in turn.
const ADDRESSES_TRIED_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(addresses: &[&str], reach: Reach) -> Result<usize, Obstacle> {
        let found = addresses.iter().map(|text| text.parse().unwrap()).collect();
        allowed(found, reach).map(|allowed| allowed.len())
    }

    #[test]
    fn one_address_inside_refuses_the_name_wherever_it_stands_in_the_answer() {
        let public = "8.8.8.8:443";
        assert_eq!(judged(&[public; 9], Reach::Public), Ok(4));
        for place in 0..9 {
            let mut answer = [public; 9];
            answer[place] = "10.0.0.7:443";
            let refused = judged(&answer, Reach::Public);
            assert_eq!(refused, Err(Obstacle::AddressRefused), "{place}");
            assert_eq!(judged(&answer, Reach::Anywhere), Ok(4), "{place}");
            answer[place] = "[ff02::1]:443";
            let refused = judged(&answer, Reach::Anywhere);
            assert_eq!(refused, Err(Obstacle::AddressRefused), "{place}");
        }
        assert_eq!(judged(&[], Reach::Public), Err(Obstacle::NameNotResolved));
    }
}
