//! Two agents send the same stretch of values. Opt-in.
//!
//! What: a stretch of 20 values with at least 6 different ones equals, bit by bit, one that another
//! agent of the same organisation sent lately. Stretches are chosen by the value they begin with,
//! one in eight of them, so that both agents choose the same ones wherever these stand in their
//! windows: of shared series, one of an hour is missed once in 10¹², one of ten minutes in 6 of 100
//! cases. [`FeedIndex`] keeps the stretches of a cycle for the next ones. What not: which of the two
//! is the copy; the finding is about the one that was looked at later, and names both.
//!
//! Cost: the bits of each value are mixed once, and each chosen stretch is looked up: some 30 an
//! hour of honest data. A stretch takes about 250 bytes, and the index holds a bounded number of
//! them, of which the older half goes when it is full: 262,144 are 65 MB, 24 h of 360 agents or 1 h
//! of 8,700. It lives in memory, so that a hub which starts says for an hour of nobody that he
//! shares nothing.
//!
//! False positives: 0 of 545,193 stretches of three days of PlanetLab hosts, integers, are shared by
//! two; of 10 values, 3.08 % are (notes §3.2). An honest agent trips it when it is enrolled anew and
//! sends the backlog of its former self. An attacker passes it by noise in the last digit, by the
//! values of a machine that this hub does not watch, or by ones older than the index.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use monsys_core::anomaly::Finding;
use monsys_core::facts::Facts;
use monsys_core::json::ObjectText;
use monsys_core::time::{Span, Timestamp};
use monsys_core::verdict::{Insufficiency, Verdict};
use monsys_core::{AgentId, AnomalyKind, Severity, TenantId};

use super::replayed_series::has_distinct;
use super::{RULES_VERSION, bounds};
use crate::config::Config;
use crate::cycle::Cycle;
use crate::number;

/// The stretches that agents sent lately, and who sent them first.
///
/// ```
/// use monsys_core::Timestamp;
/// use monsys_integrity::detect::duplicate_feed::FeedIndex;
/// assert!(FeedIndex::new(1_000, Timestamp::MIN).is_empty());
/// ```
#[derive(Debug)]
pub struct FeedIndex {
    young: Stretches,
    old: Stretches,
    /// Most stretches of either half.
    n_half: usize,
    began_at: Timestamp,
}

type Stretches = BTreeMap<(TenantId, u64), Sighting>;

#[derive(Debug)]
struct Sighting {
    agent: AgentId,
    bits: Box<[u64]>,
}

/// What is known of a stretch.
enum Known {
    Unseen,
    Own,
    /// Of this other agent.
    Shared(AgentId),
    /// Another stretch has its place; that one stays.
    Taken,
}

impl FeedIndex {
    /// Makes an empty index of at most so many stretches.
    pub const fn new(n_stretches_max: usize, now: Timestamp) -> Self {
        Self {
            young: BTreeMap::new(),
            old: BTreeMap::new(),
            n_half: n_stretches_max / 2,
            began_at: now,
        }
    }

    /// Judges whether an agent sent what another sent, and remembers what it sent.
    pub fn judge(
        &mut self,
        tenant: TenantId,
        facts: &Facts<'_>,
        config: &Config,
        cycle: Cycle,
    ) -> Verdict {
        let values = facts.window.cpu_usage_percent;
        let need = config.replay_block.max(1);
        if values.len() < need {
            let have = values.len();
            return Verdict::Insufficient(Insufficiency::TooFew { have, need });
        }
        let mut shared: Option<Shared> = None;
        for (start, stretch) in chosen(values, need, config) {
            let key = (tenant, key_of(stretch));
            match self.known(key, stretch, facts.agent) {
                Known::Own | Known::Taken => {}
                Known::Unseen => self.remember(key, stretch, facts.agent),
                Known::Shared(with) => {
                    let n_before = shared.map_or(0, |shared| shared.n_stretches);
                    let n_stretches = n_before + 1;
                    let (with, start) = shared.map_or((with, start), |s| (s.with, s.start));
                    shared = Some(Shared {
                        with,
                        start,
                        n_stretches,
                    });
                }
            }
        }
        let age = cycle.now.since(self.began_at);
        match shared {
            Some(shared) => Verdict::Fail(finding(facts, shared, config)),
            None if age < WHOLE_AFTER => Verdict::Insufficient(Insufficiency::HubAway),
            None => Verdict::Pass,
        }
    }

