//! What another site can make a browser do: nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use serde_json::json;
use support::login::{ADMIN, Browser, PASSWORD, READER, Scene, csrf_of, get_with, post_json};
use support::refusal::assert_refusal;

fn entered(scene: &Scene, username: &str) -> Browser {
    let mut browser = Browser::new();
    let answer = browser.log_in(&scene.hub, ("acme", username, PASSWORD), "");
    assert_eq!(answer.status, 303, "{answer:?}");
    browser
}

/// A token of a form of this browser's session.
fn token(scene: &Scene, browser: &mut Browser) -> String {
    csrf_of(&browser.get(&scene.hub, "/account").body).to_owned()
}

#[test]
fn a7_a_call_by_cookie_carries_the_token_of_its_session_once() {
    let scene = Scene::new();
    let mut admin = entered(&scene, ADMIN);
    let good = token(&scene, &mut admin);
    let other = token(&scene, &mut entered(&scene, READER));
    let second = token(&scene, &mut entered(&scene, ADMIN));
    let cookie = admin.cookie_line();
    let body = json!({"username": "new@acme.example", "password": PASSWORD, "role": "read_only"});
    let post = |headers: &[(&str, &str)]| {
        let headers = [&[("Cookie", cookie.as_str())], headers].concat();
        post_json(&scene.hub, "/v1/admin/users", &headers, &body.to_string())
    };
    let longer = format!("{good}A");
    for headers in [
        vec![],
        vec![("X-CSRF-Token", "")],
        vec![("X-CSRF-Token", "guess")],
        vec![("X-CSRF-Token", &*other)],
        vec![("X-CSRF-Token", &*second)],
        vec![("X-CSRF-Token", &*longer)],
        vec![("X-CSRF-Token", &*good), ("X-CSRF-Token", &*good)],
        vec![("X-CSRF-Token", &*good), ("Sec-Fetch-Site", "cross-site")],
        vec![("X-CSRF-Token", &*good), ("Sec-Fetch-Site", "same-site")],
        vec![("X-CSRF-Token", &*good), ("Origin", "https://evil.example")],
        vec![("X-CSRF-Token", &*good), ("Origin", "null")],
    ] {
        assert_refusal(&post(&headers), 403, "forbidden");
    }
    let users = "SELECT count(*) FROM users WHERE email = 'new@acme.example'";
    assert_eq!(support::store::number(&scene.data, users, []), 0);
    assert_eq!(post(&[("X-CSRF-Token", &good)]).status, 201);
}

#[test]
fn a7_a_bearer_token_needs_no_token_of_a_form() {
    let scene = Scene::new();
    assert_eq!(scene.add("new@acme.example", "read_only").status, 201);
    // Reading needs none either way.
    let cookie = entered(&scene, READER).cookie_line();
    let headers = [
        ("Cookie", cookie.as_str()),
        ("Sec-Fetch-Site", "cross-site"),
    ];
    assert_eq!(get_with(&scene.hub, "/api/v1/agents", &headers).status, 200);
}

#[test]
fn a7_each_page_has_another_token_and_all_of_a_session_are_good() {
    let scene = Scene::new();
    let mut admin = entered(&scene, ADMIN);
    let (one, other) = (token(&scene, &mut admin), token(&scene, &mut admin));
    assert_ne!(one, other);
    for csrf in [one, other] {
        let asked = admin.post(&scene.hub, "/integrity/run", &[("csrf", &csrf)], &[]);
        assert_eq!(asked.status, 303, "{asked:?}");
    }
    for csrf in ["", "guess"] {
        let asked = admin.post(&scene.hub, "/integrity/run", &[("csrf", csrf)], &[]);
        assert_eq!(asked.status, 403);
    }
    // A token does not outlive its session.
    let last = token(&scene, &mut admin);
    assert_eq!(
        admin
            .post(&scene.hub, "/logout", &[("csrf", &last)], &[])
            .status,
        303
    );
    let mut again = entered(&scene, ADMIN);
    let asked = again.post(&scene.hub, "/integrity/run", &[("csrf", &last)], &[]);
    assert_eq!(asked.status, 403);
}

#[test]
fn a7_no_other_site_logs_a_browser_in() {
    let scene = Scene::new();
    let hub = &scene.hub;
    let mut victim = Browser::new();
    let csrf = csrf_of(&victim.get(hub, "/login").body).to_owned();
    let mut attacker = Browser::new();
    let theirs = csrf_of(&attacker.get(hub, "/login").body).to_owned();
    let fields = |csrf| {
        [
            ("csrf", csrf),
            ("org", "acme"),
            ("username", ADMIN),
            ("password", PASSWORD),
        ]
    };
    let cases: [(&str, &[(&str, &str)]); 6] = [
        ("", &[]),
        ("guess", &[]),
        (&theirs, &[]),
        (&csrf, &[("Sec-Fetch-Site", "cross-site")]),
        (&csrf, &[("Sec-Fetch-Site", "same-site")]),
        (&csrf, &[("Origin", "https://evil.example")]),
    ];
    for (csrf, headers) in cases {
        let mut browser = victim.clone();
        let refused = browser.post(hub, "/login", &fields(csrf), headers);
        assert_eq!(refused.status, 403, "{csrf} {headers:?}");
        assert!(!browser.cookies.contains_key("monsys"), "{refused:?}");
        assert!(refused.body.contains("This form was open too long"));
    }
    // Without its cookie a token is nothing, and neither is a cookie that came twice.
    let mut without = Browser::new();
    assert_eq!(without.post(hub, "/login", &fields(&csrf), &[]).status, 403);
    let planted = format!("monsys-login={}", attacker.cookies["monsys-login"]);
    let mut twice = victim.clone();
    let refused = twice.post(hub, "/login", &fields(&theirs), &[("Cookie", &planted)]);
    assert_eq!(refused.status, 403);
    let entered = victim.post(hub, "/login", &fields(&csrf), &[]);
    assert_eq!(entered.status, 303, "{entered:?}");
}
