//! What serde_json hands over when all its private structures are on.

use monsys_core::json::{CanonicalText, JsonCode, SerializeError};
use serde_json::Value;
use serde_json::value::RawValue;

#[derive(serde::Serialize)]
struct Signal<'a> {
    value: &'a RawValue,
    key: Value,
}

fn main() {
    let number =
        |text: &str| CanonicalText::of(&serde_json::from_str::<Value>(text).expect("JSON"));
    for (text, expected) in [
        (r#"{"b":1.50e1,"a":-0.0}"#, r#"{"a":0,"b":15}"#),
        ("0.1000000000000000055511151231257827", "0.1"),
        ("9007199254740991.0", "9007199254740991"),
        (r#"{"$other":"1"}"#, r#"{"$other":"1"}"#),
    ] {
        let canonical = number(text).map(CanonicalText::into_string);
        assert_eq!(canonical.as_deref(), Ok(expected), "{text}");
    }
    // Without the feature it would have been a double already.
    for text in [
        "9007199254740993",
        "1e400",
        "123456789012345678901234567890",
    ] {
        assert_eq!(number(text), Err(SerializeError::NumberRange), "{text}");
    }

    let raw: &RawValue = serde_json::from_str(r#"{ "z": 1.0, "\u0061": [ ] }"#).expect("JSON");
    let signal = Signal {
        value: raw,
        key: Value::from(2),
    };
    let canonical = CanonicalText::of(&signal).map(CanonicalText::into_string);
    assert_eq!(
        canonical.as_deref(),
        Ok(r#"{"key":2,"value":{"a":[],"z":1}}"#)
    );

    let lone: &RawValue = serde_json::from_str("\"\\ud800\"").expect("JSON to serde_json");
    let refused = SerializeError::Embedded(JsonCode::LoneSurrogate);
    assert_eq!(CanonicalText::of(lone), Err(refused));
    println!("as promised");
}
