//! Trust scores over HTTP: the number, what each finding takes from it, and what repairs bring.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use monsys_core::id::AgentId;
use monsys_core::limit;
use monsys_core::signal::Signal;
use monsys_core::time::{Span, Timestamp};
use monsys_signals::trust::{self, Contribution, Explanation, Fix};
use monsys_signals::{Catalog, Category, MilliPoints};
use serde::Serialize;
use serde_json::value::RawValue;

use super::csv::{Csv, is_csv};
use super::problem;
use crate::app::App;
use crate::security::session::ApiSession;
use crate::standing::{self, Standing};

/// What somebody asks about a score.
#[derive(Debug, Default)]
struct Wanted {
    at: Option<Timestamp>,
    target: Option<MilliPoints>,
    is_csv: bool,
}

/// `GET /api/v1/trust/{agent_id}`: the score of an agent now, or `at` a past moment, explained.
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    ApiSession(session): ApiSession,
    Path(id): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let Ok(agent) = AgentId::parse(&id) else {
        return problem::not_found();
    };
    let (tenant, now) = (session.user.tenant, app.clock.now());
    let wanted = match Wanted::parse(&query, now) {
        Ok(wanted) => wanted,
        Err(expected) => return problem::unprocessable(expected),
    };
    if let Err(error) = app.store.agent(tenant, agent, 0, now).await {
        return problem::of_store(&error);
    }
    let store = app.store.as_ref();
    let read = match wanted.at {
        Some(at) => standing::of_agent_at(store, tenant, agent, at).await,
        None => standing::of_agent(store, tenant, agent, now).await,
    };
    match read {
        Ok(standing) => answer(agent, &standing, &wanted, wanted.at.unwrap_or(now)),
        Err(error) => problem::of_store(&error),
    }
}

impl Wanted {
    fn parse(query: &BTreeMap<String, String>, now: Timestamp) -> Result<Self, &'static str> {
        let mut wanted = Self::default();
        for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
            match name.as_str() {
                "at" => {
                    let kept = Span::from_secs(limit::SIGNAL_RETENTION_S);
                    let at = Timestamp::parse_rfc3339(value).ok();
                    let in_reach = |at: &Timestamp| *at <= now && *at >= now.saturating_sub(kept);
                    wanted.at = Some(at.filter(in_reach).ok_or(
                        "expected at to be a time such as 2026-11-21T01:15:41Z, not in the \
                         future and within the 180 days that signals are kept",
                    )?);
                }
                "target" => {
                    let points = value.parse::<u32>().ok().filter(|points| *points <= 100);
                    let points =
                        points.ok_or("expected target to be whole points from 0 to 100")?;
                    wanted.target = Some(MilliPoints::new(points * 1_000));
                }
                "format" => wanted.is_csv = is_csv(value)?,
                _ => return Err("expected the parameters at, target, format"),
            }
        }
        Ok(wanted)
    }
}

fn answer(agent: AgentId, standing: &Standing, wanted: &Wanted, at: Timestamp) -> Response {
    let views = standing.views();
    let (catalog, mut scratch) = (Catalog::standard(), trust::Scratch::new());
    let fix = wanted.target.map(|target| {
        // None when no number of repairs that is worth listing reaches it.
        trust::smallest_fix(&views, target, &catalog, &mut scratch, at).ok()
    });
    let explained = trust::explain(&views, &catalog, &mut scratch, at);
    if wanted.is_csv {
        return csv(agent, standing, &explained);
    }
    super::json(&ShownTrust::new(agent, standing, &explained, fix, at))
}

fn csv(agent: AgentId, standing: &Standing, explained: &Explanation<'_>) -> Response {
    let columns = [
        "category",
        "rank",
        "source",
        "key",
        "severity",
        "observed_at",
        "weighs",
        "takes",
    ];
    let mut csv = Csv::new(&columns);
    for line in lines(standing, explained) {
        csv.row(&[
            line.category,
            &line.rank.to_string(),
            line.source,
            line.key,
            line.severity.unwrap_or_default(),
            &line.observed_at,
            &MilliPoints::new(line.weighs_milli).to_string(),
            &MilliPoints::new(line.takes_milli).to_string(),
        ]);
    }
    csv.answer(&format!("trust-{agent}.csv"))
}

