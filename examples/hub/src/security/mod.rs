//! Who may see and do what over HTTP: secrets, sessions, cross-site requests, response headers.

pub(crate) mod headers;
pub(crate) mod metrics_token;
pub(crate) mod origin;
pub(crate) mod patience;
pub(crate) mod policy;
pub(crate) mod secret;
pub(crate) mod session;
pub(crate) mod transport;
