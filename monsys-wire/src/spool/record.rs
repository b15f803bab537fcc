//! One spooled payload as bytes, and what a segment of them holds.
//!
//! A segment is [`MAGIC`] and then records: length `u32`, CRC-32C `u32`, then under both the number
//! `u64`, epoch `u64`, seq `u64`, capture time `i64` in microseconds, and the body; little endian.
//! Numbers rise within a segment. [`scan`] reads whatever a crash or a bad disk left: behind a
//! record that does not verify it looks byte by byte for the next one that does, so that rot costs
//! the records it hit and no others, and what follows the last good one is a torn tail. What not:
//! opening files. Cost: one pass where all is well; the search computes checksums over at most
//! [`SEARCH_BYTES_MAX`] bytes, whoever wrote the segment.

use alloc::vec::Vec;

use monsys_core::limit;
use monsys_core::time::Timestamp;

use super::crc32c::crc32c;

/// A spooled payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number in the life of the data directory; it never changes.
    pub number: u64,
    /// The epoch in which it was spooled.
    pub epoch: u64,
    /// Its number in that epoch.
    pub seq: u64,
    /// When it was measured.
    pub captured_at: Timestamp,
    /// The canonical payload as it was composed when it was spooled.
    pub body: Vec<u8>,
}

/// A record and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    /// Its number.
    pub number: u64,
    /// The epoch in which it was spooled.
    pub epoch: u64,
    /// Its number in that epoch.
    pub seq: u64,
    /// When it was measured.
    pub captured_at: Timestamp,
    /// Where it begins in its segment.
    pub offset: u64,
    /// How many bytes it takes there, with its head.
    pub length: u64,
}

/// What a segment holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scanned {
    /// Whole records, in order.
    pub records: Vec<Located>,
    /// How far the segment is good; what follows is a torn tail.
    pub good_bytes: u64,
    /// Stretches between whole records that hold none; the numbers that are missing there tell how
    /// many they held.
    pub n_damaged: u64,
}

impl Record {
    /// Writes the record with its length and checksum.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut inner = Vec::with_capacity(FIXED_BYTES + self.body.len());
        inner.extend_from_slice(&self.number.to_le_bytes());
        inner.extend_from_slice(&self.epoch.to_le_bytes());
        inner.extend_from_slice(&self.seq.to_le_bytes());
        inner.extend_from_slice(&self.captured_at.unix_micros().to_le_bytes());
        inner.extend_from_slice(&self.body);
        let length = u32::try_from(inner.len()).unwrap_or(u32::MAX);
        let mut out = Vec::with_capacity(HEAD_BYTES + inner.len());
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&crc32c(&inner).to_le_bytes());
        out.append(&mut inner);
        out
    }

    /// Reads one record from the beginning of `bytes`; `None` when it is torn or rotten.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let view = Framed::read(bytes)?.verify()?;
        Some(Self {
            number: view.number,
            epoch: view.epoch,
            seq: view.seq,
            captured_at: view.captured_at,
            body: view.body.to_vec(),
        })
    }
}

/// Reads a whole segment; `None` when it does not begin like one.
#[must_use]
pub fn scan(segment: &[u8]) -> Option<Scanned> {
    let mut rest = segment.strip_prefix(MAGIC.as_slice())?;
    let mut offset = to_u64(MAGIC.len());
    let mut scanned = Scanned {
        good_bytes: offset,
        ..Scanned::default()
    };
    let mut budget = SEARCH_BYTES_MAX;
    let mut last = None;
    while let Some((n_skipped, view)) = next(rest, last, &mut budget) {
        scanned.n_damaged += u64::from(n_skipped > 0);
        offset += to_u64(n_skipped);
        let length = HEAD_BYTES + FIXED_BYTES + view.body.len();
        scanned.records.push(view.located(offset, to_u64(length)));
        offset += to_u64(length);
        scanned.good_bytes = offset;
        last = Some(view.number);
        rest = rest.get(n_skipped + length..).unwrap_or_default();
    }
    Some(scanned)
}

