//! Where a person goes after a login: to where they were, and never to another site.

/// Longest address that is kept through a login, in bytes.
const BYTES_MAX: usize = 2_048;
/// Takes an address that a link or form names, if it is a path of this site.
///
/// Browsers read `//evil` and `/\evil` as other sites, drop tabs and line ends before they do, and
/// somebody on the way may decode `%2f` and `%5c`; nothing of ours looks like that. The login itself
/// is no place to go to.
pub(crate) fn checked(next: &str) -> Option<&str> {
    let rest = next.strip_prefix('/')?;
    let start = rest.get(..3).unwrap_or(rest).to_ascii_lowercase();
    let is_elsewhere = rest.starts_with('/') || start == "%2f" || start == "%5c";
    let is_plain =
        next.len() <= BYTES_MAX && next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    let path = next.split(['?', '#']).next().unwrap_or(next);
    let is_way_in_or_out = ["/login", "/logout", "/setup", "/password"]
        .iter()
        .any(|way| {
            path.strip_prefix(way)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
    (is_plain && !is_elsewhere && !is_way_in_or_out).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a9_only_paths_of_this_site_are_followed() {
        for good in [
            "/",
            "/overview",
            "/integrity?state=open&kind=flat_metrics",
            "/agents/0b5c?range=6h#cpu",
            "/loginsight",
            "/devices?q=a%2Fb%20c",
        ] {
            assert_eq!(checked(good), Some(good));
        }
        let long = format!("/{}", "a".repeat(BYTES_MAX));
        for bad in [
            "",
            "overview",
            "//evil",
            "///evil",
            "/\\evil",
            "\\/evil",
            "\\\\evil",
            "/%2fevil",
            "/%2Fevil",
            "/%5cevil",
            "%2f%2fevil",
            "http://evil",
            "https:evil",
            "javascript:alert(1)",
            "/\t/evil",
            "/\n/evil",
            "\t//evil",
            " //evil",
            "/over view",
            "/caf\u{e9}",
            "/a\\b",
            "/login",
            "/login?next=/login",
            "/login/abc",
            "/logout",
            "/setup/abc",
            "/password/abc",
            &long,
        ] {
            assert_eq!(checked(bad), None, "{bad:?}");
        }
    }
}
