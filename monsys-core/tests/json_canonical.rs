//! Canonical JSON: the samples of RFC 8785, the edges of the I-JSON profile, what is refused where.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

use monsys_core::json::{self, Canonical, CanonicalText, JsonCode, JsonError, Profile, Scratch};

type Outcome = Result<String, (JsonCode, usize)>;

fn owned(result: Result<Canonical<'_>, JsonError>) -> Outcome {
    result
        .map(|text| text.as_str().to_owned())
        .map_err(|error| (error.code, error.offset))
}

fn canonical(text: &str) -> Outcome {
    owned(json::canonicalize(text.as_bytes(), &mut Scratch::new()))
}

fn rfc8785(text: &str) -> Outcome {
    owned(json::canonicalize_with(
        text.as_bytes(),
        &mut Scratch::new(),
        Profile::rfc8785(),
    ))
}

fn check(bytes: &[u8]) -> Result<(), (JsonCode, usize)> {
    json::check(bytes)
        .map(|_| ())
        .map_err(|error| (error.code, error.offset))
}

#[test]
fn the_sample_of_rfc_8785_section_3_2_2() {
    let text = r#"{
  "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
  "literals": [null, true, false]
}"#;
    let expected = concat!(
        r#"{"literals":[null,true,false],"#,
        r#""numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"#,
        r#""string":"€$\u000f\nA'B\"\\\\\"/"}"#
    );
    assert_eq!(rfc8785(text).unwrap(), expected);
    assert_eq!(canonical(text).unwrap_err().0, JsonCode::NumberRange);
}

