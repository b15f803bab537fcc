//! Every route of the hub, as it declares them itself: who gets in, and in which form it refuses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::collections::BTreeMap;

use serde_json::json;
use support::hub::SECRETS;
use support::login::{PASSWORD, Pair, api_login, api_token, claims_of, disabled, minted};
use support::person::Person;
use support::raw::{Wire, request};
use support::refusal::{assert_refusal, assert_security_headers};
use support::routes::{Declared, declared};
use support::store::change;
use support::{Answer, DataDir, Hub, TestAgent};

/// A token that nobody of the matrix shows.
const METRICS_TOKEN: &str = "only-monitoring-knows-this";

/// Two organisations, and somebody of each kind.
struct Scene {
    data: DataDir,
    hub: Hub,
    agent: TestAgent,
    people: Vec<(&'static str, Standing, Person)>,
}

/// What somebody is to the hub, however they show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Nobody,
    Reader,
    Admin,
}

impl Scene {
    fn new() -> Self {
        let data = DataDir::new();
        for org in ["acme", "rival"] {
            data.add_org(org);
        }
        let agent = data.enrol("acme", "web-1");
        let settings = [
            ("MONSYS_ADDRESS_RATE", "0"),
            ("MONSYS_METRICS_TOKEN", METRICS_TOKEN),
        ];
        let hub = Hub::start_with(&data, &settings);
        let body = agent.metrics((1, 1), 12.5);
        assert_eq!(agent.send_with(&hub, body.as_bytes(), None).status, 403);
        let people = vec![
            ("anonymous", Standing::Nobody, Person::anonymous()),
            (
                "read_only",
                Standing::Reader,
                Person::added(&data, &hub, "acme", "read_only"),
            ),
            (
                "admin",
                Standing::Admin,
                Person::added(&data, &hub, "acme", "admin"),
            ),
            (
                "stranger",
                Standing::Admin,
                Person::added(&data, &hub, "rival", "admin"),
            ),
        ];
        Self {
            data,
            hub,
            agent,
            people,
        }
    }

    fn person(&self, name: &str) -> &Person {
        let found = self.people.iter().find(|(known, ..)| *known == name);
        &found.unwrap().2
    }

    /// Adds somebody who has a password, and logs them in as a program does.
    fn logged_in(&self, org: &str, email: &str, role: &str) -> Pair {
        let by = if org == "acme" { "admin" } else { "stranger" };
        let body = json!({"username": email, "password": PASSWORD, "role": role}).to_string();
        let kind = [("content-type", "application/json")];
        let added = self
            .person(by)
            .post(&self.hub, "/v1/admin/users", &body, &kind);
        assert_eq!(added.status, 201, "{added:?}");
        Pair::of(&api_login(&self.hub, org, email, PASSWORD))
    }

    /// Those who show a token that is good, whatever kind it is.
    fn token_holders(&self) -> Vec<(&'static str, Standing, Person)> {
        let [reader, admin, stranger] = [
            ("acme", "reader@x.example", "read_only"),
            ("acme", "writer@x.example", "admin"),
            ("rival", "writer@x.example", "admin"),
        ]
        .map(|(org, email, role)| self.logged_in(org, email, role).access);
        let of = |org, email, scope| api_token(&self.data, org, email, scope).text;
        // Whoever is made less than their token says is let do no more than they are.
        drop(self.logged_in("acme", "demoted@x.example", "admin"));
        let demoted = of("acme", "demoted@x.example", "admin");
        let less = ["user", "set-role", "--org", "acme", "--role", "read_only"];
        self.data
            .json(&[&less[..], &["--email", "demoted@x.example"]].concat());
        let (may_read, may_change) = (Standing::Reader, Standing::Admin);
        let holders = [
            ("reader's access token", may_read, reader),
            ("admin's access token", may_change, admin),
            ("stranger's access token", may_change, stranger),
            (
                "reader's API token",
                may_read,
                of("acme", "reader@x.example", "read_only"),
            ),
            (
                "admin's API token to read",
                may_read,
                of("acme", "writer@x.example", "read_only"),
            ),
            (
                "admin's API token",
                may_change,
                of("acme", "writer@x.example", "admin"),
            ),
            (
                "stranger's API token",
                may_change,
                of("rival", "writer@x.example", "admin"),
            ),
            ("API token of a former admin", may_read, demoted),
        ];
        holders
            .map(|(name, standing, token)| (name, standing, Person::with_bearer(&token)))
            .into()
    }

