//! Promises about the agents that a cycle goes through.

use std::vec::Vec;

use super::fixture::now;
use super::{BlockOn, Fixture};
use crate::id::{AgentId, TenantId};

pub(super) fn suite<W: BlockOn>(f: &Fixture<'_, W>) {
    the_agents_listed_and_counted_are_those_with_facts(f);
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
