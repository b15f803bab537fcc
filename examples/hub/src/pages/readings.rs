//! What an agent measured, as plots of one window of time, and the links to other windows.

use monsys_core::id::AgentId;
use monsys_core::time::{Span, Timestamp};
use serde::Deserialize;

use super::plot::{Plot, Series, Unit, Window};

/// What an agent measured in a window.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Readings {
    /// The time shown.
    pub(crate) reach: Reach,
    /// How long a stretch is that a point stands for.
    pub(crate) step: Span,
    /// Processor use, memory in use and load, in this order.
    pub(crate) drawn: Vec<Series>,
    /// How full the disks were in the newest reading.
    pub(crate) disks: Vec<Disk>,
    /// Whether the oldest readings of the window were left out.
    pub(crate) is_cut: bool,
}

/// How full a disk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disk {
    /// Where it is mounted; foreign text.
    pub(crate) mount: String,
    pub(super) used: String,
    pub(super) total: String,
    /// In use, in thousandths of all.
    pub(super) permille: u64,
}

impl Disk {
    /// Reads the column of a sample, the fullest first; what is no list of disks is none.
    pub(crate) fn all(column: &str) -> Vec<Self> {
        let rows: Vec<DiskRow> = serde_json::from_str(column).unwrap_or_default();
        let mut disks: Vec<_> = rows.into_iter().map(Self::new).collect();
        disks.sort_by_key(|disk| std::cmp::Reverse(disk.permille));
        disks.truncate(DISKS_MAX);
        disks
    }

    fn new(row: DiskRow) -> Self {
        let used = row.used_bytes.min(row.total_bytes);
        let permille = u128::from(used) * 1_000 / u128::from(row.total_bytes.max(1));
        Self {
            mount: row.mount,
            used: bytes(row.used_bytes),
            total: bytes(row.total_bytes),
            permille: u64::try_from(permille).unwrap_or(1_000),
        }
    }

    pub(super) fn percent(&self) -> String {
        format!("{}.{}\u{a0}%", self.permille / 10, self.permille % 10)
    }

    /// The word of its colour: a disk is at ease until it is nearly full.
    pub(super) const fn tone(&self) -> &'static str {
        match self.permille {
            0..850 => "good",
            850..950 => "fair",
            950.. => "poor",
        }
    }
}

#[derive(Deserialize)]
struct DiskRow {
    mount: String,
    total_bytes: u64,
    used_bytes: u64,
}

/// Says bytes in the largest unit of 1024 that leaves at least one.
fn bytes(n: u64) -> String {
    let (mut unit, mut rest) = ("B", n);
    let mut tenths = 0;
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if rest < 1_024 {
            break;
        }
        tenths = rest % 1_024 * 10 / 1_024;
        rest /= 1_024;
        unit = larger;
    }
    if unit == "B" || rest >= 100 {
        return format!("{rest}\u{a0}{unit}");
    }
    format!("{rest}.{tenths}\u{a0}{unit}")
}

/// Which time is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Where it begins.
    pub(crate) from: Timestamp,
    /// Where it ends.
    pub(crate) to: Timestamp,
    /// The word of the address, where it is a span until now.
    pub(crate) range: Option<&'static str>,
}

/// Says that an address names no window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoReach;

impl Reach {
    /// Reads `range`, or `from` and `to`; the last hour when there is none of them.
    ///
    /// # Errors
    /// [`NoReach`] for other words, times that are none or in the wrong order, and windows of less
    /// than a minute or more than 14 days.
    pub(crate) fn parse(
        range: &str,
        (from, to): (&str, &str),
        now: Timestamp,
    ) -> Result<Self, NoReach> {
        if from.is_empty() && to.is_empty() {
            let wanted = if range.is_empty() { RANGES[0].0 } else { range };
            let found = RANGES.into_iter().find(|(word, _)| *word == wanted);
            let (word, seconds) = found.ok_or(NoReach)?;
            return Ok(Self {
                from: now.saturating_sub(Span::from_secs(seconds)),
                to: now,
                range: Some(word),
            });
        }
        let time = |text| Timestamp::parse_rfc3339(text).map_err(|_| NoReach);
        let (from, to) = (time(from)?, time(to)?);
        let seconds = to.since(from).micros() / 1_000_000;
        if !range.is_empty() || to <= from || !(0..=SPAN_MAX_S).contains(&seconds) {
            return Err(NoReach);
        }
        Ok(Self::of_width(from, to.since(from), now))
    }

