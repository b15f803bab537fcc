//! People: adding, listing, and who may log in.
//!
//! A link is printed once and nowhere else; the audit log names the person only.

use monsys_core::id::{TenantId, UserId};
use monsys_core::store::StoreError;
use serde_json::json;

use super::{display_name, existing_store_of, say, tenant_named};
use crate::cli::{PersonArgs, StoreArgs, UserAddArgs, UserCommand, UserLinkArgs};
use crate::error::{Failure, FailureKind};
use crate::output;
use crate::random::random_bytes;
use crate::server::make_link;
use crate::store::{
    Access, Author, HubStore, LISTED_MAX, LoginLink, NewUser, Role, UserChange, UserSummary,
};

/// What is expected of somebody who may not log in.
pub(super) const ENABLED_EXPECTED: &str = "this person is disabled: expected `user enable` before";

/// Carries out one of the commands about people.
pub(super) async fn run(command: UserCommand) -> Result<(), Failure> {
    match command {
        UserCommand::Add(args) => add(&args).await,
        UserCommand::Reset(args) => reset(&args).await,
        UserCommand::Disable(person) => set_access(&person, Access::Disabled).await,
        UserCommand::Enable(person) => set_access(&person, Access::Enabled).await,
        UserCommand::SetRole { person, role } => set_role(&person, role.into()).await,
        UserCommand::List { org, store } => list(&org, &store).await,
    }
}

async fn add(args: &UserAddArgs) -> Result<(), Failure> {
    let person = &args.link.person;
    let store = existing_store_of(&person.store).await?;
    let tenant = tenant_named(&*store, &person.org).await?;
    let email = display_name("e-mail", &person.email)?.as_str().to_owned();
    let user = UserId::from_random_bytes(random_bytes());
    let new = NewUser {
        user,
        tenant,
        email,
        role: args.role.into(),
        password: None,
    };
    match store.add_user(new, Author::CommandLine).await {
        Err(StoreError::AlreadyExists) => {
            return Err(usage("a person of this name exists already"));
        }
        added => added?,
    }
    print_link(&*store, user, &args.link).await
}

async fn reset(args: &UserLinkArgs) -> Result<(), Failure> {
    let store = existing_store_of(&args.person.store).await?;
    let (tenant, user) = find(&*store, &args.person).await?;
    if store.user_now(tenant, user).await?.is_none() {
        return Err(usage(ENABLED_EXPECTED));
    }
    print_link(&*store, user, args).await
}

async fn print_link(
    store: &dyn HubStore,
    user: UserId,
    args: &UserLinkArgs,
) -> Result<(), Failure> {
    let (link, path, member, verb) = if args.login_link {
        (LoginLink::Login(user), "login", "login_link", "open")
    } else {
        let link = LoginLink::SetPassword(user);
        (link, "password", "set_password_link", "set password")
    };
    let secret = make_link(store, link, Author::CommandLine).await?;
    let hub = args.public_url.trim_end_matches('/');
    let url = format!("{hub}/{path}/{}", secret.expose());
    let shown = json!({"user_id": user.to_string(), member: url});
    say(
        args.person.store.json,
        &shown,
        format_args!("{verb}  {url}   (one use, 30 minutes)"),
    );
    store.close();
    Ok(())
}

async fn set_access(args: &PersonArgs, access: Access) -> Result<(), Failure> {
    let store = existing_store_of(&args.store).await?;
    let (tenant, user) = find(&*store, args).await?;
    let by = Author::CommandLine;
    let changed = store.set_access(tenant, user, access, by).await?;
    refuse_last_admin(changed)?;
    let (is_disabled, word) = match access {
        Access::Disabled => (true, "disabled"),
        Access::Enabled => (false, "enabled"),
    };
    let email = &args.email;
    let shown = json!({"user_id": user.to_string(), "email": email, "disabled": is_disabled});
    say(args.store.json, &shown, format_args!("{email} {word}"));
    store.close();
    Ok(())
}

async fn set_role(args: &PersonArgs, role: Role) -> Result<(), Failure> {
    let store = existing_store_of(&args.store).await?;
    let (tenant, user) = find(&*store, args).await?;
    let by = Author::CommandLine;
    let changed = store.set_role(tenant, user, role, by).await?;
    refuse_last_admin(changed)?;
    let (email, role) = (&args.email, role.as_str());
    let shown = json!({"user_id": user.to_string(), "email": email, "role": role});
    say(args.store.json, &shown, format_args!("{email} {role}"));
    store.close();
    Ok(())
}

fn refuse_last_admin(changed: UserChange) -> Result<(), Failure> {
    match changed {
        UserChange::Done | UserChange::Unchanged => Ok(()),
        UserChange::LastAdmin => Err(usage(
            "this is the last administrator of the organisation: expected another one before",
        )),
    }
}

async fn list(org: &str, args: &StoreArgs) -> Result<(), Failure> {
    let store = existing_store_of(args).await?;
    let tenant = tenant_named(&*store, org).await?;
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let page = store.users(tenant, after.take(), LISTED_MAX).await?;
        // Empty behind the last person.
        let Some(last) = page.last() else { break };
        after = Some(last.email.clone());
        for user in &page {
            if !args.json {
                output::line(line_of(user));
            }
            items.push(item_of(user));
        }
    }
    if args.json {
        output::line(json!({"items": items}));
    }
    Ok(())
}

fn line_of(user: &UserSummary) -> String {
    let state = match (user.disabled_at, user.has_password) {
        (Some(_), _) => "disabled",
        (None, true) => "enabled",
        (None, false) => "no password",
    };
    format!("{}  {}  {state}", user.email, user.role.as_str())
}

fn item_of(user: &UserSummary) -> serde_json::Value {
    json!({
        "user_id": user.user.to_string(), "email": user.email, "role": user.role.as_str(),
        "has_password": user.has_password, "disabled": user.disabled_at.is_some(),
        "created_at": user.created_at.to_rfc3339(),
    })
}

async fn find(store: &dyn HubStore, args: &PersonArgs) -> Result<(TenantId, UserId), Failure> {
    let tenant = tenant_named(store, &args.org).await?;
    Ok((tenant, named(store, tenant, &args.email).await?))
}

/// Finds a person by login name.
pub(super) async fn named(
    store: &dyn HubStore,
    tenant: TenantId,
    email: &str,
) -> Result<UserId, Failure> {
    let found = store.user_by_email(tenant, email.to_owned()).await?;
    found.ok_or_else(|| usage("no such person: expected the login name of one"))
}

fn usage(message: &str) -> Failure {
    Failure::new(FailureKind::Usage, message)
}
