//! The list of all agents and devices: one line each, found by a filter, read page by page.

use std::collections::BTreeSet;

use askama::Template;
use monsys_core::id::AgentId;
use monsys_core::store::{AuthProfile, KeyState};
use monsys_core::time::Timestamp;
use monsys_signals::TrustScore;

use super::address::address;
use super::chart::{self, Chart};
use super::choice::{Choices, entries};
use super::frame::{Frame, Place, Viewer};
use super::shell::shell_word;
use super::trail::Trail;
use super::trust::Trust;
use super::when::When;
use crate::store::{FleetCursor, FleetFilter, FleetOrder, FleetPage, FleetRow, Presence};

/// What the list of devices shows.
#[derive(Clone, Copy)]
pub(crate) struct Devices<'a> {
    /// Who looks.
    pub(crate) viewer: Viewer<'a>,
    /// Which are listed.
    pub(crate) filter: &'a FleetFilter,
    /// In which order.
    pub(crate) order: FleetOrder,
    /// Where the page before ended, if this is not the first.
    pub(crate) after: Option<&'a FleetCursor>,
    /// The pages before that.
    pub(crate) back: &'a Trail,
    /// Those found.
    pub(crate) page: &'a FleetPage,
    /// The scores of agents.
    pub(crate) scores: &'a (dyn Fn(AgentId) -> Option<TrustScore> + Send + Sync),
    /// The versions that there are.
    pub(crate) versions: &'a BTreeSet<&'a str>,
    /// How many agents there are, whatever the filter.
    pub(crate) n_agents: u64,
    /// When the values were read.
    pub(crate) now: Timestamp,
}

/// Renders the list of devices.
///
/// # Errors
/// Only when formatting fails, which the values of a view cannot cause.
pub(crate) fn devices(view: &Devices<'_>) -> Result<String, askama::Error> {
    let words = Words::of(view);
    let here = view.after.map(FleetCursor::to_string);
    let (before, rest) = view.back.backward();
    let page = DevicesPage {
        frame: Frame::new(view.viewer, Place::Devices, view.now),
        open: String::new(),
        n_agents: view.n_agents,
        n_found: view.page.n_matching,
        text: words.text,
        choices: choices(view),
        order: words.order,
        is_narrowed: !words.is_all(),
        sorts: FleetOrder::ALL.map(|order| Sort::new(&words, order, view.order)),
        first: here.as_ref().map(|_| words.page("", "")),
        before: here
            .as_ref()
            .map(|_| words.page(before.unwrap_or_default(), &rest)),
        next: view.page.next.as_ref().map(|next| {
            let trail = view.back.forward(here.as_deref());
            words.page(&next.to_string(), &trail)
        }),
        lines: view
            .page
            .rows
            .iter()
            .map(|row| Line::new(row, view))
            .collect(),
        organisation_word: shell_word(view.viewer.organisation),
    };
    page.render()
}

#[derive(Template)]
#[template(path = "devices.html", config = "src/pages/askama.toml")]
struct DevicesPage<'a> {
    frame: Frame<'a>,
    open: String,
    n_agents: u64,
    n_found: u64,
    text: &'a str,
    choices: [Choices<'a>; 3],
    order: &'static str,
    is_narrowed: bool,
    /// By name, by when they were last seen, by what is open.
    sorts: [Sort; 3],
    first: Option<String>,
    before: Option<String>,
    next: Option<String>,
    lines: Vec<Line<'a>>,
    organisation_word: String,
}

/// The words of the address.
struct Words<'a> {
    text: &'a str,
    presence: &'static str,
    profile: &'static str,
    version: &'a str,
    order: &'static str,
}

impl<'a> Words<'a> {
    fn of(view: &Devices<'a>) -> Self {
        let filter = view.filter;
        Self {
            text: filter.text.as_deref().unwrap_or_default(),
            presence: filter.presence.map_or("", Presence::as_str),
            profile: filter.profile.map_or("", AuthProfile::as_str),
            version: filter.version.as_deref().unwrap_or_default(),
            order: view.order.as_str(),
        }
    }

