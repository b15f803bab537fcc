//! A day of backlog and the daemon as people run it: how fast it drains, and in how much memory.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use monsys_agent::Clock;
use monsys_agent::config::DataDir;
use monsys_agent::enrolment::Enrolment;
use monsys_agent::spool::{SpoolLimits, inspect};
use monsys_core::position::{Admission, Position};
use monsys_core::sample::{CpuPercent, MetricSample};
use monsys_core::time::Span;
use monsys_wire::compose::Outbound;
use monsys_wire::spool::record::{MAGIC, Record};

use crate::commands::init;
use crate::crashes::daemon;
use crate::hub::{Hub, TempDir};

/// A sample every 15 s for 24 h, and two payloads more every five minutes.
const PAYLOADS: i64 = 5_760 + 576;

#[test]
fn a_day_of_backlog_drains_at_the_pace_of_the_hub_in_flat_memory() {
    let (hub, dir) = (Hub::start(), TempDir::new());
    assert!(init(&hub, dir.path()).status.success());
    spool_a_day(dir.path());
    let spool = dir.path().join("spool");
    let status = || inspect(&spool, SpoolLimits::standard()).unwrap();
    assert_eq!(i64::try_from(status().pending), Ok(PAYLOADS));
    let mut daemon = daemon(dir.path());
    let (begin, mut before) = (Instant::now(), 0);
    for n in 0..PAYLOADS {
        hub.events().recv_timeout(Duration::from_secs(30)).unwrap();
        if n == PAYLOADS / 10 {
            before = resident_kib(daemon.id());
        }
    }
    let (took, after) = (begin.elapsed(), resident_kib(daemon.id()));
    while status().pending > 0 {
        hub.events().recv_timeout(Duration::from_secs(30)).unwrap();
    }
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let (n_gaps, n_all) = (n_filling_gaps(&hub), hub.arrived().len());
    println!(
        "{PAYLOADS} payloads in {:.1} s, {:.0} a second; {before} KiB resident after a tenth, \
         {after} KiB at the end",
        took.as_secs_f64(),
        f64::from(u16::try_from(PAYLOADS).unwrap()) / took.as_secs_f64(),
    );
    assert!(
        after <= before + before / 20,
        "{before} KiB grew to {after} KiB"
    );
    assert!(
        n_gaps >= n_all - 2 * n_all / 10,
        "{n_gaps} of {n_all} came as backlog"
    );
    assert_eq!((status().epoch, status().dropped), (1, 0));
}

/// Writes what a day without a hub leaves behind, without waiting for a disk or a day.
fn spool_a_day(data: &Path) {
    let enrolment = Enrolment::load(&DataDir::at(data)).unwrap();
    let spool = data.join("spool");
    fs::remove_dir_all(&spool).unwrap();
    fs::create_dir(&spool).unwrap();
    let now = Clock::system().now();
    let (mut segment, mut name) = (MAGIC.to_vec(), 1);
    for number in 1..=PAYLOADS {
        let age = Span::from_secs((PAYLOADS - number + 60) * 14);
        let captured_at = now.saturating_sub(age);
        let cpu = f64::from(getrandom::u32().unwrap()) / f64::from(u32::MAX);
        let sample = MetricSample::of_cpu(CpuPercent::new(100.0 * cpu).unwrap());
        let position = Position::new(1, number).unwrap();
        let body = enrolment
            .compose(Outbound::Metrics(&sample), position, captured_at)
            .unwrap();
        let record = Record {
            number: position.seq(),
            epoch: 1,
            seq: position.seq(),
            captured_at,
            body: body.as_bytes().to_vec(),
        };
        segment.extend(record.encode());
        if segment.len() >= 1 << 20 || number == PAYLOADS {
            fs::write(spool.join(format!("{name:020}.seg")), &segment).unwrap();
            (segment, name) = (MAGIC.to_vec(), number + 1);
        }
    }
}

fn n_filling_gaps(hub: &Hub) -> usize {
    let fills = Some(Admission::Fresh { fills_gap: true });
    let arrived = hub.arrived();
    arrived.iter().filter(|a| a.admission == fills).count()
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    words[1].parse().unwrap()
}
