//! Deterministic payloads, written in the order in which a person would write them.

use std::fmt::Write;

/// SplitMix64: the same payloads in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Two decimals, as an agent rounds a percentage.
    fn percent(&mut self) -> String {
        (self.below(10_000) as f64 / 100.0).to_string()
    }

    /// A double of full precision in [0, 100).
    fn double(&mut self) -> String {
        ((self.next() >> 11) as f64 / (1_u64 << 53) as f64 * 100.0).to_string()
    }
}

/// About 2 KB of host metrics: nested objects, short strings, counters, percentages.
pub fn metrics() -> String {
    sample(&mut Random(1))
}

/// About 57 KB: what an agent spooled while it was offline.
pub fn batch() -> String {
    let mut random = Random(2);
    let samples = joined(27, |_| sample(&mut random));
    format!(r#"{{"samples":[{samples}],"agent":"edge-gw-0042"}}"#)
}

/// About 487 KB of doubles with all their digits.
pub fn doubles() -> String {
    let mut random = Random(3);
    let series = joined(128, |i| {
        let points = joined(205, |_| random.double());
        format!(r#"{{"name":"m{i}","points":[{points}]}}"#)
    });
    format!(r#"{{"series":[{series}]}}"#)
}

/// About 2 KB in the layout of contract §2, canonical as it stands.
pub fn contract_metrics(agent_id: &str, audience: &str) -> String {
    let mut random = Random(4);
    let disks = joined(10, |i| {
        let used = random.below(1 << 38);
        format!(r#"{{"mount":"/var/lib/data{i}","total_bytes":512110190592,"used_bytes":{used}}}"#)
    });
    let networks = joined(12, |i| {
        let (rx, tx) = (random.below(1 << 45), random.below(1 << 45));
        format!(r#"{{"interface":"eth{i}","rx_bytes":{rx},"tx_bytes":{tx}}}"#)
    });
    let loads = [random.percent(), random.percent(), random.percent()];
    format!(
        concat!(
            r#"{{"agent_id":"{}","agent_version":"0.1.0","aud":"{}","#,
            r#""captured_at":"2026-11-21T01:15:41.123456Z","data":{{"cpu_cores":8,"#,
            r#""cpu_usage_percent":{},"disks":[{}],"load1":{},"load15":{},"load5":{},"#,
            r#""mem_total_bytes":33554432000,"mem_used_bytes":17179869184,"networks":[{}],"#,
            r#""swap_total_bytes":0,"swap_used_bytes":0,"uptime_seconds":864000}},"#,
            r#""epoch":1,"sent_at":"2026-11-21T01:15:41.3Z","seq":17,"type":"metrics","v":1}}"#
        ),
        agent_id,
        audience,
        random.percent(),
        disks,
        loads[0],
        loads[2],
        loads[1],
        networks
    )
}

/// Inputs of 512 KB that are each as bad as they can be in one respect.
pub fn worst() -> [(&'static str, String); 8] {
    [
        ("names_unsorted", names("")),
        ("names_unsorted_long_prefix", names("sensor_reading_")),
        ("digits_17", array(|random| random.double())),
        (
            "escapes_short",
            format!("\"{}\"", "\\n".repeat(BYTES_MAX / 2 - 2)),
        ),
        (
            "escapes_hex",
            format!("\"{}\"", "\\u0041".repeat(BYTES_MAX / 6 - 2)),
        ),
        ("names_escaped", names("\\u0041\\n")),
        (
            "depth_32",
            array(|_| format!("{}{}", "[".repeat(31), "]".repeat(31))),
        ),
        (
            "depth_32_unsorted",
            array(|_| format!(r#"{}0{}"#, r#"{"b":"#.repeat(31), r#","a":0}"#.repeat(31))),
        ),
    ]
}

fn names(prefix: &str) -> String {
    let mut text = String::from("{");
    // An odd factor visits every number below 2^20 once, in an order that looks like none.
    for i in 0_u64.. {
        let shuffled = i.wrapping_mul(0x9_E37B) & 0xF_FFFF;
        let member = format!(r#""{prefix}{shuffled:x}":0,"#);
        if text.len() + member.len() > BYTES_MAX {
            break;
        }
        text.push_str(&member);
    }
    text.pop();
    text.push('}');
    text
}

fn array(mut element: impl FnMut(&mut Random) -> String) -> String {
    let mut random = Random(5);
    let mut text = String::from("[");
    loop {
        let element = element(&mut random);
        if text.len() + element.len() + 1 > BYTES_MAX {
            break;
        }
        text.push_str(&element);
        text.push(',');
    }
    text.pop();
    text.push(']');
    text
}

fn sample(random: &mut Random) -> String {
    let mut text = String::new();
    let disks = joined(4, |i| {
        format!(
            r#"{{"mount":"/var/lib/data{i}","fs":"ext4","total_bytes":512110190592,"used_bytes":{},"inodes_used":{},"read_bps":{},"write_bps":{},"await_ms":{}}}"#,
            random.below(1 << 38),
            random.below(1 << 24),
            random.below(1 << 28),
            random.below(1 << 28),
            random.percent()
        )
    });
    let networks = joined(3, |i| {
        format!(
            r#"{{"interface":"eth{i}","rx_bytes":{},"tx_bytes":{},"rx_errors":0,"tx_errors":0,"up":true}}"#,
            random.below(1 << 45),
            random.below(1 << 45)
        )
    });
    let processes = joined(6, |i| {
        format!(
            r#"{{"pid":{},"name":"postgres: worker {i}","user":"postgrès","cpu":{},"rss":{}}}"#,
            random.below(65_536),
            random.percent(),
            random.below(1 << 32)
        )
    });
    let cpu = joined(3, |_| random.percent());
    // Cannot fail: writing to a String does not.
    let _ = write!(
        text,
        concat!(
            r#"{{"type":"metrics","agent_id":"7b1f6c1e-52f1-4f2b-9d1a-{:012x}","#,
            r#""hostname":"edge-gw-{:04}.fra1.example.net","#,
            r#""captured_at":"2026-11-20T20:{:02}:{:02}.{:03}Z","agent_version":"0.14.{}","seq":{},"#,
            r#""cpu":{{"usage_percent":{},"user":{},"system":{},"iowait":{},"steal":0,"loads":[{}],"cores":8}},"#,
            r#""memory":{{"total_bytes":33554432000,"used_bytes":{},"cached_bytes":{},"#,
            r#""swap_used_bytes":{},"used_percent":{}}},"disks":[{}],"networks":[{}],"processes":[{}],"#,
            r#""tags":{{"env":"prod","team":"sre","region":"eu-central-1"}},"note":null}}"#
        ),
        random.below(1 << 48),
        random.below(9_999),
        random.below(60),
        random.below(60),
        random.below(1_000),
        random.below(20),
        random.below(1 << 40),
        random.percent(),
        random.percent(),
        random.percent(),
        random.percent(),
        cpu,
        random.below(1 << 35),
        random.below(1 << 34),
        random.below(1 << 30),
        random.percent(),
        disks,
        networks,
        processes,
    );
    text
}

fn joined(n: usize, element: impl FnMut(usize) -> String) -> String {
    (0..n).map(element).collect::<Vec<_>>().join(",")
}

/// The largest body of contract §2.
const BYTES_MAX: usize = 524_288;