/// First bytes of a segment; another form gets another number.
pub const MAGIC: &[u8; 8] = b"monsysS1";
/// How many bytes the search behind damage reads for checksums: sixteen segments. Text and
/// zeros look like no record at any byte, so an honest segment costs next to nothing of it.
pub const SEARCH_BYTES_MAX: usize = 16 << 20;

/// The first record in `bytes` that verifies and goes on from `last`, and how many bytes it lies in.
fn next<'a>(bytes: &'a [u8], last: Option<u64>, budget: &mut usize) -> Option<(usize, View<'a>)> {
    for at in 0..bytes.len() {
        let Some(framed) = Framed::read(bytes.get(at..)?) else {
            continue;
        };
        if !framed.goes_on_from(last) {
            continue;
        }
        // What is where a record is expected is read in any case; the search behind it has a limit.
        if at > 0 {
            *budget = budget.checked_sub(framed.inner.len())?;
        }
        if let Some(view) = framed.verify() {
            return Some((at, view));
        }
    }
    None
}

/// Bytes that look like a record by their length.
struct Framed<'a> {
    checksum: u32,
    inner: &'a [u8],
}

impl<'a> Framed<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (checksum, rest) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let is_possible = (FIXED_BYTES..=FIXED_BYTES + limit::BODY_BYTES_MAX).contains(&length);
        let inner = is_possible.then(|| rest.get(..length))??;
        Some(Self {
            checksum: u32::from_le_bytes(*checksum),
            inner,
        })
    }

    fn goes_on_from(&self, last: Option<u64>) -> bool {
        let Some((number, _)) = self.inner.split_first_chunk::<8>() else {
            return false;
        };
        let number = u64::from_le_bytes(*number);
        let is_next = |last: u64| number > last && number - last <= NUMBERS_AHEAD_MAX;
        last.map_or(number <= limit::SAFE_INTEGER_MAX.unsigned_abs(), is_next)
    }

    fn verify(&self) -> Option<View<'a>> {
        (crc32c(self.inner) == self.checksum).then(|| view(self.inner))?
    }
}

struct View<'a> {
    number: u64,
    epoch: u64,
    seq: u64,
    captured_at: Timestamp,
    body: &'a [u8],
}

impl View<'_> {
    const fn located(&self, offset: u64, length: u64) -> Located {
        let Self {
            number,
            epoch,
            seq,
            captured_at,
            body: _,
        } = *self;
        Located {
            number,
            epoch,
            seq,
            captured_at,
            offset,
            length,
        }
    }
}

fn view(inner: &[u8]) -> Option<View<'_>> {
    let (number, rest) = inner.split_first_chunk::<8>()?;
    let (epoch, rest) = rest.split_first_chunk::<8>()?;
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    let (captured_at, body) = rest.split_first_chunk::<8>()?;
    Some(View {
        number: u64::from_le_bytes(*number),
        epoch: u64::from_le_bytes(*epoch),
        seq: u64::from_le_bytes(*seq),
        captured_at: Timestamp::from_unix_micros(i64::from_le_bytes(*captured_at)).ok()?,
        body,
    })
}

