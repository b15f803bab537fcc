//! The wire for people who do not read Rust.

#[doc = include_str!("wire.md")]
pub mod wire {}
