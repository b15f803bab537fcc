//! `agent_signals`: what an agent found out about itself.

use alloc::string::String;
use alloc::vec::Vec;

use monsys_core::json::Cursor;
use monsys_core::limit;
use monsys_core::signal::SignalDraft;

use super::field::{self, Member, array, object, optional, required};
use crate::reject::Reject;

/// Reads the data of an `agent_signals` payload: drafts, whose content is not judged here.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Vec<SignalDraft>, Reject> {
    let mut signals = None;
    object(cursor, |cursor, name| match name {
        "signals" => {
            signals = Some(array(
                cursor,
                limit::SIGNALS_PER_BATCH_MAX,
                N_SIGNALS,
                draft,
            )?);
            Ok(Member::Known)
        }
        _ => Ok(Member::Unknown),
    })?;
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

fn draft(cursor: &mut Cursor<'_>) -> Result<SignalDraft, Reject> {
    let (mut source, mut subject_type, mut subject_id, mut key) = (None, None, None, None);
    let (mut value, mut severity, mut observed_at, mut ttl_seconds) = (None, None, None, None);
    object(cursor, |cursor, name| {
        match name {
            "source" => source = Some(owned_text(cursor)?),
            "subject_type" => subject_type = Some(owned_text(cursor)?),
            "subject_id" => subject_id = optional(cursor, owned_text)?,
            "key" => key = Some(owned_text(cursor)?),
            "value" => value = Some(String::from(cursor.skip())),
            "severity" => severity = optional(cursor, owned_text)?,
            "observed_at" => observed_at = Some(field::time(cursor)?),
            "ttl_seconds" => ttl_seconds = optional(cursor, field::integer)?,
            _ => return Ok(Member::Unknown),
        }
        Ok(Member::Known)
    })?;
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
