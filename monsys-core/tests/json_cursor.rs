//! The typed walk over canonical text, and the writer of small objects.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

use std::borrow::Cow;

use monsys_core::json::{self, CanonicalText, Cursor, Kind, ObjectText};

const TEXT: &[u8] =
    br#"{"a":[1,-2.5,"x","q\"\u0000",true,false,null],"b/~":{"c":{},"d":[]},"e\n":9007199254740991}"#;

#[test]
fn every_kind_is_read_once() {
    let mut cursor = Cursor::new(json::check(TEXT).unwrap());
    assert_eq!((cursor.kind(), cursor.depth()), (Kind::Object, 0));
    assert!(!cursor.enter_array());
    assert!(cursor.enter_object());
    assert_eq!(cursor.next_name().as_deref(), Some("a"));
    assert!(cursor.enter_array());
    assert!(cursor.next_element());
    assert_eq!(cursor.integer(), Some(1));
    assert!(cursor.next_element());
    assert_eq!((cursor.integer(), cursor.number()), (None, Some(-2.5)));
    assert!(cursor.next_element());
    assert!(matches!(cursor.text(), Some(Cow::Borrowed("x"))));
    assert!(cursor.next_element());
    assert_eq!(cursor.number(), None);
    assert_eq!(cursor.text().as_deref(), Some("q\"\0"));
    assert!(cursor.next_element());
    assert_eq!((cursor.text(), cursor.boolean()), (None, Some(true)));
    assert!(cursor.next_element());
    assert!(!cursor.null());
    assert_eq!(cursor.boolean(), Some(false));
    assert!(cursor.next_element());
    assert_eq!(cursor.pointer(), "/a/6");
    assert!(cursor.null());
    assert_eq!(cursor.depth(), 2);
    assert!(!cursor.next_element());
    assert_eq!(cursor.next_name().as_deref(), Some("b/~"));
    assert_eq!(cursor.pointer(), "/b~1~0");
    assert_eq!(cursor.skip(), r#"{"c":{},"d":[]}"#);
    assert_eq!(cursor.next_name().as_deref(), Some("e\n"));
    assert_eq!(cursor.integer(), Some(9_007_199_254_740_991));
    assert_eq!(cursor.next_name(), None);
    assert_eq!((cursor.depth(), cursor.offset()), (0, TEXT.len()));
}

#[test]
fn empty_containers_are_entered_and_left() {
    let mut cursor = Cursor::new(json::check(br#"[{},[],{"a":{}}]"#).unwrap());
    assert!(cursor.enter_array());
    assert!(cursor.next_element());
    assert!(cursor.enter_object());
    assert_eq!(cursor.next_name(), None);
    assert_eq!(cursor.pointer_below("v"), "/0/v");
    assert!(cursor.next_element());
    assert!(cursor.enter_array());
    assert!(!cursor.next_element());
    assert!(cursor.next_element());
    assert!(cursor.enter_object());
    assert_eq!(cursor.next_name().as_deref(), Some("a"));
    assert!(cursor.enter_object());
    assert_eq!(cursor.next_name(), None);
    assert_eq!(cursor.pointer_below("deep"), "/2/a/deep");
    assert_eq!(cursor.next_name(), None);
    assert!(!cursor.next_element());
    assert_eq!(cursor.depth(), 0);
}

#[test]
fn skipped_values_are_canonical_by_themselves() {
    let text = br#"["a]\"}",[1,[2,{"x":"]"}]],{"k":"}"},-1.5e-9,null,true]"#;
    let mut cursor = Cursor::new(json::check(text).unwrap());
    assert!(cursor.enter_array());
    let mut skipped = Vec::new();
    while cursor.next_element() {
        let value = cursor.skip_canonical();
        assert!(json::check(value.as_bytes()).is_ok());
        skipped.push(value.as_str());
    }
    assert_eq!(skipped.len(), 6);
    assert_eq!(format!("[{}]", skipped.join(",")).as_bytes(), text);
}

#[test]
fn misuse_neither_panics_nor_loops() {
    let mut cursor = Cursor::new(json::check(b"[1]").unwrap());
    assert_eq!(cursor.next_name(), None);
    for _ in 0..10 {
        assert_eq!(cursor.next_name(), None);
        let _ = cursor.next_element();
        cursor.skip();
        assert_eq!(cursor.text(), None);
    }
    assert_eq!(cursor.pointer(), "");
}

#[test]
fn the_detail_of_the_integrity_document_is_byte_exact() {
    let detail = ObjectText::new()
        .integer("samples", 240)
        .number("stddev", 0.0)
        .finish();
    assert_eq!(detail, r#"{"samples": 240, "stddev": 0.0}"#);
}

#[test]
fn small_objects_hold_every_type_in_the_order_given() {
    let inner = ObjectText::new()
        .text("reason", "a \"b\"\n\u{1}")
        .null("none");
    let text = ObjectText::new()
        .integer("z", u64::MAX)
        .integer("a", i64::MIN)
        .number("f", 4.2)
        .number("nan", f64::NAN)
        .boolean("is", true)
        .object("inner", inner)
        .object("empty", ObjectText::default())
        .objects(
            "list",
            [ObjectText::new().integer("i", 1), ObjectText::new()],
        )
        .json("raw", &CanonicalText::parse(b"[1,\"x\"]").unwrap())
        .finish();
    let expected = concat!(
        r#"{"z": 18446744073709551615, "a": -9223372036854775808, "f": 4.2, "nan": null, "is": true, "#,
        r#""inner": {"reason": "a \"b\"\n\u0001", "none": null}, "empty": {}, "list": [{"i": 1}, {}], "raw": [1,"x"]}"#
    );
    assert_eq!(text, expected);
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
}
