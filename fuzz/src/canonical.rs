//! Canonical JSON: what is checked, what is made, and that both agree.

use monsys_core::json::{self, Canonical, Cursor, JsonCode, JsonError, Profile, Scratch};

/// What is said to be canonical is made unchanged, is canonical inside of other texts, and is
/// canonical no longer when one byte of space is added; a refusal lies inside of the text.
pub fn check(bytes: &[u8]) {
    let mut scratch = Scratch::new();
    match json::check(bytes) {
        Ok(checked) => {
            assert_eq!(checked.as_bytes(), bytes);
            assert_eq!(json::canonicalize(bytes, &mut scratch), Ok(checked));
            assert_eq!(json::check_with(bytes, Profile::rfc8785()), Ok(checked));
            walk_whole(checked);
            nest(checked);
            spaced(checked);
        }
        Err(error) => {
            is_inside(bytes, error);
            let made = json::canonicalize(bytes, &mut scratch);
            if error.code == JsonCode::NotCanonical {
                let bytes_made = made.map(Canonical::as_bytes);
                assert_ne!(bytes_made, Ok(bytes), "another spelling is made another");
            } else {
                assert_eq!(made, Err(error), "both refuse alike");
            }
        }
    }
}

/// What is made is canonical and stays; white space and the order of members make no difference;
/// the lenient profile makes the same of what both admit.
pub fn canonicalize(bytes: &[u8]) {
    let (mut scratch, mut again) = (Scratch::new(), Scratch::new());
    let pure = json::canonicalize_with(bytes, &mut again, Profile::rfc8785()).map(owned);
    match json::canonicalize(bytes, &mut scratch) {
        Ok(made) => {
            assert_eq!(json::check(made.as_bytes()), Ok(made), "what is made");
            assert_eq!(pure, Ok(owned(made)), "the profile only refuses");
            let spaced = [b"\t\r ", bytes, b"\n"].concat();
            for spelling in [made.as_bytes(), &spaced, reversed(made).as_bytes()] {
                assert_eq!(json::canonicalize(spelling, &mut again), Ok(made));
            }
            if json::check(bytes).is_ok() {
                assert_eq!(made.as_bytes(), bytes, "what is canonical stays");
            }
            walk_whole(made);
        }
        Err(error) => {
            assert_ne!(error.code, JsonCode::NotCanonical);
            is_inside(bytes, error);
            let is_limit = matches!(error.code, JsonCode::NumberRange | JsonCode::Depth);
            assert!(is_limit || pure == Err(error), "only limits differ");
            assert!(json::check(bytes).is_err(), "canonical and refused");
        }
    }
}

fn owned(made: Canonical<'_>) -> String {
    made.as_str().to_owned()
}

/// A refusal lies inside of the text, and the pointer to it is short.
fn is_inside(bytes: &[u8], error: JsonError) {
    assert!(error.offset <= bytes.len());
    let pointer = error.pointer(bytes).unwrap_or_default();
    assert!(pointer.len() <= json::POINTER_BYTES_MAX);
}

/// A canonical text is a canonical element and member, or one level too deep.
fn nest(inner: Canonical<'_>) {
    let text = inner.as_str();
    for outer in [
        format!("[{text},{text}]"),
        format!("{{\"\":{text},\"a\":{text}}}"),
    ] {
        match json::check(outer.as_bytes()) {
            Ok(whole) => assert_eq!(whole.as_str(), outer),
            Err(error) => assert_eq!(error.code, JsonCode::Depth),
        }
        let swapped = outer.replacen("\"\":", "\"a\":", 1);
        if swapped != outer && !outer.starts_with('[') {
            let twice = json::check(swapped.as_bytes()).map_err(|error| error.code);
            assert!(matches!(
                twice,
                Err(JsonCode::DuplicateName | JsonCode::Depth)
            ));
        }
    }
}

/// One space before or after is another spelling of the same document.
fn spaced(canonical: Canonical<'_>) {
    let text = canonical.as_str();
    for other in [format!(" {text}"), format!("{text} ")] {
        let code = json::check(other.as_bytes()).map_err(|error| error.code);
        assert_eq!(code, Err(JsonCode::NotCanonical));
    }
}

/// The same object with its members in reverse; any other value as it is.
fn reversed(made: Canonical<'_>) -> String {
    let mut cursor = Cursor::new(made);
    if !cursor.enter_object() {
        return owned(made);
    }
    let mut members = Vec::new();
    loop {
        let start = cursor.offset();
        if cursor.next_name().is_none() {
            break;
        }
        cursor.skip();
        let member = made.as_str().get(start..cursor.offset());
        members.push(member.unwrap_or_default().trim_start_matches(','));
    }
    members.reverse();
    format!("{{{}}}", members.join(","))
}

/// Reads the whole text, value by value, and ends at its end.
fn walk_whole(canonical: Canonical<'_>) {
    let mut cursor = Cursor::new(canonical);
    walk(&mut cursor);
    assert_eq!(cursor.offset(), canonical.as_bytes().len());
    assert_eq!(Cursor::new(canonical).skip(), canonical.as_str());
}

/// Reads every value by its kind. The depth is bounded by the profile, so recursion is too.
fn walk(cursor: &mut Cursor<'_>) {
    assert!(cursor.pointer().len() <= json::POINTER_BYTES_MAX);
    match cursor.kind() {
        json::Kind::Object => {
            assert!(cursor.enter_object());
            let mut former: Option<Vec<u16>> = None;
            while let Some(name) = cursor.next_name() {
                let name: Vec<u16> = name.encode_utf16().collect();
                assert!(former.is_none_or(|former| former < name), "UTF-16 order");
                former = Some(name);
                walk(cursor);
            }
        }
        json::Kind::Array => {
            assert!(cursor.enter_array());
            while cursor.next_element() {
                walk(cursor);
            }
        }
        json::Kind::Text => assert!(cursor.text().is_some()),
        json::Kind::Number => {
            let number = cursor.number();
            assert!(number.is_some_and(|number| number.abs() <= json::JSON_NUMBER_MAX));
        }
        json::Kind::Boolean => assert!(cursor.boolean().is_some()),
        json::Kind::Null => assert!(cursor.null()),
    }
}
