//! Tokens of people's programs over HTTP: which are taken, and what becomes of one that is shown twice.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::sync::Barrier;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use support::Hub;
use support::hub::SECRETS;
use support::login::{
    ADMIN, PASSWORD, Pair, READER, Scene, api_login, base64url, claims_of, get_as, get_with,
    minted, post_json,
};
use support::refusal::assert_refusal;

const READ: &str = "/api/v1/integrity/summary";

fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

fn secret(n: usize) -> &'static [u8] {
    SECRETS[n].1.as_bytes()
}

/// Claims with other members than a good token has.
fn changed(claims: &Value, members: &Value) -> Value {
    let mut claims = claims.clone();
    for (name, value) in members.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn hs256() -> Value {
    json!({"typ": "JWT", "alg": "HS256"})
}

#[test]
fn a2_an_access_token_says_who_for_what_from_when_and_until_when() {
    let scene = Scene::new();
    let pair = scene.pair_of(READER);
    let claims = claims_of(&pair.access);
    for name in [
        "iss", "aud", "sub", "org", "role", "typ", "jti", "iat", "nbf", "exp",
    ] {
        assert!(!claims[name].is_null(), "{name}: {claims}");
    }
    assert_eq!(
        (&claims["typ"], &claims["role"]),
        (&json!("access"), &json!("read_only"))
    );
    let number = |name: &str| claims[name].as_i64().unwrap();
    assert_eq!(number("exp") - number("iat"), 900);
    assert_eq!(number("nbf"), number("iat"));
    assert!((unix_now() - number("iat")).abs() < 60);
    let refresh = claims_of(&pair.refresh);
    assert_eq!(refresh["typ"], "refresh");
    // Nothing in them lets anybody guess at a password or session.
    let both = format!("{claims}{refresh}");
    assert!(!both.contains("argon2") && !both.contains(PASSWORD));
}

#[test]
fn a2_what_is_not_an_access_token_of_this_hub_is_refused() {
    let scene = Scene::new();
    let hub = &scene.hub;
    let pair = scene.pair_of(ADMIN);
    let (good, now) = (claims_of(&pair.access), unix_now());
    let with = |members: Value| minted(&hs256(), &changed(&good, &members), secret(0));
    assert_eq!(
        get_as(hub, READ, &with(json!({}))).status,
        200,
        "the test signs as the hub does"
    );
    let parts: Vec<_> = pair.access.split('.').collect();
    let unsigned = base64url(b"{\"alg\":\"none\",\"typ\":\"JWT\"}");
    let refused = [
        ("alg none", format!("{unsigned}.{}.", parts[1])),
        (
            "alg none, signature left",
            format!("{unsigned}.{}.{}", parts[1], parts[2]),
        ),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        (
            "alg none, signed",
            minted(&json!({"alg": "none"}), &good, secret(0)),
        ),
        (
            "alg HS384",
            minted(&json!({"alg": "HS384"}), &good, secret(0)),
        ),
        (
            "alg HS512",
            minted(&json!({"alg": "HS512"}), &good, secret(0)),
        ),
        (
            "alg RS256",
            minted(&json!({"alg": "RS256"}), &good, secret(0)),
        ),
        ("no alg", minted(&json!({"typ": "JWT"}), &good, secret(0))),
        ("a refresh token", pair.refresh.clone()),
        (
            "a refresh token signed as access",
            minted(&hs256(), &claims_of(&pair.refresh), secret(0)),
        ),
        ("typ refresh", with(json!({"typ": "refresh"}))),
        ("typ unknown", with(json!({"typ": "admin"}))),
        ("the refresh secret", minted(&hs256(), &good, secret(1))),
        ("the secret of forms", minted(&hs256(), &good, secret(2))),
        ("an empty secret", minted(&hs256(), &good, b"")),
        (
            "expired by 1 s beyond the leeway",
            with(json!({"exp": now - 31})),
        ),
        (
            "not yet good, by 10 s beyond the leeway",
            with(json!({"nbf": now + 40})),
        ),
        ("no exp", with(json!({"exp": null}))),
        ("exp is a text", with(json!({"exp": "9999999999"}))),
        (
            "another audience",
            with(json!({"aud": "22222222-2222-4222-8222-222222222222"})),
        ),
        ("no audience", with(json!({"aud": null}))),
        (
            "another issuer",
            with(json!({"iss": "https://evil.example"})),
        ),
        ("no issuer", with(json!({"iss": null}))),
        (
            "nobody",
            with(json!({"sub": "22222222-2222-4222-8222-222222222222"})),
        ),
        ("sub is no identifier", with(json!({"sub": "' OR 1=1 --"}))),
        (
            "another organisation",
            with(json!({"org": "22222222-2222-4222-8222-222222222222"})),
        ),
        (
            "another epoch",
            with(json!({"epoch": good["epoch"].as_i64().unwrap() + 1})),
        ),
        ("no epoch", with(json!({"epoch": null}))),
        ("empty", String::new()),
        ("dots", "..".to_owned()),
        ("long", "a".repeat(10_000)),
        ("an agent's token", format!("ms_{}", "A".repeat(43))),
        ("an API token nobody has", format!("mst_{}", "A".repeat(43))),
    ];
    for (what, token) in &refused {
        let answer = get_as(hub, READ, token);
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        assert_refusal(&answer, 401, "unauthorized");
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer realm=\"monsys\"")
        );
    }
    // Within the leeway it is good.
    assert_eq!(
        get_as(hub, READ, &with(json!({"exp": now - 20}))).status,
        200
    );
    assert_eq!(
        get_as(hub, READ, &with(json!({"nbf": now + 20}))).status,
        200
    );
    // What the token says of the role is not believed.
    let raised =
        with(json!({"role": "admin", "sub": claims_of(&scene.pair_of(READER).access)["sub"]}));
    let body = json!({"username": "a@b", "password": PASSWORD, "role": "admin"});
    assert_eq!(scene.post_as(&raised, "/v1/admin/users", &body).status, 403);
}

