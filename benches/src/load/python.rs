//! The hub against a service in Python that makes the same checks, on one PostgreSQL.
//!
//! The service is in `benches/python/`: FastAPI, uvicorn with uvloop and httptools, a process for
//! each processor, asyncpg, pydantic, cryptography, with group commit of its own. Its packages are
//! pinned with hashes and installed into an environment beside the other things that are built.
//! Both are sent payloads of the same kind by the same sender, in turns; the one that waits does
//! nothing meanwhile. CPU is that of the service's processes, PostgreSQL's beside it.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use super::answer::Answers;
use super::body::Size;
use super::bound::bound;
use super::client::{Arrivals, Plan, send};
use super::crowd::{Crowd, Profile, Secret};
use super::scene::{N_AGENTS, N_CONNECTIONS, Scene, micros_each};
use super::{Options, say, usage};
use crate::cluster::Database;
use crate::report::Figure;
use crate::report::Target::{AtLeast, AtMost};
use crate::store::server::Server;
use crate::store::{median, progress};

/// The figures of the comparison, per profile.
pub(super) fn run(options: &Options) {
    let Some(environment) = environment() else {
        eprintln!("!! no Python environment: the comparison with a Python service is left out");
        return;
    };
    for profile in [Profile::Ed25519, Profile::Hmac] {
        let Some(server) = Server::start() else {
            return;
        };
        of_profile(options, &server, &environment, profile);
    }
}

fn of_profile(options: &Options, server: &Server, environment: &Path, profile: Profile) {
    let name = profile.as_str();
    progress(&format!(
        "against a Python service, {name}: hub and service in turns"
    ));
    let crowd = Crowd::enrol(&server.wait, &server.store(), profile, N_AGENTS);
    let mut hub = Scene::on_server(&options.program, server, crowd, &[]);
    // The same agents again, whose positions begin anew.
    let mut service = Service::start(environment, server, profile, &hub.crowd);
    let time = options.time / N_TURNS;
    let [mut of_hub, mut of_service] = [const { Vec::new() }; 2];
    for turn in 0..=N_TURNS {
        let postgres = usage::cpu_of_tree(server.process());
        let (answers, cpu) = hub.closed(time);
        answers.assert_nearly_all(202, "the hub");
        let between = usage::cpu_of_tree(server.process());
        let (theirs, their_cpu) = service.closed(time);
        theirs.assert_nearly_all(202, "the service");
        let after = usage::cpu_of_tree(server.process());
        // The first turn warms up.
        if turn > 0 {
            of_hub.push(Turn::of(&answers, cpu, between - postgres));
            of_service.push(Turn::of(&theirs, their_cpu, after - between));
        }
    }
    let of = |turns: &[Turn], of: fn(&Turn) -> f64| {
        median(&mut turns.iter().map(of).collect::<Vec<_>>())
    };
    let both = |value: fn(&Turn) -> f64| (of(&of_hub, value), of(&of_service, value));
    let (rate, their_rate) = both(|turn| turn.rate);
    let (p99, their_p99) = both(|turn| turn.p99);
    let figure = Figure::new(
        format!("python/{name}, rate"),
        rate,
        their_rate,
        AtLeast(5.0),
    );
    let detail = format!("requests/s; closed loop p99 {p99:.1} ms against {their_p99:.1}");
    say(options, &figure.with_detail(detail));
    let (micros, their_micros) = both(|turn| turn.micros);
    let (postgres, their_postgres) = both(|turn| turn.postgres);
    let figure = Figure::new(
        format!("python/{name}, CPU a payload"),
        micros * 1e3,
        their_micros * 1e3,
        AtMost(1.0 / 6.0),
    );
    let detail = format!(
        "ns of the service's processes; PostgreSQL {postgres:.1} us against {their_postgres:.1}"
    );
    say(options, &figure.with_detail(detail));
    hub.kill().remove();
}

/// What was measured in a turn; times of CPU are microseconds a payload.
struct Turn {
    rate: f64,
    p99: f64,
    micros: f64,
    postgres: f64,
}

impl Turn {
    fn of(answers: &Answers, cpu: Duration, postgres: Duration) -> Self {
        let n = answers.all.len();
        Self {
            rate: answers.rate_of(202),
            p99: answers.millis_of(202, 0.99),
            micros: micros_each(cpu, n),
            postgres: micros_each(postgres, n),
        }
    }
}

/// A running service, and the agents that it knows.
struct Service {
    child: Child,
    addr: SocketAddr,
    crowd: Crowd,
}

