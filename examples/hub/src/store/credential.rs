//! What people prove who they are with: passwords, sessions, refresh tokens, API tokens.
//!
//! A store keeps digests of secrets and hashes of passwords, never what they are made of. What a
//! person holds is bound to their credentials epoch: a new password, a new role and being disabled
//! raise it, and whatever was given out before is void at the next request. Times here are those of
//! the wall clock. Every change leaves its audit entry in the same transaction.

use std::fmt;

use monsys_core::id::{AgentId, ApiTokenId, TenantId, UserId};
use monsys_core::name::DisplayName;
use monsys_core::store::{NewAgent, PublicKey, SharedKey, StoreFuture, TokenDigest};
use monsys_core::time::Timestamp;

use super::account::{Role, SessionUser};

/// Rows of one page of people or API tokens.
pub const LISTED_MAX: u32 = 200;
/// How long a refresh token is good for unless it is used, in seconds: 7 days (row A3).
pub const REFRESH_IDLE_S: i64 = 7 * 86_400;
/// How long a login by refresh tokens lasts at most, in seconds: 30 days (row A3).
pub const REFRESH_ABSOLUTE_S: i64 = 30 * 86_400;
/// Refresh tokens of one login; the next is refused as expired. At one each access token of 15
/// minutes, 30 days take 2,880.
pub const REFRESH_ROTATIONS_MAX: u32 = 10_000;
/// Logins by refresh tokens of one person; with the next, the oldest ends.
pub const REFRESH_FAMILIES_MAX: u32 = 64;
/// How long the last use of an API token may be out of date, in seconds: noting each would write
/// with every read.
pub const LAST_USED_COARSE_S: i64 = 60;

/// Who asks for a change, as the audit log names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// The hub by itself.
    Hub,
    /// Whoever may run its commands.
    CommandLine,
    /// A person.
    User(UserId),
    /// An agent, about itself.
    Agent(AgentId),
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub => f.write_str("hub"),
            Self::CommandLine => f.write_str("command line"),
            Self::User(user) => user.fmt(f),
            Self::Agent(agent) => agent.fmt(f),
        }
    }
}

/// How often what a person holds was made void. It only rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CredentialsEpoch(i64);

impl CredentialsEpoch {
    /// Takes a number that was given out before.
    pub const fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// Returns the number, as tokens carry it.
    pub const fn to_number(self) -> i64 {
        self.0
    }
}

/// A hashed password in the PHC string format, with its salt and parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordPhc(String);

impl PasswordPhc {
    /// Takes what a hash function wrote.
    pub const fn new(phc: String) -> Self {
        Self(phc)
    }

    /// Returns the text, which lets its reader guess at the password.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordPhc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordPhc(…)")
    }
}

/// A person at the moment they prove who they are. What is opened for them is bound to that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Their organisation.
    pub tenant: TenantId,
    /// The person.
    pub user: UserId,
    /// How often what they hold was made void until then.
    pub epoch: CredentialsEpoch,
}

impl From<&SessionUser> for Holder {
    fn from(user: &SessionUser) -> Self {
        Self {
            tenant: user.tenant,
            user: user.user,
            epoch: user.epoch,
        }
    }
}

/// What a login by password is checked against.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Who it would be.
    pub user: SessionUser,
    /// Their hashed password, if they have one.
    pub password: Option<PasswordPhc>,
}

/// What came of showing a refresh token.
#[derive(Debug, Clone)]
pub enum Rotation {
    /// The new token took its place.
    Rotated(SessionUser),
    /// It was used before: whoever holds its successor shares it with somebody else, and the whole
    /// family is void. That is written to the audit log once.
    Reused,
    /// It never was one, or its family ended: by a reuse, or with what its person held.
    Unknown,
    /// It was not used for [`REFRESH_IDLE_S`], or its family is [`REFRESH_ABSOLUTE_S`] old.
    Expired,
}

/// An API token about to be made.
#[derive(Debug, Clone)]
pub struct NewApiToken {
    /// Its identifier, drawn by the caller.
    pub token: ApiTokenId,
    /// The organisation of its owner.
    pub tenant: TenantId,
    /// Whose it is.
    pub owner: UserId,
    /// What people call it.
    pub name: DisplayName,
    /// What it may do at most; never more than its owner.
    pub scope: Role,
    /// Digest of its secret.
    pub digest: [u8; 32],
    /// When it is made.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

/// An API token as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiTokenSummary {
    /// Its identifier.
    pub token: ApiTokenId,
    /// The login name of its owner.
    pub owner: String,
    /// What people call it.
    pub name: DisplayName,
    /// What it may do at most.
    pub scope: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Timestamp,
    /// Since when it is void, if it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was used last, to [`LAST_USED_COARSE_S`].
    pub last_used_at: Option<Timestamp>,
}

/// Where a listing of API tokens goes on: behind the one that was made then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiTokenPlace {
    /// When the last one shown was made.
    pub created_at: Timestamp,
    /// Which it was.
    pub token: ApiTokenId,
}

/// What a hub keeps of proofs of who people are, beside [`AccountStore`](super::AccountStore).
pub trait CredentialStore: Send + Sync {
    /// Finds what a login by password is checked against: `None` for an unknown organisation, an
    /// unknown login name, somebody disabled and the service user. One statement, which looks for a
    /// person whether or not there is such an organisation.
    fn credentials(&self, org: String, email: String) -> StoreFuture<'_, Option<Credentials>>;

    /// Finds a person as they are at this moment; `None` where they are disabled or not there. What
    /// carries another epoch is void.
    fn user_now(&self, tenant: TenantId, user: UserId) -> StoreFuture<'_, Option<SessionUser>>;

