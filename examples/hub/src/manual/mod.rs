//! The manual of the hub: what an operator sets, and what the hub bounds.

#[doc = include_str!("settings.md")]
pub mod settings {}

#[doc = include_str!("limits.md")]
pub mod limits {}
