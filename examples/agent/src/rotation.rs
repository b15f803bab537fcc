//! Going from one key to the next without a payload that carries the wrong one.
//!
//! In the ed25519 profile the new key is made beside the old one, the hub pins it on the word of
//! both (contract §3), and only then it takes the old one's name. Between the hub's yes and the
//! rename a payload signed by the old key would open a finding against an honest agent, so whoever
//! signs holds the key ([`hold`]) and a change of keys waits for that, and keeps the others waiting.
//! A change that died in between is settled by asking the hub which key it has ([`settle`]); it is
//! never guessed. Every step can be repeated.
//!
//! In the hmac profile the hub makes the new key and forgets the old one at once, so the new one is
//! proved and then replaces the old one.
//!
//! What not: telling a running daemon, which notices by itself before its next payload. Cost: three
//! system calls a payload.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;

use monsys_wire::answer::AgentSelf;
use monsys_wire::rotate::RotateRequest;
use monsys_wire::{BearerToken, DeviceKey, SigningKey, VerifyingKey};

use crate::config::{DataDir, Profile};
use crate::device_probe::DeviceProbe;
use crate::durable;
use crate::enrolment::{Credential, Enrolment};
use crate::error::AgentError;
use crate::key::{self, KeyFileError};
use crate::send::client::CallError;

/// Keeps the key on disk as it is while it exists.
#[derive(Debug)]
pub struct KeyHold {
    _lock: File,
}

/// Tells one key file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyStamp {
    inode: u64,
    modified: (i64, i64),
}

/// Holds the key for somebody who signs; others may hold it too.
///
/// # Errors
/// [`AgentError::System`] when there is no lock to be had.
pub fn hold(data: &DataDir) -> Result<KeyHold, AgentError> {
    let lock = open_lock(data)?;
    lock.lock_shared().map_err(no_lock)?;
    Ok(KeyHold { _lock: lock })
}

