//! What a look at a TLS endpoint means: three signals with their severities.
//!
//! What: an [`Observation`] becomes drafts of [`KEYS`], by the tables in this file. The three say
//! three things and none repeats another: how long the certificate is valid, whether it is for the
//! expected name, whether it leads to a trusted root. An expired certificate of the right name from
//! a known authority is one finding, not three. What not: sockets, roots, parsing of certificates;
//! the shell reports those. Cost: three small texts.
//!
//! # Where nothing was seen
//! An endpoint that cannot be judged makes one signal, `cert.chain_ok` with the value null and the
//! reason. What was known of expiry and name stands until it expires: that a port is closed today
//! says nothing about yesterday's certificate. The finding on the chain is replaced by the reason.
//!
//! # What honest and hostile endpoints can do
//! An honest one trips a finding while it is restarted (`refused`), until the next look. A hostile
//! one can show the scanner another certificate than its users; no single look from one place can
//! tell. It cannot pass off a certificate of which it lacks the key ([`ChainFault::KeyNotProved`]).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use monsys_core::json::ObjectText;
use monsys_core::severity::Severity;
use monsys_core::signal::SignalDraft;
use monsys_core::text;
use monsys_core::time::{Span, Timestamp};

use super::Endpoint;

/// Who finds it; the catalogue counts it under certificates.
pub const SOURCE: &str = "cert_scan";
/// What kind of thing it is about.
pub const SUBJECT_TYPE: &str = "endpoint";
/// Whole days until the certificate is valid no more; below zero when it is not already.
pub const EXPIRY_DAYS: &str = "cert.expiry_days";
/// Whether the certificate is valid for the expected name.
pub const NAME_OK: &str = "cert.name_ok";
/// Whether the certificate leads to a trusted root; null when none was seen.
pub const CHAIN_OK: &str = "cert.chain_ok";
/// All keys.
pub const KEYS: [&str; 3] = [EXPIRY_DAYS, NAME_OK, CHAIN_OK];

/// Up to so many days before the end a certificate is so bad; beyond the last it is no finding.
/// Certificates that renew themselves do so 30 days before their end; at 7 a person must act today.
pub const EXPIRY_STEPS: [(i64, Severity); 4] = [
    (0, Severity::Critical),
    (7, Severity::High),
    (14, Severity::Medium),
    (30, Severity::Low),
];

/// What was seen at an endpoint. Closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// No certificate that could be judged.
    Unseen(Obstacle),
    /// A certificate.
    Shown(Presented),
}

/// Why no certificate could be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Obstacle {
    /// An address of the name lies where this hub may not connect to.
    AddressRefused,
    /// The name has no address.
    NameNotResolved,
    /// The port is closed.
    Refused,
    /// No way leads there.
    Unreachable,
    /// Nothing came within the time.
    TimedOut,
    /// The connection was closed before a certificate came.
    Closed,
    /// No agreement on version, cipher or key exchange, or the endpoint broke the protocol.
    HandshakeFailed,
    /// What answers does not speak TLS.
    NotTls,
    /// More came before the certificate was complete than any certificate needs.
    TooLarge,
    /// The certificate cannot be read.
    Unreadable,
}

impl Obstacle {
    /// All obstacles, by severity.
    pub const ALL: [Self; 10] = [
        Self::AddressRefused,
        Self::NameNotResolved,
        Self::Refused,
        Self::Unreachable,
        Self::TimedOut,
        Self::Closed,
        Self::HandshakeFailed,
        Self::NotTls,
        Self::TooLarge,
        Self::Unreadable,
    ];

    /// Returns the word for `reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AddressRefused => "address_refused",
            Self::NameNotResolved => "name_not_resolved",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Closed => "closed",
            Self::HandshakeFailed => "handshake_failed",
            Self::NotTls => "not_tls",
            Self::TooLarge => "too_large",
            Self::Unreadable => "unreadable",
        }
    }

    /// Returns how bad it is: an answer that no client could use is worse than none, and a rule of
    /// the hub's own is hardly a finding about the endpoint.
    pub const fn severity(self) -> Severity {
        match self {
            Self::AddressRefused => Severity::Low,
            Self::NameNotResolved
            | Self::Refused
            | Self::Unreachable
            | Self::TimedOut
            | Self::Closed
            | Self::HandshakeFailed => Severity::Medium,
            Self::NotTls | Self::TooLarge | Self::Unreadable => Severity::High,
        }
    }
}

