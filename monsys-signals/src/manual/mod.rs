//! The manual of the readers, as pages whose links and examples are compiled.

#[doc = include_str!("trust.md")]
pub mod trust {}
