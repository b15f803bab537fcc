//! Many agents at once: pages, names and counts of a fleet, as people look through it.
//!
//! What: a contract that each back end of the hub keeps natively. What not: scores, which are made
//! of signals and not of rows here. Cost: a page sorts the agents of one organisation that match
//! and reads no more than its own rows of anything else, so that what it costs grows with the fleet
//! by a few microseconds an agent.

use std::fmt;

use monsys_core::id::{AgentId, TenantId};
use monsys_core::store::{AgentSummary, AuthProfile, CursorError, StoreFuture};
use monsys_core::time::Timestamp;

/// Whether an agent is heard of. Each is exactly one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// Something it sent was accepted since the moment that a filter names.
    Fresh,
    /// The last accepted payload came before that moment.
    Silent,
    /// It was enrolled, and nothing was accepted yet.
    NeverSeen,
    /// It was revoked.
    Revoked,
}

impl Presence {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 4] = [Self::Fresh, Self::Silent, Self::NeverSeen, Self::Revoked];

    /// Returns the word used in JSON, addresses and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Silent => "silent",
            Self::NeverSeen => "never_seen",
            Self::Revoked => "revoked",
        }
    }

    /// Finds the one of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }

    /// Tells which one an agent is.
    pub fn of(agent: &AgentSummary, fresh_since: Timestamp) -> Self {
        if agent.is_revoked {
            return Self::Revoked;
        }
        agent.last_seen_at.map_or(Self::NeverSeen, |seen| {
            if seen >= fresh_since {
                Self::Fresh
            } else {
                Self::Silent
            }
        })
    }
}

/// Which agents of an organisation; `None` is any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetFilter {
    /// Whose name contains this, or whose id begins with it; letters A to Z in either case.
    pub text: Option<String>,
    /// Of one profile.
    pub profile: Option<AuthProfile>,
    /// Of one presence.
    pub presence: Option<Presence>,
    /// Whose newest verified live payload named this version.
    pub version: Option<String>,
    /// From when on an agent that was heard of is fresh.
    pub fresh_since: Timestamp,
}

impl FleetFilter {
    /// All agents; those heard of since a moment are fresh.
    pub const fn all(fresh_since: Timestamp) -> Self {
        Self {
            text: None,
            profile: None,
            presence: None,
            version: None,
            fresh_since,
        }
    }

    /// The text with its letters A to Z in lower case, as the databases compare it.
    pub(super) fn folded_text(&self) -> Option<String> {
        self.text.as_ref().map(|text| text.to_ascii_lowercase())
    }

    /// Whether a device of the hmac profile is wanted, where the profile matters.
    pub(super) fn is_device(&self) -> Option<bool> {
        self.profile.map(|profile| profile == AuthProfile::Hmac)
    }

    /// The word of the presence, where it matters.
    pub(super) fn presence_word(&self) -> Option<&'static str> {
        self.presence.map(Presence::as_str)
    }
}

/// In which order a fleet is listed; agents alike stand in the order of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FleetOrder {
    /// By name, byte by byte.
    Name,
    /// What was heard of last comes first, what never was comes last.
    LastSeen,
    /// By the worst severity among open anomalies, the worst first, none last.
    Worst,
}

impl FleetOrder {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Name, Self::LastSeen, Self::Worst];

    /// Returns the word used in addresses and cursors.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::LastSeen => "last_seen",
            Self::Worst => "worst",
        }
    }

    /// Finds the one of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }
}

/// A place in a listing: behind the agent of this name, which stood there by this value. Agents that
/// come, go or change between two pages shift nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetCursor {
    /// In which order it is a place.
    pub order: FleetOrder,
    /// Microseconds since 1970 when the agent was last seen, `i64::MIN` for never; or the rank of
    /// the worst severity, from 1 for critical to 6 for none; or 0 in the order of names.
    pub key: i64,
    /// The name of the agent.
    pub name: String,
}

impl FleetCursor {
    /// Reads the text form: the order, the value, and the name in hexadecimal digits.
    ///
    /// # Errors
    /// [`CursorError`] for any other text.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().ok_or(CursorError);
        let (order, key, name) = (part()?, part()?, part()?);
        let cursor = Self {
            order: FleetOrder::parse(order).ok_or(CursorError)?,
            key: key.parse().map_err(|_| CursorError)?,
            name: text_of_hex(name).ok_or(CursorError)?,
        };
        // One spelling for one place.
        let is_name = cursor.order == FleetOrder::Name;
        if cursor.to_string() == text && (cursor.key == 0 || !is_name) {
            Ok(cursor)
        } else {
            Err(CursorError)
        }
    }
}