    /// Returns how many stretches it holds.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Tells whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Looks a stretch up; one of the agent's own is young again.
    fn known(&mut self, key: (TenantId, u64), stretch: &[f64], agent: AgentId) -> Known {
        let Some(sighting) = self.young.get(&key).or_else(|| self.old.get(&key)) else {
            return Known::Unseen;
        };
        let is_same = sighting.bits.iter().copied().eq(bits_of(stretch));
        if !is_same {
            return Known::Taken;
        }
        if sighting.agent != agent {
            return Known::Shared(sighting.agent);
        }
        if let Some(sighting) = self.old.remove(&key) {
            self.put(key, sighting);
        }
        Known::Own
    }

    fn remember(&mut self, key: (TenantId, u64), stretch: &[f64], agent: AgentId) {
        let bits = bits_of(stretch).collect();
        self.put(key, Sighting { agent, bits });
    }

    fn put(&mut self, key: (TenantId, u64), sighting: Sighting) {
        if self.young.len() >= self.n_half {
            self.old = core::mem::take(&mut self.young);
        }
        if self.n_half > 0 {
            self.young.insert(key, sighting);
        }
    }
}

/// What an agent shares with another.
#[derive(Debug, Clone, Copy)]
struct Shared {
    with: AgentId,
    /// Where the first shared stretch begins.
    start: usize,
    n_stretches: usize,
}

/// The stretches of a window that begin with a value that is chosen and differ enough in themselves.
fn chosen<'v>(
    values: &'v [f64],
    block: usize,
    config: &Config,
) -> impl Iterator<Item = (usize, &'v [f64])> {
    let distinct_min = config.replay_distinct_min;
    let is_chosen = move |(_, stretch): &(usize, &[f64])| {
        let first = stretch.first().map_or(0, |value| mix(value.to_bits()));
        first.is_multiple_of(ONE_IN) && has_distinct(stretch, distinct_min)
    };
    values.windows(block).enumerate().filter(is_chosen)
}

fn bits_of(stretch: &[f64]) -> impl Iterator<Item = u64> + '_ {
    stretch.iter().map(|value| value.to_bits())
}

/// Where a stretch stands in the index. Two that stand in the same place are compared bit by bit, so
/// that nobody is framed by a collision; the second is then not remembered.
fn key_of(stretch: &[f64]) -> u64 {
    bits_of(stretch).fold(0, |key, bits| mix(key ^ bits))
}

/// Mixes the bits of a number: the finaliser of SplitMix64.
const fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cold]
fn finding(facts: &Facts<'_>, shared: Shared, config: &Config) -> Finding {
    let window = facts.window;
    let n = window.cpu_usage_percent.len();
    Finding {
        kind: AnomalyKind::DuplicateFeed,
        severity: Severity::High,
        summary: "CPU values equal those of another agent bit by bit — one of the two seems to be \
                  a copy"
            .into(),
        detail: ObjectText::new().finish(),
        evidence: bounds(ObjectText::new(), window)
            .text("other_agent", &alloc::format!("{}", shared.with))
            .integer("samples", number::whole(n))
            .integer("stretches", number::whole(shared.n_stretches))
            .integer("first_samples_ago", number::whole(n - 1 - shared.start))
            .integer("block", number::whole(config.replay_block))
            .integer("distinct_min", number::whole(config.replay_distinct_min))
            .integer("rules_version", RULES_VERSION)
            .finish(),
    }
}

