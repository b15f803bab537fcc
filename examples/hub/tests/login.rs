//! Logging in by a password, over HTTP: who gets in, what others learn, how often it may be tried.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use support::login::{
    ADMIN, Browser, PASSWORD, Pair, READER, Scene, api_login, csrf_of, get_as, get_with,
    login_body, post_json, set_cookies,
};
use support::refusal::{assert_refusal, assert_security_headers};
use support::{Answer, Hub, raw};

/// A hub behind a proxy on this machine.
const PROXIED: [(&str, &str); 2] = [
    ("MONSYS_TRUSTED_PROXIES", "127.0.0.0/8"),
    ("MONSYS_ALLOW_PLAIN_LOGIN", "true"),
];

fn login_from(hub: &Hub, address: &str, names: (&str, &str), password: &str) -> Answer {
    let body = login_body(names.0, names.1, password);
    post_json(
        hub,
        "/auth/api/login",
        &[("X-Forwarded-For", address)],
        &body,
    )
}

#[test]
fn a1_the_right_password_gives_an_access_token_and_a_refresh_token() {
    let scene = Scene::new();
    let answer = api_login(&scene.hub, "acme", ADMIN, PASSWORD);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_security_headers(&answer);
    let json = answer.json();
    assert_eq!(json["token_type"], "Bearer");
    assert_eq!(json["expires_in"], 900);
    assert_eq!(json.as_object().unwrap().len(), 4);
    let pair = Pair::of(&answer);
    let read = get_as(&scene.hub, "/api/v1/agents", &pair.access);
    assert_eq!(read.status, 200, "{read:?}");
    assert_eq!(answer.header("set-cookie"), None);
}

#[test]
fn a1_a_login_has_just_three_members_and_each_is_a_text() {
    let scene = Scene::new();
    let post = |body: &str| post_json(&scene.hub, "/auth/api/login", &[], body);
    let full = login_body("acme", ADMIN, PASSWORD);
    for (body, status, code) in [
        ("", 400, "syntax"),
        ("{", 400, "syntax"),
        ("{\"org\":\"\\ud800\"}", 400, "syntax"),
        ("[]", 422, "wrong_type"),
        ("\"acme\"", 422, "wrong_type"),
        ("{}", 422, "missing_field"),
        ("{\"org\":\"acme\"}", 422, "missing_field"),
        (
            "{\"org\":1,\"username\":\"a\",\"password\":\"b\"}",
            422,
            "wrong_type",
        ),
        (
            "{\"org\":\"a\",\"org\":\"b\",\"username\":\"a\",\"password\":\"b\"}",
            400,
            "duplicate_name",
        ),
        (
            &full.replace("\"org\"", "\"organisation\""),
            422,
            "unknown_field",
        ),
        (&full.replace('}', ",\"otp\":\"1\"}"), 422, "unknown_field"),
        (
            &login_body("acme", ADMIN, &"x".repeat(1_025)),
            422,
            "out_of_range",
        ),
    ] {
        assert_refusal(&post(body), status, code);
    }
    let large = login_body("acme", ADMIN, &"x".repeat(100_000));
    assert_refusal(&post(&large), 413, "too_large");
    assert_eq!(post(&full).status, 200);
}

/// Logins that must not be told apart, by what is wrong with them.
const WRONG: [(&str, &str, &str); 8] = [
    ("acme", ADMIN, "wrong horse battery"),
    ("acme", "nobody@acme.example", PASSWORD),
    ("nowhere", ADMIN, PASSWORD),
    ("acme", "disabled@acme.example", PASSWORD),
    ("acme", "link-only@acme.example", PASSWORD),
    ("acme", "integrity-worker@monsys.invalid", PASSWORD),
    ("acme", "' OR '1'='1", PASSWORD),
    ("ac\u{0}me", ADMIN, ""),
];

/// A hub with somebody disabled, and somebody who has no password.
fn with_others() -> Scene {
    let scene = Scene::with(&PROXIED);
    assert_eq!(scene.add("disabled@acme.example", "read_only").status, 201);
    let disabled = "disabled@acme.example";
    scene
        .data
        .json(&["user", "disable", "--org", "acme", "--email", disabled]);
    let link_only = "link-only@acme.example";
    scene.data.json(&[
        "user", "add", "--org", "acme", "--email", link_only, "--role", "admin",
    ]);
    scene
}

