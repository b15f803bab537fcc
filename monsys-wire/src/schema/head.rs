//! The members around the data: who, for whom, when, at which position.
//!
//! They are read first and judged later, in the order of checks: whom the payload is meant for comes
//! before anything else that may be wrong with it, and `v` and `type` before the members which they
//! decide about. A good body is read from both ends, so that its data are walked once; any other is
//! walked from the beginning, which alone decides what is said about it.

use alloc::borrow::Cow;
use alloc::string::String;

use monsys_core::json::{Canonical, Cursor};
use monsys_core::name::AgentVersion;
use monsys_core::position::{ContentHash, Position};
use monsys_core::time::Timestamp;
use sha2::{Digest, Sha256};

use super::field::bad_time;
use super::tail::Tail;
use super::{LAYOUT_VERSION, PayloadKind, Taken};
use crate::audience::Audience;
use crate::reject::Reject;

/// What stands around the data of a payload, as read.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    body: Canonical<'a>,
    agent_id: Field<Cow<'a, str>>,
    agent_version: Field<Cow<'a, str>>,
    aud: Field<Cow<'a, str>>,
    captured_at: Field<Cow<'a, str>>,
    data: Option<Cursor<'a>>,
    /// Where the data end if nothing stands between them and the members of a [`Tail`]; None where
    /// the whole body was walked.
    data_end: Option<usize>,
    epoch: Field<i64>,
    seq: Field<i64>,
    sent_at: Field<Cow<'a, str>>,
    sent_at_range: (usize, usize),
    kind: Field<Cow<'a, str>>,
    version: Field<i64>,
    first_unknown: Option<String>,
}

impl<'a> Head<'a> {
    /// Reads what stands around the data.
    pub(crate) fn read(body: Canonical<'a>) -> Result<Self, Reject> {
        match Self::around_data(body) {
            Some(head) => Ok(head),
            None => Self::walk(body),
        }
    }

    /// Reads the members before the data and, from the end, those behind them, where each is as a
    /// good body has it. What the data hold is open.
    fn around_data(body: Canonical<'a>) -> Option<Self> {
        let mut cursor = Cursor::new(body);
        if !cursor.enter_object() {
            return None;
        }
        let mut text = |name| {
            let is_next = cursor.next_is(name);
            is_next.then(|| cursor.text()).flatten().map(Field::Value)
        };
        let agent_id = text("agent_id")?;
        let agent_version = text("agent_version")?;
        let aud = text("aud")?;
        let captured_at = text("captured_at")?;
        let tail = cursor
            .next_is("data")
            .then(|| Tail::read(body.as_str()))
            .flatten()?;
        Some(Self {
            body,
            agent_id,
            agent_version,
            aud,
            captured_at,
            data: Some(cursor),
            data_end: Some(tail.start),
            epoch: Field::Value(tail.epoch),
            seq: Field::Value(tail.seq),
            sent_at: Field::Value(Cow::Borrowed(tail.sent_at)),
            sent_at_range: tail.sent_at_range,
            kind: Field::Value(Cow::Borrowed(tail.kind)),
            version: Field::Value(tail.version),
            first_unknown: None,
        })
    }

    /// Walks the outermost object.
    fn walk(body: Canonical<'a>) -> Result<Self, Reject> {
        let mut cursor = Cursor::new(body);
        if !cursor.enter_object() {
            return Err(Reject::WrongType {
                pointer: String::new(),
                expected: "an object",
            });
        }
        let mut head = Self::absent(body);
        loop {
            let start = cursor.offset();
            let Some(name) = cursor.next_name() else {
                break;
            };
            head.read_member(&name, &mut cursor);
            if name == "sent_at" {
                head.sent_at_range = (start, cursor.offset());
            }
        }
        Ok(head)
    }

    pub(crate) fn check_audience(&self, expected: &Audience) -> Result<(), Reject> {
        let audience = self.aud.required("/aud", "a string")?;
        if audience == expected.as_str() {
            Ok(())
        } else {
            Err(Reject::WrongAudience)
        }
    }

    /// The caller's own name for itself, which depends on its profile.
    pub(crate) fn check_agent(&self, is_caller: impl FnOnce(&str) -> bool) -> Result<(), Reject> {
        let agent_id = self.agent_id.required("/agent_id", "a string")?;
        if is_caller(agent_id) {
            Ok(())
        } else {
            Err(Reject::WrongAgent)
        }
    }

