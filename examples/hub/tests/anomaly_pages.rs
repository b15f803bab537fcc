//! The pages of anomalies over HTTP: what their forms do, what they refuse, and what they show.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::collections::BTreeSet;

use support::person::Person;
use support::store::{anomalies, number};
use support::{Answer, DataDir, Hub, PATIENCE, TestAgent};

/// An organisation with three agents that were caught without a signature, and its administrator.
struct Scene {
    data: DataDir,
    hub: Hub,
    agents: Vec<TestAgent>,
    admin: Person,
}

impl Scene {
    fn new() -> Self {
        let data = DataDir::new();
        data.add_org("acme");
        let names = ["web-1", "web-2", "web-3"];
        let agents: Vec<_> = names.map(|name| data.enrol("acme", name)).into();
        let hub = Hub::start(&data);
        for agent in &agents {
            catch(&hub, agent, 1);
        }
        let admin = Person::added(&data, &hub, "acme", "admin");
        Self {
            data,
            hub,
            agents,
            admin,
        }
    }

    fn id(&self, agent: usize) -> String {
        let found = anomalies(&self.data, &self.agents[agent]);
        found.last().unwrap().id.clone()
    }

    fn page(&self, path: &str) -> String {
        let answer = self.admin.get(&self.hub, path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    fn csrf(&self) -> String {
        let page = self.page("/integrity");
        let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    /// Sends a form of the administrator's session.
    fn post(&self, path: &str, fields: &str) -> Answer {
        let form = format!("csrf={}&{fields}", self.csrf());
        self.admin.post_form(&self.hub, path, &form)
    }

    fn n_open(&self) -> i64 {
        let sql = "SELECT count(*) FROM integrity_anomalies WHERE resolved_at IS NULL";
        number(&self.data, sql, [])
    }

    fn n_events(&self) -> i64 {
        number(&self.data, "SELECT count(*) FROM integrity_events", [])
    }
}

fn catch(hub: &Hub, agent: &TestAgent, seq: i64) {
    let body = agent.metrics((1, seq), 12.5);
    assert_eq!(agent.send_with(hub, body.as_bytes(), None).status, 403);
}

fn went_to(answer: &Answer, path: &str) {
    let place = (answer.status, answer.header("location"));
    assert_eq!(place, (303, Some(path)), "{}", answer.body);
}

#[test]
fn an_anomaly_is_acknowledged_snoozed_and_resolved_on_its_own_page() {
    let scene = Scene::new();
    let id = scene.id(0);
    let own = format!("/integrity/{id}");
    let act = |what: &str, fields: &str| scene.post(&format!("{own}/{what}?from=anomaly"), fields);
    went_to(&act("acknowledge", "reason=a+known+test"), &own);
    assert!(scene.page(&own).contains("l-acknowledged\">acknowledged"));
    went_to(&act("snooze", "reason=until+Monday&for=8h"), &own);
    let page = scene.page(&own);
    assert!(page.contains("l-snoozed\">snoozed"));
    assert!(page.contains("a known test") && page.contains("until Monday"));
    assert!(scene.page("/integrity?attention=snoozed").contains("web-1"));
    assert!(!scene.page("/integrity?attention=needed").contains("web-1"));
    went_to(&act("resolve", "note=rotated"), &own);
    let events = scene.n_events();
    went_to(&act("resolve", "note=again"), &own);
    went_to(&act("acknowledge", "reason=late"), &own);
    assert_eq!(scene.n_events(), events, "what is closed stays as it is");
    let page = scene.page(&own);
    assert!(page.contains("by admin@acme.example (manual)") && page.contains("rotated"));
    assert!(!page.contains("again") && !page.contains("/acknowledge?"));
    let events = ["opened", "acknowledged", "snoozed", "resolved"];
    let places = events.map(|event| page.find(&format!("class=\"c-kind\">{event}</th>")));
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted(),
        "{places:?}"
    );
    assert!(page.contains("the integrity worker"), "who opened it");
}

#[test]
fn the_resolved_view_says_who_when_how_and_what_was_before() {
    let scene = Scene::new();
    let first = scene.id(0);
    went_to(
        &scene.post(&format!("/integrity/{first}/resolve"), "note=one"),
        "/integrity",
    );
    // One finding a second is written down.
    let second = support::poll("it is found again", PATIENCE, || {
        catch(&scene.hub, &scene.agents[0], 2);
        Some(scene.id(0)).filter(|id| *id != first)
    });
    assert_ne!(first, second);
    assert!(scene.page("/integrity").contains("l-regressed\">regressed"));
    went_to(
        &scene.post(&format!("/integrity/{second}/resolve"), "note=two"),
        "/integrity",
    );
    let page = scene.page("/integrity?state=resolved");
    let at = |id: &str| page.find(&format!("id=\"a-{id}\"")).unwrap();
    assert!(at(&second) < at(&first), "what was closed last comes first");
    assert!(page.contains(&format!("href=\"/integrity/{first}\">the one before")));
    assert_eq!(page.matches("by admin@acme.example (manual)").count(), 2);
    assert!(!page.contains("/resolve"), "there is nothing to do");
    let agent = &scene.agents[0];
    let history = scene.page(&format!("/agents/{}", agent.id));
    assert!(history.contains(&format!("id=\"a-{first}\"")));
    assert!(history.contains(&format!("id=\"a-{second}\"")));
}

#[test]
fn what_is_ticked_is_done_at_once_with_one_reason_or_not_at_all() {
    let scene = Scene::new();
    let ids = [scene.id(0), scene.id(1), scene.id(2)];
    let all = ids.map(|id| format!("id={id}")).join("&");
    let act = |query: &str, fields: &str| scene.post(&format!("/integrity/act{query}"), fields);
    let before = scene.n_events();
    for bad in [
        format!("{all}&do=resolve"),
        format!("{all}&do=resolve&reason=+"),
        format!("{all}&do=drop&reason=because"),
        format!("{all}&reason=because"),
        format!("{all}&do=snooze&reason=because"),
        format!("{all}&do=snooze&reason=because&for=1y"),
        format!("{all}&do=resolve&reason=a&reason=b"),
        format!("{all}&id=7&do=resolve&reason=because"),
        "do=resolve&reason=because".into(),
        format!("{all}&do=resolve&reason={}", "x".repeat(4_097)),
        format!("{all}&do=resolve&reason=a%00b"),
    ] {
        let answer = act("", &bad);
        assert_eq!(answer.status, 422, "{bad:.60}: {}", answer.body);
        assert!(
            answer.body.contains("Nothing was changed: expected"),
            "{}",
            answer.body
        );
    }
    let unknown = "00000000-0000-4000-8000-000000000000";
    let mixed = format!("{all}&id={unknown}&do=resolve&reason=because");
    assert_eq!(act("", &mixed).status, 404);
    assert_eq!(
        (scene.n_open(), scene.n_events()),
        (3, before),
        "nothing was changed"
    );
    went_to(
        &act("", &format!("{all}&do=acknowledge&reason=seen&for=1h")),
        "/integrity",
    );
    assert_eq!(
        scene.page("/integrity").matches("l-acknowledged\"").count(),
        3
    );
    let narrowed = "?kind=unsigned_payload&severity=high";
    let snoozed = act(narrowed, &format!("{all}&do=snooze&reason=later&for=1d"));
    went_to(&snoozed, &format!("/integrity{narrowed}"));
    let agent = scene.agents[0].id;
    let from_agent = format!("?from=agent&agent_id={agent}");
    let resolved = act(
        &from_agent,
        &format!("{all}&do=resolve&reason=all+of+them&for=1h"),
    );
    went_to(&resolved, &format!("/agents/{agent}"));
    assert_eq!((scene.n_open(), scene.n_events()), (0, before + 9));
    assert_eq!(
        scene
            .page("/integrity?state=resolved")
            .matches("all of them")
            .count(),
        3
    );
}

#[test]
fn garbage_and_strangers_get_a_page_that_says_so_and_change_nothing() {
    let scene = Scene::new();
    scene.data.add_org("other");
    let foreigner = Person::added(&scene.data, &scene.hub, "other", "admin");
    let reader = Person::added(&scene.data, &scene.hub, "acme", "read_only");
    let id = scene.id(0);
    let before = scene.n_events();
    let csrf_of = |who: &Person| {
        let page = who.get(&scene.hub, "/integrity").body;
        let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let fields = format!("id={id}&do=resolve&reason=because&for=1h");
    let paths = ["acknowledge", "snooze", "resolve"].map(|what| format!("/integrity/{id}/{what}"));
    for path in paths.iter().map(String::as_str).chain(["/integrity/act"]) {
        let send = |who: &Person, form: &str| who.post_form(&scene.hub, path, form);
        let with = |who: &Person| send(who, &format!("csrf={}&{fields}", csrf_of(who)));
        assert_eq!(with(&foreigner).status, 404, "{path}");
        assert_eq!(with(&reader).status, 403, "{path}");
        let other = format!("csrf={}&{fields}", csrf_of(&reader));
        assert_eq!(
            send(&scene.admin, &other).status,
            403,
            "another session's token"
        );
        assert_eq!(send(&scene.admin, &fields).status, 403, "no token");
        let doubled = format!("csrf=x&csrf={}&{fields}", scene.csrf());
        assert_eq!(send(&scene.admin, &doubled).status, 403, "two tokens");
        went_to(&send(&Person::anonymous(), &fields), "/login");
        let large = format!("csrf={}&note={}", scene.csrf(), "x".repeat(1_048_576));
        let answer = send(&scene.admin, &large);
        assert_eq!(answer.status, 413, "{path}");
        assert!(
            answer.body.contains("at most 64 KiB") && answer.body.contains("Nothing was changed")
        );
        let json = [("content-type", "application/json")];
        let answer = scene.admin.post(&scene.hub, path, "{}", &json);
        assert_eq!(answer.status, 415, "{path}");
        assert!(answer.body.contains("Nothing was changed"));
    }
    for unknown in ["00000000-0000-4000-8000-000000000000", "nonsense", "..%2f"] {
        let answer = scene.post(&format!("/integrity/{unknown}/resolve"), "note=x");
        assert_eq!(answer.status, 404, "{unknown}");
        assert_eq!(
            scene
                .admin
                .get(&scene.hub, &format!("/integrity/{unknown}"))
                .status,
            404
        );
    }
    let own = format!("/integrity/{id}");
    assert_eq!(foreigner.get(&scene.hub, &own).status, 404);
    assert_eq!(reader.get(&scene.hub, &own).status, 200);
    assert_eq!(
        scene
            .admin
            .get(&scene.hub, &format!("{own}?after=x"))
            .status,
        422
    );
    assert_eq!(
        (scene.n_open(), scene.n_events()),
        (3, before),
        "nothing was changed"
    );
}

#[test]
fn the_list_is_turned_page_by_page_and_unusable_places_are_refused() {
    let scene = Scene::new();
    scene.data.json(&[
        "agent",
        "enrol",
        "--org",
        "acme",
        "--name",
        "seed",
        "--profile",
        "hmac",
    ]);
    support::crowd::open_anomalies(&scene.data, 80);
    let mut path = Some("/integrity".to_owned());
    let (mut seen, mut n_pages) = (BTreeSet::new(), 0);
    while let Some(here) = path.take() {
        let page = scene.page(&here);
        n_pages += 1;
        assert_eq!(page.contains(">First page</a>"), n_pages > 1, "{here}");
        for row in page.split("<tr role=\"row\" id=\"a-").skip(1) {
            assert!(seen.insert(row[..36].to_owned()), "each once");
        }
        let next = page.split_once("rel=\"next\" href=\"");
        path = next.map(|(_, rest)| rest.split('"').next().unwrap().replace("&#38;", "&"));
    }
    assert_eq!((seen.len(), n_pages), (83, 3));
    let id = scene.id(0);
    for bad in [
        format!("after={id}"),
        format!("after=closed.{id}"),
        "after=open.1".into(),
        "attention=maybe".into(),
        "state=shut".into(),
        "kind=flat".into(),
        "severity=urgent".into(),
        "agent_id=web-99".into(),
        "agent_id=%00".into(),
    ] {
        let answer = scene.admin.get(&scene.hub, &format!("/integrity?{bad}"));
        assert_eq!(answer.status, 422, "{bad}");
    }
    let nowhere = "after=open.00000000-0000-4000-8000-000000000000";
    assert!(
        scene
            .page(&format!("/integrity?{nowhere}"))
            .contains("Nothing comes after this.")
    );
    let by_name = scene.page("/integrity?agent_id=web-2");
    assert!(by_name.contains("id=\"a-") && !by_name.contains("web-3"));
}

#[test]
fn a_file_holds_all_that_the_filter_finds_and_says_when_it_is_cut() {
    let scene = Scene::new();
    let id = scene.id(0);
    scene.post(&format!("/integrity/{id}/resolve"), "note=%3D1%2B1");
    let base = "/api/v1/integrity/anomalies";
    let lines = |query: &str| {
        let answer = scene.admin.get(&scene.hub, &format!("{base}?{query}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        let lines = answer.body.lines().map(str::to_owned);
        (
            answer.header("content-disposition").map(str::to_owned),
            lines.collect::<Vec<_>>(),
        )
    };
    let (file, all) = lines("format=csv");
    assert_eq!(
        file.as_deref(),
        Some("attachment; filename=\"anomalies.csv\"")
    );
    assert_eq!(all.len(), 4, "{all:?}");
    assert!(all[0].starts_with("id,agent_id,agent_name,kind,severity,summary,"));
    assert!(all[3].contains("'=1+1"), "a formula is defused: {}", all[3]);
    assert!(all[3].starts_with(&id), "what is resolved comes last");
    assert_eq!(lines("format=csv&state=open").1.len(), 3);
    let (_, cut) = lines("format=csv&limit=2");
    assert!(cut[3].starts_with("# cut after 2 rows"), "{cut:?}");
    let (_, cursor) = cut[3].rsplit_once(' ').unwrap();
    let rest = lines(&format!("format=csv&cursor={cursor}")).1;
    assert_eq!(rest[1..], all[3..], "the next file begins there");
    let json = scene
        .admin
        .get(&scene.hub, &format!("{base}?format=json"))
        .json();
    let items = json["items"].as_array().unwrap();
    assert_eq!(
        (items.len(), &json["next_cursor"]),
        (3, &serde_json::Value::Null)
    );
    assert_eq!(items[2]["note"], "=1+1", "JSON is as it is stored");
    for bad in [
        "format=xml",
        "format=csv&limit=10001",
        "limit=201",
        "attention=x",
        "cursor=1",
    ] {
        let answer = scene.admin.get(&scene.hub, &format!("{base}?{bad}"));
        assert_eq!(answer.status, 422, "{bad}");
    }
    scene.data.add_org("other");
    let foreigner = Person::added(&scene.data, &scene.hub, "other", "admin");
    let foreign = foreigner.get(&scene.hub, &format!("{base}?format=csv"));
    assert_eq!(foreign.body.lines().count(), 1, "only the names of columns");
    let page = scene.page("/integrity?kind=unsigned_payload");
    let link = "/api/v1/integrity/anomalies?kind=unsigned_payload&#38;state=open&#38;format=csv";
    assert!(page.contains(link), "{page}");
}
