//! The pages of anomalies: the list, one anomaly with what happened to it, and the forms of both.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use monsys_core::anomaly::Action;
use monsys_core::id::{AgentId, AnomalyId, TenantId, UserId};
use monsys_core::name::DisplayName;
use monsys_core::store::{AnomalyFilter, AnomalyRow, StoreError};

use super::form::{Fields, Verb};
use super::{foreign_site, message, page, store_away, viewer};
use crate::app::App;
use crate::pages::{self, AnomalyView, FilterWords, Integrity, Origin, UnknownWord};
use crate::security::principal::Principal;
use crate::security::session::PageSession;
use crate::store::{Actor, HubStore};

/// Anomalies on one page: as many as keep it below 60 kB with a reason on each.
pub(super) const ROWS: u32 = 30;
/// Events of one anomaly on one page.
const EVENTS: u32 = 100;

/// Parameters of an address.
type Words = Query<BTreeMap<String, String>>;

/// `GET /integrity`: what is open, or what else is asked for.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    PageSession(session): PageSession,
    Query(mut query): Words,
) -> Response {
    let (tenant, now) = (session.user.tenant, app.clock.now());
    let store = app.store.as_ref();
    match agent_of_word(store, tenant, query.get("agent_id")).await {
        Ok(Some(agent)) => drop(query.insert("agent_id".to_owned(), agent.to_string())),
        Ok(None) => {}
        Err(StoreError::NotFound) => return no_agent_of_that_name(),
        Err(error) => return store_away(&error),
    }
    let filter = match read_filter(&query) {
        Ok(filter) => filter,
        Err(unknown) => return unusable_address(&unknown),
    };
    let read = async {
        let counts = store.open_counts(tenant).await?;
        let found = store.anomalies(tenant, filter, ROWS, now).await?;
        let actors = actors_of(store, tenant, &found.rows).await?;
        Ok((counts, found, actors, store.cycles(tenant, 1).await?))
    };
    let (counts, found, actors, cycles) = match read.await {
        Ok(read) => read,
        Err(error) => return store_away(&error),
    };
    let csrf = session.csrf_token();
    let view = Integrity {
        viewer: viewer(&app, &session, &csrf),
        counts: &counts,
        filter,
        page: &found,
        actors: &actors,
        cycle: cycles.first(),
        progress: app.worker.progress(tenant),
        asked: query.get("run").map_or("", String::as_str),
        is_ticked: query.get("tick").is_some_and(|tick| tick == "all"),
        now,
    };
    page(StatusCode::OK, pages::integrity(&view))
}

/// `GET /integrity/{id}`: one anomaly, what supports it, and what happened to it.
pub(crate) async fn anomaly(
    State(app): State<Arc<App>>,
    PageSession(session): PageSession,
    Path(id): Path<String>,
    Query(query): Words,
) -> Response {
    let Ok(id) = AnomalyId::parse(&id) else {
        return no_such_anomaly();
    };
    let after = query.get("after").map_or("0", String::as_str);
    let Ok(after) = after.parse::<u64>() else {
        return unusable_address(&UnknownWord { field: "after" });
    };
    let (tenant, now) = (session.user.tenant, app.clock.now());
    let store = app.store.as_ref();
    let read = async {
        let row = store.anomaly(tenant, id, now).await?;
        let events = store.ledger(tenant, Some(id), after, EVENTS + 1).await?;
        let users = users_of(&row).chain(events.iter().map(|entry| entry.event.actor));
        let actors = store.actors(tenant, distinct(users)).await?;
        Ok((row, events, actors))
    };
    let (row, events, actors) = match read.await {
        Ok(read) => read,
        Err(StoreError::NotFound) => return no_such_anomaly(),
        Err(error) => return store_away(&error),
    };
    let csrf = session.csrf_token();
    let n_shown = usize::try_from(EVENTS).unwrap_or(usize::MAX);
    let view = AnomalyView {
        viewer: viewer(&app, &session, &csrf),
        row: &row,
        events: events.get(..n_shown).unwrap_or(&events),
        has_more: events.len() > n_shown,
        after,
        actors: &actors,
        now,
    };
    page(StatusCode::OK, pages::anomaly(&view))
}

/// `POST /integrity/act`: does one thing with all anomalies that are ticked, or nothing.
pub(crate) async fn act_on_ticked(
    State(app): State<Arc<App>>,
    PageSession(session): PageSession,
    Query(query): Words,
    fields: Fields,
) -> Response {
    if !has_token(&session, &fields) {
        return foreign_site();
    }
    let wanted = fields
        .action_on_ticked(app.clock.now())
        .and_then(|action| Ok((fields.ticked()?, action)));
    match wanted {
        Ok((ids, action)) => act(&app, &session, &ids, &action, &query).await,
        Err(expected) => unusable_form(expected),
    }
}

/// `POST /integrity/{id}/acknowledge`: seen, and left open for a reason.
pub(crate) async fn acknowledge(app: State<Arc<App>>, session: PageSession, on: OnOne) -> Response {
    act_on_one(Verb::Acknowledge, &app, &session.0, on).await
}

/// `POST /integrity/{id}/snooze`: out of sight until a time, for a reason.
pub(crate) async fn snooze(app: State<Arc<App>>, session: PageSession, on: OnOne) -> Response {
    act_on_one(Verb::Snooze, &app, &session.0, on).await
}