    /// A window as wide as wanted, within the bounds, that does not reach beyond now.
    fn of_width(from: Timestamp, width: Span, now: Timestamp) -> Self {
        let seconds = (width.micros() / 1_000_000).clamp(SPAN_MIN_S, SPAN_MAX_S);
        let width = Span::from_secs(seconds);
        let latest = now.saturating_sub(width);
        let from = from.min(latest);
        Self {
            from,
            to: from.saturating_add(width),
            range: None,
        }
    }

    fn width(&self) -> Span {
        self.to.since(self.from)
    }

    fn middle(&self) -> Timestamp {
        self.from
            .saturating_add(Span::from_micros(self.width().micros() / 2))
    }

    /// The window of the same middle, so many quarters as wide.
    fn scaled(&self, quarters: i64, now: Timestamp) -> Self {
        let micros = self.width().micros() / 4 * quarters;
        let bounds = [SPAN_MIN_S, SPAN_MAX_S].map(|seconds| Span::from_secs(seconds).micros());
        let micros = micros.clamp(bounds[0], bounds[1]);
        let from = self.middle().saturating_sub(Span::from_micros(micros / 2));
        Self::of_width(from, Span::from_micros(micros), now)
    }

    /// The window half its width away.
    fn moved(&self, forward: i64, now: Timestamp) -> Self {
        let way = Span::from_micros(self.width().micros() / 2 * forward);
        Self::of_width(self.from.saturating_add(way), self.width(), now)
    }

    fn href(&self, agent: AgentId) -> String {
        let (from, to) = (self.from.to_rfc3339(), self.to.to_rfc3339());
        format!("/agents/{agent}?from={from}&to={to}#readings")
    }
}

/// A link to another window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pick {
    pub(super) href: String,
    pub(super) text: &'static str,
    /// What the script looks for when a key is pressed.
    pub(super) does: &'static str,
    pub(super) is_here: bool,
}

/// The links beside the plots: spans until now, then steps from here.
pub(super) fn picks(reach: &Reach, agent: AgentId, now: Timestamp) -> [Vec<Pick>; 2] {
    let ranges = RANGES.map(|(word, _)| Pick {
        href: format!("/agents/{agent}?range={word}#readings"),
        text: word,
        does: "",
        is_here: reach.range == Some(word),
    });
    let steps = [
        ("Earlier", "earlier", reach.moved(-1, now)),
        ("Later", "later", reach.moved(1, now)),
        ("Zoom in", "in", reach.scaled(2, now)),
        ("Zoom out", "out", reach.scaled(8, now)),
    ];
    let steps = steps.map(|(text, does, to)| Pick {
        href: to.href(agent),
        text,
        does,
        is_here: false,
    });
    [ranges.into(), steps.into()]
}

/// Draws everything that there is.
pub(super) fn plots(readings: &Readings) -> Vec<Plot> {
    let window = Window {
        from: readings.reach.from,
        to: readings.reach.to,
        step: readings.step,
    };
    let names = [
        (("cpu", "CPU"), Unit::Percent),
        (("memory", "Memory"), Unit::Percent),
        (("load", "Load"), Unit::Plain),
    ];
    let drawn = names.into_iter().zip(&readings.drawn);
    let drawn = drawn
        .filter_map(|((name, unit), of)| Plot::new(name, unit, window, std::slice::from_ref(of)));
    drawn.map(Plot::zoomable).collect()
}

