//! What must be there when a hub starts: organisations, devices and people, by the environment.
//!
//! What is missing is added, each an audit entry. What exists stays as it is, because somebody may
//! have changed it since on purpose; where it differs from what is asked for, the log says so. So a
//! restart changes nothing, and two replicas that start together add each thing once.
//! Cost: one read an entry; a password in plain takes its hash at every start, to be set or compared.

mod org;
mod user;

use serde::de::DeserializeOwned;

use self::org::{Org, OrgEntry};
use self::user::{User, UserEntry};
use crate::config::names::find_secret;
use crate::config::plans::Plans;
use crate::error::{Failure, FailureKind};
use crate::store::HubStore;

/// What must be there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seed {
    orgs: Vec<Org>,
    users: Vec<User>,
}

impl Seed {
    /// Reads what the environment asks for, and who has which plan.
    ///
    /// # Errors
    /// Configuration failures that name the setting and the entry, and never a key or a password.
    pub(crate) fn read(plans: &mut Plans) -> Result<Self, Failure> {
        let mut seed = Self::default();
        for (index, entry) in entries::<OrgEntry>(ORGS)?.into_iter().enumerate() {
            let about = |what: String| wrong(format!("{ORGS}: entry {}: {what}", index + 1));
            if let Some(plan) = entry.plan.clone() {
                plans.assign(entry.org_id.clone(), plan)?;
            }
            seed.orgs.push(Org::parse(entry).map_err(about)?);
        }
        for (index, entry) in entries::<UserEntry>(USERS)?.into_iter().enumerate() {
            let about = |what: String| wrong(format!("{USERS}: entry {}: {what}", index + 1));
            seed.users.push(User::parse(entry).map_err(about)?);
        }
        Ok(seed)
    }

    /// Adds what is missing.
    ///
    /// # Errors
    /// Those of the store, and a configuration failure for a person of an unknown organisation.
    pub(crate) async fn plant(&self, store: &dyn HubStore) -> Result<(), Failure> {
        for org in &self.orgs {
            org.plant(store).await?;
        }
        if self.users.is_empty() {
            return Ok(());
        }
        let orgs = store.tenant_names().await?;
        for user in &self.users {
            let found = orgs.iter().find(|(_, name)| name.as_str() == user.org);
            let Some((tenant, _)) = found else {
                let expected = "expected an organisation that is there, or is in";
                return Err(wrong(format!("{USERS}: {}: {expected} {ORGS}", user.org)));
            };
            user.plant(store, *tenant).await?;
        }
        Ok(())
    }
}

/// Reads a list in JSON. What a library says of it may quote it, and is told only where it cannot.
fn entries<T: DeserializeOwned>(name: &str) -> Result<Vec<T>, Failure> {
    let Some(found) = find_secret(name)? else {
        return Ok(Vec::new());
    };
    serde_json::from_str(&found.text).map_err(|error| {
        let text = error.to_string();
        let is_plain = ["unknown field", "missing field"]
            .iter()
            .any(|start| text.starts_with(start));
        let what = if is_plain {
            text
        } else {
            format!("line {} column {}", error.line(), error.column())
        };
        wrong(format!(
            "{}: expected a list in JSON as the manual shows it: {what}",
            found.source
        ))
    })
}

fn wrong(message: String) -> Failure {
    Failure::new(FailureKind::Configuration, message)
}

/// The settings.
const ORGS: &str = "MONSYS_ORGS_JSON";
/// Of people.
const USERS: &str = "MONSYS_USERS_JSON";
