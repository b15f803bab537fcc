//! The attackers: each an enrolled agent that really does what its name says.
//!
//! What they send over HTTP is signed, paced and stamped like an honest agent's in every respect
//! but one. Their processor readings are made up, and move, except where standing still is the
//! attack.

use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use monsys_agent::clock::Ticker;
use monsys_core::anomaly::AnomalyKind;
use monsys_core::id::AgentId;
use monsys_core::name::AgentVersion;
use monsys_core::position::Position;
use monsys_core::sample::{CpuPercent, MetricSample};
use monsys_core::signal::SignalDraft;
use monsys_core::time::{Span, Timestamp};
use monsys_wire::compose::{Outbound, OutgoingBody, OutgoingPayload};
use monsys_wire::header::{AUTHORIZATION, CONTENT_TYPE, JSON_TYPE, SIGNATURE};
use monsys_wire::{Audience, BearerToken, SigningKey};
use tokio::sync::watch;

use crate::app::App;
use crate::clock::Clock;
use crate::error::{Failure, FailureKind};
use crate::random::random_bytes;

/// The six ways to attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trick {
    /// Has the token and not the key, so it sends no signature.
    StolenToken,
    /// Signs with a key of its own.
    WrongKey,
    /// Its clock is six minutes behind.
    WrongClock,
    /// Sends every 3 s in place of every 15 s.
    HastySender,
    /// Says CPU = 4.20 for ever (integrity document, example 2).
    FrozenCpu,
    /// Runs an older version than it did a moment ago.
    OldVersion,
}

impl Trick {
    /// All of them, in the order of the integrity document.
    pub(super) const ALL: [Self; 6] = [
        Self::StolenToken,
        Self::WrongKey,
        Self::WrongClock,
        Self::HastySender,
        Self::FrozenCpu,
        Self::OldVersion,
    ];

    /// Returns the label of the attacker.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::StolenToken => "stolen-token",
            Self::WrongKey => "wrong-key",
            Self::WrongClock => "wrong-clock",
            Self::HastySender => "hasty-sender",
            Self::FrozenCpu => "frozen-cpu",
            Self::OldVersion => "old-version",
        }
    }

    /// Returns what it is to be caught for.
    pub(super) const fn kind(self) -> AnomalyKind {
        match self {
            Self::StolenToken => AnomalyKind::UnsignedPayload,
            Self::WrongKey => AnomalyKind::SignatureInvalid,
            Self::WrongClock => AnomalyKind::ClockDrift,
            Self::HastySender => AnomalyKind::CadenceAnomaly,
            Self::FrozenCpu => AnomalyKind::FlatMetrics,
            Self::OldVersion => AnomalyKind::VersionDowngrade,
        }
    }

    /// Whether the machine that it claims to be was not backed up for long.
    const fn has_late_backup(self) -> bool {
        matches!(self, Self::HastySender | Self::FrozenCpu | Self::OldVersion)
    }

    const fn cadence(self) -> Span {
        match self {
            Self::HastySender => Span::from_secs(3),
            Self::StolenToken
            | Self::WrongKey
            | Self::WrongClock
            | Self::FrozenCpu
            | Self::OldVersion => Span::from_secs(15),
        }
    }

    fn device_time(self, now: Timestamp) -> Timestamp {
        if self == Self::WrongClock {
            now.saturating_sub(Span::from_secs(360))
        } else {
            now
        }
    }

    fn version(self, n_sent: i64) -> &'static str {
        match self {
            Self::OldVersion if n_sent >= 5 => "0.1.9",
            Self::OldVersion => "0.2.0",
            Self::StolenToken
            | Self::WrongKey
            | Self::WrongClock
            | Self::HastySender
            | Self::FrozenCpu => "0.1.0",
        }
    }
}

/// One attacker, ready to start.
pub(super) struct Attacker {
    trick: Trick,
    agent: AgentId,
    key: SigningKey,
    token: BearerToken,
    url: String,
    audience: Audience,
    clock: Clock,
    noise: u64,
}

impl Attacker {
    /// Makes an attacker that holds the token, and the key of `trick`s that sign.
    pub(super) fn new(
        trick: Trick,
        agent: AgentId,
        pinned: SigningKey,
        token: BearerToken,
        addr: SocketAddr,
        app: &App,
    ) -> Self {
        let is_own_key = trick == Trick::WrongKey;
        let key = if is_own_key {
            SigningKey::from_secret_bytes(random_bytes())
        } else {
            pinned
        };
        Self {
            trick,
            agent,
            key,
            token,
            url: format!("http://{addr}/api/v1/ingest"),
            audience: app.audience.clone(),
            clock: app.clock,
            noise: u64::from_le_bytes(random_bytes()) | 1,
        }
    }