/// `POST /integrity/{id}/resolve`: closed by hand; again changes nothing.
pub(crate) async fn resolve(app: State<Arc<App>>, session: PageSession, on: OnOne) -> Response {
    act_on_one(Verb::Resolve, &app, &session.0, on).await
}

/// What a form about one anomaly comes with: its address, and its fields.
type OnOne = (Path<String>, Words, Fields);

async fn act_on_one(
    verb: Verb,
    app: &App,
    session: &Principal,
    (Path(id), Query(query), fields): OnOne,
) -> Response {
    if !has_token(session, &fields) {
        return foreign_site();
    }
    let Ok(id) = AnomalyId::parse(&id) else {
        return no_such_anomaly();
    };
    match fields.action(verb, app.clock.now()) {
        Ok(action) => act(app, session, &[id], &action, &query).await,
        Err(expected) => unusable_form(expected),
    }
}

/// Reads the filter of a list from its address.
pub(super) fn read_filter(query: &BTreeMap<String, String>) -> Result<AnomalyFilter, UnknownWord> {
    let word = |name: &str| query.get(name).map_or("", String::as_str);
    FilterWords {
        state: word("state"),
        kind: word("kind"),
        severity: word("severity"),
        agent: word("agent_id"),
        attention: word("attention"),
        after: word("after"),
    }
    .parse()
}

/// Reads who did something with rows; most lists of what is open need no look.
pub(super) async fn actors_of(
    store: &dyn HubStore,
    tenant: TenantId,
    rows: &[AnomalyRow],
) -> Result<BTreeMap<UserId, Actor>, StoreError> {
    let users = distinct(rows.iter().flat_map(users_of));
    if users.is_empty() {
        return Ok(BTreeMap::new());
    }
    store.actors(tenant, users).await
}

/// Answers an address that names something a list does not know.
pub(super) fn unusable_address(unknown: &UnknownWord) -> Response {
    let sentence = format!("The address of this page is not usable: {unknown}.");
    message(
        StatusCode::UNPROCESSABLE_ENTITY,
        "Unknown filter",
        &sentence,
    )
}

/// Finds the agent that a person named in the form of filters; `None` for no word at all.
///
/// # Errors
/// `NotFound` for a name that no agent has; others of the store.
async fn agent_of_word(
    store: &dyn HubStore,
    tenant: TenantId,
    word: Option<&String>,
) -> Result<Option<AgentId>, StoreError> {
    let Some(word) = word.filter(|word| !word.is_empty()) else {
        return Ok(None);
    };
    if let Ok(agent) = AgentId::parse(word) {
        return Ok(Some(agent));
    }
    // A name that cannot be one is not asked for: a database may refuse the text itself.
    DisplayName::parse(word).map_err(|_| StoreError::NotFound)?;
    let found = store.agent_by_name(tenant, word.clone()).await?;
    found.map(Some).ok_or(StoreError::NotFound)
}

fn no_agent_of_that_name() -> Response {
    message(
        StatusCode::UNPROCESSABLE_ENTITY,
        "Unknown filter",
        "No agent of this organisation has that name or identifier.",
    )
}

fn users_of(row: &AnomalyRow) -> impl Iterator<Item = UserId> + use<> {
    let anomaly = &row.anomaly;
    let users = [
        anomaly.acknowledged.as_ref().map(|by| by.by),
        anomaly.snoozed.as_ref().map(|by| by.by),
        anomaly.closed.as_ref().map(|closed| closed.by),
    ];
    users.into_iter().flatten()
}

fn distinct(users: impl Iterator<Item = UserId>) -> Vec<UserId> {
    let mut users: Vec<_> = users.collect();
    users.sort_unstable();
    users.dedup();
    users
}

async fn act(
    app: &App,
    session: &Principal,
    ids: &[AnomalyId],
    action: &Action,
    query: &BTreeMap<String, String>,
) -> Response {
    let (user, now) = (&session.user, app.clock.now());
    let done = app
        .store
        .act(user.tenant, ids, user.user, action, now)
        .await;
    match done {
        Ok(_) => Redirect::to(&return_to(ids, query)).into_response(),
        Err(StoreError::NotFound) => no_such_anomaly(),
        Err(error) => store_away(&error),
    }
}

/// Tells whether a form carries the token of its session, once.
fn has_token(session: &Principal, fields: &Fields) -> bool {
    session.is_csrf_token(fields.one("csrf").unwrap_or_default())
}

/// Where a form goes back to: to where it stands, which its own address says.
fn return_to(ids: &[AnomalyId], query: &BTreeMap<String, String>) -> String {
    let filter = read_filter(query).unwrap_or(pages::OPEN);
    let from = query.get("from").map_or("", String::as_str);
    let origin = match (from, filter.agent, ids) {
        ("agent", Some(agent), _) => Origin::Agent(agent, filter.after),
        ("anomaly", _, [id]) => Origin::Anomaly(*id),
        _ => Origin::List(filter),
    };
    origin.page()
}

fn unusable_form(expected: &str) -> Response {
    let sentence = format!("Nothing was changed: {expected}.");
    message(
        StatusCode::UNPROCESSABLE_ENTITY,
        "Form not usable",
        &sentence,
    )
}

fn no_such_anomaly() -> Response {
    message(
        StatusCode::NOT_FOUND,
        "Not found",
        "There is no such anomaly in this organisation. Nothing was changed.",
    )
}
