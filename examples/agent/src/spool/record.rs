//! One spooled payload as bytes, and what a segment of them holds.
//!
//! A segment is [`MAGIC`] and then records: length `u32`, CRC-32C `u32`, then under both the number
//! `u64`, epoch `u64`, seq `u64`, capture time `i64` in microseconds, and the body; little endian.
//! [`scan`] is pure and reads whatever a crash or a bad disk left: a torn tail is found by its
//! length or checksum and cut; a record that rotted in the middle is skipped, because its length
//! still leads to the next one. What not: opening files. Cost: one pass.

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
    /// Records that were skipped because they rotted.
    pub n_damaged: u64,
}

impl Record {
    /// Writes the record with its length and checksum.
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
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match step(bytes)? {
            Step::Good(view) => Some(Self {
                number: view.number,
                epoch: view.epoch,
                seq: view.seq,
                captured_at: view.captured_at,
                body: view.body.to_vec(),
            }),
            Step::Rotten(_) => None,
        }
    }
}

/// Reads a whole segment; `None` when it does not begin like one.
pub fn scan(segment: &[u8]) -> Option<Scanned> {
    let mut rest = segment.strip_prefix(MAGIC.as_slice())?;
    let mut scanned = Scanned {
        good_bytes: to_u64(MAGIC.len()),
        ..Scanned::default()
    };
    let mut offset = scanned.good_bytes;
    let mut n_rotten = 0;
    while let Some(step) = step(rest) {
        let length = match step {
            Step::Good(view) => {
                let length = to_u64(HEAD_BYTES + FIXED_BYTES + view.body.len());
                scanned.records.push(view.located(offset, length));
                scanned.good_bytes = offset + length;
                scanned.n_damaged += n_rotten;
                n_rotten = 0;
                length
            }
            Step::Rotten(length) => {
                n_rotten += 1;
                length
            }
        };
        offset += length;
        rest = usize::try_from(length)
            .ok()
            .and_then(|n| rest.get(n..))
            .unwrap_or_default();
    }
    Some(scanned)
}

/// First bytes of a segment; another form gets another number.
pub const MAGIC: &[u8; 8] = b"monsysS1";

enum Step<'a> {
    Good(View<'a>),
    /// Whole by its length, but its checksum is wrong.
    Rotten(u64),
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

fn step(bytes: &[u8]) -> Option<Step<'_>> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if !(FIXED_BYTES..=FIXED_BYTES + limit::BODY_BYTES_MAX).contains(&length) {
        return None;
    }
    let inner = rest.get(..length)?;
    let is_intact = crc32c(inner) == u32::from_le_bytes(*checksum);
    let view = if is_intact { view(inner) } else { None };
    Some(view.map_or_else(|| Step::Rotten(to_u64(HEAD_BYTES + length)), Step::Good))
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

#[cfg(test)]
mod tests {
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

    fn segment(numbers: std::ops::Range<u64>) -> Vec<u8> {
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
    fn a_rotten_byte_costs_at_most_the_records_behind_it_and_never_the_ones_before() {
        let whole = segment(1..4);
        let one = segment(1..2).len();
        for at in one..whole.len() {
            let mut rotten = whole.clone();
            rotten[at] ^= 0x40;
            let scanned = scan(&rotten).unwrap();
            assert_eq!(numbers(&scanned).first(), Some(&1), "rotten at {at}");
            for located in &scanned.records {
                let at = usize::try_from(located.offset).unwrap();
                assert_eq!(Record::decode(&rotten[at..]), Some(record(located.number)));
            }
        }
    }

    #[test]
    fn a_record_that_rotted_in_the_middle_is_skipped_and_counted() {
        let mut bytes = segment(1..4);
        let at = segment(1..3).len() - 1;
        bytes[at] ^= 1;
        let scanned = scan(&bytes).unwrap();
        assert_eq!((numbers(&scanned), scanned.n_damaged), (vec![1, 3], 1));
    }

    #[test]
    fn what_does_not_begin_like_a_segment_is_none() {
        assert_eq!(scan(b""), None);
        assert_eq!(scan(b"monsys"), None);
        assert_eq!(scan(b"monsysS2"), None);
    }
}
