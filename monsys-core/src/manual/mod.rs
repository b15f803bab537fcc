//! The manual: how monsys is cut and why, as pages whose links and examples are compiled.
//!
//! Each page stands in the crate it is about; this one holds what concerns all of them.

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("decisions.md")]
pub mod decisions {}

#[doc = include_str!("threat_model.md")]
pub mod threat_model {}