#[test]
fn a1_whatever_is_wrong_the_answer_is_the_same() {
    let scene = with_others();
    let answers: Vec<_> = WRONG
        .iter()
        .map(|(org, user, password)| login_from(&scene.hub, "192.0.2.1", (org, user), password))
        .collect();
    assert_refusal(&answers[0], 401, "unauthorized");
    assert_eq!(
        answers[0].header("www-authenticate"),
        Some("Bearer realm=\"monsys\"")
    );
    let without_date = |answer: &Answer| {
        let mut answer = answer.clone();
        answer
            .headers
            .retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
        answer
    };
    for (answer, wrong) in answers.iter().zip(WRONG) {
        assert_eq!(without_date(answer), without_date(&answers[0]), "{wrong:?}");
    }
    // The form answers alike too, but for what was typed and the token of the form.
    let pages = WRONG.map(|(org, user, password)| {
        let mut browser = Browser::at("192.0.2.2");
        let answer = browser.log_in(&scene.hub, (org, user, password), "");
        assert_eq!(answer.status, 401, "{answer:?}");
        assert!(!browser.cookies.contains_key("monsys"));
        let typed = [csrf_of(&answer.body), "value=\"acme\"", "value=\"nowhere\""];
        let body = typed
            .iter()
            .fold(answer.body.clone(), |body, typed| body.replace(typed, ""));
        let is_typed =
            |line: &&str| !line.contains("id=\"username\"") && !line.contains("id=\"org\"");
        body.lines().filter(is_typed).collect::<Vec<_>>().join("\n")
    });
    assert!(pages.iter().all(|page| *page == pages[0]));
    assert!(pages[0].contains("The organisation, e-mail address or password is wrong."));
}

/// Times of logins, by what is wrong with them, taken by turns so that all see the same machine.
#[test]
fn a1_whatever_is_wrong_the_answer_takes_as_long() {
    const ROUNDS: usize = 40;
    let scene = with_others();
    let kinds = &WRONG[..5];
    let mut times = vec![Vec::new(); kinds.len()];
    for round in 0..ROUNDS {
        let address = format!("192.0.2.{round}");
        for (times, (org, user, password)) in times.iter_mut().zip(kinds) {
            let start = Instant::now();
            let answer = login_from(&scene.hub, &address, (org, user), password);
            times.push(start.elapsed());
            assert_eq!(answer.status, 401, "{answer:?}");
        }
    }
    let medians = times.map_each(|times| {
        times.sort();
        times[ROUNDS / 2]
    });
    println!("medians of {ROUNDS}: {medians:?}");
    let (least, most) = (medians.iter().min().unwrap(), medians.iter().max().unwrap());
    // Without the hash that is computed for nobody, an answer would come 20 times sooner.
    assert!(
        most.as_secs_f64() / least.as_secs_f64() < 1.5,
        "{medians:?}"
    );
    assert!(*least > Duration::from_millis(4), "{medians:?}");
}

trait MapEach<T> {
    fn map_each<U>(self, each: impl FnMut(&mut T) -> U) -> Vec<U>;
}

impl<T> MapEach<T> for Vec<T> {
    fn map_each<U>(mut self, each: impl FnMut(&mut T) -> U) -> Vec<U> {
        self.iter_mut().map(each).collect()
    }
}

#[test]
fn a1_the_sixth_failure_of_a_minute_is_429_with_retry_after_even_with_the_right_password() {
    let scene = Scene::with(&PROXIED);
    let hub = &scene.hub;
    for _ in 0..5 {
        let wrong = login_from(hub, "192.0.2.1", ("acme", ADMIN), "wrong horse battery");
        assert_refusal(&wrong, 401, "unauthorized");
    }
    for password in ["wrong horse battery", PASSWORD] {
        let refused = login_from(hub, "192.0.2.1", ("acme", ADMIN), password);
        assert_refusal(&refused, 429, "rate_limited");
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        let mut browser = Browser::at("192.0.2.1");
        let page = browser.log_in(hub, ("acme", ADMIN, password), "");
        assert_eq!(page.status, 429);
        assert!(page.header("retry-after").is_some());
    }
    // Others at this address, and the owner at another one, notice nothing.
    assert_eq!(
        login_from(hub, "192.0.2.1", ("acme", READER), PASSWORD).status,
        200
    );
    assert_eq!(
        login_from(hub, "192.0.2.2", ("acme", ADMIN), PASSWORD).status,
        200
    );
}

