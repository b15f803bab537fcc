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
    /// How many times faster than the wall the hub's clock runs; 1 but for a demo.
    pub(crate) clock_rate: u32,
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
    /// The page of the fleet itself.
    Fleet,
    /// The list of devices itself.
    Devices,
    /// The time line of events itself.
    Events,
    /// The page of insights itself.
    Insights,
    /// The integrity page itself.
    Integrity,
    /// A page below the integrity page.
    Anomaly,
    /// A page below the list of devices.
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
            Place::Overview | Place::Devices | Place::Agent => 10,
            Place::Fleet | Place::Events | Place::Insights => 20,
        }
    }

    /// The navigation, in the order in which an operator looks: what is wrong, who, what happened,
    /// what it means, what is proven.
    pub(super) fn tabs(&self) -> [Tab; 6] {
        [
            ("/overview", "Overview", Place::Overview),
            ("/fleet", "Fleet", Place::Fleet),
            ("/devices", "Devices", Place::Devices),
            ("/events", "Events", Place::Events),
            ("/insights", "Insights", Place::Insights),
            ("/integrity", "Integrity", Place::Integrity),
        ]
        .map(|(href, word, place)| {
            let current = match (place, self.place) {
                (Place::Devices, Place::Agent) | (Place::Integrity, Place::Anomaly) => "true",
                (tab, here) if tab == here => "page",
                _ => "",
            };
            Tab {
                href,
                word,
                current,
            }
        })
    }
}

/// One entry of the navigation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tab {
    pub(super) href: &'static str,
    pub(super) word: &'static str,
    /// The value of `aria-current`: empty elsewhere, `page` here, `true` on a page below it.
    pub(super) current: &'static str,
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