#[test]
fn a2_one_authorization_counts_and_no_cookie_makes_up_for_a_bad_one() {
    let scene = Scene::new();
    let hub = &scene.hub;
    let good = format!("Bearer {}", scene.pair_of(ADMIN).access);
    let status = |headers: &[(&str, &str)]| get_with(hub, READ, headers).status;
    assert_eq!(status(&[("Authorization", &good)]), 200);
    assert_eq!(
        status(&[("Authorization", &good.replace("Bearer", "bearer"))]),
        200
    );
    assert_eq!(
        status(&[("Authorization", &good), ("Authorization", &good)]),
        401
    );
    assert_eq!(
        status(&[("Authorization", &good.replace("Bearer", "Basic"))]),
        401
    );
    let mut browser = support::login::Browser::new();
    browser.log_in(hub, ("acme", ADMIN, PASSWORD), "");
    let cookie = browser.cookie_line();
    assert_eq!(status(&[("Cookie", &cookie)]), 200);
    assert_eq!(
        status(&[("Cookie", &cookie), ("Authorization", "Bearer x")]),
        401
    );
    assert_eq!(
        status(&[("Cookie", "monsys=x"), ("Authorization", &good)]),
        200
    );
}

#[test]
fn a3_a_refresh_token_is_used_once_and_its_reuse_ends_the_family() {
    let scene = Scene::new();
    let hub = &scene.hub;
    let first = scene.pair_of(ADMIN);
    let second = Pair::of(&first.refreshed(hub));
    assert_ne!(first.refresh, second.refresh);
    assert_eq!(get_as(hub, READ, &second.access).status, 200);
    let third = Pair::of(&second.refreshed(hub));
    assert_refusal(&first.refreshed(hub), 401, "unauthorized");
    // The thief and the owner cannot be told apart: what followed is void as well.
    assert_refusal(&third.refreshed(hub), 401, "unauthorized");
    assert_refusal(&second.refreshed(hub), 401, "unauthorized");
    let reuses = "SELECT count(*) FROM audit_log WHERE action = 'refresh token reused'";
    assert_eq!(support::store::number(&scene.data, reuses, []), 1);
    // Another login is another family.
    let other = scene.pair_of(ADMIN);
    assert_eq!(other.refreshed(hub).status, 200);
}

#[test]
fn a3_of_two_that_show_one_refresh_token_at_once_one_is_served_and_the_family_ends() {
    let scene = Scene::new();
    let hubs = [&scene.hub, &Hub::start(&scene.data)];
    for _ in 0..10 {
        let pair = Pair::of(&api_login(&scene.hub, "acme", ADMIN, PASSWORD));
        let barrier = Barrier::new(2);
        let answers = std::thread::scope(|scope| {
            let threads = hubs.map(|hub| {
                let (pair, barrier) = (&pair, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    pair.refreshed(hub)
                })
            });
            threads.map(|thread| thread.join().unwrap())
        });
        let mut statuses = answers.each_ref().map(|answer| answer.status);
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401]);
        let served = answers.iter().find(|answer| answer.status == 200).unwrap();
        assert_eq!(Pair::of(served).refreshed(&scene.hub).status, 401);
    }
}

