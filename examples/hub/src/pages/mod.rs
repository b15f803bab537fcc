//! The pages of the hub: values in, HTML out.
//!
//! What: one view struct and one function per page, and the assets they refer to. Every page works
//! without the script; with it, the content of `<main>` is replaced by the same page fetched anew
//! when the ledger grew, and else now and then. What not: input, output, clocks, sessions, routes; the caller reads all
//! values first. Foreign text meets HTML only in the templates, which escape it; addresses are
//! made of typed identifiers and words alone.
//!
//! Forms post to `/logout`, `/integrity/run`, `/integrity/act`, `/integrity/{id}/acknowledge`,
//! `…/snooze` and `…/resolve` and, for the set-up page, to its own address. All but the last carry
//! the hidden field `csrf`.
//!
//! Cost: linear in the rows shown.

mod address;
mod agent;
mod anomaly;
#[cfg(test)]
mod anomaly_tests;
pub(crate) mod assets;
mod census;
mod chart;
mod choice;
mod cycle;
mod devices;
mod endpoint;
mod events;
mod filter;
mod fleet;
mod frame;
mod insights;
mod integrity;
mod kind;
mod members;
mod overview;
mod pareto_chart;
mod plain;
mod plot;
mod rank;
mod readings;
mod row;
#[cfg(test)]
mod samples;
mod shell;
#[cfg(test)]
mod tests;
mod trail;
mod trust;
mod waterfall;
mod when;

// The interface of the pages is
pub(crate) use self::agent::{AgentView, agent};
pub(crate) use self::anomaly::{AnomalyView, anomaly};
pub(crate) use self::census::{Census, Spread};
pub(crate) use self::devices::{Devices, devices};
pub(crate) use self::events::{EVENT_RANGES, Events, agent_of, events};
pub(crate) use self::filter::{FilterWords, OPEN, Origin, UnknownWord};
pub(crate) use self::fleet::{Fleet, Trend, fleet};
pub(crate) use self::frame::{Access, Viewer};
pub(crate) use self::insights::{Insights, agents_of_incidents, insights};
pub(crate) use self::integrity::{Integrity, integrity};
pub(crate) use self::overview::{Overview, overview};
pub(crate) use self::plain::{
    Account, AccountNotice, Login, LoginNotice, Message, PASSWORD_RULE, SetPassword, Setup,
    account, login, message, set_password, setup,
};
pub(crate) use self::plot::{Point, Series, Window};
pub(crate) use self::readings::{Disk, Reach, Readings};
pub(crate) use self::trail::Trail;
