//! Who may see and do what over HTTP: passwords, tokens, sessions, cross-site requests, response
//! headers.

pub(crate) mod cookie;
pub(crate) mod csrf;
pub(crate) mod fault;
pub(crate) mod headers;
pub(crate) mod jwt;
pub(crate) mod lockout;
pub(crate) mod login;
pub(crate) mod metrics_token;
pub(crate) mod next;
pub(crate) mod origin;
pub(crate) mod password;
pub(crate) mod patience;
pub(crate) mod policy;
pub(crate) mod principal;
pub(crate) mod secret;
pub(crate) mod session;
pub(crate) mod transport;