    pub(crate) fn position(&self) -> Result<Position, Reject> {
        let epoch = self.epoch.required("/epoch", "a number without fraction")?;
        let seq = self.seq.required("/seq", "a number without fraction")?;
        Position::new(*epoch, *seq).map_err(|_| Reject::OutOfRange {
            pointer: String::from(if *epoch < 1 { "/epoch" } else { "/seq" }),
            expected: "an integer from 1 to 9007199254740991",
        })
    }

    /// Checks `v` and reads `type`, which decide what the other members mean.
    pub(crate) fn payload_kind(&self) -> Result<PayloadKind, Reject> {
        let version = self.version.required("/v", "a number without fraction")?;
        if *version != LAYOUT_VERSION {
            return Err(Reject::OutOfRange {
                pointer: String::from("/v"),
                expected: "1",
            });
        }
        let word = self.kind.required("/type", "a string")?;
        PayloadKind::from_word(word).ok_or_else(|| Reject::OutOfRange {
            pointer: String::from("/type"),
            expected: "metrics, agent_signals or endpoint",
        })
    }

    pub(crate) fn refuse_unknown(&mut self) -> Result<(), Reject> {
        match self.first_unknown.take() {
            Some(pointer) => Err(Reject::UnknownField { pointer }),
            None => Ok(()),
        }
    }

    pub(crate) fn agent_version(&self) -> Result<AgentVersion, Reject> {
        let text = self.agent_version.required("/agent_version", "a string")?;
        AgentVersion::parse(text).map_err(|_| Reject::OutOfRange {
            pointer: String::from("/agent_version"),
            expected: "1 to 128 bytes without control characters",
        })
    }

    pub(crate) fn captured_at(&self) -> Result<Timestamp, Reject> {
        required_time(&self.captured_at, "/captured_at")
    }

    pub(crate) fn sent_at(&self) -> Result<Timestamp, Reject> {
        required_time(&self.sent_at, "/sent_at")
    }

    /// SHA-256 of the canonical form of the body without its member `sent_at`.
    pub(crate) fn content_hash(&self) -> ContentHash {
        let (start, end) = self.sent_at_range;
        let bytes = self.body.as_bytes();
        let before = bytes.get(..start).unwrap_or_default();
        let after = bytes.get(end..).unwrap_or_default();
        // The comma goes with the member: it is the one before, unless the member is the first.
        let after = match before.last() {
            Some(b'{') => after.strip_prefix(b",").unwrap_or(after),
            _ => after,
        };
        ContentHash(
            Sha256::new()
                .chain_update(before)
                .chain_update(after)
                .finalize()
                .into(),
        )
    }

    /// Reads good data that end where they must. None otherwise, and what is wrong with the body is
    /// then found in its order, after a walk over all of it.
    pub(crate) fn good_payload(&mut self, kind: PayloadKind) -> Result<Option<Taken>, Reject> {
        let Some(data_end) = self.data_end else {
            return Ok(None);
        };
        if let Some(cursor) = &mut self.data
            && let Ok(payload) = kind.read(cursor)
            && cursor.offset() == data_end
        {
            return Ok(Some(payload));
        }
        *self = Self::walk(self.body)?;
        Ok(None)
    }

    pub(crate) fn payload(&mut self, kind: PayloadKind) -> Result<Taken, Reject> {
        let Some(mut cursor) = self.data.take() else {
            return Err(Reject::MissingField {
                pointer: String::from("/data"),
            });
        };
        kind.read(&mut cursor)
    }

    const fn absent(body: Canonical<'a>) -> Self {
        Self {
            body,
            agent_id: Field::Absent,
            agent_version: Field::Absent,
            aud: Field::Absent,
            captured_at: Field::Absent,
            data: None,
            data_end: None,
            epoch: Field::Absent,
            seq: Field::Absent,
            sent_at: Field::Absent,
            sent_at_range: (0, 0),
            kind: Field::Absent,
            version: Field::Absent,
            first_unknown: None,
        }
    }

    fn read_member(&mut self, name: &str, cursor: &mut Cursor<'a>) {
        match name {
            "agent_id" => self.agent_id = Field::read(cursor, Cursor::text),
            "agent_version" => self.agent_version = Field::read(cursor, Cursor::text),
            "aud" => self.aud = Field::read(cursor, Cursor::text),
            "captured_at" => self.captured_at = Field::read(cursor, Cursor::text),
            "data" => {
                self.data = Some(cursor.clone());
                cursor.skip();
            }
            "epoch" => self.epoch = Field::read(cursor, Cursor::integer),
            "seq" => self.seq = Field::read(cursor, Cursor::integer),
            "sent_at" => self.sent_at = Field::read(cursor, Cursor::text),
            "type" => self.kind = Field::read(cursor, Cursor::text),
            "v" => self.version = Field::read(cursor, Cursor::integer),
            _ => {
                self.first_unknown.get_or_insert_with(|| cursor.pointer());
                cursor.skip();
            }
        }
    }
}

