//! The integrity worker from outside: its lease, its isolation, what it says of itself, and how
//! people ask it for a cycle.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::process::Output;
use std::sync::Barrier;

use monsys_core::position::PositionSet;
use monsys_core::time::Span;
use serde_json::{Value, json};

use support::person::Person;
use support::store::{anomalies_of, change, commits, number, rows};
use support::{Answer, DataDir, Hub, PATIENCE, TestAgent, now, poll};

/// What exit code 69 of contract §1 means here: not every agent was judged.
const INCONCLUSIVE: i32 = 69;
const FORM: &str = "application/x-www-form-urlencoded";

/// An organisation with agents that went back to an older version; none was judged yet.
fn fallen_back(names: &[&str]) -> (DataDir, Hub, Vec<TestAgent>) {
    let data = DataDir::new();
    data.add_org("acme");
    let mut agents: Vec<_> = names.iter().map(|name| data.enrol("acme", name)).collect();
    agents.sort_by_key(|agent| agent.id);
    let hub = Hub::start(&data);
    for agent in &agents {
        agent.report(&hub, (1, 1), 1.0, "0.2.0");
        agent.report(&hub, (1, 2), 2.0, "0.1.9");
    }
    (data, hub, agents)
}

fn n_downgrades(data: &DataDir, agent: &TestAgent) -> usize {
    anomalies_of(data, agent, "version_downgrade").len()
}

