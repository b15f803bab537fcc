//! Texts with their canonical form, texts that have none, and numbers.

use monsys_wire::canonical::{Scratch, canonicalize, check};
use serde_json::{Value, json};

use super::{cases, hex, text_of, unhex};

/// Name, text, canonical form.
const GOOD: [(&str, &str, &str); 20] = [
    ("members are sorted", r#"{"b":1,"a":2}"#, r#"{"a":2,"b":1}"#),
    (
        "white space goes",
        " { \"a\" : [ 1 , 2 ] }\n",
        r#"{"a":[1,2]}"#,
    ),
    (
        "members of members are sorted",
        r#"{"b":{"d":1,"c":2},"a":[{"f":1,"e":2}]}"#,
        r#"{"a":[{"e":2,"f":1}],"b":{"c":2,"d":1}}"#,
    ),
    ("elements keep their order", "[3,1,2]", "[3,1,2]"),
    (
        "names are sorted by UTF-16 units, not by code points",
        "{\"\u{fb33}\":1,\"\u{1f600}\":2}",
        "{\"\u{1f600}\":2,\"\u{fb33}\":1}",
    ),
    (
        "a shorter name comes first",
        r#"{"ab":1,"a":2,"":3}"#,
        r#"{"":3,"a":2,"ab":1}"#,
    ),
    (
        "escaped names are sorted by what they mean",
        r#"{"\u0062":1,"a":2}"#,
        r#"{"a":2,"b":1}"#,
    ),
    (
        "escapes without need go",
        r#""\u0041\/\u00e9""#,
        "\"A/\u{e9}\"",
    ),
    (
        "control characters are escaped in their one form",
        r#""\u0008\u0009\u000A\u000c\u000d\u001F\u0000""#,
        r#""\b\t\n\f\r\u001f\u0000""#,
    ),
    (
        "quote and backslash are escaped",
        r#""\u0022\u005c""#,
        r#""\"\\""#,
    ),
    (
        "a pair of surrogates is one character",
        r#""\ud83d\ude00""#,
        "\"\u{1f600}\"",
    ),
    (
        "non-characters stay",
        r#""\uffff\ufdd0""#,
        "\"\u{ffff}\u{fdd0}\"",
    ),
    (
        "text is not normalised",
        "\"e\u{301}\u{212b}\"",
        "\"e\u{301}\u{212b}\"",
    ),
    (
        "delete and line separators are not escaped",
        r#""\u007f\u2028""#,
        "\"\u{7f}\u{2028}\"",
    ),
    ("literals stay", "[null,true,false]", "[null,true,false]"),
    (
        "a member named like a private token of a library is a member",
        r#"{"$serde_json::private::Number":"1"}"#,
        r#"{"$serde_json::private::Number":"1"}"#,
    ),
    (
        "the sample of RFC 8785 3.2.2 with a smaller power of ten",
        "{\"numbers\":[333333333.33333329,1E15,4.50,2e-3,0.000000000000000000000000001],\"string\":\"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",\"literals\":[null,true,false]}",
        "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1000000000000000,4.5,0.002,1e-27],\"string\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}",
    ),
    (
        "empty values stay",
        r#"{"a":{},"b":[],"c":""}"#,
        r#"{"a":{},"b":[],"c":""}"#,
    ),
    ("a bare value is a document", " 1.50 ", "1.5"),
    (
        "32 levels are accepted",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    ),
];

/// Name, text, code, pointer.
const BAD: [(&str, &[u8], &str, Option<&str>); 21] = [
    ("bytes that are not UTF-8", b"\"\xff\"", "not_utf8", None),
    ("surrogates in UTF-8", b"\"\xed\xa0\x80\"", "not_utf8", None),
    ("an empty text", b"", "syntax", None),
    ("a byte order mark", b"\xef\xbb\xbf{}", "syntax", None),
    ("a second value", b"{}{}", "syntax", None),
    ("a comma at the end", b"[1,]", "syntax", None),
    ("a name without quotes", b"{a:1}", "syntax", None),
    ("a leading zero", b"[01]", "syntax", None),
    ("a plus sign", b"[+1]", "syntax", None),
    ("a fraction without digits", b"[1.]", "syntax", None),
    ("not a number", b"[NaN]", "syntax", None),
    (
        "a raw control character in a string",
        b"\"a\nb\"",
        "syntax",
        None,
    ),
    ("an unknown escape", b"\"\\x41\"", "syntax", None),
    (
        "33 levels",
        b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
        "depth",
        None,
    ),
    (
        "one name twice",
        br#"{"a":1,"a":1}"#,
        "duplicate_name",
        Some("/a"),
    ),
    (
        "one name twice, once escaped",
        br#"{"a":1,"\u0061":2}"#,
        "duplicate_name",
        Some("/a"),
    ),
    (
        "half of a pair of surrogates",
        br#"["\ud800"]"#,
        "lone_surrogate",
        Some("/0"),
    ),
    (
        "the halves of a pair in wrong order",
        br#"["\ude00\ud83d"]"#,
        "lone_surrogate",
        Some("/0"),
    ),
    ("an infinite number", b"[1e400]", "number_range", Some("/0")),
    ("2^53", b"[9007199254740992]", "number_range", Some("/0")),
    (
        "a fraction beyond 2^53 - 1",
        b"[-9007199254740993.5]",
        "number_range",
        Some("/0"),
    ),
];

/// What Appendix B of RFC 8785 lists and the profile takes, and lines of our own: text and form.
const NUMBERS: [(&str, &str, &str); 22] = [
    ("minus zero is zero", "-0", "0"),
    ("minus zero with a fraction is zero", "-0.0", "0"),
    (
        "the smallest positive number",
        "4.9406564584124654e-324",
        "5e-324",
    ),
    (
        "the smallest negative number",
        "-4.9406564584124654e-324",
        "-5e-324",
    ),
    (
        "the smallest normal number",
        "2.2250738585072014e-308",
        "2.2250738585072014e-308",
    ),
    (
        "the largest integer",
        "9007199254740991",
        "9007199254740991",
    ),
    (
        "the smallest integer",
        "-9007199254740991",
        "-9007199254740991",
    ),
    (
        "an integer in exponent form is an integer",
        "1e15",
        "1000000000000000",
    ),
    ("a fraction of zeros goes", "17.000", "17"),
    ("zeros at the end go", "4.50", "4.5"),
    ("a capital exponent", "42E-1", "4.2"),
    (
        "the last small number without exponent",
        "0.000001",
        "0.000001",
    ),
    ("the first small number with exponent", "0.0000001", "1e-7"),
    (
        "17 digits become the shortest that read back",
        "0.30000000000000004",
        "0.30000000000000004",
    ),
    (
        "more digits than a double keeps",
        "0.1000000000000000055511151231257827",
        "0.1",
    ),
    ("a third", "0.33333333333333331482", "0.3333333333333333"),
    (
        "a tie goes to even",
        "9007199254740990.5",
        "9007199254740990",
    ),
    ("an exponent of zero", "1e0", "1"),
    ("an exponent with leading zeros", "1e-007", "1e-7"),
    ("zero with an exponent", "0e99", "0"),
    ("a number too small is zero", "1e-400", "0"),
    (
        "the number of RFC 8785 3.2.2",
        "333333333.33333329",
        "333333333.3333333",
    ),
];

/// Appendix B of RFC 8785: the bits of a double and its form.
const BITS: [(&str, &str); 16] = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
];