/// Of so many values one begins a stretch.
const ONE_IN: u64 = 8;
/// An index has seen a whole window of everybody.
const WHOLE_AFTER: Span = Span::from_secs(monsys_core::limit::WINDOW_S);

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use monsys_core::facts::AgentFacts;
    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{at, cycle, failed, unknown, window_of};

    const TENANT: TenantId = TenantId::from_bytes([1; 16]);
    const OTHER: TenantId = TenantId::from_bytes([2; 16]);

    fn facts(agent: u8, cpu: &[f64]) -> AgentFacts {
        AgentFacts {
            agent: AgentId::from_bytes([agent; 16]),
            window: window_of(cpu),
            ..unknown()
        }
    }

    /// An index that has seen whole windows.
    fn index(n_max: usize) -> FeedIndex {
        FeedIndex::new(n_max, at(-3_600_000))
    }

    fn judge(index: &mut FeedIndex, tenant: TenantId, facts: &AgentFacts) -> Verdict {
        index.judge(tenant, &facts.view(), &Config::strict(), cycle())
    }

    /// Values of which no two are equal.
    fn moving(seed: u64, n: u64) -> Vec<f64> {
        let value = |i| f64::from(u32::try_from(mix(seed * 1_000_003 + i) >> 32).unwrap()) / 5e7;
        (0..n).map(value).collect()
    }

    #[test]
    fn who_sends_what_another_sent_is_found_wherever_it_stands() {
        let mut index = index(10_000);
        let (one, other) = (moving(1, 240), moving(2, 240));
        assert_eq!(judge(&mut index, TENANT, &facts(1, &one)), Verdict::Pass);
        assert_eq!(judge(&mut index, TENANT, &facts(2, &other)), Verdict::Pass);
        assert_eq!(judge(&mut index, TENANT, &facts(1, &one)), Verdict::Pass);
        let copied = [&moving(3, 77), &one[50..150]].concat();
        let finding = failed(judge(&mut index, TENANT, &facts(3, &copied)));
        assert_eq!(finding.severity, Severity::High);
        let other = AgentId::from_bytes([1; 16]);
        let member = alloc::format!(r#""other_agent": "{other}", "samples": 177, "#);
        assert!(finding.evidence.contains(&member), "{}", finding.evidence);
        assert_eq!(
            judge(&mut index, OTHER, &facts(3, &copied)),
            Verdict::Pass,
            "another organisation is told nothing"
        );
    }

    #[test]
    fn idle_machines_of_few_values_share_nothing() {
        let mut index = index(10_000);
        let idle: Vec<f64> = (0..240_u32).map(|i| f64::from(i % 5)).collect();
        for agent in 1..9 {
            assert_eq!(
                judge(&mut index, TENANT, &facts(agent, &idle)),
                Verdict::Pass
            );
        }
        assert!(index.is_empty());
    }

    #[test]
    fn a_young_index_says_nothing_but_what_it_finds() {
        let mut index = FeedIndex::new(10_000, at(-3_599_999));
        let away = Verdict::Insufficient(Insufficiency::HubAway);
        let one = moving(1, 240);
        assert_eq!(judge(&mut index, TENANT, &facts(1, &one)), away);
        let _ = failed(judge(&mut index, TENANT, &facts(2, &one)));
        let too_few = Insufficiency::TooFew { have: 19, need: 20 };
        let few = judge(&mut index, TENANT, &facts(3, &one[..19]));
        assert_eq!(few, Verdict::Insufficient(too_few));
    }

    #[test]
    fn an_index_holds_no_more_than_it_may_and_keeps_what_is_still_sent() {
        let mut index = index(200);
        let lasting = moving(1, 240);
        let n_own = chosen(&lasting, 20, &Config::strict()).count();
        assert!((10..60).contains(&n_own), "{n_own}");
        for seed in 2..60 {
            let agent = u8::try_from(seed).unwrap();
            assert_eq!(
                judge(&mut index, TENANT, &facts(1, &lasting)),
                Verdict::Pass
            );
            let others = moving(seed, 240);
            assert_eq!(
                judge(&mut index, TENANT, &facts(agent, &others)),
                Verdict::Pass
            );
            assert!(index.len() <= 200, "{}", index.len());
        }
        let _ = failed(judge(&mut index, TENANT, &facts(99, &lasting)));
        let gone = moving(2, 240);
        assert_eq!(judge(&mut index, TENANT, &facts(98, &gone)), Verdict::Pass);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn the_verdict_is_that_of_the_plain_form(
            series in prop::collection::vec(prop::collection::vec(0..4_u8, 0..40), 1..6),
            block in 1..5_usize,
            distinct_min in 0..4_usize,
        ) {
            let mut config = Config::strict();
            config.replay_block = block;
            config.replay_distinct_min = distinct_min;
            let mut index = index(100_000);
            let mut before: Vec<(usize, Vec<u64>)> = vec![];
            for (i, values) in series.iter().enumerate() {
                let values: Vec<f64> = values.iter().map(|v| f64::from(*v) * 0.37).collect();
                let stretches = values.windows(block).filter(|stretch| {
                    let distinct: std::collections::BTreeSet<_> = bits_of(stretch).collect();
                    mix(stretch[0].to_bits()).is_multiple_of(ONE_IN) && distinct.len() >= distinct_min
                });
                let own: Vec<Vec<u64>> = stretches.map(|s| bits_of(s).collect()).collect();
                let is_shared = own.iter().any(|s| before.iter().any(|(_, b)| b == s));
                let facts = facts(u8::try_from(i).unwrap(), &values);
                let verdict = index.judge(TENANT, &facts.view(), &config, cycle());
                prop_assert_eq!(matches!(verdict, Verdict::Fail(_)), is_shared);
                before.extend(own.into_iter().map(|stretch| (i, stretch)));
            }
        }
    }
}
