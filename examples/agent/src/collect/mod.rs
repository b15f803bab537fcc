//! What the machine says about itself, read from `/proc`, `/etc` and `statvfs`.
//!
//! Reading is apart from parsing: each file of this folder has a pure `parse` over the text of one
//! `/proc` file, and [`Collector`] is the only one that opens files for metrics. What not: command
//! lines, file contents, host names; they have no member in a payload (contract §2). What
//! cannot be read is `None`, never zero, and never an end of the program; only without a processor
//! figure there is no sample, because the payload requires one. Cost: six small files and one
//! `statvfs` per disk a sample.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use monsys_core::endpoint::CollectorHealth;
use monsys_core::sample::{Count, Finite, MetricSample, SampleError};
use monsys_core::text::{ShortText, clean};
use thiserror::Error;

pub mod auth;
pub mod backup;
pub mod checks;
pub mod clock_check;
pub mod cpu;
pub mod disk;
#[cfg(unix)]
pub mod fit;
pub mod health;
pub mod launchd;
#[cfg(unix)]
pub mod listener;
pub mod load;
pub mod memory;
pub mod mounts;
pub mod network;
#[cfg(unix)]
pub mod persistence;
pub mod posture;
#[cfg(unix)]
pub mod proc_dir;
#[cfg(unix)]
pub mod process;
pub mod root;
pub(crate) mod small_file;
#[cfg(unix)]
pub mod snapshot;
#[cfg(unix)]
pub mod sock_diag;
pub mod socket_owner;
pub mod users;
pub mod windows;

use cpu::CpuTimes;
use root::Root;

/// Reads samples; it keeps the last processor times, because a share needs two readings.
#[derive(Debug)]
pub struct Collector {
    proc: PathBuf,
    /// Below it are the mount points that `/proc` tells.
    root: Root,
    last: Option<CpuTimes>,
}

/// Says why there is no sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CollectError {
    /// `/proc/stat` is absent, unreadable or in an unknown form.
    #[error("processor times unknown: expected the first line of /proc/stat")]
    CpuUnknown,
    /// This is the first reading, or no clock tick passed since the last one.
    #[error("processor use unknown: expected a second reading after some clock ticks")]
    NoInterval,
}

impl Collector {
    /// Makes a collector of this machine, without a reading yet.
    pub fn new() -> Self {
        Self::at(Path::new("/proc"))
    }

    /// Makes a collector that reads a captured copy of `/proc`.
    pub fn at(proc: &Path) -> Self {
        Self {
            proc: proc.to_owned(),
            root: Root::system(),
            last: None,
        }
    }

    /// Makes a collector of the machine below a root.
    pub fn below(root: &Root) -> Self {
        Self {
            root: root.clone(),
            ..Self::at(&root.path("proc"))
        }
    }

    /// Takes the first reading of processor times, from which the next sample counts.
    pub fn prime(&mut self) {
        self.last = self
            .read("stat")
            .and_then(|text| cpu::parse(&text))
            .map(|stat| stat.times);
    }

    /// Returns whether a reading is there from which a sample can count.
    pub const fn is_primed(&self) -> bool {
        self.last.is_some()
    }

    /// Measures; processor use covers the time since the last reading.
    ///
    /// # Errors
    /// [`CollectError`] when processor use is unknown; the reading counts for the next sample.
    pub fn sample(&mut self) -> Result<MetricSample, CollectError> {
        let text = self.read("stat").ok_or(CollectError::CpuUnknown)?;
        let stat = cpu::parse(&text).ok_or(CollectError::CpuUnknown)?;
        let former = self
            .last
            .replace(stat.times)
            .ok_or(CollectError::NoInterval)?;
        let percent = cpu::usage(&former, &stat.times).ok_or(CollectError::NoInterval)?;
        let mut sample = MetricSample::of_cpu(percent);
        sample.cpu_cores = stat.cores;
        self.add_load(&mut sample);
        self.add_memory(&mut sample);
        sample.disks = self
            .read("mounts")
            .map(|text| disk::measure(&self.root, &disk::parse(&text)));
        sample.networks = self.read("net/dev").and_then(|text| network::parse(&text));
        Ok(sample)
    }

    fn add_load(&self, sample: &mut MetricSample) {
        if let Some(load) = self.read("loadavg").and_then(|text| load::parse(&text)) {
            [sample.load1, sample.load5, sample.load15] = load.map(Some);
        }
        sample.uptime_seconds = self
            .read("uptime")
            .and_then(|text| load::parse_uptime(&text));
    }

    fn add_memory(&self, sample: &mut MetricSample) {
        let Some(memory) = self.read("meminfo").map(|text| memory::parse(&text)) else {
            return;
        };
        sample.mem_total_bytes = memory.total;
        sample.mem_used_bytes = memory.used;
        sample.swap_total_bytes = memory.swap_total;
        sample.swap_used_bytes = memory.swap_used;
    }

    fn read(&self, name: &str) -> Option<String> {
        read_text(&self.proc.join(name))
    }
}

