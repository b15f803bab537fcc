//! A person in front of the hub: a session, pages and the API.

use std::sync::OnceLock;

use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE};

use super::agent::{client, read};
use super::{Answer, DataDir, Hub};

/// Somebody with a session, or without.
pub(crate) struct Person {
    http: ureq::Agent,
    cookie: Option<String>,
    /// An access token or API token, which is shown beside the cookie.
    bearer: Option<String>,
    /// The token of the session's forms, which calls by cookie carry as well.
    csrf: OnceLock<Option<String>>,
}

impl Person {
    pub(crate) fn anonymous() -> Self {
        Self {
            http: client(),
            cookie: None,
            bearer: None,
            csrf: OnceLock::new(),
        }
    }

    /// Somebody who has the cookie of another.
    pub(crate) fn with_cookie(name: &str, value: &str) -> Self {
        Self {
            cookie: Some(format!("{name}={value}")),
            ..Self::anonymous()
        }
    }

    /// A program that shows a token and has no cookie.
    pub(crate) fn with_bearer(token: &str) -> Self {
        Self::anonymous().and_bearer(token)
    }

    /// The same with a token beside what they have.
    pub(crate) fn and_bearer(mut self, token: &str) -> Self {
        self.bearer = Some(format!("Bearer {token}"));
        self
    }

    /// Tells whether they show a token.
    pub(crate) const fn is_by_bearer(&self) -> bool {
        self.bearer.is_some()
    }

    /// Tells whether they show this token.
    pub(crate) fn shows(&self, token: &str) -> bool {
        self.bearer.as_deref() == Some(&format!("Bearer {token}"))
    }

    /// Follows the set-up link and becomes the first administrator.
    pub(crate) fn set_up(hub: &Hub, org: &str) -> Self {
        let mut person = Self::anonymous();
        assert_eq!(person.get(hub, hub.set_up_path()).status, 200);
        let form = format!(
            "organisation={org}&email=admin%40{org}.example&password=correct+horse+battery"
        );
        let answer = person.post_form(hub, hub.set_up_path(), &form);
        person.cookie = Some(cookie_of(&answer));
        person
    }

    /// Is added on the command line and follows the one-time login link.
    pub(crate) fn added(data: &DataDir, hub: &Hub, org: &str, role: &str) -> Self {
        Self::named(data, hub, org, (&format!("{role}@{org}.example"), role))
    }

    /// Is added under this login name.
    pub(crate) fn named(data: &DataDir, hub: &Hub, org: &str, (email, role): (&str, &str)) -> Self {
        let arguments = [
            "user", "add", "--org", org, "--email", email, "--role", role,
        ];
        let url = hub.url("");
        let link = ["--login-link", "--public-url", &url];
        let added = data.json(&[&arguments[..], &link].concat());
        let link = added["login_link"].as_str().unwrap();
        let mut person = Self::anonymous();
        let answer = person.get(hub, link.strip_prefix(&hub.url("")).unwrap());
        person.cookie = Some(cookie_of(&answer));
        person
    }

    /// What the browser of this person sends with each request.
    pub(crate) fn cookie(&self) -> Option<&str> {
        self.cookie.as_deref()
    }

    pub(crate) fn get(&self, hub: &Hub, path: &str) -> Answer {
        let mut request = self.http.get(hub.url(path));
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        if let Some(bearer) = &self.bearer {
            request = request.header(AUTHORIZATION, bearer);
        }
        read(request.call().unwrap()).unwrap()
    }

    pub(crate) fn post(
        &self,
        hub: &Hub,
        path: &str,
        body: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.http.post(hub.url(path));
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        if let Some(bearer) = &self.bearer {
            request = request.header(AUTHORIZATION, bearer);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let is_call = path.starts_with("/api/") || path.starts_with("/v1/");
        if let Some(token) = self.csrf(hub).filter(|_| is_call) {
            request = request.header("X-CSRF-Token", token);
        }
        read(request.send(body).unwrap()).unwrap()
    }

    /// The token that a form of this session has.
    fn csrf(&self, hub: &Hub) -> Option<&str> {
        let csrf = self.csrf.get_or_init(|| {
            let page = self.cookie.as_ref().map(|_| self.get(hub, "/account"))?;
            let (_, rest) = page.body.split_once("name=\"csrf\" value=\"")?;
            rest.split('"').next().map(str::to_owned)
        });
        csrf.as_deref()
    }

    pub(crate) fn post_form(&self, hub: &Hub, path: &str, form: &str) -> Answer {
        let kind = [(CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded")];
        self.post(hub, path, form, &kind)
    }
}

/// The cookie that a login gives, as a browser sends it back.
fn cookie_of(answer: &Answer) -> String {
    let cookie = answer
        .header("set-cookie")
        .unwrap_or_else(|| panic!("no session: {answer:?}"));
    assert!(cookie.starts_with("monsys="), "{cookie}");
    for attribute in ["; Path=/", "; HttpOnly", "; SameSite=Lax"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    cookie.split(';').next().unwrap().to_owned()
}