    const fn is_all(&self) -> bool {
        self.text.is_empty()
            && self.presence.is_empty()
            && self.profile.is_empty()
            && self.version.is_empty()
    }

    fn page(&self, cursor: &str, back: &str) -> String {
        self.ordered(self.order, cursor, back)
    }

    fn ordered(&self, order: &str, cursor: &str, back: &str) -> String {
        let order = if order == FleetOrder::Name.as_str() {
            ""
        } else {
            order
        };
        let parameters = [
            ("text", self.text),
            ("presence", self.presence),
            ("profile", self.profile),
            ("version", self.version),
            ("order", order),
            ("cursor", cursor),
            ("back", back),
        ];
        address("/devices", &parameters)
    }
}

/// The heading of a column that the list can be ordered by.
struct Sort {
    href: String,
    /// The value of `aria-sort`, where the list is ordered by it.
    direction: Option<&'static str>,
}

impl Sort {
    fn new(words: &Words<'_>, order: FleetOrder, present: FleetOrder) -> Self {
        let direction = match order {
            FleetOrder::Name => "ascending",
            FleetOrder::LastSeen | FleetOrder::Worst => "descending",
        };
        Self {
            href: words.ordered(order.as_str(), "", ""),
            direction: (order == present).then_some(direction),
        }
    }
}

fn choices<'a>(view: &Devices<'a>) -> [Choices<'a>; 3] {
    let words = Words::of(view);
    let presences: Vec<_> = [""]
        .into_iter()
        .chain(Presence::ALL.map(Presence::as_str))
        .collect();
    let profiles = ["", "ed25519", "hmac"];
    let mut versions: Vec<_> = [""]
        .into_iter()
        .chain(view.versions.iter().copied())
        .collect();
    if !versions.contains(&words.version) {
        versions.push(words.version);
    }
    [
        Choices {
            name: "presence",
            label: "State",
            words: entries(&presences, words.presence),
        },
        Choices {
            name: "profile",
            label: "Profile",
            words: entries(&profiles, words.profile),
        },
        Choices {
            name: "version",
            label: "Version",
            words: entries(&versions, words.version),
        },
    ]
}

/// One agent or device.
struct Line<'a> {
    id: String,
    name: &'a str,
    profile: &'static str,
    has_key: bool,
    trust: Trust,
    score: Option<String>,
    spark: Option<Chart>,
    /// Memory in use, in percent of all.
    memory: Option<String>,
    load: Option<String>,
    version: Option<&'a str>,
    n_open: u32,
    last_seen: Option<When>,
}

impl<'a> Line<'a> {
    fn new(row: &'a FleetRow, view: &Devices<'_>) -> Self {
        let agent = &row.agent;
        let score = (view.scores)(agent.agent);
        let score = score.filter(|score| score.coverage().n_covered() > 0);
        let last = row.last.as_ref();
        Self {
            id: agent.agent.to_string(),
            name: agent.name.as_str(),
            profile: agent.key.profile().as_str(),
            has_key: agent.key != KeyState::Unpinned,
            trust: Trust::of(agent),
            score: score.map(|score| score.score().to_string()),
            spark: Chart::new(&agent.recent_cpu, SPARK),
            memory: last.and_then(|last| {
                let (used, total) = (last.mem_used_bytes?, last.mem_total_bytes?);
                let percent = used.checked_mul(100)?.checked_div(total)?;
                Some(format!("{percent}\u{a0}%"))
            }),
            load: last.and_then(|last| Some(format!("{:.2}", last.load1?))),
            version: agent.version.as_deref(),
            n_open: agent.n_open,
            last_seen: agent.last_seen_at.map(|at| When::new(at, view.now)),
        }
    }
}

/// As wide and high as the template's drawing.
const SPARK: chart::Canvas = chart::Canvas {
    width: 96.0,
    height: 28.0,
    margin: 3.0,
};
