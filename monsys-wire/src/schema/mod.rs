//! The members of a payload, each with its type and range, and no others.
//!
//! A body is walked once. The head reads what stands around the data and remembers where the data
//! begins; the file of each payload type reads the data. An optional member may be absent or null,
//! which both mean unknown. Every refusal points to the member.
//!
//! What it does not do: judge a signal. Its members have the right JSON types here; whether they
//! make a valid signal is the validator's question, which reports all broken rules at once.

mod cleaned;
mod endpoint;
pub(crate) mod field;
mod head;
mod metrics;
mod signals;
mod tail;

use alloc::vec::Vec;

use monsys_core::endpoint::EndpointSnapshot;
use monsys_core::json::Cursor;
use monsys_core::sample::MetricSample;
use monsys_core::signal::SignalDraft;

pub use cleaned::{CleanedTexts, TextMember};
pub(crate) use head::Head;
pub use signals::read_signal;

use crate::reject::Reject;

/// What a payload holds. Open: more types will come.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Payload {
    /// `metrics`: one sample.
    Metrics(MetricSample),
    /// `agent_signals`: 1 to 1,000 drafts, none of them judged.
    Signals(Vec<SignalDraft>),
    /// `endpoint`: one snapshot of the machine.
    Endpoint(EndpointSnapshot),
}

/// The word in `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PayloadKind {
    Metrics,
    AgentSignals,
    Endpoint,
}

impl PayloadKind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::AgentSignals => "agent_signals",
            Self::Endpoint => "endpoint",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [Self::Metrics, Self::AgentSignals, Self::Endpoint]
            .into_iter()
            .find(|kind| kind.as_str() == word)
    }

    /// Reads the data of a payload.
    fn read(self, cursor: &mut Cursor<'_>) -> Result<Taken, Reject> {
        let mut cleaned = CleanedTexts::default();
        let payload = match self {
            Self::Metrics => metrics::read(cursor, &mut cleaned).map(Payload::Metrics),
            Self::AgentSignals => signals::read(cursor).map(Payload::Signals),
            Self::Endpoint => endpoint::read(cursor, &mut cleaned).map(Payload::Endpoint),
        };
        payload.map(|payload| Taken { payload, cleaned })
    }
}

/// The data of a payload as they are kept.
#[derive(Debug, PartialEq)]
pub(crate) struct Taken {
    pub(crate) payload: Payload,
    pub(crate) cleaned: CleanedTexts,
}

/// The only version of the layout.
pub(crate) const LAYOUT_VERSION: i64 = 1;
