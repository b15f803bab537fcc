//! The manual of sources and readers, as pages whose links and examples are compiled.

#[doc = include_str!("adding_a_source.md")]
pub mod adding_a_source {}

#[doc = include_str!("trust.md")]
pub mod trust {}
