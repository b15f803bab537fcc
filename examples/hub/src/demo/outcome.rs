//! What came of a demo: who opened what, and whether each attacker was caught for the right reason.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;

use monsys_core::anomaly::AnomalyKind;
use monsys_core::id::{AgentId, TenantId};
use monsys_core::limit;
use monsys_core::store::{AnomalyFilter, KindCount};
use monsys_signals::controls::Controls;
use monsys_signals::correlate::{Correlator, Incident, Scope};
use monsys_signals::{Catalog, MilliPoints, pareto, trust};
use serde::Serialize;

use super::{AgentRole, Participant};
use crate::api::insight;
use crate::app::App;
use crate::error::Failure;
use crate::standing;

/// From here on a processor counts as saturated, in percent points (notes of the flat check).
const SATURATED: f64 = 99.95;

/// The last line of a demo with `--json` (contract §1).
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    url: String,
    agents: Vec<AgentOutcome>,
    accepted: u64,
    rejected: u64,
    open: BTreeMap<&'static str, u64>,
    /// Incidents of one key on several agents.
    fleet_incidents: usize,
    /// Controls under which a finding stands.
    controls: usize,
    false_findings: usize,
    inconclusive: Vec<&'static str>,
    ok: bool,
    #[serde(skip)]
    n_caught: usize,
}

#[derive(Debug, Serialize)]
struct AgentOutcome {
    agent_id: String,
    name: &'static str,
    role: String,
    opened: Vec<&'static str>,
    /// Its trust score in thousandths of a point.
    score_milli: u32,
}

impl Outcome {
    /// Reads the ledger of a demo that has ended.
    pub(super) async fn read(
        app: &App,
        tenant: TenantId,
        participants: &[Participant],
        addr: SocketAddr,
    ) -> Result<Self, Failure> {
        let opened = opened_by_agent(app, tenant).await?;
        let extreme = extreme_windows(app, tenant).await?;
        let counts = app.store.open_counts(tenant).await?;
        let accepted = app.telemetry.ingest.n_accepted();
        let rejected = app.telemetry.ingest.n_refused();
        let outcome = Self::judge(participants, &opened, &extreme, &counts);
        let mut outcome = outcome;
        outcome.read_insights(app, tenant).await?;
        Ok(Self {
            url: format!("http://{addr}"),
            accepted,
            rejected,
            ..outcome
        })
    }

    /// Reads what the signals say about the agents, as the pages do.
    async fn read_insights(&mut self, app: &App, tenant: TenantId) -> Result<(), Failure> {
        let now = app.clock.now();
        let store = app.store.as_ref();
        let standing = standing::of_all(store, tenant, now).await?;
        let (views, catalog) = (standing.views(), Catalog::standard());
        let mut scratch = trust::Scratch::new();
        for (subject, trust) in trust::scores(&views, &catalog, &mut scratch, now) {
            let mut agents = self.agents.iter_mut();
            if let Some(agent) = agents.find(|agent| agent.agent_id == subject.subject_id) {
                agent.score_milli = trust.score().get();
            }
        }
        let controls = Controls::nist_csf_2();
        let pareto = pareto::pareto(&views, &catalog, &controls, &mut scratch, now);
        self.controls = pareto.items().len();
        let since = now.saturating_sub(insight::SPAN);
        let history = standing::history(store, tenant, since).await?;
        let mut correlator = Correlator::new(tenant);
        correlator.add(&history.views());
        let incidents = correlator.incidents();
        let is_fleet = |incident: &&Incident<'_>| matches!(incident.scope, Scope::Fleet { .. });
        self.fleet_incidents = incidents.iter().filter(is_fleet).count();
        Ok(())
    }

    fn judge(
        participants: &[Participant],
        opened: &BTreeMap<AgentId, Vec<AnomalyKind>>,
        extreme: &[AgentId],
        counts: &[KindCount],
    ) -> Self {
        let mut agents = Vec::new();
        let (mut false_findings, mut n_caught, mut n_attackers) = (0, 0, 0);
        let mut inconclusive = Vec::new();
        for participant in participants {
            let kinds = opened
                .get(&participant.agent)
                .map_or(&[][..], Vec::as_slice);
            let role = match participant.role {
                AgentRole::Real => {
                    if extreme.contains(&participant.agent) {
                        inconclusive.push(participant.name);
                    }
                    false_findings += kinds.len();
                    "real".to_owned()
                }
                AgentRole::Attack(kind) => {
                    n_attackers += 1;
                    n_caught += usize::from(kinds.contains(&kind));
                    false_findings += kinds.iter().filter(|opened| **opened != kind).count();
                    format!("attack:{kind}")
                }
            };
            agents.push(AgentOutcome {
                agent_id: participant.agent.to_string(),
                name: participant.name,
                role,
                opened: kinds.iter().map(|kind| kind.as_str()).collect(),
                score_milli: MilliPoints::FULL.get(),
            });
        }
        Self {
            url: String::new(),
            agents,
            accepted: 0,
            rejected: 0,
            open: counts
                .iter()
                .map(|count| (count.kind.as_str(), count.n_open))
                .collect(),
            fleet_incidents: 0,
            controls: 0,
            false_findings,
            ok: n_caught == n_attackers && false_findings == 0 && inconclusive.is_empty(),
            inconclusive,
            n_caught,
        }
    }