/// Returns what tells the present key file from another.
pub fn stamp(data: &DataDir) -> Option<KeyStamp> {
    // An agent has one of the two; of a directory with both, a change of either is one.
    let found = fs::metadata(data.key()).or_else(|_| fs::metadata(data.device_key()));
    found.ok().map(|metadata| KeyStamp {
        inode: metadata.ino(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    })
}

/// Finishes a change of keys that was interrupted, if the hub has carried it out.
///
/// # Errors
/// [`AgentError::Call`] when the hub cannot be asked: which key it has is unknown then.
pub fn settle(data: &DataDir, enrolment: &Enrolment) -> Result<(), AgentError> {
    let Credential::Ed25519 { token, .. } = enrolment.credential() else {
        return Ok(());
    };
    if !is_unfinished(data) {
        return Ok(());
    }
    let known = enrolment.client().agents_self(token)?;
    if let Some(pinned) = &known.pinned
        && is_finished_by(data, pinned)?
    {
        tracing::info!("a change of keys that was interrupted is finished");
    }
    Ok(())
}

/// Whether a change of keys was begun and not finished.
pub fn is_unfinished(data: &DataDir) -> bool {
    data.next_key().exists()
}

/// Makes the next key the present one if it is the one that is pinned; returns whether it was.
///
/// # Errors
/// [`AgentError::Key`].
pub fn is_finished_by(data: &DataDir, pinned: &VerifyingKey) -> Result<bool, AgentError> {
    let next = match key::load(&data.next_key()) {
        Ok(next) => next,
        Err(KeyFileError::Absent { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if next.verifying_key() != *pinned {
        return Ok(false);
    }
    promote(data)?;
    Ok(true)
}

/// Goes to a new key of the agent's own, and returns its public half.
///
/// # Errors
/// [`AgentError::Call`] when the hub does not say yes: the old key stays, and the command can be
/// repeated. [`AgentError::OtherKey`] when neither key is the pinned one.
pub fn rotate(data: &DataDir) -> Result<VerifyingKey, AgentError> {
    let lock = open_lock(data)?;
    lock.lock().map_err(no_lock)?;
    let enrolment = Enrolment::load(data)?;
    let Credential::Ed25519 { key, token } = enrolment.credential() else {
        let text = "a device shares a key that the hub makes: expected --key-file or --key-stdin";
        return Err(AgentError::Usage(text.to_owned()));
    };
    let is_repeated = is_unfinished(data);
    let next = key::load_or_create(&data.next_key())?;
    match ask(&enrolment, token, key, &next) {
        Ok(()) => {
            promote(data)?;
            Ok(next.verifying_key())
        }
        Err((error, is_asked)) => {
            // What the hub was never asked for, or refused, nobody has to settle.
            let is_refused = matches!(error, AgentError::Call(CallError::Denied { .. }));
            if !is_repeated && (!is_asked || is_refused) {
                fs::remove_file(data.next_key()).map_err(|source| AgentError::System {
                    what: "the next key cannot be removed",
                    source,
                })?;
            }
            Err(error)
        }
    }
}

/// Replaces the key of a device by the one that its hub made.
///
/// # Errors
/// [`AgentError::Call`] with `unauthorized` when the hub does not know the key; the old one stays.
pub fn replace_device_key(data: &DataDir, new: &DeviceKey) -> Result<(), AgentError> {
    let lock = open_lock(data)?;
    lock.lock().map_err(no_lock)?;
    let enrolment = Enrolment::load(data)?;
    let Credential::Hmac { identity, .. } = enrolment.credential() else {
        let text = "an agent makes its next key by itself: expected no --key-file, no --key-stdin";
        return Err(AgentError::Usage(text.to_owned()));
    };
    let probe = DeviceProbe {
        client: enrolment.client(),
        audience: &enrolment.config().audience,
        identity,
        key: new,
    };
    probe.ask()?;
    let mut line = new.to_secret_hex().to_vec();
    line.push(b'\n');
    durable::replace(&data.device_key(), &line).map_err(|source| {
        AgentError::Key(KeyFileError::Io {
            path: data.device_key(),
            source,
        })
    })
}

/// Gets the hub's yes to the next key; an error says too whether the hub was asked for it.
fn ask(
    enrolment: &Enrolment,
    token: &BearerToken,
    key: &SigningKey,
    next: &SigningKey,
) -> Result<(), (AgentError, bool)> {
    let known = enrolment
        .client()
        .agents_self(token)
        .map_err(|error| (error.into(), false))?;
    refuse_other_agent(enrolment, &known).map_err(|error| (error, false))?;
    match &known.pinned {
        Some(pinned) if *pinned == next.verifying_key() => Ok(()),
        Some(pinned) if *pinned == key.verifying_key() => {
            let body = RotateRequest::compose(key, next, &known.audience, known.agent_id);
            let asked = enrolment.client().rotate_key(token, &body);
            asked.map_err(|error| (error.into(), true))
        }
        Some(_) | None => Err((AgentError::OtherKey, false)),
    }
}

fn refuse_other_agent(enrolment: &Enrolment, known: &AgentSelf) -> Result<(), AgentError> {
    let config = enrolment.config();
    match config.profile {
        Profile::Ed25519 { agent_id, .. } if agent_id == known.agent_id => {}
        Profile::Ed25519 { .. } | Profile::Hmac(_) => {
            return Err(AgentError::OtherAgent("the agent"));
        }
    }
    if config.audience == known.audience {
        Ok(())
    } else {
        Err(AgentError::OtherAgent("the hub id"))
    }
}

fn promote(data: &DataDir) -> Result<(), AgentError> {
    fs::rename(data.next_key(), data.key())
        .and_then(|()| durable::sync_parent(&data.key()))
        .map_err(|source| {
            AgentError::Key(KeyFileError::Io {
                path: data.key(),
                source,
            })
        })
}

/// The lock is the directory itself: it is there, also on a disk that is full or read-only.
fn open_lock(data: &DataDir) -> Result<File, AgentError> {
    File::open(data.root()).map_err(no_lock)
}

fn no_lock(source: io::Error) -> AgentError {
    AgentError::System {
        what: "the key cannot be locked",
        source,
    }
}