    /// Those whose token was good once, or is good for something else: nobody.
    fn holders_of_void_tokens(&self) -> Vec<(&'static str, Standing, Person)> {
        let email = "former@x.example";
        let pair = self.logged_in("acme", email, "admin");
        let mut late = claims_of(&pair.access);
        // A minute more than the leeway.
        let exp = late["iat"].as_i64().unwrap() - 90;
        (late["exp"], late["iat"], late["nbf"]) = (json!(exp), json!(exp - 900), json!(exp - 900));
        let head = json!({"typ": "JWT", "alg": "HS256"});
        let late = minted(&head, &late, SECRETS[0].1.as_bytes());
        let of = |email: &str| api_token(&self.data, "acme", email, "admin");
        let (expired, revoked) = (of(email), of(email));
        change(
            &self.data,
            &format!(
                "UPDATE api_tokens SET expires_at = created_at WHERE id = '{}'",
                expired.id
            ),
        );
        self.data.json(&["token", "revoke", &revoked.id]);
        let gone = self.logged_in("acme", "gone@x.example", "admin").access;
        let of_gone = of("gone@x.example").text;
        change(&self.data, &disabled("gone@x.example"));
        let holders = [
            ("expired access token", late),
            ("refresh token", pair.refresh),
            ("expired API token", expired.text),
            ("revoked API token", revoked.text),
            ("access token of somebody disabled", gone),
            ("API token of somebody disabled", of_gone),
            ("API token of nobody", format!("mst_{}", "x".repeat(43))),
            ("token of an agent", self.agent.token.clone()),
        ];
        let mut holders: Vec<_> = holders
            .map(|(name, token)| (name, Standing::Nobody, Person::with_bearer(&token)))
            .into();
        // A good cookie does not make up for a bad token.
        let both = ("both@x.example", "admin");
        let both = Person::named(&self.data, &self.hub, "acme", both);
        holders.push((
            "void token beside a session",
            Standing::Nobody,
            both.and_bearer(&self.agent.token),
        ));
        holders
    }

    fn raw(&self, method: &str, path: &str) -> Answer {
        Wire::open(self.hub.addr)
            .send(&request(method, path, &[], b""))
            .end()
            .answer()
    }
}

/// Calls a route with a body that it cannot use, so that nothing is changed.
fn call(hub: &Hub, person: &Person, route: &Declared, name: &str) -> Answer {
    let path = route.at(name);
    match (route.is_read(), route.is_page) {
        // A stream that cannot be had ends at once.
        (true, _) if path == "/integrity/events" => person.get(hub, &format!("{path}?after=x")),
        (true, _) => person.get(hub, &path),
        // Whoever shows a token needs none of a form: what they send is no form.
        (false, true) if !person.is_by_bearer() => person.post_form(hub, &path, "csrf=none"),
        (false, true) => person.post(hub, &path, "[]", &[("content-type", "application/json")]),
        (false, false) => person.post(hub, &path, "[]", &[("content-type", "application/json")]),
    }
}

/// How far somebody came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    /// Led to the login.
    ToLogin,
    /// Told that nobody knows them.
    Unauthorized,
    /// Told that they may not.
    NotForRole,
    /// To the handler.
    In,
}

impl Came {
    fn of(answer: &Answer) -> Self {
        let location = answer.header("location").unwrap_or_default();
        let role = ["expected the role admin", "Only an administrator"];
        if answer.status == 303 && location.starts_with("/login") {
            Self::ToLogin
        } else if answer.status == 401 {
            Self::Unauthorized
        } else if answer.status == 403 && role.iter().any(|text| answer.body.contains(text)) {
            Self::NotForRole
        } else {
            Self::In
        }
    }

    /// How far somebody is to come on a route.
    fn expected(route: &Declared, standing: Standing) -> Self {
        match (route.who.as_str(), standing) {
            ("anyone", _) => Self::In,
            ("monitor", _) => Self::Unauthorized,
            (_, Standing::Nobody) if route.is_page => Self::ToLogin,
            (_, Standing::Nobody) => Self::Unauthorized,
            ("admin", Standing::Reader) => Self::NotForRole,
            ("read_only" | "admin", _) => Self::In,
            (who, _) => panic!("nobody knows the policy {who}"),
        }
    }
}

