//! Samples as people and programs read them back: page by page, or drawn as a series.
//!
//! What: a contract that each back end of the hub keeps natively. What not: windows for detectors,
//! which are the cycle's. Cost: a page reads its own rows; a count and a jump to a page by its
//! number walk an index, over at most a million entries; a series reads each sample of its
//! time, at most 250,000.

use std::fmt;

use monsys_core::id::{AgentId, TenantId};
use monsys_core::store::{CursorError, StoreFuture};
use monsys_core::time::{Span, Timestamp};

/// Where a sample stands in the listing: the newest first, then by agent, epoch and number, all
/// falling. There is one sample for each place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SamplePlace {
    /// When it was received.
    pub at: Timestamp,
    /// Of which agent it is.
    pub agent: AgentId,
    /// The epoch of its position.
    pub epoch: u64,
    /// The number of its position.
    pub seq: u64,
}

impl SamplePlace {
    /// Reads the text form: microseconds since 1970, agent, epoch, number.
    ///
    /// # Errors
    /// [`CursorError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        let mut parts = text.splitn(4, '.');
        let mut part = || parts.next().ok_or(CursorError);
        let (micros, agent, epoch, seq) = (part()?, part()?, part()?, part()?);
        let micros = micros.parse().map_err(|_| CursorError)?;
        let number = |text: &str| {
            let number: i64 = text.parse().map_err(|_| CursorError)?;
            u64::try_from(number).map_err(|_| CursorError)
        };
        let place = Self {
            at: Timestamp::from_unix_micros(micros).map_err(|_| CursorError)?,
            agent: AgentId::parse(agent).map_err(|_| CursorError)?,
            epoch: number(epoch)?,
            seq: number(seq)?,
        };
        // One spelling for one place.
        if place.to_string() == text {
            Ok(place)
        } else {
            Err(CursorError)
        }
    }

    /// The epoch and the number as the databases have them.
    pub(super) fn position(&self) -> (i64, i64) {
        let stored = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        (stored(self.epoch), stored(self.seq))
    }
}

impl fmt::Display for SamplePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.at.unix_micros();
        write!(f, "{micros}.{}.{}.{}", self.agent, self.epoch, self.seq)
    }
}

/// Which samples of an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleFilter {
    /// Of one agent; `None` is of all.
    pub agent: Option<AgentId>,
    /// Received at this moment or before, so that what comes later moves no page.
    pub until: Timestamp,
}

/// Where a page of samples begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleStart {
    /// Behind so many samples.
    Skip(u64),
    /// Behind a place, which need not be that of a sample.
    Behind(SamplePlace),
}

/// A sample as it was stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSample {
    /// Where it stands.
    pub place: SamplePlace,
    /// What people call its agent.
    pub agent_name: String,
    /// When it was captured, by the clock of the device.
    pub captured_at: Timestamp,
    /// When it was sent, by the clock of the device.
    pub sent_at: Timestamp,
    /// Whether it came from a backlog.
    pub is_spooled: bool,
    /// Whether a signature or MAC was verified.
    pub is_verified: bool,
    /// Percent points of the whole machine.
    pub cpu_usage_percent: f64,
    /// Number of cores, and sizes in bytes, as the payload named them.
    pub counts: SampleCounts,
    /// Load of the last minute, of five, of fifteen.
    pub load: [Option<f64>; 3],
    /// Seconds since the machine started.
    pub uptime_seconds: Option<f64>,
    /// Disks as a JSON array.
    pub disks: Option<String>,
    /// Networks as a JSON array.
    pub networks: Option<String>,
}

/// The whole numbers of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SampleCounts {
    /// Number of cores.
    pub cpu_cores: Option<i64>,
    /// Size of memory in bytes.
    pub mem_total_bytes: Option<i64>,
    /// Memory in use in bytes.
    pub mem_used_bytes: Option<i64>,
    /// Size of swap in bytes.
    pub swap_total_bytes: Option<i64>,
    /// Swap in use in bytes.
    pub swap_used_bytes: Option<i64>,
}

/// A page of samples.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SamplePage {
    /// The newest first.
    pub rows: Vec<StoredSample>,
    /// Where the next page begins; `None` when this was the last.
    pub next: Option<SamplePlace>,
}

/// How many samples there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleTotal {
    /// So many, or at least so many.
    pub n_samples: u64,
    /// Whether that is all of them.
    pub is_exact: bool,
}

/// What a series is drawn of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesOf {
    /// Processor use in percent points of the whole machine.
    Cpu,
    /// Memory in use in percent points of all memory.
    Memory,
    /// Load of the last minute.
    Load,
}

impl SeriesOf {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Cpu, Self::Memory, Self::Load];

    /// Returns the word used in JSON and addresses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Load => "load",
        }
    }

    /// Finds the one of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }
}

