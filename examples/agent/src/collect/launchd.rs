//! Daemons and agents of macOS, from the property lists of launchd (launchd.plist(5)).
//!
//! What: which directory makes a file start by itself ([`kind_of`]), and its `Label`
//! ([`parse_label`]), which is the name under which people know it. Tested on property lists written
//! after the manual page; this agent reads no directory of macOS yet, so on a Mac the collector of
//! persistence says `unavailable`. What not: programs and arguments, which the same file holds and
//! which are never sent; property lists in the binary form. Cost: one pass.

/// A kind of place from which launchd starts programs. Closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaunchKind {
    /// At the start of the machine, as root or another user.
    Daemon,
    /// When someone logs in.
    Agent,
}

impl LaunchKind {
    /// Returns the word in a payload.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Daemon => "launch_daemon",
            Self::Agent => "launch_agent",
        }
    }
}

/// Tells what launchd makes of a file; `None` when it does not look at it.
///
/// Agents of a user lie in that user's library. What Apple ships lies under `/System/Library` and is
/// left out: it is on a sealed volume and the same on every Mac.
pub fn kind_of(path: &str) -> Option<LaunchKind> {
    let (dir, name) = path.rsplit_once('/')?;
    let is_plist = name
        .strip_suffix(".plist")
        .is_some_and(|stem| !stem.is_empty());
    let user = dir
        .strip_prefix("/Users/")
        .and_then(|rest| rest.strip_suffix("/Library/LaunchAgents"));
    match dir {
        _ if !is_plist => None,
        "/Library/LaunchDaemons" => Some(LaunchKind::Daemon),
        "/Library/LaunchAgents" => Some(LaunchKind::Agent),
        _ => user
            .is_some_and(|user| !user.is_empty() && !user.contains('/'))
            .then_some(LaunchKind::Agent),
    }
}

/// Reads the `Label` of a property list in XML; `None` for any other text.
///
/// Only the outermost dictionary is looked at: a dictionary in it may hold a key of that name.
pub fn parse_label(text: &str) -> Option<String> {
    let mut rest = text.split_once("<plist")?.1;
    let (mut depth, mut is_label) = (0_u32, false);
    while let Some((_, tag_on)) = rest.split_once('<') {
        if let Some(comment) = tag_on.strip_prefix("!--") {
            rest = comment.split_once("-->")?.1;
            continue;
        }
        let (tag, after) = tag_on.split_once('>')?;
        let content = || after.split('<').next().unwrap_or_default();
        match tag {
            "dict" | "array" => depth += 1,
            "/dict" | "/array" => depth = depth.checked_sub(1)?,
            "key" if depth == 1 => is_label = content().trim() == "Label",
            "string" if depth == 1 && is_label => return unescape(content()),
            "/key" | "/string" => {}
            // A label is a string or nothing.
            _ if depth == 1 => is_label = false,
            _ => {}
        }
        rest = after;
    }
    None
}

/// Undoes the five escapes of XML; `None` for an empty text and for any other escape.
pub(super) fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.trim();
    while let Some((before, escape_on)) = rest.split_once('&') {
        let (name, after) = escape_on.split_once(';')?;
        let (_, letter) = ESCAPES.iter().find(|(known, _)| *known == name)?;
        out.push_str(before);
        out.push(*letter);
        rest = after;
    }
    out.push_str(rest);
    (!out.is_empty()).then_some(out)
}

const ESCAPES: [(&str, char); 5] = [
    ("amp", '&'),
    ("apos", '\''),
    ("gt", '>'),
    ("lt", '<'),
    ("quot", '"'),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PLIST: &str = include_str!("../../tests/fixtures/macos/com.example.backup.plist");

    #[test]
    fn a_property_list_gives_its_label_and_nothing_else() {
        assert_eq!(
            parse_label(PLIST).as_deref(),
            Some("com.example.backup & restore")
        );
    }

    #[test]
    fn files_that_launchd_starts_are_told_apart() {
        for (path, expected) in [
            (
                "/Library/LaunchDaemons/com.example.d.plist",
                Some(LaunchKind::Daemon),
            ),
            (
                "/Library/LaunchAgents/com.example.a.plist",
                Some(LaunchKind::Agent),
            ),
            (
                "/Users/bob/Library/LaunchAgents/com.example.a.plist",
                Some(LaunchKind::Agent),
            ),
            ("/System/Library/LaunchDaemons/com.apple.d.plist", None),
            ("/Users/Library/LaunchAgents/a.plist", None),
            ("/Users/bob/x/Library/LaunchAgents/a.plist", None),
            ("/Library/LaunchDaemons/com.example.d.plist.disabled", None),
            ("/Library/LaunchDaemons/.plist", None),
            ("/Library/LaunchDaemons/a/b.plist", None),
            ("", None),
        ] {
            assert_eq!(kind_of(path), expected, "{path}");
        }
    }

    #[test]
    fn other_texts_have_no_label() {
        let dict = |inner: &str| format!("<plist version=\"1.0\"><dict>{inner}</dict></plist>");
        for inner in [
            "",
            "<key>Label</key><string></string>",
            "<key>Label</key><true/><key>Program</key><string>/bin/sh</string>",
            "<key>Label</key><string>&nbsp;</string>",
            "<key>Label</key><dict><key>Label</key><string>inner</string></dict>",
            "<key>Program</key><string>/bin/sh</string>",
            "<!-- <key>Label</key><string>commented</string> -->",
            "</dict></dict><key>Label</key><string>outside</string>",
        ] {
            assert_eq!(parse_label(&dict(inner)), None, "{inner}");
        }
        for text in [
            "",
            "bplist00\u{0}",
            "<plist",
            "<dict><key>Label</key><string>a</string></dict>",
        ] {
            assert_eq!(parse_label(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_stops_the_reader(text in "(<plist>)?(<dict>|</dict>|<key>Label</key>|<string>|</string>|<!--|-->|&amp;|&|<|>|[a-z ]){0,20}") {
            let _ = parse_label(&text);
        }
    }
}