    /// Attacks on a thread of its own until told to stop.
    pub(super) fn start(mut self, stopped: watch::Receiver<bool>) -> io::Result<JoinHandle<()>> {
        let name = self.trick.name().to_owned();
        std::thread::Builder::new()
            .name(name)
            .spawn(move || self.attack(&stopped))
    }

    fn attack(&mut self, stopped: &watch::Receiver<bool>) {
        let http: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(5)))
            .build()
            .into();
        let mut ticker = Ticker::start(self.clock, self.trick.cadence());
        let mut n_sent = 0;
        while !*stopped.borrow() {
            let is_late = n_sent == 2 && self.trick.has_late_backup();
            let sent = self
                .payload(n_sent)
                .and_then(|body| self.send(&http, &body))
                .map(|()| n_sent += 1)
                .and_then(|()| {
                    if is_late {
                        self.report(&http, &mut n_sent)
                    } else {
                        Ok(())
                    }
                });
            if let Err(problem) = sent {
                tracing::warn!(attacker = self.trick.name(), problem);
            }
            let next = ticker.advance();
            std::thread::sleep(next.saturating_duration_since(std::time::Instant::now()));
        }
    }

    fn payload(&mut self, n_sent: i64) -> Result<OutgoingBody, &'static str> {
        let now = self.trick.device_time(self.clock.now());
        let cpu = if self.trick == Trick::FrozenCpu {
            4.20
        } else {
            self.made_up_cpu()
        };
        let cpu = CpuPercent::new(cpu).map_err(|_| "made-up reading out of range")?;
        self.compose(n_sent, now, Outbound::Metrics(&MetricSample::of_cpu(cpu)))
    }

    /// Says that its backup is late. Three do, so that something hangs together in the fleet.
    fn report(&self, http: &ureq::Agent, n_sent: &mut i64) -> Result<(), &'static str> {
        let now = self.trick.device_time(self.clock.now());
        let draft = SignalDraft {
            source: "backup_check".to_owned(),
            subject_type: "agent".to_owned(),
            subject_id: String::new(),
            key: "backup.age_hours".to_owned(),
            value: r#"{"limit":24,"value":61}"#.to_owned(),
            severity: Some("medium".to_owned()),
            observed_at: now,
            ttl_seconds: None,
        };
        let body = self.compose(*n_sent, now, Outbound::Signals(&[draft]))?;
        self.send(http, &body)?;
        *n_sent += 1;
        Ok(())
    }

    fn compose(
        &self,
        n_sent: i64,
        now: Timestamp,
        data: Outbound<'_>,
    ) -> Result<OutgoingBody, &'static str> {
        let version = AgentVersion::parse(self.trick.version(n_sent)).map_err(|_| "bad version")?;
        OutgoingBody::compose(&OutgoingPayload {
            audience: &self.audience,
            agent_id: self.agent,
            agent_version: &version,
            position: Position::new(1, n_sent + 1).map_err(|_| "positions used up")?,
            captured_at: now,
            sent_at: now,
            data,
        })
        .map_err(|_| "payload not composed")
    }

    fn send(&self, http: &ureq::Agent, body: &OutgoingBody) -> Result<(), &'static str> {
        let mut request = http
            .post(&self.url)
            .header(AUTHORIZATION, self.token.to_header_value())
            .header(CONTENT_TYPE, JSON_TYPE);
        if self.trick != Trick::StolenToken {
            request = request.header(SIGNATURE, body.sign(&self.key).to_string());
        }
        request
            .send(body.as_bytes())
            .map(drop)
            .map_err(|_| "hub not reached")
    }

    /// A reading between 5 and 95 percent points, by xorshift.
    fn made_up_cpu(&mut self) -> f64 {
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 7;
        self.noise ^= self.noise << 17;
        let thousandths = u32::try_from(self.noise % 90_000).unwrap_or(0);
        5.0 + f64::from(thousandths) / 1_000.0
    }
}

/// The failure of a demo whose attacker did not live to its end.
pub(super) fn ended_badly() -> Failure {
    Failure::new(
        FailureKind::Unavailable,
        "an attacker of the demo ended by a panic",
    )
}
