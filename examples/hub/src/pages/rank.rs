//! Agents by risk, as lines of the table that two pages share.

use monsys_core::store::AgentSummary;
use monsys_core::time::Timestamp;
use monsys_signals::{Category, MilliPoints, TrustScore};

use super::trust::Trust;
use super::when::When;

/// One agent with what its score is made of.
#[derive(Debug, Clone)]
pub(super) struct RankLine<'a> {
    pub(super) id: String,
    pub(super) name: &'a str,
    pub(super) trust: Trust,
    pub(super) score: String,
    /// 100 points less the score.
    pub(super) risk: String,
    /// Whether anything is known of it; a score without that says nothing.
    pub(super) is_known: bool,
    pub(super) n_covered: usize,
    pub(super) n_categories: usize,
    /// The category that takes the most, if one takes anything.
    pub(super) driver: Option<&'static str>,
    /// How long the bar of the risk is, of 1000.
    pub(super) width: u32,
    pub(super) n_open: u32,
    pub(super) last_seen: Option<When>,
}

impl<'a> RankLine<'a> {
    pub(super) fn all(agents: &'a [(AgentSummary, TrustScore)], now: Timestamp) -> Vec<Self> {
        let lines = agents.iter();
        lines
            .map(|(agent, score)| Self::new(agent, score, now))
            .collect()
    }

    fn new(agent: &'a AgentSummary, score: &TrustScore, now: Timestamp) -> Self {
        let risk = MilliPoints::FULL.get() - score.score().get();
        let takes = |category: &Category| score.deduction(*category).get();
        let driver = Category::ALL.into_iter().rev().max_by_key(takes);
        let driver = driver.filter(|category| takes(category) > 0);
        Self {
            id: agent.agent.to_string(),
            name: agent.name.as_str(),
            trust: Trust::of(agent),
            score: score.score().to_string(),
            risk: MilliPoints::new(risk).to_string(),
            is_known: score.coverage().n_covered() > 0,
            n_covered: score.coverage().n_covered(),
            n_categories: Category::ALL.len(),
            driver: driver.map(Category::as_str),
            width: risk / 100,
            n_open: agent.n_open,
            last_seen: agent.last_seen_at.map(|at| When::new(at, now)),
        }
    }
}