/// Runs a cycle that must not end well, and reads what it printed.
fn incomplete_cycle(data: &DataDir) -> Value {
    let output = data.run(&["integrity", "run", "--json"]);
    assert_eq!(output.status.code(), Some(INCONCLUSIVE), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What the hub found about itself.
#[derive(Debug, PartialEq, Eq)]
struct Stall {
    org: String,
    summary: String,
    evidence: Value,
    occurrences: i64,
    resolution: Option<String>,
}

fn stalls(data: &DataDir) -> Vec<Stall> {
    let sql = "SELECT t.name, i.summary, i.evidence, i.occurrences, i.resolution, i.severity \
               FROM integrity_anomalies i JOIN tenants t ON t.id = i.tenant_id \
               WHERE i.kind = 'detector_stalled' AND i.agent_id = i.tenant_id \
               ORDER BY i.detected_at, t.name";
    rows(data, sql, [], |row| {
        assert_eq!(row.get::<_, String>(5)?, "medium");
        let evidence: String = row.get(2)?;
        Ok(Stall {
            org: row.get(0)?,
            summary: row.get(1)?,
            evidence: serde_json::from_str(&evidence).unwrap(),
            occurrences: row.get(3)?,
            resolution: row.get(4)?,
        })
    })
}

/// Makes the last cycle one that ran so long ago, as if the hub had slept since.
fn sleep_through(data: &DataDir, span: Span) {
    let at = now().saturating_sub(span).to_rfc3339();
    let cycles = format!("UPDATE integrity_cycles SET at = '{at}'");
    change(
        data,
        &format!("{cycles}; UPDATE meta SET value = '{at}' WHERE name = 'previous_cycle'"),
    );
}

const fn hours(n: i64) -> Span {
    Span::from_secs(n * 3_600)
}

fn blob(data: &DataDir, bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match data.database() {
        Some(_) => format!("'\\x{hex}'"),
        None => format!("x'{hex}'"),
    }
}

/// Adds agents of which nothing ever came.
fn add_silent_agents(data: &DataDir, n: u32) {
    let tenant = rows(data, "SELECT id FROM tenants", [], |row| {
        row.get::<_, String>(0)
    });
    let (tenant, at) = (&tenant[0], now().to_rfc3339());
    let positions = blob(data, &PositionSet::new().to_bytes());
    let row = |i: u32| {
        let token = blob(data, &[&[9; 28][..], &i.to_be_bytes()].concat());
        let id = format!("{i:08x}-0000-4000-8000-000000000000");
        format!("('{id}', '{tenant}', 'silent-{i}', {token}, '{at}', '{at}', {positions})")
    };
    let all: Vec<_> = (0..n).map(row).collect();
    let columns = "id, tenant_id, name, token_digest, pin_until, enrolled_at, positions";
    // A command line holds so many.
    for some in all.chunks(400) {
        let rows = some.join(", ");
        change(
            data,
            &format!("INSERT INTO agents ({columns}) VALUES {rows}"),
        );
    }
}

#[test]
fn a_cycle_of_many_pages_writes_as_often_as_one_of_one_page() {
    let data = DataDir::new();
    data.add_org("acme");
    // A hub that is there keeps the count of its file.
    let _hub = Hub::start(&data);
    let writes = |n_agents: u64| {
        let before = commits(&data);
        let report = data.cycle();
        assert_eq!(report["evaluated"], n_agents, "{report}");
        assert_eq!(report["transitions"], 0);
        commits(&data) - before
    };
    commits(&data);
    let of_no_page = writes(0);
    add_silent_agents(&data, 1_501);
    let of_four_pages = writes(1_501);
    println!("{of_no_page} writes without an agent, {of_four_pages} with four pages of them");
    assert_eq!(of_four_pages, of_no_page);
    assert!(of_no_page > 0, "the lease and the record are written");
}

#[test]
fn an_agent_whose_facts_cannot_be_read_hides_nobody() {
    let (data, _hub, agents) = fallen_back(&["a", "b", "c", "d", "e"]);
    let bad = &agents[2];
    let garbage = data.database().map_or("nonsense", |_| "infinity");
    // In its own row and in those of its metrics.
    let spoil = |at: &str| {
        let id = bad.id;
        let own = format!("UPDATE agents SET last_verified_at = '{at}' WHERE id = '{id}'");
        let metrics = format!("UPDATE metrics SET captured_at = '{at}' WHERE agent_id = '{id}'");
        change(&data, &format!("{own}; {metrics}"));
    };
    spoil(garbage);
    let report = incomplete_cycle(&data);
    assert_eq!(
        (&report["evaluated"], &report["failed_agents"]),
        (&json!(4), &json!(1)),
        "{report}"
    );
    assert_eq!(report["failed_pages"], 0);
    let fault = &report["faults"][0];
    assert_eq!(fault["agent_id"], bad.id.to_string());
    assert_eq!(fault["kind"], Value::Null);
    assert!(
        fault["message"]
            .as_str()
            .unwrap()
            .starts_with("facts not read: "),
        "{fault}"
    );
    for agent in &agents {
        let expected = usize::from(agent.id != bad.id);
        assert_eq!(n_downgrades(&data, agent), expected, "{}", agent.name);
    }
    let [stall] = <[Stall; 1]>::try_from(stalls(&data)).unwrap();
    assert_eq!(
        (stall.summary.as_str(), &stall.evidence["reason"]),
        (
            "hub judged only a part: 1 agent failed",
            &json!("incomplete_cycle")
        )
    );
    incomplete_cycle(&data);
    assert_eq!(
        stalls(&data)[0].occurrences,
        2,
        "it stays while it is so, and is counted"
    );
    spoil(&now().to_rfc3339());
    let report = data.cycle();
    assert_eq!(
        (&report["evaluated"], &report["resolved"]),
        (&json!(5), &json!(1))
    );
    assert_eq!(n_downgrades(&data, bad), 1);
    assert_eq!(stalls(&data)[0].resolution.as_deref(), Some("auto"));
}

/// What a damaged block of the disk does, which nobody can order: reading the metrics of one agent
/// ends with an internal error, which is told as if the database were away.
#[test]
fn an_agent_whose_rows_are_damaged_on_the_disk_hides_nobody() {
    let Some(data) = DataDir::on_postgres() else {
        return;
    };
    data.add_org("acme");
    let hub = Hub::start(&data);
    add_silent_agents(&data, 600);
    let agents: Vec<_> = ["a", "b", "c"].map(|name| data.enrol("acme", name)).into();
    for agent in &agents {
        agent.report(&hub, (1, 1), 1.0, "0.2.0");
        agent.report(&hub, (1, 2), 2.0, "0.1.9");
    }
    let bad = &agents[1];
    change(
        &data,
        &format!(
            "CREATE FUNCTION damaged(agent uuid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN \
             IF agent = '{}' THEN RAISE EXCEPTION 'invalid page' USING ERRCODE = 'XX001'; END IF; \
             RETURN true; END $$; \
             CREATE POLICY damaged ON metrics AS RESTRICTIVE FOR SELECT USING (damaged(agent_id))",
            bad.id
        ),
    );
    let report = incomplete_cycle(&data);
    assert_eq!(
        (&report["evaluated"], &report["failed_agents"]),
        (&json!(602), &json!(1)),
        "{report}"
    );
    assert_eq!(report["failed_pages"], 0);
    assert_eq!(report["faults"][0]["agent_id"], bad.id.to_string());
    for agent in &agents {
        let expected = usize::from(agent.id != bad.id);
        assert_eq!(n_downgrades(&data, agent), expected, "{}", agent.name);
    }
}

#[test]
fn a_verdict_that_the_database_refuses_takes_no_other_with_it() {
    let (data, _hub, agents) = fallen_back(&["a", "b", "c", "d"]);
    let bad = &agents[1];
    let refuse = if data.database().is_some() {
        format!(
            "ALTER TABLE integrity_anomalies ADD CONSTRAINT poison CHECK (agent_id <> '{}')",
            bad.id
        )
    } else {
        format!(
            "CREATE TRIGGER poison BEFORE INSERT ON integrity_anomalies \
             WHEN NEW.agent_id = '{}' BEGIN SELECT RAISE(ABORT, 'poison'); END",
            bad.id
        )
    };
    change(&data, &refuse);
    let report = incomplete_cycle(&data);
    assert_eq!(
        (&report["evaluated"], &report["failed_agents"]),
        (&json!(4), &json!(1)),
        "{report}"
    );
    let fault = &report["faults"][0];
    assert_eq!(
        (&fault["agent_id"], &fault["kind"]),
        (&json!(bad.id.to_string()), &json!("version_downgrade"))
    );
    for agent in &agents {
        let expected = usize::from(agent.id != bad.id);
        assert_eq!(n_downgrades(&data, agent), expected, "{}", agent.name);
    }
}

#[test]
fn a_hub_that_slept_three_hours_says_so_once_and_the_next_cycle_resolves_it() {
    let data = DataDir::new();
    data.add_org("acme");
    data.cycle();
    assert_eq!(stalls(&data), [], "the first start is not stalled");
    sleep_through(&data, hours(3));
    let previous = now().saturating_sub(hours(3));
    // Its own clock tells the hub that a cycle is due; nobody asks for one.
    let hub = Hub::start(&data);
    let stall = poll("a stall", PATIENCE, || stalls(&data).into_iter().next());
    assert_eq!(
        stall.summary,
        "hub missed 17 integrity cycles: no agent was judged for 180 min"
    );
    assert_eq!(
        (
            &stall.evidence["missed_cycles"],
            &stall.evidence["interval_s"]
        ),
        (&json!(17), &json!(600))
    );
    let told = stall.evidence["previous_cycle"].as_str().unwrap();
    let told = monsys_core::time::Timestamp::parse_rfc3339(told).unwrap();
    assert!(previous.since(told).abs() < Span::from_secs(60), "{told:?}");
    let admin = Person::added(&data, &hub, "acme", "admin");
    let summary = admin.get(&hub, "/api/v1/integrity/summary").json();
    assert_eq!(
        summary["further"],
        json!({"detector_stalled": {"open": 1, "worst": "medium"}})
    );
    let listed = admin.get(&hub, "/api/v1/integrity/anomalies?kind=detector_stalled");
    let listed = listed.json();
    assert_eq!(listed["items"][0]["summary"], stall.summary.as_str());
    let page = admin.get(&hub, "/integrity");
    assert!(page.body.contains(&stall.summary), "{}", page.body);
    let of_hub = listed["items"][0]["agent_id"].as_str().unwrap();
    let followed = admin.get(&hub, &format!("/agents/{of_hub}"));
    let to_listing = followed.header("location").unwrap();
    let listing = admin.get(&hub, to_listing);
    assert!(listing.body.contains(&stall.summary), "{to_listing}");
    let of_hub = format!("/api/v1/signals?key=integrity.detector_stalled&subject_id={of_hub}");
    let signals = admin.get(&hub, &of_hub).json();
    assert_eq!(signals["items"][0]["severity"], "medium", "{signals}");
    await_end(&hub, &admin);
    data.cycle();
    let [resolved] = <[Stall; 1]>::try_from(stalls(&data)).unwrap();
    assert_eq!(
        (resolved.occurrences, resolved.resolution.as_deref()),
        (1, Some("auto"))
    );
    assert_eq!(data.json(&["verify"])["ok"], true, "it is in the ledger");
}

#[test]
fn a_day_down_is_one_finding_for_each_organisation_that_was_there() {
    let data = DataDir::new();
    data.add_org("acme");
    data.cycle();
    sleep_through(&data, hours(24));
    data.add_org("new");
    let report = data.cycle();
    assert_eq!(report["missed"], 143, "{report}");
    let [stall] = <[Stall; 1]>::try_from(stalls(&data)).unwrap();
    assert_eq!(
        (stall.org.as_str(), stall.summary.as_str()),
        (
            "acme",
            "hub missed 143 integrity cycles: no agent was judged for 1440 min"
        )
    );
    let sql = "SELECT n_missed FROM integrity_cycles WHERE n_missed > 0";
    let missed = rows(&data, sql, [], |row| row.get::<_, i64>(0));
    assert_eq!(missed, [143], "an organisation that was new missed nothing");
}

#[test]
fn the_report_has_every_member_that_help_names() {
    let (data, _hub, agents) = fallen_back(&["a"]);
    let report = data.cycle();
    let shown = data.run(&["integrity", "run", "--help"]);
    let help = String::from_utf8(shown.stdout).unwrap();
    let members = report.as_object().unwrap();
    assert_eq!(members.len(), 11, "{report}");
    for name in members.keys() {
        assert!(help.contains(&format!("`{name}`")), "{name}: {help}");
    }
    assert_eq!(
        (
            &report["evaluated"],
            &report["opened"],
            &report["lost_lease"],
            &report["faults"]
        ),
        (
            &json!(agents.len()),
            &json!(1),
            &json!(false),
            &json!(Vec::<Value>::new())
        )
    );
    let at = report["at"].as_str().unwrap();
    let sql = "SELECT count(*) FROM integrity_cycles WHERE at = ?1";
    assert_eq!(number(&data, sql, [at]), 1, "{at}");
}

fn hold_lease_elsewhere(data: &DataDir) {
    let until = now().saturating_add(Span::from_secs(200)).to_rfc3339();
    let holder = blob(data, &[7; 16]);
    change(
        data,
        &format!(
            "INSERT INTO leases (name, holder, expires_at) VALUES ('cycle', {holder}, '{until}')"
        ),
    );
}

fn refused(output: &Output) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    output.status.code() == Some(INCONCLUSIVE)
        && output.stdout.is_empty()
        && said.contains("another hub is running a cycle at this moment")
}

#[test]
fn while_another_hub_has_the_lease_no_cycle_runs_here() {
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    let admin = Person::added(&data, &hub, "acme", "admin");
    hold_lease_elsewhere(&data);
    assert!(refused(&data.run(&["integrity", "run", "--json"])));
    assert_eq!(press(&hub, &admin).word(), "elsewhere");
    assert_eq!(n_cycles(&data), 0);
}

#[test]
fn cycles_begun_at_once_follow_each_other_or_are_refused() {
    let data = DataDir::new();
    data.add_org("acme");
    let barrier = Barrier::new(6);
    let outputs = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    data.run(&["integrity", "run", "--json"])
                })
            })
            .collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap());
        ended.collect::<Vec<_>>()
    });
    let n_ran = outputs.iter().filter(|o| o.status.success()).count();
    let n_refused = outputs.iter().filter(|o| refused(o)).count();
    println!("{n_ran} ran, {n_refused} were refused");
    assert!(n_ran > 0);
    assert_eq!(n_ran + n_refused, 6, "{outputs:?}");
    assert_eq!(n_cycles(&data), i64::try_from(n_ran).unwrap());
}

