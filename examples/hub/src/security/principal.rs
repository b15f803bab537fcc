//! Who asks, and by what they prove it: a session's cookie, an access token, or an API token.
//!
//! Whatever it is, the store is asked at each request who that is at this moment, so that a new role,
//! being disabled and being removed take effect at once. A request that shows a bearer token is
//! judged by it alone: one that is not good is not made good by a cookie beside it.

use axum::http::{HeaderMap, header};
use monsys_core::store::StoreError;
use monsys_core::time::Timestamp;

use super::cookie::Jar;
use super::csrf::{CsrfKey, Purpose};
use super::secret::{Secret, digest_of};
use super::transport::Transport;
use crate::app::App;
use crate::clock::wall_now;
use crate::store::{Holder, Role, SessionUser};
use crate::telemetry::AuthFailure;

/// What API tokens begin with.
const API_TOKEN_PREFIX: &str = "mst_";
/// The header that carries the token of a session's forms, for scripts.
pub(crate) const CSRF_HEADER: &str = "x-csrf-token";

/// Somebody who proved who they are.
pub(crate) struct Principal {
    /// Who that is, and what they may do by this proof.
    pub(crate) user: SessionUser,
    /// The last entry of the ledger before anything else was read; 0 where nothing will be shown.
    pub(crate) ledger_seq: u64,
    proof: Proof,
    csrf: CsrfKey,
}

/// By what somebody proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The cookie of a session, by its digest. A browser adds it by itself, to requests that other
    /// sites make it send as well.
    Cookie([u8; 32]),
    /// An access token, by its digest, what it says, and until when.
    AccessToken([u8; 32], Holder, Timestamp),
    /// An API token, by its digest.
    ApiToken([u8; 32]),
}

impl Principal {
    /// Reads how long the ledger is before a page is read.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn at_ledger(self, app: &App) -> Result<Self, StoreError> {
        let head = app.store.ledger_head(self.user.tenant).await?;
        Ok(Self {
            ledger_seq: head.seq,
            ..self
        })
    }

    /// Returns by what they prove who they are.
    pub(crate) const fn proof(&self) -> Proof {
        self.proof
    }

    /// Tells whether the proof is a cookie, which a browser sends without being told to.
    pub(crate) const fn is_by_cookie(&self) -> bool {
        matches!(self.proof, Proof::Cookie(_))
    }

    /// Returns a token for the forms of this session.
    pub(crate) fn csrf_token(&self) -> String {
        self.csrf.token(Purpose::Session, &self.digest())
    }

    /// Tells whether a form carries a token of this session; without a cookie none is needed.
    pub(crate) fn is_csrf_token(&self, token: &str) -> bool {
        !self.is_by_cookie() || self.csrf.is_token(Purpose::Session, &self.digest(), token)
    }

    /// Tells whether a call carries a token of this session in its header, once.
    pub(crate) fn has_csrf_header(&self, headers: &HeaderMap) -> bool {
        let mut shown = headers.get_all(CSRF_HEADER).iter();
        let token = match (shown.next(), shown.next()) {
            (Some(only), None) => only.to_str().unwrap_or_default(),
            _ => "",
        };
        self.is_csrf_token(token)
    }

    /// Returns the digest of what proves it.
    pub(crate) const fn digest(&self) -> [u8; 32] {
        match self.proof {
            Proof::Cookie(digest) | Proof::AccessToken(digest, ..) | Proof::ApiToken(digest) => {
                digest
            }
        }
    }

    /// Tells whether they may change things.
    pub(crate) fn is_admin(&self) -> bool {
        self.user.role == Role::Admin
    }
}

/// Finds who a request is from, if it proves that.
///
/// # Errors
/// Those of the store.
pub(crate) async fn find(
    headers: &HeaderMap,
    transport: Transport,
    app: &App,
) -> Result<Option<Principal>, StoreError> {
    let failures = &app.telemetry.auth_failures;
    let proof = if headers.contains_key(header::AUTHORIZATION) {
        let proof = bearer(headers).and_then(|token| proof_of(token, app));
        if proof.is_none() {
            failures.add(AuthFailure::AccessToken);
        }
        proof
    } else {
        let secret = Jar::Session
            .read(headers, transport)
            .and_then(Secret::parse);
        secret.map(|secret| Proof::Cookie(secret.digest()))
    };
    let Some(proof) = proof else { return Ok(None) };
    let user = user_of(proof, app).await?;
    if user.is_none() {
        failures.add(match proof {
            Proof::Cookie(_) => AuthFailure::Session,
            Proof::AccessToken(..) => AuthFailure::AccessToken,
            Proof::ApiToken(_) => AuthFailure::ApiToken,
        });
    }
    Ok(user.map(|user| Principal {
        user,
        ledger_seq: 0,
        proof,
        csrf: app.auth.csrf.clone(),
    }))
}

/// Finds who a proof belongs to at this moment.
///
/// # Errors
/// Those of the store.
pub(crate) async fn user_of(proof: Proof, app: &App) -> Result<Option<SessionUser>, StoreError> {
    let now = wall_now();
    match proof {
        Proof::Cookie(digest) => app.store.session(digest, now).await,
        Proof::ApiToken(digest) => app.store.token_user(digest, now).await,
        // It was good when the request came; a stream may outlive it.
        Proof::AccessToken(_, _, until) if until < now => Ok(None),
        Proof::AccessToken(_, holder, _) => {
            let user = app.store.user_now(holder.tenant, holder.user).await?;
            Ok(user.filter(|user| user.epoch == holder.epoch))
        }
    }
}

fn proof_of(token: &str, app: &App) -> Option<Proof> {
    if let Some(secret) = token.strip_prefix(API_TOKEN_PREFIX) {
        return Secret::parse(secret).map(|_| Proof::ApiToken(digest_of(token)));
    }
    let (holder, until) = app.auth.tokens.read_access(token, wall_now()).ok()?;
    Some(Proof::AccessToken(digest_of(token), holder, until))
}

/// Reads the token of the one `Authorization` there is (RFC 6750 §2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (shown.next(), shown.next()) else {
        return None;
    };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}
