//! The text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write};

use super::histogram::Reading;

/// A page of metrics. Every name and label in it is a constant of this program, so nothing needs
/// escaping.
#[derive(Default)]
pub(crate) struct Page(String);

/// What a number of a histogram means in the unit of its family.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    /// Microseconds, shown as seconds.
    Micros,
    /// A count of things.
    Count,
}

impl Page {
    /// A family of one sample that goes up and down.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: &impl Display) {
        self.head(name, help, "gauge");
        self.line(format_args!("{name} {value}"));
    }

    /// A family of one sample that only goes up.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: &impl Display) {
        self.head(name, help, "counter");
        self.line(format_args!("{name} {value}"));
    }

    /// A family with a sample for each value of a label.
    pub(crate) fn labelled(
        &mut self,
        (name, help, kind): (&str, &str, &str),
        label: &str,
        samples: impl Iterator<Item = (&'static str, u64)>,
    ) {
        self.head(name, help, kind);
        for (value, n) in samples {
            self.line(format_args!("{name}{{{label}=\"{value}\"}} {n}"));
        }
    }

    /// A family with one histogram.
    pub(crate) fn histogram(&mut self, name: &str, help: &str, reading: &Reading, unit: Unit) {
        self.head(name, help, "histogram");
        self.buckets(name, "", reading, unit);
    }

    /// The samples of a histogram; `labels` end in a comma unless there are none.
    pub(crate) fn buckets(&mut self, name: &str, labels: &str, reading: &Reading, unit: Unit) {
        for (bound, count) in &reading.at_most {
            let bound = unit.show(*bound);
            self.line(format_args!(
                "{name}_bucket{{{labels}le=\"{bound}\"}} {count}"
            ));
        }
        let count = reading.count;
        self.line(format_args!("{name}_bucket{{{labels}le=\"+Inf\"}} {count}"));
        let sum = unit.show(reading.sum);
        let (open, labels, close) = match labels.trim_end_matches(',') {
            "" => ("", "", ""),
            labels => ("{", labels, "}"),
        };
        self.line(format_args!("{name}_sum{open}{labels}{close} {sum}"));
        self.line(format_args!("{name}_count{open}{labels}{close} {count}"));
    }

    /// What stands above the samples of a family.
    pub(crate) fn head(&mut self, name: &str, help: &str, kind: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    /// One sample.
    pub(crate) fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // A text takes whatever is written to it.
        let _ = writeln!(self.0, "{line}");
    }

    /// The whole page.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

impl Unit {
    /// Writes a number in the unit of its family, exactly: no float is between.
    fn show(self, number: u64) -> String {
        match self {
            Self::Count => number.to_string(),
            Self::Micros => {
                let (whole, rest) = (number / 1_000_000, number % 1_000_000);
                let text = format!("{whole}.{rest:06}");
                let short = text.trim_end_matches('0').trim_end_matches('.');
                short.to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_shown_as_seconds_without_rounding() {
        for (us, text) in [
            (0, "0"),
            (1, "0.000001"),
            (2_500, "0.0025"),
            (1_000_000, "1"),
            (10_000_000, "10"),
            (1_000_001, "1.000001"),
        ] {
            assert_eq!(Unit::Micros.show(us), text);
        }
    }
}
