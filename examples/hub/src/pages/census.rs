//! How a fleet stands, in a handful of numbers, however many agents it has.

use monsys_signals::{MilliPoints, TrustScore};

/// How many agents are heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Census {
    /// Heard of lately.
    pub(crate) n_fresh: u64,
    /// Heard before, and not lately.
    pub(crate) n_silent: u64,
    /// Enrolled, and never heard.
    pub(crate) n_never_seen: u64,
    /// Shut out by a person.
    pub(crate) n_revoked: u64,
}

impl Census {
    /// Returns how many there are.
    pub(crate) const fn n_agents(&self) -> u64 {
        self.n_fresh + self.n_silent + self.n_never_seen + self.n_revoked
    }

    /// Returns the states that somebody is in, each with its part of a bar of 1000.
    pub(super) fn parts(&self) -> Vec<Part> {
        let counts = [
            ("fresh", "reporting", self.n_fresh),
            ("silent", "silent", self.n_silent),
            ("never_seen", "never seen", self.n_never_seen),
            ("revoked", "revoked", self.n_revoked),
        ];
        let (n_agents, mut before) = (self.n_agents().max(1), 0);
        let counts = counts.into_iter().filter(|(_, _, n)| *n > 0);
        counts
            .map(|(word, text, n)| {
                let x = before * BAR / n_agents;
                before += n;
                Part {
                    word,
                    text,
                    n,
                    x,
                    width: before * BAR / n_agents - x,
                }
            })
            .collect()
    }
}

/// One state and how many agents are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// The word of the filter and of the colour.
    pub(super) word: &'static str,
    /// The words for people.
    pub(super) text: &'static str,
    pub(super) n: u64,
    /// Where its part of the bar begins, of 1000.
    pub(super) x: u64,
    pub(super) width: u64,
}

/// How scores are spread over a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Spread {
    n_of: [u64; 5],
    n_unknown: u64,
}

impl Spread {
    /// Counts one more score; one that nothing is known about is no score.
    pub(crate) fn add(&mut self, score: &TrustScore) {
        if score.coverage().n_covered() == 0 {
            self.n_unknown += 1;
            return;
        }
        let milli = score.score().get();
        let bins = BINS.iter().zip(&mut self.n_of);
        if let Some((_, n)) = bins.into_iter().find(|(bin, _)| milli >= bin.from) {
            *n += 1;
        }
    }

    /// Returns how many have lost points.
    pub(super) fn n_doubted(&self) -> u64 {
        self.n_of.iter().skip(1).sum()
    }

    /// Returns how many have all points, and something to show for it.
    pub(super) fn n_full(&self) -> u64 {
        self.n_of.first().copied().unwrap_or(0)
    }

    /// Returns how many nothing is known about.
    pub(super) const fn n_unknown(&self) -> u64 {
        self.n_unknown
    }

    /// Returns a bar for each part of the scale, best first.
    pub(super) fn bars(&self) -> Vec<SpreadBar> {
        let longest = self.n_of.into_iter().chain([self.n_unknown]).max();
        let longest = longest.unwrap_or(0).max(1);
        let bar = |text, tone, n: u64| SpreadBar {
            text,
            tone,
            n,
            width: n * BAR / longest,
        };
        let known = BINS.iter().zip(self.n_of);
        let known = known.map(|(bin, n)| (bin.text, bin.tone, n));
        let all = known.chain([("nothing known", "unknown", self.n_unknown)]);
        all.map(|(text, tone, n)| bar(text, tone, n)).collect()
    }
}

/// A part of the scale and how many agents have a score in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SpreadBar {
    pub(super) text: &'static str,
    pub(super) tone: &'static str,
    pub(super) n: u64,
    /// How long it is, of 1000.
    pub(super) width: u64,
}

struct Bin {
    from: u32,
    text: &'static str,
    tone: &'static str,
}

/// Best first. A single critical finding takes 25 points at most, so below 75 there is more than one.
const BINS: [Bin; 5] = [
    Bin {
        from: MilliPoints::FULL.get(),
        text: "100",
        tone: "good",
    },
    Bin {
        from: 90_000,
        text: "90 to 100",
        tone: "good",
    },
    Bin {
        from: 75_000,
        text: "75 to 90",
        tone: "fair",
    },
    Bin {
        from: 50_000,
        text: "50 to 75",
        tone: "poor",
    },
    Bin {
        from: 0,
        text: "below 50",
        tone: "poor",
    },
];

const BAR: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_the_bar_fill_it_without_a_gap() {
        let census = Census {
            n_fresh: 4,
            n_silent: 2,
            n_revoked: 1,
            ..Census::default()
        };
        let parts = census.parts();
        assert_eq!(parts.len(), 3, "nobody is in the others");
        let mut end = 0;
        for part in &parts {
            assert_eq!(part.x, end);
            end += part.width;
        }
        assert_eq!((end, census.n_agents()), (BAR, 7));
        assert_eq!(Census::default().parts(), []);
    }

    #[test]
    fn what_nothing_is_known_about_is_not_counted_as_a_full_score() {
        let mut spread = Spread::default();
        spread.add(&TrustScore::unobserved());
        let bars = spread.bars();
        assert_eq!(bars.last().map(|bar| bar.n), Some(1));
        assert_eq!(bars.iter().map(|bar| bar.n).sum::<u64>(), 1);
    }
}
