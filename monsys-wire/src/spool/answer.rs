//! What a hub's answer means for a spooled payload: a closed set.
//!
//! [`crate::answer`] reads what an answer says; here is what it comes to. An answer counts as the hub's word only when it looks like one: a refusal must carry one of the
//! documented codes and a `200` must say that it acknowledges. Sign-in pages of hotels and error
//! pages of proxies answer too, and must neither acknowledge nor condemn a payload. Cost: one pass
//! over the body.
//!
//! ```
//! use monsys_wire::spool::{Answer, Fault};
//!
//! let body = br#"{"status":"accepted","duplicate":false,"server_time":"2026-11-21T01:15:41Z"}"#;
//! assert_eq!(Answer::read(202, None, body), Answer::Accepted);
//! let sign_in = b"<html>welcome to the hotel</html>";
//! assert_eq!(Answer::read(200, None, sign_in), Answer::Unreachable(Fault::Nonsense));
//! ```

use core::time::Duration;

use monsys_core::limit;

use crate::answer as wire;
use crate::reject::Code;

/// A hub's answer to one payload. Closed: nothing else can be told to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Stored (202).
    Accepted,
    /// Was there already with the same content (200).
    Duplicate,
    /// The position was used by other content (409 `replay`).
    Replay,
    /// The position belongs to a former life of the spool (409 `stale_epoch`).
    StaleEpoch {
        /// The lowest epoch that will be accepted.
        min_epoch: u64,
    },
    /// The payload itself is not acceptable and never will be (400, 413, 415, 422).
    Refused(Code),
    /// The agent is not acceptable at present (401, 403).
    Denied(Option<Code>),
    /// The hub is busy (429, 503), and may have said for how long.
    RetryAfter(Option<Duration>),
    /// A refusal that no hub wrote: a proxy in between does not take this request.
    Foreign {
        /// The HTTP status.
        status: u16,
    },
    /// No answer, or none that makes sense.
    Unreachable(Fault),
}

/// Why there is no usable answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No such host.
    Name,
    /// No connection, or it broke.
    Connection,
    /// No answer in time.
    Timeout,
    /// The hub's certificate is not trusted.
    Tls,
    /// A redirect, which is never followed.
    Redirect,
    /// An answer longer than any hub's.
    TooLong,
    /// An answer that no hub gives.
    Nonsense,
    /// The hub itself is broken (5xx).
    HubError,
}

impl Fault {
    /// The word for logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name_unknown",
            Self::Connection => "connection_failed",
            Self::Timeout => "timeout",
            Self::Tls => "certificate_not_trusted",
            Self::Redirect => "redirect",
            Self::TooLong => "answer_too_long",
            Self::Nonsense => "no_hub_answer",
            Self::HubError => "hub_error",
        }
    }
}

impl Answer {
    /// Reads an answer; [`retry_after::wait`](super::retry_after::wait) reads the header.
    #[must_use]
    pub fn read(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let read = wire::Answer::read(status, body);
        match status {
            202 if read.is_delivered() => Self::Accepted,
            200 if read.is_delivered() => Self::Duplicate,
            409 => conflict(&read),
            400 | 413 | 415 | 422 => read.code.map_or(Self::Foreign { status }, Self::Refused),
            401 | 403 => Self::Denied(read.code),
            429 | 503 => Self::RetryAfter(retry_after),
            300..=399 => Self::Unreachable(Fault::Redirect),
            404..=499 => Self::Foreign { status },
            500..=599 => Self::Unreachable(Fault::HubError),
            _ => Self::Unreachable(Fault::Nonsense),
        }
    }

    /// Whether the hub has the payload, by this attempt or an earlier one.
    #[must_use]
    pub const fn is_delivered(self) -> bool {
        matches!(self, Self::Accepted | Self::Duplicate)
    }

