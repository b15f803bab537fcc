//! Asks a hub whether it knows a device by its key, without giving it a payload.
//!
//! The hmac profile has one door, `POST /ingest`, and the order of its checks (contract §3) answers
//! two questions. A request of 1970 with a right MAC is `stale`, which tells the hub's clock too; a
//! timely one without data is `missing_field`, which comes behind `aud` and `agent_id`. Neither
//! stores anything, uses up a position, or raises a finding. What not: whether the hub would take a
//! payload at present. Cost: two requests.

use monsys_core::time::Timestamp;
use monsys_wire::compose::OutgoingBody;
use monsys_wire::{Audience, Code, DeviceIdentity, DeviceKey};

use crate::enrolment::sign_as_device;
use crate::error::AgentError;
use crate::send::answer::{Answer, Fault};
use crate::send::client::{CallError, HubClient, REQUEST_TIMEOUT, Reply};

/// Who is to be known, where, and by which key.
#[derive(Debug, Clone, Copy)]
pub struct DeviceProbe<'a> {
    /// The hub.
    pub client: &'a HubClient,
    /// What it should call itself.
    pub audience: &'a Audience,
    /// The device.
    pub identity: &'a DeviceIdentity,
    /// Its key.
    pub key: &'a DeviceKey,
}

impl DeviceProbe<'_> {
    /// Asks, and returns what the hub's clock shows.
    ///
    /// # Errors
    /// [`AgentError::Call`]: with `unauthorized` for a device or key that the hub does not know,
    /// with `wrong_audience` for another hub. [`AgentError::System`] without a random source.
    pub fn ask(&self) -> Result<Timestamp, AgentError> {
        let server_time = self.ask_time()?;
        let second = self.send(server_time)?.answer;
        if second == Answer::Refused(Code::MissingField) {
            Ok(server_time)
        } else {
            Err(refusal(second).into())
        }
    }

    /// Asks only what the hub's clock shows, which it tells whoever has the key.
    ///
    /// # Errors
    /// Those of [`ask`](Self::ask), but for the audience.
    pub fn ask_time(&self) -> Result<Timestamp, AgentError> {
        // Written as the second 0 of Unix time.
        let reply = self.send(Timestamp::MIN)?;
        let is_stale = reply.answer == Answer::Denied(Some(Code::Stale));
        reply
            .server_time
            .filter(|_| is_stale)
            .ok_or_else(|| refusal(reply.answer).into())
    }

    fn send(&self, at: Timestamp) -> Result<Reply, AgentError> {
        let (device, aud) = (self.identity.device(), self.audience.as_str());
        // Members in canonical order, none of which needs an escape; data is left out.
        let body = format!(
            r#"{{"agent_id":"{device}","aud":"{aud}","epoch":1,"sent_at":"{at}","seq":1}}"#
        );
        let body = OutgoingBody::restore(body.as_bytes()).map_err(|error| AgentError::System {
            what: "no probe can be written",
            source: std::io::Error::other(error),
        })?;
        let signed = sign_as_device(&body, self.identity, self.key, at)?;
        Ok(self
            .client
            .ingest(body.as_bytes(), &signed, REQUEST_TIMEOUT))
    }
}

/// What an answer says to somebody who wanted no payload taken.
const fn refusal(answer: Answer) -> CallError {
    match answer {
        Answer::Denied(code) => CallError::Denied { code },
        Answer::Refused(code) => CallError::Denied { code: Some(code) },
        Answer::RetryAfter(_) => CallError::Busy,
        Answer::Unreachable(fault) => CallError::Unreachable(fault),
        Answer::Accepted
        | Answer::Duplicate
        | Answer::Replay
        | Answer::StaleEpoch { .. }
        | Answer::Foreign { .. } => CallError::Unreachable(Fault::Nonsense),
    }
}