#[test]
fn a1_nobody_can_shut_the_owner_out() {
    let scene = Scene::with(&PROXIED);
    let hub = &scene.hub;
    let mut browser = Browser::at("192.0.2.1");
    let entered = browser.log_in(hub, ("acme", ADMIN, PASSWORD), "");
    assert_eq!(entered.status, 303, "{entered:?}");
    browser.cookies.remove("monsys");
    // Somebody fails from everywhere, from the owner's address as well.
    for n in 0..70 {
        let address = format!("198.51.100.{}", n % 40);
        let _ = login_from(hub, &address, ("acme", ADMIN), "wrong horse battery");
        let _ = login_from(hub, "192.0.2.1", ("acme", ADMIN), "wrong horse battery");
    }
    let attacked = login_from(hub, "192.0.2.1", ("acme", ADMIN), PASSWORD);
    assert_eq!(attacked.status, 429, "the attack is on: {attacked:?}");
    // The owner's browser is known, and an address from which nobody failed has its try.
    let known = browser.log_in(hub, ("acme", ADMIN, PASSWORD), "");
    assert_eq!(known.status, 303, "{known:?}");
    let elsewhere = login_from(hub, "203.0.113.9", ("acme", ADMIN), PASSWORD);
    assert_eq!(elsewhere.status, 200, "{elsewhere:?}");
    // The cookie of one person is no way around the bound for another.
    let mut thief = Browser::at("192.0.2.1");
    let device = browser.cookies["monsys-device"].clone();
    thief.cookies.insert("monsys-device".into(), device);
    for _ in 0..5 {
        let _ = thief.log_in(hub, ("acme", READER, "wrong horse battery"), "");
    }
    let refused = thief.log_in(hub, ("acme", READER, PASSWORD), "");
    assert_eq!(refused.status, 429);
}

#[test]
fn a6_a_storm_of_logins_leaves_the_hub_answering() {
    let scene = Scene::with(&PROXIED);
    let hub = &scene.hub;
    let is_over = AtomicBool::new(false);
    let (slowest, statuses) = std::thread::scope(|scope| {
        let storms: Vec<_> = (0..100)
            .map(|n| {
                let is_over = &is_over;
                scope.spawn(move || {
                    let mut statuses = Vec::new();
                    let mut round = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        round += 1;
                        let (address, name) =
                            (format!("10.{n}.0.{}", round % 250), format!("{n}-{round}"));
                        let answer = login_from(hub, &address, ("acme", &name), PASSWORD);
                        if answer.status == 503 {
                            assert!(answer.header("retry-after").is_some(), "{answer:?}");
                            support::pause(Duration::from_millis(50));
                        }
                        statuses.push(answer.status);
                    }
                    statuses
                })
            })
            .collect();
        let mut slowest = Duration::ZERO;
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            let start = Instant::now();
            assert_eq!(raw::get(hub.addr, "/readyz").status, 200);
            slowest = slowest.max(start.elapsed());
        }
        is_over.store(true, Ordering::Relaxed);
        let statuses = storms.into_iter().flat_map(|storm| storm.join().unwrap());
        (slowest, statuses.collect::<Vec<_>>())
    });
    let n_of = |status| statuses.iter().filter(|found| **found == status).count();
    println!(
        "slowest /readyz {slowest:?}, 401: {}, 503: {}",
        n_of(401),
        n_of(503)
    );
    assert_eq!(n_of(401) + n_of(503), statuses.len());
    assert!(
        n_of(401) > 0 && n_of(503) > 0,
        "some were served, the excess was refused"
    );
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert_eq!(
        login_from(hub, "203.0.113.9", ("acme", ADMIN), PASSWORD).status,
        200
    );
}

