//! Records of `wtmp` and `btmp` (utmp(5)).
//!
//! What: fixed records of [`RECORD_BYTES`], of which only the type is read, two bytes at the front.
//! In `wtmp` a record of type `USER_PROCESS` is a login, and others are logouts, boots and shells of
//! terminals; in `btmp` every login that failed is one of type `LOGIN_PROCESS` or `USER_PROCESS`, by
//! whoever wrote it. The layout is that of glibc: 384 bytes where times are kept in 32 bits for the
//! sake of 32-bit programs, 400 elsewhere (aarch64, s390x, loongarch64). musl writes no records.
//! What not: names, terminals, addresses and times, which the records hold. Cost: two bytes of each
//! record.

use monsys_core::endpoint::AuthOutcome;

use super::{Counts, Service};

/// Size of a record on this machine.
pub const RECORD_BYTES: usize = if cfg!(any(
    target_arch = "aarch64",
    target_arch = "s390x",
    target_arch = "loongarch64"
)) {
    RECORD_BYTES_LONG
} else {
    RECORD_BYTES_SHORT
};

/// Counts whole records; returns how many bytes they take, and leaves the rest for the next time.
pub fn count(bytes: &[u8], outcome: AuthOutcome, counts: &mut Counts) -> usize {
    count_sized(bytes, RECORD_BYTES, outcome, counts)
}

fn count_sized(bytes: &[u8], size: usize, outcome: AuthOutcome, counts: &mut Counts) -> usize {
    let is_login = |record: &&[u8]| {
        let kind = record.first_chunk().map(|kind| i16::from_ne_bytes(*kind));
        match outcome {
            AuthOutcome::Success => kind == Some(USER_PROCESS),
            AuthOutcome::Failure => matches!(kind, Some(LOGIN_PROCESS | USER_PROCESS)),
        }
    };
    let records = bytes.chunks_exact(size);
    let n_left = records.remainder().len();
    let n = records.filter(is_login).count();
    if n > 0 {
        let n = u64::try_from(n).unwrap_or(u64::MAX);
        counts.add(Service::Session, outcome, n);
    }
    bytes.len() - n_left
}

const RECORD_BYTES_SHORT: usize = 384;
const RECORD_BYTES_LONG: usize = 400;
const LOGIN_PROCESS: i16 = 6;
const USER_PROCESS: i16 = 7;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A record as glibc writes it: type, number, terminal, identifier, user, host.
    pub(in crate::collect::auth) fn record(kind: i16, size: usize) -> Vec<u8> {
        let mut record = vec![0; size];
        record[..2].copy_from_slice(&kind.to_ne_bytes());
        record[4..8].copy_from_slice(&4_711_i32.to_ne_bytes());
        record[8..13].copy_from_slice(b"pts/0");
        record[44..50].copy_from_slice(b"canary");
        record[76..85].copy_from_slice(b"192.0.2.7");
        record
    }

    fn counted(kinds: &[i16], size: usize, outcome: AuthOutcome) -> Counts {
        let bytes: Vec<u8> = kinds.iter().flat_map(|kind| record(*kind, size)).collect();
        let mut counts = Counts::default();
        assert_eq!(count_sized(&bytes, size, outcome, &mut counts), bytes.len());
        counts
    }

    fn sessions(outcome: AuthOutcome, n: u64) -> Counts {
        let mut counts = Counts::default();
        counts.add(Service::Session, outcome, n);
        counts
    }

    #[test]
    fn only_sessions_of_users_are_logins_in_both_layouts() {
        for size in [RECORD_BYTES_SHORT, RECORD_BYTES_LONG] {
            // Boot, runlevel, getty, login prompt, login, logout, login.
            let counts = counted(&[2, 1, 5, 6, 7, 8, 7], size, AuthOutcome::Success);
            assert_eq!(counts, sessions(AuthOutcome::Success, 2));
        }
    }

    #[test]
    fn refusals_are_of_two_types() {
        let counts = counted(&[6, 7, 8, 0, -1], RECORD_BYTES_SHORT, AuthOutcome::Failure);
        assert_eq!(counts, sessions(AuthOutcome::Failure, 2));
    }

    #[test]
    fn a_record_that_is_half_written_is_left_for_the_next_time() {
        let mut bytes = record(7, RECORD_BYTES_SHORT);
        bytes.extend_from_slice(&record(7, RECORD_BYTES_SHORT)[..100]);
        let mut counts = Counts::default();
        let success = AuthOutcome::Success;
        let n = count_sized(&bytes, RECORD_BYTES_SHORT, success, &mut counts);
        assert_eq!(n, RECORD_BYTES_SHORT);
        assert_eq!(counts, sessions(success, 1));
        assert_eq!(
            count_sized(&[], RECORD_BYTES_SHORT, success, &mut counts),
            0
        );
    }
}
