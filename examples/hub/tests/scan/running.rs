//! The scanner of a running hub, and the command over many endpoints.

use std::time::{Duration, Instant};

use crate::authority::{Authority, DAY};
use crate::look::{Bench, config_file};
use crate::obstacles::huge;
use crate::server::Server;
use crate::support::hub::program;
use crate::support::person::Person;
use crate::support::{Hub, PATIENCE, poll};

const NAME: &str = "shop.example";
const SIGTERM: u32 = 15;

/// A section for these endpoints of this machine.
fn watching(bench: &Bench, targets: &[(&str, &Server)]) -> String {
    let mut text = format!(
        "[scan]\ninterval = \"1h\"\ntimeout = \"3s\"\nallow_private = true\nca_file = {:?}\n",
        bench.ca_file()
    );
    for (org, server) in targets {
        let port = server.addr.port();
        text.push_str(&format!(
            "[[scan.certs]]\norg = \"{org}\"\nhost = \"127.0.0.1\"\nport = {port}\n\
             name = \"{NAME}\"\n"
        ));
    }
    config_file(bench.data.path(), &text)
}

fn start(bench: &Bench, file: &str) -> Hub {
    let settings = [
        ("MONSYS_CONFIG", file),
        ("MONSYS_ADDRESS_RATE", "0"),
        ("MONSYS_ORG_RATE", "0"),
    ];
    Hub::start_with(&bench.data, &settings)
}

fn when_scanned(hub: &Hub) {
    poll("a scan", PATIENCE, || {
        hub.log()
            .contains("certificate scan finished")
            .then_some(())
    });
}

#[test]
fn a_running_hub_shows_what_it_found_to_its_organisation() {
    let bench = Bench::new();
    bench.data.add_org("rival");
    let good = Server::tls(&bench.root.certify(&[NAME], 90 * DAY));
    let expired = Server::tls(&Authority::root("Other").certify(&[NAME], -DAY));
    let silent = Server::saying(b"");
    let targets = [("acme", &good), ("acme", &expired), ("rival", &silent)];
    let mut hub = start(&bench, &watching(&bench, &targets));
    let reader = Person::added(&bench.data, &hub, "acme", "read_only");
    let rival = Person::added(&bench.data, &hub, "rival", "read_only");
    when_scanned(&hub);
    let path = "/api/v1/signals?source=cert_scan";
    let rows = |person: &Person, more: &str| {
        let answer = person.get(&hub, &format!("{path}{more}"));
        assert_eq!(answer.status, 200);
        answer.json()["items"].as_array().unwrap().clone()
    };
    assert_eq!(rows(&reader, "").len(), 6);
    let ended = rows(&reader, "&key=cert.expiry_days&limit=2");
    let ended: Vec<_> = ended
        .iter()
        .filter(|row| row["severity"] == "critical")
        .collect();
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0]["subject_id"], format!("{}/{NAME}", expired.addr));
    assert_eq!(ended[0]["subject_type"], "endpoint");
    assert_eq!(ended[0]["ttl_seconds"], 3 * 3_600, "three intervals");
    let theirs = rows(&rival, "");
    assert_eq!(theirs.len(), 1, "only their own");
    assert_eq!(theirs[0]["value"]["reason"], "timed_out");
    hub.assert_alive();
}

#[test]
fn an_endpoint_is_looked_at_once_in_an_interval_by_whichever_hub() {
    let bench = Bench::new();
    let server = Server::tls(&bench.root.certify(&[NAME], 90 * DAY));
    let file = watching(&bench, &[("acme", &server)]);
    let hub = start(&bench, &file);
    when_scanned(&hub);
    assert_eq!(server.n_connections(), 1);
    // A second one beside it, and the first one again after its end.
    let beside = start(&bench, &file);
    when_scanned(&beside);
    hub.kill();
    let again = start(&bench, &file);
    when_scanned(&again);
    assert_eq!(server.n_connections(), 1);
    for hub in [&beside, &again] {
        let log = hub.log();
        let mut lines = log.lines().filter(|line| line.contains("\"looked\":0"));
        assert!(lines.any(|line| line.contains("\"fresh\":1")), "{log}");
    }
    // By hand it is looked at again.
    let looked = bench.scan(&["--config", &file]);
    assert_eq!(looked.status.code(), Some(0));
    assert_eq!(server.n_connections(), 2);
}

#[test]
fn hostile_endpoints_leave_no_memory_no_sockets_and_no_threads_behind() {
    let bench = Bench::new();
    let identity = huge(&bench);
    let kinds = [
        Server::tls_of(&identity, &[&rustls::version::TLS12]),
        Server::tls(&identity),
        Server::saying(b""),
        Server::repeating(b"\x16\x03\x03\x40\x00\x02\x00\x40\x00"),
    ];
    let mut text = String::from("[scan]\nallow_private = true\ntimeout = \"1s\"\n");
    for n in 0..96 {
        let server = &kinds[n % kinds.len()];
        text.push_str(&format!(
            "[[scan.certs]]\norg = \"acme\"\nhost = \"localhost\"\nport = {}\nname = \"n{n}.example\"\n",
            server.addr.port()
        ));
    }
    let file = config_file(bench.data.path(), &text);
    // Both hubs have written and listened; one of them has looked at nothing.
    let still = Hub::start(&bench.data);
    let started = Instant::now();
    let mut hub = start(&bench, &file);
    when_scanned(&hub);
    // 24 silent ones, 16 at a time, one second each; the others need no time.
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "{:?}",
        started.elapsed()
    );
    assert!(hub.log().contains("\"looked\":96,"), "{}", hub.log());
    assert!(hub.log().contains("\"unseen\":96}"), "{}", hub.log());
    let peak = |hub: &Hub| status(hub, "VmHWM:").parse::<u64>().unwrap();
    let grown = peak(&hub).saturating_sub(peak(&still));
    assert!(
        grown < 16_384,
        "{grown} KiB more than a hub that looks at nothing"
    );
    poll(
        "connections are closed and look-ups ended",
        PATIENCE,
        || {
            let is_left = |server: &Server| server.n_closed() == server.n_connections();
            (kinds.iter().all(is_left) && n_lookups(&hub) == 0).then_some(())
        },
    );
    let n_connections: u64 = kinds.iter().map(Server::n_connections).sum();
    assert_eq!(n_connections, 96);
    hub.assert_alive();
    hub.terminate();
    assert!(hub.wait(PATIENCE).success());
}

