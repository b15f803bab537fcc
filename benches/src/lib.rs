//! Measurements of monsys against plain baselines: `benches/`, one file per subject, and the
//! program `ratios`, one module per topic.

#[allow(dead_code, reason = "the tests use other parts of it")]
#[path = "../../examples/hub/tests/support/postgres.rs"]
mod cluster;
pub mod cycle;
mod device;
pub mod footprint;
pub mod integrity;
pub mod load;
pub mod payload;
pub mod race;
pub mod readers;
pub mod report;
pub mod serialize;
pub mod store;
pub mod wire;
