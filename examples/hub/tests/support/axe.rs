//! axe-core, where it is installed: what a machine can tell of a page's accessibility.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::browser::Browser;

/// axe-core as a script.
pub(crate) struct Axe(String);

/// A rule that a page breaks.
#[derive(Debug, Deserialize)]
pub(crate) struct Violation {
    pub(crate) id: String,
    pub(crate) impact: Option<String>,
    pub(crate) places: Vec<String>,
}

impl Violation {
    /// Whether it keeps people from using the page.
    pub(crate) fn is_serious(&self) -> bool {
        matches!(self.impact.as_deref(), Some("serious" | "critical"))
    }
}

/// What axe-core says of a page.
#[derive(Debug, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) violations: Vec<Violation>,
    /// Rules that found something to check and nothing wrong.
    pub(crate) passed: Vec<String>,
}

impl Axe {
    /// Finds the script. Without it one loud line says so, unless `MONSYS_REQUIRE_AXE=1` asks for a
    /// failure.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let place = place();
        if let Ok(script) = std::fs::read_to_string(&place) {
            return Some(Self(script));
        }
        let place = place.display();
        assert_ne!(
            std::env::var("MONSYS_REQUIRE_AXE").as_deref(),
            Ok("1"),
            "no axe-core at {place}"
        );
        let text = format!("NOT TESTED WITH AXE-CORE: {name}: .ci/run installs it, as {place}");
        // Past the test harness, which would keep it to itself.
        let _ = writeln!(std::io::stderr(), "{text}");
        None
    }

    /// Looks at the page that a browser shows.
    pub(crate) fn look_at(&self, browser: &Browser) -> Verdict {
        browser.run(&self.0);
        let verdict = browser.run_to_end(
            "const places = nodes => nodes.map(node => \
                 [node.target.flat(9).join(' '), node.failureSummary].join(': ')); \
             return axe.run(document, { resultTypes: ['violations', 'passes'] }).then(found => ({ \
                 violations: found.violations.map(({ id, impact, nodes }) => \
                     ({ id, impact, places: places(nodes) })), \
                 passed: found.passes.map(rule => rule.id), \
             }))",
        );
        serde_json::from_value(verdict).unwrap()
    }
}

/// Where `MONSYS_AXE` says, else where `.ci/run` installs it: beside the build.
fn place() -> PathBuf {
    std::env::var_os("MONSYS_AXE").map_or_else(
        || {
            let installed = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("axe");
            installed.join("node_modules/axe-core/axe.min.js")
        },
        PathBuf::from,
    )
}
