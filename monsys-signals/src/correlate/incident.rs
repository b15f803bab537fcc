//! What findings that belong together are called, and how they are named.

use alloc::vec::Vec;
use core::fmt;

use monsys_core::{Severity, TenantId, Timestamp};
use sha2::{Digest, Sha256};

use crate::view::Subject;

/// Findings that belong together. It borrows names from the correlator.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Incident<'c> {
    /// Its name: the same wherever and in whatever order the same findings are read.
    pub id: IncidentId,
    /// What holds the findings together.
    pub scope: Scope<'c>,
    /// When the first finding was observed.
    pub first_at: Timestamp,
    /// When the last finding was observed.
    pub last_at: Timestamp,
    /// The worst severity of all findings.
    pub worst: Severity,
    /// How many findings there are, those that are not listed included.
    pub n_findings: usize,
    /// About how many subjects.
    pub n_subjects: usize,
    /// The first [`INCIDENT_FINDINGS_MAX`](monsys_core::limit::INCIDENT_FINDINGS_MAX) findings, by
    /// time, subject, source and key.
    pub findings: Vec<Finding<'c>>,
}

impl Incident<'_> {
    /// Returns how many findings are counted and not listed.
    pub fn n_unlisted(&self) -> usize {
        self.n_findings - self.findings.len()
    }
}

/// What holds findings together. Closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope<'c> {
    /// One subject.
    Subject(Subject<'c>),
    /// One signal key on many subjects.
    Fleet {
        /// The key.
        key: &'c str,
    },
}

/// A finding of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding<'c> {
    /// When it was observed.
    pub observed_at: Timestamp,
    /// What it is about.
    pub subject: Subject<'c>,
    /// Who found it.
    pub source: &'c str,
    /// What was looked at.
    pub key: &'c str,
    /// How bad it is: low or worse.
    pub severity: Severity,
}

/// The name of an incident: SHA-256 of tenant, scope and first finding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentId([u8; 32]);

impl IncidentId {
    /// The text before every digest, so that it can be no digest of anything else.
    const DOMAIN: &[u8] = b"monsys incident 1\n";

    /// Returns the 32 bytes.
    pub const fn to_bytes(self) -> [u8; 32] {
        self.0
    }

    /// Digests, in this order: the domain, 16 bytes of tenant, the words of the scope (`subject`,
    /// type and identifier, or `fleet` and key), microseconds of the first finding as eight bytes,
    /// the lowest first, then its subject type, subject, source and key. Before each word stands
    /// its length in bytes as four bytes, the lowest first.
    pub(super) fn of(tenant: TenantId, scope: Scope<'_>, first: &Finding<'_>) -> Self {
        let mut digest = Sha256::new_with_prefix(Self::DOMAIN);
        digest.update(tenant.to_bytes());
        match scope {
            Scope::Subject(subject) => {
                let words = ["subject", subject.subject_type, subject.subject_id];
                words.into_iter().for_each(|word| put(&mut digest, word));
            }
            Scope::Fleet { key } => {
                ["fleet", key]
                    .into_iter()
                    .for_each(|word| put(&mut digest, word));
            }
        }
        digest.update(first.observed_at.unix_micros().to_le_bytes());
        let Subject {
            subject_type,
            subject_id,
        } = first.subject;
        for word in [subject_type, subject_id, first.source, first.key] {
            put(&mut digest, word);
        }
        Self(digest.finalize().into())
    }
}

fn put(digest: &mut Sha256, word: &str) {
    // Cannot saturate: names are at most 256 bytes long.
    let len = u32::try_from(word.len()).unwrap_or(u32::MAX);
    digest.update(len.to_le_bytes());
    digest.update(word);
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IncidentId({self})")
    }
}
