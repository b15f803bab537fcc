//! A memory of nonces for embedders without a database.
//!
//! What: which nonces each device used within the last 660 s, as keyed fingerprints in intervals of
//! 30 s. What not: positions, which guard against the replay of a payload under a new nonce; they
//! are in [`crate::position`], and need storage. Several processes need one memory: share the
//! guard, or send each device to the same process.
//!
//! - It never forgets early. A full interval refuses until the next one begins, and so does a
//!   device that used up its share, so that one device cannot fill the room of all.
//! - A restart opens no hole. What an earlier process accepted was signed at most [`GuardSize`]'s
//!   lead after its end, so whatever was signed until start + lead is refused as unknowable: a lead
//!   of 10 s costs the agents 10 s. The same rule holds when a clock is set back.
//! - Nobody can aim at a fingerprint without the key. Two nonces are taken for the same one by
//!   accident about once in 10^11 requests; the sender signs anew and is accepted.
//!
//! Cost: one HMAC-SHA256 of the names (about 0.5 µs) and one probe for each of 23 intervals; memory
//! is allocated once, see [`GuardSize::memory_bytes`].
//!
//! ```
//! use monsys_core::time::Timestamp;
//! use monsys_wire::replay::{GuardSize, NonceGuard};
//!
//! // At most `limit::NONCES_PER_DEVICE_MAX`; a device that sends every 15 s needs 40.
//! let size = GuardSize { devices: 1_000, nonces_per_device: 40, lead_s: 10 };
//! let start = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z")?;
//! // The key comes from a cryptographic random source.
//! let guard = NonceGuard::new([7; 32], size, start)?;
//! assert_eq!(guard.size().memory_bytes(), Some(355_146));
//! // For each request: timely.fresh(guard.admit(&timely, now), &audience)
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use hmac::Mac as _;
use monsys_core::limit;
use monsys_core::time::Timestamp;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::envelope::hmac::{NonceVerdict, Timely};
use crate::sign::Claim;
use crate::sign::hmac::keyed;

/// The memory of nonces.
pub struct NonceGuard {
    key: Zeroizing<[u8; 32]>,
    size: GuardSize,
    intervals: Vec<Table>,
    shares: Shares,
    /// The interval that is being filled; it never goes back.
    current: i64,
    /// What was signed until here may have been forgotten.
    unknowable_until_s: i64,
}

/// How much a guard has to remember.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuardSize {
    /// How many devices send.
    pub devices: u32,
    /// How many requests each of them makes in 600 s on average, at most
    /// [`limit::NONCES_PER_DEVICE_MAX`]; as many it may make at once, within 30 s.
    pub nonces_per_device: u16,
    /// How many seconds ahead of `now` a request may be signed, at most 300. After a start the
    /// guard refuses for so long.
    pub lead_s: u16,
}

/// Why a guard cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GuardError {
    /// Nothing to remember, more nonces than a device may use, or a lead beyond the window.
    #[error("expected at least one device, 1 to 4096 nonces each, and a lead of at most 300 s")]
    Size,
    /// More memory than a machine of this word size can address.
    #[error("expected a size that memory can hold")]
    TooLarge,
}

impl GuardSize {
    /// How many bytes the guard allocates; `None` if no memory can hold them.
    ///
    /// A million devices that send every 15 s need 40 nonces each in 600 s: 23 intervals of 2
    /// million nonces, 6 bytes for each at four fifths load, and 10 MB for the shares: 355 MB.
    #[must_use]
    pub fn memory_bytes(&self) -> Option<usize> {
        let nonces = slots(self.nonces_per_interval()?)?.checked_mul(FINGERPRINT_BYTES)?;
        let shares = slots(usize::try_from(self.devices).ok()?)?.checked_mul(SHARE_BYTES)?;
        nonces.checked_mul(N_INTERVALS)?.checked_add(shares)
    }

    /// Room for one interval.
    fn nonces_per_interval(&self) -> Option<usize> {
        let nonces = u64::from(self.devices) * u64::from(self.nonces_per_device);
        usize::try_from(nonces.div_ceil(INTERVALS_PER_WINDOW)).ok()
    }
}

