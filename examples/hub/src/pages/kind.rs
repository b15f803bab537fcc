//! The six kinds as cards, always all of them, in the order of the integrity document.

use monsys_core::anomaly::AnomalyKind;
use monsys_core::severity::Severity;
use monsys_core::store::{AnomalyFilter, AnomalyState, KindCount};

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
    MEANINGS
        .iter()
        .map(|(kind, meaning)| {
            let count = counts.iter().find(|count| count.kind == *kind);
            let n_open = count.map_or(0, |count| count.n_open);
            let worst = count.and_then(|count| count.worst).filter(|_| n_open > 0);
            KindCard {
                kind: *kind,
                meaning,
                n_open,
                worst: worst.map(Severity::as_str),
                tone: tone(n_open, worst),
                href: filter::href(&AnomalyFilter {
                    state: Some(AnomalyState::Open),
                    kind: Some(*kind),
                    ..AnomalyFilter::default()
                }),
                is_selected: selected == Some(*kind),
            }
        })
        .collect()
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

const MEANINGS: [(AnomalyKind, &str); 6] = [
    (
        AnomalyKind::UnsignedPayload,
        "a payload came without a signature",
    ),
    (AnomalyKind::SignatureInvalid, "a signature did not verify"),
    (AnomalyKind::ClockDrift, "the device clock is off"),
    (
        AnomalyKind::CadenceAnomaly,
        "payloads come too often or too rarely",
    ),
    (AnomalyKind::FlatMetrics, "the processor use does not move"),
    (
        AnomalyKind::VersionDowngrade,
        "the agent went back to an older version",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_the_six_kinds_in_the_order_of_the_document() {
        let kinds: Vec<_> = cards(&[], None).into_iter().map(|card| card.kind).collect();
        assert_eq!(kinds, AnomalyKind::DOCUMENTED);
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
