//! The enrolment that is in force while the agent works, and how another one takes its place.
//!
//! What: one slot that the sampler and the sender read, and that a reload replaces whole or not at
//! all. A configuration of another agent or hub is not taken while running: the spool's positions
//! are those of this one. What not: changing keys, which is [`crate::rotation`]. Cost: a lock and a
//! counter a reading; a reload reads two small files.

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::DataDir;
use crate::enrolment::Enrolment;
use crate::error::AgentError;
use crate::rotation::{self, KeyStamp};

/// An enrolment that can be exchanged.
#[derive(Debug)]
pub struct LiveEnrolment {
    data: DataDir,
    slot: Mutex<Slot>,
}

/// An enrolment whose key stays the one on disk as long as this is held.
#[derive(Debug)]
pub struct HeldEnrolment {
    enrolment: Arc<Enrolment>,
    _key: rotation::KeyHold,
}

#[derive(Debug)]
struct Slot {
    enrolment: Arc<Enrolment>,
    stamp: Option<KeyStamp>,
}

impl LiveEnrolment {
    /// Loads the agent of a data directory.
    ///
    /// # Errors
    /// Those of [`Enrolment::load`].
    pub fn open(data: &DataDir) -> Result<Self, AgentError> {
        Ok(Self {
            data: data.clone(),
            slot: Mutex::new(Slot::load(data)?),
        })
    }

    /// Returns what is in force.
    pub fn current(&self) -> Arc<Enrolment> {
        Arc::clone(&self.slot().enrolment)
    }

    /// Reads configuration and key again.
    ///
    /// # Errors
    /// Those of [`Enrolment::load`], and [`AgentError::OtherAgent`]; what was in force stays.
    pub fn reload(&self) -> Result<(), AgentError> {
        let loaded = Slot::load(&self.data)?;
        let mut slot = self.slot();
        let (former, new) = (slot.enrolment.config(), loaded.enrolment.config());
        if former.audience != new.audience {
            return Err(AgentError::OtherAgent("the hub id"));
        }
        if former.profile.as_str() != new.profile.as_str() {
            return Err(AgentError::OtherAgent("the profile"));
        }
        if former.profile.to_string() != new.profile.to_string() {
            return Err(AgentError::OtherAgent("the agent"));
        }
        *slot = loaded;
        Ok(())
    }

    /// Returns what is in force with the key that is on disk at this moment, and keeps that key
    /// there until it is dropped. A change of keys that was interrupted is settled first.
    ///
    /// # Errors
    /// Those of [`Self::reload`] and of [`rotation::settle`]; nothing may be signed then.
    pub fn hold(&self) -> Result<HeldEnrolment, AgentError> {
        let key = rotation::hold(&self.data)?;
        rotation::settle(&self.data, &self.current())?;
        let stamp = rotation::stamp(&self.data);
        if self.slot().stamp != stamp {
            self.reload()?;
            tracing::info!("another key is in force");
        }
        Ok(HeldEnrolment {
            enrolment: self.current(),
            _key: key,
        })
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldEnrolment {
    /// Returns the enrolment.
    pub fn enrolment(&self) -> &Enrolment {
        &self.enrolment
    }
}

impl Slot {
    fn load(data: &DataDir) -> Result<Self, AgentError> {
        // Before the key is read: one that changes meanwhile is read again.
        let stamp = rotation::stamp(data);
        Ok(Self {
            enrolment: Arc::new(Enrolment::load(data)?),
            stamp,
        })
    }
}
