//! What becomes durable at which tick, and in which order.

use std::fs;

use monsys_agent::Clock;
use monsys_agent::clock::HubClock;
use monsys_agent::collect::CollectError;
use monsys_agent::collect::root::Root;
use monsys_agent::config::DataDir;
use monsys_agent::enrolment::Enrolment;
use monsys_agent::error::AgentError;
use monsys_agent::sampling::{Sampler, health_of_gaps, health_of_spool};
use monsys_agent::spool::{Spool, SpoolLimits};
use monsys_core::time::{Span, Timestamp};
use serde_json::Value;

use crate::commands::init;
use crate::hub::{Hub, TempDir};

/// A sampler of a machine that shows nothing but its processor, and its spool.
struct Bench {
    dir: TempDir,
    sampler: Sampler,
    enrolment: Enrolment,
    spool: Spool,
}

impl Bench {
    fn new(limits: SpoolLimits) -> Self {
        let (hub, dir) = (Hub::start(), TempDir::new());
        assert!(init(&hub, dir.path()).status.success());
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("proc")).unwrap();
        fs::write(root.join("proc/stat"), stat(0)).unwrap();
        let mut sampler = Sampler::new(&Root::at(&root), Clock::system(), Span::from_secs(15));
        sampler.prime();
        Self {
            enrolment: Enrolment::load(&DataDir::at(dir.path())).unwrap(),
            spool: Spool::open(&dir.path().join("spool"), limits).unwrap(),
            dir,
            sampler,
        }
    }

    /// Lets processor time pass, measures, and returns what was spooled.
    fn tick(&mut self, tick: u32) -> Vec<(u64, Value)> {
        let first = self.spool.ledger().next_number();
        let path = self.dir.path().join("root/proc/stat");
        fs::write(path, stat(first)).unwrap();
        let measured = self.sampler.measure(tick, health_of_spool(&mut self.spool));
        let spooled = self
            .sampler
            .spool(&measured, &self.enrolment, &mut self.spool);
        let end = self.spool.ledger().next_number();
        assert_eq!(spooled.unwrap(), end - 1, "metrics are the last");
        let numbers = first..end;
        numbers.map(|number| (number, self.body(number))).collect()
    }

    fn body(&self, number: u64) -> Value {
        let (_, record) = self.spool.read(number).unwrap();
        serde_json::from_slice(&record.body).unwrap()
    }

    fn types(&mut self, tick: u32) -> Vec<String> {
        let bodies = self.tick(tick).into_iter();
        bodies
            .map(|(_, body)| body["type"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[test]
fn signals_of_a_machine_with_a_wrong_clock_are_dated_by_the_hub_and_metrics_by_the_machine() {
    let mut bench = Bench::new(SpoolLimits::standard());
    let hub_clock = HubClock::unknown();
    bench.sampler.follow(hub_clock.clone());
    let (here, years) = (Clock::system().now(), 50 * 365 * 86_400);
    hub_clock.note(here, here.saturating_add(Span::from_secs(-years)));
    let spooled = bench.tick(0);
    let time = |value: &Value| Timestamp::parse_rfc3339(value.as_str().unwrap()).unwrap();
    let of_type = |name: &str| spooled.iter().find(|(_, body)| body["type"] == name);
    let (_, signals) = of_type("agent_signals").unwrap();
    let captured_at = time(&signals["captured_at"]);
    assert!(captured_at >= here, "the raw clock");
    for signal in signals["data"]["signals"].as_array().unwrap() {
        let observed_at = time(&signal["observed_at"]);
        assert_eq!(captured_at.since(observed_at), Span::from_secs(years));
    }
    let (_, metrics) = of_type("metrics").unwrap();
    assert_eq!(time(&metrics["captured_at"]), captured_at);
}

/// Processor times of a machine that works a tenth of the time.
fn stat(time: u64) -> String {
    let (busy, idle) = (100 + time, 900 + 9 * time);
    format!("cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 {busy} 0 0 {idle} 0 0 0 0 0 0\n")
}

fn reason<'a>(snapshot: &'a Value, collector: &str) -> Option<&'a str> {
    let health = snapshot["data"]["health"].as_array().unwrap();
    let entry = health.iter().find(|entry| entry["collector"] == collector);
    entry.unwrap()["reason"].as_str()
}

#[test]
fn signals_a_snapshot_and_metrics_are_spooled_at_the_first_tick_and_every_five_minutes() {
    let mut bench = Bench::new(SpoolLimits::standard());
    let all = ["agent_signals", "endpoint", "metrics"];
    assert_eq!(bench.types(0), all);
    for tick in 1..20 {
        assert_eq!(bench.types(tick), ["metrics"]);
    }
    assert_eq!(bench.types(20), all);
    assert_eq!(bench.types(21), ["metrics"]);
    assert_eq!(bench.types(500), all, "after a long sleep too");
}

#[test]
fn a_value_that_changes_is_spooled_within_a_minute() {
    let mut bench = Bench::new(SpoolLimits::standard());
    bench.types(0);
    let run = bench.dir.path().join("root/run");
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("reboot-required"), "").unwrap();
    for tick in 1..4 {
        assert_eq!(bench.types(tick), ["metrics"]);
    }
    assert_eq!(bench.types(4), ["agent_signals", "metrics"]);
    assert_eq!(bench.types(8), ["metrics"], "said once");
}

