//! What runs, listens, logs in and starts by itself on one machine at one moment.
//!
//! What: the members of an `endpoint` payload (contract §2) as checked values. What not: command
//! lines, file contents and credentials; they have no field here, so that no collector can leak
//! them by mistake. Cost: the size of its members, bounded by [`crate::limit`].
//!
//! Texts are foreign and are cleaned on their way in ([`EndpointText`]): control and bidirectional
//! characters out, e-mail-like words replaced, cut to their limit.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use crate::limit;
use crate::sample::Count;
use crate::text;

/// A foreign text that is safe to store and show.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointText(String);

/// One running process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its name.
    pub name: EndpointText,
    /// Its number.
    pub pid: u32,
    /// The file it runs; `None` when unknown, as for threads of a kernel.
    pub exe: Option<EndpointText>,
    /// Who it runs as; `None` when unknown.
    pub username: Option<EndpointText>,
}

/// One socket that waits for connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The address it is bound to.
    pub ip: IpAddr,
    /// The port it is bound to.
    pub port: u16,
    /// Whose it is; `None` when unknown.
    pub process: Option<EndpointText>,
}

/// How often one service let someone in, or did not, since the snapshot before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthCount {
    /// Which service.
    pub service: EndpointText,
    /// What it decided.
    pub outcome: AuthOutcome,
    /// How often.
    pub count: Count,
}

/// What a service decided about a login. Closed: contract §2 has two words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthOutcome {
    /// Someone was let in.
    Success,
    /// Someone was refused.
    Failure,
}

/// One place from which a program starts by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Persistence {
    /// What kind of place: a unit, a timer, a login item.
    pub kind: EndpointText,
    /// Where it is.
    pub path: EndpointText,
}

/// How one collector of the agent fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectorHealth {
    /// Which collector.
    pub collector: EndpointText,
    /// How it fares.
    pub state: CollectorState,
    /// Why, when it does not fare well.
    pub reason: Option<EndpointText>,
}

/// How a collector fares. Closed: contract §2 has three words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CollectorState {
    /// It sees everything it should.
    Ok,
    /// It sees a part.
    Degraded,
    /// It sees nothing; an empty list means nothing.
    Unavailable,
}

/// What an agent saw of its machine at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EndpointSnapshot {
    /// Running processes.
    pub processes: Vec<Process>,
    /// Listening sockets.
    pub listeners: Vec<Listener>,
    /// Logins since the snapshot before.
    pub auth: Vec<AuthCount>,
    /// Places from which programs start by themselves.
    pub persistence: Vec<Persistence>,
    /// How the collectors fare.
    pub health: Vec<CollectorHealth>,
}

impl EndpointText {
    /// Cleans a name: of a process, a service, a collector, a user.
    pub fn name(text: &str) -> Self {
        Self(text::clean(text, limit::ENDPOINT_NAME_CHARS_MAX))
    }

    /// Cleans a path.
    pub fn path(text: &str) -> Self {
        Self(text::clean(text, limit::ENDPOINT_PATH_CHARS_MAX))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AuthOutcome {
    /// Returns the word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }

    /// Reads a word; `None` for any other.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Success, Self::Failure]
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
    }
}

impl CollectorState {
    /// Returns the word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Unavailable => "unavailable",
        }
    }

    /// Reads a word; `None` for any other.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Ok, Self::Degraded, Self::Unavailable]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cleaned_and_cut_to_their_kind() {
        let long = "x".repeat(2_000);
        assert_eq!(EndpointText::name(&long).as_str().len(), 256);
        assert_eq!(EndpointText::path(&long).as_str().len(), 1_024);
        let path = EndpointText::path("/home/bob@example.org/\u{202e}a\n");
        assert_eq!(path.as_str(), "/home/[redacted-email]/a");
    }

    #[test]
    fn words_of_closed_sets_read_back() {
        for outcome in [AuthOutcome::Success, AuthOutcome::Failure] {
            assert_eq!(AuthOutcome::from_word(outcome.as_str()), Some(outcome));
        }
        for word in ["ok", "degraded", "unavailable"] {
            assert_eq!(
                CollectorState::from_word(word).map(CollectorState::as_str),
                Some(word)
            );
        }
        assert_eq!(AuthOutcome::from_word("Success"), None);
        assert_eq!(CollectorState::from_word(""), None);
    }
}