    /// The word for logs and results.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Replay => "replay",
            Self::StaleEpoch { .. } => "stale_epoch",
            Self::Refused(_) => "refused",
            Self::Denied(_) => "denied",
            Self::RetryAfter(_) => "busy",
            Self::Foreign { .. } => "refused_on_the_way",
            Self::Unreachable(_) => "unreachable",
        }
    }

    /// What else is known about it: the hub's code, or why there was no answer.
    #[must_use]
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Refused(code) | Self::Denied(Some(code)) => Some(code.as_str()),
            Self::Unreachable(fault) => Some(fault.as_str()),
            Self::Accepted
            | Self::Duplicate
            | Self::Replay
            | Self::StaleEpoch { .. }
            | Self::Denied(None)
            | Self::RetryAfter(_)
            | Self::Foreign { .. } => None,
        }
    }
}

fn conflict(read: &wire::Answer) -> Answer {
    let epoch_max = limit::SAFE_INTEGER_MAX.unsigned_abs();
    match (read.code, read.min_epoch) {
        (Some(Code::Replay), _) => Answer::Replay,
        (Some(Code::StaleEpoch), Some(min_epoch)) if min_epoch <= epoch_max => {
            Answer::StaleEpoch { min_epoch }
        }
        _ => Answer::Foreign {
            status: read.status,
        },
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn read(status: u16, body: &str) -> Answer {
        Answer::read(status, None, body.as_bytes())
    }

    fn problem(status: u16, code: &str) -> Answer {
        read(
            status,
            &format!(r#"{{"type":"x","status":{status},"code":"{code}","min_epoch":7}}"#),
        )
    }

    #[test]
    fn the_answers_of_the_contract_are_told_apart() {
        assert_eq!(read(202, r#"{"status":"accepted"}"#), Answer::Accepted);
        assert_eq!(
            read(200, r#"{"status":"duplicate","duplicate":true}"#),
            Answer::Duplicate
        );
        assert_eq!(problem(409, "replay"), Answer::Replay);
        assert_eq!(
            problem(409, "stale_epoch"),
            Answer::StaleEpoch { min_epoch: 7 }
        );
        for (status, code) in [
            (400, Code::Syntax),
            (413, Code::TooLarge),
            (415, Code::UnsupportedMediaType),
            (422, Code::WrongType),
        ] {
            assert_eq!(problem(status, code.as_str()), Answer::Refused(code));
        }
        assert_eq!(
            problem(401, "unauthorized"),
            Answer::Denied(Some(Code::Unauthorized))
        );
        assert_eq!(problem(403, "revoked"), Answer::Denied(Some(Code::Revoked)));
        assert_eq!(problem(500, "x"), Answer::Unreachable(Fault::HubError));
    }

    #[test]
    fn a_hub_can_ask_for_patience() {
        let wait = Some(Duration::from_secs(7));
        assert_eq!(Answer::read(503, wait, b""), Answer::RetryAfter(wait));
        assert_eq!(Answer::read(429, None, b""), Answer::RetryAfter(None));
        assert_eq!(
            Answer::read(500, wait, b""),
            Answer::Unreachable(Fault::HubError)
        );
    }

    #[test]
    fn no_status_alone_delivers_or_condemns_a_payload() {
        for status in 0..=u16::MAX {
            for body in [
                "",
                "{}",
                "<html>",
                r#"{"status":202}"#,
                r#"{"code":"nonsense"}"#,
            ] {
                let answer = read(status, body);
                let is_kept = !answer.is_delivered() && !matches!(answer, Answer::Refused(_));
                assert!(is_kept, "{status} {body}: {answer:?}");
            }
        }
    }

    #[test]
    fn what_no_hub_wrote_neither_acknowledges_nor_condemns() {
        let page = "<html>sign in to the hotel</html>";
        assert_eq!(read(200, page), Answer::Unreachable(Fault::Nonsense));
        assert_eq!(
            read(200, r#"{"status":"ok"}"#),
            Answer::Unreachable(Fault::Nonsense)
        );
        assert_eq!(read(202, page), Answer::Unreachable(Fault::Nonsense));
        assert_eq!(read(302, page), Answer::Unreachable(Fault::Redirect));
        assert_eq!(read(204, ""), Answer::Unreachable(Fault::Nonsense));
        for status in [400, 404, 405, 409, 413, 418, 422] {
            assert_eq!(read(status, page), Answer::Foreign { status });
        }
        let huge = r#"{"code":"stale_epoch","min_epoch":9007199254740993}"#;
        assert_eq!(read(409, huge), Answer::Foreign { status: 409 });
    }
}
