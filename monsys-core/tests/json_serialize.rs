//! Values to canonical JSON: layouts, order, what is refused, and the private structures of
//! serde_json.

#![allow(clippy::unwrap_used, reason = "a test that meets an error fails")]

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use monsys_core::json::{self, CanonicalText, JsonCode, Scratch, SerializeError};
use monsys_core::limit::BODY_BYTES_MAX;
use serde::ser::{Error as _, SerializeMap as _, SerializeStruct as _};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

fn canonical<T: Serialize + ?Sized>(value: &T) -> Result<String, SerializeError> {
    let mut scratch = Scratch::new();
    let text = json::to_canonical(value, &mut scratch)?;
    assert!(json::check(text.as_bytes()).is_ok(), "{text}");
    Ok(text.as_str().to_owned())
}

/// What canonicalizing serde_json's text gives.
fn by_way_of_text<T: Serialize + ?Sized>(value: &T) -> String {
    let text = serde_json::to_vec(value).unwrap();
    CanonicalText::parse(&text).unwrap().into_string()
}

fn assert_both(value: &impl Serialize, expected: &str) {
    assert_eq!(canonical(value).as_deref(), Ok(expected));
    assert_eq!(by_way_of_text(value), expected);
}

#[derive(Serialize)]
struct Unsorted {
    zone: &'static str,
    #[serde(rename = "a\n")]
    escaped: u8,
    cpu: Option<f64>,
    cpu_cores: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<u8>,
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(rename = "é")]
    accent: (),
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Serialize)]
struct Rest {
    mount: String,
    b: [i8; 2],
    #[serde(flatten)]
    more: BTreeMap<String, bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    HostMetrics,
    Newtype(u8),
    Tuple(u8, &'static str),
    Struct { z: u8, a: u8 },
}

#[derive(Serialize)]
struct Unit;

#[derive(Serialize)]
struct Newtype(Vec<Option<i16>>);

#[derive(Serialize)]
struct Pair(u8, char);

#[test]
fn members_are_sorted_whatever_the_declaration() {
    let value = Unsorted {
        zone: "eu\"1\"",
        escaped: 1,
        cpu: Some(12.5),
        cpu_cores: None,
        left_out: None,
        kind: Kind::HostMetrics,
        accent: (),
        rest: Rest {
            mount: "/var/lib/très-long-name".to_owned(),
            b: [-1, 2],
            more: [("x", true), ("aa", false)]
                .map(|(name, value)| (name.to_owned(), value))
                .into(),
        },
    };
    let expected = concat!(
        r#"{"a\n":1,"aa":false,"b":[-1,2],"cpu":12.5,"cpu_cores":null,"#,
        r#""mount":"/var/lib/très-long-name","type":"host_metrics","x":true,"#,
        r#""zone":"eu\"1\"","é":null}"#
    );
    assert_both(&value, expected);
}

#[test]
fn names_sort_by_utf16_units() {
    let names = [
        "\u{20ac}",
        "\r",
        "\u{fb33}",
        "1",
        "\u{1f600}",
        "\u{80}",
        "\u{f6}",
    ];
    let map: HashMap<&str, u8> = names.into_iter().zip(0..).collect();
    let expected = "{\"\\r\":1,\"1\":3,\"\u{80}\":5,\"\u{f6}\":6,\"\u{20ac}\":0,\
                    \"\u{1f600}\":4,\"\u{fb33}\":2}";
    assert_both(&map, expected);
}

#[test]
fn layouts_are_those_of_serde_json() {
    assert_both(&Kind::Newtype(1), r#"{"newtype":1}"#);
    assert_both(&Kind::Tuple(1, "b"), r#"{"tuple":[1,"b"]}"#);
    assert_both(&Kind::Struct { z: 1, a: 2 }, r#"{"struct":{"a":2,"z":1}}"#);
    assert_both(&Unit, "null");
    assert_both(&Newtype(vec![None, Some(-7)]), "[null,-7]");
    assert_both(&Pair(1, 'é'), r#"[1,"é"]"#);
    assert_both(&(true, 'a', "b\u{0}", 1.0), r#"[true,"a","b\u0000",1]"#);
    assert_both(&IpAddr::V4(Ipv4Addr::LOCALHOST), r#""127.0.0.1""#);
    assert_both(&format_args!("{}\t{}", "a", 1), r#""a\t1""#);
    assert_both(&Vec::<u8>::new(), "[]");
    assert_both(&BTreeMap::<u8, u8>::new(), "{}");
    assert_both(&Bytes(b"\x00\xff"), "[0,255]");
}

struct Bytes(&'static [u8]);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

#[test]
fn keys_become_names_where_serde_json_makes_names_of_them() {
    let integers: BTreeMap<i64, u8> = [(-2, 0), (10, 1), (9, 2), (i64::MIN, 3)].into();
    assert_both(
        &integers,
        r#"{"-2":0,"-9223372036854775808":3,"10":1,"9":2}"#,
    );
    let wide: BTreeMap<i128, u8> = [(i128::MIN, 0), (i128::MAX, 1), (0, 2)].into();
    assert_both(
        &wide,
        concat!(
            r#"{"-170141183460469231731687303715884105728":0,"0":2,"#,
            r#""170141183460469231731687303715884105727":1}"#
        ),
    );
    assert_both(
        &BTreeMap::from([(u128::MAX, 0)]),
        r#"{"340282366920938463463374607431768211455":0}"#,
    );
    assert_both(
        &BTreeMap::from([(true, 1), (false, 0)]),
        r#"{"false":0,"true":1}"#,
    );
    assert_both(&BTreeMap::from([('"', 1)]), r#"{"\"":1}"#);
    assert_both(
        &HashMap::from([(IpAddr::V4(Ipv4Addr::LOCALHOST), 1)]),
        r#"{"127.0.0.1":1}"#,
    );
}

#[test]
fn other_keys_are_refused() {
    let key = |text: &str| canonical(&Entries(vec![(text.parse::<Value>().unwrap(), json!(1))]));
    for text in ["1.5", "null", "[]", "{}"] {
        assert_eq!(key(text), Err(SerializeError::KeyType), "{text}");
    }
    assert_eq!(key("7").as_deref(), Ok(r#"{"7":1}"#));
    assert_eq!(
        canonical(&BTreeMap::from([(Some("a"), 1)])),
        Err(SerializeError::KeyType)
    );
}

/// A map with the given entries, in this order.
struct Entries<K>(Vec<(K, Value)>);

impl<K: Serialize> Serialize for Entries<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

#[test]
fn a_name_twice_is_refused_in_order_and_out_of_order() {
    for names in [
        vec!["a", "a"],
        vec!["a", "b", "a"],
        vec!["b", "a", "b"],
        vec!["long_common_prefix_1", "long_common_prefix_1"],
        vec!["\n", "a", "\n"],
        vec!["", ""],
    ] {
        let entries = names.iter().map(|name| (*name, json!({"x": 1})));
        let refused = canonical(&Entries(entries.collect()));
        assert_eq!(refused, Err(SerializeError::DuplicateName), "{names:?}");
    }
    #[derive(Serialize)]
    struct Flattened {
        a: u8,
        #[serde(flatten)]
        rest: BTreeMap<&'static str, u8>,
    }
    let rest = BTreeMap::from([("a", 2)]);
    assert_eq!(
        canonical(&Flattened { a: 1, rest }),
        Err(SerializeError::DuplicateName)
    );
    // An integer and the text of it are one name.
    let keys = vec![(json!(1), json!(0)), (json!("1"), json!(0))];
    assert_eq!(
        canonical(&Entries(keys)),
        Err(SerializeError::DuplicateName)
    );
    let inner = json!({"a": {"a": 1}, "b": [{"a": 1}, {"a": 1}]});
    assert_both(&inner, r#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#);
}

#[test]
fn numbers_end_where_those_of_received_texts_do() {
    assert_both(&9_007_199_254_740_991_i64, "9007199254740991");
    assert_both(&-9_007_199_254_740_991_i64, "-9007199254740991");
    assert_both(&9_007_199_254_740_991_u64, "9007199254740991");
    assert_both(&9_007_199_254_740_991.0, "9007199254740991");
    assert_eq!(
        canonical(&9_007_199_254_740_991_u128).unwrap(),
        "9007199254740991"
    );
    assert_eq!(
        canonical(&-9_007_199_254_740_991_i128).unwrap(),
        "-9007199254740991"
    );
    let refused = [
        canonical(&9_007_199_254_740_992_i64),
        canonical(&-9_007_199_254_740_992_i64),
        canonical(&9_007_199_254_740_992_u64),
        canonical(&9_007_199_254_740_992_i128),
        canonical(&i64::MIN),
        canonical(&i64::MAX),
        canonical(&u64::MAX),
        canonical(&i128::MIN),
        canonical(&u128::MAX),
        canonical(&9_007_199_254_740_992.0),
        canonical(&-1e300),
        canonical(&f64::NAN),
        canonical(&f64::INFINITY),
        canonical(&f64::NEG_INFINITY),
        canonical(&f32::NAN),
        canonical(&f32::MAX),
    ];
    for outcome in refused {
        assert_eq!(outcome, Err(SerializeError::NumberRange));
    }
}

#[test]
fn numbers_are_spelled_as_ecmascript_does() {
    for (value, expected) in [
        (0.0, "0"),
        (-0.0, "0"),
        (-1.0, "-1"),
        (100.0, "100"),
        (1e15, "1000000000000000"),
        (4.35, "4.35"),
        (-0.5, "-0.5"),
        (1e-5, "0.00001"),
        (1.5e-5, "0.000015"),
        (1e-6, "0.000001"),
        (1.5e-6, "0.0000015"),
        (1e-7, "1e-7"),
        (-1.5e-7, "-1.5e-7"),
        (5e-324, "5e-324"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1_424_953_923_781_206.2, "1424953923781206.2"),
    ] {
        assert_both(&value, expected);
    }
}

#[test]
fn an_f32_is_the_double_that_it_is() {
    assert_eq!(canonical(&0.1_f32).unwrap(), "0.10000000149011612");
    assert_eq!(
        canonical(&0.1_f32).unwrap(),
        canonical(&f64::from(0.1_f32)).unwrap()
    );
    assert_eq!(
        canonical(&json!(0.1_f32)).unwrap(),
        canonical(&0.1_f32).unwrap()
    );
    let peer = serde_json_canonicalizer::to_string(&0.1_f32).unwrap();
    assert_eq!(canonical(&0.1_f32).unwrap(), peer);
    assert_eq!(canonical(&0.5_f32).unwrap(), "0.5");
}

#[test]
fn nesting_ends_at_32_with_the_value_counted() {
    fn nested(depth: usize) -> Value {
        (1..depth).fold(json!([]), |inner, level| match level % 2 {
            0 => json!([inner]),
            _ => json!({"a": inner}),
        })
    }
    assert_eq!(canonical(&nested(32)).unwrap(), by_way_of_text(&nested(32)));
    assert_eq!(canonical(&nested(33)), Err(SerializeError::Depth));
    assert_eq!(canonical(&nested(40)), Err(SerializeError::Depth));
    assert_eq!(canonical(&Endless), Err(SerializeError::Depth));
    // A variant of several values is two levels.
    #[derive(Serialize)]
    enum Deeper {
        Both(Value, u8),
        Named { inner: Value },
        One(Value),
    }
    let refused = [
        canonical(&Deeper::Both(nested(31), 0)),
        canonical(&Deeper::Named { inner: nested(31) }),
        canonical(&Deeper::One(nested(32))),
    ];
    assert!(
        refused
            .iter()
            .all(|outcome| *outcome == Err(SerializeError::Depth))
    );
    let fitting = [
        canonical(&Deeper::Both(nested(30), 0)),
        canonical(&Deeper::Named { inner: nested(30) }),
        canonical(&Deeper::One(nested(31))),
    ];
    assert!(fitting.iter().all(Result::is_ok));
}

/// Nests without end.
struct Endless;

impl Serialize for Endless {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq([Self])
    }
}

/// Has elements without end.
struct Flood<T>(T);

impl<T: Serialize> Serialize for Flood<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(std::iter::repeat(&self.0))
    }
}

#[test]
fn texts_end_at_the_size_of_a_body() {
    let text = "a".repeat(BODY_BYTES_MAX - 2);
    assert_eq!(canonical(&text).unwrap().len(), BODY_BYTES_MAX);
    assert_eq!(
        canonical(&format!("{text}a")),
        Err(SerializeError::TooLarge)
    );
    assert_eq!(canonical(&[&text]), Err(SerializeError::TooLarge));
    assert_eq!(
        canonical(&"\u{1}".repeat(BODY_BYTES_MAX / 2)),
        Err(SerializeError::TooLarge)
    );
    assert_eq!(canonical(&Flood(())), Err(SerializeError::TooLarge));
    assert_eq!(canonical(&Flood([0; 0])), Err(SerializeError::TooLarge));
    assert_eq!(canonical(&Flood("é\n")), Err(SerializeError::TooLarge));
    assert_eq!(
        canonical(&format_args!("{text}{text}")),
        Err(SerializeError::TooLarge)
    );
    assert_eq!(
        canonical(&BTreeMap::from([(&text, 1)])),
        Err(SerializeError::TooLarge)
    );
}

#[test]
fn a_text_that_displays_itself_carelessly_is_not_cut_short() {
    struct Careless(&'static str);
    impl fmt::Display for Careless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            for _ in 0..BODY_BYTES_MAX {
                let _ = f.write_str(self.0);
            }
            f.write_str("")
        }
    }
    let outcome = canonical(&format_args!("{}", Careless("ab")));
    assert_eq!(outcome, Err(SerializeError::TooLarge));
}

/// What serde_json's `Number` does with `arbitrary_precision`, and `RawValue` does.
#[derive(Clone, Copy)]
struct Private(&'static str, &'static str, &'static str);

impl Serialize for Private {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct(self.0, 1)?;
        fields.serialize_field(self.1, self.2)?;
        fields.end()
    }
}

const NUMBER: &str = "$serde_json::private::Number";
const RAW_VALUE: &str = "$serde_json::private::RawValue";

#[test]
fn a_number_kept_as_text_is_a_number() {
    let number = |text| canonical(&[Private(NUMBER, NUMBER, text)]);
    for (text, expected) in [
        ("1", "[1]"),
        ("-0", "[0]"),
        ("1.0", "[1]"),
        ("1.50e1", "[15]"),
        ("0.1000000000000000055511151231257827", "[0.1]"),
        ("9007199254740991", "[9007199254740991]"),
        ("9007199254740991.4", "[9007199254740991]"),
    ] {
        assert_eq!(number(text).as_deref(), Ok(expected), "{text}");
    }
    for text in ["9007199254740992", "1e400", "-1e16"] {
        assert_eq!(number(text), Err(SerializeError::NumberRange), "{text}");
    }
    for text in ["", "x", "1,2", "1 ", "\"1\"", "{}", "01", "NaN", "1]"] {
        let refused = Err(SerializeError::Embedded(JsonCode::Syntax));
        assert_eq!(number(text), refused, "{text}");
    }
}

#[test]
fn a_raw_value_is_canonicalised_where_it_stands() {
    let raw = |text| canonical(&[Private(RAW_VALUE, RAW_VALUE, text)]);
    let spaced = r#" {"b": 1.0, "a": "\u0041"} "#;
    assert_eq!(raw(spaced).as_deref(), Ok(r#"[{"a":"A","b":1}]"#));
    for (text, error) in [
        ("", SerializeError::Embedded(JsonCode::Syntax)),
        ("1,2", SerializeError::Embedded(JsonCode::Syntax)),
        ("1]", SerializeError::Embedded(JsonCode::Syntax)),
        (
            "\"\\ud800\"",
            SerializeError::Embedded(JsonCode::LoneSurrogate),
        ),
        (r#"{"a":1,"a":1}"#, SerializeError::DuplicateName),
        ("9007199254740992", SerializeError::NumberRange),
    ] {
        assert_eq!(raw(text), Err(error), "{text}");
    }
}

#[test]
fn a_raw_value_has_the_depth_that_is_left() {
    let raw = "[[[]]]";
    let nested = |depth: usize| Nested(depth, Private(RAW_VALUE, RAW_VALUE, raw));
    assert!(canonical(&nested(29)).is_ok());
    assert_eq!(canonical(&nested(30)), Err(SerializeError::Depth));
    let scalar = Nested(32, Private(RAW_VALUE, RAW_VALUE, " 1.0 "));
    assert!(canonical(&scalar).is_ok());
}

/// A value within so many arrays.
#[derive(Clone, Copy)]
struct Nested(usize, Private);

impl Serialize for Nested {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0 => self.1.serialize(serializer),
            depth => serializer.collect_seq([Self(depth - 1, self.1)]),
        }
    }
}

#[test]
fn a_private_structure_of_another_form_is_refused() {
    struct Empty;
    impl Serialize for Empty {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_struct(NUMBER, 0)?.end()
        }
    }
    struct Two;
    impl Serialize for Two {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut fields = serializer.serialize_struct(NUMBER, 2)?;
            fields.serialize_field(NUMBER, "1")?;
            fields.serialize_field(NUMBER, "2")?;
            fields.end()
        }
    }
    let misuse = Err(SerializeError::ApiMisuse);
    assert_eq!(canonical(&Empty), misuse);
    assert_eq!(canonical(&Two), misuse);
    assert_eq!(canonical(&Private(NUMBER, RAW_VALUE, "1")), misuse);
    assert_eq!(canonical(&Private(RAW_VALUE, "a", "1")), misuse);
}

#[test]
fn a_map_with_a_private_name_stays_a_map() {
    for name in [NUMBER, RAW_VALUE] {
        let expected = format!(r#"{{"{name}":"1"}}"#);
        assert_eq!(canonical(&BTreeMap::from([(name, "1")])).unwrap(), expected);
        assert_eq!(canonical(&json!({name: "1"})).unwrap(), expected);
        assert_eq!(canonical(&Private("Other", name, "1")).unwrap(), expected);
    }
}

#[test]
fn words_of_the_value_reach_no_error() {
    struct Secret;
    impl Serialize for Secret {
        fn serialize<S: Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
            Err(S::Error::custom("hunter2"))
        }
    }
    let refused = canonical(&[Secret]).unwrap_err();
    assert_eq!(refused, SerializeError::Refused);
    assert!(!format!("{refused} {refused:?}").contains("hunter2"));
}

#[test]
fn calls_out_of_turn_are_refused() {
    #[derive(Clone, Copy)]
    enum Call {
        Key,
        Value,
    }
    struct OutOfTurn(&'static [Call]);
    impl Serialize for OutOfTurn {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            for call in self.0 {
                // Goes on whatever the answer is.
                let _ = match call {
                    Call::Key => map.serialize_key("a"),
                    Call::Value => map.serialize_value(&1),
                };
            }
            map.end()
        }
    }
    for calls in [
        &[Call::Key][..],
        &[Call::Value],
        &[Call::Key, Call::Key, Call::Value],
        &[Call::Key, Call::Value, Call::Value],
    ] {
        assert_eq!(canonical(&OutOfTurn(calls)), Err(SerializeError::ApiMisuse));
    }
    assert!(canonical(&OutOfTurn(&[Call::Key, Call::Value])).is_ok());
}

#[test]
fn the_buffers_are_good_for_the_next_value_after_an_error() {
    let mut scratch = Scratch::new();
    assert!(json::to_canonical(&json!({"b": [1, {"a": u64::MAX}]}), &mut scratch).is_err());
    let value = json!({"b": 1, "a": {"d": 2, "c": 3}});
    let text = json::to_canonical(&value, &mut scratch).unwrap();
    assert_eq!(text.as_str(), r#"{"a":{"c":3,"d":2},"b":1}"#);
    let text = json::canonicalize(br#" {"b":1,"a":2}"#, &mut scratch).unwrap();
    assert_eq!(text.as_str(), r#"{"a":2,"b":1}"#);
}

#[test]
fn codes_are_those_of_received_texts_where_both_have_them() {
    for (error, name) in [
        (SerializeError::Depth, "depth"),
        (SerializeError::DuplicateName, "duplicate_name"),
        (SerializeError::NumberRange, "number_range"),
        (SerializeError::Embedded(JsonCode::Syntax), "syntax"),
        (SerializeError::TooLarge, "too_large"),
        (SerializeError::KeyType, "key_type"),
        (SerializeError::Refused, "refused"),
        (SerializeError::ApiMisuse, "api_misuse"),
    ] {
        assert_eq!(error.as_str(), name);
    }
}

#[test]
fn an_owned_text_can_be_made_of_a_value() {
    let text = CanonicalText::of(&json!({"b": 1, "a": 2})).unwrap();
    assert_eq!(text.as_str(), r#"{"a":2,"b":1}"#);
    assert_eq!(
        CanonicalText::of(&f64::NAN),
        Err(SerializeError::NumberRange)
    );
}