/// A certificate and the verdicts on it, each found without regard to the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// From when it is valid.
    pub not_before: Timestamp,
    /// Until when, inclusive (RFC 5280 §4.1.2.5).
    pub not_after: Timestamp,
    /// Who issued it, as the certificate says; foreign text.
    pub issuer: String,
    /// How many certificates came.
    pub n_certificates: usize,
    /// The address that was connected to.
    pub address: IpAddr,
    /// Whether it is for the expected name.
    pub name: NameVerdict,
    /// Whether it leads to a trusted root.
    pub chain: ChainVerdict,
}

impl Presented {
    /// Returns the moment at which the chain is to be verified: `now`, or the nearest moment at
    /// which the certificate itself was valid, so that its expiry is not reported twice. An issuer
    /// that has expired at that moment breaks the chain.
    pub fn chain_moment(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> Timestamp {
        now.max(not_before).min(not_after)
    }
}

/// Whether a certificate is for the expected name. Closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameVerdict {
    /// It is.
    Matches,
    /// It is for other names; foreign text.
    Differs {
        /// Those names.
        presented: Vec<String>,
    },
}

/// Whether a certificate leads to a trusted root. Closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainVerdict {
    /// It does.
    Trusted,
    /// It does not.
    Broken(ChainFault),
}

/// Why a certificate does not lead to a trusted root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ChainFault {
    /// It issued itself, and is not itself trusted.
    SelfSigned,
    /// No trusted root issued it or what came with it: another authority, or an intermediate
    /// certificate is missing.
    UnknownIssuer,
    /// A certificate above it was not valid at the moment of [`Presented::chain_moment`].
    IssuerNotValid,
    /// A signature in the chain is wrong.
    BadSignature,
    /// It is not meant for servers.
    WrongPurpose,
    /// The endpoint did not prove that it holds the key.
    KeyNotProved,
    /// Any other rule of RFC 5280.
    Invalid,
}

impl ChainFault {
    /// All faults.
    pub const ALL: [Self; 7] = [
        Self::SelfSigned,
        Self::UnknownIssuer,
        Self::IssuerNotValid,
        Self::BadSignature,
        Self::WrongPurpose,
        Self::KeyNotProved,
        Self::Invalid,
    ];

    /// Returns the word for `reason`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SelfSigned => "self_signed",
            Self::UnknownIssuer => "unknown_issuer",
            Self::IssuerNotValid => "issuer_not_valid",
            Self::BadSignature => "bad_signature",
            Self::WrongPurpose => "wrong_purpose",
            Self::KeyNotProved => "key_not_proved",
            Self::Invalid => "invalid",
        }
    }
}

/// Makes the signals of one look; they hold for `ttl`.
///
/// ```
/// use monsys_core::time::{Span, Timestamp};
/// use monsys_signals::scan::{Endpoint, cert};
///
/// let now = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z")?;
/// let shop = Endpoint::parse("shop.example", 443, None)?;
/// let closed = cert::Observation::Unseen(cert::Obstacle::Refused);
/// let drafts = cert::assess(&shop, &closed, Span::from_secs(3_600), now);
/// assert_eq!(drafts[0].key, "cert.chain_ok");
/// assert_eq!(drafts[0].value, r#"{"value": null, "reason": "refused"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn assess(
    endpoint: &Endpoint,
    observation: &Observation,
    ttl: Span,
    now: Timestamp,
) -> Vec<SignalDraft> {
    let findings = match observation {
        Observation::Unseen(obstacle) => vec![unseen(*obstacle)],
        Observation::Shown(presented) => vec![
            expiry(presented, now),
            name(endpoint, presented),
            chain(presented),
        ],
    };
    let draft = |judged: Judged| SignalDraft {
        source: SOURCE.to_string(),
        subject_type: SUBJECT_TYPE.to_string(),
        subject_id: endpoint.to_string(),
        key: judged.key.to_string(),
        value: judged.value.finish(),
        severity: judged
            .severity
            .map(|severity| severity.as_str().to_string()),
        observed_at: now,
        ttl_seconds: Some(ttl.micros() / MICROS_PER_S),
    };
    findings.into_iter().map(draft).collect()
}

