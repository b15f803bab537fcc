//! Anomalies as rows of the table that two pages share.

use std::borrow::Cow;
use std::collections::BTreeMap;

use monsys_core::anomaly::{Acknowledged, Anomaly, Closed, Snoozed};
use monsys_core::id::UserId;
use monsys_core::store::{AnomalyRow, Attention};
use monsys_core::time::Timestamp;

use super::filter::{Origin, agent_href};
use super::kind::open_words;
use super::when::When;
use crate::store::Actor;

/// Characters of a summary in a table; the rest is on the page of the anomaly.
const SUMMARY_CHARS: usize = 200;
/// Characters of a detail in a table. What the integrity document shows fits.
const DETAIL_CHARS: usize = 160;
/// Characters of a note or reason in a table.
const NOTE_CHARS: usize = 160;

/// Who did things, by user.
pub(super) type Actors = BTreeMap<UserId, Actor>;

/// One anomaly, ready to be shown. Text that came from outside is as stored; templates escape it.
#[derive(Debug, Clone)]
pub(super) struct Row<'a> {
    pub(super) id: String,
    pub(super) severity: &'static str,
    pub(super) kind: &'static str,
    pub(super) agent_href: String,
    pub(super) agent_name: &'a str,
    pub(super) summary: Cow<'a, str>,
    pub(super) detail: Cow<'a, str>,
    pub(super) detected: When,
    pub(super) last_seen: When,
    pub(super) occurrences: u64,
    /// What it is called now.
    pub(super) label: &'static str,
    /// Why it is left open.
    pub(super) hold: Option<Hold<'a>>,
    /// The one before it.
    pub(super) previous: Option<String>,
    pub(super) ending: Option<Ending<'a>>,
}

/// That a person has seen an open anomaly, or does not want to hear of it yet.
#[derive(Debug, Clone)]
pub(super) struct Hold<'a> {
    pub(super) at: When,
    pub(super) by: &'a str,
    pub(super) until: Option<When>,
    pub(super) reason: Cow<'a, str>,
}

/// How an anomaly ended.
#[derive(Debug, Clone)]
pub(super) struct Ending<'a> {
    pub(super) at: When,
    pub(super) by: &'a str,
    /// In which way: `manual` or `auto`.
    pub(super) how: &'static str,
    pub(super) note: Option<Cow<'a, str>>,
}

/// The form of what is done with all that is ticked, and the links round it.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    /// What the address of a form adds to say where it stands.
    pub(super) query: String,
    /// The same page with every box ticked.
    pub(super) tick_all: String,
    pub(super) is_ticked: bool,
    /// Whether a row is open, and so can be ticked.
    pub(super) has_open: bool,
}

impl Desk {
    pub(super) fn new(origin: Origin, rows: &[Row<'_>], is_ticked: bool) -> Self {
        Self {
            query: origin.query(),
            tick_all: origin.ticked(),
            is_ticked,
            has_open: rows.iter().any(|row| row.ending.is_none()),
        }
    }
}

impl<'a> Row<'a> {
    fn new(row: &'a AnomalyRow, actors: &'a Actors, now: Timestamp) -> Self {
        let anomaly = &row.anomaly;
        let finding = &anomaly.finding;
        let ending = anomaly.closed.as_ref();
        Self {
            id: anomaly.id.to_string(),
            severity: finding.severity.as_str(),
            kind: finding.kind.as_str(),
            agent_href: agent_href(anomaly),
            agent_name: &row.agent_name,
            summary: cut(&finding.summary, SUMMARY_CHARS),
            detail: cut(&finding.detail, DETAIL_CHARS),
            detected: When::new(anomaly.detected_at, now),
            last_seen: When::new(anomaly.last_seen_at, now),
            occurrences: anomaly.occurrences,
            label: row.label(now).as_str(),
            hold: hold(anomaly, actors, now),
            previous: anomaly.previous.map(|id| id.to_string()),
            ending: ending.map(|closed| {
                let whole = Ending::new(closed, actors, now);
                Ending {
                    note: whole.note.map(|note| cut_owned(note, NOTE_CHARS)),
                    ..whole
                }
            }),
        }
    }
}

/// What a table says of why an anomaly is left open.
fn hold<'a>(anomaly: &'a Anomaly, actors: &'a Actors, now: Timestamp) -> Option<Hold<'a>> {
    let whole = match Attention::of(anomaly, now)? {
        Attention::Needed => return None,
        Attention::Snoozed => Hold::snoozed(anomaly.snoozed.as_ref()?, actors, now),
        Attention::Acknowledged => Hold::acknowledged(anomaly.acknowledged.as_ref()?, actors, now),
    };
    Some(Hold {
        reason: cut_owned(whole.reason, NOTE_CHARS),
        ..whole
    })
}

impl<'a> Hold<'a> {
    pub(super) fn acknowledged(seen: &'a Acknowledged, actors: &'a Actors, now: Timestamp) -> Self {
        Self {
            at: When::new(seen.at, now),
            by: who(actors, seen.by),
            until: seen.until.map(|until| When::new(until, now)),
            reason: Cow::Borrowed(&seen.reason),
        }
    }

    pub(super) fn snoozed(snoozed: &'a Snoozed, actors: &'a Actors, now: Timestamp) -> Self {
        Self {
            at: When::new(snoozed.at, now),
            by: who(actors, snoozed.by),
            until: Some(When::new(snoozed.until, now)),
            reason: Cow::Borrowed(&snoozed.reason),
        }
    }
}

impl<'a> Ending<'a> {
    pub(super) fn new(closed: &'a Closed, actors: &'a Actors, now: Timestamp) -> Self {
        let note = closed.note.as_deref().filter(|note| !note.is_empty());
        Self {
            at: When::new(closed.at, now),
            by: who(actors, closed.by),
            how: closed.resolution.as_str(),
            note: note.map(Cow::Borrowed),
        }
    }
}

/// Makes the rows of a page.
pub(super) fn rows<'a>(rows: &'a [AnomalyRow], actors: &'a Actors, now: Timestamp) -> Vec<Row<'a>> {
    rows.iter().map(|row| Row::new(row, actors, now)).collect()
}

/// Returns the open ones among the rows in the form the script compares.
pub(super) fn open_among(rows: &[Row<'_>]) -> String {
    let open = rows.iter().filter(|row| row.ending.is_none());
    open_words(open.map(|row| (row.kind, 1, row.severity)))
}

/// Names who did something.
pub(super) fn who(actors: &Actors, user: UserId) -> &str {
    match actors.get(&user) {
        Some(Actor::Person(email)) => email,
        Some(Actor::Worker) => "the integrity worker",
        None => "somebody who is no longer known",
    }
}

fn cut(text: &str, n_chars: usize) -> Cow<'_, str> {
    match text.char_indices().nth(n_chars) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}\u{2026}", text.get(..end).unwrap_or_default())),
    }
}

fn cut_owned(text: Cow<'_, str>, n_chars: usize) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => cut(text, n_chars),
        Cow::Owned(text) => Cow::Owned(cut(&text, n_chars).into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_between_characters_and_says_so() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(
            cut("\u{e4}\u{f6}\u{fc}\u{df}", 3),
            "\u{e4}\u{f6}\u{fc}\u{2026}"
        );
        assert_eq!(cut("", 0), "");
    }
}
