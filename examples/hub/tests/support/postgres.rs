//! A PostgreSQL of the tests' own: a temporary cluster on a unix socket, one per test process.
//!
//! The unit tests of the store, the tests over HTTP and `benches/` share this file. A shell beside the tests
//! owns the server: it reads commands from a pipe, and when the pipe ends, because the tests ended
//! in whatever way, it stops the server and removes its files. PostgreSQL refuses to run as root;
//! there the shell is started as `postgres` or `nobody`.
//!
//! `MONSYS_PG_BIN` names the folder of the server's programs, or several parted by colons: the first
//! is used, and of the others, and those that are installed, one of each further major version.
//! Without any there is one loud line, and the tests of PostgreSQL pass without having run; with
//! `MONSYS_REQUIRE_PG=1` they fail.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Whether commits of a cluster survive a power cut; where nobody cuts it, waiting is waste.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// For tests about what survives.
    Synced,
    /// For all others.
    Careless,
}

/// A running cluster.
pub(crate) struct Cluster {
    shell: Mutex<Shell>,
    directory: PathBuf,
    psql: PathBuf,
}

/// The programs of one version of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Programs {
    folder: PathBuf,
    psql: PathBuf,
    /// The number before the first dot of the version.
    pub(crate) major: u32,
}

struct Shell {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

/// A database of its own for one test.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    name: String,
    directory: PathBuf,
    psql: PathBuf,
}

/// Makes an empty database in the cluster of this process; `None` where there is no PostgreSQL.
pub(crate) fn database() -> Option<Database> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| Cluster::start(Durability::Careless));
    cluster.as_ref().map(Cluster::database)
}

impl Cluster {
    /// Starts a cluster; `None` where there is no PostgreSQL.
    pub(crate) fn start(durability: Durability) -> Option<Self> {
        Self::start_with(durability, "")
    }

    /// Starts a cluster with settings of the server besides, each as `-c name=value`.
    pub(crate) fn start_with(durability: Durability, settings: &str) -> Option<Self> {
        let Some(programs) = Programs::all().into_iter().next() else {
            let text = "!! no PostgreSQL (initdb) found: its tests pass without having run";
            assert!(
                std::env::var_os("MONSYS_REQUIRE_PG").is_none_or(|value| value != "1"),
                "{text}"
            );
            // Past the test harness, which would keep it to itself.
            let _ = writeln!(std::io::stderr(), "{text}");
            return None;
        };
        Some(Self::of(&programs, durability, settings))
    }

    /// Starts a cluster of this version.
    pub(crate) fn of(programs: &Programs, durability: Durability, settings: &str) -> Self {
        let careless = match durability {
            Durability::Synced => "",
            Durability::Careless => "-c fsync=off -c full_page_writes=off",
        };
        let mut child = as_ordinary_user()
            .args(["-c", SCRIPT, "cluster"])
            .arg(&programs.folder)
            .arg(format!("{careless} {settings}"))
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let mut said = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut directory = String::new();
        said.read_line(&mut directory).expect("a directory");
        let mut shell = Shell { child, said };
        shell.expect("ready");
        Self {
            shell: Mutex::new(shell),
            directory: directory.trim_end().into(),
            psql: programs.psql.clone(),
        }
    }

    /// Makes an empty database.
    pub(crate) fn database(&self) -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let database = Database {
            name: "postgres".into(),
            directory: self.directory.clone(),
            psql: self.psql.clone(),
        };
        database.run(&format!("CREATE DATABASE {name} TEMPLATE template0"));
        Database { name, ..database }
    }

    /// Kills every process of the server, as a power cut would.
    pub(crate) fn kill(&self) {
        self.tell("kill", "killed");
    }

    /// Starts the server again.
    pub(crate) fn restart(&self) {
        self.tell("start", "ready");
    }

    fn tell(&self, command: &str, answer: &str) {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        let pipe = shell.child.stdin.as_mut().expect("a pipe");
        writeln!(pipe, "{command}").expect("a shell that listens");
        shell.expect(answer);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let shell = self.shell.get_mut().unwrap_or_else(PoisonError::into_inner);
        // The end of the pipe is what the shell waits for.
        drop(shell.child.stdin.take());
        let _ = shell.child.wait();
    }
}

impl Shell {
    fn expect(&mut self, answer: &str) {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("a shell that speaks");
        assert_eq!(line.trim_end(), answer, "the test cluster did not obey");
    }
}

