//! What people and agents prove who they are with, in SQLite: which function does what.

use monsys_core::id::{AgentId, ApiTokenId, TenantId, UserId};
use monsys_core::store::{NewAgent, SharedKey, StoreFuture, TokenDigest};
use monsys_core::time::Timestamp;

use super::account::audit;
use super::{SqliteStore, agent, api_token, enrolment, person, refresh, session};
use crate::store::{
    ApiTokenPlace, ApiTokenSummary, Author, CredentialStore, Credentials, Holder, KeyChange,
    KeyOutcome, NewApiToken, PasswordPhc, Rotation, SessionUser,
};

impl CredentialStore for SqliteStore {
    fn credentials(&self, org: String, email: String) -> StoreFuture<'_, Option<Credentials>> {
        self.read(move |connection| person::credentials(connection, &org, &email))
    }

    fn user_now(&self, tenant: TenantId, user: UserId) -> StoreFuture<'_, Option<SessionUser>> {
        self.read(move |connection| person::now(connection, (tenant, user)))
    }

    fn set_password(
        &self,
        tenant: TenantId,
        user: UserId,
        password: PasswordPhc,
        by: Author,
    ) -> StoreFuture<'_, Holder> {
        self.write(move |connection| {
            person::set_password(connection, (tenant, user), &password, by)
        })
    }

    fn replace_phc_if_same(
        &self,
        holder: Holder,
        verified: PasswordPhc,
        rehashed: PasswordPhc,
    ) -> StoreFuture<'_, bool> {
        self.write(move |connection| person::replace_phc(connection, holder, &verified, &rehashed))
    }

    fn spend_password_link(
        &self,
        link: [u8; 32],
        password: PasswordPhc,
        session: [u8; 32],
        times: (Timestamp, Timestamp),
    ) -> StoreFuture<'_, Option<Holder>> {
        self.write(move |connection| {
            person::spend_password_link(connection, link, &password, session, times)
        })
    }

    fn open_session(
        &self,
        holder: Holder,
        session: [u8; 32],
        times: (Timestamp, Timestamp),
    ) -> StoreFuture<'_, Option<()>> {
        self.write(move |connection| session::open(connection, holder, session, times))
    }

    fn open_family(
        &self,
        holder: Holder,
        first: [u8; 32],
        now: Timestamp,
    ) -> StoreFuture<'_, Option<()>> {
        self.write(move |connection| refresh::open_family(connection, holder, first, now))
    }

    fn rotate_refresh(
        &self,
        shown: [u8; 32],
        next: [u8; 32],
        now: Timestamp,
    ) -> StoreFuture<'_, Rotation> {
        self.write(move |connection| refresh::rotate(connection, shown, next, now))
    }

    fn end_family(&self, shown: [u8; 32], now: Timestamp) -> StoreFuture<'_, ()> {
        self.write(move |connection| refresh::end(connection, shown, now))
    }

    fn end_sessions(&self, tenant: TenantId, user: UserId, by: Author) -> StoreFuture<'_, Holder> {
        self.write(move |connection| person::end_sessions(connection, (tenant, user), by))
    }

    fn add_token(&self, token: NewApiToken, by: Author) -> StoreFuture<'_, ()> {
        self.write(move |connection| api_token::add(connection, &token, by))
    }

    fn token_user(&self, digest: [u8; 32], now: Timestamp) -> StoreFuture<'_, Option<SessionUser>> {
        Box::pin(async move {
            let found = self.read(move |connection| api_token::find(connection, digest, now));
            let Some(shown) = found.await? else {
                return Ok(None);
            };
            if shown.is_use_due {
                let of = (shown.user.tenant, shown.token);
                let noted = self.write(move |connection| api_token::note_use(connection, of, now));
                if let Err(error) = noted.await {
                    tracing::warn!(%error, "the use of an API token was not noted");
                }
            }
            Ok(Some(shown.user))
        })
    }

    fn revoke_token(&self, tenant: TenantId, token: ApiTokenId, by: Author) -> StoreFuture<'_, ()> {
        self.write(move |connection| api_token::revoke(connection, (tenant, token), by))
    }

    fn tokens(
        &self,
        tenant: TenantId,
        after: Option<ApiTokenPlace>,
        limit: u32,
    ) -> StoreFuture<'_, Vec<ApiTokenSummary>> {
        self.read(move |connection| api_token::list(connection, tenant, after, limit))
    }

    fn enrol_agent(&self, new: NewAgent, by: Author) -> StoreFuture<'_, ()> {
        self.write(move |connection| {
            agent::insert(connection, &new)?;
            let (tenant, id) = (Some(new.tenant), new.agent.to_string());
            audit(connection, tenant, by, "agent enrolled", &id)
        })
    }

    fn revoke_agent(&self, tenant: TenantId, agent: AgentId, by: Author) -> StoreFuture<'_, ()> {
        self.write_metrics(move |connection, metrics| {
            agent::revoke(connection, (tenant, agent), metrics)?;
            let id = agent.to_string();
            audit(connection, Some(tenant), by, "agent revoked", &id)
        })
    }

    fn rotate_agent_token(
        &self,
        tenant: TenantId,
        agent: AgentId,
        token: TokenDigest,
        by: Author,
    ) -> StoreFuture<'_, ()> {
        self.write(move |connection| {
            enrolment::rotate_token(connection, (tenant, agent), token, by)
        })
    }

    fn rotate_agent_key(
        &self,
        tenant: TenantId,
        agent: AgentId,
        change: KeyChange,
        by: Author,
    ) -> StoreFuture<'_, KeyOutcome> {
        self.write(move |connection| enrolment::rotate_key(connection, (tenant, agent), change, by))
    }

    fn rotate_device_key(
        &self,
        tenant: TenantId,
        agent: AgentId,
        key: SharedKey,
        by: Author,
    ) -> StoreFuture<'_, ()> {
        self.write(move |connection| {
            enrolment::rotate_device_key(connection, (tenant, agent), &key, by)
        })
    }
}
