//! How the machine is set up, as far as a user without privileges can see.
//!
//! Each file of this folder answers one question of [`Check`] from a few small files and says what
//! it proves and what it does not. What not: severities; `monsys_signals` knows them. Cost: some
//! thirty small files.

use monsys_core::time::Timestamp;
use monsys_signals::check::{Answer, Check};

use super::root::Root;

pub mod disk_encryption;
pub mod firewall;
pub mod reboot;
pub mod secure_boot;
pub mod updates;

/// Answers every question about the set-up; `wall` is what the clock shows that stamps files.
pub fn look(root: &Root, wall: Timestamp) -> [(Check, Answer); 6] {
    [
        (Check::DiskEncryption, disk_encryption::look(root)),
        (Check::Firewall, firewall::look(root)),
        (Check::RebootRequired, reboot::look(root)),
        (Check::SecureBoot, secure_boot::look(root)),
        (Check::Updates, updates::look(root, wall)),
        (Check::UpdatesChecked, updates::look_checked(root, wall)),
    ]
}
