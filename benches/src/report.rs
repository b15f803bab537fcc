//! One line per figure: `name value baseline ratio target ok`, and what else was seen.

/// A measured figure beside what it is measured against, both in nanoseconds, both in bytes, or both
/// in events a second.
pub struct Figure {
    name: String,
    value: f64,
    baseline: f64,
    target: Target,
    detail: String,
}

/// What a figure must reach.
#[derive(Clone, Copy)]
pub enum Target {
    /// The value is at most this part of the baseline; the ratio is value by baseline.
    AtMost(f64),
    /// The value is at least this many times faster; the ratio is baseline by value.
    TimesFaster(f64),
    /// The value is at most this many nanoseconds; the ratio is value by baseline.
    AtMostNanos(f64),
    /// The value is at most this many bytes; the ratio is value by baseline.
    AtMostBytes(f64),
    /// The value is at least this part of the baseline, both events a second; the ratio is value by
    /// baseline.
    AtLeast(f64),
    /// A part of another figure, which has the target; the ratio is value by baseline.
    Part,
}

/// How a figure is written.
#[derive(Clone, Copy)]
pub enum Form {
    /// Words in columns.
    Text,
    /// One JSON object a line.
    Json,
}

impl Figure {
    /// A figure of nanoseconds against nanoseconds.
    pub fn new(name: impl Into<String>, value: f64, baseline: f64, target: Target) -> Self {
        Self {
            name: name.into(),
            value,
            baseline,
            target,
            detail: String::new(),
        }
    }

    /// Says in words what stands beside the figure: absolute values, their units.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Whether the target is reached.
    pub fn is_reached(&self) -> bool {
        match self.target {
            Target::AtMost(part) => self.ratio() <= part,
            Target::TimesFaster(times) => self.ratio() >= times,
            Target::AtMostNanos(most) | Target::AtMostBytes(most) => self.value <= most,
            Target::AtLeast(part) => self.ratio() >= part,
            Target::Part => true,
        }
    }

    /// The line of the figure.
    pub fn line(&self, form: Form) -> String {
        let Self {
            name,
            value,
            baseline,
            detail,
            ..
        } = self;
        let (ratio, ok) = (self.ratio(), self.is_reached());
        let target = match self.target {
            Target::AtMost(part) => format!("<={part}"),
            Target::TimesFaster(times) => format!(">={times}"),
            Target::AtMostNanos(nanos) => format!("<={nanos}ns"),
            Target::AtMostBytes(bytes) => format!("<={bytes}B"),
            Target::AtLeast(part) => format!(">={part}"),
            Target::Part => "-".to_owned(),
        };
        match form {
            Form::Text => {
                let line = format!(
                    "{name:54} {value:10.0} {baseline:10.0} {ratio:8.3} {target:>7} {ok:5} {detail}"
                );
                line.trim_end().to_owned()
            }
            Form::Json => format!(
                r#"{{"name":"{name}","value":{value:.1},"baseline":{baseline:.1},"ratio":{ratio:.4},"target":"{target}","ok":{ok},"detail":"{detail}"}}"#
            ),
        }
    }

    fn ratio(&self) -> f64 {
        match self.target {
            Target::AtMost(_)
            | Target::AtMostNanos(_)
            | Target::AtMostBytes(_)
            | Target::AtLeast(_)
            | Target::Part => self.value / self.baseline,
            Target::TimesFaster(_) => self.baseline / self.value,
        }
    }
}
