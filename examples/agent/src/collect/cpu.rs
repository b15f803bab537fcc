//! Processor use of the whole machine, from two readings of `/proc/stat`.
//!
//! Busy is everything but idle and waiting for a disk: user, nice, system, interrupts, and stolen
//! time, because the machine had work for the processor which the host gave to another. Guest time
//! is part of user and nice already (proc(5)) and is not added again. What not: shares of single
//! cores or processes. Cost: one line of text.

use monsys_core::sample::{Cores, CpuPercent};

/// Clock ticks since the machine started, summed over all processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuTimes {
    busy: [u64; 6],
    idle: [u64; 2],
}

/// What one reading of `/proc/stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Processor times of the whole machine.
    pub times: CpuTimes,
    /// Processors that are on line.
    pub cores: Option<Cores>,
}

/// Reads `/proc/stat`; `None` when its first line has another form.
pub fn parse(text: &str) -> Option<Stat> {
    let mut fields = text.lines().next()?.split_ascii_whitespace();
    if fields.next() != Some("cpu") {
        return None;
    }
    let mut field = || {
        fields
            .next()
            .map_or(Some(0), |text| text.parse::<u64>().ok())
    };
    let (user, nice, system, idle) = (field()?, field()?, field()?, field()?);
    let (iowait, irq, softirq, steal) = (field()?, field()?, field()?, field()?);
    let times = CpuTimes {
        busy: [user, nice, system, irq, softirq, steal],
        idle: [idle, iowait],
    };
    let is_core = |line: &&str| {
        line.strip_prefix("cpu")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let n_cores = text.lines().filter(is_core).count();
    let cores = i64::try_from(n_cores).ok().and_then(|n| Cores::new(n).ok());
    Some(Stat { times, cores })
}

/// Returns the busy share between two readings; `None` when no tick passed.
///
/// Each time is compared by itself and one that went back counts as no progress: idle and iowait
/// are known to do that (proc(5)).
pub fn usage(earlier: &CpuTimes, later: &CpuTimes) -> Option<CpuPercent> {
    let busy = progress(&earlier.busy, &later.busy);
    let total = busy.saturating_add(progress(&earlier.idle, &later.idle));
    if total == 0 {
        return None;
    }
    CpuPercent::new((100.0 * to_f64(busy) / to_f64(total)).clamp(0.0, 100.0)).ok()
}

fn progress(earlier: &[u64], later: &[u64]) -> u64 {
    let each = later
        .iter()
        .zip(earlier)
        .map(|(now, then)| now.saturating_sub(*then));
    each.fold(0, u64::saturating_add)
}

/// Nearest floating-point number; exact below 2^53, which 100 ticks a second reach in 2.8 million
/// years.
fn to_f64(value: u64) -> f64 {
    let [high, low] = [value >> 32, value & 0xffff_ffff].map(|half| {
        // Cannot fail: both halves have 32 bits.
        u32::try_from(half).map_or(0.0, f64::from)
    });
    high.mul_add(4_294_967_296.0, low)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLIER: &str = "cpu  18550 0 3370 269183 382 0 65 9 0 0\n\
        cpu0 8547 0 1420 135749 43 0 14 3 0 0\ncpu1 10002 0 1950 133434 338 0 51 5 0 0\n\
        intr 236121 0 0\nctxt 1\nbtime 1763690000\n";

    fn percent(earlier: &str, later: &str) -> Option<f64> {
        usage(&parse(earlier).unwrap().times, &parse(later).unwrap().times).map(CpuPercent::get)
    }

    #[test]
    fn a_captured_file_gives_times_and_cores() {
        let stat = parse(EARLIER).unwrap();
        assert_eq!(stat.times.busy, [18_550, 0, 3_370, 0, 65, 9]);
        assert_eq!(stat.times.idle, [269_183, 382]);
        assert_eq!(stat.cores, Cores::new(2).ok());
    }

    #[test]
    fn the_share_is_busy_over_all_and_unrounded() {
        assert_eq!(percent("cpu 0 0 0 0", "cpu 1 1 1 3 1 1 1 1"), Some(60.0));
        assert_eq!(percent("cpu 0 0 0 0", "cpu 1 0 0 2"), Some(100.0 / 3.0));
    }

    #[test]
    fn guest_time_is_not_counted_twice_and_stolen_time_is_busy() {
        assert_eq!(
            percent("cpu 0 0 0 0 0 0 0 0 0 0", "cpu 5 0 0 5 0 0 0 0 5 5"),
            Some(50.0)
        );
        assert_eq!(
            percent("cpu 0 0 0 0 0 0 0 0", "cpu 0 0 0 5 0 0 0 5"),
            Some(50.0)
        );
    }

    #[test]
    fn times_that_go_back_are_no_progress() {
        assert_eq!(
            percent("cpu 0 0 0 100 50 0 0 0", "cpu 10 0 0 110 40 0 0 0"),
            Some(50.0)
        );
        assert_eq!(percent(EARLIER, EARLIER), None);
    }

    #[test]
    fn kernels_before_iowait_and_steal_are_read() {
        assert_eq!(parse("cpu 1 2 3 4").unwrap().times.idle, [4, 0]);
    }

    #[test]
    fn other_texts_are_unknown() {
        for text in [
            "",
            "\n",
            "cpu0 1 2 3 4",
            "cpu a b c d",
            "cpu -1 0 0 0",
            "processor 1",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn large_numbers_convert_exactly_below_2_to_the_53() {
        assert_eq!(to_f64(9_007_199_254_740_991), 9_007_199_254_740_991.0);
        assert_eq!(to_f64(u64::from(u32::MAX) + 1), 4_294_967_296.0);
    }
}
