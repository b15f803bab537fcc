//! The pages over HTTP: who gets in, what is shown, what a form may do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use support::person::Person;
use support::refusal::assert_security_headers;
use support::{DataDir, Hub, TestAgent};

/// An organisation with one agent that was caught without a signature.
fn caught() -> (DataDir, Hub, TestAgent) {
    let data = DataDir::new();
    data.add_org("acme");
    let agent = data.enrol("acme", "web-1");
    let hub = Hub::start(&data);
    let body = agent.metrics((1, 1), 12.5);
    assert_eq!(agent.send_with(&hub, body.as_bytes(), None).status, 403);
    (data, hub, agent)
}

fn csrf_of(page: &str) -> &str {
    let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap();
    rest.split('"').next().unwrap()
}

fn open_rows(data: &DataDir) -> i64 {
    let sql = "SELECT count(*) FROM integrity_anomalies WHERE resolved_at IS NULL";
    support::store::number(data, sql, [])
}

#[test]
fn a_login_link_works_once_and_looking_at_it_does_not_use_it_up() {
    let (data, hub, _) = caught();
    let added = data.json(&["user", "add", "--org", "acme", "--email", "a@acme.example"]);
    let link = added["login_link"].as_str().unwrap();
    let path = link.strip_prefix("http://127.0.0.1:8080").unwrap();
    let nobody = Person::anonymous();
    let head = support::raw::request("HEAD", path, &[], b"");
    let looked = support::raw::Wire::open(hub.addr).send(&head).end();
    assert_eq!(looked.status(), Some(200));
    let first = nobody.get(&hub, path);
    assert_eq!(
        (first.status, first.header("location")),
        (303, Some("/overview"))
    );
    assert!(first.header("set-cookie").unwrap().starts_with("monsys="));
    let second = nobody.get(&hub, path);
    assert_eq!((second.status, second.header("set-cookie")), (401, None));
    assert!(
        second.body.contains("used before or has expired"),
        "{}",
        second.body
    );
    assert_eq!(nobody.get(&hub, "/login/notalink").status, 401);
}

#[test]
fn a_set_up_link_is_void_once_somebody_is_there() {
    let (_data, hub, _) = caught();
    let _first = Person::set_up(&hub, "acme");
    assert_eq!(Person::anonymous().get(&hub, hub.set_up_path()).status, 401);
    let form = "organisation=acme&email=b%40acme.example";
    assert_eq!(
        Person::anonymous()
            .post_form(&hub, hub.set_up_path(), form)
            .status,
        401
    );
}

#[test]
fn without_a_session_pages_lead_to_the_login_and_the_api_says_401() {
    let (_data, hub, agent) = caught();
    let nobody = Person::anonymous();
    for path in ["/overview", "/integrity", &format!("/agents/{}", agent.id)] {
        let answer = nobody.get(&hub, path);
        let login = format!("/login?next={}", path.replace('/', "%2F"));
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, Some(&*login)),
            "{path}"
        );
        assert_security_headers(&answer);
    }
    for path in ["summary", "anomalies"] {
        let answer = nobody.get(&hub, &format!("/api/v1/integrity/{path}"));
        support::refusal::assert_refusal(&answer, 401, "unauthorized");
    }
}

#[test]
fn the_integrity_page_shows_six_cards_and_the_row_of_example_1_without_a_script() {
    let (_data, hub, agent) = caught();
    let admin = Person::set_up(&hub, "acme");
    let page = admin.get(&hub, "/integrity");
    assert_eq!(page.status, 200);
    assert_security_headers(&page);
    let kinds = [
        "unsigned_payload",
        "signature_invalid",
        "clock_drift",
        "cadence_anomaly",
        "flat_metrics",
        "version_downgrade",
    ];
    let places: Vec<_> = kinds.map(|kind| page.body.find(kind).unwrap()).to_vec();
    assert!(
        places.is_sorted(),
        "the cards stand in the order of the document"
    );
    for text in [
        "agent has a pinned signing_pubkey but sent no X-Monsys-Signature",
        "web-1",
        &format!("/agents/{}", agent.id),
        "<noscript><meta http-equiv=\"refresh\"",
    ] {
        assert!(page.body.contains(text), "{text}");
    }
    assert!(
        !page.body.contains(" style="),
        "the policy forbids inline styles"
    );
}