/// Returns how bad it is that a certificate ends in so many whole days.
pub fn expiry_severity(days: i64) -> Option<Severity> {
    EXPIRY_STEPS
        .iter()
        .find(|(days_max, _)| days <= *days_max)
        .map(|(_, severity)| *severity)
}

/// One signal before it has a subject and a time.
struct Judged {
    key: &'static str,
    value: ObjectText,
    severity: Option<Severity>,
}

fn unseen(obstacle: Obstacle) -> Judged {
    let value = ObjectText::new().null("value");
    let value = value.text("reason", obstacle.as_str());
    Judged {
        key: CHAIN_OK,
        value,
        severity: Some(obstacle.severity()),
    }
}

fn expiry(presented: &Presented, now: Timestamp) -> Judged {
    let left = presented.not_after.since(now).micros();
    let days = left.div_euclid(MICROS_PER_DAY);
    let value = ObjectText::new()
        .integer("value", days)
        .text("not_before", &presented.not_before.to_rfc3339())
        .text("not_after", &presented.not_after.to_rfc3339());
    // Clients refuse one that is not valid yet exactly as one that has expired.
    let reason = if now > presented.not_after {
        Some("expired")
    } else if now < presented.not_before {
        Some("not_yet_valid")
    } else {
        None
    };
    Judged {
        key: EXPIRY_DAYS,
        value: match reason {
            Some(reason) => value.text("reason", reason),
            None => value,
        },
        severity: match reason {
            Some(_) => Some(Severity::Critical),
            None => expiry_severity(days),
        },
    }
}

fn name(endpoint: &Endpoint, presented: &Presented) -> Judged {
    let is_ok = presented.name == NameVerdict::Matches;
    let value = ObjectText::new()
        .boolean("value", is_ok)
        .text("name", &endpoint.name().to_string());
    Judged {
        key: NAME_OK,
        value: match &presented.name {
            NameVerdict::Matches => value,
            NameVerdict::Differs { presented } => value.text("presented", &listed(presented)),
        },
        severity: (!is_ok).then_some(Severity::High),
    }
}

fn chain(presented: &Presented) -> Judged {
    let is_ok = presented.chain == ChainVerdict::Trusted;
    let value = ObjectText::new().boolean("value", is_ok);
    let value = match presented.chain {
        ChainVerdict::Trusted => value,
        ChainVerdict::Broken(fault) => value.text("reason", fault.as_str()),
    };
    Judged {
        key: CHAIN_OK,
        value: value
            .text("issuer", &text::clean(&presented.issuer, ISSUER_CHARS_MAX))
            .integer("n_certificates", count(presented.n_certificates))
            .text("address", &presented.address.to_string()),
        severity: (!is_ok).then_some(Severity::High),
    }
}

/// The first names, and how many more there are.
fn listed(names: &[String]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(NAMES_SHOWN_MAX)
        .map(|name| text::clean(name, NAME_CHARS_MAX))
        .collect();
    let shown = shown.join(", ");
    match names.len().saturating_sub(NAMES_SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Longest issuer in a signal, in characters: a line that a person reads.
const ISSUER_CHARS_MAX: usize = 256;
/// Longest name of a certificate in a signal, in characters: any DNS name fits.
const NAME_CHARS_MAX: usize = 253;
/// Most names of a certificate in a signal; shared ones carry hundreds.
const NAMES_SHOWN_MAX: usize = 8;
const MICROS_PER_S: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_S;

#[cfg(test)]
mod tests;
