//! The fleet over HTTP: pages of agents, and those with the highest risk.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use monsys_core::limit;
use monsys_core::store::AuthProfile;
use monsys_core::time::{Span, Timestamp};
use monsys_signals::{Category, MilliPoints};
use serde::Serialize;
use serde_json::value::RawValue;

use super::agents::ShownAgent;
use super::parameters::{self, Parameters};
use super::problem;
use crate::app::App;
use crate::scores::{self, ScoreBoard, Scored};
use crate::security::principal::Principal;
use crate::security::session::ApiSession;
use crate::store::{FleetCursor, FleetFilter, FleetOrder, FleetPage, Presence};

/// Rows of a page when the caller does not say.
const PAGE_ROWS: u32 = 50;
/// Processor readings of one agent in a listing: 15 minutes at 15 s.
const RECENT_CPU: u32 = 60;
/// Devices by risk when the caller does not say, and at most (row A11).
const TOP: u32 = 10;
const TOP_MAX: u32 = 100;

/// From when on an agent that was heard of counts as fresh: an hour before now, which is also all
/// that a list draws.
pub(crate) fn fresh_since(now: Timestamp) -> Timestamp {
    now.saturating_sub(Span::from_secs(limit::WINDOW_S))
}

/// A part of the fleet that somebody asks for.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) filter: FleetFilter,
    pub(crate) order: FleetOrder,
    pub(crate) after: Option<FleetCursor>,
    pub(crate) n_rows: u32,
}

impl Wanted {
    /// Reads the parameters of a listing; an unknown or unusable one is refused by what it should
    /// be.
    pub(crate) fn parse(parameters: &Parameters, now: Timestamp) -> Result<Self, &'static str> {
        let mut wanted = Self {
            filter: FleetFilter::all(fresh_since(now)),
            order: FleetOrder::Name,
            after: None,
            n_rows: PAGE_ROWS,
        };
        for (name, value) in parameters.iter() {
            wanted.take(name, value)?;
        }
        let is_elsewhere = |after: &FleetCursor| after.order != wanted.order;
        if wanted.after.as_ref().is_some_and(is_elsewhere) {
            return Err("expected cursor to be a next_cursor of the same order");
        }
        Ok(wanted)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let filter = &mut self.filter;
        match name {
            "text" => filter.text = Some(short_text(value)?),
            "version" => filter.version = Some(short_text(value)?),
            "profile" => {
                let mut profiles = [AuthProfile::Ed25519, AuthProfile::Hmac].into_iter();
                let found = profiles.find(|profile| profile.as_str() == value);
                filter.profile = Some(found.ok_or("expected profile to be ed25519 or hmac")?);
            }
            "presence" => {
                let expected = "expected presence to be fresh, silent, never_seen or revoked";
                filter.presence = Some(Presence::parse(value).ok_or(expected)?);
            }
            "order" => {
                let expected = "expected order to be name, last_seen or worst";
                self.order = FleetOrder::parse(value).ok_or(expected)?;
            }
            "cursor" => {
                let cursor = FleetCursor::parse(value);
                self.after = Some(cursor.map_err(|_| "expected cursor to be a next_cursor")?);
            }
            "limit" => {
                let expected = "expected limit to be 1 to 200";
                self.n_rows = parameters::count(value, limit::PAGE_ROWS_MAX, expected)?;
            }
            _ => {
                return Err(
                    "expected the parameters text, profile, presence, version, order, cursor, \
                     limit",
                );
            }
        }
        Ok(())
    }
}

fn short_text(value: &str) -> Result<String, &'static str> {
    if value.len() > limit::DISPLAY_NAME_BYTES_MAX || value.contains('\0') {
        return Err("expected text and version to be at most 128 bytes without U+0000");
    }
    Ok(value.to_owned())
}

/// `GET /api/v1/agents`: a page of the agents of the organisation.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
    parameters: Parameters,
) -> Response {
    let now = app.clock.now();
    let wanted = match Wanted::parse(&parameters, now) {
        Ok(wanted) => wanted,
        Err(expected) => return problem::unprocessable(expected),
    };
    let place = (wanted.order, wanted.after);
    let size = (wanted.n_rows, RECENT_CPU);
    let read = app
        .store
        .fleet(session.user.tenant, &wanted.filter, place, size, now);
    match read.await {
        Ok(page) => super::json(&Listing::new(page, wanted.filter.fresh_since)),
        Err(error) => problem::of_store(&error),
    }
}

