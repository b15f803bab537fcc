//! PostgreSQL's own tools are the backup of a hub there: what they copy is a working hub, in another
//! database of the same server and on another server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::io::Write;
use std::path::Path;
use std::process::Command;

use support::postgres::{Cluster, Database, Durability};
use support::refusal::assert_refusal;
use support::{DataDir, Hub, TestAgent};

#[test]
fn a_dump_of_a_working_hub_is_restored_to_a_working_hub() {
    let Some(served) = Served::start() else {
        return;
    };
    let dump = served.dump("postgres", &[]);
    let same_server = DataDir::on_postgres().unwrap();
    restore(same_server.database().unwrap(), &dump);
    served.goes_on_in(&same_server);
}

/// The owner is under the policies as well, and those let it read everything.
#[test]
fn the_owner_dumps_everything_without_a_right_to_bypass_the_fence() {
    let Some(served) = Served::start() else {
        return;
    };
    let login = format!("dumper_{}", std::process::id());
    let database = served.data.database().unwrap();
    database.run(&format!("CREATE ROLE {login} LOGIN IN ROLE monsys_owner"));
    let as_owner = ["--enable-row-security", "--role=monsys_owner"];
    let dump = served.dump(&login, &as_owner);
    database.run(&format!("DROP ROLE {login}"));
    let elsewhere = DataDir::on_postgres().unwrap();
    restore(elsewhere.database().unwrap(), &dump);
    served.goes_on_in(&elsewhere);
}

#[test]
fn a_dump_is_restored_on_another_server_behind_its_roles() {
    let Some(served) = Served::start() else {
        return;
    };
    let Some(cluster) = Cluster::start(Durability::Careless) else {
        return;
    };
    let dump = served.dump("postgres", &[]);
    let elsewhere = DataDir::of(cluster.database());
    let target = elsewhere.database().unwrap();
    let mut roles = served.tool("pg_dumpall", "postgres");
    let roles = roles.args(["--roles-only", "--no-role-passwords"]).output();
    let roles = roles.unwrap();
    assert!(roles.status.success(), "{roles:?}");
    // The superuser is on both; the script says so and goes on.
    let script = served.data.path().join("roles.sql");
    std::fs::write(&script, &roles.stdout).unwrap();
    let mut psql = target.tool("psql", "postgres").unwrap();
    ran(psql
        .args(["-X", "-q", "-d", target.name(), "-f"])
        .arg(&script));
    restore(target, &dump);
    served.goes_on_in(&elsewhere);
}

#[test]
fn backup_and_restore_name_the_tools_of_postgres() {
    let Some(data) = DataDir::on_postgres() else {
        return;
    };
    data.add_org("acme");
    let file = data.path().join("copy");
    for command in ["backup", "restore"] {
        let refused = data.run(&[command, file.to_str().unwrap()]);
        assert_eq!(refused.status.code(), Some(78));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("pg_dump and pg_restore"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(!said.contains("postgres://"), "{said}");
    }
    assert!(!file.exists());
}

/// A hub that has served, and goes on serving.
struct Served {
    data: DataDir,
    agent: TestAgent,
    hub: Hub,
}

impl Served {
    /// `None`, and a loud line, without PostgreSQL or its tools.
    fn start() -> Option<Self> {
        let data = DataDir::on_postgres()?;
        let tools = ["pg_dump", "pg_restore", "pg_dumpall"];
        let database = data.database().unwrap();
        if !tools
            .iter()
            .all(|name| database.tool(name, "postgres").is_some())
        {
            let text = "!! no pg_dump found: the tests of dumps pass without having run";
            let _ = writeln!(std::io::stderr(), "{text}");
            return None;
        }
        data.add_org("rival");
        data.add_org("acme");
        let agent = data.enrol("acme", "web-1");
        let hub = Hub::start(&data);
        for seq in 1..=20 {
            agent.report(&hub, (1, seq), 4.2, "0.1.0");
        }
        let unsigned = agent.send_with(&hub, agent.metrics((1, 30), 4.2).as_bytes(), None);
        assert_refusal(&unsigned, 403, "unsigned_payload");
        data.cycle();
        Some(Self { data, agent, hub })
    }

    fn tool(&self, name: &str, role: &str) -> Command {
        self.data.database().unwrap().tool(name, role).unwrap()
    }

    fn dump(&self, role: &str, arguments: &[&str]) -> std::path::PathBuf {
        let file = self.data.path().join("dump");
        let mut tool = self.tool("pg_dump", role);
        let database = self.data.database().unwrap();
        tool.args(["--format=custom", "-d", database.name(), "-f"]);
        ran(tool.arg(&file).args(arguments));
        file
    }

    /// The copy holds the same rows, fenced, and a hub on it takes up where this one was.
    fn goes_on_in(&self, copy: &DataDir) {
        let exported = [&self.data, copy].map(|data| {
            let file = data.path().join("all.jsonl");
            data.json(&["export", file.to_str().unwrap()]);
            let text = std::fs::read_to_string(&file).unwrap();
            std::fs::remove_file(&file).unwrap();
            text
        });
        assert!(exported[0].contains("\"table\": \"integrity_anomalies\""));
        assert_eq!(exported[0], exported[1]);
        let mut hub = Hub::start(copy);
        self.agent.report(&hub, (1, 21), 4.2, "0.1.0");
        let seen = self.agent.metrics((1, 20), 9.9);
        assert_refusal(&self.agent.send(&hub, seen.as_bytes()), 409, "replay");
        assert_eq!(copy.cycle()["failed_agents"], 0);
        let other = "SET ROLE monsys_app; SELECT count(*) FROM metrics";
        assert_eq!(copy.database().unwrap().run(other), ["0"], "fenced");
        hub.assert_alive();
        self.agent.report(&self.hub, (1, 21), 4.2, "0.1.0");
    }
}

fn restore(target: &Database, dump: &Path) {
    let mut tool = target.tool("pg_restore", "postgres").unwrap();
    ran(tool
        .args(["--exit-on-error", "-d", target.name()])
        .arg(dump));
}

fn ran(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
}
