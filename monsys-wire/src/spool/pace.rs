//! Which payload goes next, what becomes of it after an answer, and when to go on.
//!
//! Freshest first, then what came with it, then the backlog from its oldest: this order lets the
//! hub tell a drained backlog from a liar, and keeps it one gap there (contract §2). Failures wait
//! with full jitter, from 1 s to 300 s of clock time, and never give up. What not: sending, waiting,
//! clocks; times and random bits are arguments. Cost: a look at a few records at either end.
//!
//! # How fast a backlog goes
//! There is no rate to choose: one agent of ten and one of a hundred thousand would need different
//! ones, and only the hub knows. So one payload is on its way at a time, and behind each payload of
//! the backlog the sender rests as long as the answer took. It never asks for more than half of what
//! the hub can give one caller, a hub that slows down is asked less often at once, and however many
//! agents come back after an outage, no more requests wait at the hub than there are agents. What
//! the hub says goes before all of that: `Retry-After` is honoured, and on top comes jitter of the
//! same length (at most a minute), so that agents which were sent away together do not come back
//! together. A fresh sample waits for one payload of the backlog at most.
//!
//! # What may cost a payload
//! The hub's own word that a payload is not acceptable ([`Answer::Refused`]). A refusal that no hub
//! wrote is retried like silence, and so is a `replay` that no new epoch helps. When one of them
//! meets the same payload again and again, that one is put off for the others; if they pass and it
//! does not, then it is the payload.

use core::time::Duration;

use monsys_core::position::is_late;
use monsys_core::time::{Span, Timestamp};

use super::answer::Answer;
use super::ledger::Ledger;

/// What becomes of the payload that was answered. Closed: the sender carries each out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Fate {
    /// The hub has it.
    Delivered,
    /// It will never be taken: set it aside and go on.
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
    /// After a real time: what the hub asked for, or as long as its answer took.
    Wall(Duration),
}

/// One attempt and how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The number of the record.
    pub number: u64,
    /// The epoch under which it was sent.
    pub epoch: u64,
    /// What came back.
    pub answer: Answer,
    /// How long that took.
    pub took: Duration,
}

/// What a sender remembers from one attempt to the next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pace {
    n_failures: u32,
    /// Answers `replay` since the last delivery.
    n_replays: u32,
    suspect: Option<Suspect>,
    /// The highest number with which the sender is done in this epoch.
    settled: u64,
}

/// A payload that is refused again and again, by something on the way or for its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Suspect {
    number: u64,
    n_times: u32,
    /// Another payload passed since this one was put off.
    is_passed: bool,
}

impl Suspect {
    /// Whether the others go first.
    const fn is_put_off(self) -> bool {
        self.n_times >= REFUSALS_MAX && !self.is_passed
    }
}

impl Pace {
    /// Chooses the payload to send: the newest, unless a later one was settled already; then what
    /// was measured within the last minute; then the oldest.
    #[must_use]
    pub fn choose(&self, ledger: &Ledger, now: Timestamp) -> Option<u64> {
        if let Some(Suspect {
            number,
            is_passed: true,
            ..
        }) = self.suspect
            && ledger.place(number).is_some()
        {
            return Some(number);
        }
        let put_off = self.suspect.filter(|suspect| suspect.is_put_off());
        let put_off = put_off.map(|suspect| suspect.number);
        let newest_first = ledger
            .pending()
            .rev()
            .filter(|(number, _)| Some(*number) != put_off);
        let Some((newest, _)) = newest_first.clone().next() else {
            return ledger.oldest();
        };
        if newest > self.settled {
            return Some(newest);
        }
        let live = newest_first
            .take(LIVE_MAX)
            .take_while(|(_, place)| !is_late(place.captured_at, now));
        let oldest = || {
            ledger
                .pending()
                .find(|(number, _)| Some(*number) != put_off)
        };
        live.last().or_else(oldest).map(|(number, _)| number)
    }

