//! Who does what and when. Times are of the day on which a role has its incident.
//!
//! The hub has a bad day every day: it is restarted from 03:05 to 03:15 and down from 12:00 to
//! 14:00. Cycles run every ten minutes, and at once when one fell due while the hub was away: at
//! full ten minutes until 03:00, at 03:15, 03:25 … 11:55, then at 14:00, 14:10 … and so on.

/// What an agent is and what happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Honest,
    /// Ten or forty percent of the attempts are lost, half of them on the way back.
    Loss10,
    Loss40,
    /// A laptop that sleeps from 03:30 to 11:30.
    Suspended,
    /// A laptop in modern standby that is awake for 3 of 15 minutes, from 05:01 to 11:01.
    Standby,
    /// Without network from 02:00 to 02:00 of the next day.
    CutOff24h,
    /// Restarted at 05:01, three minutes long, with its spool.
    Restarted,
    /// Restarted at 05:01 without the counters of its spool.
    CountersLost,
    /// Set back to a backup at 05:01: an old spool under the same identity.
    BackupRestored,
    /// 0.1.0, and 0.2.0 from 05:01.
    Upgraded,
    /// 0.2.0, and 0.1.9 from 05:01.
    RolledBack,
    /// The same, and 0.2.0 again from 09:01.
    RolledForward,
    /// The same as `RolledBack`, accepted by a person at 07:00.
    RollbackAccepted,
    /// The same, and 0.1.8 from 09:01.
    RolledBackTwice,
    /// As `RolledBack`, and "banana" from 06:01.
    RolledBackThenBanana,
    /// 0.1.0, and "banana" from 05:01.
    Banana,
    /// The device clock is ten minutes behind from 05:01 to 07:01.
    ClockBehind,
    /// It is ten minutes ahead from 05:01 to 07:01.
    ClockAhead,
    /// Says of live payloads from 05:01 to 07:01 that they were captured ten minutes ago, as if they
    /// came from a backlog.
    FalseBacklog,
    /// The device clock loses a second a minute from 16:01 until somebody sets it at 23:01.
    ClockSlow,
    /// A second installation with a copy of the spool from 15:01 to 18:01, in step with the first.
    TwoClones,
    /// Two more installations, all three in step.
    ThreeClones,
    /// Everything that was delivered is sent a second time.
    SentTwice,
    /// Every 5 s from 05:01 to 09:01, or always.
    Every5s,
    Every5sAlways,
    /// Every 60 s from 05:01 to 09:01, or always.
    Every60s,
    Every60sAlways,
    /// Says 4.20 % from 05:01 on.
    Forger,
    /// Says 4.20 % from 05:01 to 08:01.
    ForgerStops,
    /// Says 4.20 % from 05:01 and nothing at all from 06:31 on.
    ForgerFallsSilent,
    /// Says 4.20 % from the first payload on.
    ForgerAlways,
    /// Says 4.20 % give or take half a thousandth from 05:01 on.
    ForgerWithJitter,
    /// Plays a recording of 40 values round and round from 05:01 to 08:01.
    Looped,
    /// Says from 05:01 to 05:31 what it measured half an hour before.
    PlaysBack,
    /// Says a thousandth more each time from 05:01 to 08:01.
    Ramp,
    /// A machine that is really at 100 % from 05:01 to 06:31.
    Saturated90min,
    /// At 100 % from 05:01 to 05:51.
    Saturated50min,
    /// A machine that is really at 0 % all the time.
    Idle,
    /// A stolen token is used without a key every 15 s from 05:01 to 05:31.
    StolenToken,
    /// The same, and the agent itself was switched off at 04:31.
    StolenTokenOfSilent,
    /// Another key signs every 15 s from 05:01 to 05:31.
    WrongKey,
    /// What was sent from 00:30 to 01:00 is sent again from 05:01 to 05:31.
    Replayed,
    /// No key is pinned.
    Unpinned,
    /// A key is pinned at 05:01.
    PinnedLate,
    /// Switched off at 05:01.
    Silent,
}

/// A role and the second at which the day of its incident begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script {
    pub(crate) role: Role,
    pub(crate) day_s: i64,
}

/// How a stolen token is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intruder {
    Unsigned,
    WronglySigned,
    Replaying,
}

/// Something that happens once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Incident {
    LoseCounters,
    RestoreBackup,
    Clone { n_copies: i64 },
    Pin,
    AcceptVersion,
}