/// Tells how the collectors of metrics fared, by what is unknown in their sample.
pub fn health_of(sample: Result<&MetricSample, &CollectError>) -> Vec<CollectorHealth> {
    let cpu = match sample {
        Ok(_) => health::ok("cpu"),
        Err(error) => health::unavailable("cpu", &error.to_string()),
    };
    let Ok(sample) = sample else {
        let others = ["memory", "load", "disks", "networks"];
        let unread = |name| {
            health::unavailable(
                name,
                "expected a processor figure, without which nothing is sampled",
            )
        };
        return [cpu].into_iter().chain(others.map(unread)).collect();
    };
    let memory = [
        sample.mem_total_bytes,
        sample.mem_used_bytes,
        sample.swap_total_bytes,
        sample.swap_used_bytes,
    ];
    let load = [
        sample.load1,
        sample.load5,
        sample.load15,
        sample.uptime_seconds,
    ];
    vec![
        cpu,
        health_of_parts(
            "memory",
            &memory.map(|part| part.is_some()),
            "/proc/meminfo",
        ),
        health_of_parts(
            "load",
            &load.map(|part| part.is_some()),
            "/proc/loadavg and /proc/uptime",
        ),
        health_of_parts("disks", &[sample.disks.is_some()], "/proc/mounts"),
        health_of_parts("networks", &[sample.networks.is_some()], "/proc/net/dev"),
    ]
}

fn health_of_parts(collector: &str, is_known: &[bool], source: &str) -> CollectorHealth {
    if is_known.iter().all(|known| *known) {
        return health::ok(collector);
    }
    let reason = format!("expected {source} in a known form");
    if is_known.contains(&true) {
        health::degraded(collector, &reason)
    } else {
        health::unavailable(collector, &reason)
    }
}

impl Default for Collector {
    fn default() -> Self {
        Self::new()
    }
}

/// Reads a file of a machine; `None` when that is not possible.
fn read_text(path: &Path) -> Option<String> {
    let file = File::open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    // Most files are valid text, and are then taken over as they are.
    Some(
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
    )
}

/// Cleans a name that the machine gave and holds it within `bytes_max`; `None` when nothing is left.
fn clean_name(name: &str, bytes_max: usize) -> Option<ShortText> {
    let mut text = clean(name, bytes_max);
    if text.len() > bytes_max {
        // The longest character has four bytes.
        text = clean(&text, bytes_max / 4);
    }
    (!text.is_empty()).then(|| ShortText::from(text))
}

fn count(value: u64) -> Option<Count> {
    i64::try_from(value)
        .ok()
        .and_then(|value| Count::new(value).ok())
}

fn not_negative(text: &str) -> Option<Finite> {
    let value: Result<Finite, SampleError> = text
        .parse()
        .map_or(Err(SampleError::NotFinite), Finite::non_negative);
    value.ok()
}

/// Files of `/proc` grow with processors and mounts; what is longer than this is cut.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> Collector {
        Collector::at(
            &Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests/fixtures")
                .join(name),
        )
    }

    #[test]
    fn this_machine_has_a_processor_figure_and_memory() {
        let mut collector = Collector::new();
        collector.prime();
        let sample = loop {
            match collector.sample() {
                Ok(sample) => break sample,
                Err(error) => assert_eq!(error, CollectError::NoInterval),
            }
        };
        assert!((0.0..=100.0).contains(&sample.cpu_usage_percent.get()));
        assert!(sample.mem_total_bytes.is_some() && sample.cpu_cores.is_some());
    }

    #[test]
    fn a_machine_without_proc_has_no_sample_and_stops_nothing() {
        let mut collector = fixture("absent");
        collector.prime();
        assert_eq!(collector.sample(), Err(CollectError::CpuUnknown));
    }

    #[test]
    fn e5_without_a_processor_figure_every_collector_of_metrics_is_unavailable() {
        let health = health_of(Err(&CollectError::CpuUnknown));
        let names: Vec<&str> = health
            .iter()
            .map(|entry| entry.collector.as_str())
            .collect();
        assert_eq!(names, ["cpu", "memory", "load", "disks", "networks"]);
        assert!(
            health
                .iter()
                .all(|entry| entry.state.as_str() == "unavailable")
        );
    }

    #[test]
    fn unreadable_files_are_unknown_and_not_zero() {
        let mut collector = fixture("only-stat");
        collector.last = Some(CpuTimes::default());
        let sample = collector.sample().unwrap();
        let bare = MetricSample {
            cpu_cores: sample.cpu_cores,
            ..MetricSample::of_cpu(sample.cpu_usage_percent)
        };
        assert_eq!(sample, bare);
        assert!(sample.cpu_cores.is_some());
    }

    #[test]
    fn names_fit_their_limit_in_bytes() {
        assert_eq!(clean_name("\u{202e}\n", 16), None);
        assert_eq!(clean_name(&"é".repeat(20), 16).as_deref(), Some("éééé"));
        assert_eq!(clean_name("/home", 16).as_deref(), Some("/home"));
    }
}