/// A score as it is shown. Points are whole thousandths where the name says `milli`; what the
/// contributions take and `score_milli` sum to 100,000.
#[derive(Serialize)]
struct ShownTrust<'a> {
    agent_id: String,
    at: String,
    score: Box<RawValue>,
    score_milli: u32,
    coverage: ShownCoverage,
    categories: Vec<ShownCategory>,
    contributions: Vec<ShownContribution<'a>>,
    /// Live signals of sources that are in no category; they take nothing.
    unmapped: Vec<ShownPlace<'a>>,
    /// Whether all signals about the agent were read.
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<Option<ShownFix<'a>>>,
}

#[derive(Serialize)]
struct ShownCoverage {
    covered: usize,
    of: usize,
}

#[derive(Serialize)]
struct ShownCategory {
    category: &'static str,
    covered: bool,
    cap_milli: u32,
    takes_milli: u32,
}

#[derive(Serialize)]
struct ShownContribution<'a> {
    category: &'static str,
    rank: usize,
    source: &'a str,
    key: &'a str,
    severity: Option<&'static str>,
    observed_at: String,
    weighs_milli: u32,
    takes_milli: u32,
}

#[derive(Serialize)]
struct ShownPlace<'a> {
    source: &'a str,
    key: &'a str,
}

/// The fewest repairs that reach the target, and the score then.
#[derive(Serialize)]
struct ShownFix<'a> {
    score_milli: u32,
    repair: Vec<ShownPlace<'a>>,
}

impl<'a> ShownTrust<'a> {
    fn new(
        agent: AgentId,
        standing: &'a Standing,
        explained: &Explanation<'_>,
        fix: Option<Option<Fix>>,
        at: Timestamp,
    ) -> Self {
        let trust = explained.trust();
        let places = |rows: &[usize]| places(standing, rows);
        let score = trust.score();
        Self {
            agent_id: agent.to_string(),
            at: at.to_rfc3339(),
            score: points(score),
            score_milli: score.get(),
            coverage: ShownCoverage {
                covered: trust.coverage().n_covered(),
                of: Category::ALL.len(),
            },
            categories: Category::ALL
                .map(|category| ShownCategory {
                    category: category.as_str(),
                    covered: trust.coverage().is_covered(category),
                    cap_milli: category.cap_points() * 1_000,
                    takes_milli: trust.deduction(category).get(),
                })
                .into(),
            contributions: lines(standing, explained).collect(),
            unmapped: places(explained.unmapped()),
            complete: !standing.is_cut,
            fix: fix.map(|fix| {
                fix.map(|fix| ShownFix {
                    score_milli: fix.score.get(),
                    repair: places(&fix.rows),
                })
            }),
        }
    }
}

fn lines<'a>(
    standing: &'a Standing,
    explained: &Explanation<'_>,
) -> impl Iterator<Item = ShownContribution<'a>> {
    let line = |contribution: &Contribution| {
        let signal: &Signal = standing.signals.get(contribution.row)?;
        Some(ShownContribution {
            category: contribution.category.as_str(),
            rank: contribution.rank,
            source: signal.source().as_str(),
            key: signal.key().as_str(),
            severity: signal.severity().map(|severity| severity.as_str()),
            observed_at: signal.observed_at().to_rfc3339(),
            weighs_milli: contribution.points.get(),
            takes_milli: contribution.taken.get(),
        })
    };
    explained.contributions().iter().filter_map(line)
}

fn places<'a>(standing: &'a Standing, rows: &[usize]) -> Vec<ShownPlace<'a>> {
    let signals = rows.iter().filter_map(|row| standing.signals.get(*row));
    let place = |signal: &'a Signal| ShownPlace {
        source: signal.source().as_str(),
        key: signal.key().as_str(),
    };
    signals.map(place).collect()
}

/// Points as a number of JSON, exactly.
fn points(points: MilliPoints) -> Box<RawValue> {
    RawValue::from_string(points.to_string()).unwrap_or_default()
}
