//! The real program on a data directory of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use monsys_wire::SigningKey;
use serde_json::Value;

use super::postgres::{self, Database};
use super::{PATIENCE, TestAgent, poll};

/// A directory for a store, which is removed when its test ends.
pub(crate) struct DataDir {
    path: PathBuf,
    database: Option<Database>,
}

impl DataDir {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("hub-{}-{n}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        // What an earlier process of this number left behind.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        let on_postgres = std::env::var_os("MONSYS_TEST_STORE").is_some_and(|v| v == "postgres");
        let database = on_postgres.then(|| postgres::database().expect("PostgreSQL was asked for"));
        Self { path, database }
    }

    /// A store in PostgreSQL, whatever the environment says; `None` where there is none.
    pub(crate) fn on_postgres() -> Option<Self> {
        postgres::database().map(Self::of)
    }

    /// A store in a database that the test made.
    pub(crate) fn of(database: Database) -> Self {
        let mut data = Self::new();
        data.database = Some(database);
        data
    }

    /// The database, where the store is not a file.
    pub(crate) const fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    /// The program, told where this store is.
    pub(crate) fn program(&self) -> Command {
        let mut program = program();
        if let Some(database) = &self.database {
            program.env("DATABASE_URL", database.url());
        }
        program
    }

    /// How the hub calls this store.
    fn shown(&self) -> String {
        self.database
            .as_ref()
            .map_or_else(|| self.store_file().display().to_string(), Database::shown)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn store_file(&self) -> PathBuf {
        self.path.join("monsys.db")
    }

    /// Runs a command of the hub on this store.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.program()
            .args(arguments)
            .arg("--data")
            .arg(&self.path)
            .output()
            .unwrap()
    }

