//! Enrolling, listing and revoking agents.
//!
//! What an enrolment hands out is printed once, and nowhere else: it is not logged, and the audit
//! log names the agent only.

use std::sync::Arc;

use monsys_core::id::{AgentId, TenantId};
use monsys_core::store::{
    AuthProfile, KeyState, NewAgent, NewCredential, PublicKey, SharedKey, StoreError, TokenDigest,
};
use monsys_wire::{BearerToken, DeviceIdentity, DeviceKey, VerifyingKey};
use serde_json::json;

use super::{display_name, existing_store_of, say, tenant_named};
use crate::app::App;
use crate::cli::{AgentCommand, EnrolArgs, StoreArgs};
use crate::clock::{Clock, wall_now};
use crate::config::{Choices, parse_span};
use crate::error::{Failure, FailureKind};
use crate::output;
use crate::random::random_bytes;
use crate::store::{Author, HubStore, KeyChange};

/// How long an agent may pin a key by itself, unless `--pin-within` says otherwise.
const PIN_WITHIN: &str = "24h";

/// Carries out a command about agents.
pub(super) async fn run(command: AgentCommand) -> Result<(), Failure> {
    match command {
        AgentCommand::Enrol(args) => enrol(&args).await,
        AgentCommand::List { store } => list(&store).await,
        AgentCommand::Revoke { id, store } => revoke(&id, &store).await,
        AgentCommand::RotateToken { id, store } => rotate_token(&id, &store).await,
        AgentCommand::RotateKey {
            id,
            public_key,
            store,
        } => rotate_key(&id, public_key.as_deref(), &store).await,
    }
}

/// `agent enrol`.
async fn enrol(args: &EnrolArgs) -> Result<(), Failure> {
    match AuthProfile::from(args.profile) {
        AuthProfile::Ed25519 => enrol_agent(args).await,
        AuthProfile::Hmac => enrol_device(args).await,
    }
}

async fn enrol_agent(args: &EnrolArgs) -> Result<(), Failure> {
    let key = args
        .public_key
        .as_deref()
        .map(VerifyingKey::parse_hex)
        .transpose();
    let key = key.map_err(|error| usage(format!("public key: {error}")))?;
    let pin_within = parse_span(args.pin_within.as_deref().unwrap_or(PIN_WITHIN))
        .ok_or_else(|| usage("--pin-within: expected a span such as 90s, 30m, 24h or 7d"))?;
    let token = BearerToken::from_random_bytes(random_bytes());
    let credential = NewCredential::Token {
        token: TokenDigest(token.digest()),
        key: key.map(|key| PublicKey(key.to_bytes())),
        pin_until: wall_now().saturating_add(pin_within),
    };
    let (app, agent) = store_agent(args, credential).await?;
    let (token, audience) = (token.expose_text(), app.audience.as_str());
    let shown = json!({
        "agent_id": agent.to_string(), "token": token, "aud": audience, "org": args.org,
    });
    say(
        args.store.json,
        &shown,
        format_args!("agent_id  {agent}\ntoken     {token}   (shown once)\naud       {audience}"),
    );
    app.store.close();
    Ok(())
}

async fn enrol_device(args: &EnrolArgs) -> Result<(), Failure> {
    if args.public_key.is_some() || args.pin_within.is_some() {
        let message = "--public-key and --pin-within belong to --profile ed25519: \
                       a device of the hmac profile shares a key that the hub makes";
        return Err(usage(message));
    }
    // Both names stand in headers, which cannot carry any text.
    let word = |what: &str| usage(format!("{what}: in the hmac profile {WORD_EXPECTED}"));
    DeviceIdentity::parse("o", &args.name).map_err(|_| word("agent name"))?;
    DeviceIdentity::parse(&args.org, "d").map_err(|_| word("organisation name"))?;
    let key = DeviceKey::from_secret_bytes(random_bytes());
    let credential = NewCredential::Device {
        key: SharedKey::from_secret_bytes(key.expose_bytes()),
    };
    let (app, _) = store_agent(args, credential).await?;
    let digits = key.to_secret_hex();
    // Cannot be the default: hexadecimal digits are ASCII.
    let digits = str::from_utf8(digits.as_slice()).unwrap_or_default();
    let (org, device, audience) = (&args.org, &args.name, app.audience.as_str());
    let shown = json!({"org": org, "device": device, "key": digits, "aud": audience});
    say(
        args.store.json,
        &shown,
        format_args!(
            "org       {org}\ndevice    {device}\nkey       {digits}   (shown once)\n\
             aud       {audience}"
        ),
    );
    app.store.close();
    Ok(())
}