/// One agent of each role, some honest ones, and once more the roles that depend on luck.
pub(crate) const ROLES: [Role; 50] = [
    Role::Loss10,
    Role::Loss40,
    Role::Suspended,
    Role::Standby,
    Role::CutOff24h,
    Role::Restarted,
    Role::CountersLost,
    Role::BackupRestored,
    Role::Upgraded,
    Role::RolledBack,
    Role::RolledForward,
    Role::RollbackAccepted,
    Role::RolledBackTwice,
    Role::RolledBackThenBanana,
    Role::Banana,
    Role::ClockBehind,
    Role::ClockAhead,
    Role::ClockSlow,
    Role::TwoClones,
    Role::ThreeClones,
    Role::SentTwice,
    Role::Every5s,
    Role::Every5sAlways,
    Role::Every60s,
    Role::Every60sAlways,
    Role::Forger,
    Role::ForgerStops,
    Role::ForgerFallsSilent,
    Role::ForgerAlways,
    Role::ForgerWithJitter,
    Role::Saturated90min,
    Role::Saturated50min,
    Role::Idle,
    Role::StolenToken,
    Role::StolenTokenOfSilent,
    Role::WrongKey,
    Role::Replayed,
    Role::Unpinned,
    Role::PinnedLate,
    Role::Silent,
    Role::FalseBacklog,
    Role::Looped,
    Role::PlaysBack,
    Role::Ramp,
    Role::Honest,
    Role::Honest,
    Role::Honest,
    Role::Loss10,
    Role::Loss40,
    Role::TwoClones,
];

/// Until when the hub is away, if it is.
pub(crate) const fn hub_away_until(s: i64) -> Option<i64> {
    let day_s = s - s % DAY;
    let (of_day, restarted, back) = (s - day_s, hm(3, 15), hm(14, 0));
    if of_day >= hm(3, 5) && of_day < restarted {
        Some(day_s + restarted)
    } else if of_day >= hm(12, 0) && of_day < back {
        Some(day_s + back)
    } else {
        None
    }
}

impl Script {
    /// Tells whether a second lies between two times of the day of the incident.
    fn is_within(&self, s: i64, from: i64, to: i64) -> bool {
        (self.day_s + from..self.day_s + to).contains(&s)
    }

    fn is_after(&self, s: i64, from: i64) -> bool {
        s >= self.day_s + from
    }

    pub(crate) fn interval_s(&self, s: i64) -> i64 {
        let is_wrong = self.is_within(s, hm(5, 1), hm(9, 1));
        match self.role {
            Role::Every5sAlways => 5,
            Role::Every60sAlways => 60,
            Role::Every5s if is_wrong => 5,
            Role::Every60s if is_wrong => 60,
            _ => 15,
        }
    }

    pub(crate) const fn loss(&self) -> f64 {
        match self.role {
            Role::Loss10 => 0.1,
            Role::Loss40 => 0.4,
            _ => 0.0,
        }
    }

    pub(crate) fn is_cut_off(&self, s: i64) -> bool {
        self.role == Role::CutOff24h && self.is_within(s, hm(2, 0), DAY + hm(2, 0))
    }

    /// Until when the machine does not run, if it does not.
    pub(crate) fn asleep_until(&self, s: i64) -> Option<i64> {
        let off = |from, to: i64| self.is_within(s, from, to).then_some(self.day_s + to);
        match self.role {
            Role::Suspended => off(hm(3, 30), hm(11, 30)),
            Role::Restarted => off(hm(5, 1), hm(5, 4)),
            Role::Standby if self.is_within(s, hm(5, 1), hm(11, 1)) => {
                let of_turn = (s - self.day_s - hm(5, 1)) % 900;
                (of_turn >= 180).then_some(s - of_turn + 900)
            }
            Role::Silent => off(hm(5, 1), FOREVER),
            Role::ForgerFallsSilent => off(hm(6, 31), FOREVER),
            Role::StolenTokenOfSilent => off(hm(4, 31), FOREVER),
            _ => None,
        }
    }