impl fmt::Display for FleetCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.", self.order.as_str(), self.key)?;
        self.name
            .bytes()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn text_of_hex(hex: &str) -> Option<String> {
    let digits: Option<Vec<u32>> = hex.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits?;
    let bytes = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high * 16 + low).ok(),
        _ => None,
    });
    String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()
}

/// The newest sample of an agent, as far as a list shows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LastSample {
    /// When it was received.
    pub at: Timestamp,
    /// Processor use in percent points of the whole machine.
    pub cpu_usage_percent: f64,
    /// Load of the last minute.
    pub load1: Option<f64>,
    /// Size of memory in bytes.
    pub mem_total_bytes: Option<i64>,
    /// Memory in use in bytes.
    pub mem_used_bytes: Option<i64>,
    /// Seconds since the machine started.
    pub uptime_seconds: Option<f64>,
}

/// An agent as a list shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetRow {
    /// The agent, with its newest readings of the hour before the reading.
    pub agent: AgentSummary,
    /// Its newest sample, however old.
    pub last: Option<LastSample>,
}

/// One page of a fleet.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FleetPage {
    /// In the order asked for.
    pub rows: Vec<FleetRow>,
    /// Where the next page begins; `None` when this was the last.
    pub next: Option<FleetCursor>,
    /// How many agents match, on all pages together.
    pub n_matching: u64,
}

/// Who an agent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentName {
    /// Its identifier.
    pub agent: AgentId,
    /// What people call it.
    pub name: String,
    /// Whether it was revoked.
    pub is_revoked: bool,
}

/// How many agents there are of each kind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FleetCounts {
    /// Heard of lately.
    pub n_fresh: u64,
    /// Not heard of lately.
    pub n_silent: u64,
    /// Never heard of.
    pub n_never_seen: u64,
    /// Revoked.
    pub n_revoked: u64,
    /// Versions of agents that are not revoked, those of most agents first, and how many have each;
    /// at most 50.
    pub versions: Vec<(String, u64)>,
}

impl FleetCounts {
    /// How many agents there are.
    pub const fn n_agents(&self) -> u64 {
        self.n_fresh + self.n_silent + self.n_never_seen + self.n_revoked
    }
}

/// Reading many agents of one organisation. The hub's own row is none of them.
pub trait FleetStore: Send + Sync {
    /// Reads a page of at most so many agents behind a place, each with its newest sample and at
    /// most so many processor readings received in the hour before `now`. A cursor of another order
    /// is as none.
    fn fleet(
        &self,
        tenant: TenantId,
        filter: &FleetFilter,
        place: (FleetOrder, Option<FleetCursor>),
        n_rows_and_recent: (u32, u32),
        now: Timestamp,
    ) -> StoreFuture<'_, FleetPage>;

    /// Reads some agents as a page would show them, in the order in which they are named; one that
    /// is not there is left out. At most 500 are read.
    fn fleet_of(
        &self,
        tenant: TenantId,
        agents: Vec<AgentId>,
        n_recent: u32,
        now: Timestamp,
    ) -> StoreFuture<'_, Vec<FleetRow>>;

    /// Lists who matches, by name; at most 100,000.
    fn fleet_names(
        &self,
        tenant: TenantId,
        filter: &FleetFilter,
    ) -> StoreFuture<'_, Vec<AgentName>>;

    /// Counts the agents of an organisation; those heard of since a moment are fresh.
    fn fleet_counts(
        &self,
        tenant: TenantId,
        fresh_since: Timestamp,
    ) -> StoreFuture<'_, FleetCounts>;
}

/// Most agents that are read by their identifiers at once.
pub(super) const NAMED_MAX: usize = 500;
/// Most names that are listed at once: more agents than one hub serves.
pub(super) const NAMES_MAX: u32 = 100_000;
/// Most versions that are counted: a fleet in the middle of a roll-out has a handful.
pub(super) const VERSIONS_MAX: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_of_a_fleet_has_one_spelling() {
        for (order, key, name) in [
            (FleetOrder::Name, 0, "web-1.example"),
            (FleetOrder::LastSeen, i64::MIN, "Ünïcode '; DROP"),
            (FleetOrder::Worst, 6, "a.b.c"),
        ] {
            let name = name.to_owned();
            let cursor = FleetCursor { order, key, name };
            assert_eq!(FleetCursor::parse(&cursor.to_string()), Ok(cursor));
        }
        for other in [
            "",
            "name",
            "name.0",
            "name.1.61",
            "name.+0.61",
            "name.00.61",
            "name.0.6",
            "name.0.6A",
            "name.0.ff",
            "name.0.61 ",
            "name.0.+1",
            "risk.0.61",
            "worst.99999999999999999999.61",
            "name.0.61.61",
        ] {
            assert_eq!(FleetCursor::parse(other), Err(CursorError), "{other}");
        }
    }
}