    /// Runs a command that must end well, and reads the JSON it prints.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(crate) fn add_org(&self, name: &str) {
        let added = self.json(&["org", "add", name]);
        assert_eq!(added["org"], name);
    }

    /// Enrols an agent whose key is pinned at once.
    pub(crate) fn enrol(&self, org: &str, name: &str) -> TestAgent {
        let key = SigningKey::from_secret_bytes(secret_of(name));
        let public = key.verifying_key().to_string();
        let arguments = [
            "agent",
            "enrol",
            "--org",
            org,
            "--name",
            name,
            "--public-key",
            &public,
        ];
        TestAgent::new(&self.json(&arguments), name, key)
    }

    /// Enrols an agent of which the hub knows no key yet.
    pub(crate) fn enrol_without_key(&self, org: &str, name: &str) -> TestAgent {
        let key = SigningKey::from_secret_bytes(secret_of(name));
        let enrolled = self.json(&["agent", "enrol", "--org", org, "--name", name]);
        TestAgent::new(&enrolled, name, key)
    }

    /// Runs one integrity cycle in a process of its own.
    pub(crate) fn cycle(&self) -> Value {
        let report = self.json(&["integrity", "run"]);
        assert_eq!(report["failed_pages"], 0, "{report}");
        report
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A key per name: tests need keys that differ, not keys that are secret.
fn secret_of(name: &str) -> [u8; 32] {
    let mut secret = [7; 32];
    for (slot, byte) in secret.iter_mut().zip(name.bytes()) {
        *slot = byte;
    }
    secret
}

/// The program, without what the environment may say to it.
pub(crate) fn program() -> Command {
    // A run of mutants names another build of it.
    let named = std::env::var_os("MONSYS_TEST_PROGRAM");
    let path = named.unwrap_or_else(|| env!("CARGO_BIN_EXE_monsys-hub").into());
    let mut command = Command::new(path);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let is_ours = ["MONSYS_", "EM_"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        if is_ours || name == "DATABASE_URL" || name == "REDIS_URL" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// The secrets of all hubs of the tests: several hubs of one store share theirs.
pub(crate) const SECRETS: [(&str, &str); 3] = [
    (
        "MONSYS_JWT_ACCESS_SECRET",
        "access secret of the tests, 32 bytes",
    ),
    (
        "MONSYS_JWT_REFRESH_SECRET",
        "refresh secret of the tests, 32 bytes",
    ),
    (
        "MONSYS_CSRF_SECRET",
        "secret of forms of the tests, 32 bytes",
    ),
];

/// A serving hub, killed when its test ends.
pub(crate) struct Hub {
    child: Child,
    pub(crate) addr: SocketAddr,
    set_up: Option<String>,
    log: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Hub {
    /// Starts serving without limits on rates.
    pub(crate) fn start(data: &DataDir) -> Self {
        Self::start_with(
            data,
            &[("MONSYS_ADDRESS_RATE", "0"), ("MONSYS_ORG_RATE", "0")],
        )
    }

    /// Starts serving without limits on rates, where a hub served before.
    pub(crate) fn start_at(data: &DataDir, addr: SocketAddr) -> Self {
        let settings = [("MONSYS_ADDRESS_RATE", "0"), ("MONSYS_ORG_RATE", "0")];
        Self::start_on(data, addr, &settings)
    }

    /// Starts serving with other settings than the defaults.
    pub(crate) fn start_with(data: &DataDir, settings: &[(&str, &str)]) -> Self {
        Self::start_on(data, ([127, 0, 0, 1], 0).into(), settings)
    }

    fn start_on(data: &DataDir, addr: SocketAddr, settings: &[(&str, &str)]) -> Self {
        let mut command = data.program();
        command
            .args(["run", "--addr", &addr.to_string(), "--data"])
            .arg(data.path());
        command.envs(SECRETS);
        command.envs(settings.iter().copied());
        Self::start_by(data, command)
    }

    /// Starts serving by a command of the test's own, which becomes the hub.
    pub(crate) fn start_by(data: &DataDir, mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let mut readers = vec![collect(stderr, Arc::clone(&log))];
        let (lines, said) = mpsc::channel();
        readers.push(std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Nobody reads what comes after the first lines.
                let _ = lines.send(line);
            }
        }));
        let mut hub = Self {
            child,
            addr: ([127, 0, 0, 1], 0).into(),
            set_up: None,
            log,
            readers,
        };
        let first = hub.next_line(&said);
        let is_tls = command
            .get_envs()
            .any(|(name, _)| name == "MONSYS_TLS_CERT");
        let scheme = if is_tls { "https" } else { "http" };
        assert!(
            first.starts_with(&format!("monsys-hub 0.1.0 · {scheme}://127.0.0.1:")),
            "{first}"
        );
        assert!(
            first.ends_with(&format!(" · store {}", data.shown())),
            "{first}"
        );
        let addr = first
            .split(" · ")
            .nth(1)
            .unwrap()
            .strip_prefix(&format!("{scheme}://"))
            .unwrap();
        hub.addr = addr.parse().unwrap();
        hub.set_up = hub.set_up_link(data, &said);
        hub
    }

    fn next_line(&self, said: &mpsc::Receiver<String>) -> String {
        said.recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("the hub said nothing; its log: {}", self.log()))
    }

    /// The link that a hub without people prints.
    fn set_up_link(&self, data: &DataDir, said: &mpsc::Receiver<String>) -> Option<String> {
        if super::store::has_people(data) {
            return None;
        }
        let line = self.next_line(said);
        let link = line.strip_prefix("set up  ").unwrap();
        let (link, note) = link.split_once("   ").unwrap();
        assert_eq!(note, "(one use, 30 minutes)");
        // Behind the hub's own address, or the one that it was told people reach it by.
        let path = link.find("/setup/").unwrap();
        Some(link[path..].to_owned())
    }

    /// The path of the set-up link.
    pub(crate) fn set_up_path(&self) -> &str {
        self.set_up
            .as_deref()
            .expect("a hub without people prints a set-up link")
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// What the hub has logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asserts that the hub lives, answers, and never panicked.
    pub(crate) fn assert_alive(&mut self) {
        assert_eq!(
            self.child.try_wait().unwrap(),
            None,
            "the hub ended: {}",
            self.log()
        );
        assert_eq!(super::raw::get(self.addr, "/healthz").status, 200);
        assert!(!self.log().contains("panicked"), "{}", self.log());
    }

    /// Kills the hub as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the hub to end, as a service manager does.
    pub(crate) fn terminate(&self) {
        let status = Command::new("kill")
            .arg("-TERM")
            .arg(self.child.id().to_string())
            .status();
        assert!(status.unwrap().success());
    }

    /// Asks the hub to read its certificate again.
    pub(crate) fn hang_up(&self) {
        let status = Command::new("kill")
            .arg("-HUP")
            .arg(self.child.id().to_string())
            .status();
        assert!(status.unwrap().success());
    }

    /// Waits for the hub to end.
    pub(crate) fn wait(&mut self, within: Duration) -> ExitStatus {
        poll("the hub ends", within, || self.child.try_wait().unwrap())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

fn collect(stderr: impl std::io::Read + Send + 'static, log: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut log = log.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    })
}
