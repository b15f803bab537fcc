//! What an agent costs in a cycle, against P: one pass that sums 240 values in eight lanes.
//!
//! P is as fast as reading the values of an hour can be. "Hot" is one agent again and again,
//! "streamed" 20,000 one after the other, each with columns of its own, for P as for ours. A
//! decision is all of it: the window is cut and flatness, cadence and clock are judged. The obvious
//! check is what libraries give: `statrs`, a sort of the gaps, a sum, two parsed versions.

use std::hint::black_box;

use monsys_core::AgentId;
use monsys_core::facts::{
    AgentFacts, ClockFacts, ClockReading, Facts, MetricRow, MetricWindow, VersionFacts,
    WindowBounds,
};
use monsys_core::time::{Span, Timestamp};
use monsys_core::verdict::Verdict;
use monsys_integrity::detect::{cadence_anomaly, clock_drift, flat_metrics};
use monsys_integrity::deviation::{is_spread_over, sample_deviation};
use monsys_integrity::ring::Ring;
use monsys_integrity::{Config, Cycle, version};
use statrs::statistics::Statistics;

use crate::race::Race;
use crate::report::Figure;
use crate::report::Target::{AtMost, AtMostNanos, Part, TimesFaster};

/// Every figure of the topic, measured.
pub fn figures() -> Vec<Figure> {
    let mut figures = hot();
    let (streamed, pass) = streamed();
    figures.extend(streamed);
    figures.extend(growth());
    figures.push(million(pass));
    figures
}

/// One agent, again and again.
fn hot() -> Vec<Figure> {
    let config = Config::standard();
    let honest = metrics(&mut Draw(1));
    let cpu: Vec<f64> = honest.iter().map(|metric| metric.1).collect();
    let constant = vec![4.20; N];
    let (facts, attacker) = (facts(&honest), facts(&flat_and_fast()));
    let cycle = Cycle {
        previous: None,
        now: at(0),
    };
    let mut ring = ring(&honest);
    let mut race = Race::default();
    race.add("pass", || {
        black_box(sum(black_box(&cpu)));
    });
    race.add("decision", || {
        assert!(is_honest(black_box(&mut ring), &config));
    });
    race.add("flat", || {
        assert!(is_spread_over(black_box(&cpu), N, black_box(0.001)));
    });
    race.add("flat check", || {
        let verdict = flat_metrics::check(&black_box(&facts).view(), &config, cycle);
        assert_eq!(verdict, Verdict::Pass);
    });
    race.add("exact", || {
        black_box(sample_deviation(black_box(&cpu)));
    });
    race.add("exact, constant", || {
        assert_eq!(sample_deviation(black_box(&constant)), Some(0.0));
    });
    race.add("statrs", || {
        black_box(black_box(&cpu).iter().std_dev());
    });
    race.add("obvious", || {
        assert!(is_honest_plainly(black_box(&honest)));
    });
    race.add("attacker", || {
        for check in [flat_metrics::check, cadence_anomaly::check] {
            let verdict = check(&black_box(&attacker).view(), &config, cycle);
            assert!(matches!(black_box(verdict), Verdict::Fail(_)));
        }
    });
    let times = race.finish();
    let pass = times.of("pass");
    let figure = |name: &str, of, target| {
        Figure::new(format!("agent_240/{name}"), times.of(of), pass, target)
    };
    let decision = times.of("decision");
    vec![
        figure("decision, hot / P", "decision", AtMost(2.0)),
        figure("flat decision / P", "flat", AtMost(0.25)),
        figure("flat_metrics::check, honest / P", "flat check", Part),
        figure("exact deviation / P", "exact", AtMost(8.0)),
        figure(
            "exact deviation, constant / P",
            "exact, constant",
            AtMost(8.0),
        ),
        figure("statrs std_dev / P", "statrs", Part),
        Figure::new(
            "agent_240/decision against the obvious check, hot",
            decision,
            times.of("obvious"),
            TimesFaster(50.0),
        ),
        figure(
            "two findings of a flat and fast agent",
            "attacker",
            AtMostNanos(5_000.0),
        )
        .with_detail("with summary, detail and evidence"),
    ]
}

