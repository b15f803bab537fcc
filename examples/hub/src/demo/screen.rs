//! What a person sees while the demo runs: one line per event, as it happens.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use monsys_core::anomaly::AnomalyKind;
use monsys_core::id::{AgentId, TenantId};
use monsys_core::store::{AnomalyFilter, AnomalyRow};

use super::outcome::Outcome;
use super::{AgentRole, Participant};
use crate::app::App;
use crate::error::Failure;
use crate::location::StoreLocation;
use crate::output;

/// Rows read at a look: more than the demo can open.
const ROWS: u32 = 200;

/// The lines printed so far.
pub(super) struct Screen {
    started: Instant,
    shown: BTreeSet<(AgentId, AnomalyKind)>,
    is_real_shown: bool,
    is_complete_shown: bool,
}

impl Screen {
    /// Prints the first lines: where the store is, where to look.
    pub(super) fn start(store: &StoreLocation, rate: u32, addr: SocketAddr, link: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        output::line(format_args!(
            "monsys {version} demo · store {store} · clock × {rate}"
        ));
        output::line(format_args!(
            "open  http://{addr}/login/{link}   (one use, 30 minutes)"
        ));
        Self {
            started: Instant::now(),
            shown: BTreeSet::new(),
            is_real_shown: false,
            is_complete_shown: false,
        }
    }

    /// Prints what is new.
    pub(super) async fn look(
        &mut self,
        app: &App,
        tenant: TenantId,
        participants: &[Participant],
    ) -> Result<(), Failure> {
        if !self.is_real_shown {
            self.look_for_real(app, tenant, participants).await?;
        }
        let mut rows = app
            .store
            .anomalies(tenant, AnomalyFilter::default(), ROWS, app.clock.now())
            .await?
            .rows;
        rows.sort_by_key(|row| row.anomaly.detected_at);
        for row in &rows {
            if self
                .shown
                .insert((row.anomaly.agent, row.anomaly.finding.kind))
            {
                self.print(&row.agent_name, answer_to(row), &explain(row));
            }
        }
        let is_caught = |p: &Participant| match p.role {
            AgentRole::Real => self.is_real_shown,
            AgentRole::Attack(kind) => self.shown.contains(&(p.agent, kind)),
        };
        if !self.is_complete_shown && participants.iter().all(is_caught) {
            self.is_complete_shown = true;
            let on_real = if self.shown.len() == participants.len() - 1 {
                "nothing"
            } else {
                "FINDINGS"
            };
            output::line(format_args!(
                "six of six attackers caught, {on_real} on this-machine · Ctrl-C ends it"
            ));
        }
        Ok(())
    }

    async fn look_for_real(
        &mut self,
        app: &App,
        tenant: TenantId,
        participants: &[Participant],
    ) -> Result<(), Failure> {
        let agents = app.store.agents(tenant, 1, app.clock.now()).await?;
        let is_real = |agent: &AgentId| {
            participants
                .iter()
                .any(|p| p.agent == *agent && p.role == AgentRole::Real)
        };
        for agent in agents.iter().filter(|agent| is_real(&agent.agent)) {
            let Some(cpu) = agent.recent_cpu.last() else {
                continue;
            };
            if agent.key.can_verify() && agent.n_open == 0 {
                self.is_real_shown = true;
                let text = format!("cpu {cpu:.1} %, signed, in step");
                self.print(agent.name.as_str(), "trusted", &text);
            }
        }
        Ok(())
    }

    fn print(&self, name: &str, answer: &str, text: &str) {
        let elapsed_s = self.started.elapsed().as_secs();
        let (minutes, seconds) = (elapsed_s / 60, elapsed_s % 60);
        output::line(format_args!(
            "  {minutes}:{seconds:02}  {name:<14} {answer:<9} {text}"
        ));
    }

    /// Prints what came of it.
    pub(super) fn end(&self, outcome: &Outcome) {
        output::line(outcome.sentence());
    }
}

fn answer_to(row: &AnomalyRow) -> &'static str {
    let refused = [AnomalyKind::UnsignedPayload, AnomalyKind::SignatureInvalid];
    if refused.contains(&row.anomaly.finding.kind) {
        "403"
    } else {
        "caught"
    }
}

fn explain(row: &AnomalyRow) -> String {
    let finding = &row.anomaly.finding;
    let is = |kind| finding.kind == kind;
    let reason = if is(AnomalyKind::UnsignedPayload) {
        "no X-Monsys-Signature"
    } else if is(AnomalyKind::SignatureInvalid) {
        "signature does not verify"
    } else {
        finding.summary.split(" — ").next().unwrap_or_default()
    };
    format!("{reason:<56} → {}, {}", finding.kind, finding.severity)
}
