//! The filter of the integrity page, from its URL and back.
//!
//! What: the words of the query string, the filter they mean, and the link that says it again. What
//! not: decoding of percent signs; the router does that. Links are made of typed words and
//! identifiers only, none of which needs encoding. Cost: one short string a link.

use monsys_core::anomaly::{Anomaly, AnomalyKind};
use monsys_core::id::{AgentId, AnomalyId};
use monsys_core::severity::Severity;
use monsys_core::store::{AnomalyCursor, AnomalyFilter, AnomalyState, Attention};
use thiserror::Error;

/// The words of the query string; an empty or absent word means "any", for `state` it means open.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FilterWords<'a> {
    /// `open`, `resolved` or `all`.
    pub(crate) state: &'a str,
    /// An anomaly kind.
    pub(crate) kind: &'a str,
    /// A severity.
    pub(crate) severity: &'a str,
    /// `agent_id`: the identifier of an agent.
    pub(crate) agent: &'a str,
    /// `needed`, `acknowledged` or `snoozed`.
    pub(crate) attention: &'a str,
    /// The place where the page before ended.
    pub(crate) after: &'a str,
}

/// Says that a word of the query string is none of those a filter knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("unknown word in {field}: expected one that the filter form offers")]
pub(crate) struct UnknownWord {
    /// The name of the field.
    pub(crate) field: &'static str,
}

impl FilterWords<'_> {
    /// Reads the words.
    ///
    /// # Errors
    /// [`UnknownWord`] with the first field that holds none of its words.
    pub(crate) fn parse(&self) -> Result<AnomalyFilter, UnknownWord> {
        let state = match self.state {
            "" | "open" => Some(AnomalyState::Open),
            "resolved" => Some(AnomalyState::Resolved),
            "all" => None,
            _ => return Err(UnknownWord { field: "state" }),
        };
        Ok(AnomalyFilter {
            state,
            kind: word("kind", self.kind, |w| AnomalyKind::parse(w).ok())?,
            severity: word("severity", self.severity, |w| Severity::parse(w).ok())?,
            agent: word("agent_id", self.agent, |w| AgentId::parse(w).ok())?,
            attention: word("attention", self.attention, Attention::parse)?,
            after: word("after", self.after, |w| AnomalyCursor::parse(w).ok())?,
        })
    }
}

/// Returns the word of a state, `all` for any.
pub(super) const fn state_word(state: Option<AnomalyState>) -> &'static str {
    match state {
        Some(state) => state.as_str(),
        None => "all",
    }
}

/// What is open, which the integrity page shows when nothing else is asked for.
pub(crate) const OPEN: AnomalyFilter = AnomalyFilter {
    state: Some(AnomalyState::Open),
    kind: None,
    severity: None,
    agent: None,
    attention: None,
    after: None,
};

/// Where a form stands, and where its answer goes back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A list of anomalies.
    List(AnomalyFilter),
    /// The page of an agent, from a place of its list on.
    Agent(AgentId, Option<AnomalyCursor>),
    /// The page of an anomaly.
    Anomaly(AnomalyId),
}

impl Origin {
    /// Writes the address of the page.
    pub(crate) fn page(&self) -> String {
        match self {
            Self::List(filter) => href(filter),
            Self::Agent(agent, None) => format!("/agents/{agent}"),
            Self::Agent(agent, Some(after)) => format!("/agents/{agent}?after={after}"),
            Self::Anomaly(id) => format!("/integrity/{id}"),
        }
    }

    /// Writes what the address of a form adds to say where it stands.
    pub(super) fn query(&self) -> String {
        match self {
            Self::List(filter) => query(filter),
            Self::Agent(agent, None) => format!("?from=agent&agent_id={agent}"),
            Self::Agent(agent, Some(after)) => {
                format!("?from=agent&agent_id={agent}&after={after}")
            }
            Self::Anomaly(_) => String::from("?from=anomaly"),
        }
    }

