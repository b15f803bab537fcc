//! By which rules agents are judged: a preset, and single kinds beyond it.

use std::str::FromStr;

use monsys_core::AnomalyKind;
use monsys_integrity::Config;
use serde::Deserialize;

/// Choices about integrity of which each may be absent; in the file the table `integrity`.
#[derive(Debug, Clone, Default, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct IntegrityChoices {
    /// How agents are judged: by the six kinds of the integrity document, or by all kinds there
    /// are, of which a bad signature, a payload without one and a lower version stay open until a
    /// person closes them [default: standard]
    #[arg(long, env = "MONSYS_INTEGRITY", value_name = "PRESET")]
    #[serde(rename = "preset")]
    pub(crate) integrity: Option<PresetWord>,
    /// Kinds that are looked for beyond the six: agent_silent, replayed_series …
    #[arg(
        long,
        env = "MONSYS_INTEGRITY_KINDS",
        value_name = "KIND",
        value_delimiter = ','
    )]
    #[serde(rename = "kinds")]
    pub(crate) integrity_kinds: Option<Vec<OptInKind>>,
}

/// The word of a preset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PresetWord {
    /// The six kinds of the integrity document
    Standard,
    /// Every kind; what is grave is closed by people only
    Strict,
}

/// A kind that can be turned on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct OptInKind(AnomalyKind);

impl FromStr for OptInKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Config::strict().opt_in;
        let kind = AnomalyKind::parse(text).ok();
        kind.filter(|kind| known.contains(*kind))
            .map(Self)
            .ok_or_else(|| {
                let words: Vec<_> = known.iter().map(AnomalyKind::as_str).collect();
                format!("expected one of {}", words.join(", "))
            })
    }
}

impl TryFrom<String> for OptInKind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl IntegrityChoices {
    /// Completes the choices with those of a file and the defaults.
    pub(crate) fn complete(self, file: Self) -> Config {
        let preset = self.integrity.or(file.integrity);
        let mut config = match preset.unwrap_or(PresetWord::Standard) {
            PresetWord::Standard => Config::standard(),
            PresetWord::Strict => Config::strict(),
        };
        let kinds = self.integrity_kinds.or(file.integrity_kinds);
        for OptInKind(kind) in kinds.unwrap_or_default() {
            config.opt_in = config.opt_in.with(kind);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<IntegrityChoices, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn nothing_chosen_is_the_document() {
        let chosen = IntegrityChoices::default().complete(IntegrityChoices::default());
        assert_eq!(chosen, Config::standard());
    }

    #[test]
    fn a_flag_goes_before_the_file_and_single_kinds_are_added() {
        let in_file = || file("preset = \"strict\"\nkinds = [\"exact_ramp\"]").unwrap();
        let none = IntegrityChoices::default();
        assert_eq!(none.complete(in_file()), Config::strict());
        let flag = IntegrityChoices {
            integrity: Some(PresetWord::Standard),
            integrity_kinds: None,
        };
        let chosen = flag.complete(in_file());
        assert!(chosen.opt_in.iter().eq([AnomalyKind::ExactRamp]));
    }

    #[test]
    fn a_kind_that_cannot_be_chosen_is_refused_with_those_that_can() {
        for word in ["flat_metrics", "detector_stalled", "exact-ramp", ""] {
            let refused = word.parse::<OptInKind>().unwrap_err();
            assert!(refused.contains("agent_silent, "), "{refused}");
            let text = format!("kinds = [\"{word}\"]");
            assert!(file(&text).is_err(), "{word}");
        }
    }
}
