//! The hub on PostgreSQL, over HTTP: two hubs on one database, and what becomes of payloads when
//! hub or server are killed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use support::hub::program;
use support::person::Person;
use support::postgres::{Cluster, Durability};
use support::refusal::assert_refusal;
use support::store::{anomalies_of, number};
use support::{Answer, DataDir, Hub, PATIENCE, TestAgent, poll};

#[test]
fn two_hubs_on_one_database_are_one_hub() {
    let Some(data) = DataDir::on_postgres() else {
        return;
    };
    data.add_org("acme");
    let agent = data.enrol("acme", "alpha");
    let device = data.enrol_device("acme", "web-1");
    let mut hubs = [Hub::start(&data), Hub::start(&data)];
    let [first, second] = &hubs;
    let body = agent.metrics((1, 1), 4.2);
    agent.send(first, body.as_bytes()).accepted();
    let again = agent.send(second, body.as_bytes());
    assert_eq!(
        (again.status, again.json()["status"].as_str()),
        (200, Some("duplicate"))
    );
    let other = agent.send(second, agent.metrics((1, 1), 4.3).as_bytes());
    assert_refusal(&other, 409, "replay");
    let captured = device.request(&device.metrics((1, 1), 4.2), &device.stamp());
    captured.send(first).accepted();
    assert_refusal(&captured.send(second), 409, "replay");
    let unsigned = agent.send_with(first, agent.metrics((1, 2), 4.2).as_bytes(), None);
    assert_refusal(&unsigned, 403, "unsigned_payload");
    data.cycle();
    let opened = anomalies_of(&data, &agent, "unsigned_payload");
    assert_eq!(opened.len(), 1);
    let admin = Person::added(&data, second, "acme", "admin");
    let path = format!("/api/v1/integrity/anomalies/{}/resolve", opened[0].id);
    let kind = [("content-type", "application/json")];
    let resolved = admin.post(second, &path, "{}", &kind);
    assert_eq!(resolved.status, 200, "{resolved:?}");
    let agents = admin.get(first, "/api/v1/agents");
    assert_eq!(agents.json()["items"].as_array().map(Vec::len), Some(2));
    data.json(&["agent", "revoke", &agent.id.to_string()]);
    for hub in &hubs {
        let answer = agent.send(hub, agent.metrics((1, 9), 4.2).as_bytes());
        assert_refusal(&answer, 403, "revoked");
    }
    hubs.iter_mut().for_each(Hub::assert_alive);
}

#[test]
fn a_hub_goes_on_by_itself_after_its_server_was_killed() {
    let Some(cluster) = Cluster::start(Durability::Synced) else {
        return;
    };
    let data = DataDir::of(cluster.database());
    data.add_org("acme");
    let agent = data.enrol("acme", "alpha");
    let mut hub = Hub::start(&data);
    for round in 0..3 {
        for seq in round * 20 + 1..round * 20 + 11 {
            deliver(&hub, &agent, seq);
        }
        cluster.kill();
        let away = agent.send(&hub, agent.metrics((1, round * 20 + 11), 4.2).as_bytes());
        assert_refusal(&away, 503, "store_unavailable");
        assert!(away.header("retry-after").is_some());
        cluster.restart();
        for seq in round * 20 + 11..round * 20 + 21 {
            deliver(&hub, &agent, seq);
        }
    }
    hub.assert_alive();
    assert_eq!(number(&data, "SELECT count(*) FROM metrics", []), 60);
    assert_eq!(
        number(&data, "SELECT count(DISTINCT seq) FROM metrics", []),
        60
    );
}

#[test]
fn commands_do_not_make_a_hub_of_an_empty_database() {
    let Some(data) = DataDir::on_postgres() else {
        return;
    };
    let output = data.run(&["org", "list"]);
    assert_eq!(output.status.code(), Some(78));
    let database = data.database().unwrap();
    assert!(
        database
            .run("SELECT to_regclass('agents')")
            .concat()
            .is_empty()
    );
    assert!(data.run(&["migrate"]).status.success());
    assert!(
        data.run(&["migrate"]).status.success(),
        "again changes nothing"
    );
    assert!(data.run(&["org", "list"]).status.success());
}

