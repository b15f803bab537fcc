//! Forms as they come: their fields, and what a person wants with anomalies.

use axum::body::Body;
use axum::extract::{Form, FromRequest, Request};
use axum::http::StatusCode;
use axum::response::Response;
use monsys_core::anomaly::Action;
use monsys_core::id::AnomalyId;
use monsys_core::limit;
use monsys_core::time::{Span, Timestamp};

use super::message;
use crate::api::action::{checked_note, checked_reason, checked_until};
use crate::small_body::{self, Unread};

/// The fields of a form in their order.
pub(crate) struct Fields(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Response;

    /// A form that cannot be read is refused by a page that says what was expected.
    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let (head, body) = request.into_parts();
        let bytes = match small_body::read(body).await {
            Ok(bytes) => bytes,
            Err(Unread::TooLarge) => return Err(too_large()),
            Err(Unread::CutOff) => return Err(no_form(StatusCode::BAD_REQUEST)),
        };
        let whole = Request::from_parts(head, Body::from(bytes));
        match Form::<Vec<(String, String)>>::from_request(whole, state).await {
            Ok(Form(fields)) => Ok(Self(fields)),
            Err(refused) => Err(no_form(refused.status())),
        }
    }
}

fn too_large() -> Response {
    let sentence = "A form has at most 64 KiB, and a note or reason in it 4096 bytes. \
                    Nothing was changed.";
    message(StatusCode::PAYLOAD_TOO_LARGE, "Form too large", sentence)
}

fn no_form(status: StatusCode) -> Response {
    let sentence = "This is not a form as a browser sends it. Nothing was changed.";
    message(status, "Not a form", sentence)
}

impl Fields {
    /// Reads a field that stands in the form once at most; what is absent is empty.
    ///
    /// # Errors
    /// What was expected, when it stands there more often.
    pub(super) fn one(&self, name: &str) -> Result<&str, &'static str> {
        let mut values = self.0.iter().filter(|(field, _)| field == name);
        let value = values.next().map_or("", |(_, value)| value.as_str());
        match values.next() {
            None => Ok(value),
            Some(_) => Err("expected each field once"),
        }
    }

    /// Reads the anomalies that are ticked: at least one, each once.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn ticked(&self) -> Result<Vec<AnomalyId>, &'static str> {
        let ids = self.0.iter().filter(|(field, _)| field == "id");
        let ids = ids.map(|(_, id)| AnomalyId::parse(id));
        let ids = ids.collect::<Result<Vec<_>, _>>();
        let mut ids = ids.map_err(|_| "expected ticked anomalies by their identifiers")?;
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Err("expected at least one anomaly to be ticked");
        }
        if ids.len() > limit::ACTION_ANOMALIES_MAX {
            return Err("expected at most 200 anomalies at once");
        }
        Ok(ids)
    }

    /// Reads what is wanted with one anomaly.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn action(&self, verb: Verb, now: Timestamp) -> Result<Action, &'static str> {
        match verb {
            Verb::Acknowledge => Ok(Action::Acknowledge {
                reason: self.reason("reason")?,
                until: None,
            }),
            Verb::Snooze => Ok(Action::Snooze {
                reason: self.reason("reason")?,
                until: self.until(now)?,
            }),
            Verb::Resolve => {
                let note = Some(self.one("note")?).filter(|note| !note.is_empty());
                let note = checked_note(note.map(str::to_owned))?;
                Ok(Action::Resolve { note })
            }
        }
    }

    /// Reads what is wanted with all that is ticked. Whoever closes several says why, as in the API.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn action_on_ticked(&self, now: Timestamp) -> Result<Action, &'static str> {
        let verb = match self.one("do")? {
            "acknowledge" => Verb::Acknowledge,
            "snooze" => Verb::Snooze,
            "resolve" => {
                let note = Some(self.reason("reason")?);
                return Ok(Action::Resolve { note });
            }
            _ => return Err("expected one of the buttons acknowledge, snooze and resolve"),
        };
        self.action(verb, now)
    }

    fn reason(&self, name: &str) -> Result<String, &'static str> {
        checked_reason(Some(self.one(name)?.to_owned()))
    }

    /// An end is one of the offered spans, or a time.
    fn until(&self, now: Timestamp) -> Result<Timestamp, &'static str> {
        let (word, until) = (self.one("for")?, self.one("until")?);
        if word.is_empty() {
            return checked_until(until, now);
        }
        let span = SNOOZE_SPANS.iter().find(|(offered, _)| *offered == word);
        match span {
            Some((_, seconds)) if until.is_empty() => {
                Ok(now.saturating_add(Span::from_secs(*seconds)))
            }
            _ => Err("expected for to be 1h, 8h, 1d, 7d or 30d, or until to be a time"),
        }
    }
}

/// What is done with anomalies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Acknowledge,
    Snooze,
    Resolve,
}

/// How long anomalies can be snoozed on pages, in seconds: an incident, a shift, a day, a week, a
/// month.
const SNOOZE_SPANS: [(&str, i64); 5] = [
    ("1h", 3_600),
    ("8h", 28_800),
    ("1d", 86_400),
    ("7d", 604_800),
    ("30d", 2_592_000),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Fields(pairs.iter().map(owned).collect())
    }

    #[test]
    fn every_span_that_pages_offer_is_one_that_the_store_takes() {
        let now = Timestamp::MIN;
        for (word, seconds) in SNOOZE_SPANS {
            let form = fields(&[("reason", "night"), ("for", word)]);
            let until = now.saturating_add(Span::from_secs(seconds));
            let reason = String::from("night");
            let snooze = Action::Snooze { reason, until };
            assert_eq!(form.action(Verb::Snooze, now), Ok(snooze));
            assert!(seconds <= limit::SNOOZE_S_MAX);
        }
    }

    #[test]
    fn what_is_doubled_absent_or_unknown_is_refused() {
        let now = Timestamp::MIN;
        for form in [
            &[("reason", "a"), ("reason", "b"), ("for", "1h")][..],
            &[("reason", " "), ("for", "1h")],
            &[("reason", "a"), ("for", "2h")],
            &[("reason", "a")],
            &[("reason", "a"), ("until", "tomorrow")],
            &[
                ("reason", "a"),
                ("for", "1h"),
                ("until", "0001-01-01T01:00:00Z"),
            ],
        ] {
            let form = fields(form);
            assert!(form.action(Verb::Snooze, now).is_err());
        }
        assert!(
            fields(&[("do", "drop"), ("reason", "a")])
                .action_on_ticked(now)
                .is_err()
        );
        assert!(fields(&[("do", "resolve")]).action_on_ticked(now).is_err());
        assert!(fields(&[]).ticked().is_err());
        assert!(fields(&[("id", "1")]).ticked().is_err());
    }

    #[test]
    fn what_is_ticked_twice_is_one() {
        let id = AnomalyId::from_random_bytes([1; 16]);
        let text = id.to_string();
        assert_eq!(
            fields(&[("id", &text), ("id", &text)]).ticked(),
            Ok(vec![id])
        );
    }
}