fn n_cycles(data: &DataDir) -> i64 {
    number(data, "SELECT count(*) FROM integrity_cycles", [])
}

/// What came of pressing the button.
#[derive(Debug)]
struct Pressed(Answer);

impl Pressed {
    fn word(&self) -> &str {
        assert_eq!(self.0.status, 303, "{self:?}");
        let back = self.0.header("location").unwrap();
        back.strip_prefix("/integrity?run=").unwrap()
    }
}

fn csrf_of(hub: &Hub, who: &Person) -> String {
    let page = who.get(hub, "/integrity").body;
    let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

fn press(hub: &Hub, who: &Person) -> Pressed {
    let form = format!("csrf={}", csrf_of(hub, who));
    Pressed(who.post_form(hub, "/integrity/run", &form))
}

/// Waits until the hub runs no cycle.
fn await_end(hub: &Hub, who: &Person) {
    poll("the end of the cycle", PATIENCE, || {
        let summary = who.get(hub, "/api/v1/integrity/summary").json();
        summary["running_cycle"].is_null().then_some(())
    });
}

#[test]
fn an_administrator_runs_a_cycle_from_the_page() {
    let (data, hub, agents) = fallen_back(&["a"]);
    let admin = Person::added(&data, &hub, "acme", "admin");
    let pressed = press(&hub, &admin);
    assert_eq!(pressed.word(), "started");
    poll("the finding", PATIENCE, || {
        (n_downgrades(&data, &agents[0]) == 1).then_some(())
    });
    await_end(&hub, &admin);
    assert_eq!(n_cycles(&data), 1);
    assert_eq!(
        press(&hub, &admin).word(),
        "too-soon",
        "nobody keeps the store busy by pressing"
    );
    assert_eq!(admin.get(&hub, "/integrity?run=started").status, 200);
}

#[test]
fn a_bad_row_hides_nobody_from_a_hub_that_has_windows_in_memory_either() {
    let (data, hub, agents) = fallen_back(&["a", "b", "c"]);
    let (bad, garbage) = (
        &agents[1],
        data.database().map_or("nonsense", |_| "infinity"),
    );
    let id = bad.id;
    change(
        &data,
        &format!("UPDATE agents SET last_verified_at = '{garbage}' WHERE id = '{id}'"),
    );
    let admin = Person::added(&data, &hub, "acme", "admin");
    assert_eq!(press(&hub, &admin).word(), "started");
    poll("the end", PATIENCE, || (n_cycles(&data) == 1).then_some(()));
    for agent in &agents {
        let expected = usize::from(agent.id != bad.id);
        assert_eq!(n_downgrades(&data, agent), expected, "{}", agent.name);
    }
    assert_eq!(stalls(&data)[0].evidence["failed_agents"], 1);
    let page = admin.get(&hub, "/integrity").body;
    assert!(page.contains(&id.to_string()), "the page names it: {page}");
}

#[test]
fn nobody_else_runs_a_cycle() {
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    let admin = Person::added(&data, &hub, "acme", "admin");
    let reader = Person::added(&data, &hub, "acme", "read_only");
    assert_eq!(press(&hub, &reader).0.status, 403);
    let anonymous = Person::anonymous().post_form(&hub, "/integrity/run", "csrf=x");
    assert_eq!(
        (anonymous.status, anonymous.header("location")),
        (303, Some("/login"))
    );
    for form in ["", "csrf=", "csrf=guess"] {
        let answer = admin.post_form(&hub, "/integrity/run", form);
        assert_eq!(answer.status, 403, "{form}");
    }
    let form = format!("csrf={}", csrf_of(&hub, &admin));
    let foreign = [("content-type", FORM), ("sec-fetch-site", "cross-site")];
    let answer = admin.post(&hub, "/integrity/run", &form, &foreign);
    assert_eq!(answer.status, 403);
    assert_eq!(admin.get(&hub, "/integrity/run").status, 405);
    assert_eq!(n_cycles(&data), 0);
}

#[test]
fn pressed_by_many_at_once_one_cycle_runs() {
    let data = DataDir::new();
    data.add_org("acme");
    let hub = Hub::start(&data);
    let admin = Person::added(&data, &hub, "acme", "admin");
    let form = format!("csrf={}", csrf_of(&hub, &admin));
    let barrier = Barrier::new(8);
    let words = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let answer = admin.post_form(&hub, "/integrity/run", &form);
                    Pressed(answer).word().to_owned()
                })
            })
            .collect();
        let words = threads.into_iter().map(|thread| thread.join().unwrap());
        words.collect::<Vec<_>>()
    });
    println!("{words:?}");
    let n_of = |word: &str| words.iter().filter(|w| *w == word).count();
    assert_eq!(n_of("started"), 1, "{words:?}");
    assert_eq!(n_of("running") + n_of("too-soon"), 7, "{words:?}");
    poll("the end", PATIENCE, || (n_cycles(&data) == 1).then_some(()));
}

#[test]
fn two_hubs_pressed_at_once_run_one_cycle_at_a_time() {
    let data = DataDir::new();
    data.add_org("acme");
    add_silent_agents(&data, 800);
    let hubs = [Hub::start(&data), Hub::start(&data)];
    let admin = Person::added(&data, &hubs[0], "acme", "admin");
    let form = format!("csrf={}", csrf_of(&hubs[0], &admin));
    let barrier = Barrier::new(2);
    let words = std::thread::scope(|scope| {
        let threads = hubs.each_ref().map(|hub| {
            scope.spawn(|| {
                barrier.wait();
                let answer = admin.post_form(hub, "/integrity/run", &form);
                Pressed(answer).word().to_owned()
            })
        });
        threads.map(|thread| thread.join().unwrap())
    });
    println!("{words:?}");
    let n_started = words.iter().filter(|word| *word == "started").count();
    let n_elsewhere = words.iter().filter(|word| *word == "elsewhere").count();
    assert!(n_started > 0 && n_started + n_elsewhere == 2, "{words:?}");
    poll("the end", PATIENCE, || {
        (n_cycles(&data) == i64::try_from(n_started).unwrap()).then_some(())
    });
}
