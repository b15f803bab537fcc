//! `agent_signals`: what an agent found out about itself.

use alloc::string::String;
use alloc::vec::Vec;

use monsys_core::json::{self, Cursor, Scratch};
use monsys_core::limit;
use monsys_core::signal::SignalDraft;

use super::field::{self, array, member, optional_member, required};
use crate::envelope::malformed;
use crate::reject::Reject;

/// Reads the data of an `agent_signals` payload: drafts, whose content is not judged here.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Vec<SignalDraft>, Reject> {
    field::enter_object(cursor)?;
    let signals = member(cursor, "signals", |cursor| {
        array(cursor, limit::SIGNALS_PER_BATCH_MAX, N_SIGNALS, draft)
    })?;
    field::leave_object(cursor)?;
    let signals = required(cursor, signals, "signals")?;
    if signals.is_empty() {
        let pointer = cursor.pointer_below("signals");
        return Err(Reject::OutOfRange {
            pointer,
            expected: N_SIGNALS,
        });
    }
    Ok(signals)
}

/// Reads one signal that stands alone, such as a line of a file: the layout is that of a signal in
/// `agent_signals`. Its content is not judged here.
///
/// # Errors
/// The [`Reject`] that the same text would have as a part of a payload.
///
/// ```
/// use monsys_wire::canonical::Scratch;
/// use monsys_wire::schema::read_signal;
///
/// let line = br#"{"source":"cert_scan","subject_type":"domain","subject_id":"shop.example",
///     "key":"cert.expiry_days","value":{"value":12},"observed_at":"2026-11-21T01:15:41Z"}"#;
/// let draft = read_signal(line, &mut Scratch::new())?;
/// assert_eq!(draft.key, "cert.expiry_days");
/// let refused = read_signal(br#"{"source":"cert_scan"}"#, &mut Scratch::new()).unwrap_err();
/// assert_eq!(refused.code(), "missing_field");
/// # Ok::<(), monsys_wire::Reject>(())
/// ```
pub fn read_signal(text: &[u8], scratch: &mut Scratch) -> Result<SignalDraft, Reject> {
    let canonical = json::canonicalize(text, scratch).map_err(|error| malformed(error, text))?;
    draft(&mut Cursor::new(canonical))
}

fn draft(cursor: &mut Cursor<'_>) -> Result<SignalDraft, Reject> {
    field::enter_object(cursor)?;
    let key = member(cursor, "key", owned_text)?;
    let observed_at = member(cursor, "observed_at", field::time)?;
    let severity = optional_member(cursor, "severity", owned_text)?;
    let source = member(cursor, "source", owned_text)?;
    let subject_id = optional_member(cursor, "subject_id", owned_text)?;
    let subject_type = member(cursor, "subject_type", owned_text)?;
    let ttl_seconds = optional_member(cursor, "ttl_seconds", field::integer)?;
    let value = member(cursor, "value", |cursor| Ok(String::from(cursor.skip())))?;
    field::leave_object(cursor)?;
    Ok(SignalDraft {
        source: required(cursor, source, "source")?,
        subject_type: required(cursor, subject_type, "subject_type")?,
        // Optional, because the hub puts the caller in its place.
        subject_id: subject_id.unwrap_or_default(),
        key: required(cursor, key, "key")?,
        value: required(cursor, value, "value")?,
        severity,
        observed_at: required(cursor, observed_at, "observed_at")?,
        ttl_seconds,
    })
}

fn owned_text(cursor: &mut Cursor<'_>) -> Result<String, Reject> {
    field::text(cursor).map(alloc::borrow::Cow::into_owned)
}

const N_SIGNALS: &str = "1 to 1000 signals";
