//! What came back.

use std::collections::BTreeMap;
use std::time::Duration;

/// All that came back of one plan.
#[derive(Debug, Default)]
pub struct Answers {
    /// Each, in the order of coming.
    pub all: Vec<Answer>,
    /// From the first request to the last answer.
    pub time: Duration,
    /// CPU time of the thread that sent.
    pub client_cpu: Duration,
    /// How many requests went out.
    pub n_sent: usize,
    /// How many should have.
    pub n_due: usize,
    pub(super) last_at: Duration,
}

/// The answer to one request.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// Which request.
    pub request: u32,
    /// How long it took, from when it was due.
    pub micros: u32,
    /// What it says.
    pub response: Response,
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response {
    /// The status of HTTP; 0 when the connection ended instead.
    pub status: u16,
    /// Whether it says when to come back.
    pub has_retry_after: bool,
}

impl Answers {
    /// How many of a status.
    pub fn n_of(&self, status: u16) -> usize {
        self.of(status).count()
    }

    /// Those of a status.
    pub fn of(&self, status: u16) -> impl Iterator<Item = &Answer> {
        self.all
            .iter()
            .filter(move |answer| answer.response.status == status)
    }

    /// Answers of a status a second.
    pub fn rate_of(&self, status: u16) -> f64 {
        self.n_of(status) as f64 / self.time.as_secs_f64()
    }

    /// A quantile of what those of a status took, in milliseconds.
    pub fn millis_of(&self, status: u16, part: f64) -> f64 {
        let mut micros: Vec<_> = self.of(status).map(|answer| answer.micros).collect();
        if micros.is_empty() {
            return f64::NAN;
        }
        micros.sort_unstable();
        let at = (micros.len() - 1) as f64 * part;
        f64::from(micros[at.round() as usize]) / 1e3
    }

    /// `n×status` for each status, so that nothing stays unseen.
    pub fn statuses(&self) -> String {
        let mut counts = BTreeMap::new();
        for answer in &self.all {
            *counts.entry(answer.response.status).or_insert(0_usize) += 1;
        }
        let words = counts.iter().map(|(status, n)| format!("{n}×{status}"));
        words.collect::<Vec<_>>().join(" ")
    }

    /// Microseconds of CPU that the sender spent on a request.
    pub fn client_micros(&self) -> f64 {
        self.client_cpu.as_secs_f64() * 1e6 / self.all.len().max(1) as f64
    }

    /// Asserts that all were answered with one status, but for so small a part.
    pub fn assert_nearly_all(&self, status: u16, what: &str) {
        let n = self.n_of(status);
        let is_right = n > 0 && (self.all.len() - n) * 1_000 <= self.all.len();
        assert!(
            is_right,
            "{what}: expected {status}, got {}",
            self.statuses()
        );
    }
}

impl Response {
    /// The connection ended instead.
    pub const NONE: Self = Self {
        status: 0,
        has_retry_after: false,
    };

    /// Reads an answer with a declared length; `None` until all of it is there.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let head_len = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = str::from_utf8(&bytes[..head_len]).ok()?;
        let status = head.get(9..12)?.parse().ok()?;
        let value = |name: &str| {
            let mut lines = head.split("\r\n").skip(1);
            lines.find_map(|line| {
                let (found, value) = line.split_once(':')?;
                found.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let length = value("content-length").map_or(Some(0), |text| text.parse::<usize>().ok())?;
        (bytes.len() >= head_len + length).then(|| Self {
            status,
            has_retry_after: value("retry-after").is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_when_all_of_it_is_there() {
        let text =
            b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nContent-Length: 2\r\n\r\n{}";
        for n in 0..text.len() {
            assert_eq!(Response::parse(&text[..n]), None);
        }
        let whole = Response {
            status: 503,
            has_retry_after: true,
        };
        assert_eq!(Response::parse(text), Some(whole));
    }

    #[test]
    fn quantiles_count_the_answers_of_one_status() {
        let answer = |n: u32| Answer {
            request: n,
            micros: n * 1_000,
            response: Response {
                status: if n == 101 { 503 } else { 202 },
                has_retry_after: false,
            },
        };
        let answers = Answers {
            all: (1..=101).map(answer).collect(),
            ..Answers::default()
        };
        assert_eq!(answers.millis_of(202, 0.99), 99.0);
        assert_eq!(answers.millis_of(503, 0.5), 101.0);
        assert_eq!(answers.statuses(), "100×202 1×503");
    }
}
