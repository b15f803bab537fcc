//! The guard against its promises, and against a plain set.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

use proptest::prelude::*;

use super::*;
use crate::device::{DeviceIdentity, Nonce};

const START_S: i64 = 1_795_223_730;
const SIZE: GuardSize = GuardSize {
    devices: 8,
    nonces_per_device: 40,
    lead_s: 10,
};

fn at(second: i64) -> Timestamp {
    Timestamp::from_unix_micros((START_S + second) * 1_000_000).unwrap()
}

fn guard(size: GuardSize) -> NonceGuard {
    NonceGuard::new([7; 32], size, at(0)).unwrap()
}

/// A request of a device, signed at a second after the start.
fn ask(guard: &mut NonceGuard, device: u8, nonce: u32, signed: i64, now: i64) -> NonceVerdict {
    let identity = DeviceIdentity::parse("acme", &format!("d{device}")).unwrap();
    let nonce = Nonce::parse(&format!("nonce-{nonce:010}")).unwrap();
    guard.admit_claim(&Claim::new(&identity, &nonce, at(signed)), at(now))
}

#[test]
fn a_nonce_is_used_once_and_devices_do_not_share_them() {
    let mut guard = guard(SIZE);
    assert_eq!(ask(&mut guard, 1, 1, 20, 20), NonceVerdict::Unused);
    assert_eq!(ask(&mut guard, 1, 1, 20, 20), NonceVerdict::Used);
    assert_eq!(ask(&mut guard, 1, 1, 21, 25), NonceVerdict::Used);
    assert_eq!(ask(&mut guard, 2, 1, 20, 20), NonceVerdict::Unused);
    assert_eq!(ask(&mut guard, 1, 2, 20, 20), NonceVerdict::Unused);
}

#[test]
fn a_nonce_is_remembered_for_660_seconds_whenever_it_came() {
    for first in 400..431 {
        let mut guard = guard(SIZE);
        assert_eq!(ask(&mut guard, 1, 1, first, first), NonceVerdict::Unused);
        for later in [1, 299, 300, 301, 600, 659, 660] {
            let now = first + later;
            assert_eq!(
                ask(&mut guard, 1, 1, now, now),
                NonceVerdict::Used,
                "{later}"
            );
        }
        let forgotten = first + 660 + 31;
        assert_eq!(
            ask(&mut guard, 1, 1, forgotten, forgotten),
            NonceVerdict::Unused
        );
    }
}

#[test]
fn nothing_that_was_signed_before_a_start_passes() {
    let size = GuardSize {
        devices: 1_000,
        nonces_per_device: 1_000,
        lead_s: 10,
    };
    let mut earlier = guard(size);
    let mut later = NonceGuard::new([7; 32], size, at(1_000)).unwrap();
    for signed in 700..1_011 {
        // Whatever the process before may have accepted until its end.
        let nonce = u32::try_from(signed).unwrap();
        let _ = ask(&mut earlier, 1, nonce, signed, 1_000);
        for now in [1_000, 1_001, 1_010, 1_200] {
            let verdict = ask(&mut later, 1, nonce, signed, now);
            assert_eq!(verdict, NonceVerdict::Unknowable, "{signed} at {now}");
        }
    }
    assert_eq!(ask(&mut later, 1, 1, 1_011, 1_011), NonceVerdict::Unused);
    assert_eq!(
        ask(&mut earlier, 2, 1, 1_011, 1_000),
        NonceVerdict::Unknowable
    );
    assert_eq!(ask(&mut earlier, 2, 1, 1_010, 1_000), NonceVerdict::Unused);
}

#[test]
fn a_clock_that_is_set_back_opens_no_hole() {
    let mut guard = guard(SIZE);
    assert_eq!(ask(&mut guard, 1, 1, 100, 100), NonceVerdict::Unused);
    assert_eq!(ask(&mut guard, 2, 1, 5_000, 5_000), NonceVerdict::Unused);
    assert_eq!(ask(&mut guard, 1, 1, 100, 100), NonceVerdict::Unknowable);
    assert_eq!(ask(&mut guard, 1, 2, 105, 101), NonceVerdict::Unknowable);
    // Within what is remembered a small step back changes nothing.
    assert_eq!(ask(&mut guard, 2, 1, 5_000, 4_990), NonceVerdict::Used);
    assert_eq!(ask(&mut guard, 2, 2, 4_995, 4_990), NonceVerdict::Unused);
}

#[test]
fn one_device_cannot_fill_the_room_of_all() {
    let size = GuardSize {
        devices: 100,
        nonces_per_device: 40,
        lead_s: 10,
    };
    let mut guard = guard(size);
    for nonce in 0..40 {
        assert_eq!(ask(&mut guard, 1, nonce, 30, 35), NonceVerdict::Unused);
    }
    let full = NonceVerdict::Full { retry_after_s: 25 };
    for nonce in 40..1_000 {
        assert_eq!(ask(&mut guard, 1, nonce, 30, 35), full);
    }
    assert_eq!(ask(&mut guard, 2, 1, 30, 35), NonceVerdict::Unused);
    assert_eq!(ask(&mut guard, 1, 0, 30, 35), NonceVerdict::Used);
    assert_eq!(ask(&mut guard, 1, 40, 60, 60), NonceVerdict::Unused);
}

