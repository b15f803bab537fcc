//! Pages without a session: login, set-up, and answers in one sentence.

use askama::Template;

use super::frame::Links;

/// What the login page shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Login {
    /// Why the person is here, when they did not just come by.
    pub(crate) notice: Option<LoginNotice>,
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
pub(crate) fn login(view: &Login) -> Result<String, askama::Error> {
    let page = LoginPage {
        links: Links::new(),
        is_error: view.notice == Some(LoginNotice::LinkSpent),
        notice: view.notice.map(|notice| match notice {
            LoginNotice::LinkSpent => {
                "This link was used before or has expired. Ask for a new one."
            }
            LoginNotice::SessionOver => "Your session is over. Log in again with a new link.",
            LoginNotice::LoggedOut => "You are logged out.",
        }),
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
struct LoginPage {
    links: Links,
    notice: Option<&'static str>,
    is_error: bool,
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
