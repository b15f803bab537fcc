//! What surrounds the content of a page.

use monsys_core::time::Timestamp;

use super::assets;
use super::when::When;

/// Who looks at a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Viewer<'a> {
    /// The e-mail address.
    pub(crate) email: &'a str,
    /// The name of the organisation whose data is shown.
    pub(crate) organisation: &'a str,
    /// What the session's forms must carry.
    pub(crate) csrf: &'a str,
    /// The last entry of the ledger that the page shows; its script asks for what comes after.
    pub(crate) ledger_seq: u64,
    /// Whether there are buttons that change something.
    pub(crate) access: Access,
    /// Whether this hub is a demo.
    pub(crate) is_demo: bool,
}

/// What a person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read, and resolve anomalies.
    Admin,
    /// Read.
    ReadOnly,
}

/// The place of a page in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The overview itself.
    Overview,
    /// The page of insights itself.
    Insights,
    /// The integrity page itself.
    Integrity,
    /// A page below the integrity page.
    Anomaly,
    /// A page below the overview.
    Agent,
}

/// All that the templates around the content need.
#[derive(Debug, Clone)]
pub(super) struct Frame<'a> {
    pub(super) links: Links,
    pub(super) viewer: Viewer<'a>,
    pub(super) place: Place,
    pub(super) as_of: When,
}

impl<'a> Frame<'a> {
    pub(super) fn new(viewer: Viewer<'a>, place: Place, now: Timestamp) -> Self {
        Self {
            links: Links::new(),
            viewer,
            place,
            as_of: When::new(now, now),
        }
    }

    /// How often the script fetches the page while the hub tells it when the ledger grows, in
    /// seconds. Readings come with every payload; where only anomalies are shown, ages change
    /// and snoozes end.
    pub(super) const fn pace_s(&self) -> u32 {
        match self.place {
            Place::Integrity | Place::Anomaly => 60,
            Place::Overview | Place::Insights | Place::Agent => 10,
        }
    }
}

/// Where the assets are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Links {
    pub(super) style: &'static str,
    pub(super) script: &'static str,
    pub(super) icon: &'static str,
}

impl Links {
    pub(super) fn new() -> Self {
        Self {
            style: &assets::style().path,
            script: &assets::script().path,
            icon: &assets::icon().path,
        }
    }
}
