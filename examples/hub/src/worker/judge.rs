//! One page judged, and what a detector that panicked said.

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use monsys_core::anomaly::{AnomalyKind, Transition};
use monsys_core::facts::AgentFacts;
use monsys_core::id::TenantId;
use monsys_core::limit;
use monsys_core::store::CycleFault;
use monsys_core::text;
use monsys_core::verdict::Verdict;
use monsys_integrity::detect::duplicate_feed::FeedIndex;
use monsys_integrity::{Config, Cycle, DETECTORS, lifecycle, reconcile_guarded};

use super::report::CycleReport;

/// Judges a page. A detector that panics is counted and named; the others of that agent go on.
pub(super) fn judge_page(
    page: &[AgentFacts],
    config: &Config,
    cycle: Cycle,
    report: &mut CycleReport,
) -> Vec<Transition> {
    let guard = |check: &dyn Fn() -> Verdict| {
        catch_unwind(AssertUnwindSafe(check)).map_err(|panic| said(panic.as_ref()))
    };
    let judged = reconcile_guarded(DETECTORS, page, config, cycle, guard);
    let failed: BTreeSet<_> = judged.errors.iter().map(|error| error.agent).collect();
    report.evaluated += page.len() - failed.len();
    report.failed_agents += failed.len();
    for error in judged.errors {
        tracing::error!(agent = %error.agent, kind = %error.kind, "a detector failed");
        if report.faults.len() < limit::CYCLE_FAULTS_MAX {
            report.faults.push(CycleFault {
                agent: error.agent,
                kind: Some(error.kind),
                message: error.message,
            });
        }
    }
    judged.transitions
}

/// Judges which agents of a page send what another one sent, after the pages before.
pub(super) fn judge_feeds(
    index: &mut FeedIndex,
    (tenant, page): (TenantId, &[AgentFacts]),
    config: &Config,
    cycle: Cycle,
    report: &mut CycleReport,
) -> Vec<Transition> {
    let kind = AnomalyKind::DuplicateFeed;
    let mut steps = Vec::new();
    for facts in page {
        let facts = facts.view();
        let judged = catch_unwind(AssertUnwindSafe(|| {
            index.judge(tenant, &facts, config, cycle)
        }));
        match judged {
            Ok(verdict) => {
                steps.extend(lifecycle::transition(
                    &facts, kind, verdict, config, cycle.now,
                ));
            }
            Err(panic) => {
                report.evaluated = report.evaluated.saturating_sub(1);
                report.fail(facts.agent, Some(kind), &said(panic.as_ref()));
            }
        }
    }
    steps
}

/// What a panic said, cut to a line that a page can show.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text::clean(&text.unwrap_or_default(), FAULT_CHARS_MAX)
}

/// Longest message of a failed evaluation that is kept, in characters.
pub(super) const FAULT_CHARS_MAX: usize = 200;
