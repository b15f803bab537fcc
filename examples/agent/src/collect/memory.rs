//! Memory and swap, from `/proc/meminfo`.
//!
//! Used memory is what is not available: total less `MemAvailable`, the kernel's own estimate of
//! what a program can get without swapping. Without that line (before Linux 3.14) it is unknown.
//! What not: caches and buffers apart. Cost: one pass over some fifty lines.

use monsys_core::sample::Count;

use super::count;

/// Sizes in bytes; each is unknown by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Size of the memory.
    pub total: Option<Count>,
    /// What of it is not available.
    pub used: Option<Count>,
    /// Size of the swap space; zero when there is none.
    pub swap_total: Option<Count>,
    /// What of it is used.
    pub swap_used: Option<Count>,
}

/// Reads `/proc/meminfo`.
pub fn parse(text: &str) -> Memory {
    let mut found = [None; 4];
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if let Some(slot) = NAMES
            .iter()
            .position(|n| *n == name)
            .and_then(|at| found.get_mut(at))
        {
            *slot = kib(value);
        }
    }
    let [total, available, swap_total, swap_free] = found;
    let used = |all: Option<u64>, free: Option<u64>| all?.checked_sub(free?).and_then(count);
    Memory {
        total: total.and_then(count),
        used: used(total, available),
        swap_total: swap_total.and_then(count),
        swap_used: used(swap_total, swap_free),
    }
}

fn kib(value: &str) -> Option<u64> {
    let number = value.trim().strip_suffix("kB")?.trim_end();
    number.parse::<u64>().ok()?.checked_mul(1_024)
}

const NAMES: [&str; 4] = ["MemTotal", "MemAvailable", "SwapTotal", "SwapFree"];

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> [Option<i64>; 4] {
        let memory = parse(text);
        [
            memory.total,
            memory.used,
            memory.swap_total,
            memory.swap_used,
        ]
        .map(|c| c.map(Count::get))
    }

    #[test]
    fn a_captured_file_is_read() {
        let text = "MemTotal:       24684084 kB\nMemFree:        24322164 kB\n\
            MemAvailable:   24326164 kB\nSwapCached:            0 kB\n\
            SwapTotal:          1000 kB\nSwapFree:            400 kB\nHugePages_Total:       0\n";
        let total = 24_684_084 * 1_024;
        let used = (24_684_084 - 24_326_164) * 1_024;
        assert_eq!(
            values(text),
            [Some(total), Some(used), Some(1_024_000), Some(614_400)]
        );
    }

    #[test]
    fn a_machine_without_swap_has_zero_and_an_old_kernel_has_unknown() {
        let text = "MemTotal: 10 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n";
        assert_eq!(values(text), [Some(10_240), None, Some(0), Some(0)]);
    }

    #[test]
    fn other_texts_are_unknown() {
        for text in [
            "",
            "MemTotal 10 kB",
            "MemTotal: x kB",
            "MemTotal: 10",
            "MemTotal: -1 kB",
        ] {
            assert_eq!(parse(text), Memory::default(), "{text:?}");
        }
        assert_eq!(
            values("MemTotal: 1 kB\nMemAvailable: 2 kB"),
            [Some(1_024), None, None, None]
        );
    }
}
