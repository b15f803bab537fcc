//! Laws of values as canonical JSON: agreement with the text of another serializer, with an
//! independent implementation, and no way around the form for a value that misbehaves.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

use std::cell::Cell;

use monsys_core::json::{self, JsonCode, Scratch, SerializeError};
use proptest::prelude::*;
use serde::ser::{
    SerializeMap as _, SerializeSeq as _, SerializeStruct as _, SerializeTupleVariant as _,
};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// Any JSON value: names that make the order of UTF-16 and of code points differ, names of all
/// lengths around the words they are read in, numbers on both sides of every limit.
fn any_value() -> impl Strategy<Value = Value> {
    let name = "([a-c\u{7f}\u{e9}\u{fb33}\u{1f600}\"\\\\\u{0}-\u{20}/]{0,3}|[ab]{0,40})";
    let number = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-9_007_199_254_740_992.0..9_007_199_254_740_992.0).prop_map(Value::from),
        (-1.0..1.0).prop_map(Value::from),
        (0_u32..10_000).prop_map(|hundredths| Value::from(f64::from(hundredths) / 100.0)),
    ];
    let leaf = prop_oneof![
        2 => Just(Value::Null),
        2 => any::<bool>().prop_map(Value::from),
        1 => number,
        4 => (-999_999_999_999_999_i64..1_000_000_000_000_000).prop_map(Value::from),
        4 => name.prop_map(Value::from),
        2 => any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            prop::collection::vec((name, inner), 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A value whose objects have their members last to first.
struct Reversed<'a>(&'a Value);

impl Serialize for Reversed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(members) => serializer.collect_map(
                members
                    .iter()
                    .rev()
                    .map(|(name, value)| (name, Reversed(value))),
            ),
            Value::Array(elements) => serializer.collect_seq(elements.iter().map(Reversed)),
            scalar @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                scalar.serialize(serializer)
            }
        }
    }
}

/// What a careless serialization does, whatever it is told.
#[derive(Debug, Clone)]
enum Careless {
    Number(f64),
    Text(String),
    Raw(String),
    Fail,
    Seq(Vec<Self>),
    Map(Vec<(bool, Self)>),
    Struct(Vec<Self>),
    Variant(Vec<Self>),
    Unended,
}

impl Serialize for Careless {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_f64(*number),
            Self::Text(text) => serializer.collect_str(text),
            Self::Raw(text) => {
                let name = "$serde_json::private::RawValue";
                let mut fields = serializer.serialize_struct(name, 1)?;
                let _ = fields.serialize_field(name, text);
                fields.end()
            }
            Self::Fail => Err(serde::ser::Error::custom("no")),
            Self::Seq(elements) => {
                let mut seq = serializer.serialize_seq(None)?;
                for element in elements {
                    let _ = seq.serialize_element(element);
                }
                seq.end()
            }
            Self::Map(calls) => {
                let mut map = serializer.serialize_map(Some(7))?;
                for (is_key, value) in calls {
                    let _ = if *is_key {
                        map.serialize_key(value)
                    } else {
                        map.serialize_value(value)
                    };
                }
                map.end()
            }
            Self::Struct(values) => {
                let names = ["b", "a", "ccccccccccccccccccc", "b", "\n", ""];
                let mut fields = serializer.serialize_struct("S", 1)?;
                for (name, value) in names.into_iter().zip(values) {
                    let _ = fields.serialize_field(name, value);
                }
                fields.end()
            }
            Self::Variant(values) => {
                let mut fields = serializer.serialize_tuple_variant("E", 0, "V\"", 0)?;
                for value in values {
                    let _ = fields.serialize_field(value);
                }
                fields.end()
            }
            Self::Unended => {
                let mut map = serializer.serialize_map(None)?;
                let _ = map.serialize_entry("z", &1);
                let _ = map.serialize_entry("a", &1);
                Err(serde::ser::Error::custom("no"))
            }
        }
    }
}