impl Database {
    /// The URL under which the superuser reaches it.
    pub(crate) fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The URL under which a role reaches it.
    pub(crate) fn url_of(&self, role: &str) -> String {
        let host = self.directory.display().to_string().replace('/', "%2F");
        format!("postgres://{role}@{host}/{}", self.name)
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How the hub calls it: without who logs in.
    pub(crate) fn shown(&self) -> String {
        format!("PostgreSQL {} {}", self.directory.display(), self.name)
    }

    /// Lets every row through the row policies when a run asks for it, so that what the statements
    /// themselves say is all that parts organisations. A hub refuses tables without policies.
    pub(crate) fn unfence_if_asked(&self) {
        if std::env::var_os("MONSYS_TEST_WITHOUT_ROW_POLICIES").is_none() {
            return;
        }
        let tables = self.run(
            "SELECT relname FROM pg_class \
             WHERE relrowsecurity AND relnamespace = 'public'::regnamespace",
        );
        assert!(tables.len() >= 16, "{tables:?}");
        for table in tables {
            let policy =
                format!("CREATE POLICY unfenced ON {table} USING (true) WITH CHECK (true)");
            self.run(&policy);
        }
    }

    /// Runs statements as the superuser and returns what they print, columns parted by `|`.
    pub(crate) fn run(&self, sql: &str) -> Vec<String> {
        self.run_as("postgres", sql)
            .unwrap_or_else(|said| panic!("{sql}: {said}"))
    }

    /// Runs statements as some role; what the server says when it refuses.
    pub(crate) fn run_as(&self, role: &str, sql: &str) -> Result<Vec<String>, String> {
        let output = Command::new(&self.psql)
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-v"])
            .args(["VERBOSITY=verbose", "-U", role, "-d", &self.name, "-h"])
            .arg(&self.directory)
            .args(["-c", sql])
            .stdin(Stdio::null())
            .output()
            .expect("psql beside initdb");
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The rows of a query, cell by cell; `None` is NULL.
    pub(crate) fn cells(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let output = Command::new(&self.psql)
            .args([
                "-X",
                "-A",
                "-t",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-F",
                "\u{1f}",
            ])
            .args(["-P", "null=\u{2}", "-U", "postgres", "-d", &self.name, "-h"])
            .arg(&self.directory)
            .args(["-c", sql])
            .env("PGTZ", "UTC")
            .stdin(Stdio::null())
            .output()
            .expect("psql beside initdb");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}: {said}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let cell = |text: &str| (text != "\u{2}").then(|| text.to_owned());
        text.lines()
            .map(|line| line.split('\u{1f}').map(cell).collect())
            .collect()
    }

    /// A program of the server's, told to log in as some role; `None` where it is not installed.
    pub(crate) fn tool(&self, name: &str, role: &str) -> Option<Command> {
        let file = self.psql.with_file_name(name);
        let mut tool = file.is_file().then(|| Command::new(file))?;
        tool.args(["-U", role, "-h"]).arg(&self.directory);
        tool.stdin(Stdio::null());
        Some(tool)
    }

    /// Asserts that no table or index is damaged, as far as the extension `amcheck` is there.
    pub(crate) fn assert_sound(&self) {
        let sql = "SELECT count(*) FROM pg_available_extensions WHERE name = 'amcheck'";
        if self.number(sql) == 0 {
            let text = "!! no extension amcheck: tables and indexes were not checked for damage";
            let _ = writeln!(std::io::stderr(), "{text}");
            return;
        }
        self.run("CREATE EXTENSION IF NOT EXISTS amcheck");
        let indexes = "SELECT bt_index_check(c.oid, true) FROM pg_class c \
                       JOIN pg_am m ON m.oid = c.relam AND m.amname = 'btree' \
                       WHERE c.relkind = 'i' AND c.relnamespace = 'public'::regnamespace";
        self.run(indexes);
        let tables = "SELECT c.relname, v.msg FROM pg_class c, \
                      LATERAL verify_heapam(c.oid) v \
                      WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace";
        assert!(self.run(tables).is_empty(), "a table is damaged");
    }

    /// The number that a query gives.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        self.run(sql).concat().parse().expect("a number")
    }
}

impl Programs {
    /// One of each major version: first what is used where one is enough.
    fn all() -> Vec<Self> {
        let folders = folders();
        let psql = folders.iter().map(|folder| folder.join("psql"));
        let psql = psql.filter(|psql| psql.is_file()).collect::<Vec<_>>();
        let mut found: Vec<Self> = Vec::new();
        for folder in folders {
            // Some packages hold the server only; every client speaks to every server.
            let own = folder.join("psql");
            let Some(psql) = psql
                .iter()
                .find(|psql| **psql == own)
                .or_else(|| psql.first())
            else {
                continue;
            };
            let Some(major) = major(&folder) else {
                continue;
            };
            if found.iter().all(|known| known.major != major) {
                let psql = psql.clone();
                found.push(Self {
                    folder,
                    psql,
                    major,
                });
            }
        }
        found
    }

