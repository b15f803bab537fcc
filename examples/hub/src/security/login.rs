//! Logging in by a password: the one way that the form and the API share.
//!
//! An unknown organisation, an unknown person, somebody disabled, somebody without a password and a
//! wrong password are one answer, after the same work: one look-up and one hash.

use std::net::IpAddr;
use std::time::Instant;

use axum::http::HeaderMap;
use monsys_core::store::StoreError;

use super::cookie::Jar;
use super::csrf::{CsrfKey, Purpose};
use super::jwt::Tokens;
use super::lockout::{LockedOut, Lockout, Place, Tried};
use super::password::{BUSY_RETRY_AFTER_S, Busy, Compared, Hashing, Password};
use super::secret::digest_of;
use super::transport::Transport;
use crate::app::{App, address_key};
use crate::config::secrets::Secrets;
use crate::store::{Holder, SessionUser};
use crate::telemetry::AuthFailure;

/// Longest organisation or login name that is looked for, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// What proofs of people need.
pub(crate) struct Auth {
    /// Makes and reads tokens of people's programs.
    pub(crate) tokens: Tokens,
    /// Makes and reads tokens of forms.
    pub(crate) csrf: CsrfKey,
    /// Where passwords are hashed.
    pub(crate) hashing: Hashing,
    /// How often passwords were tried.
    pub(crate) lockout: Lockout,
}

impl Auth {
    /// Takes the secrets of this hub, and its identity.
    pub(crate) fn new(secrets: &Secrets, hub_id: &str) -> Self {
        let (access, refresh) = (secrets.access.expose(), secrets.refresh.expose());
        Self {
            tokens: Tokens::new(access, refresh, hub_id),
            csrf: CsrfKey::new(secrets.csrf.expose()),
            hashing: Hashing::new(),
            lockout: Lockout::default(),
        }
    }
}

/// A login as it was asked for.
pub(crate) struct Attempt<'a> {
    /// The name of the organisation.
    pub(crate) org: &'a str,
    /// The login name.
    pub(crate) username: &'a str,
    /// The password.
    pub(crate) password: Password,
}

/// Why nobody is logged in.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The organisation, the person, or the password.
    Wrong,
    /// There were too many failures.
    LockedOut(LockedOut),
    /// There are too many passwords under way.
    Busy,
    /// The store does not answer.
    Store(StoreError),
}

impl Refused {
    /// After how many seconds trying again makes sense, where it does.
    pub(crate) const fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::LockedOut(locked) => Some(locked.retry_after_s),
            Self::Busy => Some(BUSY_RETRY_AFTER_S),
            Self::Wrong | Self::Store(_) => None,
        }
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Busy> for Refused {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

/// Finds out whether a person is who they say they are.
///
/// # Errors
/// When that is not so, or cannot be told at this time.
pub(crate) async fn check(
    app: &App,
    attempt: Attempt<'_>,
    (headers, transport): (&HeaderMap, Transport),
) -> Result<SessionUser, Refused> {
    let auth = &app.auth;
    let tried = Tried::new(attempt.org, attempt.username);
    let place = place_of(app, tried, headers, transport);
    if let Err(locked) = auth.lockout.begin(place, tried, Instant::now()) {
        app.telemetry.auth_failures.add(AuthFailure::LockedOut);
        return Err(Refused::LockedOut(locked));
    }
    let guard = TakeBack {
        lockout: &auth.lockout,
        place,
        tried,
        is_judged: false,
    };
    let found = compare(app, attempt).await;
    guard.finish(&found);
    found
}

/// Returns the cookie by which this browser is known as one of the person's.
pub(crate) fn device_cookie(app: &App, org: &str, username: &str) -> String {
    let tried = Tried::new(org, username);
    app.auth.csrf.token(Purpose::Device, tried.as_bytes())
}

/// Takes an attempt back that was not judged, be it that whoever asked went away.
struct TakeBack<'a> {
    lockout: &'a Lockout,
    place: Place,
    tried: Tried,
    is_judged: bool,
}

impl TakeBack<'_> {
    fn finish(mut self, found: &Result<SessionUser, Refused>) {
        match found {
            Ok(_) => self.lockout.succeeded(self.place, self.tried),
            Err(Refused::Wrong) => {}
            Err(Refused::LockedOut(_) | Refused::Busy | Refused::Store(_)) => return,
        }
        self.is_judged = true;
    }
}

impl Drop for TakeBack<'_> {
    fn drop(&mut self) {
        if !self.is_judged {
            self.lockout.take_back(self.place, self.tried);
        }
    }
}

/// One look-up and one hash, whatever is found.
async fn compare(app: &App, attempt: Attempt<'_>) -> Result<SessionUser, Refused> {
    let names = [attempt.org, attempt.username];
    // What a database may refuse as text is nobody's name.
    let are_names = names
        .iter()
        .all(|name| name.len() <= NAME_BYTES_MAX && !name.contains('\0'));
    let [org, username] = if are_names { names } else { [""; 2] };
    let found = app.store.credentials(org.to_owned(), username.to_owned());
    let found = found.await?;
    let stored = found.as_ref().and_then(|found| found.password.clone());
    let hashing = &app.auth.hashing;
    let compared = hashing.compare(attempt.password, stored).await?;
    let (user, password, stronger) = match (found, compared) {
        (Some(found), Compared::Same { stronger }) => (found.user, found.password, stronger),
        (found, _) => {
            let reason = match found {
                Some(_) => AuthFailure::WrongPassword,
                // Of an organisation that there is, or of none; or disabled.
                None => AuthFailure::UnknownUser,
            };
            app.telemetry.auth_failures.add(reason);
            return Err(Refused::Wrong);
        }
    };
    if let (Some(verified), Some(rehashed)) = (password, stronger) {
        let holder = Holder::from(&user);
        app.store
            .replace_phc_if_same(holder, verified, rehashed)
            .await?;
    }
    Ok(user)
}

fn place_of(app: &App, tried: Tried, headers: &HeaderMap, transport: Transport) -> Place {
    let cookie = Jar::Device.read(headers, transport);
    let is_known = |cookie: &&str| {
        app.auth
            .csrf
            .is_token(Purpose::Device, tried.as_bytes(), cookie)
    };
    match cookie.filter(is_known) {
        Some(cookie) => Place::Device(digest_of(cookie)),
        None => Place::Address(client(transport)),
    }
}

fn client(transport: Transport) -> IpAddr {
    address_key(transport.client)
}
