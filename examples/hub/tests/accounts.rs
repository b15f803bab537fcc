//! People, API tokens and other credentials of agents, by the real program: what commands print,
//! how they end, and what holds over HTTP afterwards.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::process::Output;

use monsys_wire::rotate::RotateRequest;
use monsys_wire::{BearerToken, SigningKey, VerifyingKey};
use serde_json::{Value, json};
use support::agent::{client, read};
use support::store::{number, rows};
use support::{Answer, DataDir, Hub, TestAgent, login};

const USAGE: i32 = 2;
const PASSWORD: &str = "correct horse battery";

#[test]
fn a19_a_person_added_with_a_password_logs_in_with_it_and_without_one_gets_a_link() {
    let data = acme();
    let added = add_with_password(&data, "a@acme.example", "admin", PASSWORD);
    assert!(added.status.success(), "{added:?}");
    let added: Value = serde_json::from_slice(&added.stdout).unwrap();
    assert_eq!(added.as_object().unwrap().len(), 1, "no link: {added}");
    let hub = Hub::start(&data);
    assert_eq!(log_in(&hub, "a@acme.example", PASSWORD).status, 200);
    assert_eq!(
        log_in(&hub, "a@acme.example", "wrong horse battery").status,
        401
    );
    let link = |arguments: &[&str]| {
        let url = hub.url("");
        let made = data.json(&[arguments, &["--public-url", &url]].concat());
        let link = made["set_password_link"].as_str().unwrap();
        link.strip_prefix(&url).unwrap().to_owned()
    };
    let email = ["--org", "acme", "--email", "b@acme.example"];
    let first = link(&[&["user", "add"][..], &email, &["--role", "read_only"]].concat());
    assert_eq!(log_in(&hub, "b@acme.example", PASSWORD).status, 401);
    let second = link(&[&["user", "reset"][..], &email].concat());
    assert_eq!(set_password(&hub, &second).status, 303);
    assert_eq!(log_in(&hub, "b@acme.example", PASSWORD).status, 200);
    assert_eq!(set_password(&hub, &second).status, 401, "once");
    assert_eq!(set_password(&hub, &first).status, 401, "used up with it");
}

#[test]
fn a12_a_weak_password_or_a_name_twice_is_refused_and_adds_nobody() {
    let data = acme();
    for weak in ["", "short", "elevenchars"] {
        let refused = add_with_password(&data, "a@acme.example", "admin", weak);
        assert_ends(&refused, "at least 12 characters");
    }
    let long = "x".repeat(5_000);
    let refused = add_with_password(&data, "a@acme.example", "admin", &long);
    assert_ends(&refused, "at most 1024 bytes");
    let count = "SELECT count(*) FROM users WHERE role <> 'service'";
    assert_eq!(number(&data, count, []), 0);
    assert!(
        add_with_password(&data, "a@acme.example", "admin", PASSWORD)
            .status
            .success()
    );
    let again = add_with_password(&data, "a@acme.example", "admin", PASSWORD);
    assert_ends(&again, "exists already");
    let both = [
        "user",
        "add",
        "--org",
        "acme",
        "--email",
        "x@y",
        "--login-link",
        "--password-stdin",
    ];
    assert_ends(&data.run(&both), "cannot be used with");
    assert_eq!(number(&data, count, []), 1);
}

#[test]
fn a5_who_is_disabled_or_has_another_role_is_so_at_the_next_request() {
    let data = acme();
    for (email, role) in [("a@acme.example", "admin"), ("b@acme.example", "admin")] {
        assert!(
            add_with_password(&data, email, role, PASSWORD)
                .status
                .success()
        );
    }
    let hub = Hub::start(&data);
    let login = log_in(&hub, "b@acme.example", PASSWORD).json();
    let access = login["access_token"].as_str().unwrap();
    assert_eq!(users(&hub, access).status, 200);
    let person = ["--org", "acme", "--email", "b@acme.example"];
    let run = |verb: &[&str]| data.json(&[&["user"][..], verb, &person].concat());
    assert_eq!(
        run(&["set-role", "--role", "read_only"])["role"],
        "read_only"
    );
    assert_eq!(
        users(&hub, access).status,
        401,
        "the token is of another epoch"
    );
    let login = log_in(&hub, "b@acme.example", PASSWORD).json();
    let access = login["access_token"].as_str().unwrap();
    assert_eq!(users(&hub, access).status, 403);
    assert_eq!(run(&["disable"])["disabled"], true);
    assert_eq!(users(&hub, access).status, 401);
    assert_eq!(log_in(&hub, "b@acme.example", PASSWORD).status, 401);
    let refused = data.run(&[&["user", "reset"][..], &person].concat());
    assert_ends(&refused, "is disabled");
    assert_eq!(run(&["enable"])["disabled"], false);
    assert_eq!(log_in(&hub, "b@acme.example", PASSWORD).status, 200);
    let listed = data.json(&["user", "list", "--org", "acme"]);
    let shown: Vec<_> = listed["items"].as_array().unwrap().iter().collect();
    let of = |at: usize| {
        (
            &shown[at]["email"],
            &shown[at]["role"],
            &shown[at]["disabled"],
        )
    };
    assert_eq!(
        of(0),
        (&json!("a@acme.example"), &json!("admin"), &json!(false))
    );
    assert_eq!(
        of(1),
        (&json!("b@acme.example"), &json!("read_only"), &json!(false))
    );
    assert_eq!(shown.len(), 2, "the service user is nobody's business");
}

