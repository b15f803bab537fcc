//! Plans: how many payloads a second an organisation may send, by the name of what it was sold.
//!
//! In the file: `[plans.NAME]` with `rate`, `burst` and `orgs`. The environment may name the plan of an
//! organisation too (`MONSYS_ORGS_JSON`). An organisation without a plan has the rate of all. Each
//! replica of a hub counts for itself: the lease of the cycle names one holder and not who is alive,
//! so a rate is not divided by the replicas; whoever runs several divides the rates in their file.

use std::collections::BTreeMap;

use monsys_core::id::TenantId;
use monsys_core::store::StoreError;
use serde::Deserialize;

use super::file::edit_distance;
use crate::error::{Failure, FailureKind};
use crate::ingest::Rate;
use crate::store::HubStore;

/// The section `[plans]` of the file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct PlanEntries(BTreeMap<String, PlanEntry>);

/// One `[plans.NAME]` of the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanEntry {
    /// Payloads a second; 0 lifts the limit.
    rate: u32,
    /// Payloads at once; twice the rate unless given.
    burst: Option<u32>,
    /// Names of the organisations that have it.
    #[serde(default)]
    orgs: Vec<String>,
}

/// Who may send how much.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plans {
    rates: BTreeMap<String, Rate>,
    of_org: BTreeMap<String, String>,
}

impl PlanEntries {
    /// Checks the plans of a file.
    ///
    /// # Errors
    /// Configuration: a burst that cannot be, or an organisation with two plans.
    pub(super) fn complete(self) -> Result<Plans, Failure> {
        let mut plans = Plans::default();
        for (name, entry) in self.0 {
            let burst_max = entry.rate.saturating_mul(BURST_S_MAX);
            let burst = entry.burst.unwrap_or_else(|| entry.rate.saturating_mul(2));
            if entry.rate > 0 && !(1..=burst_max).contains(&burst) {
                let expected = "burst: expected 1 to 60 times the rate";
                return Err(wrong(format!("plans: {name}: {expected}")));
            }
            for org in entry.orgs {
                plans.assign(org, name.clone())?;
            }
            plans
                .rates
                .insert(name, Rate::with_burst(entry.rate, burst));
        }
        Ok(plans)
    }
}

impl Plans {
    /// Gives an organisation a plan.
    ///
    /// # Errors
    /// Configuration: it has another one already.
    pub(crate) fn assign(&mut self, org: String, plan: String) -> Result<(), Failure> {
        if let Some(other) = self.of_org.get(&org).filter(|other| **other != plan) {
            let message = format!("plans: {org} has {other} and {plan}: expected one plan");
            return Err(wrong(message));
        }
        self.of_org.insert(org, plan);
        Ok(())
    }

    /// Refuses plans that organisations have and nobody described.
    ///
    /// # Errors
    /// Configuration: such a plan, by its name, and the nearest that is described.
    pub(super) fn refuse_unknown(&self) -> Result<(), Failure> {
        let mut assigned = self.of_org.iter();
        let unknown = assigned.find(|(_, plan)| !self.rates.contains_key(*plan));
        let Some((org, plan)) = unknown else {
            return Ok(());
        };
        let known = self.rates.keys();
        let near = known
            .map(|known| (edit_distance(plan, known), known))
            .filter(|(distance, known)| *distance <= known.len().div_ceil(2))
            .min();
        let hint = near.map_or_else(String::new, |(_, near)| format!("; did you mean {near}?"));
        Err(wrong(format!(
            "plans: {org} has the plan {plan}: expected [plans.{plan}] in the file{hint}"
        )))
    }

    /// Finds the rates of the organisations that are there.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn rates(
        &self,
        store: &dyn HubStore,
    ) -> Result<BTreeMap<TenantId, Rate>, StoreError> {
        if self.of_org.is_empty() {
            return Ok(BTreeMap::new());
        }
        let orgs = store.tenant_names().await?.into_iter();
        let rates = orgs.filter_map(|(tenant, name)| {
            let rate = self.rates.get(self.of_org.get(name.as_str())?)?;
            Some((tenant, *rate))
        });
        Ok(rates.collect())
    }
}

fn wrong(message: String) -> Failure {
    Failure::new(FailureKind::Configuration, message)
}

/// Longest time for which a burst may make up, in seconds.
const BURST_S_MAX: u32 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn plans(text: &str) -> Result<Plans, String> {
        let entries: PlanEntries = toml::from_str(text).map_err(|error| error.to_string())?;
        let plans = entries.complete().map_err(|error| error.to_string())?;
        plans.refuse_unknown().map_err(|error| error.to_string())?;
        Ok(plans)
    }

    #[test]
    fn a_plan_has_a_rate_and_a_burst_and_an_organisation_one_plan() {
        let good =
            plans("[small]\nrate = 5\norgs = [\"acme\"]\n[big]\nrate = 50\nburst = 3000").unwrap();
        assert_eq!(good.rates["small"], Rate::per_second(5));
        assert_eq!(good.rates["big"], Rate::with_burst(50, 3_000));
        for (text, expected) in [
            ("[a]\nrate = 5\nburst = 0", "burst"),
            ("[a]\nrate = 5\nburst = 301", "burst"),
            ("[a]\nrat = 5", "unknown field"),
            (
                "[a]\nrate = 1\norgs=[\"x\"]\n[b]\nrate = 2\norgs=[\"x\"]",
                "one plan",
            ),
        ] {
            let refused = plans(text).unwrap_err();
            assert!(refused.contains(expected), "{text}: {refused}");
        }
        let mut good = good;
        good.assign("other".to_owned(), "gold".to_owned()).unwrap();
        let refused = good.refuse_unknown().unwrap_err().to_string();
        assert!(
            refused.ends_with("[plans.gold] in the file"),
            "nothing is near: {refused}"
        );
    }

    #[test]
    fn a_plan_nobody_described_is_told_with_the_nearest_name() {
        let mut plans = plans("[small]\nrate = 5\n[large]\nrate = 50").unwrap();
        plans.assign("acme".to_owned(), "smal".to_owned()).unwrap();
        let refused = plans.refuse_unknown().unwrap_err().to_string();
        assert!(refused.contains("acme has the plan smal"), "{refused}");
        assert!(refused.ends_with("did you mean small?"), "{refused}");
    }
}
