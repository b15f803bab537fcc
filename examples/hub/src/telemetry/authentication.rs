//! Why people and programs were not let in.

use super::counter::Label;

/// Why somebody was not let in. What outsiders must not tell apart may be told apart here: only
/// whoever may read the metrics sees it, and nobody's name is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthFailure {
    /// No such organisation, no such person in it, or one who is disabled.
    UnknownUser,
    /// The password is wrong.
    WrongPassword,
    /// Too many wrong passwords lately.
    LockedOut,
    /// A one-time link is unknown, used or expired.
    Link,
    /// A session is unknown, ended or expired.
    Session,
    /// An access token is malformed, forged, expired or for somebody else.
    AccessToken,
    /// A refresh token is unknown, ended or expired.
    RefreshToken,
    /// A refresh token was used before: its family is revoked.
    RefreshTokenReused,
    /// An API token is unknown, revoked or expired.
    ApiToken,
    /// The token of a form is absent or another one.
    Csrf,
    /// A request that changes something comes from a page of another site.
    Origin,
    /// The role or scope does not allow it.
    Forbidden,
    /// The token of the metrics is absent or wrong.
    MetricsToken,
}

impl Label for AuthFailure {
    const ALL: &'static [Self] = &[
        Self::UnknownUser,
        Self::WrongPassword,
        Self::LockedOut,
        Self::Link,
        Self::Session,
        Self::AccessToken,
        Self::RefreshToken,
        Self::RefreshTokenReused,
        Self::ApiToken,
        Self::Csrf,
        Self::Origin,
        Self::Forbidden,
        Self::MetricsToken,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown_user",
            Self::WrongPassword => "wrong_password",
            Self::LockedOut => "locked_out",
            Self::Link => "link",
            Self::Session => "session",
            Self::AccessToken => "access_token",
            Self::RefreshToken => "refresh_token",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::ApiToken => "api_token",
            Self::Csrf => "csrf",
            Self::Origin => "origin",
            Self::Forbidden => "forbidden",
            Self::MetricsToken => "metrics_token",
        }
    }
}