#[test]
fn a_full_guard_refuses_and_forgets_nothing() {
    let size = GuardSize {
        devices: 4,
        nonces_per_device: 10,
        lead_s: 10,
    };
    let mut guard = guard(size);
    assert_eq!(ask(&mut guard, 1, 1, 30, 31), NonceVerdict::Unused);
    assert_eq!(ask(&mut guard, 2, 1, 30, 31), NonceVerdict::Unused);
    let full = NonceVerdict::Full { retry_after_s: 29 };
    assert_eq!(ask(&mut guard, 3, 1, 30, 31), full);
    assert_eq!(ask(&mut guard, 1, 1, 30, 31), NonceVerdict::Used);
    assert_eq!(ask(&mut guard, 2, 1, 30, 59), NonceVerdict::Used);
    assert_eq!(ask(&mut guard, 3, 1, 30, 60), NonceVerdict::Unused);
}

#[test]
fn more_devices_than_expected_are_refused_until_the_next_interval() {
    let size = GuardSize {
        devices: 2,
        nonces_per_device: 400,
        lead_s: 10,
    };
    let mut guard = guard(size);
    assert_eq!(ask(&mut guard, 1, 1, 30, 30), NonceVerdict::Unused);
    assert_eq!(ask(&mut guard, 2, 1, 30, 30), NonceVerdict::Unused);
    let full = NonceVerdict::Full { retry_after_s: 30 };
    assert_eq!(ask(&mut guard, 3, 1, 30, 30), full);
    assert_eq!(ask(&mut guard, 3, 1, 60, 60), NonceVerdict::Unused);
}

#[test]
fn a_million_devices_fit_into_400_megabytes() {
    let size = GuardSize {
        devices: 1_000_000,
        nonces_per_device: 40,
        lead_s: 10,
    };
    let intervals = 23 * (2_000_000 + 500_000 + 1) * 6;
    let shares = (1_000_000 + 250_000 + 1) * 8;
    assert_eq!(size.memory_bytes(), Some(intervals + shares));
    assert_eq!(intervals + shares, 355_000_146);
    assert!(intervals + shares <= 400_000_000);
    // What is computed is what is allocated.
    let guard = guard(SIZE);
    let nonces: usize = guard
        .intervals
        .iter()
        .map(|table| size_of_val(table.slots.as_slice()))
        .sum();
    let allocated = nonces + size_of_val(guard.shares.slots.as_slice());
    assert_eq!(SIZE.memory_bytes(), Some(allocated));
    assert_eq!(
        i64::try_from(N_INTERVALS).unwrap() - 1,
        limit::NONCE_KEPT_S / INTERVAL_S
    );
}

#[test]
fn sizes_that_make_no_sense_are_refused() {
    for size in [
        GuardSize { devices: 0, ..SIZE },
        GuardSize {
            nonces_per_device: 0,
            ..SIZE
        },
        GuardSize {
            nonces_per_device: limit::NONCES_PER_DEVICE_MAX + 1,
            ..SIZE
        },
        GuardSize {
            lead_s: 301,
            ..SIZE
        },
    ] {
        let refused = NonceGuard::new([7; 32], size, at(0)).map(|_| ());
        assert_eq!(refused, Err(GuardError::Size));
    }
    let widest = GuardSize {
        lead_s: 300,
        ..SIZE
    };
    assert!(NonceGuard::new([7; 32], widest, at(0)).is_ok());
}

#[test]
fn a_guard_is_not_printed() {
    let text: String = format!("{:?}", guard(SIZE));
    assert!(text.starts_with("NonceGuard { size: GuardSize"));
    assert!(!text.contains("key"));
}

proptest! {
    /// Where the guard has room and no clock goes back, it says what a plain set of everything
    /// accepted says, for as long as nonces are remembered.
    #[test]
    fn the_guard_agrees_with_a_plain_set(
        steps in proptest::collection::vec((0_u8..4, 0_u32..12, 0_i64..40, -20_i64..=10), 1..300)
    ) {
        let size = GuardSize { devices: 1_000, nonces_per_device: 1_000, lead_s: 10 };
        let mut guard = guard(size);
        let mut plain: BTreeSet<(u8, u32, i64)> = BTreeSet::new();
        let mut now = 40;
        for (device, nonce, pause, ahead) in steps {
            now += pause;
            let verdict = ask(&mut guard, device, nonce, now + ahead, now);
            let mut used = plain.iter().filter(|(d, n, _)| (*d, *n) == (device, nonce));
            let last = used.next_back().map(|(_, _, at)| now - at);
            match last {
                Some(age) if age <= limit::NONCE_KEPT_S => {
                    prop_assert_eq!(verdict, NonceVerdict::Used);
                }
                Some(age) if age <= limit::NONCE_KEPT_S + INTERVAL_S => {
                    prop_assert!(matches!(verdict, NonceVerdict::Used | NonceVerdict::Unused));
                }
                _ => prop_assert_eq!(verdict, NonceVerdict::Unused),
            }
            if verdict == NonceVerdict::Unused {
                plain.insert((device, nonce, now));
            }
        }
    }
}
