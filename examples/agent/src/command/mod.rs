//! One file a command; each returns how the program ends.
//!
//! What: putting the modules together for one purpose, and showing the result. What not: parsing
//! flags. None of them starts another program or takes orders from the hub.

pub mod daemon;
pub mod doctor;
mod first_tick;
pub mod identity;
pub mod init;
pub mod rotate_key;
pub mod run_once;
pub mod spool;
