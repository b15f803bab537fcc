//! Promises about the agents that a cycle goes through.

use std::vec::Vec;

use super::fixture::now;
use super::{BlockOn, Fixture, IngestOutcome};
use crate::id::{AgentId, TenantId};
use crate::time::Span;

pub(super) fn suite<W: BlockOn>(f: &Fixture<'_, W>) {
    the_agents_listed_and_counted_are_those_with_facts(f);
    who_was_heard_lately_and_is_silent_now_is_counted(f);
}

fn who_was_heard_lately_and_is_silent_now_is_counted<W: BlockOn>(f: &Fixture<'_, W>) {
    let ago = |seconds| now().saturating_sub(Span::from_secs(seconds));
    // Nobody else sends so late.
    let later = |seconds: i64| now().saturating_add(Span::from_secs(86_400 + seconds));
    let agents = [215, 216, 217, 218].map(|number| f.enrol(0, number));
    for (agent, second) in agents.into_iter().zip([10, 20, 20, 30]) {
        let mut batch = f.metrics(agent, 1, 0);
        batch.received_at = later(second);
        assert_eq!(f.commit(&batch), IngestOutcome::Accepted);
    }
    f.wait
        .block_on(f.store.revoke(f.tenants[0], agents[2]))
        .expect("an agent to revoke");
    let counted = |tenant: usize, heard_since, silent_since| {
        let presence = f
            .store
            .presence(f.tenants[tenant], heard_since, silent_since);
        let presence = f.wait.block_on(presence).expect("counts");
        (presence.n_heard, presence.n_silent)
    };
    let all = counted(0, ago(86_400 * 365), later(31));
    assert_eq!(all.0, all.1, "all that were ever heard are silent then");
    assert_eq!(
        counted(0, later(10), later(20)),
        (2, 1),
        "who is long gone is not counted"
    );
    assert_eq!(
        counted(0, later(9), later(20)),
        (3, 2),
        "not heard after a moment is silent at it, and a revoked agent is not counted"
    );
    assert_eq!(counted(1, later(0), later(40)), (0, 0), "of one tenant");
}

fn the_agents_listed_and_counted_are_those_with_facts<W: BlockOn>(f: &Fixture<'_, W>) {
    let revoked = f.enrol(0, 211);
    let kept = [212, 213, 214].map(|number| f.enrol(0, number));
    f.wait
        .block_on(f.store.revoke(f.tenants[0], revoked))
        .expect("an agent to revoke");
    for tenant in f.tenants {
        let judged = with_facts(f, tenant);
        let all = f.wait.block_on(f.store.active_agents(tenant, None, 10_000));
        assert_eq!(all.as_ref(), Ok(&judged), "listed as they are judged");
        let counted = f.wait.block_on(f.store.active_count(tenant));
        let n_judged = u64::try_from(judged.len()).unwrap_or(u64::MAX);
        assert_eq!(counted, Ok(n_judged), "counted as they are judged");
        assert_eq!(paged(f, tenant), judged, "each once, whatever the page");
        assert!(
            !judged.contains(&AgentId::of_hub(tenant)),
            "a hub judges no hub"
        );
    }
    let own = with_facts(f, f.tenants[0]);
    assert!(kept.iter().all(|agent| own.contains(agent)));
    assert!(!own.contains(&revoked), "a revoked agent is not active");
}

fn with_facts<W: BlockOn>(f: &Fixture<'_, W>, tenant: TenantId) -> Vec<AgentId> {
    let page = f.wait.block_on(f.store.facts(tenant, None, 10_000, now()));
    let page = page.expect("a page of facts");
    page.agents.iter().map(|facts| facts.agent).collect()
}

fn paged<W: BlockOn>(f: &Fixture<'_, W>, tenant: TenantId) -> Vec<AgentId> {
    let mut seen = Vec::new();
    loop {
        let after = seen.last().copied();
        let page = f.wait.block_on(f.store.active_agents(tenant, after, 3));
        let page = page.expect("a page of agents");
        if page.is_empty() {
            return seen;
        }
        assert!(page.len() <= 3, "no more than asked for");
        seen.extend(page);
    }
}
