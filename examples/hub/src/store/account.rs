//! Organisations, people, login links and sessions: what every back end of the hub keeps.
//!
//! Secrets are stored as SHA-256 digests only. Times here are those of the wall clock.

use std::collections::BTreeMap;

use monsys_core::id::{AgentId, TenantId, UserId};
use monsys_core::name::DisplayName;
use monsys_core::store::StoreFuture;
use monsys_core::time::Timestamp;

use super::credential::{Author, CredentialsEpoch, PasswordPhc};

/// What a person may do, the less first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads.
    ReadOnly,
    /// Reads and changes.
    Admin,
}

impl Role {
    /// Finds the role of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Admin, Self::ReadOnly]
            .into_iter()
            .find(|role| role.as_str() == word)
    }

    /// Returns the word used in SQL, JSON and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::ReadOnly => "read_only",
        }
    }
}

/// A person about to be added.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Their id, drawn by the caller.
    pub user: UserId,
    /// Their organisation.
    pub tenant: TenantId,
    /// Their login name, once in an organisation.
    pub email: String,
    /// What they may do.
    pub role: Role,
    /// The hash of their password; without one they log in by links only.
    pub password: Option<PasswordPhc>,
}

/// A person as people see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSummary {
    /// The person.
    pub user: UserId,
    /// Their login name.
    pub email: String,
    /// What they may do.
    pub role: Role,
    /// Whether they have a password.
    pub has_password: bool,
    /// Since when they may not log in, where they may not.
    pub disabled_at: Option<Timestamp>,
    /// When they were added.
    pub created_at: Timestamp,
}

/// Whether a person may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// They may.
    Enabled,
    /// They may not, and what they held is void.
    Disabled,
}

/// What came of a change of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserChange {
    /// It is done; what the person held before is void.
    Done,
    /// They were like that already.
    Unchanged,
    /// Refused: nobody could administer the organisation any more.
    LastAdmin,
}

/// Who a session, an access token or an API token belongs to.
#[derive(Debug, Clone)]
pub struct SessionUser {
    /// The person.
    pub user: UserId,
    /// Their organisation.
    pub tenant: TenantId,
    /// What it is called.
    pub tenant_name: DisplayName,
    /// Their login name.
    pub email: String,
    /// What they may do; with an API token, what it may do.
    pub role: Role,
    /// How often what they hold was made void.
    pub epoch: CredentialsEpoch,
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A person, by login name.
    Person(String),
    /// The hub itself: the service user, which nobody logs in as.
    Worker,
}

/// What a one-time link lets its holder do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginLink {
    /// Log in as this person.
    Login(UserId),
    /// Set a password for this person, and log in.
    SetPassword(UserId),
    /// Make the first organisation and person of an empty hub.
    SetUp,
}

/// What a hub keeps of organisations, people and itself, beside the storage contract.
pub trait AccountStore: Send + Sync {
    /// Reads a named value of the hub itself.
    fn meta(&self, name: &'static str) -> StoreFuture<'_, Option<String>>;

    /// Writes a named value of the hub itself unless there is one, and returns what is stored.
    fn meta_or_insert(&self, name: &'static str, value: String) -> StoreFuture<'_, String>;

    /// Adds an organisation and the service user that closes its findings.
    fn add_tenant(&self, tenant: TenantId, name: DisplayName) -> StoreFuture<'_, ()>;

    /// Lists organisations by name.
    fn tenant_names(&self) -> StoreFuture<'_, Vec<(TenantId, DisplayName)>>;

    /// Adds a person; `AlreadyExists` where their organisation has one of this login name.
    fn add_user(&self, user: NewUser, by: Author) -> StoreFuture<'_, ()>;

    /// Lists people of an organisation by login name, behind one of them, at most
    /// [`LISTED_MAX`](super::LISTED_MAX).
    fn users(
        &self,
        tenant: TenantId,
        after: Option<String>,
        limit: u32,
    ) -> StoreFuture<'_, Vec<UserSummary>>;

    /// Lets a person log in or not. Their sessions and refresh families end either way; links that
    /// wait for them are void while they are disabled. `NotFound` for nobody of the organisation.
    fn set_access(
        &self,
        tenant: TenantId,
        user: UserId,
        access: Access,
        by: Author,
    ) -> StoreFuture<'_, UserChange>;

    /// Changes what a person may do, from their next request on: their sessions and refresh
    /// families end. `NotFound` for nobody of the organisation.
    fn set_role(
        &self,
        tenant: TenantId,
        user: UserId,
        role: Role,
        by: Author,
    ) -> StoreFuture<'_, UserChange>;

    /// Counts people who can log in.
    fn user_count(&self) -> StoreFuture<'_, u64>;

    /// Finds a person of an organisation by login name.
    fn user_by_email(&self, tenant: TenantId, email: String) -> StoreFuture<'_, Option<UserId>>;

    /// Finds who some users of an organisation are; one that is not there is left out.
    fn actors(
        &self,
        tenant: TenantId,
        users: Vec<UserId>,
    ) -> StoreFuture<'_, BTreeMap<UserId, Actor>>;

    /// Finds an agent of an organisation by what people call it.
    fn agent_by_name(&self, tenant: TenantId, name: String) -> StoreFuture<'_, Option<AgentId>>;

    /// Stores a one-time link by the digest of its secret.
    fn add_link(
        &self,
        digest: [u8; 32],
        link: LoginLink,
        expires_at: Timestamp,
        by: Author,
    ) -> StoreFuture<'_, ()>;

    /// Looks at a link without using it up; `None` when it is unknown, used or expired, or when its
    /// person is disabled.
    fn link(&self, digest: [u8; 32], now: Timestamp) -> StoreFuture<'_, Option<LoginLink>>;

    /// Removes the links whose time is over, used or not, and says how many that were.
    fn forget_links(&self, now: Timestamp) -> StoreFuture<'_, u64>;

    /// Uses up a login link and opens a session for its person.
    fn log_in(
        &self,
        link: [u8; 32],
        session: [u8; 32],
        now: Timestamp,
        expires_at: Timestamp,
    ) -> StoreFuture<'_, Option<()>>;

    /// Uses up a set-up link: makes an organisation and its first person, and opens a session.
    /// `None` when the link is not valid, or when there is a person already.
    fn set_up(
        &self,
        link: [u8; 32],
        name: DisplayName,
        user: NewUser,
        session: [u8; 32],
        now_and_expiry: (Timestamp, Timestamp),
    ) -> StoreFuture<'_, Option<()>>;

    /// Finds who a session belongs to; `None` when it is unknown or expired, when the person is
    /// disabled, and when what they held was made void since it was opened.
    fn session(&self, digest: [u8; 32], now: Timestamp) -> StoreFuture<'_, Option<SessionUser>>;

    /// Ends a session.
    fn log_out(&self, digest: [u8; 32]) -> StoreFuture<'_, ()>;

    /// Writes an audit entry for an action that is not itself a method of this store.
    fn add_audit(
        &self,
        tenant: Option<TenantId>,
        by: Author,
        action: &'static str,
        subject: String,
    ) -> StoreFuture<'_, ()>;

    /// Asks for a transaction: the future is ready when the store can store.
    fn check_writable(&self) -> StoreFuture<'_, ()>;

    /// Waits until all that was queued is durable, and lets go of the database. May block.
    fn close(&self);
}
