//! What people and agents prove who they are with, in PostgreSQL: which function does what.

use monsys_core::id::{AgentId, ApiTokenId, TenantId, UserId};
use monsys_core::store::{NewAgent, SharedKey, StoreFuture, TokenDigest};
use monsys_core::time::Timestamp;

use super::account::audit;
use super::transaction::Plan;
use super::{PostgresStore, agent, api_token, enrolment, person, refresh, session};
use crate::clock::wall_now;
use crate::store::{
    ApiTokenPlace, ApiTokenSummary, Author, CredentialStore, Credentials, Holder, KeyChange,
    KeyOutcome, NewApiToken, PasswordPhc, Rotation, SessionUser,
};

impl CredentialStore for PostgresStore {
    fn credentials(&self, org: String, email: String) -> StoreFuture<'_, Option<Credentials>> {
        self.run(Plan::read_hub("credentials"), move |tx| {
            let (org, email) = (org.clone(), email.clone());
            Box::pin(async move { person::credentials(tx, &org, &email).await })
        })
    }

    fn user_now(&self, tenant: TenantId, user: UserId) -> StoreFuture<'_, Option<SessionUser>> {
        self.run(Plan::read("user now", tenant), move |tx| {
            Box::pin(async move { person::now(tx, (tenant, user)).await })
        })
    }

    fn set_password(
        &self,
        tenant: TenantId,
        user: UserId,
        password: PasswordPhc,
        by: Author,
    ) -> StoreFuture<'_, Holder> {
        self.run(Plan::write("set password", tenant), move |tx| {
            let password = password.clone();
            Box::pin(async move { person::set_password(tx, (tenant, user), &password, by).await })
        })
    }

    fn replace_phc_if_same(
        &self,
        holder: Holder,
        verified: PasswordPhc,
        rehashed: PasswordPhc,
    ) -> StoreFuture<'_, bool> {
        self.run(Plan::write("replace hash", holder.tenant), move |tx| {
            let (verified, rehashed) = (verified.clone(), rehashed.clone());
            Box::pin(async move { person::replace_phc(tx, holder, &verified, &rehashed).await })
        })
    }

    fn spend_password_link(
        &self,
        link: [u8; 32],
        password: PasswordPhc,
        session: [u8; 32],
        times: (Timestamp, Timestamp),
    ) -> StoreFuture<'_, Option<Holder>> {
        self.run(Plan::write_hub("spend password link"), move |tx| {
            let password = password.clone();
            Box::pin(async move {
                person::spend_password_link(tx, link, &password, session, times).await
            })
        })
    }

    fn open_session(
        &self,
        holder: Holder,
        session: [u8; 32],
        times: (Timestamp, Timestamp),
    ) -> StoreFuture<'_, Option<()>> {
        self.run(Plan::write("open session", holder.tenant), move |tx| {
            Box::pin(async move { session::open(tx, holder, session, times).await })
        })
    }

    fn open_family(
        &self,
        holder: Holder,
        first: [u8; 32],
        now: Timestamp,
    ) -> StoreFuture<'_, Option<()>> {
        self.run(Plan::write("open family", holder.tenant), move |tx| {
            Box::pin(async move { refresh::open_family(tx, holder, first, now).await })
        })
    }

    fn rotate_refresh(
        &self,
        shown: [u8; 32],
        next: [u8; 32],
        now: Timestamp,
    ) -> StoreFuture<'_, Rotation> {
        self.run(Plan::write_hub("rotate refresh"), move |tx| {
            Box::pin(async move { refresh::rotate(tx, shown, next, now).await })
        })
    }

    fn end_family(&self, shown: [u8; 32], now: Timestamp) -> StoreFuture<'_, ()> {
        self.run(Plan::write_hub("end family"), move |tx| {
            Box::pin(async move { refresh::end(tx, shown, now).await })
        })
    }

    fn end_sessions(&self, tenant: TenantId, user: UserId, by: Author) -> StoreFuture<'_, Holder> {
        self.run(Plan::write("end sessions", tenant), move |tx| {
            Box::pin(async move { person::end_sessions(tx, (tenant, user), by).await })
        })
    }

    fn add_token(&self, token: NewApiToken, by: Author) -> StoreFuture<'_, ()> {
        self.run(Plan::write("add token", token.tenant), move |tx| {
            let token = token.clone();
            Box::pin(async move { api_token::add(tx, &token, by).await })
        })
    }

    fn token_user(&self, digest: [u8; 32], now: Timestamp) -> StoreFuture<'_, Option<SessionUser>> {
        Box::pin(async move {
            let found = self.run(Plan::read_hub("token user"), move |tx| {
                Box::pin(async move { api_token::find(tx, digest, now).await })
            });
            let Some(shown) = found.await? else {
                return Ok(None);
            };
            if shown.is_use_due {
                let of = (shown.user.tenant, shown.token);
                let noted = self.run(Plan::write("note use", of.0).repeatable(), move |tx| {
                    Box::pin(async move { api_token::note_use(tx, of, now).await })
                });
                if let Err(error) = noted.await {
                    tracing::warn!(%error, "the use of an API token was not noted");
                }
            }
            Ok(Some(shown.user))
        })
    }

    fn revoke_token(&self, tenant: TenantId, token: ApiTokenId, by: Author) -> StoreFuture<'_, ()> {
        self.run(
            Plan::write("revoke token", tenant).repeatable(),
            move |tx| Box::pin(async move { api_token::revoke(tx, (tenant, token), by).await }),
        )
    }

    fn tokens(
        &self,
        tenant: TenantId,
        after: Option<ApiTokenPlace>,
        limit: u32,
    ) -> StoreFuture<'_, Vec<ApiTokenSummary>> {
        self.run(Plan::read("tokens", tenant), move |tx| {
            Box::pin(async move { api_token::list(tx, tenant, after, limit).await })
        })
    }

    fn enrol_agent(&self, new: NewAgent, by: Author) -> StoreFuture<'_, ()> {
        self.run(Plan::write("enrol agent", new.tenant), move |tx| {
            let new = new.clone();
            Box::pin(async move {
                agent::insert(tx, &new).await?;
                let (tenant, id) = (Some(new.tenant), new.agent.to_string());
                audit(tx, tenant, by, "agent enrolled", &id).await
            })
        })
    }

    fn revoke_agent(&self, tenant: TenantId, agent: AgentId, by: Author) -> StoreFuture<'_, ()> {
        let at = wall_now();
        self.run(Plan::write("revoke agent", tenant), move |tx| {
            Box::pin(async move {
                agent::revoke(tx, (tenant, agent), at).await?;
                audit(tx, Some(tenant), by, "agent revoked", &agent.to_string()).await
            })
        })
    }

    fn rotate_agent_token(
        &self,
        tenant: TenantId,
        agent: AgentId,
        token: TokenDigest,
        by: Author,
    ) -> StoreFuture<'_, ()> {
        self.run(Plan::write("rotate agent token", tenant), move |tx| {
            Box::pin(async move { enrolment::rotate_token(tx, (tenant, agent), token, by).await })
        })
    }

    fn rotate_agent_key(
        &self,
        tenant: TenantId,
        agent: AgentId,
        change: KeyChange,
        by: Author,
    ) -> StoreFuture<'_, KeyOutcome> {
        self.run(Plan::write("rotate agent key", tenant), move |tx| {
            Box::pin(async move { enrolment::rotate_key(tx, (tenant, agent), change, by).await })
        })
    }

    fn rotate_device_key(
        &self,
        tenant: TenantId,
        agent: AgentId,
        key: SharedKey,
        by: Author,
    ) -> StoreFuture<'_, ()> {
        self.run(Plan::write("rotate device key", tenant), move |tx| {
            let key = key.clone();
            Box::pin(
                async move { enrolment::rotate_device_key(tx, (tenant, agent), &key, by).await },
            )
        })
    }
}
