//! Addresses with parameters that came from a person.
//!
//! What: a path of ours and pairs of name and value, of which what is empty is left out. What not:
//! escaping for HTML; the templates do that. Cost: one string.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Writes the address of a page.
pub(super) fn address(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut address = path.to_owned();
    let mut gap = '?';
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        address.push(gap);
        address.push_str(name);
        address.push('=');
        address.extend(utf8_percent_encode(value, ESCAPED));
        gap = '&';
    }
    address
}

/// All but the unreserved characters of RFC 3986 §2.3.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_typed_stays_one_value() {
        let typed = [
            ("text", "a&b=\"<ü>"),
            ("order", ""),
            ("cursor", "name.0.61~x"),
        ];
        let expected = "/devices?text=a%26b%3D%22%3C%C3%BC%3E&cursor=name.0.61~x";
        assert_eq!(address("/devices", &typed), expected);
        assert_eq!(address("/devices", &[("text", "")]), "/devices");
    }
}