    /// Writes the address of the same page with every box ticked.
    pub(super) fn ticked(&self) -> String {
        let page = self.page();
        let gap = if page.contains('?') { '&' } else { '?' };
        format!("{page}{gap}tick=all")
    }
}

/// Writes the link to what is known of the agent of an anomaly. The hub itself has no page; its
/// anomalies are all there is.
pub(super) fn agent_href(anomaly: &Anomaly) -> String {
    if anomaly.agent != AgentId::of_hub(anomaly.tenant) {
        return Origin::Agent(anomaly.agent, None).page();
    }
    href(&AnomalyFilter {
        agent: Some(anomaly.agent),
        ..AnomalyFilter::default()
    })
}

/// Writes the link to the integrity page that shows a filter.
pub(super) fn href(filter: &AnomalyFilter) -> String {
    format!("/integrity{}", query(filter))
}

/// Writes the query string of a filter; none for what is open.
pub(super) fn query(filter: &AnomalyFilter) -> String {
    let state = match filter.state {
        Some(AnomalyState::Open) => None,
        other => Some(state_word(other).to_owned()),
    };
    let words = [
        ("state", state),
        ("kind", filter.kind.map(|w| w.to_string())),
        ("severity", filter.severity.map(|w| w.to_string())),
        ("agent_id", filter.agent.map(|w| w.to_string())),
        ("attention", filter.attention.map(|w| w.as_str().to_owned())),
        ("after", filter.after.map(|w| w.to_string())),
    ];
    let mut text = String::new();
    for (name, word) in words {
        let Some(word) = word else { continue };
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        text.push_str(&word);
    }
    text
}

fn word<T>(
    field: &'static str,
    text: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, UnknownWord> {
    if text.is_empty() {
        return Ok(None);
    }
    read(text).map(Some).ok_or(UnknownWord { field })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_say_the_filter_they_were_made_from() {
        let states = [None, Some(AnomalyState::Open), Some(AnomalyState::Resolved)];
        for state in states {
            for kind in AnomalyKind::DOCUMENTED.map(Some).into_iter().chain([None]) {
                let filter = AnomalyFilter {
                    state,
                    kind,
                    severity: kind.map(|_| Severity::High),
                    agent: Some(AgentId::from_random_bytes([3; 16])),
                    attention: kind.map(|_| Attention::Snoozed),
                    after: Some(AnomalyCursor {
                        state: AnomalyState::Open,
                        id: AnomalyId::from_random_bytes([4; 16]),
                    }),
                };
                assert_eq!(read(&href(&filter)).parse(), Ok(filter));
            }
        }
        let open = FilterWords::default().parse().unwrap();
        assert_eq!((open, href(&open).as_str()), (OPEN, "/integrity"));
    }

    #[test]
    fn other_words_are_refused_by_field() {
        let hostile = "\"><script>";
        for (words, field) in [
            (
                FilterWords {
                    state: hostile,
                    ..FilterWords::default()
                },
                "state",
            ),
            (
                FilterWords {
                    kind: "High",
                    ..FilterWords::default()
                },
                "kind",
            ),
            (
                FilterWords {
                    severity: "HIGH",
                    ..FilterWords::default()
                },
                "severity",
            ),
            (
                FilterWords {
                    agent: hostile,
                    ..FilterWords::default()
                },
                "agent_id",
            ),
            (
                FilterWords {
                    attention: "now",
                    ..FilterWords::default()
                },
                "attention",
            ),
            (
                FilterWords {
                    after: "1",
                    ..FilterWords::default()
                },
                "after",
            ),
        ] {
            assert_eq!(words.parse(), Err(UnknownWord { field }));
        }
    }

    fn read(link: &str) -> FilterWords<'_> {
        let mut words = FilterWords::default();
        let (_, query) = link.split_once('?').unwrap_or((link, ""));
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "state" => words.state = value,
                "kind" => words.kind = value,
                "severity" => words.severity = value,
                "agent_id" => words.agent = value,
                "attention" => words.attention = value,
                "after" => words.after = value,
                _ => panic!("{name}"),
            }
        }
        words
    }
}