#[test]
fn a4_each_route_lets_in_whom_its_policy_names_and_nobody_else() {
    let scene = Scene::new();
    let routes = declared(&scene.data);
    let (good, void) = (scene.token_holders(), scene.holders_of_void_tokens());
    let columns = || scene.people.iter().chain(&good).chain(&void);
    let mut n_cells = BTreeMap::<_, usize>::new();
    for route in &routes {
        for (name, standing, person) in columns() {
            let id = scene.agent.id.to_string();
            let answer = call(&scene.hub, person, route, &id);
            let what = format!("{name}: {} {}: {answer:?}", route.method, route.path);
            assert!(answer.status < 500, "{what}");
            assert_security_headers_of(&answer);
            // Whoever shows neither the secret of a link nor a token or MAC is refused by what is
            // missing: a header, a field of a form, or all of it. A token of people is none of agents.
            let is_agent = route.who == "agent" && person.shows(&scene.agent.token);
            if is_agent {
                assert_ne!(answer.status, 401, "{what}");
            } else if ["link", "agent"].contains(&route.who.as_str()) {
                assert!([400, 401, 415, 422].contains(&answer.status), "{what}");
            } else {
                assert_eq!(
                    Came::of(&answer),
                    Came::expected(route, *standing),
                    "{what}"
                );
            }
            if answer.status == 401 {
                assert!(answer.header("www-authenticate").is_some(), "{what}");
            }
            if answer.status >= 400 {
                let html = "text/html; charset=utf-8";
                let expected = if route.is_page {
                    html
                } else {
                    "application/problem+json"
                };
                assert_eq!(answer.header("content-type"), Some(expected), "{what}");
            }
            // The login form has a cookie of its own; a session has nobody been given.
            let given = answer.header("set-cookie").unwrap_or_default();
            assert!(!given.starts_with("monsys="), "{what}");
            *n_cells.entry(route.who.clone()).or_default() += 1;
        }
    }
    let (n_people, n_all) = (columns().count(), n_cells.values().sum::<usize>());
    assert_eq!(n_all, routes.len() * n_people);
    println!("{} routes, {n_people} callers, {n_all} cells", routes.len());
    for who in ["anyone", "link", "agent", "monitor", "read_only", "admin"] {
        assert!(n_cells.contains_key(who), "no route for {who}");
    }
}

#[test]
fn a4_a_token_is_never_made_into_a_session() {
    let scene = Scene::new();
    for (name, _, person) in scene.token_holders() {
        for (path, form) in [
            ("/account/sessions", ""),
            (
                "/account/password",
                "current=correct+horse+battery&password=another+horse+battery",
            ),
        ] {
            let answer = person.post_form(&scene.hub, path, form);
            assert_eq!(answer.status, 403, "{name} {path}: {answer:?}");
            assert_eq!(answer.header("set-cookie"), None, "{name} {path}");
        }
    }
}

/// Assets are kept by browsers; all else has the headers of the contract to the letter.
fn assert_security_headers_of(answer: &Answer) {
    if answer.header("cache-control") == Some("no-store") {
        assert_security_headers(answer);
    }
}

#[test]
fn a4_the_metrics_are_for_whoever_shows_the_token() {
    let scene = Scene::new();
    let shown = |token: &str| {
        let headers = [("X-Metrics-Token", token)];
        let bytes = request("GET", "/internal/metrics", &headers, b"");
        Wire::open(scene.hub.addr).send(&bytes).end().answer()
    };
    assert_eq!(shown(METRICS_TOKEN).status, 200);
    assert_refusal(&shown("guess"), 401, "unauthorized");
}

#[test]
fn a7_no_other_site_makes_a_browser_change_anything() {
    let scene = Scene::new();
    let admin = scene.person("admin");
    let changes = declared(&scene.data);
    let changes = changes
        .iter()
        .filter(|route| !route.is_read() && route.is_for_people());
    let mut n_routes = 0;
    for route in changes {
        let path = route.at(&scene.agent.id.to_string());
        for site in ["cross-site", "same-site"] {
            let headers = [
                ("sec-fetch-site", site),
                ("content-type", "application/x-www-form-urlencoded"),
            ];
            let answer = admin.post(&scene.hub, &path, "reason=x", &headers);
            assert_eq!(answer.status, 403, "{path}: {answer:?}");
        }
        let headers = [("origin", "https://evil.example")];
        let answer = admin.post(&scene.hub, &path, "{}", &headers);
        assert_eq!(answer.status, 403, "{path}: {answer:?}");
        n_routes += 1;
    }
    assert!(n_routes >= 9, "{n_routes}");
    assert_eq!(
        admin.get(&scene.hub, "/overview").status,
        200,
        "still there"
    );
}