fn to_u64(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// Length and checksum.
const HEAD_BYTES: usize = 8;
/// Number, epoch, seq and capture time.
const FIXED_BYTES: usize = 32;
/// How far numbers of one segment lie apart at most: more than a full spool holds.
const NUMBERS_AHEAD_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    fn record(number: u64) -> Record {
        let captured_at = Timestamp::parse_rfc3339("2026-11-21T01:15:41.123456Z").unwrap();
        let body = format!("body of {number}").into_bytes();
        Record {
            number,
            epoch: 3,
            seq: number + 1,
            captured_at,
            body,
        }
    }

    fn segment(numbers: core::ops::Range<u64>) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        numbers.for_each(|number| bytes.extend(record(number).encode()));
        bytes
    }

    fn numbers(scanned: &Scanned) -> Vec<u64> {
        scanned
            .records
            .iter()
            .map(|located| located.number)
            .collect()
    }

    #[test]
    fn records_round_trip_at_their_place() {
        let bytes = segment(5..8);
        let scanned = scan(&bytes).unwrap();
        assert_eq!(numbers(&scanned), [5, 6, 7]);
        assert_eq!(scanned.good_bytes, to_u64(bytes.len()));
        for located in &scanned.records {
            let at = usize::try_from(located.offset).unwrap();
            assert_eq!(Record::decode(&bytes[at..]), Some(record(located.number)));
        }
    }

    #[test]
    fn a_tail_torn_at_any_byte_is_cut_to_the_last_whole_record() {
        let whole = segment(1..4);
        let two = segment(1..3).len();
        for end in two..whole.len() {
            let scanned = scan(&whole[..end]).unwrap();
            assert_eq!(numbers(&scanned), [1, 2], "torn at {end}");
            assert_eq!(scanned.good_bytes, to_u64(two));
            assert_eq!(scanned.n_damaged, 0);
        }
    }

    #[test]
    fn a_rotten_byte_costs_the_record_it_is_in_and_no_other() {
        let whole = segment(1..4);
        let (one, two) = (segment(1..2).len(), segment(1..3).len());
        for at in MAGIC.len()..whole.len() {
            for bit in [0x01, 0x40, 0xff] {
                let mut rotten = whole.clone();
                rotten[at] ^= bit;
                let hit = 1 + u64::from(at >= one) + u64::from(at >= two);
                let left: Vec<u64> = (1..4).filter(|number| *number != hit).collect();
                let scanned = scan(&rotten).unwrap();
                assert_eq!(numbers(&scanned), left, "rotten at {at}");
                assert_eq!(
                    scanned.n_damaged,
                    u64::from(hit < 3),
                    "a torn tail is no damage"
                );
                for located in &scanned.records {
                    let at = usize::try_from(located.offset).unwrap();
                    assert_eq!(Record::decode(&rotten[at..]), Some(record(located.number)));
                }
            }
        }
    }

    #[test]
    fn a_stretch_of_zeros_or_garbage_in_the_middle_costs_what_it_covers() {
        let whole = segment(1..9);
        let (from, to) = (segment(1..3).len() + 5, segment(1..6).len() - 5);
        for filler in [0, 0xff, b'{', 32] {
            let mut damaged = whole.clone();
            damaged[from..to].fill(filler);
            let scanned = scan(&damaged).unwrap();
            assert_eq!(numbers(&scanned), [1, 2, 6, 7, 8], "filled with {filler}");
            assert_eq!(
                (scanned.n_damaged, scanned.good_bytes),
                (1, to_u64(whole.len()))
            );
        }
    }

    #[test]
    fn a_record_whose_number_does_not_rise_is_none() {
        let mut bytes = segment(5..7);
        bytes.extend(record(6).encode());
        bytes.extend(record(3).encode());
        bytes.extend(record(7).encode());
        assert_eq!(numbers(&scan(&bytes).unwrap()), [5, 6, 7]);
    }

    #[test]
    fn the_search_behind_damage_ends() {
        // Every byte looks like the beginning of a long record that does not verify.
        let head = [0_u8, 0, 8, 0].repeat(1 << 19);
        let mut bytes = MAGIC.to_vec();
        bytes.extend(head);
        bytes.extend(record(1).encode());
        let scanned = scan(&bytes).unwrap();
        assert_eq!(
            scanned,
            Scanned {
                good_bytes: 8,
                ..Scanned::default()
            }
        );
    }

    #[test]
    fn what_does_not_begin_like_a_segment_is_none() {
        assert_eq!(scan(b""), None);
        assert_eq!(scan(b"monsys"), None);
        assert_eq!(scan(b"monsysS2"), None);
    }
}
