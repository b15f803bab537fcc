//! The six kinds as cards, always all of them, in the order of the integrity document.

use monsys_core::anomaly::AnomalyKind;
use monsys_core::severity::Severity;
use monsys_core::store::{AnomalyFilter, KindCount};

use super::filter;

/// One kind and how many of its anomalies are open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KindCard {
    pub(super) kind: AnomalyKind,
    pub(super) meaning: &'static str,
    pub(super) n_open: u64,
    pub(super) worst: Option<&'static str>,
    pub(super) tone: &'static str,
    pub(super) href: String,
    pub(super) is_selected: bool,
}

/// Makes the six cards. A kind without a count has none open; a count of another kind is left out.
pub(super) fn cards(counts: &[KindCount], selected: Option<AnomalyKind>) -> Vec<KindCard> {
    AnomalyKind::DOCUMENTED
        .into_iter()
        .map(|kind| {
            let count = counts.iter().find(|count| count.kind == kind);
            let n_open = count.map_or(0, |count| count.n_open);
            let worst = count.and_then(|count| count.worst).filter(|_| n_open > 0);
            KindCard {
                kind,
                meaning: meaning(kind).unwrap_or_default(),
                n_open,
                worst: worst.map(Severity::as_str),
                tone: tone(n_open, worst),
                href: filter::href(&AnomalyFilter {
                    kind: Some(kind),
                    ..filter::OPEN
                }),
                is_selected: selected == Some(kind),
            }
        })
        .collect()
}

/// Lists the counts of all other kinds of which one is open.
pub(super) fn further(counts: &[KindCount]) -> Vec<KindCard> {
    let others = counts
        .iter()
        .filter(|count| count.n_open > 0 && !AnomalyKind::DOCUMENTED.contains(&count.kind));
    others
        .map(|count| KindCard {
            kind: count.kind,
            meaning: meaning(count.kind).unwrap_or_default(),
            n_open: count.n_open,
            worst: count.worst.map(Severity::as_str),
            tone: tone(count.n_open, count.worst),
            href: filter::href(&AnomalyFilter {
                kind: Some(count.kind),
                ..filter::OPEN
            }),
            is_selected: false,
        })
        .collect()
}

/// Keeps the kinds of which something is open, worst first; equal ones stay in their order.
pub(super) fn concerns(cards: Vec<KindCard>) -> Vec<KindCard> {
    let mut concerns: Vec<_> = cards.into_iter().filter(|card| card.n_open > 0).collect();
    concerns.sort_by_key(|card| {
        let worst = card.worst.and_then(|word| Severity::parse(word).ok());
        std::cmp::Reverse(worst)
    });
    concerns
}

/// Says in a few words what a kind means.
pub(super) const fn meaning(kind: AnomalyKind) -> Option<&'static str> {
    Some(match kind {
        AnomalyKind::UnsignedPayload => "a payload came without a signature",
        AnomalyKind::SignatureInvalid => "a signature did not verify",
        AnomalyKind::ClockDrift => "the device clock is off",
        AnomalyKind::CadenceAnomaly => "payloads come too often or too rarely",
        AnomalyKind::FlatMetrics => "the processor use does not move",
        AnomalyKind::VersionDowngrade => "the agent went back to an older version",
        AnomalyKind::AgentSilent => "nothing came for many intervals",
        AnomalyKind::AgentCloned => "two installations send as one agent",
        AnomalyKind::SequenceRegress => "a position came again with other content",
        AnomalyKind::ReplayedSeries => "values repeat an earlier stretch bit by bit",
        AnomalyKind::DuplicateFeed => "two agents send the same values",
        AnomalyKind::LoopedRecording => "values repeat with a fixed period",
        AnomalyKind::ExactRamp => "values lie on a straight line",
        AnomalyKind::StaleCollector => "payloads keep coming, their data does not change",
        AnomalyKind::VersionUnparseable => "the version is no numeric triple",
        AnomalyKind::DetectorStalled => "the hub itself missed cycles, or a check failed",
        _ => return None,
    })
}

/// Returns what the script compares to announce new anomalies: `kind=n=worst` joined by spaces.
pub(super) fn open_words<'a>(open: impl IntoIterator<Item = (&'a str, u64, &'a str)>) -> String {
    let words: Vec<String> = open
        .into_iter()
        .map(|(kind, n_open, worst)| format!("{kind}={n_open}={worst}"))
        .collect();
    words.join(" ")
}

/// Red when any high or critical one is open, amber when the worst is medium, neutral at 0
/// (architecture §6, decision 6).
const fn tone(n_open: u64, worst: Option<Severity>) -> &'static str {
    match worst {
        Some(Severity::Critical | Severity::High) => "red",
        Some(Severity::Medium) => "amber",
        Some(Severity::Low | Severity::Info) => "blue",
        None if n_open > 0 => "blue",
        None => "neutral",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_the_six_kinds_in_the_order_of_the_document() {
        let kinds: Vec<_> = cards(&[], None).into_iter().map(|card| card.kind).collect();
        assert_eq!(kinds, AnomalyKind::DOCUMENTED);
    }

    #[test]
    fn every_kind_has_a_meaning() {
        assert!(AnomalyKind::every().all(|kind| meaning(kind).is_some()));
    }

    #[test]
    fn tones_follow_the_worst_severity() {
        for (worst, expected) in [
            (Some(Severity::Critical), "red"),
            (Some(Severity::High), "red"),
            (Some(Severity::Medium), "amber"),
            (Some(Severity::Low), "blue"),
            (Some(Severity::Info), "blue"),
        ] {
            assert_eq!(tone(1, worst), expected);
        }
        assert_eq!(tone(0, None), "neutral");
    }
}
