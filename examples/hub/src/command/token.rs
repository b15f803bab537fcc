//! API tokens: what is created is printed once, and kept as a digest.

use monsys_core::id::ApiTokenId;
use monsys_core::store::StoreError;
use monsys_core::time::Span;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{display_name, existing_store_of, say, tenant_named, user};
use crate::cli::{StoreArgs, TokenArgs, TokenCommand};
use crate::clock::wall_now;
use crate::config::parse_span;
use crate::error::{Failure, FailureKind};
use crate::output;
use crate::random::random_bytes;
use crate::security::secret::Secret;
use crate::store::{
    ApiTokenPlace, ApiTokenSummary, Author, HubStore, LISTED_MAX, NewApiToken, Role,
};

/// What API tokens begin with, so that they are known where they should not be.
const PREFIX: &str = "mst_";
/// How long an API token is good at most, in seconds: a leap year.
const SPAN_S_MAX: i64 = 366 * 86_400;

/// Carries out one of the commands about API tokens.
pub(super) async fn run(command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Create(args) => create(&args).await,
        TokenCommand::List { org, store } => list(&org, &store).await,
        TokenCommand::Revoke { id, store } => revoke(&id, &store).await,
    }
}

async fn create(args: &TokenArgs) -> Result<(), Failure> {
    let store = existing_store_of(&args.store).await?;
    let secret = format!("{PREFIX}{}", Secret::random().expose());
    let new = new_token(&*store, args, &secret).await?;
    let (id, scope, expires_at) = (new.token, new.scope, new.expires_at.to_rfc3339());
    store.add_token(new, Author::CommandLine).await?;
    let shown = json!({
        "token_id": id.to_string(), "token": secret, "scope": scope.as_str(),
        "expires_at": expires_at,
    });
    say(
        args.store.json,
        &shown,
        format_args!("token_id  {id}\ntoken     {secret}   (shown once)\nexpires   {expires_at}"),
    );
    store.close();
    Ok(())
}

async fn new_token(
    store: &dyn HubStore,
    args: &TokenArgs,
    secret: &str,
) -> Result<NewApiToken, Failure> {
    let allowed = Span::from_secs(1)..=Span::from_secs(SPAN_S_MAX);
    let span = parse_span(&args.expires).filter(|span| allowed.contains(span));
    let span =
        span.ok_or_else(|| usage("--expires: expected a span such as 12h or 90d, at most 366d"))?;
    let name = display_name("name", &args.name)?;
    let tenant = tenant_named(store, &args.org).await?;
    let owner = user::named(store, tenant, &args.user).await?;
    let person = store.user_now(tenant, owner).await?;
    let person = person.ok_or_else(|| usage(user::ENABLED_EXPECTED))?;
    let scope = Role::from(args.scope);
    if scope > person.role {
        return Err(usage(
            "--scope: expected no more than the owner may do, which is read_only",
        ));
    }
    let created_at = wall_now();
    Ok(NewApiToken {
        token: ApiTokenId::from_random_bytes(random_bytes()),
        tenant,
        owner,
        name,
        scope,
        digest: Sha256::digest(secret.as_bytes()).into(),
        created_at,
        expires_at: created_at.saturating_add(span),
    })
}

async fn list(org: &str, args: &StoreArgs) -> Result<(), Failure> {
    let store = existing_store_of(args).await?;
    let tenant = tenant_named(&*store, org).await?;
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let page = store.tokens(tenant, after, LISTED_MAX).await?;
        // Empty behind the last token.
        let Some(last) = page.last() else { break };
        after = Some(ApiTokenPlace {
            created_at: last.created_at,
            token: last.token,
        });
        for token in &page {
            if !args.json {
                output::line(line_of(token));
            }
            items.push(item_of(token));
        }
    }
    if args.json {
        output::line(json!({"items": items}));
    }
    Ok(())
}

fn line_of(token: &ApiTokenSummary) -> String {
    let state = if token.revoked_at.is_some() {
        "revoked".to_owned()
    } else {
        format!("until {}", token.expires_at.to_rfc3339())
    };
    let (id, owner, name, scope) = (token.token, &token.owner, &token.name, token.scope.as_str());
    format!("{id}  {owner}  {scope}  {state}  {name}")
}

fn item_of(token: &ApiTokenSummary) -> serde_json::Value {
    json!({
        "token_id": token.token.to_string(), "user": token.owner, "name": token.name.as_str(),
        "scope": token.scope.as_str(), "created_at": token.created_at.to_rfc3339(),
        "expires_at": token.expires_at.to_rfc3339(),
        "revoked_at": token.revoked_at.map(|at| at.to_rfc3339()),
        "last_used_at": token.last_used_at.map(|at| at.to_rfc3339()),
    })
}

async fn revoke(id: &str, args: &StoreArgs) -> Result<(), Failure> {
    let unknown = || usage("expected the identifier of an API token, as `token list` prints it");
    let token = ApiTokenId::parse(id).map_err(|_| unknown())?;
    let store = existing_store_of(args).await?;
    for (tenant, _) in store.tenant_names().await? {
        match store.revoke_token(tenant, token, Author::CommandLine).await {
            Err(StoreError::NotFound) => {}
            revoked => {
                revoked?;
                let shown = json!({"token_id": id, "revoked": true});
                say(args.json, &shown, format_args!("API token {id} revoked"));
                store.close();
                return Ok(());
            }
        }
    }
    Err(unknown())
}

fn usage(message: &str) -> Failure {
    Failure::new(FailureKind::Usage, message)
}