/// 20,000 agents, one after the other; also the time of P for each.
fn streamed() -> (Vec<Figure>, f64) {
    let config = Config::standard();
    let mut draw = Draw(2);
    let agents: Vec<_> = (0..20_000).map(|_| metrics(&mut draw)).collect();
    let cpus: Vec<Vec<f64>> = agents
        .iter()
        .map(|metrics| metrics.iter().map(|metric| metric.1).collect())
        .collect();
    let mut rings: Vec<_> = agents.iter().map(|metrics| ring(metrics)).collect();
    let n = agents.len() as f64;
    let mut race = Race::default();
    race.add("pass", || {
        black_box(cpus.iter().map(|cpu| sum(cpu)).sum::<f64>());
    });
    race.add("decision", || {
        let n_honest = rings
            .iter_mut()
            .filter_map(|ring| is_honest(ring, &config).then_some(()));
        assert_eq!(n_honest.count(), 20_000);
    });
    race.add("obvious", || {
        let n_honest = agents.iter().filter(|metrics| is_honest_plainly(metrics));
        assert_eq!(n_honest.count(), 20_000);
    });
    let times = race.finish();
    let (pass, decision) = (times.of("pass") / n, times.of("decision") / n);
    let figures = vec![
        Figure::new(
            "agent_240/decision, 20k streamed / P streamed",
            decision,
            pass,
            AtMost(1.0),
        ),
        Figure::new(
            "agent_240/decision against the obvious check, streamed",
            decision,
            times.of("obvious") / n,
            TimesFaster(50.0),
        ),
    ];
    (figures, pass)
}

/// Time for an agent, by the size of the fleet.
fn growth() -> Vec<Figure> {
    let config = Config::standard();
    let fleets = [("1k", 1_000), ("10k", 10_000), ("100k", 100_000)];
    let mut fleets = fleets.map(|(name, n)| (name, fleet(n)));
    let mut race = Race::default();
    for (name, rings) in &mut fleets {
        let config = &config;
        race.add(name, move || {
            let n = rings.len();
            let n_honest = rings
                .iter_mut()
                .filter_map(|ring| is_honest(ring, config).then_some(()));
            assert_eq!(n_honest.count(), n);
        });
    }
    let times = race.finish();
    let [small, middle, large] =
        [("1k", 1e3), ("10k", 1e4), ("100k", 1e5)].map(|(name, n)| times.of(name) / n);
    vec![
        Figure::new("cycle/an agent of 10k, of 1k", middle, small, Part)
            .with_detail("1k stays in the cache"),
        Figure::new("cycle/an agent of 100k, of 10k", large, middle, AtMost(1.2)),
        Figure::new(
            "cycle/10k agents, all",
            middle * 1e4,
            small * 1e4,
            AtMostNanos(20e6),
        ),
    ]
}

/// A million agents, or as many as there is memory for, shown as a million.
fn million(pass: f64) -> Figure {
    let config = Config::standard();
    let n = if n_available_kib() > 6 << 20 {
        1_000_000
    } else {
        200_000
    };
    let mut rings = fleet(n);
    let bytes = rings.iter().map(Ring::n_bytes).sum::<usize>();
    let mut race = Race::default();
    race.add("fleet", || {
        let n_honest = rings
            .iter_mut()
            .filter_map(|ring| is_honest(ring, &config).then_some(()));
        assert_eq!(n_honest.count(), n);
    });
    let nanos = race.finish().of("fleet") * 1e6 / n as f64;
    Figure::new(
        "cycle/1M agents, all",
        nanos,
        pass * 1e6,
        AtMostNanos(500e6),
    )
    .with_detail(format!("{n} agents in {} MB", bytes / 1_000_000))
}

/// Memory that programs may take, in KiB; 0 where the system does not say.
fn n_available_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// So many honest agents, no two alike: a processor that learns a hundred would be foretold.
fn fleet(n: usize) -> Vec<Ring> {
    let mut draw = Draw(3);
    (0..n).map(|_| ring(&metrics(&mut draw))).collect()
}