#[test]
fn a8_the_session_cookie_is_bound_to_the_host_on_https_and_plain_on_this_machine() {
    let scene = Scene::with(&PROXIED);
    let line = |answer: &Answer, name: &str| {
        let lines = answer.headers.iter().map(|(_, value)| value.clone());
        let mut found = lines.filter(|line| line.starts_with(&format!("{name}=")));
        found
            .next()
            .unwrap_or_else(|| panic!("no {name}: {answer:?}"))
    };
    let mut browser = Browser::at("192.0.2.1").over_https();
    let entered = browser.log_in(&scene.hub, ("acme", ADMIN, PASSWORD), "");
    assert_eq!(entered.status, 303, "{entered:?}");
    let cookie = line(&entered, "__Host-monsys");
    for attribute in ["; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    assert_eq!(browser.get(&scene.hub, "/overview").status, 200);
    // The same secret under the other name, or twice, is nobody's.
    let secret = browser.cookies["__Host-monsys"].clone();
    let proto = [
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Proto", "https"),
    ];
    let read = |cookie: &str| {
        let headers = [&proto[..], &[("Cookie", cookie)]].concat();
        get_with(&scene.hub, "/api/v1/agents", &headers).status
    };
    assert_eq!(read(&format!("__Host-monsys={secret}")), 200);
    assert_eq!(read(&format!("monsys={secret}")), 401);
    assert_eq!(
        read(&format!("__Host-monsys={secret}; __Host-monsys={secret}")),
        401
    );
    assert_eq!(
        read(&format!("__Host-monsys=x; __Host-monsys={secret}")),
        401
    );
    let mut browser = Browser::new();
    let entered = browser.log_in(&scene.hub, ("acme", ADMIN, PASSWORD), "");
    let cookie = line(&entered, "monsys");
    assert!(
        !cookie.contains("Secure") && cookie.contains("; HttpOnly"),
        "{cookie}"
    );
}

#[test]
fn a8_each_login_begins_a_new_session_and_ends_the_one_there_was() {
    let scene = Scene::new();
    let mut browser = Browser::new();
    browser.log_in(&scene.hub, ("acme", ADMIN, PASSWORD), "");
    let first = browser.clone();
    let form = browser.get(&scene.hub, "/login");
    assert_eq!(
        (form.status, form.header("location")),
        (303, Some("/overview"))
    );
    // A session that somebody planted, or that is still there, is not the one after the login.
    let session = browser.cookies.remove("monsys").unwrap();
    let form = browser.get(&scene.hub, "/login");
    browser.cookies.insert("monsys".into(), session.clone());
    let fields = [
        ("csrf", csrf_of(&form.body)),
        ("org", "acme"),
        ("username", ADMIN),
        ("password", PASSWORD),
    ];
    let entered = browser.post(&scene.hub, "/login", &fields, &[]);
    assert_eq!(entered.status, 303, "{entered:?}");
    assert_ne!(browser.cookies["monsys"], session);
    assert_eq!(browser.get(&scene.hub, "/overview").status, 200);
    assert_eq!(first.clone().get(&scene.hub, "/overview").status, 303);
}

#[test]
fn a9_a_login_leads_to_where_the_person_was_going_and_never_to_another_site() {
    let scene = Scene::new();
    let mut browser = Browser::new();
    let sent_away = browser.get(&scene.hub, "/integrity?state=open&kind=flat_metrics");
    assert_eq!(sent_away.status, 303);
    let login = sent_away.header("location").unwrap().to_owned();
    assert!(login.starts_with("/login?next=%2Fintegrity"), "{login}");
    let form = browser.get(&scene.hub, &login);
    let wanted = "value=\"/integrity?state=open&#38;kind=flat_metrics\"";
    assert!(form.body.contains(wanted), "{}", form.body);
    let entered = browser.log_in(
        &scene.hub,
        ("acme", ADMIN, PASSWORD),
        "/integrity?state=open",
    );
    assert_eq!(entered.header("location"), Some("/integrity?state=open"));
    for next in [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "%2f%2fevil.example",
        "/%2fevil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/\r\nSet-Cookie: a=b",
        "/login",
        "",
    ] {
        let mut browser = Browser::new();
        let entered = browser.log_in(&scene.hub, ("acme", ADMIN, PASSWORD), next);
        assert_eq!(entered.header("location"), Some("/overview"), "{next:?}");
        let query = support::login::encoded(&[("next", next)]);
        let there = browser.get(&scene.hub, &format!("/login?{query}"));
        assert_eq!(there.header("location"), Some("/overview"), "{next:?}");
        let form = Browser::new().get(&scene.hub, &format!("/login?{query}"));
        assert_eq!(form.status, 200);
        assert!(form.body.contains("name=\"next\" value=\"\""), "{next:?}");
    }
}

#[test]
fn a_set_password_link_works_once_and_ends_all_other_sessions() {
    let scene = Scene::new();
    let (data, hub) = (&scene.data, &scene.hub);
    let mut before = Browser::new();
    before.log_in(hub, ("acme", READER, PASSWORD), "");
    let pair = scene.pair_of(READER);
    let reset = data.json(&["user", "reset", "--org", "acme", "--email", READER]);
    let link = reset.as_object().unwrap().values().find_map(|value| {
        let (_, path) = value.as_str()?.split_once("/password/")?;
        Some(format!("/password/{path}"))
    });
    let link = link.unwrap_or_else(|| panic!("no link: {reset}"));
    let mut browser = Browser::new();
    for _ in 0..2 {
        assert_eq!(browser.get(hub, &link).status, 200);
    }
    let send =
        |browser: &mut Browser, password| browser.post(hub, &link, &[("password", password)], &[]);
    assert_eq!(send(&mut browser, "elevenchars").status, 422);
    let foreign = [("Sec-Fetch-Site", "cross-site")];
    let new = "another horse battery";
    let refused = browser.post(hub, &link, &[("password", new)], &foreign);
    assert_eq!(refused.status, 403);
    let entered = send(&mut browser, new);
    assert_eq!(
        (entered.status, entered.header("location")),
        (303, Some("/overview"))
    );
    assert_eq!(browser.get(hub, "/overview").status, 200);
    assert_eq!(send(&mut Browser::new(), new).status, 401);
    assert_eq!(Browser::new().get(hub, &link).status, 401);
    assert_eq!(before.get(hub, "/overview").status, 303);
    assert_eq!(get_as(hub, "/api/v1/agents", &pair.access).status, 401);
    assert_eq!(pair.refreshed(hub).status, 401);
    assert_eq!(api_login(hub, "acme", READER, PASSWORD).status, 401);
    assert_eq!(api_login(hub, "acme", READER, new).status, 200);
}

#[test]
fn a_person_changes_their_password_and_ends_their_other_sessions() {
    let scene = Scene::new();
    let hub = &scene.hub;
    let (mut here, mut there) = (Browser::new(), Browser::new());
    here.log_in(hub, ("acme", READER, PASSWORD), "");
    there.log_in(hub, ("acme", READER, PASSWORD), "");
    let pair = scene.pair_of(READER);
    let page = here.get(hub, "/account");
    assert_eq!(page.status, 200);
    assert!(page.body.contains(READER));
    let csrf = csrf_of(&page.body).to_owned();
    let change = |browser: &mut Browser, csrf: &str, current, new| {
        let fields = [("csrf", csrf), ("current", current), ("password", new)];
        browser.post(hub, "/account/password", &fields, &[])
    };
    let new = "another horse battery";
    assert_eq!(change(&mut here, "guess", PASSWORD, new).status, 403);
    assert_eq!(
        change(&mut here, &csrf, "wrong horse battery", new).status,
        422
    );
    assert_eq!(
        change(&mut here, &csrf, PASSWORD, "elevenchars").status,
        422
    );
    assert_eq!(change(&mut here, &csrf, PASSWORD, PASSWORD).status, 422);
    let done = change(&mut here, &csrf, PASSWORD, new);
    assert_eq!(
        (done.status, done.header("location")),
        (303, Some("/account?notice=password"))
    );
    assert_eq!(here.get(hub, "/overview").status, 200);
    assert_eq!(there.get(hub, "/overview").status, 303);
    assert_eq!(pair.refreshed(hub).status, 401);
    there.log_in(hub, ("acme", READER, new), "");
    let page = here.get(hub, "/account");
    let csrf = csrf_of(&page.body).to_owned();
    assert_eq!(
        here.post(hub, "/account/sessions", &[("csrf", "x")], &[])
            .status,
        403
    );
    let ended = here.post(hub, "/account/sessions", &[("csrf", &csrf)], &[]);
    assert_eq!(ended.status, 303, "{ended:?}");
    assert_eq!(here.get(hub, "/overview").status, 200);
    assert_eq!(there.get(hub, "/overview").status, 303);
    assert_eq!(set_cookies(&ended).len(), 1);
}

#[test]
fn a_login_over_plain_http_from_elsewhere_is_refused_in_every_form() {
    let scene = Scene::with(&PROXIED[..1]);
    let elsewhere = [("X-Forwarded-For", "192.0.2.1")];
    let body = login_body("acme", ADMIN, PASSWORD);
    let refused = post_json(&scene.hub, "/auth/api/login", &elsewhere, &body);
    assert_refusal(&refused, 403, "https_required");
    let refresh = json!({"refresh_token": "x"}).to_string();
    let refused = post_json(&scene.hub, "/auth/api/refresh", &elsewhere, &refresh);
    assert_refusal(&refused, 403, "https_required");
    assert_eq!(
        Browser::at("192.0.2.1").get(&scene.hub, "/login").status,
        403
    );
    let mut secure = Browser::at("192.0.2.1").over_https();
    assert_eq!(
        secure
            .log_in(&scene.hub, ("acme", ADMIN, PASSWORD), "")
            .status,
        303
    );
}