    /// Tells whether a payload is higher than all that were settled, so that the hub takes it for
    /// live.
    #[must_use]
    pub const fn is_ahead(&self, number: u64) -> bool {
        number > self.settled
    }

    /// Decides what follows from an attempt.
    pub fn decide(&mut self, attempt: Attempt, random: u32) -> (Fate, Pause) {
        let Attempt {
            number,
            epoch,
            answer,
            took,
        } = attempt;
        match answer {
            Answer::Accepted | Answer::Duplicate => self.settle(number, took, Fate::Delivered),
            Answer::Refused(code) => {
                let reason = code.as_str();
                self.settle(number, took, Fate::SetAside { reason })
            }
            Answer::Replay => self.after_replay(attempt, random),
            Answer::StaleEpoch { min_epoch } if min_epoch > epoch => {
                (self.renumber(min_epoch), self.next_failure(random))
            }
            Answer::StaleEpoch { .. } => (Fate::Kept, self.next_failure(random)),
            Answer::Denied(_) => (Fate::Kept, Pause::Clock(DENIED_PAUSE)),
            Answer::RetryAfter(Some(wait)) => (Fate::Kept, Pause::Wall(spread(wait, random))),
            Answer::RetryAfter(None) | Answer::Unreachable(_) => {
                (Fate::Kept, self.next_failure(random))
            }
            Answer::Foreign { .. } => self.after_refusal(attempt, "refused_on_the_way", random),
        }
    }

    fn settle(&mut self, number: u64, took: Duration, fate: Fate) -> (Fate, Pause) {
        let settled = self.settled.max(number);
        let pause = if number < self.settled {
            Pause::Wall(took)
        } else {
            Pause::None
        };
        let n_replays = if fate == Fate::Delivered {
            0
        } else {
            self.n_replays
        };
        let mut suspect = self.suspect.filter(|suspect| suspect.number != number);
        if let Some(suspect) = &mut suspect
            && fate == Fate::Delivered
        {
            suspect.is_passed = suspect.n_times >= REFUSALS_MAX;
        }
        *self = Self {
            n_failures: 0,
            n_replays,
            suspect,
            settled,
        };
        (fate, pause)
    }

    /// The hub saw other content here. This agent never sends two contents at one position, so the
    /// counters are not those of its past (a restored backup): they are lost, and a new epoch saves
    /// what is undelivered.
    fn after_replay(&mut self, attempt: Attempt, random: u32) -> (Fate, Pause) {
        let is_condemned = self
            .suspect
            .is_some_and(|suspect| suspect.is_passed && suspect.number == attempt.number);
        if is_condemned || self.n_replays >= REPLAYS_MAX {
            return self.after_refusal(attempt, "replay", random);
        }
        self.n_replays += 1;
        (self.renumber(attempt.epoch.saturating_add(1)), Pause::None)
    }

    /// In a new epoch nothing is settled: the freshest goes first again. A backlog payload that came
    /// first would lie in no gap, count as live, and look like a wrong clock.
    const fn renumber(&mut self, epoch: u64) -> Fate {
        self.settled = 0;
        Fate::Renumber { epoch }
    }

    fn after_refusal(
        &mut self,
        attempt: Attempt,
        reason: &'static str,
        random: u32,
    ) -> (Fate, Pause) {
        let Attempt { number, took, .. } = attempt;
        let fresh = Suspect {
            number,
            n_times: 0,
            is_passed: false,
        };
        let known = self.suspect.unwrap_or(fresh);
        if known.number == number {
            if known.is_passed {
                return self.settle(number, took, Fate::SetAside { reason });
            }
            let n_times = known.n_times.saturating_add(1);
            self.suspect = Some(Suspect { n_times, ..known });
        } else if !known.is_put_off() {
            self.suspect = Some(Suspect {
                n_times: 1,
                ..fresh
            });
        }
        (Fate::Kept, self.next_failure(random))
    }

