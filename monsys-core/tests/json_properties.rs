//! Laws of canonical JSON, and agreement with independent implementations.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

use monsys_core::json::{self, CanonicalText, Cursor, JsonCode, Scratch};
use proptest::prelude::*;
use serde_json::{Map, Value};

/// Any JSON value, with names that make the order of UTF-16 and of code points differ.
fn any_value() -> impl Strategy<Value = Value> {
    let name = "[a-c\u{7f}\u{e9}\u{fb33}\u{1f600}\"\\\\\u{0}-\u{20}/]{0,3}";
    let number = prop_oneof![
        any::<i32>().prop_map(Value::from),
        (-9_007_199_254_740_991.0..9_007_199_254_740_991.0).prop_map(Value::from),
        (-1.0..1.0).prop_map(Value::from),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number,
        name.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            prop::collection::vec((name, inner), 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// The same value in a spelling that is hard to read: space, members reversed, escapes.
fn respell(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            out.push_str(" {\t");
            for (i, (name, member)) in members.iter().rev().enumerate() {
                out.push_str(if i == 0 { "" } else { " ,\n" });
                respell_text(name, out);
                out.push_str("\r:");
                respell(member, out);
            }
            out.push('}');
        }
        Value::Array(elements) => {
            out.push_str("[ ");
            for (i, element) in elements.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { " , " });
                respell(element, out);
            }
            out.push_str(" ]");
        }
        Value::String(text) => respell_text(text, out),
        Value::Number(number) => out.push_str(&format!("{:.20e}", number.as_f64().unwrap())),
        Value::Bool(_) | Value::Null => out.push_str(&value.to_string()),
    }
}

fn respell_text(text: &str, out: &mut String) {
    out.push('"');
    for unit in text.encode_utf16() {
        out.push_str(&format!("\\u{unit:04X}"));
    }
    out.push('"');
}

fn canonical(text: &[u8]) -> String {
    CanonicalText::parse(text).unwrap().into_string()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_spelling_has_the_canonical_form_of_an_independent_implementation(value in any_value()) {
        let expected = serde_json_canonicalizer::to_string(&value).unwrap();
        let mut respelled = String::new();
        respell(&value, &mut respelled);
        prop_assert_eq!(&canonical(value.to_string().as_bytes()), &expected);
        prop_assert_eq!(&canonical(respelled.as_bytes()), &expected);
        prop_assert!(json::check(expected.as_bytes()).is_ok());
        prop_assert_eq!(&canonical(expected.as_bytes()), &expected);
        prop_assert_eq!(Cursor::new(json::check(expected.as_bytes()).unwrap()).skip(), &expected);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        both_agree(&bytes)?;
    }

    #[test]
    fn no_text_of_tokens_panics(text in r#"([\[\]{}:,"\\ u0dD89ab\-1.eE+n]|"a"|null|true|\\ud8){0,24}"#) {
        both_agree(text.as_bytes())?;
    }

    #[test]
    fn a_cut_or_altered_text_is_judged_alike(value in any_value(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = canonical(value.to_string().as_bytes()).into_bytes();
        let at = at.index(bytes.len());
        both_agree(&bytes[..at])?;
        bytes[at] = byte;
        both_agree(&bytes)?;
    }
}

/// The laws that hold for any bytes whatever.
fn both_agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    let mut scratch = Scratch::new();
    let checked = json::check(bytes);
    let made = json::canonicalize(bytes, &mut scratch);
    match (checked, made) {
        (Ok(checked), Ok(made)) => {
            prop_assert_eq!(checked.as_bytes(), bytes);
            prop_assert_eq!(made.as_bytes(), bytes);
        }
        (Ok(_), Err(error)) => prop_assert!(false, "checked but not made: {error}"),
        (Err(error), Ok(made)) => {
            prop_assert_eq!(error.code, JsonCode::NotCanonical);
            prop_assert!(json::check(made.as_bytes()).is_ok());
            let lenient: Value = serde_json::from_slice(bytes).unwrap();
            // The independent implementation knows, too, that minus zero is written 0.
            let expected = serde_json_canonicalizer::to_string(&lenient).unwrap();
            prop_assert_eq!(made.as_str(), expected);
        }
        (Err(checked), Err(made)) => {
            prop_assert!(checked.code == JsonCode::NotCanonical || checked == made);
            prop_assert!(made.code != JsonCode::NotCanonical);
            prop_assert!(made.offset <= bytes.len());
            let _ = made.pointer(bytes);
        }
    }
    Ok(())
}
