//! The agent against a hub of a hundred lines: as a library, and as the process that people start.

mod commands;
mod crashes;
mod hub;
mod sending;