fn is_honest(ring: &mut Ring, config: &Config) -> bool {
    const NO_VERSIONS: &VersionFacts = &VersionFacts {
        current: None,
        highest: None,
    };
    let now = at(0);
    let Some(view) = ring.view(now) else {
        return false;
    };
    let facts = Facts {
        agent: AgentId::from_bytes([7; 16]),
        window: view.window,
        clock: view.clock,
        version: NO_VERSIONS,
        last_verified_at: Some(now),
        open: &[],
    };
    let cycle = Cycle {
        previous: None,
        now,
    };
    flat_metrics::check(&facts, config, cycle) == Verdict::Pass
        && cadence_anomaly::check(&facts, config, cycle) == Verdict::Pass
        && clock_drift::check(&facts, config, cycle) == Verdict::Pass
}

/// The obvious check: libraries for the deviation and the versions, a sort for the median.
fn is_honest_plainly(metrics: &[Metric]) -> bool {
    let is_flat = metrics.iter().map(|metric| metric.1).std_dev() < 0.001;
    let times = metrics.windows(2);
    let gaps = times.map(|pair| pair[1].0.received_at.since(pair[0].0.received_at).millis());
    let mut gaps: Vec<f64> = gaps.map(|ms| ms as f64).collect();
    gaps.sort_unstable_by(f64::total_cmp);
    let (low, high) = (gaps[(gaps.len() - 1) / 2], gaps[gaps.len() / 2]);
    let is_off = !(7_000.0..=23_000.0).contains(&((low + high) / 2.0));
    let newest = metrics[N - 20..].iter().map(|metric| metric.0);
    let drift = newest.map(|r| r.captured_at.since(r.received_at).abs().millis());
    let is_drifting = drift.sum::<i64>() > 300_000 * 20;
    let [current, highest] =
        black_box(["0.1.0"; 2]).map(|text| semver::Version::parse(text).expect("a version"));
    !is_flat && !is_off && !is_drifting && current >= highest
}

fn sum(values: &[f64]) -> f64 {
    let (chunks, rest) = values.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().sum::<f64>()
}

type Metric = (ClockReading, f64);

fn ring(metrics: &[Metric]) -> Ring {
    let mut ring = Ring::new();
    for (reading, cpu) in metrics {
        ring.push(reading, *cpu);
    }
    ring
}

fn facts(metrics: &[Metric]) -> AgentFacts {
    let rows = metrics.iter().map(|metric| MetricRow {
        received_at: metric.0.received_at,
        cpu_usage_percent: metric.1,
        is_spooled: metric.0.is_spooled,
    });
    AgentFacts {
        agent: AgentId::from_bytes([7; 16]),
        window: MetricWindow::from_rows(WindowBounds::hour_before(at(0)), rows),
        clock: ClockFacts::from_readings(metrics[N - 20..].iter().map(|m| m.0)),
        version: VersionFacts {
            current: Some(version::read("0.1.0".into())),
            highest: Some(version::read("0.1.0".into())),
        },
        last_verified_at: Some(at(0)),
        open: vec![],
    }
}

/// An hour of an honest agent: every 15 s, up to a second late, to two decimals of a percent point.
fn metrics(draw: &mut Draw) -> Vec<Metric> {
    let metric = |i: i64| {
        let late = Span::from_micros(draw.below(1_000_000) as i64);
        let cpu = draw.below(2_000) as f64 / 100.0;
        (
            reading(at((i - N as i64) * 15_000).saturating_add(late)),
            cpu,
        )
    };
    (0..N as i64).map(metric).collect()
}

/// A metric every 3 s, with one value.
fn flat_and_fast() -> Vec<Metric> {
    let metric = |i: i64| {
        (
            reading(at((i - N as i64) * 3_000 + i * 7_919 % 1_013)),
            4.20,
        )
    };
    (0..N as i64).map(metric).collect()
}

fn reading(received_at: Timestamp) -> ClockReading {
    let captured_at = received_at.saturating_sub(Span::from_millis(120));
    ClockReading {
        captured_at,
        sent_at: captured_at,
        received_at,
        is_spooled: false,
    }
}

fn at(millis: i64) -> Timestamp {
    let now = Timestamp::from_unix_micros(1_778_364_220_000_000).expect("a time of this century");
    now.saturating_add(Span::from_millis(millis))
}

struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// What an honest agent sends in an hour.
const N: usize = 240;
