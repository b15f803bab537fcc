//! Which texts of a payload were not stored as they were sent.
//!
//! What: a count for each member whose text is cleaned on its way in (endpoint document, Privacy
//! Model). Agents of ours clean before they send, so a count says that a sender does not, or that
//! somebody tries what gets through. What not: the texts themselves, nor what was taken from them.
//! Cost: a comparison a text, 44 bytes a payload.

use core::fmt;

/// A member of a payload whose text is cleaned. Closed: a new one is a new member of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TextMember {
    /// The mount point of a disk.
    DiskMount,
    /// The name of a network interface.
    NetworkInterface,
    /// The name of a process.
    ProcessName,
    /// The program of a process.
    ProcessExe,
    /// Whose process it is.
    ProcessUsername,
    /// The process behind a listener.
    ListenerProcess,
    /// The service of a counter of logins.
    AuthService,
    /// The kind of a place from which programs start.
    PersistenceKind,
    /// Such a place.
    PersistencePath,
    /// The name of a collector.
    HealthCollector,
    /// Why a collector sees less than all.
    HealthReason,
}

/// How many texts of a payload were changed when they were cleaned, by member.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct CleanedTexts {
    counts: [u32; TextMember::ALL.len()],
}

impl TextMember {
    /// Every member, once, in their order.
    pub const ALL: [Self; 11] = [
        Self::DiskMount,
        Self::NetworkInterface,
        Self::ProcessName,
        Self::ProcessExe,
        Self::ProcessUsername,
        Self::ListenerProcess,
        Self::AuthService,
        Self::PersistenceKind,
        Self::PersistencePath,
        Self::HealthCollector,
        Self::HealthReason,
    ];

    /// Returns its place in the data of a payload.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DiskMount => "disks/mount",
            Self::NetworkInterface => "networks/interface",
            Self::ProcessName => "processes/name",
            Self::ProcessExe => "processes/exe",
            Self::ProcessUsername => "processes/username",
            Self::ListenerProcess => "listeners/process",
            Self::AuthService => "auth/service",
            Self::PersistenceKind => "persistence/kind",
            Self::PersistencePath => "persistence/path",
            Self::HealthCollector => "health/collector",
            Self::HealthReason => "health/reason",
        }
    }
}

impl CleanedTexts {
    /// Counts a text that is kept otherwise than it was sent.
    pub(super) fn compare(&mut self, member: TextMember, sent: &str, kept: &str) {
        if sent == kept {
            return;
        }
        let of_members = TextMember::ALL.iter().zip(&mut self.counts);
        for (_, count) in of_members.filter(|(known, _)| **known == member) {
            *count = count.saturating_add(1);
        }
    }

    /// Returns the members with a changed text, and how many of them there were.
    pub fn iter(&self) -> impl Iterator<Item = (TextMember, u32)> {
        let all = TextMember::ALL.into_iter().zip(self.counts);
        all.filter(|(_, count)| *count > 0)
    }
}

impl fmt::Debug for CleanedTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.iter().map(|(member, count)| (member.as_str(), count));
        f.debug_map().entries(named).finish()
    }
}
