//! A spool for agents: what is measured is durable before it is sent, and delivered however long
//! that takes.
//!
//! An agent gives each payload a position when it spools it, and that position is the idempotency
//! key (contract §2). So the spool is what makes at-least-once delivery come to exactly once. This
//! module reads and decides; a program brings the files, the clock and the connection:
//!
//! | what | where |
//! |---|---|
//! | a payload as bytes, and what a segment of them holds after a crash | [`record`] |
//! | which payloads are pending, at which position | [`ledger`] |
//! | the file that says so, closed by a checksum | [`state`] |
//! | what was lost, until the hub was told | [`gap`] |
//! | what an answer means | [`answer`], [`retry_after`] |
//! | which payload goes next, and when | [`pace`] |
//!
//! # How a program keeps its promises
//! 1. *Append*: write [`Record::encode`](record::Record::encode) behind the last record, sync the
//!    file (and the directory when the file is new), and only then
//!    [`Ledger::append`](ledger::Ledger::append). Nothing is sent before that, so that a position
//!    is never used for two contents, whatever moment the process dies at.
//! 2. *Send*: [`Pace::choose`](pace::Pace::choose), then the record, at the position of
//!    [`Ledger::position`](ledger::Ledger::position), with `sent_at` of the attempt.
//! 3. *Acknowledge*: [`Pace::decide`](pace::Pace::decide) says what becomes of it. Write
//!    [`Ledger::to_state`](ledger::Ledger::to_state) to a new file, sync it, rename it over the old
//!    one, sync the directory, and only then delete segments in which nothing is pending.
//! 4. *Open*: [`record::scan`] each segment in the order of their names, read the state, and
//!    [`Ledger::restore`](ledger::Ledger::restore).
//!
//! A crash between any two steps costs a payload that is sent twice, which the hub takes for one.
//!
//! # What this module does not know
//! Files, sockets, clocks and random bits. What a body says: it is bytes here.
//!
//! ```
//! use monsys_core::time::Timestamp;
//! use monsys_wire::spool::ledger::{Ledger, Place};
//! use monsys_wire::spool::record::{MAGIC, Record, scan};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let captured_at = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z")?;
//! let (mut ledger, mut segment) = (Ledger::restore(None, &[]), MAGIC.to_vec());
//! for body in [b"first", b"other", b"third"] {
//!     let number = ledger.next_number();
//!     let position = ledger.position(number).ok_or("no position left")?;
//!     let (epoch, seq, body) = (position.epoch(), position.seq(), body.to_vec());
//!     let bytes = Record { number, epoch, seq, captured_at, body }.encode();
//!     let (offset, length) = (segment.len().try_into()?, bytes.len().try_into()?);
//!     segment.extend(bytes);
//!     ledger.append(Place { segment: 1, offset, length, captured_at });
//! }
//! ledger.acknowledge(1);
//! let state = ledger.to_state();
//! // The power fails while the disk rots: the last record is torn, and the loss is known.
//! segment.truncate(segment.len() - 1);
//! let found: Vec<_> = scan(&segment).ok_or("no segment")?.records;
//! let found: Vec<_> = found.into_iter().map(|record| (1, record)).collect();
//! let ledger = Ledger::restore(Some(&state), &found);
//! assert_eq!((ledger.oldest(), ledger.newest()), (Some(2), Some(2)));
//! assert_eq!(ledger.gaps()[0].to_string(), "lost seq 3 of epoch 1");
//! assert_eq!(ledger.next_number(), 4, "no position is used twice");
//! # Ok(())
//! # }
//! ```

pub mod answer;
pub mod crc32c;
pub mod gap;
pub mod ledger;
pub mod pace;
pub mod record;
pub mod retry_after;
pub mod state;

// The public interface is
pub use answer::{Answer, Fault};
pub use gap::Gap;
pub use ledger::Ledger;
pub use pace::{Attempt, Fate, Pace, Pause};
pub use record::Record;
pub use state::State;
