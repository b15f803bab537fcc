//! Pages without a session: login, set-up, and answers in one sentence.

use askama::Template;

use super::frame::Links;

/// What the login page shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Login<'a> {
    /// Why the person is here, when they did not just come by.
    pub(crate) notice: Option<LoginNotice>,
    /// What the form must carry.
    pub(crate) csrf: &'a str,
    /// The organisation as typed before.
    pub(crate) organisation: &'a str,
    /// The login name as typed before.
    pub(crate) username: &'a str,
    /// The path the person was going to; empty for none.
    pub(crate) next: &'a str,
}

/// Why a person sees the login page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoginNotice {
    /// The one-time link was used before, has expired, or never existed.
    LinkSpent,
    /// The session is over.
    SessionOver,
    /// They logged out.
    LoggedOut,
    /// The form was made for another browser, or too long ago.
    FormExpired,
    /// Something they typed is wrong; which, is not said.
    Wrong,
    /// They were wrong too often.
    TooOften,
    /// Too many people log in at this moment.
    Busy,
}

impl LoginNotice {
    const fn sentence(self) -> &'static str {
        match self {
            Self::LinkSpent => "This link was used before or has expired. Ask for a new one.",
            Self::SessionOver => "Your session is over. Log in again.",
            Self::LoggedOut => "You are logged out.",
            Self::FormExpired => "This form was open too long. Send it again.",
            Self::Wrong => "The organisation, e-mail address or password is wrong.",
            Self::TooOften => "Too many failed logins. Wait a minute, then try again.",
            Self::Busy => "Too many people log in at this moment. Try again in a few seconds.",
        }
    }

    const fn is_error(self) -> bool {
        match self {
            Self::SessionOver | Self::LoggedOut => false,
            Self::LinkSpent | Self::FormExpired | Self::Wrong | Self::TooOften | Self::Busy => true,
        }
    }
}

/// What a new password must be, in one sentence.
pub(crate) const PASSWORD_RULE: &str =
    "A password has at least 12 characters and at most 1024 bytes.";

/// What the page of a set-password link shows. The secret is in its address, as on the set-up page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SetPassword<'a> {
    /// What was wrong with what was typed, in one sentence.
    pub(crate) problem: Option<&'a str>,
}

/// What the page of one's own account shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account<'a> {
    /// The login name.
    pub(crate) email: &'a str,
    /// The organisation.
    pub(crate) organisation: &'a str,
    /// What the person may do.
    pub(crate) role: &'a str,
    /// What the forms must carry.
    pub(crate) csrf: &'a str,
    /// Whether there is a password to replace.
    pub(crate) has_password: bool,
    /// What came of the last thing they did.
    pub(crate) notice: Option<AccountNotice>,
}

/// What came of a change of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccountNotice {
    /// The password is another.
    PasswordSet,
    /// The other sessions are over.
    SessionsEnded,
    /// The new password is none.
    NotAPassword,
    /// The current password is another.
    NotCurrent,
    /// They were wrong too often.
    TooOften,
}

impl AccountNotice {
    const fn sentence(self) -> &'static str {
        match self {
            Self::PasswordSet => "Your password is set. All other sessions ended.",
            Self::SessionsEnded => "All other sessions ended.",
            Self::NotAPassword => {
                "A new password has at least 12 characters, at most 1024 bytes, and is not the \
                 current one. Nothing was changed."
            }
            Self::NotCurrent => "The current password is another. Nothing was changed.",
            Self::TooOften => "Too many failed attempts. Wait a minute, then try again.",
        }
    }

    const fn is_error(self) -> bool {
        match self {
            Self::PasswordSet | Self::SessionsEnded => false,
            Self::NotAPassword | Self::NotCurrent | Self::TooOften => true,
        }
    }
}

/// What the set-up page of an empty hub shows. The secret is in its address, which the form posts
/// to, so that it needs no token against forged requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup<'a> {
    /// The organisation as typed before.
    pub(crate) organisation: &'a str,
    /// The e-mail address as typed before.
    pub(crate) email: &'a str,
    /// What was wrong with what was typed, in one sentence.
    pub(crate) problem: Option<&'a str>,
}

/// A page that says one thing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    /// A few words.
    pub(crate) title: &'a str,
    /// One sentence: what happened and what to do.
    pub(crate) sentence: &'a str,
}

/// Renders the login page.
///
/// # Errors
/// Only when formatting fails, which the values of a view cannot cause.
pub(crate) fn login(view: &Login<'_>) -> Result<String, askama::Error> {
    let page = LoginPage {
        links: Links::new(),
        is_error: view.notice.is_some_and(LoginNotice::is_error),
        notice: view.notice.map(LoginNotice::sentence),
        csrf: view.csrf,
        organisation: view.organisation,
        username: view.username,
        next: view.next,
    };
    page.render()
}

/// Renders the page of a set-password link.
///
/// # Errors
/// Only when formatting fails, which the values of a view cannot cause.
pub(crate) fn set_password(view: &SetPassword<'_>) -> Result<String, askama::Error> {
    let page = SetPasswordPage {
        links: Links::new(),
        problem: view.problem,
    };
    page.render()
}

/// Renders the page of one's own account.
///
/// # Errors
/// Only when formatting fails, which the values of a view cannot cause.
pub(crate) fn account(view: &Account<'_>) -> Result<String, askama::Error> {
    let page = AccountPage {
        links: Links::new(),
        is_error: view.notice.is_some_and(AccountNotice::is_error),
        notice: view.notice.map(AccountNotice::sentence),
        email: view.email,
        organisation: view.organisation,
        role: view.role,
        csrf: view.csrf,
        has_password: view.has_password,
    };
    page.render()
}

/// Renders the set-up page.
///
/// # Errors
/// Only when formatting fails, which the values of a view cannot cause.
pub(crate) fn setup(view: &Setup<'_>) -> Result<String, askama::Error> {
    let page = SetupPage {
        links: Links::new(),
        organisation: view.organisation,
        email: view.email,
        problem: view.problem,
    };
    page.render()
}

/// Renders a page that says one thing.
///
/// # Errors
/// Only when formatting fails, which the values of a view cannot cause.
pub(crate) fn message(view: &Message<'_>) -> Result<String, askama::Error> {
    let page = MessagePage {
        links: Links::new(),
        title: view.title,
        sentence: view.sentence,
    };
    page.render()
}

#[derive(Template)]
#[template(path = "login.html", config = "src/pages/askama.toml")]
struct LoginPage<'a> {
    links: Links,
    notice: Option<&'static str>,
    is_error: bool,
    csrf: &'a str,
    organisation: &'a str,
    username: &'a str,
    next: &'a str,
}

#[derive(Template)]
#[template(path = "set_password.html", config = "src/pages/askama.toml")]
struct SetPasswordPage<'a> {
    links: Links,
    problem: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "account.html", config = "src/pages/askama.toml")]
struct AccountPage<'a> {
    links: Links,
    notice: Option<&'static str>,
    is_error: bool,
    email: &'a str,
    organisation: &'a str,
    role: &'a str,
    csrf: &'a str,
    has_password: bool,
}

#[derive(Template)]
#[template(path = "setup.html", config = "src/pages/askama.toml")]
struct SetupPage<'a> {
    links: Links,
    organisation: &'a str,
    email: &'a str,
    problem: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "message.html", config = "src/pages/askama.toml")]
struct MessagePage<'a> {
    links: Links,
    title: &'a str,
    sentence: &'a str,
}