impl NonceGuard {
    /// Makes an empty memory. `key` comes from a cryptographic random source; another one for each
    /// start will do.
    ///
    /// # Errors
    /// [`GuardError`].
    pub fn new(key: [u8; 32], size: GuardSize, start: Timestamp) -> Result<Self, GuardError> {
        let is_sound = size.devices > 0
            && (1..=limit::NONCES_PER_DEVICE_MAX).contains(&size.nonces_per_device)
            && i64::from(size.lead_s) <= limit::REQUEST_WINDOW_S;
        if !is_sound {
            return Err(GuardError::Size);
        }
        let room = size.nonces_per_interval().ok_or(GuardError::TooLarge)?;
        let devices = usize::try_from(size.devices).map_err(|_| GuardError::TooLarge)?;
        size.memory_bytes().ok_or(GuardError::TooLarge)?;
        let mut intervals = Vec::with_capacity(N_INTERVALS);
        for _ in 0..N_INTERVALS {
            intervals.push(Table::new(room).ok_or(GuardError::TooLarge)?);
        }
        Ok(Self {
            key: Zeroizing::new(key),
            size,
            intervals,
            shares: Shares::new(devices).ok_or(GuardError::TooLarge)?,
            current: interval_of(seconds(start)),
            unknowable_until_s: seconds_up(start).saturating_add(i64::from(size.lead_s)),
        })
    }

    /// Decides about the nonce of a request and, when it is unused, remembers it.
    pub fn admit(&mut self, request: &Timely<'_>, now: Timestamp) -> NonceVerdict {
        self.admit_claim(&request.claim(), now)
    }

    /// How much it remembers.
    #[must_use]
    pub const fn size(&self) -> GuardSize {
        self.size
    }

    fn admit_claim(&mut self, claim: &Claim<'_>, now: Timestamp) -> NonceVerdict {
        self.advance(interval_of(seconds(now)));
        let signed_s = i64::try_from(claim.unix_s()).unwrap_or(i64::MAX);
        let latest_s = seconds(now).saturating_add(i64::from(self.size.lead_s));
        if signed_s <= self.unknowable_until_s || signed_s > latest_s {
            return NonceVerdict::Unknowable;
        }
        let nonce = Fingerprint::of(&self.key, &[claim.org(), claim.device(), claim.nonce()]);
        if self.intervals.iter().any(|table| table.contains(nonce)) {
            return NonceVerdict::Used;
        }
        let full = NonceVerdict::Full {
            retry_after_s: self.retry_after_s(now),
        };
        let device = Fingerprint::of(&self.key, &[claim.org(), claim.device()]);
        let Some(table) = self.intervals.get_mut(slot_of(self.current)) else {
            return full;
        };
        if !table.has_room() || !self.shares.take(device, self.size.nonces_per_device) {
            return full;
        }
        table.insert(nonce);
        NonceVerdict::Unused
    }

    /// Empties the intervals that are over for longer than a nonce is remembered.
    fn advance(&mut self, now: i64) {
        if now <= self.current {
            return;
        }
        let oldest = now.saturating_sub(i64::try_from(N_INTERVALS).unwrap_or(i64::MAX) - 1);
        let first = oldest.max(self.current.saturating_add(1));
        for interval in first..=now {
            if let Some(table) = self.intervals.get_mut(slot_of(interval)) {
                table.clear();
            }
        }
        self.shares.clear();
        self.current = now;
        // The last forgotten interval ends where the oldest remembered one begins.
        let forgotten_s = oldest.saturating_mul(INTERVAL_S);
        let unknowable = forgotten_s.saturating_add(i64::from(self.size.lead_s));
        self.unknowable_until_s = self.unknowable_until_s.max(unknowable);
    }

    /// When the next interval begins, at which there is room again.
    fn retry_after_s(&self, now: Timestamp) -> u32 {
        let next_s = self.current.saturating_add(1).saturating_mul(INTERVAL_S);
        let wait_s = next_s.saturating_sub(seconds(now)).max(1);
        u32::try_from(wait_s).unwrap_or(u32::MAX)
    }
}

impl fmt::Debug for NonceGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NonceGuard")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// Where a nonce or device is looked for, and what is found there; never all zero.
#[derive(Clone, Copy)]
struct Fingerprint {
    place: u64,
    mark: [u8; FINGERPRINT_BYTES],
}

impl Fingerprint {
    /// The parts are words without line feeds, so no two lists of them are the same text.
    fn of(key: &[u8; 32], parts: &[&str]) -> Self {
        let mut state = keyed(key);
        for part in parts {
            state.update(part.as_bytes());
            state.update(b"\n");
        }
        let digest: [u8; 32] = state.finalize().into_bytes().into();
        let [p0, p1, p2, p3, p4, p5, p6, p7, m0, m1, m2, m3, m4, m5, ..] = digest;
        let mark = [m0, m1, m2, m3, m4, m5];
        Self {
            place: u64::from_le_bytes([p0, p1, p2, p3, p4, p5, p6, p7]),
            mark: if mark == EMPTY { [1; 6] } else { mark },
        }
    }

    /// The slot at which a search begins.
    fn start(self, n_slots: usize) -> usize {
        let n_slots = u64::try_from(n_slots).unwrap_or(u64::MAX);
        usize::try_from(self.place % n_slots.max(1)).unwrap_or_default()
    }
}