pub(crate) fn make() -> Value {
    let good = GOOD.iter().map(
        |(name, text, canonical)| json!({"name": name, "input": text, "canonical": canonical}),
    );
    let bad = BAD.iter().map(|(name, bytes, code, pointer)| {
        let mut case = json!({"name": name, "code": code});
        match core::str::from_utf8(bytes) {
            Ok(text) => case["input"] = text.into(),
            Err(_) => case["input_hex"] = hex(bytes).into(),
        }
        if let Some(pointer) = pointer {
            case["pointer"] = (*pointer).into();
        }
        case
    });
    json!({
        "about": "canonical is the form of input in RFC 8785; code says why input has none",
        "cases": good.chain(bad).collect::<Vec<_>>(),
    })
}

pub(crate) fn verify(file: &Value) {
    for case in cases(file) {
        let name = text_of(case, "name");
        let bytes = match case["input"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => unhex(text_of(case, "input_hex")),
        };
        let mut scratch = Scratch::new();
        let made = canonicalize(&bytes, &mut scratch);
        if let Some(canonical) = case["canonical"].as_str() {
            assert_eq!(made.unwrap().as_str(), canonical, "{name}");
            assert!(check(canonical.as_bytes()).is_ok(), "{name}");
            assert_eq!(check(&bytes).is_ok(), bytes == canonical.as_bytes());
            continue;
        }
        let error = made.unwrap_err();
        let code = text_of(case, "code");
        assert_eq!(error.code.as_str(), code, "{name}");
        if let Some(pointer) = case["pointer"].as_str() {
            assert_eq!(error.pointer(&bytes).as_deref(), Some(pointer), "{name}");
        }
    }
}

pub(crate) fn make_numbers() -> Value {
    let lines = NUMBERS
        .iter()
        .map(|(name, text, form)| json!({"name": name, "input": text, "canonical": form}));
    let bits = BITS.iter().map(|(bits, form)| {
        json!({"name": format!("RFC 8785 appendix B, {bits}"), "bits": bits, "canonical": form})
    });
    json!({
        "about": "input is a number as text, bits a double in big-endian hexadecimal",
        "cases": lines.chain(bits).collect::<Vec<_>>(),
    })
}

pub(crate) fn verify_numbers(file: &Value) {
    for case in cases(file) {
        let form = text_of(case, "canonical");
        let made = match case["bits"].as_str() {
            Some(bits) => {
                let double = f64::from_bits(u64::from_str_radix(bits, 16).unwrap());
                let mut text = String::new();
                monsys_core::json::append_number(double, &mut text);
                text
            }
            None => {
                let mut scratch = Scratch::new();
                let made = canonicalize(text_of(case, "input").as_bytes(), &mut scratch);
                made.unwrap().as_str().to_owned()
            }
        };
        assert_eq!(made, form, "{}", text_of(case, "name"));
    }
}
