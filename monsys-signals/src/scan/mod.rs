//! What scanners of a hub saw, and which signals that makes.
//!
//! A scanner has two halves. The shell opens sockets and writes down what happened; here stands
//! what it means: severities, thresholds and texts, as pure functions of an observation and `now`.
//! The same observation gives the same signals, whoever made it.

pub mod cert;
mod endpoint;

pub use self::endpoint::{Endpoint, EndpointError, Host};