/// A stretch of time in pieces of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buckets {
    from: Timestamp,
    width: Span,
    n_buckets: u32,
}

impl Buckets {
    /// Cuts the time from one moment up to another into at most `n_max` pieces of whole
    /// microseconds; the last may reach beyond it. `None` unless the one lies before the other and
    /// there may be a piece.
    pub fn new(from: Timestamp, to: Timestamp, n_max: u32) -> Option<Self> {
        let micros = u64::try_from(to.since(from).micros()).ok()?;
        if micros == 0 || n_max == 0 {
            return None;
        }
        let width = micros.div_ceil(u64::from(n_max));
        Some(Self {
            from,
            width: Span::from_micros(i64::try_from(width).ok()?),
            n_buckets: u32::try_from(micros.div_ceil(width)).ok()?,
        })
    }

    /// The first moment of the first piece.
    pub const fn from(&self) -> Timestamp {
        self.from
    }

    /// How long each piece is.
    pub const fn width(&self) -> Span {
        self.width
    }

    /// The moment behind the last piece.
    pub fn end(&self) -> Timestamp {
        self.start_of(self.n_buckets)
    }

    /// How many pieces there are.
    pub const fn n_buckets(&self) -> u32 {
        self.n_buckets
    }

    /// The first moment of a piece.
    pub fn start_of(&self, n: u32) -> Timestamp {
        let micros = self.width.micros().saturating_mul(i64::from(n));
        self.from.saturating_add(Span::from_micros(micros))
    }
}

/// What was measured in one piece of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Its first moment.
    pub at: Timestamp,
    /// How many samples of it have the value.
    pub n_samples: u64,
    /// The least value.
    pub min: f64,
    /// The mean.
    pub mean: f64,
    /// The greatest.
    pub max: f64,
}

/// A series.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// The oldest first; pieces without a value are left out.
    pub buckets: Vec<Bucket>,
    /// Whether there are more samples than were read, in which case the oldest are missing.
    pub is_cut: bool,
}

/// Reading samples of one organisation.
pub trait SampleStore: Send + Sync {
    /// Reads a page of at most `n_rows` samples.
    fn samples(
        &self,
        tenant: TenantId,
        filter: SampleFilter,
        start: SampleStart,
        n_rows: u32,
    ) -> StoreFuture<'_, SamplePage>;

    /// Counts samples, exactly up to a million.
    fn sample_total(&self, tenant: TenantId, filter: SampleFilter) -> StoreFuture<'_, SampleTotal>;

    /// Reads what an agent measured in pieces of time, by when it was received.
    fn series(
        &self,
        tenant: TenantId,
        agent: AgentId,
        of: SeriesOf,
        buckets: Buckets,
    ) -> StoreFuture<'_, Series>;
}

/// Most samples that are counted, and that a page by its number may lie behind. An agent has some
/// 80,000 of the fourteen days that samples are kept.
pub(super) const COUNTED_MAX: u32 = 1_000_000;
/// Most samples that one series is made of: three times what an honest agent has.
pub(super) const SERIES_SAMPLES_MAX: u32 = 250_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_of_a_sample_has_one_spelling() {
        let place = SamplePlace {
            at: Timestamp::MIN,
            agent: AgentId::from_random_bytes([7; 16]),
            epoch: 1,
            seq: u64::from(u32::MAX),
        };
        let text = place.to_string();
        assert_eq!(SamplePlace::parse(&text), Ok(place));
        let agent = place.agent;
        for other in [
            String::new(),
            text.to_uppercase(),
            format!("{text}.1"),
            format!("+1.{agent}.1.1"),
            format!("1.{agent}.01.1"),
            format!("1.{agent}.-1.1"),
            format!("1.{agent}.1.18446744073709551615"),
            format!("99999999999999999999.{agent}.1.1"),
            "1.x.1.1".to_owned(),
        ] {
            let is_same = other == text;
            let parsed = SamplePlace::parse(&other);
            assert!(is_same || parsed == Err(CursorError), "{other}");
        }
    }

    #[test]
    fn buckets_cover_their_time_and_are_no_more_than_allowed() {
        let at = |micros| Timestamp::from_unix_micros(micros).unwrap();
        for (micros, n_max) in [(1, 1), (1, 9), (10, 3), (1_209_600_000_000, 500), (7, 7)] {
            let buckets = Buckets::new(at(5), at(5 + micros), n_max).unwrap();
            assert!((1..=n_max).contains(&buckets.n_buckets()));
            assert!(buckets.end() >= at(5 + micros));
            assert!(buckets.start_of(buckets.n_buckets() - 1) < at(5 + micros));
        }
        assert_eq!(Buckets::new(at(5), at(5), 3), None);
        assert_eq!(Buckets::new(at(5), at(4), 3), None);
        assert_eq!(Buckets::new(at(5), at(6), 0), None);
    }
}