#[derive(Serialize)]
struct Listing {
    items: Vec<ShownAgent>,
    /// How many agents match, on all pages together.
    total: u64,
    next_cursor: Option<String>,
}

impl Listing {
    fn new(page: FleetPage, fresh_since: Timestamp) -> Self {
        let shown = |row| ShownAgent::new(row, fresh_since);
        Self {
            items: page.rows.into_iter().map(shown).collect(),
            total: page.n_matching,
            next_cursor: page.next.map(|cursor| cursor.to_string()),
        }
    }
}

/// `GET /v1/fleet/top`: the devices with the highest risk.
pub(crate) async fn top(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
    parameters: Parameters,
) -> Response {
    let n_wanted = match read_top(&parameters, &session) {
        Ok(n_wanted) => n_wanted,
        Err(refusal) => return refusal,
    };
    let now = app.clock.now();
    match scores::board(&app, session.user.tenant, now).await {
        Ok(board) => super::json(&ShownTop::new(&board, n_wanted)),
        Err(error) => problem::of_store(&error),
    }
}

#[expect(clippy::result_large_err, reason = "the refusal is the answer")]
fn read_top(parameters: &Parameters, session: &Principal) -> Result<usize, Response> {
    let mut n_wanted = TOP;
    for (name, value) in parameters.iter() {
        let read = match name {
            "org_id" => {
                check_org(session, value)?;
                continue;
            }
            "limit" => parameters::count(value, TOP_MAX, "expected limit to be 1 to 100"),
            _ => Err("expected the parameters org_id, limit"),
        };
        n_wanted = read.map_err(problem::unprocessable)?;
    }
    Ok(usize::try_from(n_wanted).unwrap_or(usize::MAX))
}

/// Refuses an organisation that is not the caller's own, by its name or identifier. One that does
/// not exist is refused alike, so that nobody learns which there are.
#[expect(clippy::result_large_err, reason = "the refusal is the answer")]
pub(super) fn check_org(session: &Principal, org: &str) -> Result<(), Response> {
    let own = &session.user;
    if org == own.tenant_name.as_str() || org == own.tenant.to_string() {
        return Ok(());
    }
    Err(problem::forbidden(
        "expected org_id to be the organisation of the session",
    ))
}

#[derive(Serialize)]
struct ShownTop<'a> {
    items: Vec<ShownRisk<'a>>,
    /// Agents that are not revoked, of which `items` have the highest risk.
    total: u64,
    /// As of when the scores are: at most 3 seconds before the request, and of its own moment where
    /// the organisation is small.
    at: String,
    /// Whether all signals were read.
    complete: bool,
}

/// A device by risk. Points are of 100; whole thousandths where the name says `milli`.
#[derive(Serialize)]
struct ShownRisk<'a> {
    agent_id: String,
    device_id: &'a str,
    risk: Box<RawValue>,
    risk_milli: u32,
    score: Box<RawValue>,
    score_milli: u32,
    /// Of how many of the categories anything is known: 100 points of an agent about which nothing
    /// is known say nothing.
    covered: usize,
    of: usize,
}

impl<'a> ShownTop<'a> {
    fn new(board: &'a ScoreBoard, n_wanted: usize) -> Self {
        Self {
            items: board
                .riskiest()
                .take(n_wanted)
                .map(ShownRisk::new)
                .collect(),
            total: board.fleet.n_subjects(),
            at: board.at.to_rfc3339(),
            complete: !board.is_cut,
        }
    }
}

impl<'a> ShownRisk<'a> {
    fn new(scored: &'a Scored) -> Self {
        let (risk, score) = (scored.risk(), scored.trust.score());
        Self {
            agent_id: scored.agent.to_string(),
            device_id: &scored.name,
            risk: points(risk),
            risk_milli: risk.get(),
            score: points(score),
            score_milli: score.get(),
            covered: scored.trust.coverage().n_covered(),
            of: Category::ALL.len(),
        }
    }
}

/// Points as a number of JSON, exactly.
fn points(points: MilliPoints) -> Box<RawValue> {
    RawValue::from_string(points.to_string()).unwrap_or_default()
}