#[test]
fn a_form_closes_a_finding_only_with_the_token_of_its_session() {
    let (data, hub, _) = caught();
    let admin = Person::set_up(&hub, "acme");
    let page = admin.get(&hub, "/integrity").body;
    let (before, _) = page.split_once("/resolve\"").unwrap();
    let (_, id) = before.rsplit_once('/').unwrap();
    let action = format!("/integrity/{id}/resolve");
    let reader = Person::added(&data, &hub, "acme", "read_only");
    let reader_page = reader.get(&hub, "/integrity").body;
    assert!(!reader_page.contains("/resolve"), "readers get no button");

    for (person, form) in [
        (&admin, String::new()),
        (&admin, "csrf=".into()),
        (&admin, format!("csrf={}", csrf_of(&reader_page))),
        (&reader, format!("csrf={}", csrf_of(&reader_page))),
        (
            &admin,
            format!("csrf={}&note={}", csrf_of(&page), "x".repeat(4_097)),
        ),
    ] {
        let status = person.post_form(&hub, &action, &form).status;
        assert!(status == 403 || status == 422, "{status}");
        assert_eq!(open_rows(&data), 1, "{form:.40}");
    }
    let form = format!("csrf={}&note=rotated+the+token", csrf_of(&page));
    let foreign = [
        ("sec-fetch-site", "cross-site"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    assert_eq!(admin.post(&hub, &action, &form, &foreign).status, 403);
    assert_eq!(open_rows(&data), 1);
    assert_eq!(admin.post_form(&hub, &action, &form).status, 303);
    assert_eq!(open_rows(&data), 0);
    let resolved = admin.get(&hub, "/integrity?state=resolved").body;
    assert!(resolved.contains("rotated the token") && resolved.contains("admin@acme.example"));
}

#[test]
fn another_organisation_sees_nothing_of_it() {
    let (data, hub, agent) = caught();
    data.add_org("rival");
    let rival = Person::added(&data, &hub, "rival", "admin");
    let api = format!("/api/v1/agents/{}", agent.id);
    for path in [
        "/overview",
        "/integrity?state=all",
        "/api/v1/integrity/anomalies",
        "/api/v1/agents",
    ] {
        let answer = rival.get(&hub, path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.body.contains("web-1") && !answer.body.contains(&agent.id.to_string()));
    }
    assert_eq!(rival.get(&hub, &api).status, 404);
    assert_eq!(
        rival.get(&hub, &format!("/agents/{}", agent.id)).status,
        404
    );
}

#[test]
fn logging_out_ends_the_session() {
    let (_data, hub, _) = caught();
    let admin = Person::set_up(&hub, "acme");
    let page = admin.get(&hub, "/overview").body;
    assert_eq!(admin.post_form(&hub, "/logout", "csrf=wrong").status, 403);
    assert_eq!(admin.get(&hub, "/overview").status, 200);
    let form = format!("csrf={}", csrf_of(&page));
    assert_eq!(admin.post_form(&hub, "/logout", &form).status, 303);
    assert_eq!(admin.get(&hub, "/overview").status, 303);
}

#[test]
fn assets_are_kept_for_ever_under_their_fingerprint() {
    let (_data, hub, _) = caught();
    let page = Person::anonymous().get(&hub, "/login").body;
    let (_, rest) = page.split_once("href=\"/assets/app-").unwrap();
    let path = format!("/assets/app-{}", rest.split('"').next().unwrap());
    let style = Person::anonymous().get(&hub, &path);
    assert_eq!(style.status, 200);
    assert_eq!(
        style.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    assert_eq!(
        Person::anonymous()
            .get(&hub, "/assets/app-0000000000000000.css")
            .status,
        404
    );
}

#[test]
fn hostile_addresses_are_refused_and_never_a_server_error() {
    let (_data, hub, _) = caught();
    let admin = Person::set_up(&hub, "acme");
    for (path, status) in [
        ("/integrity?kind=%22%3E%3Cscript%3E", 422),
        ("/integrity?after=1%27%20OR%201=1", 422),
        ("/agents/1%27%20OR%20%271%27=%271", 404),
        ("/agents/..%2f..%2fetc%2fpasswd", 404),
        ("/api/v1/integrity/anomalies?limit=0", 422),
        ("/api/v1/integrity/anomalies?limit=201", 422),
        ("/api/v1/integrity/anomalies?cursor=x", 422),
        ("/api/v1/integrity/anomalies?order=asc", 422),
    ] {
        let answer = admin.get(&hub, path);
        assert_eq!(answer.status, status, "{path}");
        assert!(!answer.body.contains("<script>"), "{path}");
    }
}