#[test]
fn all_payloads_of_a_tick_were_captured_at_one_moment() {
    let mut bench = Bench::new(SpoolLimits::standard());
    let bodies = bench.tick(0);
    let moments: Vec<&Value> = bodies
        .iter()
        .map(|(_, body)| &body["captured_at"])
        .collect();
    assert!(
        moments.iter().all(|moment| *moment == moments[0]),
        "{moments:?}"
    );
}

#[test]
fn e5_without_a_processor_figure_the_rest_is_spooled_and_says_so() {
    let mut bench = Bench::new(SpoolLimits::standard());
    fs::remove_file(bench.dir.path().join("root/proc/stat")).unwrap();
    let first = bench.spool.ledger().next_number();
    let measured = bench.sampler.measure(0, health_of_spool(&mut bench.spool));
    let spooled = bench
        .sampler
        .spool(&measured, &bench.enrolment, &mut bench.spool);
    let is_cpu = matches!(spooled, Err(AgentError::Collect(CollectError::CpuUnknown)));
    assert!(is_cpu, "{spooled:?}");
    let snapshot = bench.body(bench.spool.ledger().next_number() - 1);
    assert!(bench.spool.ledger().next_number() > first);
    let expected = "processor times unknown: expected the first line of /proc/stat";
    assert_eq!(reason(&snapshot, "cpu"), Some(expected));
}

#[test]
fn e5_a_loss_in_the_spool_is_in_every_snapshot_until_one_is_with_the_hub() {
    let mut limits = SpoolLimits::standard();
    (limits.bytes_max, limits.segment_bytes) = (131_072, 32_768);
    let mut bench = Bench::new(limits);
    // Returns what the snapshot says of the spool, and its number.
    let said = |bench: &mut Bench, tick: u32| {
        let spooled = bench.tick(tick);
        let (number, snapshot) = &spooled[spooled.len() - 2];
        (reason(snapshot, "spool").map(str::to_owned), *number)
    };
    assert_eq!(said(&mut bench, 0).0, None);
    let mut n_ticks = 0;
    while bench.spool.loss().is_empty() {
        n_ticks += 1;
        bench.tick(1);
        assert!(n_ticks < 1_000, "the spool is never full");
    }
    let told = (2..50).find_map(|n| {
        let lost = health_of_gaps(bench.spool.loss()).reason;
        assert!(lost.is_some(), "told until it is with the hub");
        let (said, number) = said(&mut bench, n * 20);
        assert_eq!(said, lost.map(|reason| reason.to_string()));
        let gaps = bench.spool.ledger().gaps();
        // What was lost to make room for the snapshot itself is told in the next one.
        let is_told = gaps.iter().all(|gap| gap.told_in == Some(number));
        is_told.then_some(number)
    });
    bench.spool.acknowledge(told.unwrap()).unwrap();
    assert_eq!(said(&mut bench, 1_000).0, None);
}