#[test]
fn the_url_may_stand_in_a_file_and_the_owner_may_be_another() {
    let Some(data) = DataDir::on_postgres() else {
        return;
    };
    let database = data.database().unwrap();
    let login = format!("hub_{}", std::process::id());
    database.run(&format!(
        "DROP ROLE IF EXISTS {login}; CREATE ROLE {login} LOGIN"
    ));
    let file = data.path().join("url");
    std::fs::write(&file, database.url_of(&login) + "\n").unwrap();
    let run = |arguments: &[&str], owner: Option<String>| {
        let mut program = program();
        program.args(arguments).arg("--data").arg(data.path());
        program.env("DATABASE_URL_FILE", &file);
        program.envs(owner.map(|owner| ("MONSYS_MIGRATE_URL", owner)));
        program.output().unwrap()
    };
    let refused = run(&["org", "add", "acme"], None);
    assert_eq!(refused.status.code(), Some(78));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("MONSYS_MIGRATE_URL"), "{said}");
    assert!(run(&["migrate"], Some(database.url())).status.success());
    let not_a_member = run(&["org", "add", "acme"], None);
    assert_eq!(not_a_member.status.code(), Some(78));
    database.run(&format!("GRANT monsys_app TO {login}"));
    assert!(run(&["org", "add", "acme"], None).status.success());
    assert!(run(&["check"], None).status.success());
}

#[test]
fn a_hub_opens_as_many_connections_as_it_may_and_no_more() {
    let Some(data) = DataDir::on_postgres() else {
        return;
    };
    data.add_org("acme");
    let agents: Vec<_> = (0..8)
        .map(|n| data.enrol("acme", &format!("agent-{n}")))
        .collect();
    let settings = [("MONSYS_PG_CONNECTIONS", "2"), ("MONSYS_ADDRESS_RATE", "0")];
    let hub = Hub::start_with(&data, &settings);
    std::thread::scope(|scope| {
        for agent in &agents {
            let hub = &hub;
            scope.spawn(move || (1..=20).for_each(|seq| deliver(hub, agent, seq)));
        }
    });
    let open = "SELECT count(*) FROM pg_stat_activity \
                WHERE application_name = 'monsys-hub' AND datname = current_database()";
    assert_eq!(data.database().unwrap().number(open), 2);
    let refused = data.run(&["run", "--addr", "127.0.0.1:0", "--pg-connections", "0"]);
    assert_eq!(refused.status.code(), Some(2));
}

/// As in a container that runs as a user without a home.
#[test]
fn a_hub_on_postgres_needs_no_directory() {
    let Some(data) = DataDir::on_postgres() else {
        return;
    };
    let run = |arguments: &[&str], url: Option<String>| {
        let mut program = program();
        for home in ["HOME", "XDG_STATE_HOME"] {
            program.env_remove(home);
        }
        program.envs(url.map(|url| ("DATABASE_URL", url)));
        program.args(arguments).output().unwrap()
    };
    let url = data.database().unwrap().url();
    let enrol = ["agent", "enrol", "--org", "acme", "--name", "web-1"];
    for arguments in [
        &["org", "add", "acme"] as &[&str],
        &enrol,
        &["integrity", "run"],
        &["check"],
    ] {
        let output = run(arguments, Some(url.clone()));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
    let without = run(&["check"], None);
    assert_eq!(without.status.code(), Some(78));
    let said = String::from_utf8_lossy(&without.stderr).into_owned();
    assert!(said.contains("--data"), "{said}");
}

/// Sends a payload again until the hub takes it, as agents do.
fn deliver(hub: &Hub, agent: &TestAgent, seq: i64) {
    let body = agent.metrics((1, seq), 4.2);
    let answer = poll("the hub takes a payload", PATIENCE, || {
        let answer = agent.send(hub, body.as_bytes());
        (answer.status != 503).then_some(answer)
    });
    assert!([200, 202].contains(&answer.status), "{answer:?}");
    let _: Answer = answer;
}