#[test]
fn a_hub_ends_in_the_middle_of_a_scan() {
    let bench = Bench::new();
    let silent = Server::saying(b"");
    let file = watching(&bench, &[("acme", &silent)]);
    let text = std::fs::read_to_string(file).unwrap();
    let file = config_file(bench.data.path(), &text.replace("\"3s\"", "\"60s\""));
    let mut hub = start(&bench, &file);
    poll("a look", PATIENCE, || {
        (silent.n_connections() == 1).then_some(())
    });
    // It may have begun to look before it listened for signals.
    poll("the hub hears signals", PATIENCE, || {
        (caught_signals(&hub) & 1 << (SIGTERM - 1) != 0).then_some(())
    });
    hub.terminate();
    assert!(hub.wait(Duration::from_secs(20)).success());
}

#[test]
fn a_wrong_configuration_is_refused_before_anything_is_looked_at() {
    let bench = Bench::new();
    let entry = |more: &str| format!("[[scan.certs]]\norg = 'acme'\nhost = 'a.example'\n{more}");
    for (text, named) in [
        (
            entry("").replace("acme", "amce"),
            "no organisation \"amce\"",
        ),
        (entry("prot = 443"), "did you mean `port`?"),
        (
            format!("[scan]\nintervall = '6h'\n{}", entry("")),
            "did you mean `interval`?",
        ),
        (entry("port = 0"), "port: expected 1 to 65535"),
        (entry("name = 'a b'"), "name: expected"),
        (
            [entry(""), entry("port = 443")].concat(),
            "stands here twice",
        ),
        (
            format!("[scan]\ninterval = '1s'\n{}", entry("")),
            "interval: expected",
        ),
        (
            format!("[scan]\nca_file = '/nowhere'\n{}", entry("")),
            "ca_file: /nowhere",
        ),
    ] {
        let file = config_file(bench.data.path(), &text);
        for command in [&["run", "--addr", "127.0.0.1:0"][..], &["scan", "certs"]] {
            let output = bench.data.run(&[command, &["--config", &file]].concat());
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(78), "{text}: {stderr}");
            assert!(stderr.contains(named), "{text}: {stderr}");
        }
    }
    let file = config_file(bench.data.path(), &entry("port = 0"));
    let checked = program()
        .args(["check", "--config", &file, "--data", "."])
        .output();
    assert_eq!(checked.unwrap().status.code(), Some(78));
}

#[test]
fn the_command_line_says_what_it_needs() {
    let bench = Bench::new();
    for arguments in [
        &["scan", "certs"][..],
        &["scan", "certs", "--target", "a.example:443"],
        &["scan", "certs", "--org", "acme", "--name", "b.example"],
        &["scan", "certs", "--org", "acme", "--target", "a.example"],
        &["scan", "certs", "--org", "acme", "--target", "a.example:0"],
        &["scan", "certs", "--org", "acme", "--target", "::1:443"],
        &["scan", "certs", "--org", "acme", "--target", "a b:443"],
    ] {
        let output = bench.data.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
    }
    let unknown = [
        "scan",
        "certs",
        "--org",
        "amce",
        "--target",
        "a.example:443",
    ];
    assert_eq!(bench.data.run(&unknown).status.code(), Some(2));
}

#[test]
fn the_command_prints_one_line_for_each_endpoint_and_leaves_an_audit_entry() {
    let bench = Bench::new();
    let good = Server::tls(&bench.root.certify(&[NAME], 90 * DAY));
    let refused = Server::closing();
    let file = watching(&bench, &[("acme", &good), ("acme", &refused)]);
    let output = bench.data.run(&["scan", "certs", "--config", &file]);
    assert_eq!(output.status.code(), Some(69), "one was not seen");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines.len(), 2, "{text}");
    let start = format!("-         acme  {}/{NAME}  cert.expiry_days ", good.addr);
    assert!(lines[0].starts_with(&start), "{text}");
    let whole = format!(
        "medium    acme  {}/{NAME}  cert.chain_ok {{\"value\": null, \"reason\": \"closed\"}}",
        refused.addr
    );
    assert_eq!(lines[1], whole);
    let sql = "SELECT count(*) FROM audit_log WHERE action = 'certificates looked at' \
               AND subject = '2'";
    assert_eq!(crate::support::store::number(&bench.data, sql, []), 1);
}

/// A line of the kernel's about the process of a hub.
fn status(hub: &Hub, name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{}/status", hub.pid())).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

/// Which signals it has a word about, one bit each.
fn caught_signals(hub: &Hub) -> u64 {
    u64::from_str_radix(&status(hub, "SigCgt:"), 16).unwrap()
}

/// Threads that still look a name up.
fn n_lookups(hub: &Hub) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{}/task", hub.pid())).unwrap();
    let names = threads.filter_map(|t| std::fs::read_to_string(t.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "lookup").count()
}