/// The nonces of one interval: open addressing that never fills up.
struct Table {
    slots: Vec<[u8; FINGERPRINT_BYTES]>,
    room: usize,
    used: usize,
}

impl Table {
    fn new(room: usize) -> Option<Self> {
        Some(Self {
            slots: vec![EMPTY; slots(room)?],
            room,
            used: 0,
        })
    }

    fn insert(&mut self, nonce: Fingerprint) {
        let start = nonce.start(self.slots.len());
        let (before, after) = self.slots.split_at_mut(start);
        let mut places = after.iter_mut().chain(before);
        // Cannot be None: the caller asked for room, and a fifth of the slots is always empty.
        if let Some(place) = places.find(|slot| **slot == EMPTY) {
            *place = nonce.mark;
            self.used += 1;
        }
    }

    fn clear(&mut self) {
        if self.used > 0 {
            self.slots.fill(EMPTY);
            self.used = 0;
        }
    }

    fn contains(&self, nonce: Fingerprint) -> bool {
        if self.used == 0 {
            return false;
        }
        let (before, after) = self.slots.split_at(nonce.start(self.slots.len()));
        after
            .iter()
            .chain(before)
            .take_while(|slot| **slot != EMPTY)
            .any(|slot| *slot == nonce.mark)
    }

    const fn has_room(&self) -> bool {
        self.used < self.room
    }
}

/// How many nonces each device used in the current interval.
struct Shares {
    slots: Vec<([u8; FINGERPRINT_BYTES], [u8; 2])>,
    room: usize,
    used: usize,
}

impl Shares {
    fn new(devices: usize) -> Option<Self> {
        Some(Self {
            slots: vec![(EMPTY, [0; 2]); slots(devices)?],
            room: devices,
            used: 0,
        })
    }

    /// Takes one of a device's share; false when there is none left, or no room for the device.
    fn take(&mut self, device: Fingerprint, share: u16) -> bool {
        let start = device.start(self.slots.len());
        let (before, after) = self.slots.split_at_mut(start);
        let mut places = after.iter_mut().chain(before);
        let is_its = |mark: &[u8; FINGERPRINT_BYTES]| *mark == EMPTY || *mark == device.mark;
        let Some((mark, count)) = places.find(|(mark, _)| is_its(mark)) else {
            return false;
        };
        if *mark == EMPTY {
            if self.used >= self.room {
                return false;
            }
            *mark = device.mark;
            self.used += 1;
        }
        let taken = u16::from_le_bytes(*count);
        if taken >= share {
            return false;
        }
        *count = (taken + 1).to_le_bytes();
        true
    }

    fn clear(&mut self) {
        if self.used > 0 {
            self.slots.fill((EMPTY, [0; 2]));
            self.used = 0;
        }
    }
}

/// Slots for so many entries at four fifths load, and one that stays empty.
fn slots(entries: usize) -> Option<usize> {
    entries.checked_add(entries / 4)?.checked_add(1)
}

/// Whole seconds of Unix time, rounded down.
const fn seconds(time: Timestamp) -> i64 {
    time.unix_micros().div_euclid(1_000_000)
}

/// Whole seconds of Unix time, rounded up.
const fn seconds_up(time: Timestamp) -> i64 {
    let micros = time.unix_micros();
    micros.div_euclid(1_000_000)
        + if micros.rem_euclid(1_000_000) > 0 {
            1
        } else {
            0
        }
}

const fn interval_of(unix_s: i64) -> i64 {
    unix_s.div_euclid(INTERVAL_S)
}

/// The table of an interval.
fn slot_of(interval: i64) -> usize {
    let n = i64::try_from(N_INTERVALS).unwrap_or(i64::MAX);
    usize::try_from(interval.rem_euclid(n)).unwrap_or_default()
}

/// Length of an interval: shorter ones cost more probes, longer ones more memory beyond 660 s.
const INTERVAL_S: i64 = 30;
/// Intervals of the 600 s in which one timestamp can be accepted.
const INTERVALS_PER_WINDOW: u64 = 20;
/// Intervals of 660 s, and the one that is being filled.
const N_INTERVALS: usize = 23;
/// 48 bits: compared at a handful of slots in 23 tables, one in 10^11 requests matches by accident.
const FINGERPRINT_BYTES: usize = 6;
/// A fingerprint and a counter.
const SHARE_BYTES: usize = FINGERPRINT_BYTES + 2;
const EMPTY: [u8; FINGERPRINT_BYTES] = [0; FINGERPRINT_BYTES];

#[cfg(test)]
mod tests;
