//! One value of a row, checked for its column.

use std::fmt::Write as _;

use monsys_core::id::AgentId;
use monsys_core::json::{self, Cursor, Kind as JsonKind, ObjectText, Profile, Scratch};
use monsys_core::time::Timestamp;

use super::layout::Kind;

/// A value as an export holds it. Closed: the format has no more.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::store) enum Cell {
    /// No value.
    Null,
    /// An identifier of whatever.
    Id([u8; 16]),
    /// Text, JSON too.
    Text(String),
    /// A time.
    Time(Timestamp),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A whole number.
    Integer(i64),
    /// Any number.
    Real(f64),
    /// Yes or no.
    Flag(bool),
}

impl Cell {
    /// Reads the value of a column; `None` when something else stands there.
    pub(super) fn read(kind: Kind, cursor: &mut Cursor<'_>, scratch: &mut Scratch) -> Option<Self> {
        if cursor.kind() == JsonKind::Null {
            return cursor.null().then_some(Self::Null);
        }
        match kind {
            Kind::Id => {
                let id = AgentId::parse(&cursor.text()?).ok()?;
                Some(Self::Id(id.to_bytes()))
            }
            Kind::Text => cursor.text().map(|text| Self::Text(text.into_owned())),
            Kind::Time => {
                let time = Timestamp::parse_rfc3339(&cursor.text()?).ok()?;
                Some(Self::Time(time))
            }
            Kind::Bytes => bytes(cursor).map(Self::Bytes),
            Kind::Integer => cursor.integer().map(Self::Integer),
            Kind::Real => cursor.number().map(Self::Real),
            Kind::Flag => match cursor.integer()? {
                0 => Some(Self::Flag(false)),
                1 => Some(Self::Flag(true)),
                _ => None,
            },
            Kind::Json => {
                let text = cursor.text()?;
                canonical(&text, scratch)?;
                Some(Self::Text(text.into_owned()))
            }
            Kind::Value => canonical(&cursor.text()?, scratch).map(Self::Text),
        }
    }

    /// Adds the value to the line of a row. A zero has no sign there: JSON keeps none.
    pub(in crate::store) fn write(&self, name: &str, row: ObjectText) -> ObjectText {
        match self {
            Self::Null => row.null(name),
            Self::Id(id) => row.text(name, &AgentId::from_bytes(*id).to_string()),
            Self::Text(text) => row.text(name, text),
            Self::Time(time) => row.text(name, &time.to_rfc3339()),
            Self::Bytes(bytes) => row.object(name, ObjectText::new().text("hex", &hex_of(bytes))),
            Self::Integer(number) => row.integer(name, *number),
            Self::Real(number) => row.number(name, number + 0.0),
            Self::Flag(is_set) => row.integer(name, i64::from(*is_set)),
        }
    }
}

/// The canonical form of a JSON text; every finite number, and all the depth there can be, because
/// the database said what it takes when the text was stored.
pub(in crate::store) fn canonical(text: &str, scratch: &mut Scratch) -> Option<String> {
    let read = json::canonicalize_with(text.as_bytes(), scratch, Profile::rfc8785());
    read.ok().map(|canonical| canonical.as_str().to_owned())
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Cannot fail: writing to a text does not.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of `{"hex": "…"}`.
fn bytes(cursor: &mut Cursor<'_>) -> Option<Vec<u8>> {
    let is_hex = cursor.enter_object() && cursor.next_is("hex");
    let hex = is_hex.then(|| cursor.text()).flatten()?;
    let is_all = cursor.next_name().is_none();
    let digit = |digit: char| u8::try_from(digit.to_digit(16)?).ok();
    let digits: Vec<u8> = hex.chars().map(digit).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    (is_all && rest.is_empty()).then_some(bytes)
}