    pub(crate) fn version(&self, s: i64) -> &'static str {
        let (at_5, at_6, at_9) = (
            self.is_after(s, hm(5, 1)),
            self.is_after(s, hm(6, 1)),
            self.is_after(s, hm(9, 1)),
        );
        match self.role {
            Role::Upgraded if at_5 => "0.2.0",
            Role::Banana if at_5 => "banana",
            Role::RolledBackThenBanana if at_6 => "banana",
            Role::RolledBackTwice if at_9 => "0.1.8",
            Role::RolledForward if at_9 => "0.2.0",
            Role::RolledBack
            | Role::RolledForward
            | Role::RollbackAccepted
            | Role::RolledBackTwice
            | Role::RolledBackThenBanana => {
                if at_5 {
                    "0.1.9"
                } else {
                    "0.2.0"
                }
            }
            _ => "0.1.0",
        }
    }

    /// By how much the device clock is wrong.
    pub(crate) fn clock_error_us(&self, us: i64) -> i64 {
        let s = us.div_euclid(1_000_000);
        match self.role {
            Role::ClockBehind if self.is_within(s, hm(5, 1), hm(7, 1)) => -600_000_000,
            Role::ClockAhead if self.is_within(s, hm(5, 1), hm(7, 1)) => 600_000_000,
            Role::ClockSlow if self.is_within(s, hm(16, 1), hm(23, 1)) => {
                -(us - (self.day_s + hm(16, 1)) * 1_000_000) / 60
            }
            _ => 0,
        }
    }

    /// How much older than it is the agent calls what it captured.
    pub(crate) fn false_age_us(&self, s: i64) -> i64 {
        let is_lying = self.role == Role::FalseBacklog && self.is_within(s, hm(5, 1), hm(7, 1));
        if is_lying { 600_000_000 } else { 0 }
    }

    /// What the agent says in its n-th payload instead of what it measured.
    pub(crate) fn said_cpu(
        &self,
        s: i64,
        n: usize,
        (unit, half_an_hour_ago): (f64, f64),
    ) -> Option<f64> {
        let within = |from, to| self.is_within(s, from, to);
        match self.role {
            Role::ForgerAlways => Some(4.20),
            Role::Forger | Role::ForgerFallsSilent => within(hm(5, 1), FOREVER).then_some(4.20),
            Role::ForgerStops => within(hm(5, 1), hm(8, 1)).then_some(4.20),
            Role::ForgerWithJitter => {
                within(hm(5, 1), FOREVER).then_some(4.20 + 0.001 * (unit - 0.5))
            }
            Role::Looped => within(hm(5, 1), hm(8, 1)).then_some(RECORDING[n % 40]),
            Role::PlaysBack => within(hm(5, 1), hm(5, 31)).then_some(half_an_hour_ago),
            Role::Ramp => within(hm(5, 1), hm(8, 1)).then_some(10.0 + 0.001 * (n % 10_000) as f64),
            Role::Saturated90min => within(hm(5, 1), hm(6, 31)).then_some(100.0),
            Role::Saturated50min => within(hm(5, 1), hm(5, 51)).then_some(100.0),
            Role::Idle => Some(0.0),
            _ => None,
        }
    }

    /// Tells whether an intruder records what is sent.
    pub(crate) fn is_recorded(&self, s: i64) -> bool {
        self.role == Role::Replayed && self.is_within(s, hm(0, 30), hm(1, 0))
    }

    /// Who uses a stolen token, and from when to when.
    pub(crate) const fn intruder(&self) -> Option<(Intruder, i64, i64)> {
        let what = match self.role {
            Role::StolenToken | Role::StolenTokenOfSilent => Intruder::Unsigned,
            Role::WrongKey => Intruder::WronglySigned,
            Role::Replayed => Intruder::Replaying,
            _ => return None,
        };
        Some((what, self.day_s + hm(5, 1), self.day_s + hm(5, 31)))
    }

    /// What happens once, and when.
    pub(crate) const fn incident(&self) -> Option<(Incident, i64)> {
        let (what, at) = match self.role {
            Role::CountersLost => (Incident::LoseCounters, hm(5, 1)),
            Role::BackupRestored => (Incident::RestoreBackup, hm(5, 1)),
            Role::TwoClones => (Incident::Clone { n_copies: 1 }, hm(15, 1)),
            Role::ThreeClones => (Incident::Clone { n_copies: 2 }, hm(15, 1)),
            Role::PinnedLate => (Incident::Pin, hm(5, 1)),
            Role::RollbackAccepted | Role::RolledBackTwice => (Incident::AcceptVersion, hm(7, 0)),
            _ => return None,
        };
        Some((what, self.day_s + at))
    }

    /// When copies of the installation stop.
    pub(crate) const fn copies_stop_at(&self) -> i64 {
        self.day_s + hm(18, 1)
    }
}

/// Forty values that somebody recorded.
const RECORDING: [f64; 40] = {
    let mut values = [0.0; 40];
    let mut n = 0;
    while n < 40 {
        values[n] = 5.0 + (n * n % 37) as f64 / 7.0 + n as f64 / 100.0;
        n += 1;
    }
    values
};

/// A time of day in seconds.
pub(crate) const fn hm(hours: i64, minutes: i64) -> i64 {
    hours * 3_600 + minutes * 60
}

pub(crate) const DAY: i64 = 86_400;
/// Later than any run.
const FOREVER: i64 = 1_000 * DAY;
