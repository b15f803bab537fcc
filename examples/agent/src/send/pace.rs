//! What follows from an answer: what becomes of the payload, and when to go on.
//!
//! Freshest first, then the backlog from its oldest at a bounded rate: this order lets the hub tell
//! a drained backlog from a liar (contract §2). Failures wait with full jitter, from 1 s to 300 s of
//! clock time, and never give up. Pure: random bits are an argument.

use std::time::Duration;

use monsys_core::time::Span;

use super::answer::Answer;

/// What becomes of the payload that was answered. Closed: the sender carries each out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Fate {
    /// The hub has it.
    Delivered,
    /// The hub will never take it: set it aside and go on.
    SetAside {
        /// Why, in one word.
        reason: &'static str,
    },
    /// Everything undelivered moves into this epoch.
    Renumber {
        /// The epoch.
        epoch: u64,
    },
    /// It stays in the spool.
    Kept,
}

/// When to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Pause {
    /// At once.
    None,
    /// After a span of clock time.
    Clock(Span),
    /// After a real time, which the hub asked for.
    Wall(Duration),
}

/// What a sender remembers from one attempt to the next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pace {
    n_failures: u32,
    /// Answers `replay` since the last delivery.
    n_replays: u32,
    /// A payload that something on the way refused, and how often.
    foreign: Option<(u64, u32)>,
    /// The highest number with which the sender is done in this epoch.
    settled: u64,
}

impl Pace {
    /// Chooses the payload to send from the lowest and highest pending number.
    ///
    /// The highest one goes first unless a later one was settled already.
    pub const fn choose(&self, oldest: Option<u64>, newest: Option<u64>) -> Option<u64> {
        match (oldest, newest) {
            (_, Some(newest)) if newest > self.settled => Some(newest),
            (oldest, _) => oldest,
        }
    }

    /// Tells whether a payload is higher than all that were settled, so that the hub takes it for
    /// live.
    pub const fn is_ahead(&self, number: u64) -> bool {
        number > self.settled
    }

    /// Decides what follows from an answer to payload `number`, sent in `epoch`.
    pub fn decide(
        &mut self,
        number: u64,
        epoch: u64,
        answer: Answer,
        random: u32,
    ) -> (Fate, Pause) {
        match answer {
            Answer::Accepted | Answer::Duplicate => self.settle(number, Fate::Delivered),
            Answer::Refused(code) => self.settle(
                number,
                Fate::SetAside {
                    reason: code.as_str(),
                },
            ),
            Answer::Replay => self.after_replay(number, epoch),
            Answer::StaleEpoch { min_epoch } if min_epoch > epoch => {
                (self.renumber(min_epoch), self.next_failure(random))
            }
            Answer::StaleEpoch { .. } => (Fate::Kept, self.next_failure(random)),
            Answer::Denied(_) => (Fate::Kept, Pause::Clock(DENIED_PAUSE)),
            Answer::RetryAfter(Some(wait)) => (Fate::Kept, Pause::Wall(wait)),
            Answer::RetryAfter(None) | Answer::Unreachable(_) => {
                (Fate::Kept, self.next_failure(random))
            }
            Answer::Foreign { .. } => self.after_foreign(number, random),
        }
    }

    fn settle(&mut self, number: u64, fate: Fate) -> (Fate, Pause) {
        let settled = self.settled.max(number);
        let pause = if number < self.settled {
            Pause::Clock(BACKLOG_PAUSE)
        } else {
            Pause::None
        };
        let n_replays = if fate == Fate::Delivered {
            0
        } else {
            self.n_replays
        };
        *self = Self {
            n_replays,
            settled,
            ..Self::default()
        };
        (fate, pause)
    }

    /// The hub saw other content here. This agent never sends two contents at one position, so the
    /// counters are not those of its past (a restored backup): they are lost, and a new epoch saves
    /// what is undelivered. When that does not help, the payload is set aside.
    fn after_replay(&mut self, number: u64, epoch: u64) -> (Fate, Pause) {
        if self.n_replays >= REPLAYS_MAX {
            return self.settle(number, Fate::SetAside { reason: "replay" });
        }
        self.n_replays += 1;
        (self.renumber(epoch.saturating_add(1)), Pause::None)
    }