fn any_careless() -> impl Strategy<Value = Careless> {
    let leaf = prop_oneof![
        8 => (-1e6..1e6).prop_map(Careless::Number),
        1 => Just(Careless::Number(f64::NAN)),
        8 => "[a-c\"\n]{0,20}".prop_map(Careless::Text),
        2 => r#"( ?\{"b":1,"a":\[ ?\]\}|[0-9]|[\{",])"#.prop_map(Careless::Raw),
        1 => Just(Careless::Fail),
        1 => Just(Careless::Unended),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Careless::Seq),
            prop::collection::vec((any::<bool>(), inner.clone()), 0..6).prop_map(Careless::Map),
            prop::collection::vec(inner.clone(), 0..7).prop_map(Careless::Struct),
            prop::collection::vec(inner, 0..4).prop_map(Careless::Variant),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    #[test]
    fn a_value_has_the_form_of_its_text(value in any_value()) {
        let (mut scratch, mut other) = (Scratch::new(), Scratch::new());
        let made = json::to_canonical(&value, &mut scratch);
        let text = serde_json::to_vec(&value).unwrap();
        match (made, json::canonicalize(&text, &mut other)) {
            (Ok(made), Ok(expected)) => {
                prop_assert_eq!(made, expected);
                prop_assert_eq!(json::check(made.as_bytes()), Ok(made));
                let peer = serde_json_canonicalizer::to_string(&value).unwrap();
                prop_assert_eq!(made.as_str(), peer);
            }
            (Err(made), Err(expected)) => {
                prop_assert_eq!(made, SerializeError::NumberRange);
                prop_assert_eq!(expected.code, JsonCode::NumberRange);
            }
            (made, expected) => prop_assert!(false, "{made:?} {expected:?}"),
        }
        let reversed = json::to_canonical(&Reversed(&value), &mut other);
        prop_assert_eq!(reversed.map(|text| text.to_string()), json::to_canonical(&value, &mut scratch).map(|text| text.to_string()));
    }

    #[test]
    fn any_number_has_the_form_of_the_printer(bits in any::<u64>(), unsigned in any::<u64>(), shift in 0_u32..64) {
        let mut scratch = Scratch::new();
        let integer = unsigned >> shift;
        for value in [f64::from_bits(bits), integer as f64 / 100.0, integer as f64] {
            let mut expected = String::new();
            json::append_number(value, &mut expected);
            match json::to_canonical(&value, &mut scratch) {
                Ok(made) => prop_assert_eq!(made.as_str(), expected),
                Err(_) => prop_assert!(value.is_nan() || value.abs() > json::JSON_NUMBER_MAX),
            }
        }
        match json::to_canonical(&integer, &mut scratch) {
            Ok(made) => prop_assert_eq!(made.as_str(), integer.to_string()),
            Err(_) => prop_assert!(integer > 9_007_199_254_740_991),
        }
    }

    #[test]
    fn careless_code_gets_canonical_text_or_an_error(careless in any_careless()) {
        let mut scratch = Scratch::new();
        if let Ok(made) = json::to_canonical(&careless, &mut scratch) {
            prop_assert_eq!(json::check(made.as_bytes()), Ok(made));
        }
        let next = json::to_canonical(&[1], &mut scratch).map(|text| text.to_string());
        prop_assert_eq!(next.as_deref(), Ok("[1]"));
    }
}

#[test]
fn a_panic_of_the_value_leaves_buffers_that_can_be_used() {
    struct Panics(Cell<bool>);
    impl Serialize for Panics {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            map.serialize_entry("b", "\n")?;
            assert!(!self.0.get(), "as the test wants");
            map.serialize_entry("a", &1)?;
            map.end()
        }
    }
    let mut scratch = Scratch::new();
    let value = Panics(Cell::new(true));
    let attempt = std::panic::AssertUnwindSafe(|| {
        let _ = json::to_canonical(&value, &mut scratch);
    });
    assert!(std::panic::catch_unwind(attempt).is_err());
    value.0.set(false);
    let text = json::to_canonical(&value, &mut scratch).unwrap();
    assert_eq!(text.as_str(), r#"{"a":1,"b":"\n"}"#);
}