#[test]
fn a3_what_is_not_a_refresh_token_of_this_hub_is_refused() {
    let scene = Scene::new();
    let hub = &scene.hub;
    let pair = scene.pair_of(ADMIN);
    let good = claims_of(&pair.refresh);
    let with = |members: Value| minted(&hs256(), &changed(&good, &members), secret(1));
    for (what, token) in [
        ("an access token", pair.access.clone()),
        (
            "an access token signed as refresh",
            minted(&hs256(), &claims_of(&pair.access), secret(1)),
        ),
        ("one that the hub never gave out", with(json!({"jti": "x"}))),
        ("expired", with(json!({"exp": unix_now() - 31}))),
        ("another audience", with(json!({"aud": "x"}))),
        ("the access secret", minted(&hs256(), &good, secret(0))),
        ("empty", String::new()),
    ] {
        let shown = Pair {
            refresh: token,
            ..pair.clone()
        };
        let answer = shown.refreshed(hub);
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
    }
    for (body, status, code) in [
        ("", 400, "syntax"),
        ("{}", 422, "missing_field"),
        ("{\"refresh_token\":1}", 422, "wrong_type"),
        (
            "{\"refresh_token\":\"a\",\"org\":\"b\"}",
            422,
            "unknown_field",
        ),
    ] {
        assert_refusal(
            &post_json(hub, "/auth/api/refresh", &[], body),
            status,
            code,
        );
    }
    // None of this was a use of the token itself.
    assert_eq!(pair.refreshed(hub).status, 200);
}

#[test]
fn a3_a_logout_ends_the_family() {
    let scene = Scene::new();
    let hub = &scene.hub;
    let (pair, other) = (scene.pair_of(ADMIN), scene.pair_of(ADMIN));
    let log_out = |token: &str| {
        let body = json!({"refresh_token": token}).to_string();
        post_json(hub, "/auth/api/logout", &[], &body).status
    };
    assert_eq!(log_out(&pair.access), 401);
    assert_eq!((log_out(&pair.refresh), log_out(&pair.refresh)), (204, 204));
    assert_eq!(pair.refreshed(hub).status, 401);
    assert_eq!(other.refreshed(hub).status, 200);
}

#[test]
fn a5_role_disabling_and_a_new_password_take_effect_at_the_next_request() {
    let scene = Scene::new();
    let (data, hub) = (&scene.data, &scene.hub);
    let pair = scene.pair_of(READER);
    assert_eq!(get_as(hub, READ, &pair.access).status, 200);
    data.json(&["user", "disable", "--org", "acme", "--email", READER]);
    assert_eq!(get_as(hub, READ, &pair.access).status, 401);
    assert_eq!(pair.refreshed(hub).status, 401);
    assert_eq!(api_login(hub, "acme", READER, PASSWORD).status, 401);
    data.json(&["user", "enable", "--org", "acme", "--email", READER]);
    assert_eq!(
        get_as(hub, READ, &pair.access).status,
        401,
        "what was void stays so"
    );
    let again = scene.pair_of(READER);
    assert_eq!(get_as(hub, READ, &again.access).status, 200);
}

#[test]
fn tokens_and_passwords_are_not_in_the_store_and_not_in_the_log() {
    let scene = Scene::new();
    let pair = scene.pair_of(ADMIN);
    let next = Pair::of(&pair.refreshed(&scene.hub));
    let _ = pair.refreshed(&scene.hub);
    let log = scene.hub.log();
    let mut places = vec![log.into_bytes()];
    if scene.data.database().is_none() {
        for name in ["monsys.db", "monsys.db-wal"] {
            places.push(std::fs::read(scene.data.path().join(name)).unwrap_or_default());
        }
    }
    for secret in [&*pair.refresh, &*next.refresh, &*pair.access, PASSWORD] {
        for place in &places {
            let is_there = place
                .windows(secret.len())
                .any(|found| found == secret.as_bytes());
            assert!(!is_there, "{secret}");
        }
    }
}
