//! The stylesheet, the script and the icon, built into the program.
//!
//! What: three files under names that contain a digest of their content, so that a browser may keep
//! them for ever and a new release is never shown with an old stylesheet. What not: headers; the
//! route sets them. Cost: three digests, once.

use std::fmt::Write;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// A file that pages refer to.
#[derive(Debug)]
pub(crate) struct Asset {
    /// The path of its URL: `/assets/<name>-<16 hex digits>.<ending>`.
    pub(crate) path: String,
    /// Its media type.
    pub(crate) content_type: &'static str,
    /// Its content.
    pub(crate) body: &'static str,
}

impl Asset {
    fn new(name: &str, ending: &str, content_type: &'static str, body: &'static str) -> Self {
        let mut path = format!("/assets/{name}-");
        for byte in Sha256::digest(body.as_bytes()).iter().take(8) {
            // Cannot fail: writing to a String never does.
            let _ = write!(path, "{byte:02x}");
        }
        path.push('.');
        path.push_str(ending);
        Self {
            path,
            content_type,
            body,
        }
    }
}

/// Finds the asset of a path; any other path, an older fingerprint included, has none.
pub(crate) fn find(path: &str) -> Option<&'static Asset> {
    [&*STYLE, &*SCRIPT, &*ICON]
        .into_iter()
        .find(|asset| asset.path == path)
}

/// Returns the one stylesheet.
pub(crate) fn style() -> &'static Asset {
    &STYLE
}

/// Returns the one script.
pub(crate) fn script() -> &'static Asset {
    &SCRIPT
}

/// Returns the icon.
pub(crate) fn icon() -> &'static Asset {
    &ICON
}

static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let body = concat!(
        include_str!("assets/app.css"),
        include_str!("assets/views.css")
    );
    Asset::new("app", "css", "text/css; charset=utf-8", body)
});

static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let body = concat!(
        include_str!("assets/app.js"),
        include_str!("assets/time.js"),
        include_str!("assets/plot.js")
    );
    Asset::new("app", "js", "text/javascript; charset=utf-8", body)
});

static ICON: LazyLock<Asset> = LazyLock::new(|| {
    let body = include_str!("assets/icon.svg");
    Asset::new("icon", "svg", "image/svg+xml", body)
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_a_fingerprint_and_are_found_exactly() {
        for asset in [style(), script(), icon()] {
            let (_, print) = asset.path.rsplit_once('-').unwrap();
            let (print, ending) = print.split_once('.').unwrap();
            assert_eq!(print.len(), 16);
            assert!(print.bytes().all(|b| b.is_ascii_hexdigit()));
            assert!(["css", "js", "svg"].contains(&ending));
            assert_eq!(find(&asset.path).unwrap().body, asset.body);
        }
        for path in ["/assets/app.css", "/assets/", "", "/assets/../assets.rs"] {
            assert!(find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn assets_load_nothing_from_elsewhere() {
        for asset in [style(), script(), icon()] {
            let body = asset.body.replace("http://www.w3.org/2000/svg", "");
            for foreign in [
                "http:",
                "https:",
                "//cdn",
                "@import",
                "url(",
                "eval(",
                "innerHTML",
            ] {
                assert!(!body.contains(foreign), "{} has {foreign}", asset.path);
            }
        }
    }
}