/// A member as it was found.
#[derive(Debug)]
enum Field<T> {
    Absent,
    OtherType,
    Value(T),
}

impl<T> Field<T> {
    fn read<'a>(cursor: &mut Cursor<'a>, read: impl FnOnce(&mut Cursor<'a>) -> Option<T>) -> Self {
        match read(cursor) {
            Some(value) => Self::Value(value),
            None => {
                cursor.skip();
                Self::OtherType
            }
        }
    }

    fn required(&self, pointer: &str, expected: &'static str) -> Result<&T, Reject> {
        let pointer = || String::from(pointer);
        match self {
            Self::Value(value) => Ok(value),
            Self::Absent => Err(Reject::MissingField { pointer: pointer() }),
            Self::OtherType => Err(Reject::WrongType {
                pointer: pointer(),
                expected,
            }),
        }
    }
}

fn required_time(field: &Field<Cow<'_, str>>, pointer: &str) -> Result<Timestamp, Reject> {
    let text = field.required(pointer, "a string")?;
    Timestamp::parse_rfc3339(text).map_err(|error| bad_time(error, String::from(pointer)))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use monsys_core::json::{Scratch, canonicalize};
    use proptest::prelude::*;

    use super::*;

    /// Each member as a good body has it, otherwise, or not at all; the first is the good one.
    const MEMBERS: [(&str, [&str; 3]); 10] = [
        ("agent_id", ["\"a-1\"", "7", "\"a\\n1\""]),
        ("agent_version", ["\"0.1.0\"", "null", "\"\""]),
        ("aud", ["\"hub-1\"", "[]", "\"hub-2\""]),
        ("captured_at", ["\"2026-11-21T01:15:41Z\"", "1", "\"then\""]),
        (
            "data",
            [
                "{\"cpu_usage_percent\":4.2}",
                "{\"cpu_usage_percent\":true}",
                "{\"cpu_usage_percent\":4,\"epoch\":1}",
            ],
        ),
        ("epoch", ["3", "0", "\"3\""]),
        ("sent_at", ["\"2026-11-21T01:15:41Z\"", "{}", "\"\\u00e9\""]),
        ("seq", ["17", "-1", "1.5"]),
        ("type", ["\"metrics\"", "\"endpoint\"", "false"]),
        ("v", ["1", "2", "\"1\""]),
    ];
    const UNKNOWN: [&str; 7] = ["", "aa", "d", "data0", "e", "sep", "w"];

    /// All that the envelope finds out by a head, in its order.
    fn judge(head: Result<Head<'_>, Reject>) -> Result<(ContentHash, Taken), Reject> {
        let mut head = head?;
        head.check_audience(&Audience::parse("hub-1").unwrap())?;
        head.check_agent(|agent| agent == "a-1")?;
        head.position()?;
        let kind = head.payload_kind()?;
        let good = head.good_payload(kind)?;
        head.refuse_unknown()?;
        head.agent_version()?;
        head.captured_at()?;
        head.sent_at()?;
        let payload = match good {
            Some(payload) => payload,
            None => head.payload(kind)?,
        };
        Ok((head.content_hash(), payload))
    }

    proptest! {
        /// A body that is read from both ends is judged as one that is walked.
        #[test]
        fn both_ways_of_reading_say_the_same(
            spellings in prop::collection::vec(
                prop_oneof![12 => Just(0_usize), 1 => Just(1), 1 => Just(2), 1 => Just(3)],
                MEMBERS.len(),
            ),
            unknown in prop::collection::vec(prop::sample::select(&UNKNOWN), 0..2),
        ) {
            let known = MEMBERS.iter().zip(&spellings);
            let mut members: Vec<String> = known
                .filter_map(|((name, values), spelling)| {
                    let value = values.get(*spelling)?;
                    Some(alloc::format!("\"{name}\":{value}"))
                })
                .collect();
            members.extend(unknown.iter().map(|name| alloc::format!("\"{name}\":{{}}")));
            let text = alloc::format!("{{{}}}", members.join(","));
            let mut scratch = Scratch::new();
            let body = canonicalize(text.as_bytes(), &mut scratch).unwrap();
            prop_assert_eq!(judge(Head::read(body)), judge(Head::walk(body)), "{}", text);
            let is_good = spellings.iter().all(|spelling| *spelling == 0) && unknown.is_empty();
            prop_assert_eq!(judge(Head::read(body)).is_ok(), is_good);
            prop_assert!(!is_good || Head::around_data(body).is_some(), "read from both ends");
        }
    }
}
