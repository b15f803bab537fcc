//! `monsys-hub worker`: cycles without serving, beside hubs, one of them at a time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its assumption does"
)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use support::store::{number, open_writable};
use support::{DataDir, Hub, PATIENCE, poll};

struct Worker(Child);

impl Worker {
    fn start(data: &DataDir) -> Self {
        let mut program = data.program();
        program.args(["worker", "--data"]).arg(data.path());
        let mut child = program
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut said).unwrap();
        assert!(
            said.starts_with("monsys-hub 0.1.0 · worker · store "),
            "{said}"
        );
        Self(child)
    }

    fn stop(mut self) {
        let id = self.0.id().to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status();
        assert!(told.unwrap().success());
        let ended = poll("the worker ends", PATIENCE, || self.0.try_wait().unwrap());
        assert!(ended.success());
    }

    /// Whether it holds a listening socket of TCP.
    fn listens(&self) -> bool {
        let id = self.0.id();
        let links = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap();
        let held: Vec<_> = links
            .filter_map(|link| std::fs::read_link(link.ok()?.path()).ok())
            .filter_map(|to| to.to_str()?.strip_prefix("socket:[").map(str::to_owned))
            .collect();
        let listening = ["tcp", "tcp6"].map(|table| {
            std::fs::read_to_string(format!("/proc/{id}/net/{table}")).unwrap_or_default()
        });
        // State 0A is LISTEN; the tenth column is the inode (proc_net_tcp of the kernel).
        let mut rows = listening.iter().flat_map(|table| table.lines());
        rows.any(|row| {
            let cells: Vec<_> = row.split_whitespace().collect();
            let inode = cells.get(9).map(|inode| format!("{inode}]"));
            cells.get(3) == Some(&"0A") && inode.is_some_and(|inode| held.contains(&inode))
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn cycles(data: &DataDir) -> i64 {
    number(data, "SELECT count(*) FROM integrity_cycles", [])
}

/// Makes the last cycle long ago, so that the next is due.
fn long_ago(data: &DataDir) {
    let sql = "INSERT INTO meta (name, value) VALUES ('previous_cycle', '2026-01-01T00:00:00Z') \
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    match data.database() {
        Some(database) => drop(database.run(sql)),
        None => drop(open_writable(data).execute(sql, []).unwrap()),
    }
}

#[test]
fn a19_a_worker_runs_the_cycle_that_is_due_and_does_not_serve() {
    let data = DataDir::new();
    data.add_org("acme");
    data.enrol("acme", "alpha");
    long_ago(&data);
    assert_eq!(cycles(&data), 0);
    let worker = Worker::start(&data);
    poll("a cycle", PATIENCE, || (cycles(&data) == 1).then_some(()));
    assert!(!worker.listens());
    worker.stop();
    assert_eq!(cycles(&data), 1);
}

#[test]
fn a19_of_workers_and_a_hub_on_one_store_one_runs_the_cycle() {
    let data = DataDir::new();
    data.add_org("acme");
    data.enrol("acme", "alpha");
    let hub = Hub::start(&data);
    let idle = Worker::start(&data);
    long_ago(&data);
    let workers = [
        Worker::start(&data),
        Worker::start(&data),
        Worker::start(&data),
    ];
    poll("a cycle", PATIENCE, || (cycles(&data) >= 1).then_some(()));
    workers.into_iter().for_each(Worker::stop);
    idle.stop();
    assert_eq!(cycles(&data), 1);
    assert_eq!(support::raw::get(hub.addr, "/readyz").status, 200);
}

#[test]
fn a19_a_worker_makes_no_store() {
    let data = DataDir::new();
    let output = data.run(&["worker"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("no store"), "{said}");
    assert!(!data.store_file().exists());
}