    /// The versions beside the one that tests use.
    pub(crate) fn further() -> Vec<Self> {
        Self::all().into_iter().skip(1).collect()
    }
}

/// Where the programs may be: named, as the distribution's tool says, on the path, or where
/// distributions keep them, the newest first.
fn folders() -> Vec<PathBuf> {
    let named = std::env::var_os("MONSYS_PG_BIN").unwrap_or_default();
    let asked = Command::new("pg_config").arg("--bindir").output().ok();
    let asked = asked.map(|output| String::from_utf8_lossy(&output.stdout).trim().into());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut installed: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    installed.sort_by_key(|folder| major(folder));
    std::env::split_paths(&named)
        .filter(|folder| !folder.as_os_str().is_empty())
        .chain(asked)
        .chain(std::env::split_paths(&path))
        .chain(installed.into_iter().rev())
        .collect()
}

/// The major version of the server in a folder that has one: `postgres (PostgreSQL) 15.18 (Debian)`.
fn major(folder: &Path) -> Option<u32> {
    if !folder.join("initdb").is_file() {
        return None;
    }
    let output = Command::new(folder.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(2)?;
    let digits = version.find(|c: char| !c.is_ascii_digit());
    version.get(..digits.unwrap_or(version.len()))?.parse().ok()
}

fn as_ordinary_user() -> Command {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| {
        use std::os::unix::fs::MetadataExt;
        own.uid() == 0
    });
    if !is_root {
        return Command::new("sh");
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let is_user = |name: &&str| {
        users
            .lines()
            .any(|line| line.starts_with(&format!("{name}:")))
    };
    let user = ["postgres", "nobody"].into_iter().find(is_user);
    let user = user.expect("a user named postgres or nobody");
    let has = |program: &str| {
        ["/usr/bin", "/bin", "/usr/sbin", "/sbin"]
            .iter()
            .any(|folder| Path::new(folder).join(program).is_file())
    };
    if has("runuser") {
        let mut command = Command::new("runuser");
        command.args(["-u", user, "--", "sh"]);
        command
    } else {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", user, "--regid", user, "--clear-groups", "sh"]);
        command
    }
}

/// Arguments: the folder of the programs, settings of the server.
const SCRIPT: &str = r#"
trap '' INT
bin=$1
settings=$2
dir=$(mktemp -d "${TMPDIR:-/tmp}/monsys-pg-XXXXXX") || exit 1
echo "$dir"
"$bin/initdb" -D "$dir/data" -A trust -U postgres -E UTF8 --no-locale --no-sync >"$dir/log" 2>&1 ||
    { cat "$dir/log" >&2; rm -rf "$dir"; exit 1; }
# The server is a child of this shell, which takes leave of it when it was killed: as long as nobody
# does, its number counts as in use, and no other may start.
serve() {
    # shellcheck disable=SC2086 # several words
    "$bin/postgres" -D "$dir/data" -c listen_addresses= -c unix_socket_directories="$dir" \
        -c max_connections=200 $settings >>"$dir/log" 2>&1 &
    server=$!
}
is_ready() {
    said=$(sed -n '1p;8s/ *$//p' "$dir/data/postmaster.pid" 2>/dev/null | tr '\n' ' ')
    [ "$said" = "$server ready " ]
}
start() {
    tries=0
    serve
    until is_ready; do
        sleep 0.02
        tries=$((tries + 1))
        [ "$tries" -lt 3000 ] || { cat "$dir/log" >&2; return 1; }
        # Right after a kill the old shared memory is in use until the last process is gone.
        kill -0 "$server" 2>/dev/null || serve
    done
    echo ready
}
start
while read -r word; do
    case $word in
        kill)
            # Stopped first, so that no child is born behind the back of the list.
            kill -STOP "$server"
            # shellcheck disable=SC2046 # several words
            kill -9 "$server" $(cat "/proc/$server/task/$server/children")
            wait "$server" 2>/dev/null
            echo killed
            ;;
        start) start ;;
    esac
done
kill -QUIT "$server" 2>/dev/null && wait "$server" 2>/dev/null
rm -rf "$dir"
"#;