impl Service {
    fn start(environment: &Path, server: &Server, profile: Profile, known: &Crowd) -> Self {
        let crowd = Crowd::anew(profile, known);
        let database = server.another_database();
        fill(&database, &crowd);
        // Free a moment ago; nobody else on this machine is told of it.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let addr = free.expect("a free port");
        let n_processors = std::thread::available_parallelism().map_or(1, usize::from);
        let host = database.run("SHOW unix_socket_directories").concat();
        // Told to end, it ends the processes that serve as well.
        let mut child = bound(environment.join("bin/python"), "TERM")
            .args([
                "-m",
                "uvicorn",
                "service:app",
                "--loop",
                "uvloop",
                "--http",
                "httptools",
            ])
            .args([
                "--no-access-log",
                "--log-level",
                "info",
                "--host",
                "127.0.0.1",
            ])
            .args(["--port", &addr.port().to_string()])
            .args(["--workers", &n_processors.to_string(), "--app-dir"])
            .arg(sources())
            .envs([
                ("PGHOST", host.as_str()),
                ("PGUSER", "postgres"),
                ("PGDATABASE", database.name()),
            ])
            .envs([
                ("AUDIENCE", crowd.audience()),
                ("PYTHONDONTWRITEBYTECODE", "1"),
            ])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("a service");
        let said = BufReader::new(child.stderr.take().expect("a pipe"));
        let service = Self { child, addr, crowd };
        wait_for_start(said, n_processors);
        service
    }

    fn closed(&mut self, time: Duration) -> (Answers, Duration) {
        let n = (time.as_secs_f64() * RATE_MAX) as usize;
        let requests = self.crowd.requests(n, Size::TwoKilobytes);
        let plan = Plan {
            addr: self.addr,
            n_connections: N_CONNECTIONS,
            arrivals: Arrivals::Closed,
            time,
        };
        let cpu = usage::cpu_of_tree(self.child.id());
        let answers = send(&plan, &requests);
        (answers, usage::cpu_of_tree(self.child.id()) - cpu)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Its group: the processes that serve descend from it.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}

/// Reads what the service says until all its processes serve; what it says later is shown.
fn wait_for_start(mut said: BufReader<ChildStderr>, n_processes: usize) {
    let (mut n_started, mut all) = (0, String::new());
    while n_started < n_processes {
        let start = all.len();
        let n_bytes = said.read_line(&mut all).expect("a service that speaks");
        assert!(n_bytes > 0, "the service did not start: {all}");
        n_started += usize::from(all[start..].contains("Application startup complete"));
    }
    std::thread::spawn(move || {
        for line in said.lines().map_while(Result::ok) {
            progress(&format!("the service: {line}"));
        }
    });
}

/// Makes the service's tables, and writes the agents into them.
fn fill(database: &Database, crowd: &Crowd) {
    let schema = std::fs::read_to_string(sources().join("schema.sql")).expect("a schema");
    database.run(&schema);
    let hex = |bytes: &[u8]| {
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        format!(r"'\x{}'", digits.collect::<String>())
    };
    // An argument of a command is at most 128 KiB.
    for members in crowd.members().chunks(200) {
        let rows = members.iter().map(|member| {
            let (name, keys) = match &member.secret {
                Secret::Ed25519(key, token) => {
                    let key = key.verifying_key().to_bytes();
                    let keys = format!("{}, {}, NULL", hex(&token.digest()), hex(&key));
                    (member.id.to_string(), keys)
                }
                Secret::Hmac(identity, key) => {
                    let key = **key.expose_bytes();
                    (
                        identity.device().to_owned(),
                        format!("NULL, NULL, {}", hex(&key)),
                    )
                }
            };
            format!(
                "('{}', '{}', '{}', '{name}', {keys})",
                member.id, crowd.tenant, crowd.org
            )
        });
        let rows = rows.collect::<Vec<_>>().join(",");
        let columns = "id, tenant_id, org, name, token_digest, public_key, device_key";
        database.run(&format!("INSERT INTO agents ({columns}) VALUES {rows}"));
    }
    database.run("ANALYZE");
}

/// The environment with the pinned packages, made unless it is there; `None` where that fails.
fn environment() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target"),
        PathBuf::from,
    );
    let (environment, pinned) = (target.join("python"), sources().join("requirements.txt"));
    let made_of = environment.join("made-of.txt");
    let wanted = std::fs::read_to_string(&pinned).ok()?;
    if std::fs::read_to_string(&made_of).is_ok_and(|found| found == wanted) {
        return Some(environment);
    }
    progress("installing the packages of the Python service");
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&environment);
    let mut install = Command::new(environment.join("bin/python"));
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--require-hashes",
        "--only-binary",
        ":all:",
    ]);
    install.arg("--requirement").arg(&pinned);
    for command in [&mut venv, &mut install] {
        if !command.status().is_ok_and(|status| status.success()) {
            return None;
        }
    }
    std::fs::write(&made_of, wanted).ok()?;
    Some(environment)
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}

const N_TURNS: u32 = 3;
/// More payloads a second than a service in Python takes on such a machine.
const RATE_MAX: f64 = 8_000.0;
