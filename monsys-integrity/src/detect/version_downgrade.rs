//! The agent says a lower version than before.
//!
//! What: the numbers of the newest verified live payload are lower than those of the highest
//! version any verified payload ever had (decision 21: compared with the previous one it would heal
//! by itself after one cycle). Suffixes are not compared (integrity document, Limitations). What is
//! no version says nothing and leaves the baseline alone (decision 24). What not: whether the
//! program really is what it says. Cost: three numbers are
//! compared; the texts were read when they were loaded.
//!
//! An honest agent trips it by a roll-back, a restored machine image, or two installations under
//! one identity. An attacker who runs an old, vulnerable agent passes it by writing a high version,
//! or one that cannot be read.

use alloc::format;
use alloc::string::String;

use monsys_core::anomaly::Finding;
use monsys_core::facts::{Facts, VersionTriple};
use monsys_core::json::ObjectText;
use monsys_core::verdict::{Insufficiency, Verdict};
use monsys_core::{AnomalyKind, Severity};

use super::RULES_VERSION;
use crate::config::Config;
use crate::cycle::Cycle;

/// Judges the newest version by the highest one.
pub fn check(facts: &Facts<'_>, _config: &Config, _cycle: Cycle) -> Verdict {
    let (Some(current), Some(highest)) = (&facts.version.current, &facts.version.highest) else {
        return Verdict::Insufficient(Insufficiency::NoVersion);
    };
    let (Some(low), Some(high)) = (current.triple, highest.triple) else {
        return Verdict::Insufficient(Insufficiency::UnparseableVersion);
    };
    if low >= high {
        return Verdict::Pass;
    }
    Verdict::Fail(Finding {
        kind: AnomalyKind::VersionDowngrade,
        severity: Severity::High,
        summary: format!(
            "agent version went from {} down to {}",
            dotted(high),
            dotted(low)
        ),
        detail: ObjectText::new().finish(),
        evidence: ObjectText::new()
            .text("highest", &highest.text)
            .text("current", &current.text)
            .integer("rules_version", RULES_VERSION)
            .finish(),
    })
}

fn dotted(version: VersionTriple) -> String {
    let VersionTriple {
        major,
        minor,
        patch,
    } = version;
    format!("{major}.{minor}.{patch}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{cycle, failed, unknown, versions};
    use monsys_core::facts::{AgentFacts, VersionFacts};

    fn judge(version: VersionFacts) -> Verdict {
        let facts = AgentFacts {
            version,
            ..unknown()
        };
        check(&facts.view(), &Config::standard(), cycle())
    }

    #[test]
    fn equal_higher_or_differing_in_a_suffix_passes() {
        for (current, highest) in [
            ("0.1.0", "0.1.0"),
            ("0.1.1", "0.1.0"),
            ("0.10.0", "0.9.9"),
            ("0.1.0-beta1", "0.1.0"),
            ("0.1.0", "0.1.0-beta1"),
            ("0.1.0+x", "0.1.0"),
        ] {
            assert_eq!(
                judge(versions(current, highest)),
                Verdict::Pass,
                "{highest} → {current}"
            );
        }
    }

    #[test]
    fn a_lower_version_fails_and_shows_both() {
        let finding = failed(judge(versions("0.1.9-hot", "0.2.0")));
        assert_eq!(finding.severity, Severity::High);
        assert_eq!(
            finding.summary,
            "agent version went from 0.2.0 down to 0.1.9"
        );
        assert_eq!(finding.detail, "{}");
        assert_eq!(
            finding.evidence,
            r#"{"highest": "0.2.0", "current": "0.1.9-hot", "rules_version": 1}"#
        );
        for (current, highest) in [
            ("0.1.9", "0.2.0"),
            ("0.9.0", "0.10.0"),
            ("1.9.9", "2.0.0-rc.1"),
        ] {
            let _ = failed(judge(versions(current, highest)));
        }
    }

    #[test]
    fn garbage_says_nothing() {
        let unparseable = Verdict::Insufficient(Insufficiency::UnparseableVersion);
        for garbage in [
            "v1.2.3",
            "1.2",
            "01.2.3",
            "banana",
            "",
            "18446744073709551616.0.0",
        ] {
            assert_eq!(judge(versions(garbage, "0.2.0")), unparseable, "{garbage}");
            assert_eq!(judge(versions("0.1.0", garbage)), unparseable, "{garbage}");
        }
    }

    #[test]
    fn without_a_version_nothing_is_said() {
        let nothing = Verdict::Insufficient(Insufficiency::NoVersion);
        assert_eq!(judge(VersionFacts::default()), nothing);
        let only_current = VersionFacts {
            current: versions("0.1.0", "0.1.0").current,
            highest: None,
        };
        assert_eq!(judge(only_current), nothing);
    }
}
