//! Shows that the features are really on: the suites beside it would pass without them, too.

#[cfg(test)]
mod tests {
    use monsys_core::json::{self, Scratch};
    use serde::Deserialize as _;
    use serde_json::Value;

    /// A number in the eyes of serde_json, and an object in ours.
    const SMUGGLED: &str = r#"{"$serde_json::private::Number":"1"}"#;

    fn canonical(text: &str) -> String {
        let mut scratch = Scratch::new();
        let made = json::canonicalize(text.as_bytes(), &mut scratch);
        made.map(|made| made.as_str().to_owned()).unwrap()
    }

    #[test]
    fn arbitrary_precision_is_on_and_an_object_stays_an_object() {
        let theirs: Value = serde_json::from_str(SMUGGLED).unwrap();
        assert!(theirs.is_number());
        assert_eq!(canonical(SMUGGLED), SMUGGLED);
        let digits = "[0.1000000000000000055511151231257827]";
        let theirs: Value = serde_json::from_str(digits).unwrap();
        assert_eq!(theirs.to_string(), digits);
        assert_eq!(canonical(digits), "[0.1]");
    }

    #[test]
    fn preserve_order_is_on_and_members_are_sorted() {
        let text = r#"{"b":1,"a":2}"#;
        let theirs: Value = serde_json::from_str(text).unwrap();
        assert_eq!(theirs.to_string(), text);
        assert_eq!(canonical(text), r#"{"a":2,"b":1}"#);
    }

    #[test]
    fn unbounded_depth_is_on_and_33_levels_are_refused() {
        let text = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let mut deep = serde_json::Deserializer::from_str(&text);
        deep.disable_recursion_limit();
        let theirs = Value::deserialize(&mut deep);
        assert!(theirs.is_ok());
        let ours = json::check(text.as_bytes()).map_err(|error| error.code);
        assert_eq!(ours, Err(json::JsonCode::Depth));
    }
}