    fn next_failure(&mut self, random: u32) -> Pause {
        let pause = backoff(self.n_failures, random);
        self.n_failures = self.n_failures.saturating_add(1);
        Pause::Clock(pause)
    }
}

/// Returns a wait between 0 and the smaller of 2^`n_failures` seconds and 300 s (full jitter).
#[must_use]
pub fn backoff(n_failures: u32, random: u32) -> Span {
    let longest = BACKOFF_FIRST
        .micros()
        .saturating_mul(1 << n_failures.min(20));
    let longest = longest.min(BACKOFF_LONGEST.micros());
    Span::from_micros((longest.saturating_mul(i64::from(random))) >> 32)
}

/// Returns a wait of at least what the hub asked for, and at most as much again.
fn spread(asked: Duration, random: u32) -> Duration {
    let jitter = asked
        .clamp(SPREAD_MIN, SPREAD_MAX)
        .saturating_mul(random >> 16);
    asked.saturating_add(jitter / (1 << 16))
}

const BACKOFF_FIRST: Span = Span::from_secs(1);
const BACKOFF_LONGEST: Span = Span::from_secs(300);
/// How often an agent that is not acceptable asks again.
const DENIED_PAUSE: Span = Span::from_secs(300);
/// A hub that asks for no time at all is not asked in a loop.
const SPREAD_MIN: Duration = Duration::from_secs(1);
const SPREAD_MAX: Duration = Duration::from_secs(60);
/// How often a `replay` opens a new epoch before something is delivered.
const REPLAYS_MAX: u32 = 2;
/// How often the same payload may be refused on the way before the others go first.
const REFUSALS_MAX: u32 = 4;
/// How many payloads of the last minute are looked at; a tick spools three.
const LIVE_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::answer::Fault;
    use super::super::ledger::Place;
    use super::*;
    use crate::reject::Code;

    const HALF: u32 = 1 << 31;
    const TOOK: Duration = Duration::from_millis(3);
    const DOWN: Answer = Answer::Unreachable(Fault::Connection);

    /// Payloads that were measured so many seconds after the beginning of time.
    fn spooled(ages: impl IntoIterator<Item = i64>) -> Ledger {
        let mut ledger = Ledger::restore(None, &[]);
        ages.into_iter().for_each(|at_s| spool(&mut ledger, at_s));
        ledger
    }

    fn spool(ledger: &mut Ledger, at_s: i64) {
        ledger.append(Place {
            segment: 1,
            offset: 8,
            length: 100,
            captured_at: second(at_s),
        });
    }

    fn second(at_s: i64) -> Timestamp {
        Timestamp::from_unix_micros(at_s * 1_000_000).unwrap()
    }

    fn after(pace: &mut Pace, number: u64, answer: Answer, random: u32) -> (Fate, Pause) {
        let attempt = Attempt {
            number,
            epoch: 1,
            answer,
            took: TOOK,
        };
        pace.decide(attempt, random)
    }

    /// Delivers the chosen payload.
    fn deliver(pace: &mut Pace, ledger: &mut Ledger, now_s: i64) -> Option<u64> {
        let number = pace.choose(ledger, second(now_s))?;
        assert_eq!(after(pace, number, Answer::Accepted, 0).0, Fate::Delivered);
        assert!(ledger.acknowledge(number));
        Some(number)
    }

    #[test]
    fn the_freshest_goes_first_and_then_the_backlog_from_its_oldest() {
        let (mut pace, mut ledger) = (Pace::default(), spooled([0, 15, 30, 45, 200]));
        let mut sent = Vec::new();
        while let Some(number) = deliver(&mut pace, &mut ledger, 200) {
            sent.push(number);
            if sent.len() == 3 {
                spool(&mut ledger, 215);
            }
        }
        assert_eq!(sent, [5, 1, 2, 6, 3, 4]);
    }

    #[test]
    fn what_came_with_the_freshest_goes_before_the_backlog() {
        let (mut pace, mut ledger) = (Pace::default(), spooled([0, 15, 300, 300, 300]));
        let sent: Vec<u64> = core::iter::from_fn(|| deliver(&mut pace, &mut ledger, 301)).collect();
        assert_eq!(sent, [5, 3, 4, 1, 2]);
    }

    #[test]
    fn a_clock_that_was_set_back_changes_the_order_and_loses_nothing() {
        let ages = (0..100)
            .map(|n| 7_200 + n * 15)
            .chain((0..5).map(|n| n * 15));
        let (mut pace, mut ledger) = (Pace::default(), spooled(ages));
        let mut sent: Vec<u64> =
            core::iter::from_fn(|| deliver(&mut pace, &mut ledger, 60)).collect();
        assert_eq!(sent.first(), Some(&105));
        sent.sort_unstable();
        assert!(sent.into_iter().eq(1..=105));
    }

    #[test]
    fn in_a_new_epoch_the_freshest_goes_first_again() {
        for answer in [Answer::Replay, Answer::StaleEpoch { min_epoch: 2 }] {
            let (mut pace, mut ledger) = (Pace::default(), spooled((1..=9).map(|n| n * 60)));
            assert_eq!(deliver(&mut pace, &mut ledger, 9_000), Some(9));
            assert_eq!(pace.choose(&ledger, second(9_000)), Some(1));
            let (fate, _) = after(&mut pace, 1, answer, 0);
            assert_eq!(fate, Fate::Renumber { epoch: 2 });
            assert_eq!(pace.choose(&ledger, second(9_000)), Some(8));
            assert!(pace.is_ahead(8), "it waits for a fresh one if it is old");
            assert_eq!(deliver(&mut pace, &mut ledger, 9_000), Some(8));
            assert_eq!(pace.choose(&ledger, second(9_000)), Some(1));
        }
    }

    #[test]
    fn behind_the_backlog_comes_a_rest_as_long_as_the_answer_took_and_behind_the_fresh_none() {
        let mut pace = Pace::default();
        let mut pause = |number| after(&mut pace, number, Answer::Accepted, 0).1;
        assert_eq!(pause(9), Pause::None);
        assert_eq!(pause(3), Pause::Wall(TOOK));
        assert_eq!(pause(10), Pause::None);
    }

    #[test]
    fn failures_wait_with_full_jitter_from_1_s_to_300_s_and_a_delivery_starts_over() {
        let mut pace = Pace::default();
        let mut longest = Vec::new();
        for _ in 0..40 {
            let (fate, pause) = after(&mut pace, 1, DOWN, u32::MAX);
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
        let _ = after(&mut pace, 1, Answer::Accepted, 0);
        let again = after(&mut pace, 2, DOWN, HALF).1;
        assert_eq!(again, Pause::Clock(Span::from_millis(500)));
    }

    #[test]
    fn refused_payloads_are_set_aside_and_denied_agents_keep_theirs() {
        let mut pace = Pace::default();
        let follows = after(&mut pace, 1, Answer::Refused(Code::WrongType), 0);
        let reason = "wrong_type";
        assert_eq!(follows, (Fate::SetAside { reason }, Pause::None));
        for answer in [Answer::Denied(Some(Code::Revoked)), Answer::Denied(None)] {
            let follows = after(&mut pace, 2, answer, 0);
            assert_eq!(follows, (Fate::Kept, Pause::Clock(Span::from_secs(300))));
        }
    }

    #[test]
    fn a_busy_hub_is_given_its_time_and_a_fleet_comes_back_spread() {
        let mut pace = Pace::default();
        let mut pause = |asked_ms, random| {
            let wait = Duration::from_millis(asked_ms);
            let (fate, pause) = after(&mut pace, 1, Answer::RetryAfter(Some(wait)), random);
            assert_eq!(fate, Fate::Kept);
            pause
        };
        let wall_ms = |ms| Pause::Wall(Duration::from_millis(ms));
        assert_eq!(pause(7_000, 0), wall_ms(7_000));
        assert_eq!(pause(7_000, HALF), wall_ms(10_500));
        assert_eq!(pause(0, HALF), wall_ms(500));
        assert_eq!(pause(3_600_000, HALF), wall_ms(3_630_000));
        let open = after(&mut pace, 1, Answer::RetryAfter(None), HALF);
        assert_eq!(open, (Fate::Kept, Pause::Clock(Span::from_millis(500))));
    }

    #[test]
    fn a_stale_epoch_renumbers_unless_it_leads_nowhere() {
        let mut pace = Pace::default();
        let stale = |min_epoch| Answer::StaleEpoch { min_epoch };
        assert_eq!(
            after(&mut pace, 1, stale(9), 0).0,
            Fate::Renumber { epoch: 9 }
        );
        assert_eq!(after(&mut pace, 1, stale(1), 0).0, Fate::Kept);
    }

    #[test]
    fn a_replay_opens_a_new_epoch_twice_and_is_then_retried_like_silence() {
        let mut pace = Pace::default();
        let mut replay = |number| after(&mut pace, number, Answer::Replay, 0).0;
        assert_eq!(replay(1), Fate::Renumber { epoch: 2 });
        assert_eq!(replay(1), Fate::Renumber { epoch: 2 });
        for _ in 0..100 {
            assert_eq!(
                replay(1),
                Fate::Kept,
                "a hub that takes nothing costs nothing"
            );
        }
        assert_eq!(
            after(&mut pace, 3, Answer::Accepted, 0).0,
            Fate::Delivered,
            "so it is the payload"
        );
        let set_aside = Fate::SetAside { reason: "replay" };
        assert_eq!(after(&mut pace, 1, Answer::Replay, 0).0, set_aside);
        assert_eq!(
            after(&mut pace, 4, Answer::Replay, 0).0,
            Fate::Renumber { epoch: 2 }
        );
    }

    #[test]
    fn a_proxy_that_takes_nothing_costs_no_payload_however_long_it_stands_there() {
        let (mut pace, ledger) = (Pace::default(), spooled([0, 15, 30]));
        for _ in 0..1_000 {
            let number = pace.choose(&ledger, second(30)).unwrap();
            let (fate, _) = after(&mut pace, number, Answer::Foreign { status: 404 }, 0);
            assert_eq!(fate, Fate::Kept);
        }
    }

    #[test]
    fn a_payload_that_a_proxy_never_takes_does_not_block_the_others() {
        let (mut pace, mut ledger) = (Pace::default(), spooled([0, 15, 30, 45]));
        let foreign = Answer::Foreign { status: 413 };
        let (mut sent, mut set_aside) = (Vec::new(), Vec::new());
        while let Some(number) = pace.choose(&ledger, second(45)) {
            let answer = if number == 4 {
                foreign
            } else {
                Answer::Accepted
            };
            match after(&mut pace, number, answer, 0).0 {
                Fate::Delivered => {
                    assert!(ledger.acknowledge(number));
                    sent.push(number);
                }
                Fate::SetAside { reason } => {
                    assert!(ledger.set_aside(number));
                    set_aside.push((number, reason));
                }
                Fate::Renumber { .. } | Fate::Kept => {}
            }
        }
        assert_eq!(sent, [3, 1, 2]);
        assert_eq!(set_aside, [(4, "refused_on_the_way")]);
    }

    #[test]
    fn a_payload_that_passes_in_the_end_was_never_at_fault() {
        let (mut pace, mut ledger) = (Pace::default(), spooled([0, 15]));
        for _ in 0..REFUSALS_MAX {
            assert_eq!(pace.choose(&ledger, second(15)), Some(2));
            let _ = after(&mut pace, 2, Answer::Foreign { status: 502 }, 0);
        }
        let sent: Vec<u64> = core::iter::from_fn(|| deliver(&mut pace, &mut ledger, 15)).collect();
        assert_eq!(sent, [1, 2]);
        assert_eq!(pace.suspect, None);
    }
}
