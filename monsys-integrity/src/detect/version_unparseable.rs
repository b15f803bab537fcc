//! The version is no numeric triple. Opt-in.
//!
//! What: the newest verified live payload says a version that is not `major.minor.patch` with an
//! optional suffix. [`version_downgrade`](super::version_downgrade) says nothing of such a text
//! (decision 24), so that writing one is a way round it; this kind closes it. What not: which
//! version really runs. Cost: a look at what was read when the version was loaded.
//!
//! False positives: none by measurement, because no agent of this project writes such a text. An
//! honest third-party agent trips it for good when its versions are dates with leading zeros, hashes
//! or `v1.2.3`; that is why it is off unless turned on. An attacker passes it by writing any triple;
//! one that is too low is a downgrade.

use monsys_core::anomaly::Finding;
use monsys_core::facts::{Facts, Version};
use monsys_core::json::ObjectText;
use monsys_core::verdict::{Insufficiency, Verdict};
use monsys_core::{AnomalyKind, Severity};

use super::RULES_VERSION;
use crate::config::Config;
use crate::cycle::Cycle;

/// Judges whether the newest version can be read.
pub fn check(facts: &Facts<'_>, _config: &Config, _cycle: Cycle) -> Verdict {
    match &facts.version.current {
        None => Verdict::Insufficient(Insufficiency::NoVersion),
        Some(Version {
            triple: Some(_), ..
        }) => Verdict::Pass,
        Some(unreadable) => Verdict::Fail(Finding {
            kind: AnomalyKind::VersionUnparseable,
            severity: Severity::Medium,
            summary: "agent version is no numeric triple".into(),
            detail: ObjectText::new().finish(),
            evidence: evidence(facts, unreadable),
        }),
    }
}

fn evidence(facts: &Facts<'_>, current: &Version) -> alloc::string::String {
    let evidence = ObjectText::new().text("current", &current.text);
    let evidence = match &facts.version.highest {
        Some(highest) => evidence.text("highest", &highest.text),
        None => evidence,
    };
    evidence.integer("rules_version", RULES_VERSION).finish()
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
        check(&facts.view(), &Config::strict(), cycle())
    }

    #[test]
    fn what_can_be_read_passes_however_low() {
        for text in ["0.1.0", "0.0.0", "0.1.0-beta1+x"] {
            assert_eq!(judge(versions(text, "9.0.0")), Verdict::Pass, "{text}");
        }
    }

    #[test]
    fn a_text_that_hides_a_downgrade_is_found_and_shown() {
        for text in [
            "v1.2.3",
            "1.2",
            "01.2.3",
            "banana",
            "18446744073709551616.0.0",
        ] {
            let finding = failed(judge(versions(text, "9.0.0")));
            assert_eq!(finding.severity, Severity::Medium);
            assert_eq!(
                finding.evidence,
                alloc::format!(
                    r#"{{"current": "{text}", "highest": "9.0.0", "rules_version": 1}}"#
                )
            );
        }
    }

    #[test]
    fn without_a_version_nothing_is_said() {
        let nothing = Verdict::Insufficient(Insufficiency::NoVersion);
        assert_eq!(judge(VersionFacts::default()), nothing);
    }
}