    /// Sets a password. What the person held is void: sessions and refresh families end, links that
    /// wait for them are used up. Returns the person after it; `NotFound` for nobody of the
    /// organisation.
    fn set_password(
        &self,
        tenant: TenantId,
        user: UserId,
        password: PasswordPhc,
        by: Author,
    ) -> StoreFuture<'_, Holder>;

    /// Writes another hash of the same password, if the hash is still the one that was verified;
    /// tells whether it was. Nothing becomes void.
    fn replace_phc_if_same(
        &self,
        holder: Holder,
        verified: PasswordPhc,
        rehashed: PasswordPhc,
    ) -> StoreFuture<'_, bool>;

    /// Uses up a set-password link: sets the password as [`set_password`](Self::set_password) does,
    /// and opens a session. `None` when the link is not valid, or its person disabled.
    fn spend_password_link(
        &self,
        link: [u8; 32],
        password: PasswordPhc,
        session: [u8; 32],
        now_and_expiry: (Timestamp, Timestamp),
    ) -> StoreFuture<'_, Option<Holder>>;

    /// Opens a session for somebody who proved who they are. `None` when what they held was made
    /// void meanwhile, or they are disabled.
    fn open_session(
        &self,
        holder: Holder,
        session: [u8; 32],
        now_and_expiry: (Timestamp, Timestamp),
    ) -> StoreFuture<'_, Option<()>>;

    /// Begins a family of refresh tokens with its first. `None` as in
    /// [`open_session`](Self::open_session).
    fn open_family(
        &self,
        holder: Holder,
        first: [u8; 32],
        now: Timestamp,
    ) -> StoreFuture<'_, Option<()>>;

    /// Puts a new refresh token in the place of one that is shown, once: of two that show the same
    /// at the same time one gets [`Rotation::Rotated`], the other [`Rotation::Reused`].
    fn rotate_refresh(
        &self,
        shown: [u8; 32],
        next: [u8; 32],
        now: Timestamp,
    ) -> StoreFuture<'_, Rotation>;

    /// Ends the family of a refresh token, used or not, as its person asks; one that ended before, or
    /// never was, is as good.
    fn end_family(&self, shown: [u8; 32], now: Timestamp) -> StoreFuture<'_, ()>;

    /// Ends all sessions and refresh families of a person, without another password. Returns the
    /// person after it; `NotFound` for nobody of the organisation.
    fn end_sessions(&self, tenant: TenantId, user: UserId, by: Author) -> StoreFuture<'_, Holder>;

    /// Adds an API token; `NotFound` for nobody of the organisation.
    fn add_token(&self, token: NewApiToken, by: Author) -> StoreFuture<'_, ()>;

    /// Finds who an API token belongs to, with the lesser of its scope and their role as it is at
    /// this moment, and notes the use. `None` when it is unknown, expired or revoked, or its owner
    /// disabled.
    fn token_user(&self, digest: [u8; 32], now: Timestamp) -> StoreFuture<'_, Option<SessionUser>>;

    /// Revokes an API token; again changes nothing. `NotFound` for none of the organisation.
    fn revoke_token(&self, tenant: TenantId, token: ApiTokenId, by: Author) -> StoreFuture<'_, ()>;

    /// Lists API tokens of an organisation, the newest first, behind one of them, at most
    /// [`LISTED_MAX`].
    fn tokens(
        &self,
        tenant: TenantId,
        after: Option<ApiTokenPlace>,
        limit: u32,
    ) -> StoreFuture<'_, Vec<ApiTokenSummary>>;

    /// Enrols an agent as [`AgentStore::enrol`](monsys_core::store::AgentStore::enrol) does.
    fn enrol_agent(&self, agent: NewAgent, by: Author) -> StoreFuture<'_, ()>;

    /// Revokes an agent as [`AgentStore::revoke`](monsys_core::store::AgentStore::revoke) does.
    fn revoke_agent(&self, tenant: TenantId, agent: AgentId, by: Author) -> StoreFuture<'_, ()>;

    /// Gives an agent another bearer token; the one before is void. `NotFound` for none of the
    /// organisation with a token.
    fn rotate_agent_token(
        &self,
        tenant: TenantId,
        agent: AgentId,
        token: TokenDigest,
        by: Author,
    ) -> StoreFuture<'_, ()>;

    /// Puts a key in the place of the pinned one, or pins it where there is none, whatever the time
    /// to pin. `NotFound` for none of the organisation with a token.
    fn rotate_agent_key(
        &self,
        tenant: TenantId,
        agent: AgentId,
        change: KeyChange,
        by: Author,
    ) -> StoreFuture<'_, KeyOutcome>;

    /// Gives a device another shared key; the one before is void. `NotFound` for no device of the
    /// organisation.
    fn rotate_device_key(
        &self,
        tenant: TenantId,
        agent: AgentId,
        key: SharedKey,
        by: Author,
    ) -> StoreFuture<'_, ()>;
}

/// Which key an agent gets, and for which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyChange {
    /// The agent itself goes on with another key: its positions stay, for it is the same spool.
    Continue {
        /// The key that must be pinned at this moment.
        old: PublicKey,
        /// The key that follows.
        new: PublicKey,
    },
    /// An operator gives it a key, whichever it had: as after pinning, its positions begin anew.
    Replace {
        /// The key.
        new: PublicKey,
    },
}

/// What came of a change of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOutcome {
    /// The new key is pinned.
    Rotated,
    /// It was pinned already: nothing changed.
    AlreadyPinned,
    /// The key to go on from is not the pinned one.
    OtherKey,
}