#[test]
fn the_sorting_sample_of_rfc_8785_section_3_2_3() {
    let text = r#"{
  "\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh",
  "1": "One", "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control",
  "\u00f6": "Latin Small Letter O With Diaeresis"
}"#;
    let canonical = canonical(text).unwrap();
    let order = [
        "Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew",
    ]
    .map(|word| canonical.find(word).unwrap());
    assert!(order.is_sorted(), "{canonical}");
    assert!(canonical.starts_with(r#"{"\r":"Carriage Return","1":"One","#));
}

#[test]
fn the_number_table_of_rfc_8785_appendix_b() {
    let table: [(u64, &str); 24] = [
        (0x0000_0000_0000_0000, "0"),
        (0x8000_0000_0000_0000, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
        (0x4340_0000_0000_0000, "9007199254740992"),
        (0xc340_0000_0000_0000, "-9007199254740992"),
        (0x4430_0000_0000_0000, "295147905179352830000"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
        (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
        (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
        (0x41b3_de43_5555_5554, "333333333.33333325"),
        (0x41b3_de43_5555_5555, "333333333.3333333"),
        (0x41b3_de43_5555_5556, "333333333.3333334"),
        (0x41b3_de43_5555_5557, "333333333.33333343"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
    ];
    for (bits, expected) in table {
        let value = f64::from_bits(bits);
        let mut printed = String::new();
        json::append_number(value, &mut printed);
        assert_eq!(printed, expected, "{bits:016x}");
        assert_eq!(
            rfc8785(&format!("{value:.25e}")).unwrap(),
            expected,
            "{bits:016x}"
        );
    }
    // The table's two rows without a spelling.
    for bits in [0x7fff_ffff_ffff_ffff_u64, 0x7ff0_0000_0000_0000] {
        let mut printed = String::new();
        json::append_number(f64::from_bits(bits), &mut printed);
        assert_eq!(printed, "null");
    }
}

#[test]
fn numbers_switch_spelling_where_ecmascript_does() {
    let cases = [
        ("1e20", "100000000000000000000"),
        ("1e21", "1e+21"),
        ("123456789012345678901", "123456789012345680000"),
        ("0.000001", "0.000001"),
        ("0.0000012", "0.0000012"),
        ("0.0000001", "1e-7"),
        ("0.00000012", "1.2e-7"),
        ("-1.50e-9", "-1.5e-9"),
        ("1.0", "1"),
        ("-0.0", "0"),
        ("-0", "0"),
        ("0e5", "0"),
        ("10", "10"),
        ("1E400", "!"),
        ("1e-400", "0"),
        ("100000000000000.5", "100000000000000.5"),
        ("0.1000000000000000055511151231257827", "0.1"),
        ("5e-324", "5e-324"),
        ("2e-324", "0"),
    ];
    for (text, expected) in cases {
        match rfc8785(text) {
            Ok(found) => assert_eq!(found, expected, "{text}"),
            Err(error) => assert_eq!(
                (error, expected),
                ((JsonCode::NumberRange, 0), "!"),
                "{text}"
            ),
        }
    }
}

#[test]
fn numbers_end_at_two_to_the_53_by_value() {
    for inside in [
        "9007199254740991",
        "-9007199254740991",
        "9007199254740991.4",
        "90071992547409.91e2",
    ] {
        canonical(inside).unwrap();
    }
    assert_eq!(check(b"9007199254740991"), Ok(()));
    for outside in [
        "9007199254740992",
        "-9007199254740992",
        "9007199254740993",
        "1e16",
        "1e400",
        "-1e400",
    ] {
        assert_eq!(
            canonical(outside),
            Err((JsonCode::NumberRange, 0)),
            "{outside}"
        );
        assert_eq!(
            check(outside.as_bytes()),
            Err((JsonCode::NumberRange, 0)),
            "{outside}"
        );
    }
    assert_eq!(rfc8785("9007199254740993").unwrap(), "9007199254740992");
}

#[test]
fn malformed_numbers_are_syntax() {
    let cases = [
        ("01", 1),
        ("-", 1),
        ("-a", 1),
        ("1.", 2),
        ("1.e5", 2),
        ("1e", 2),
        ("1e+", 3),
        (".5", 0),
        ("+1", 0),
        ("NaN", 0),
        ("Infinity", 0),
        ("-Infinity", 1),
        ("0x10", 1),
        ("1a", 1),
        ("00", 1),
    ];
    for (text, offset) in cases {
        assert_eq!(canonical(text), Err((JsonCode::Syntax, offset)), "{text}");
        assert_eq!(
            check(text.as_bytes()),
            Err((JsonCode::Syntax, offset)),
            "{text}"
        );
    }
}

#[test]
fn strings_have_one_spelling() {
    let cases = [
        (r#""\u0041\u00e9\u20AC""#, "\"Aé€\""),
        (r#""\/""#, r#""/""#),
        (r#""\u0008\u0009\u000A\u000C\u000D""#, r#""\b\t\n\f\r""#),
        (r#""\u0022\u005C""#, r#""\"\\""#),
        (r#""\u001F\u0000\u000B""#, r#""\u001f\u0000\u000b""#),
        (r#""\u007f\u2028""#, "\"\u{7f}\u{2028}\""),
        (r#""\uD83D\uDE00""#, "\"😀\""),
        (r#""\uFFFF\uFDD0""#, "\"\u{FFFF}\u{FDD0}\""),
    ];
    for (text, expected) in cases {
        assert_eq!(canonical(text).unwrap(), expected, "{text}");
        assert_eq!(
            check(text.as_bytes()).unwrap_err().0,
            JsonCode::NotCanonical,
            "{text}"
        );
        assert_eq!(check(expected.as_bytes()), Ok(()), "{expected}");
    }
}

#[test]
fn the_string_writer_agrees_with_the_canonical_form() {
    for code in 0_u32..0x300 {
        let text = format!("a{}b", char::from_u32(code).unwrap());
        let mut written = String::new();
        json::append_text(&text, &mut written);
        assert_eq!(check(written.as_bytes()), Ok(()), "{code:x}");
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
    }
}

#[test]
fn malformed_strings_are_refused_where_they_break() {
    let cases: [(&[u8], JsonCode, usize); 15] = [
        (br#""a"#, JsonCode::Syntax, 2),
        (br#""\"#, JsonCode::Syntax, 2),
        (br#""\x""#, JsonCode::Syntax, 2),
        (br#""\u12"#, JsonCode::Syntax, 5),
        (br#""\u12g4""#, JsonCode::Syntax, 5),
        (b"\"a\nb\"", JsonCode::Syntax, 2),
        (b"\"abcdefghijklmnop\x01\"", JsonCode::Syntax, 17),
        (br#""\ud800""#, JsonCode::LoneSurrogate, 1),
        (br#""a\udc00""#, JsonCode::LoneSurrogate, 2),
        (br#""\ud800\ud800""#, JsonCode::LoneSurrogate, 1),
        (br#""\ud800\n""#, JsonCode::LoneSurrogate, 1),
        (br#""\ud800\u0041""#, JsonCode::LoneSurrogate, 1),
        (br#"{"\udead":1}"#, JsonCode::LoneSurrogate, 2),
        (b"\"\xff\"", JsonCode::NotUtf8, 1),
        (b"\"\xed\xa0\x80\"", JsonCode::NotUtf8, 1),
    ];
    for (bytes, code, offset) in cases {
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(check(bytes), Err((code, offset)), "{shown}");
        let made = owned(json::canonicalize(bytes, &mut Scratch::new()));
        assert_eq!(made, Err((code, offset)), "{shown}");
    }
}

#[test]
fn malformed_structure_is_syntax() {
    let cases = [
        "",
        " ",
        "{",
        "[",
        "}",
        "]",
        "{]",
        "[}",
        "[1,]",
        "[,1]",
        "{,}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        "{a:1}",
        "{1:1}",
        "[1 2]",
        "tru",
        "truth",
        "nul",
        "falsy",
        "1 1",
        "{} {}",
        "[1]]",
        "'a'",
        "/**/1",
        "\u{FEFF}1",
        "undefined",
        "[1,2",
        r#"{"a":1"#,
        r#"{"a":1 "b":2}"#,
        "\u{A0}1",
    ];
    for text in cases {
        assert_eq!(canonical(text).unwrap_err().0, JsonCode::Syntax, "{text:?}");
    }
    assert_eq!(check(b"\xEF\xBB\xBF{}"), Err((JsonCode::Syntax, 0)));
    assert_eq!(check(b""), Err((JsonCode::Syntax, 0)));
    assert_eq!(check(b"[1}"), Err((JsonCode::Syntax, 2)));
    assert_eq!(check(b"truth"), Err((JsonCode::Syntax, 3)));
}

#[test]
fn well_formed_text_in_another_spelling_is_not_canonical() {
    let cases = [
        (" 1", 0),
        ("1 ", 1),
        ("[1, 2]", 3),
        (r#"{"a" :1}"#, 4),
        (r#"{"b":1,"a":2}"#, 7),
        ("[1.0]", 1),
        ("[1e2]", 1),
        ("-0", 0),
        (r#"["\u0041"]"#, 2),
        ("[\n]", 1),
        ("{ }", 1),
    ];
    for (text, offset) in cases {
        assert_eq!(
            check(text.as_bytes()),
            Err((JsonCode::NotCanonical, offset)),
            "{text}"
        );
        canonical(text).unwrap();
    }
}

#[test]
fn a_name_twice_is_refused_by_what_it_spells() {
    let cases = [
        (r#"{"a":1,"a":1}"#, 7),
        (r#"{"a":1,"\u0061":2}"#, 7),
        (r#"{"b":1,"a":2,"b":3}"#, 13),
        (r#"{"\n":1,"a":2,"\u000a":3}"#, 14),
        (r#"{"c":1,"b":1,"c":2,"b":2}"#, 13),
        (r#"[{"x":{"":1,"":2}}]"#, 12),
    ];
    for (text, offset) in cases {
        assert_eq!(
            canonical(text),
            Err((JsonCode::DuplicateName, offset)),
            "{text}"
        );
    }
    assert_eq!(
        check(br#"{"a":1,"a":1}"#),
        Err((JsonCode::DuplicateName, 7))
    );
    assert_eq!(
        canonical(r#"{"a":{"a":1},"A":[{"a":1},{"a":1}]}"#).unwrap(),
        r#"{"A":[{"a":1},{"a":1}],"a":{"a":1}}"#
    );
}

#[test]
fn a_smuggled_number_stays_an_object() {
    let text = r#"{"$serde_json::private::Number":"1"}"#;
    assert_eq!(canonical(text).unwrap(), text);
}

#[test]
fn nesting_ends_at_32_with_the_body_counted() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(check(nested(32).as_bytes()), Ok(()));
    assert_eq!(check(nested(33).as_bytes()), Err((JsonCode::Depth, 32)));
    assert_eq!(
        canonical(&format!(" {}", nested(33))),
        Err((JsonCode::Depth, 33))
    );
    assert_eq!(rfc8785(&nested(64)).unwrap(), nested(64));
    assert_eq!(rfc8785(&nested(65)), Err((JsonCode::Depth, 64)));
    assert_eq!(
        check("[".repeat(500_000).as_bytes()),
        Err((JsonCode::Depth, 32))
    );
    let eight = Profile::i_json().with_depth_max(8);
    assert!(json::check_with(nested(8).as_bytes(), eight).is_ok());
    assert!(json::check_with(nested(9).as_bytes(), eight).is_err());
}

#[test]
fn objects_are_sorted_at_every_level() {
    let text =
        r#" { "z" : { "b" : [ { "y" : 1 , "x" : { } } ] , "a" : [ ] } , "" : "" , "m" : null } "#;
    assert_eq!(
        canonical(text).unwrap(),
        r#"{"":"","m":null,"z":{"a":[],"b":[{"x":{},"y":1}]}}"#
    );
}

#[test]
fn scratch_is_reused_after_an_error() {
    let mut scratch = Scratch::new();
    assert!(json::canonicalize(br#" {"b":[{"a":1,"#, &mut scratch).is_err());
    assert_eq!(
        json::canonicalize(br#"{"b":1,"a":2}"#, &mut scratch)
            .unwrap()
            .as_str(),
        r#"{"a":2,"b":1}"#
    );
}

#[test]
fn u0000_is_json_and_can_be_found() {
    let found = |text: &str| {
        CanonicalText::parse(text.as_bytes())
            .unwrap()
            .as_canonical()
            .has_nul()
    };
    assert!(found(r#"["a\u0000"]"#));
    assert!(found(r#"{"\u0000":1}"#));
    assert!(found(r#"["\\\u0000"]"#));
    assert!(!found(r#"["\\u0000"]"#));
    assert!(!found(r#"["\u0001"]"#));
}

#[test]
fn errors_name_the_place_as_a_json_pointer() {
    let cases = [
        (r#"{"a":[1,{"b/~":01}]}"#, Some("/a/1/b~1~0")),
        (r#"{"a":1,"a":2}"#, Some("/a")),
        (r#"{"b":1,"a":{"\u0061":1,"a":2}}"#, Some("/a/a")),
        (r#"{"x":[1e400]}"#, Some("/x/0")),
        (r#"[[],[[],tru]]"#, Some("/1/1")),
        (r#"{"a":{"b":"\ud800"}}"#, Some("/a/b")),
        (r#"{"a":{"\ud800":1}}"#, Some("/a")),
        (r#"{"a":1,}"#, Some("")),
        ("[1,2", Some("/1")),
        ("tru", None),
        ("", None),
    ];
    for (text, expected) in cases {
        let error = json::canonicalize(text.as_bytes(), &mut Scratch::new()).unwrap_err();
        assert_eq!(
            error.pointer(text.as_bytes()).as_deref(),
            expected,
            "{text}"
        );
    }
    let long = format!(r#"{{"a":{{"{}":[01]}}}}"#, "n".repeat(300));
    assert_eq!(
        json::check(long.as_bytes())
            .unwrap_err()
            .pointer(long.as_bytes())
            .unwrap(),
        "/a"
    );
    let deep = "[".repeat(40);
    assert_eq!(
        json::check(deep.as_bytes())
            .unwrap_err()
            .pointer(deep.as_bytes())
            .unwrap(),
        "/0".repeat(32)
    );
    assert_eq!(json::check(b"[\xff]").unwrap_err().pointer(b"[\xff]"), None);
}

#[test]
fn codes_have_the_names_of_the_contract() {
    let codes = [
        (JsonCode::NotUtf8, "not_utf8"),
        (JsonCode::Syntax, "syntax"),
        (JsonCode::Depth, "depth"),
        (JsonCode::DuplicateName, "duplicate_name"),
        (JsonCode::NumberRange, "number_range"),
        (JsonCode::LoneSurrogate, "lone_surrogate"),
        (JsonCode::NotCanonical, "not_canonical"),
    ];
    for (code, name) in codes {
        assert_eq!(code.as_str(), name);
    }
    assert_eq!(
        json::check(b"{").unwrap_err().to_string(),
        "syntax at byte 1"
    );
}

#[test]
fn owned_text_has_one_way_in() {
    let text = CanonicalText::parse(b" {\"b\":2,\"a\":1} ").unwrap();
    assert_eq!(text.as_str(), r#"{"a":1,"b":2}"#);
    assert_eq!(
        CanonicalText::from_canonical(text.as_str().to_owned()).unwrap(),
        text
    );
    assert!(CanonicalText::from_canonical("[ ]".to_owned()).is_err());
    assert_eq!(text.to_string(), text.clone().into_string());
}