#[test]
fn the_last_administrator_is_neither_disabled_nor_demoted() {
    let data = acme();
    assert!(
        add_with_password(&data, "a@acme.example", "admin", PASSWORD)
            .status
            .success()
    );
    let person = ["--org", "acme", "--email", "a@acme.example"];
    for verb in [&["disable"][..], &["set-role", "--role", "read_only"]] {
        let refused = data.run(&[&["user"][..], verb, &person].concat());
        assert_ends(&refused, "last administrator");
    }
    for verb in ["disable", "enable", "reset"] {
        let nobody = [
            "user",
            verb,
            "--org",
            "acme",
            "--email",
            "nobody@acme.example",
        ];
        assert_ends(&data.run(&nobody), "no such person");
        let nowhere = ["user", verb, "--org", "other", "--email", "a@acme.example"];
        assert_ends(&data.run(&nowhere), "no organisation");
    }
}

#[test]
fn a4_an_api_token_does_no_more_than_its_scope_and_its_owner_and_ends_when_revoked() {
    let data = acme();
    for (email, role) in [("a@acme.example", "admin"), ("b@acme.example", "read_only")] {
        assert!(
            add_with_password(&data, email, role, PASSWORD)
                .status
                .success()
        );
    }
    let hub = Hub::start(&data);
    let create = |user: &str, scope: &str, more: &[&str]| {
        let words = [
            "token", "create", "--org", "acme", "--user", user, "--scope", scope,
        ];
        [&words[..], more]
            .concat()
            .iter()
            .map(|w| (*w).to_owned())
            .collect::<Vec<_>>()
    };
    let made = |user: &str, scope: &str| {
        let words = create(user, scope, &["--name", "ci"]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        data.json(&words)
    };
    let (admin, reader) = (
        made("a@acme.example", "admin"),
        made("a@acme.example", "read_only"),
    );
    let text = |made: &Value| made["token"].as_str().unwrap().to_owned();
    assert!(text(&admin).starts_with("mst_") && text(&admin).len() == 47);
    assert_eq!(users(&hub, &text(&admin)).status, 200);
    assert_eq!(users(&hub, &text(&reader)).status, 403);
    for (user, scope, more, said) in [
        ("b@acme.example", "admin", &[][..], "no more than the owner"),
        (
            "a@acme.example",
            "admin",
            &["--expires", "367d"],
            "at most 366d",
        ),
        (
            "a@acme.example",
            "admin",
            &["--expires", "0s"],
            "at most 366d",
        ),
        ("a@acme.example", "root", &[], "possible values"),
        ("nobody@acme.example", "admin", &[], "no such person"),
    ] {
        let words = create(user, scope, more);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_ends(&data.run(&words), said);
    }
    let listed = data.json(&["token", "list", "--org", "acme"]);
    let used = |at: usize| listed["items"][at]["last_used_at"].is_string();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert!(used(0) && used(1), "{listed}");
    assert!(!listed.to_string().contains("mst_"), "printed once");
    let id = admin["token_id"].as_str().unwrap();
    for _ in 0..2 {
        assert_eq!(data.json(&["token", "revoke", id])["revoked"], true);
    }
    assert_eq!(users(&hub, &text(&admin)).status, 401);
    assert_ends(
        &data.run(&["token", "revoke", "x"]),
        "identifier of an API token",
    );
    let none = "01010101-0101-4101-8101-010101010101";
    assert_ends(
        &data.run(&["token", "revoke", none]),
        "identifier of an API token",
    );
}

#[test]
fn another_token_of_an_agent_makes_the_one_before_void() {
    let data = acme();
    let mut agent = data.enrol("acme", "web-1");
    let device = data.enrol_device("acme", "dev-1");
    let hub = Hub::start(&data);
    agent.report(&hub, (1, 1), 1.0, "0.1.0");
    let id = agent.id.to_string();
    let rotated = data.json(&["agent", "rotate-token", &id]);
    assert_eq!(
        agent
            .send(&hub, agent.metrics((1, 2), 2.0).as_bytes())
            .status,
        401
    );
    agent.token = rotated["token"].as_str().unwrap().to_owned();
    assert!(BearerToken::parse(agent.token.as_bytes()).is_some());
    agent.report(&hub, (1, 2), 2.0, "0.1.0");
    device.report(&hub, (1, 1), 1.0);
    let refused = data.run(&["agent", "rotate-token", "acme/dev-1"]);
    assert_ends(&refused, "a device has no token");
    assert_ends(
        &data.run(&["agent", "rotate-token", "x"]),
        "identifier of an agent",
    );
}

#[test]
fn an_operator_gives_another_key_and_the_one_before_is_void() {
    let data = acme();
    let mut agent = data.enrol("acme", "web-1");
    let device = data.enrol_device("acme", "dev-1");
    let hub = Hub::start(&data);
    agent.report(&hub, (7, 1), 1.0, "0.1.0");
    device.report(&hub, (1, 1), 1.0);
    let (id, next) = (agent.id.to_string(), SigningKey::from_secret_bytes([9; 32]));
    let public = next.verifying_key().to_string();
    let rotated = data.json(&["agent", "rotate-key", &id, "--public-key", &public]);
    assert_eq!(rotated, json!({"agent_id": id, "pinned": public}));
    let before = agent.send(&hub, agent.metrics((7, 2), 2.0).as_bytes());
    assert_eq!(
        (before.status, before.code()),
        (403, "bad_signature".into())
    );
    agent.key = next;
    // The spool may be another: positions begin anew, as after pinning.
    agent.report(&hub, (1, 1), 3.0, "0.1.0");
    let rotated = data.json(&["agent", "rotate-key", "acme/dev-1"]);
    let body = device.metrics((1, 2), 2.0);
    assert_eq!(device.send(&hub, &body).status, 401);
    let enrolled = json!({
        "org": "acme", "device": "dev-1", "key": rotated["key"], "aud": agent.audience.as_str(),
    });
    let renewed = support::device::TestDevice::new(&enrolled);
    // It counts its nonces from the beginning, and two were used.
    for _ in 0..2 {
        let _used = renewed.nonce();
    }
    renewed.report(&hub, (1, 2), 2.0);
    for (arguments, said) in [
        (&["rotate-key", &id][..], "expected the key"),
        (&["rotate-key", &id, "--public-key", "00"], "public key"),
        (
            &["rotate-key", "acme/dev-1", "--public-key", &public],
            "shares a key",
        ),
        (&["rotate-key", "acme/none"], "identifier of an agent"),
    ] {
        assert_ends(&data.run(&[&["agent"][..], arguments].concat()), said);
    }
}

#[test]
fn an_agent_goes_on_with_another_key_that_both_keys_signed() {
    let data = acme();
    let mut agent = data.enrol("acme", "web-1");
    let bare = data.enrol_without_key("acme", "web-2");
    let hub = Hub::start(&data);
    agent.report(&hub, (3, 1), 1.0, "0.1.0");
    let (next, other) = ([9, 8])
        .map(|n| SigningKey::from_secret_bytes([n; 32]))
        .into();
    let compose = |old: &SigningKey, new: &SigningKey, agent: &TestAgent| {
        RotateRequest::compose(old, new, &agent.audience, agent.id)
    };
    let forged = rotate(&hub, &agent, &compose(&other, &next, &agent));
    assert_eq!(
        (forged.status, forged.code()),
        (403, "bad_signature".into())
    );
    let unpinned = rotate(&hub, &bare, &compose(&bare.key, &next, &bare));
    assert_eq!(
        (unpinned.status, unpinned.code()),
        (403, "pin_refused".into())
    );
    let malformed = rotate(&hub, &agent, "{}");
    assert_eq!(
        (malformed.status, malformed.code()),
        (422, "missing_field".into())
    );
    let body = compose(&agent.key, &next, &agent);
    for _ in 0..2 {
        // Sent again because the answer was lost.
        let rotated = rotate(&hub, &agent, &body);
        assert_eq!(rotated.status, 200, "{rotated:?}");
        let pinned = rotated.json()["pinned"].as_str().unwrap().to_owned();
        assert_eq!(VerifyingKey::parse_hex(&pinned), Ok(next.verifying_key()));
    }
    assert_eq!(
        agent
            .send(&hub, agent.metrics((3, 2), 2.0).as_bytes())
            .status,
        403
    );
    agent.key = next;
    agent.report(&hub, (3, 2), 2.0, "0.1.0");
    // It is the same spool: what it sent before is known.
    let again = agent.send(&hub, agent.metrics((3, 1), 9.0).as_bytes());
    assert_eq!((again.status, again.code()), (409, "replay".into()));
    let sql = "SELECT count(*) FROM audit_log WHERE action = 'agent key rotated' AND actor = ?1 \
               AND subject = ?1";
    assert_eq!(number(&data, sql, [agent.id.to_string()]), 1);
}

#[test]
fn what_commands_change_is_in_the_audit_log_without_a_secret() {
    let data = acme();
    assert!(
        add_with_password(&data, "a@acme.example", "admin", PASSWORD)
            .status
            .success()
    );
    let agent = data.enrol("acme", "web-1");
    let id = agent.id.to_string();
    let token = data.json(&[
        "token",
        "create",
        "--org",
        "acme",
        "--user",
        "a@acme.example",
        "--scope",
        "admin",
    ]);
    let rotated = data.json(&["agent", "rotate-token", &id]);
    data.json(&["agent", "revoke", &id]);
    data.json(&["token", "revoke", token["token_id"].as_str().unwrap()]);
    let sql = "SELECT actor, action, subject FROM audit_log ORDER BY id";
    let entries: Vec<[String; 3]> = rows(&data, sql, [], |row| {
        Ok([row.get(0)?, row.get(1)?, row.get(2)?])
    });
    let done: Vec<(&str, &str)> = entries.iter().map(|e| (&*e[0], &*e[1])).collect();
    assert_eq!(
        done,
        [
            ("hub", "organisation added"),
            ("command line", "user added"),
            ("command line", "agent enrolled"),
            ("command line", "API token created"),
            ("command line", "agent token rotated"),
            ("command line", "agent revoked"),
            ("command line", "API token revoked"),
        ]
    );
    let secrets = [
        PASSWORD,
        &agent.token,
        token["token"].as_str().unwrap(),
        rotated["token"].as_str().unwrap(),
        "argon2",
    ];
    for secret in secrets {
        assert!(
            !entries.iter().flatten().any(|text| text.contains(secret)),
            "{secret}"
        );
    }
}

fn acme() -> DataDir {
    let data = DataDir::new();
    data.add_org("acme");
    data
}

fn add_with_password(data: &DataDir, email: &str, role: &str, password: &str) -> Output {
    login::add_with_password(data, "acme", (email, role), password)
}

fn log_in(hub: &Hub, email: &str, password: &str) -> Answer {
    let body = json!({"org": "acme", "username": email, "password": password}).to_string();
    let request = client().post(hub.url("/auth/api/login"));
    let request = request.header("content-type", "application/json");
    read(request.send(body).unwrap()).unwrap()
}

/// Asks for what only administrators see.
fn users(hub: &Hub, token: &str) -> Answer {
    let request = client().get(hub.url("/v1/admin/users"));
    let request = request.header("authorization", format!("Bearer {token}"));
    read(request.call().unwrap()).unwrap()
}

fn set_password(hub: &Hub, path: &str) -> Answer {
    let request = client().post(hub.url(path));
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    read(request.send("password=correct+horse+battery").unwrap()).unwrap()
}

fn rotate(hub: &Hub, agent: &TestAgent, body: &str) -> Answer {
    let request = client().post(hub.url("/api/v1/agents/rotate-key"));
    let request = request.header("authorization", agent.bearer());
    let request = request.header("content-type", "application/json");
    read(request.send(body).unwrap()).unwrap()
}

fn assert_ends(output: &Output, said: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(USAGE), "{stderr}");
    assert!(stderr.contains(said), "{said}: {stderr}");
    assert!(output.stdout.is_empty());
}