    /// Writes the outcome as one line of JSON.
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Says the outcome in one sentence.
    pub(super) fn sentence(&self) -> String {
        let judgement = match (self.ok, self.inconclusive.is_empty()) {
            (true, _) => "as expected",
            (false, true) => "NOT as expected",
            (false, false) => "inconclusive: this machine's processor did not move",
        };
        format!(
            "ended: {} of 6 attackers caught, {} false findings, {} payloads accepted, {} refused: {judgement}",
            self.n_caught, self.false_findings, self.accepted, self.rejected
        )
    }

    /// Returns the exit code of contract §1.
    pub(super) fn exit_code(&self) -> ExitCode {
        match (self.ok, self.inconclusive.is_empty()) {
            (true, _) => ExitCode::SUCCESS,
            (false, true) => ExitCode::from(1),
            (false, false) => ExitCode::from(69),
        }
    }
}

async fn opened_by_agent(
    app: &App,
    tenant: TenantId,
) -> Result<BTreeMap<AgentId, Vec<AnomalyKind>>, Failure> {
    let mut opened: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut filter = AnomalyFilter::default();
    loop {
        let page = app
            .store
            .anomalies(tenant, filter, limit::PAGE_ROWS_MAX, app.clock.now())
            .await?;
        for row in page.rows {
            let kinds = opened.entry(row.anomaly.agent).or_default();
            if !kinds.contains(&row.anomaly.finding.kind) {
                kinds.push(row.anomaly.finding.kind);
            }
        }
        if page.next.is_none() {
            return Ok(opened);
        }
        filter.after = page.next;
    }
}

/// Finds the agents whose processor was at its end of the scale all the time, or that sent nothing.
async fn extreme_windows(app: &App, tenant: TenantId) -> Result<Vec<AgentId>, Failure> {
    let page = app
        .store
        .facts(tenant, None, limit::CYCLE_PAGE_AGENTS, app.clock.now())
        .await?;
    let is_extreme = |cpu: &[f64]| {
        cpu.iter().all(|value| *value >= SATURATED) || cpu.iter().all(|value| *value == 0.0)
    };
    let extreme = page
        .agents
        .iter()
        .filter(|facts| is_extreme(facts.window.view().cpu_usage_percent));
    Ok(extreme.map(|facts| facts.agent).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn participants() -> [Participant; 2] {
        let (real, attacker) = (AgentId::from_bytes([1; 16]), AgentId::from_bytes([2; 16]));
        let role = AgentRole::Attack(AnomalyKind::ClockDrift);
        [
            Participant {
                agent: real,
                name: "this-machine",
                role: AgentRole::Real,
            },
            Participant {
                agent: attacker,
                name: "wrong-clock",
                role,
            },
        ]
    }

    fn judge(real: &[AnomalyKind], attacker: &[AnomalyKind], is_extreme: bool) -> Outcome {
        let [one, other] = participants();
        let opened = [(one.agent, real.to_vec()), (other.agent, attacker.to_vec())].into();
        let extreme: &[AgentId] = if is_extreme { &[one.agent] } else { &[] };
        Outcome::judge(&participants(), &opened, extreme, &[])
    }

    #[test]
    fn only_the_right_finding_on_each_attacker_and_none_on_the_real_agent_is_ok() {
        use AnomalyKind::{ClockDrift, FlatMetrics};
        assert!(judge(&[], &[ClockDrift], false).ok);
        assert!(!judge(&[], &[], false).ok, "not caught");
        assert!(
            !judge(&[], &[FlatMetrics], false).ok,
            "caught for another reason"
        );
        assert!(
            !judge(&[], &[ClockDrift, FlatMetrics], false).ok,
            "and for another reason"
        );
        assert!(
            !judge(&[FlatMetrics], &[ClockDrift], false).ok,
            "false finding"
        );
        assert_eq!(
            judge(&[FlatMetrics], &[ClockDrift], false).exit_code(),
            ExitCode::from(1)
        );
        assert_eq!(
            judge(&[], &[ClockDrift], true).exit_code(),
            ExitCode::from(69)
        );
    }
}
