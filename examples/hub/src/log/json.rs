//! Lines of JSON: one object an event, with the members that `tracing-subscriber` gives them.
//!
//! Written here and not there because each value passes the redactor as it is, before JSON puts
//! escapes into it. Cost: one object in memory an event.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::redact::Redactor;
use crate::clock::wall_now;

/// Writes events as JSON.
pub(super) struct JsonLines {
    redactor: Arc<Redactor>,
}

impl JsonLines {
    pub(super) const fn new(redactor: Arc<Redactor>) -> Self {
        Self { redactor }
    }
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields {
            redactor: &self.redactor,
            found: Map::new(),
        };
        event.record(&mut fields);
        let line = json!({
            "timestamp": wall_now().to_rfc3339(),
            "level": event.metadata().level().as_str(),
            "fields": fields.found,
            "target": event.metadata().target(),
        });
        writeln!(writer, "{line}")
    }
}

struct Fields<'a> {
    redactor: &'a Redactor,
    found: Map<String, Value>,
}

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.found.insert(field.name().to_owned(), value.into());
    }

    fn put_text(&mut self, field: &Field, text: &str) {
        let text = self.redactor.redact_field(field.name(), text).into_owned();
        self.put(field, text);
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_text(field, &format!("{value:?}"));
    }
}
