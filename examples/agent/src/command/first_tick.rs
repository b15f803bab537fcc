//! The first tick of a process, at which everything is due, for commands that measure once.

use std::thread;

use monsys_core::endpoint::CollectorHealth;

use crate::clock::{Clock, HubClock};
use crate::collect::backup::BackupSetting;
use crate::collect::root::Root;
use crate::daemon::{CADENCE, first_interval};
use crate::sampling::{Measured, Sampler};

/// Measures over the first interval; `spool` is how the spool fares.
pub(super) fn measure(
    root: &Root,
    clock: Clock,
    backups: &[BackupSetting],
    hub_clock: HubClock,
    spool: CollectorHealth,
) -> (Sampler, Measured) {
    let mut sampler = Sampler::new(root, clock, CADENCE);
    sampler.follow(hub_clock);
    sampler.watch(backups);
    sampler.prime();
    thread::sleep(first_interval(clock));
    let measured = sampler.measure(0, spool);
    (sampler, measured)
}
