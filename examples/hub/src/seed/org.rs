//! Organisations and their devices.

use monsys_core::id::{AgentId, TenantId};
use monsys_core::name::DisplayName;
use monsys_core::store::{NewAgent, NewCredential, SharedKey, StoreError};
use monsys_wire::{DeviceIdentity, DeviceKey};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{ORGS, wrong};
use crate::clock::wall_now;
use crate::error::Failure;
use crate::random::random_bytes;
use crate::store::{Author, HubStore};

/// One entry of `MONSYS_ORGS_JSON`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrgEntry {
    pub(super) org_id: String,
    name: Option<String>,
    pub(super) plan: Option<String>,
    #[serde(default)]
    devices: Vec<DeviceEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceEntry {
    id: String,
    key: String,
}

/// An organisation that must be there.
#[derive(Debug, Clone)]
pub(super) struct Org {
    name: DisplayName,
    tenant: TenantId,
    devices: Vec<Device>,
}

#[derive(Debug, Clone)]
struct Device {
    name: DisplayName,
    key: Key,
}

/// The key of a device; never printed.
#[derive(Clone)]
struct Key(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Org {
    /// The identifier is the name that headers and logins carry; one that is a UUID is that of the
    /// organisation in the store as well.
    pub(super) fn parse(entry: OrgEntry) -> Result<Self, String> {
        let name = DisplayName::parse(&entry.org_id).map_err(|error| format!("org_id: {error}"))?;
        if !entry.devices.is_empty() {
            DeviceIdentity::parse(&entry.org_id, "d").map_err(|_| format!("org_id: {WORD}"))?;
        }
        if entry.name.is_some_and(|shown| shown != entry.org_id) {
            tracing::debug!(org = %name, "an organisation is called by its org_id");
        }
        let tenant = TenantId::parse(&entry.org_id);
        let devices = entry.devices.iter().enumerate();
        let devices = devices.map(|(index, device)| {
            Device::parse(device).map_err(|what| format!("device {}: {what}", index + 1))
        });
        Ok(Self {
            name,
            tenant: tenant.unwrap_or_else(|_| TenantId::from_random_bytes(random_bytes())),
            devices: devices.collect::<Result<_, _>>()?,
        })
    }

    pub(super) async fn plant(&self, store: &dyn HubStore) -> Result<(), Failure> {
        let tenant = self.add(store).await?;
        for device in &self.devices {
            device.plant(store, tenant, &self.name).await?;
        }
        Ok(())
    }

    async fn add(&self, store: &dyn HubStore) -> Result<TenantId, Failure> {
        match store.add_tenant(self.tenant, self.name.clone()).await {
            Ok(()) => {
                tracing::info!(org = %self.name, "an organisation was added");
                return Ok(self.tenant);
            }
            Err(StoreError::AlreadyExists) => {}
            Err(error) => return Err(error.into()),
        }
        let orgs = store.tenant_names().await?;
        let found = orgs.into_iter().find(|(_, name)| *name == self.name);
        let (tenant, _) = found.ok_or_else(|| {
            wrong(format!(
                "{ORGS}: {}: another organisation has this id",
                self.name
            ))
        })?;
        Ok(tenant)
    }
}

impl Device {
    fn parse(entry: &DeviceEntry) -> Result<Self, String> {
        DeviceIdentity::parse("o", &entry.id).map_err(|_| format!("id: {WORD}"))?;
        let name = DisplayName::parse(&entry.id).map_err(|error| format!("id: {error}"))?;
        let key = DeviceKey::parse_secret_hex(&entry.key);
        let key = key.map_err(|_| String::from("key: expected 64 hexadecimal digits"))?;
        Ok(Self {
            name,
            key: Key(key.expose_bytes().clone()),
        })
    }

    async fn plant(
        &self,
        store: &dyn HubStore,
        tenant: TenantId,
        org: &DisplayName,
    ) -> Result<(), Failure> {
        let key = SharedKey::from_secret_bytes(&self.key.0);
        let new = NewAgent {
            agent: AgentId::from_random_bytes(random_bytes()),
            tenant,
            name: self.name.clone(),
            credential: NewCredential::Device { key },
            enrolled_at: wall_now(),
        };
        match store.enrol_agent(new, Author::Hub).await {
            Ok(()) => {
                tracing::info!(%org, device = %self.name, "a device was enrolled");
                return Ok(());
            }
            Err(StoreError::AlreadyExists) => {}
            Err(error) => return Err(error.into()),
        }
        let found = store
            .agent_by_device(org.as_str(), self.name.as_str())
            .await?;
        match found {
            None => {
                tracing::warn!(%org, device = %self.name, "an agent of this name is no device: it stays")
            }
            Some(found) if *found.key.expose_bytes() != *self.key.0 => {
                tracing::warn!(%org, device = %self.name, "a device has another key: it stays");
            }
            Some(_) => {}
        }
        Ok(())
    }
}

/// What headers can carry.
const WORD: &str = "expected 1 to 64 of A-Z a-z 0-9 . _ -";
