//! What a hub answers, written by hubs and read by agents.
//!
//! The writers produce the bodies of contract §3: acknowledgements and `application/problem+json`.
//! The readers are lenient where the schema of payloads is strict: an agent must understand a newer
//! hub, so unknown members are passed over, and an answer it cannot read is judged by its status.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};

use monsys_core::id::AgentId;
use monsys_core::json::{self, Cursor, ObjectText};
use monsys_core::time::Timestamp;

use crate::audience::Audience;
use crate::reject::{Code, Reject};
use crate::sign::VerifyingKey;

/// An accepted payload. Closed: contract §3 has two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledgement {
    /// Stored, and the position is used up.
    Accepted,
    /// Seen before with the same content; nothing changed.
    Duplicate,
}

impl Acknowledgement {
    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Accepted => 202,
            Self::Duplicate => 200,
        }
    }

    /// The body.
    #[must_use]
    pub fn to_json(self, server_time: Timestamp) -> String {
        let (word, is_duplicate) = match self {
            Self::Accepted => ("accepted", false),
            Self::Duplicate => ("duplicate", true),
        };
        ObjectText::new()
            .text("status", word)
            .boolean("duplicate", is_duplicate)
            .text("server_time", &server_time.to_rfc3339())
            .finish()
    }
}

/// The body of a refusal: RFC 9457, with our `code` and what else the refusal knows.
#[must_use]
#[expect(clippy::wildcard_enum_match_arm, reason = "most refusals add nothing")]
pub fn problem_json(reject: &Reject, server_time: Timestamp) -> String {
    let mut problem = ObjectText::new()
        .text(
            "type",
            &alloc::format!("urn:monsys:error:{}", reject.code()),
        )
        .text("title", reject.title())
        .integer("status", reject.status())
        .text("detail", &reject.to_string())
        .text("code", reject.code());
    if let Some(pointer) = reject.pointer() {
        problem = problem.text("pointer", pointer);
    }
    if let Some(header) = reject.header() {
        problem = problem.text("header", header);
    }
    match reject {
        Reject::StaleEpoch { min_epoch } => problem.integer("min_epoch", *min_epoch),
        Reject::Stale { .. } => problem.text("server_time", &server_time.to_rfc3339()),
        Reject::InvalidSignal { violations } => {
            let shown = violations.shown().iter().map(|violation| {
                ObjectText::new()
                    .integer("index", i64::try_from(violation.index).unwrap_or(i64::MAX))
                    .text("field", violation.rule.field())
                    .text("rule", violation.rule.as_str())
                    .text("message", violation.rule.message())
            });
            let total = i64::try_from(violations.total()).unwrap_or(i64::MAX);
            problem
                .objects("violations", shown)
                .integer("n_violations", total)
        }
        _ => problem,
    }
    .finish()
}

/// A hub's answer to a payload, as the agent understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Why the payload was refused, if it was and the code is known.
    pub code: Option<Code>,
    /// The epoch to move to after `stale_epoch`.
    pub min_epoch: Option<u64>,
    /// The hub's clock.
    pub server_time: Option<Timestamp>,
    /// The hub says that it has the payload.
    pub is_acknowledged: bool,
}

impl Answer {
    /// Reads an answer; what cannot be read is left out.
    #[must_use]
    pub fn read(status: u16, body: &[u8]) -> Self {
        let mut answer = Self {
            status,
            code: None,
            min_epoch: None,
            server_time: None,
            is_acknowledged: false,
        };
        walk(body, |cursor, name| match name {
            "status" => {
                let word = cursor.text();
                answer.is_acknowledged = matches!(word.as_deref(), Some("accepted" | "duplicate"));
            }
            "code" => answer.code = cursor.text().as_deref().and_then(Code::from_name),
            "min_epoch" => {
                answer.min_epoch = cursor.integer().and_then(|epoch| u64::try_from(epoch).ok());
            }
            "server_time" => answer.server_time = read_time(cursor),
            _ => {}
        });
        answer
    }

    /// Whether the payload is with the hub, by this attempt or an earlier one: a status of success
    /// and the word of a hub, for proxies and sign-in pages have such a status as well.
    #[must_use]
    pub const fn is_delivered(&self) -> bool {
        self.is_acknowledged && matches!(self.status, 200 | 202)
    }

    /// Whether the same payload may be taken later: the hub was busy or broken.
    #[must_use]
    pub const fn is_worth_retrying(&self) -> bool {
        matches!(self.status, 408 | 429 | 500..=599)
    }
}

/// What a hub tells an agent about itself: `GET /api/v1/agents/self`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentSelf {
    /// The agent's identifier.
    pub agent_id: AgentId,
    /// The hub's identifier, which every payload must name.
    pub audience: Audience,
    /// The organisation's name.
    pub org: String,
    /// The agent's name.
    pub name: String,
    /// The key that is pinned.
    pub pinned: Option<VerifyingKey>,
    /// The hub's clock.
    pub server_time: Timestamp,
}

impl AgentSelf {
    /// The body of the answer.
    #[must_use]
    pub fn to_json(&self) -> String {
        let object = ObjectText::new()
            .text("agent_id", &self.agent_id.to_string())
            .text("aud", self.audience.as_str())
            .text("org", &self.org)
            .text("name", &self.name);
        match &self.pinned {
            Some(key) => object.text("pinned", &key.to_string()),
            None => object.null("pinned"),
        }
        .text("server_time", &self.server_time.to_rfc3339())
        .finish()
    }

    /// Reads the answer; None if a member is missing or has another form.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        let (mut agent_id, mut audience, mut org) = (None, None, None);
        let (mut name, mut pinned, mut server_time) = (None, None, None);
        walk(body, |cursor, member| match member {
            "agent_id" => agent_id = cursor.text().and_then(|text| AgentId::parse(&text).ok()),
            "aud" => audience = cursor.text().and_then(|text| Audience::parse(&text).ok()),
            "org" => org = cursor.text().map(Cow::into_owned),
            "name" => name = cursor.text().map(Cow::into_owned),
            "pinned" if cursor.null() => pinned = Some(None),
            "pinned" => {
                pinned = cursor
                    .text()
                    .and_then(|text| VerifyingKey::parse_hex(&text).ok().map(Some));
            }
            "server_time" => server_time = read_time(cursor),
            _ => {}
        });
        Some(Self {
            agent_id: agent_id?,
            audience: audience?,
            org: org?,
            name: name?,
            pinned: pinned?,
            server_time: server_time?,
        })
    }
}

/// Visits the members of an object; a value that `visit` does not read is passed over.
fn walk(body: &[u8], mut visit: impl FnMut(&mut Cursor<'_>, &str)) {
    let mut scratch = json::Scratch::new();
    let Ok(canonical) = json::canonicalize(body, &mut scratch) else {
        return;
    };
    let mut cursor = Cursor::new(canonical);
    if !cursor.enter_object() {
        return;
    }
    while let Some(name) = cursor.next_name() {
        let start = cursor.offset();
        visit(&mut cursor, &name);
        if cursor.offset() == start {
            cursor.skip();
        }
    }
}

fn read_time(cursor: &mut Cursor<'_>) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(&cursor.text()?).ok()
}