    /// In a new epoch nothing is settled: the freshest goes first again. A backlog payload that came
    /// first would lie in no gap, count as live, and look like a wrong clock.
    const fn renumber(&mut self, epoch: u64) -> Fate {
        self.settled = 0;
        Fate::Renumber { epoch }
    }

    /// A proxy's refusal is retried like silence; one that meets the same payload again and again
    /// means the payload, which must not block the others.
    fn after_foreign(&mut self, number: u64, random: u32) -> (Fate, Pause) {
        let n_times = match self.foreign {
            Some((same, n)) if same == number => n + 1,
            Some(_) | None => 1,
        };
        if n_times >= FOREIGN_MAX {
            return self.settle(
                number,
                Fate::SetAside {
                    reason: "refused_on_the_way",
                },
            );
        }
        self.foreign = Some((number, n_times));
        (Fate::Kept, self.next_failure(random))
    }

    fn next_failure(&mut self, random: u32) -> Pause {
        let pause = backoff(self.n_failures, random);
        self.n_failures = self.n_failures.saturating_add(1);
        Pause::Clock(pause)
    }
}

/// Returns a wait between 0 and the smaller of 2^`n_failures` seconds and 300 s (full jitter).
pub fn backoff(n_failures: u32, random: u32) -> Span {
    let longest = BACKOFF_FIRST
        .micros()
        .saturating_mul(1 << n_failures.min(20));
    let longest = longest.min(BACKOFF_LONGEST.micros());
    Span::from_micros((longest.saturating_mul(i64::from(random))) >> 32)
}

const BACKOFF_FIRST: Span = Span::from_secs(1);
const BACKOFF_LONGEST: Span = Span::from_secs(300);
/// How often an agent that is not acceptable asks again.
const DENIED_PAUSE: Span = Span::from_secs(300);
/// Five payloads of backlog a second.
const BACKLOG_PAUSE: Span = Span::from_millis(200);
/// How often a `replay` opens a new epoch before something is delivered.
const REPLAYS_MAX: u32 = 2;
/// How often the same payload may be refused on the way; about two minutes of backoff.
const FOREIGN_MAX: u32 = 8;

#[cfg(test)]
mod tests {
    use monsys_wire::reject::Code;

    use super::super::answer::Fault;
    use super::*;

    const HALF: u32 = 1 << 31;
    const DOWN: Answer = Answer::Unreachable(Fault::Connection);

    #[test]
    fn the_freshest_goes_first_and_then_the_backlog_from_its_oldest() {
        let mut pace = Pace::default();
        let mut pending: Vec<u64> = (1..=5).collect();
        let mut sent = Vec::new();
        let mut fresh = Some(6);
        while let Some(number) = pace.choose(pending.first().copied(), pending.last().copied()) {
            let (fate, _) = pace.decide(number, 1, Answer::Accepted, 0);
            assert_eq!(fate, Fate::Delivered);
            sent.push(number);
            pending.retain(|n| *n != number);
            if sent.len() == 3 {
                pending.extend(fresh.take());
            }
        }
        assert_eq!(sent, [5, 1, 2, 6, 3, 4]);
    }

    #[test]
    fn in_a_new_epoch_the_freshest_goes_first_again() {
        for answer in [Answer::Replay, Answer::StaleEpoch { min_epoch: 2 }] {
            let mut pace = Pace::default();
            assert_eq!(pace.choose(Some(1), Some(9)), Some(9));
            let _ = pace.decide(9, 1, Answer::Accepted, 0);
            assert_eq!(pace.choose(Some(1), Some(8)), Some(1));
            let (fate, _) = pace.decide(1, 1, answer, 0);
            assert_eq!(fate, Fate::Renumber { epoch: 2 });
            assert_eq!(pace.choose(Some(1), Some(8)), Some(8));
            assert!(pace.is_ahead(8), "it waits for a fresh one if it is old");
            let _ = pace.decide(8, 2, Answer::Accepted, 0);
            assert_eq!(pace.choose(Some(1), Some(7)), Some(1));
        }
    }

    #[test]
    fn only_the_backlog_is_slowed_down() {
        let mut pace = Pace::default();
        let pause = |pace: &mut Pace, number| pace.decide(number, 1, Answer::Accepted, 0).1;
        assert_eq!(pause(&mut pace, 9), Pause::None);
        assert_eq!(pause(&mut pace, 3), Pause::Clock(BACKLOG_PAUSE));
        assert_eq!(pause(&mut pace, 10), Pause::None);
    }

