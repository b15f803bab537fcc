//! People.

use monsys_core::id::{TenantId, UserId};
use monsys_core::name::DisplayName;
use monsys_core::store::StoreError;
use serde::Deserialize;

use super::USERS;
use crate::error::{Failure, FailureKind};
use crate::random::random_bytes;
use crate::security::password::{self, Password};
use crate::store::{Author, HubStore, NewUser, PasswordPhc, Role};

/// One entry of `MONSYS_USERS_JSON`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserEntry {
    org: String,
    username: String,
    password: Option<Password>,
    phc: Option<String>,
    role: String,
}

/// A person who must be there.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) org: String,
    email: String,
    role: Role,
    password: Given,
}

/// How a password is given.
#[derive(Debug, Clone)]
enum Given {
    Plain(Password),
    Hashed(PasswordPhc),
}

impl User {
    pub(super) fn parse(entry: UserEntry) -> Result<Self, String> {
        DisplayName::parse(&entry.username).map_err(|error| format!("username: {error}"))?;
        let role = Role::from_word(&entry.role);
        let role = role.ok_or("role: expected admin or read_only")?;
        let password = match (entry.password, entry.phc) {
            (Some(password), None) => {
                password
                    .check_size()
                    .map_err(|error| format!("password: {error}"))?;
                Given::Plain(password)
            }
            (None, Some(phc)) if password::is_usable_phc(&phc) => {
                Given::Hashed(PasswordPhc::new(phc))
            }
            (None, Some(_)) => return Err(String::from("phc: expected a hash of Argon2id")),
            (Some(_), Some(_)) | (None, None) => {
                return Err(String::from("expected a password or a phc"));
            }
        };
        Ok(Self {
            org: entry.org,
            email: entry.username,
            role,
            password,
        })
    }

    pub(super) async fn plant(
        &self,
        store: &dyn HubStore,
        tenant: TenantId,
    ) -> Result<(), Failure> {
        if store
            .user_by_email(tenant, self.email.clone())
            .await?
            .is_some()
        {
            return self.compare(store).await;
        }
        let password = match self.password.clone() {
            Given::Hashed(phc) => phc,
            Given::Plain(password) => {
                if password.check_new().is_err() {
                    tracing::warn!(
                        org = self.org,
                        "{USERS}: a password is short: expected 12 characters or more"
                    );
                }
                let hashed = tokio::task::spawn_blocking(move || password::hash(&password)).await;
                hashed.map_err(|error| Failure::new(FailureKind::Unavailable, error))?
            }
        };
        let user = NewUser {
            user: UserId::from_random_bytes(random_bytes()),
            tenant,
            email: self.email.clone(),
            role: self.role,
            password: Some(password),
        };
        match store.add_user(user, Author::Hub).await {
            Ok(()) => tracing::info!(
                org = self.org,
                role = self.role.as_str(),
                "a person was added"
            ),
            Err(StoreError::AlreadyExists) => return self.compare(store).await,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Says what of a person who is there is not what is asked for; who they are is not logged.
    async fn compare(&self, store: &dyn HubStore) -> Result<(), Failure> {
        let found = store
            .credentials(self.org.clone(), self.email.clone())
            .await?;
        match found {
            None => tracing::warn!(
                org = self.org,
                "{USERS}: a person is disabled: they stay so"
            ),
            Some(found) if found.user.role != self.role => {
                tracing::warn!(
                    org = self.org,
                    "{USERS}: a person has another role: it stays"
                );
            }
            Some(found) if !self.is_password(found.password.clone()).await? => {
                tracing::warn!(
                    org = self.org,
                    "{USERS}: a person keeps the password that is stored; another one is asked for"
                );
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Tells whether what is stored is the password that is given. One in plain takes a hash to
    /// compare, on a thread that may block.
    async fn is_password(&self, stored: Option<PasswordPhc>) -> Result<bool, Failure> {
        let Some(stored) = stored else {
            return Ok(false);
        };
        match self.password.clone() {
            Given::Hashed(phc) => Ok(stored.expose() == phc.expose()),
            Given::Plain(password) => {
                let compared =
                    tokio::task::spawn_blocking(move || password::is_same(&password, &stored));
                let compared = compared.await;
                compared.map_err(|error| Failure::new(FailureKind::Unavailable, error))
            }
        }
    }
}