/// The spans that are offered, in seconds; raw metrics are kept 14 days.
const RANGES: [(&str, i64); 5] = [
    ("1h", 3_600),
    ("6h", 21_600),
    ("24h", 86_400),
    ("7d", 604_800),
    ("14d", SPAN_MAX_S),
];
/// Disks that are listed.
const DISKS_MAX: usize = 12;
const SPAN_MIN_S: i64 = 60;
const SPAN_MAX_S: i64 = 14 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::parse_rfc3339("2026-11-21T12:00:00Z").unwrap()
    }

    fn reach(range: &str, from: &str, to: &str) -> Result<Reach, NoReach> {
        Reach::parse(range, (from, to), now())
    }

    #[test]
    fn a_window_is_a_span_until_now_or_two_times() {
        for (word, seconds) in RANGES {
            let found = reach(word, "", "").unwrap();
            assert_eq!((found.to, found.range), (now(), Some(word)));
            assert_eq!(found.width(), Span::from_secs(seconds));
        }
        assert_eq!(reach("", "", "").unwrap().range, Some("1h"));
        let found = reach("", "2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z").unwrap();
        assert_eq!(found.from.to_rfc3339(), "2026-11-21T10:00:00.000000Z");
        assert_eq!((found.width(), found.range), (Span::from_secs(3_600), None));
    }

    #[test]
    fn disks_are_said_by_how_full_they_are() {
        let column = r#"[{"mount":"/","total_bytes":1000,"used_bytes":250},
            {"mount":"/var","total_bytes":10737418240,"used_bytes":10737418239},
            {"mount":"/none","total_bytes":0,"used_bytes":5}]"#;
        let disks = Disk::all(column);
        let mounts: Vec<_> = disks
            .iter()
            .map(|disk| (&*disk.mount, disk.percent()))
            .collect();
        let said = |text: &str| text.replace(' ', "\u{a0}");
        let expected = [
            ("/var", said("99.9 %")),
            ("/", said("25.0 %")),
            ("/none", said("0.0 %")),
        ];
        assert_eq!(mounts, expected);
        assert_eq!(
            (&*disks[0].total, &*disks[1].used),
            (&*said("10.0 GiB"), &*said("250 B"))
        );
        assert_eq!((disks[0].tone(), disks[1].tone()), ("poor", "good"));
        assert_eq!(Disk::all("{}"), []);
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for (range, from, to) in [
            ("2h", "", ""),
            ("1h", "2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z"),
            ("", "2026-11-21T10:00:00Z", ""),
            ("", "", "2026-11-21T10:00:00Z"),
            ("", "2026-11-21T11:00:00Z", "2026-11-21T10:00:00Z"),
            ("", "2026-11-01T00:00:00Z", "2026-11-21T00:00:00Z"),
            ("", "'; DROP", "2026-11-21T10:00:00Z"),
        ] {
            assert_eq!(reach(range, from, to), Err(NoReach), "{range} {from} {to}");
        }
    }

    #[test]
    fn steps_stay_within_their_bounds_and_never_reach_beyond_now() {
        let hour = reach("1h", "", "").unwrap();
        assert_eq!(hour.moved(1, now()).to, now());
        assert_eq!(hour.moved(-1, now()).width(), hour.width());
        assert_eq!(hour.scaled(2, now()).width(), Span::from_secs(1_800));
        assert_eq!(hour.scaled(8, now()).width(), Span::from_secs(7_200));
        assert_eq!(hour.scaled(8, now()).to, now());
        let mut least = hour;
        for _ in 0..20 {
            least = least.scaled(2, now());
        }
        assert_eq!(least.width(), Span::from_secs(SPAN_MIN_S));
        let mut most = hour;
        for _ in 0..20 {
            most = most.scaled(8, now());
        }
        assert_eq!(
            (most.width(), most.to),
            (Span::from_secs(SPAN_MAX_S), now())
        );
    }
}
