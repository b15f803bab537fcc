//! How a score comes about: from 100 points down, one step for each thing that takes some.
//!
//! What: the steps with their bars, largest first. What not: markup; the template draws each bar
//! beside the numbers that it shows, so that the picture is the table. All steps together and the
//! score are exactly 100 points, also when the smallest steps are drawn as one.

use monsys_core::severity::Severity;
use monsys_signals::MilliPoints;
use monsys_signals::trust::{Explanation, FleetTrust};

use crate::standing::Standing;

/// The steps from 100 points to a score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waterfall {
    /// Largest first.
    pub(super) steps: Vec<Step>,
    /// What is left.
    pub(super) score: String,
    /// The bar of the score.
    pub(super) left: String,
}

/// What one thing takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// What it is: a key of a signal, or a category.
    pub(super) label: String,
    /// Who found it; empty where the step is of no one source.
    pub(super) source: String,
    /// The category it counts in; empty where the label is one.
    pub(super) category: &'static str,
    /// How bad it is.
    pub(super) severity: Option<Severity>,
    /// The points it takes.
    pub(super) takes: String,
    /// The points that are left after it.
    pub(super) leaves: String,
    /// Where its bar begins, of 1000.
    pub(super) x: String,
    /// How long its bar is, of 1000.
    pub(super) width: String,
}

/// One step before it has its place.
struct Taken {
    label: String,
    source: String,
    category: &'static str,
    severity: Option<Severity>,
    milli: u32,
}

impl Waterfall {
    /// The findings of one subject.
    pub(super) fn of_findings(standing: &Standing, explained: &Explanation<'_>) -> Self {
        let contributions = explained.contributions().iter();
        let taken = contributions.filter_map(|contribution| {
            let signal = standing.signals.get(contribution.row)?;
            Some(Taken {
                label: signal.key().as_str().to_owned(),
                source: signal.source().as_str().to_owned(),
                category: contribution.category.as_str(),
                severity: signal.severity(),
                milli: contribution.taken.get(),
            })
        });
        Self::new(taken.collect())
    }

    /// The categories of a fleet, in its mean.
    pub(super) fn of_fleet(fleet: &FleetTrust) -> Self {
        let taken = fleet.mean_deductions().map(|(category, takes)| Taken {
            label: category.as_str().to_owned(),
            source: String::new(),
            category: "",
            severity: None,
            milli: takes.get(),
        });
        Self::new(taken.into_iter().filter(|taken| taken.milli > 0).collect())
    }

    fn new(mut taken: Vec<Taken>) -> Self {
        // Stable, so that equal ones stay in the order of the explanation.
        taken.sort_by_key(|taken| std::cmp::Reverse(taken.milli));
        if taken.len() > STEPS_MAX {
            let rest = taken.split_off(STEPS_MAX - 1);
            taken.push(Taken {
                label: format!("{} smaller findings", rest.len()),
                source: String::new(),
                category: "",
                severity: None,
                milli: rest.iter().map(|taken| taken.milli).sum(),
            });
        }
        let mut left = MilliPoints::FULL;
        let place = |taken: Taken| {
            let takes = MilliPoints::new(taken.milli);
            left = left - takes;
            Step {
                label: taken.label,
                source: taken.source,
                category: taken.category,
                severity: taken.severity,
                takes: takes.to_string(),
                leaves: left.to_string(),
                x: length(left),
                width: length(takes),
            }
        };
        Self {
            steps: taken.into_iter().map(place).collect(),
            score: left.to_string(),
            left: length(left),
        }
    }
}

/// Points as a length, of 1000 for 100 points.
fn length(points: MilliPoints) -> String {
    format!("{}.{:02}", points.get() / 100, points.get() % 100)
}

/// Steps that are drawn; what is more is drawn as one.
const STEPS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_begin_where_the_last_ended_and_reach_the_score() {
        let taken = |milli| Taken {
            label: format!("k.{milli}"),
            source: String::new(),
            category: "backup",
            severity: None,
            milli,
        };
        let many = (1..=40).map(|n| taken(n * 50)).collect();
        let waterfall = Waterfall::new(many);
        assert_eq!(waterfall.steps.len(), STEPS_MAX);
        assert_eq!(waterfall.steps[0].takes, "2.000");
        assert_eq!(waterfall.steps[0].leaves, "98.000");
        assert_eq!(
            (&*waterfall.steps[0].x, &*waterfall.steps[0].width),
            ("980.00", "20.00")
        );
        let last = waterfall.steps.last().unwrap();
        assert_eq!(last.label, "25 smaller findings");
        assert_eq!(last.leaves, waterfall.score);
        assert_eq!(
            waterfall.score, "59.000",
            "100 points minus 50 × (1 + … + 40) milli-points"
        );
    }
}