async fn store_agent(
    args: &EnrolArgs,
    credential: NewCredential,
) -> Result<(Arc<App>, AgentId), Failure> {
    let name = display_name("agent name", &args.name)?;
    let store = existing_store_of(&args.store).await?;
    let tenant = tenant_named(&*store, &args.org).await?;
    let app = App::open(store, Clock::system(), Choices::default().complete(None)?).await?;
    let agent = AgentId::from_random_bytes(random_bytes());
    let new = NewAgent {
        agent,
        tenant,
        name,
        credential,
        enrolled_at: wall_now(),
    };
    match app.store.enrol_agent(new, Author::CommandLine).await {
        Err(StoreError::AlreadyExists) => {
            return Err(usage("an agent of this name exists already"));
        }
        enrolled => enrolled?,
    }
    Ok((app, agent))
}

/// `agent list`.
async fn list(args: &StoreArgs) -> Result<(), Failure> {
    let store = existing_store_of(args).await?;
    let mut items = Vec::new();
    for (tenant, org) in store.tenant_names().await? {
        for agent in store.agents(tenant, 1, wall_now()).await? {
            let state = match (agent.is_revoked, agent.key) {
                (true, _) => "revoked",
                (false, KeyState::Pinned(_)) => "pinned",
                (false, KeyState::Shared) => "shared key",
                (false, KeyState::Unpinned) => "no key",
            };
            let profile = agent.key.profile().as_str();
            // Whole, as `monsys-agent identity` shows it: a person can compare the two.
            let public_key = match agent.key {
                KeyState::Pinned(key) => Some(key.to_string()),
                KeyState::Shared | KeyState::Unpinned => None,
            };
            if !args.json {
                let key = public_key.as_deref().unwrap_or_default();
                let line = format!(
                    "{}  {org}/{}  {profile}  {state}  {key}",
                    agent.agent, agent.name
                );
                output::line(line.trim_end());
            }
            items.push(json!({
                "agent_id": agent.agent.to_string(), "org": org.as_str(),
                "name": agent.name.as_str(), "profile": profile,
                "pinned": agent.key.is_pinned(), "public_key": public_key,
                "revoked": agent.is_revoked,
            }));
        }
    }
    if args.json {
        output::line(json!({"items": items}));
    }
    Ok(())
}

/// `agent revoke`: of an agent by its identifier, of a device by `ORG/DEVICE` too.
async fn revoke(id: &str, args: &StoreArgs) -> Result<(), Failure> {
    let store = existing_store_of(args).await?;
    let (tenant, agent, _) = named(&*store, id).await?;
    store
        .revoke_agent(tenant, agent, Author::CommandLine)
        .await?;
    let shown = json!({"agent_id": agent.to_string(), "revoked": true});
    say(args.json, &shown, format_args!("agent {id} revoked"));
    store.close();
    Ok(())
}

/// `agent rotate-token`.
async fn rotate_token(id: &str, args: &StoreArgs) -> Result<(), Failure> {
    let store = existing_store_of(args).await?;
    let (tenant, agent, profile) = named(&*store, id).await?;
    if profile == AuthProfile::Hmac {
        let message = "a device has no token: expected `agent rotate-key` for its shared key";
        return Err(usage(message));
    }
    let token = BearerToken::from_random_bytes(random_bytes());
    let digest = TokenDigest(token.digest());
    store
        .rotate_agent_token(tenant, agent, digest, Author::CommandLine)
        .await?;
    let token = token.expose_text();
    let shown = json!({"agent_id": agent.to_string(), "token": token});
    let text = format_args!("agent_id  {agent}\ntoken     {token}   (shown once)");
    say(args.json, &shown, text);
    store.close();
    Ok(())
}

