//! The scanner of certificates against real TLS servers, by hand and in a running hub.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod authority;
mod certificates;
mod inside;
mod look;
mod obstacles;
mod running;
mod server;
#[path = "../support/mod.rs"]
mod support;
