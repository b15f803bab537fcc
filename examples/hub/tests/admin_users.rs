//! Administrators add people over HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use serde_json::json;
use support::login::{ADMIN, PASSWORD, Pair, READER, Scene, api_login, get_as, post_json};
use support::refusal::assert_refusal;
use support::store;

const USERS: &str = "/v1/admin/users";

#[test]
fn a12_an_administrator_adds_a_person_who_can_log_in_and_the_audit_log_knows_it() {
    let scene = Scene::new();
    let admin = scene.pair_of(ADMIN).access;
    let added = scene.add("new@acme.example", "read_only");
    assert_eq!(added.status, 201, "{added:?}");
    let json = added.json();
    assert_eq!(
        (&json["username"], &json["role"]),
        (&json!("new@acme.example"), &json!("read_only"))
    );
    let id = json["user_id"].as_str().unwrap();
    let pair = Pair::of(&api_login(&scene.hub, "acme", "new@acme.example", PASSWORD));
    assert_eq!(
        get_as(&scene.hub, "/api/v1/agents", &pair.access).status,
        200
    );
    let listed = get_as(&scene.hub, USERS, &admin);
    assert_eq!(listed.status, 200);
    for body in [&added.body, &listed.body] {
        assert!(
            !body.contains("argon2") && !body.contains(PASSWORD) && !body.contains("$"),
            "{body}"
        );
    }
    let admin_id = support::login::claims_of(&admin)["sub"]
        .as_str()
        .unwrap()
        .to_owned();
    let entries = store::rows(
        &scene.data,
        "SELECT actor FROM audit_log WHERE action = 'user added' AND subject = ?1",
        [id],
        |row| row.get::<_, String>(0),
    );
    assert_eq!(entries, [admin_id]);
    let stored = store::rows(
        &scene.data,
        "SELECT password_phc FROM users WHERE id = ?1",
        [id],
        |row| row.get::<_, String>(0),
    );
    assert!(
        stored[0].starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{stored:?}"
    );
}

#[test]
fn a12_others_are_refused_and_so_is_what_makes_no_person() {
    let scene = Scene::new();
    let admin = scene.pair_of(ADMIN).access;
    let reader = scene.pair_of(READER).access;
    let body = json!({"username": "new@acme.example", "password": PASSWORD, "role": "admin"});
    assert_refusal(&scene.post_as(&reader, USERS, &body), 403, "forbidden");
    assert_refusal(&get_as(&scene.hub, USERS, &reader), 403, "forbidden");
    assert_refusal(
        &post_json(&scene.hub, USERS, &[], &body.to_string()),
        401,
        "unauthorized",
    );
    let changed = |name: &str, value: serde_json::Value| {
        let mut body = body.clone();
        body[name] = value;
        scene.post_as(&admin, USERS, &body)
    };
    assert_refusal(
        &changed("password", json!("elevenchars")),
        422,
        "out_of_range",
    );
    assert_refusal(
        &changed("password", json!("x".repeat(1_025))),
        422,
        "out_of_range",
    );
    assert_refusal(&changed("password", json!(null)), 422, "wrong_type");
    assert_refusal(&changed("role", json!("owner")), 422, "out_of_range");
    assert_refusal(&changed("role", json!("service")), 422, "out_of_range");
    assert_refusal(&changed("username", json!("")), 422, "out_of_range");
    assert_refusal(
        &changed("username", json!(" a@acme.example")),
        422,
        "out_of_range",
    );
    assert_refusal(
        &changed("username", json!("a\u{0}@acme.example")),
        422,
        "out_of_range",
    );
    assert_refusal(
        &changed("username", json!("x".repeat(129))),
        422,
        "out_of_range",
    );
    assert_refusal(&changed("org", json!("other")), 422, "unknown_field");
    assert_refusal(&changed("username", json!(ADMIN)), 409, "already_exists");
    let people = "SELECT count(*) FROM users WHERE role <> 'service'";
    assert_eq!(store::number(&scene.data, people, []), 2);
    assert_eq!(scene.post_as(&admin, USERS, &body).status, 201);
    assert_refusal(&scene.post_as(&admin, USERS, &body), 409, "already_exists");
    // What looks like SQL is a name like others.
    assert_eq!(
        changed("username", json!("'); DROP TABLE users; --")).status,
        201
    );
    assert_eq!(store::number(&scene.data, people, []), 4);
}

#[test]
fn a12_people_are_listed_by_pages() {
    let scene = Scene::new();
    let admin = scene.pair_of(ADMIN).access;
    for n in 0..5 {
        assert_eq!(
            scene.add(&format!("{n}@acme.example"), "read_only").status,
            201
        );
    }
    let mut names = Vec::new();
    let mut path = format!("{USERS}?limit=3");
    loop {
        let page = get_as(&scene.hub, &path, &admin).json();
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 3);
        names.extend(
            items
                .iter()
                .map(|item| item["username"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!(
            "{USERS}?limit=3&{}",
            support::login::encoded(&[("cursor", cursor)])
        );
    }
    assert_eq!(names.len(), 7);
    assert!(names.is_sorted(), "{names:?}");
    for query in [
        "limit=0",
        "limit=201",
        "limit=x",
        "page=1",
        "limit=1&limit=2",
    ] {
        let refused = get_as(&scene.hub, &format!("{USERS}?{query}"), &admin);
        assert_refusal(&refused, 422, "out_of_range");
    }
}