/// `agent rotate-key`: of an agent to a given key, of a device to one that the hub makes.
async fn rotate_key(id: &str, public_key: Option<&str>, args: &StoreArgs) -> Result<(), Failure> {
    let store = existing_store_of(args).await?;
    let (tenant, agent, profile) = named(&*store, id).await?;
    let shown = match (profile, public_key) {
        (AuthProfile::Ed25519, Some(key)) => pin_other(&*store, (tenant, agent), key).await?,
        (AuthProfile::Hmac, None) => share_other(&*store, (tenant, agent)).await?,
        (AuthProfile::Ed25519, None) => {
            let message = "--public-key: expected the key that `monsys-agent keygen` prints";
            return Err(usage(message));
        }
        (AuthProfile::Hmac, Some(_)) => {
            let message = "--public-key belongs to agents with a key pair: \
                           a device shares a key that the hub makes";
            return Err(usage(message));
        }
    };
    let (member, value, note) = shown;
    let mut object = json!({"agent_id": agent.to_string()});
    object[member] = value.as_str().into();
    let text = format_args!("agent_id  {agent}\n{member:<8}  {value}{note}");
    say(args.json, &object, text);
    store.close();
    Ok(())
}

/// What a change of keys prints: member, value, and a note for people.
type Shown = (&'static str, String, &'static str);

async fn pin_other(
    store: &dyn HubStore,
    (tenant, agent): (TenantId, AgentId),
    key: &str,
) -> Result<Shown, Failure> {
    let key = VerifyingKey::parse_hex(key);
    let key = key.map_err(|error| usage(format!("public key: {error}")))?;
    let new = PublicKey(key.to_bytes());
    let (change, by) = (KeyChange::Replace { new }, Author::CommandLine);
    store.rotate_agent_key(tenant, agent, change, by).await?;
    Ok(("pinned", key.to_string(), ""))
}

async fn share_other(
    store: &dyn HubStore,
    (tenant, agent): (TenantId, AgentId),
) -> Result<Shown, Failure> {
    let key = DeviceKey::from_secret_bytes(random_bytes());
    let shared = SharedKey::from_secret_bytes(key.expose_bytes());
    store
        .rotate_device_key(tenant, agent, shared, Author::CommandLine)
        .await?;
    let digits = key.to_secret_hex();
    // Cannot be the default: hexadecimal digits are ASCII.
    let digits = str::from_utf8(digits.as_slice()).unwrap_or_default();
    Ok(("key", digits.to_owned(), "   (shown once)"))
}

/// Finds an agent by its identifier, or a device by `ORG/DEVICE`.
async fn named(
    store: &dyn HubStore,
    id: &str,
) -> Result<(TenantId, AgentId, AuthProfile), Failure> {
    let unknown = || usage("expected the identifier of an agent, or ORG/DEVICE of a device");
    if let Some((org, device)) = id.split_once('/') {
        let found = store.agent_by_device(org, device).await?;
        let found = found.ok_or_else(unknown)?;
        return Ok((found.tenant, found.agent, AuthProfile::Hmac));
    }
    let agent = AgentId::parse(id).map_err(|_| unknown())?;
    for (tenant, _) in store.tenant_names().await? {
        match store.agent(tenant, agent, 0, wall_now()).await {
            Err(StoreError::NotFound) => {}
            found => return Ok((tenant, agent, found?.key.profile())),
        }
    }
    Err(unknown())
}

fn usage(message: impl std::fmt::Display) -> Failure {
    Failure::new(FailureKind::Usage, message)
}

/// What a name must look like to stand in a header.
const WORD_EXPECTED: &str = "expected 1 to 64 of A-Z a-z 0-9 . _ -";