#[test]
fn a5_an_organisation_that_is_not_the_callers_is_refused_on_every_route() {
    let scene = Scene::new();
    let reader = scene.person("read_only");
    let routes = declared(&scene.data);
    let routes = routes
        .iter()
        .filter(|route| route.is_read() && route.is_for_people());
    for route in routes {
        let path = route.at(&scene.agent.id.to_string());
        let ask = |query: &str| reader.get(&scene.hub, &format!("{path}?{query}"));
        for foreign in ["org_id=rival", "org_id=nobody", "org_id=acme&org_id=rival"] {
            assert_eq!(ask(foreign).status, 403, "{path}?{foreign}");
        }
    }
}

#[test]
fn a_method_that_a_path_does_not_have_is_405_and_allow_names_those_it_has() {
    let scene = Scene::new();
    let mut paths = BTreeMap::<String, Vec<Declared>>::new();
    for route in declared(&scene.data) {
        paths.entry(route.path.clone()).or_default().push(route);
    }
    let methods = [
        "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW",
    ];
    for (path, routes) in &paths {
        let has = |method: &str| routes.iter().any(|route| route.method == method);
        let allowed = match (has("GET"), has("POST")) {
            (true, true) => "GET, HEAD, POST",
            (true, false) => "GET, HEAD",
            (false, true) => "POST",
            (false, false) => panic!("{path} has no method"),
        };
        for method in methods.into_iter().filter(|method| !has(method)) {
            let answer = scene.raw(method, &routes[0].at("x"));
            let what = format!("{method} {path}: {answer:?}");
            assert_eq!(answer.status, 405, "{what}");
            assert_eq!(answer.header("allow"), Some(allowed), "{what}");
            let is_html = answer.header("content-type") == Some("text/html; charset=utf-8");
            assert_eq!(is_html, routes[0].is_page, "{what}");
            if !is_html {
                assert_refusal(&answer, 405, "method_not_allowed");
            }
        }
    }
}

#[test]
fn what_is_not_there_is_404_in_the_form_of_its_part_of_the_hub() {
    let scene = Scene::new();
    for method in ["GET", "POST", "DELETE", "OPTIONS"] {
        for path in [
            "/api",
            "/api/",
            "/api/v1/agent",
            "/v1/x",
            "/auth/x",
            "/internal/",
            "/ingest/x",
        ] {
            assert_refusal(&scene.raw(method, path), 404, "not_found");
        }
        for path in [
            "/apis",
            "/nothing",
            "/overview/",
            "//overview",
            "/integrity/x/y",
            "/%2e%2e",
        ] {
            let answer = scene.raw(method, path);
            assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
            assert_eq!(
                answer.header("content-type"),
                Some("text/html; charset=utf-8")
            );
        }
    }
}

#[test]
fn an_address_that_is_no_text_is_refused_in_the_form_of_its_route() {
    let scene = Scene::new();
    let admin = scene.person("admin");
    for path in [
        "/api/v1/agents/%ff",
        "/api/v1/agents?text=%c0%af",
        "/v1/fleet/top?%ff=1",
    ] {
        assert_refusal(&admin.get(&scene.hub, path), 400, "syntax");
    }
    for path in ["/agents/%ff", "/integrity?kind=%ff"] {
        let answer = admin.get(&scene.hub, path);
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        assert!(answer.body.contains("Nothing was changed"), "{answer:?}");
    }
}

#[test]
fn a_form_that_is_none_is_refused_by_a_page() {
    let scene = Scene::new();
    let admin = scene.person("admin");
    let setup = format!("/setup/{}", "x".repeat(43));
    for path in ["/logout", "/integrity/run", "/integrity/act", &setup] {
        let json = [("content-type", "application/json")];
        let answer = admin.post(&scene.hub, path, "{}", &json);
        assert_eq!(answer.status, 415, "{path}: {answer:?}");
        assert_eq!(
            answer.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert!(answer.body.contains("Nothing was changed"), "{answer:?}");
    }
}

#[test]
fn the_login_leads_back_to_an_address_of_this_hub() {
    let scene = Scene::new();
    let nobody = scene.person("anonymous");
    for (path, login) in [
        (
            "/integrity?state=all&kind=x",
            "/login?next=%2Fintegrity%3Fstate%3Dall%26kind%3Dx",
        ),
        ("/agents/a%0d%0ab", "/login?next=%2Fagents%2Fa%250d%250ab"),
        (&format!("/agents/{}", "x".repeat(2_000)), "/login"),
    ] {
        let answer = nobody.get(&scene.hub, path);
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, Some(login))
        );
    }
}