    #[test]
    fn failures_wait_with_full_jitter_from_1_s_to_300_s_and_a_delivery_starts_over() {
        let mut pace = Pace::default();
        let mut longest = Vec::new();
        for _ in 0..40 {
            let (fate, pause) = pace.decide(1, 1, DOWN, u32::MAX);
            assert_eq!(fate, Fate::Kept);
            let Pause::Clock(span) = pause else {
                panic!("{pause:?}")
            };
            longest.push((span.micros() + 999_999) / 1_000_000);
        }
        assert_eq!(&longest[..10], [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(longest.last(), Some(&300));
        assert_eq!(backoff(3, HALF), Span::from_secs(4));
        assert_eq!(backoff(3, 0), Span::from_secs(0));
        let _ = pace.decide(1, 1, Answer::Accepted, 0);
        assert_eq!(
            pace.decide(2, 1, DOWN, HALF).1,
            Pause::Clock(Span::from_millis(500))
        );
    }

    #[test]
    fn refused_payloads_are_set_aside_and_denied_agents_keep_theirs() {
        let mut pace = Pace::default();
        let (fate, pause) = pace.decide(1, 1, Answer::Refused(Code::WrongType), 0);
        assert_eq!(
            (fate, pause),
            (
                Fate::SetAside {
                    reason: "wrong_type"
                },
                Pause::None
            )
        );
        for answer in [Answer::Denied(Some(Code::Revoked)), Answer::Denied(None)] {
            let follows = pace.decide(2, 1, answer, 0);
            assert_eq!(follows, (Fate::Kept, Pause::Clock(Span::from_secs(300))));
        }
    }

    #[test]
    fn a_busy_hub_is_given_its_time() {
        let mut pace = Pace::default();
        let wait = Duration::from_secs(7);
        let asked = pace.decide(1, 1, Answer::RetryAfter(Some(wait)), 0);
        assert_eq!(asked, (Fate::Kept, Pause::Wall(wait)));
        let open = pace.decide(1, 1, Answer::RetryAfter(None), HALF);
        assert_eq!(open, (Fate::Kept, Pause::Clock(Span::from_millis(500))));
    }

    #[test]
    fn a_stale_epoch_renumbers_unless_it_leads_nowhere() {
        let mut pace = Pace::default();
        let stale = |min_epoch| Answer::StaleEpoch { min_epoch };
        assert_eq!(
            pace.decide(1, 4, stale(9), 0).0,
            Fate::Renumber { epoch: 9 }
        );
        assert_eq!(pace.decide(1, 9, stale(9), 0).0, Fate::Kept);
    }

    #[test]
    fn a_replay_opens_a_new_epoch_twice_and_is_then_set_aside() {
        let mut pace = Pace::default();
        assert_eq!(
            pace.decide(1, 1, Answer::Replay, 0).0,
            Fate::Renumber { epoch: 2 }
        );
        assert_eq!(
            pace.decide(1, 2, Answer::Replay, 0).0,
            Fate::Renumber { epoch: 3 }
        );
        assert_eq!(
            pace.decide(1, 3, Answer::Replay, 0).0,
            Fate::SetAside { reason: "replay" }
        );
        assert_eq!(
            pace.decide(2, 3, Answer::Replay, 0).0,
            Fate::SetAside { reason: "replay" }
        );
        let _ = pace.decide(3, 3, Answer::Accepted, 0);
        assert_eq!(
            pace.decide(4, 3, Answer::Replay, 0).0,
            Fate::Renumber { epoch: 4 }
        );
    }

    #[test]
    fn a_payload_that_a_proxy_never_takes_does_not_block_the_others() {
        let mut pace = Pace::default();
        let foreign = Answer::Foreign { status: 413 };
        for _ in 1..FOREIGN_MAX {
            assert_eq!(pace.decide(1, 1, foreign, 0).0, Fate::Kept);
        }
        let reason = "refused_on_the_way";
        assert_eq!(pace.decide(1, 1, foreign, 0).0, Fate::SetAside { reason });
        assert_eq!(pace.decide(2, 1, foreign, 0).0, Fate::Kept);
    }
}
