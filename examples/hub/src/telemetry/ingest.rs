//! What became of payloads.

use std::sync::atomic::{AtomicU64, Ordering};

use monsys_core::store::AuthProfile;
use monsys_wire::answer::Acknowledgement;
use monsys_wire::reject::Code;

/// What became of the payloads of both profiles.
#[derive(Default)]
pub(crate) struct IngestCounters {
    ed25519: OfProfile,
    hmac: OfProfile,
}

struct OfProfile {
    accepted: AtomicU64,
    duplicate: AtomicU64,
    refused: [AtomicU64; Code::ALL.len()],
}

impl Default for OfProfile {
    fn default() -> Self {
        Self {
            accepted: AtomicU64::new(0),
            duplicate: AtomicU64::new(0),
            refused: [const { AtomicU64::new(0) }; Code::ALL.len()],
        }
    }
}

impl IngestCounters {
    /// Counts a payload that is stored.
    pub(crate) fn acknowledged(&self, profile: AuthProfile, acknowledgement: Acknowledgement) {
        let of = self.of(profile);
        let cell = match acknowledgement {
            Acknowledgement::Accepted => &of.accepted,
            Acknowledgement::Duplicate => &of.duplicate,
        };
        cell.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a request that was refused.
    pub(crate) fn refused(&self, profile: AuthProfile, code: Code) {
        let index = Code::ALL.iter().position(|known| *known == code);
        let refused = &self.of(profile).refused;
        if let Some(cell) = index.and_then(|index| refused.get(index)) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many payloads were accepted.
    pub(crate) fn n_accepted(&self) -> u64 {
        let all = [&self.ed25519, &self.hmac];
        all.iter().map(|of| read(&of.accepted)).sum()
    }

    /// How many requests were refused.
    pub(crate) fn n_refused(&self) -> u64 {
        let all = [&self.ed25519, &self.hmac];
        all.iter().flat_map(|of| &of.refused).map(read).sum()
    }

    /// Every profile and outcome, and how often it came.
    pub(crate) fn read(&self) -> impl Iterator<Item = (AuthProfile, &'static str, u64)> {
        [AuthProfile::Ed25519, AuthProfile::Hmac]
            .into_iter()
            .flat_map(|profile| {
                let of = self.of(profile);
                let stored = [("accepted", &of.accepted), ("duplicate", &of.duplicate)];
                let codes = Code::ALL.iter().map(|code| code.as_str());
                let all = stored.into_iter().chain(codes.zip(&of.refused));
                all.map(move |(outcome, cell)| (profile, outcome, read(cell)))
            })
    }

    const fn of(&self, profile: AuthProfile) -> &OfProfile {
        match profile {
            AuthProfile::Ed25519 => &self.ed25519,
            AuthProfile::Hmac => &self.hmac,
        }
    }
}

fn read(cell: &AtomicU64) -> u64 {
    cell.load(Ordering::Relaxed)
}
