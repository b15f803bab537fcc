//! The members of a JSON object, to be read one by one.
//!
//! What: names and values in the order in which they are stored; a text without its quotes, all
//! else as it is written. What not: judging them. Cost: linear in the text.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Names and values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Members(pub(super) Vec<(String, String)>);

impl Members {
    /// Reads an object; what is none has no members.
    pub(super) fn of(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
            let text = serde_json::from_str(value.get());
            members.push((name, text.unwrap_or_else(|_| value.get().to_owned())));
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stay_in_order_and_numbers_as_they_are_written() {
        let members = Members::of(r#"{"z": 1.50, "a": "x\"y", "o": {"b":[1, 2]}}"#);
        let expected = [("z", "1.50"), ("a", "x\"y"), ("o", r#"{"b":[1, 2]}"#)];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(members.0, expected);
        for text in ["", "[]", "1", "{"] {
            assert_eq!(Members::of(text), Members::default(), "{text}");
        }
    }
}
