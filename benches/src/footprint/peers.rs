//! Programs that others wrote: node_exporter, process_exporter and collectd, as Debian packs them.
//!
//! They are taken from where they are installed. Where they are not, their packages are fetched and
//! unpacked beside this program's own build, and nothing is installed. Where that is not possible
//! either, one loud line says so, and the figures that need them have no baseline.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::kernel::{self, Memory};

/// All of them, running.
pub(super) struct Peers {
    /// What an agent's base sample has too: processors, memory, load, file systems, interfaces.
    pub(super) node: Scraped,
    /// What it gathers when nobody says what it should.
    pub(super) node_default: Scraped,
    /// Every process, by name.
    pub(super) process: Scraped,
    pub(super) collectd: Collectd,
}

/// An exporter: it measures when it is asked.
pub(super) struct Scraped {
    program: PathBuf,
    child: Child,
    stream: TcpStream,
    /// From its start to the end of its first answer.
    pub(super) first_answer: Duration,
}

/// It measures on a cadence of its own and writes lines to files.
pub(super) struct Collectd {
    program: PathBuf,
    directory: PathBuf,
    child: Child,
}

impl Peers {
    /// Starts them; collectd measures at `cadence`.
    pub(super) fn start(cadence: Duration) -> Option<Self> {
        let root = find()?;
        let node = |basic: &[&str]| {
            let flag = "--web.listen-address";
            Scraped::start(&root.join("usr/bin/prometheus-node-exporter"), flag, basic)
        };
        let directory = super::directory("process-exporter");
        let config = directory.join("all.yml");
        std::fs::write(&config, EVERY_PROCESS).expect("a file");
        let config = config.to_str().expect("a path of plain letters");
        Some(Self {
            node: node(&BASIC),
            node_default: node(&[]),
            process: Scraped::start(
                &root.join("usr/bin/prometheus-process-exporter"),
                "-web.listen-address",
                &["-config.path", config],
            ),
            collectd: Collectd::start(&root, cadence),
        })
    }
}

impl Scraped {
    fn start(program: &Path, flag: &str, words: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = free.local_addr().expect("an address");
        drop(free);
        let started = Instant::now();
        let child = Command::new(program)
            .args(words)
            .args([flag, &addr.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("an exporter");
        let stream = loop {
            match TcpStream::connect(addr) {
                Ok(stream) => break stream,
                Err(_) => kernel::let_pass(Duration::from_micros(500)),
            }
            assert!(
                started.elapsed() < PATIENCE,
                "{} is mute",
                program.display()
            );
        };
        stream.set_nodelay(true).expect("an option");
        let mut exporter = Self {
            program: program.to_owned(),
            child,
            stream,
            first_answer: Duration::ZERO,
        };
        exporter.ask();
        exporter.first_answer = started.elapsed();
        exporter
    }

    /// Asks it to measure and returns the processor time that this took, in nanoseconds.
    pub(super) fn scrape(&mut self) -> f64 {
        let before = self.settled();
        self.ask();
        (self.settled() - before).as_nanos() as f64
    }

    pub(super) fn memory(&self) -> Memory {
        kernel::memory(self.child.id())
    }

    pub(super) fn cpu(&self) -> Duration {
        self.settled()
    }

    pub(super) fn bytes(&self) -> f64 {
        size(&self.program)
    }

    /// Processor time once its threads sleep.
    fn settled(&self) -> Duration {
        let mut last = kernel::cpu(self.child.id());
        loop {
            kernel::let_pass(Duration::from_millis(3));
            let now = kernel::cpu(self.child.id());
            if now - last < Duration::from_micros(20) {
                return now;
            }
            last = now;
        }
    }

    fn ask(&mut self) {
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
        self.stream
            .write_all(request.as_bytes())
            .expect("an exporter");
        let (mut answer, mut part) = (Vec::new(), [0; 1 << 16]);
        while !is_whole(&answer) {
            let n = self.stream.read(&mut part).expect("an exporter");
            assert!(n > 0, "{} hung up", self.program.display());
            answer.extend_from_slice(&part[..n]);
        }
        assert!(
            answer.starts_with(b"HTTP/1.1 200"),
            "{}",
            self.program.display()
        );
    }
}

impl Collectd {
    fn start(root: &Path, cadence: Duration) -> Self {
        let directory = super::directory("collectd");
        let config = directory.join("collectd.conf");
        let seconds = cadence.as_secs_f64();
        let load: String = PLUGINS.map(|name| format!("LoadPlugin {name}\n")).concat();
        let (at, plugins) = (directory.display(), root.join("usr/lib/collectd"));
        let types = root.join("usr/share/collectd/types.db");
        let text = format!(
            "BaseDir \"{at}\"\nPIDFile \"{at}/pid\"\nPluginDir \"{}\"\nTypesDB \"{}\"\n\
             Interval {seconds}\n{load}<Plugin csv>\nDataDir \"{at}/csv\"\n</Plugin>\n",
            plugins.display(),
            types.display(),
        );
        std::fs::write(&config, text).expect("a file");
        let program = root.join("usr/sbin/collectd");
        let child = Command::new(&program)
            .arg("-f")
            .arg("-C")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("collectd");
        Self {
            program,
            directory,
            child,
        }
    }

    pub(super) fn memory(&self) -> Memory {
        kernel::memory(self.child.id())
    }

    pub(super) fn cpu(&self) -> Duration {
        kernel::cpu(self.child.id())
    }

    pub(super) fn bytes(&self) -> f64 {
        size(&self.program)
    }
}

impl Drop for Scraped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Collectd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// An answer in chunks ends with an empty one; a short one says its length.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    match length.and_then(|length| length.trim().parse::<usize>().ok()) {
        Some(length) => answer.len() >= head + 4 + length,
        None => answer.ends_with(b"\r\n0\r\n\r\n"),
    }
}

fn size(program: &Path) -> f64 {
    std::fs::metadata(program).expect("a program").len() as f64
}

/// The root under which the programs lie.
fn find() -> Option<PathBuf> {
    let cache = cache();
    let has_all = |root: &&PathBuf| PROGRAMS.iter().all(|program| root.join(program).exists());
    let roots = [PathBuf::from("/"), cache.join("root")];
    if let Some(root) = roots.iter().find(has_all) {
        return Some(root.clone());
    }
    std::fs::create_dir_all(&cache).expect("a directory");
    let is_done = |command: &mut Command| {
        let status = command.current_dir(&cache).stdout(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let is_fetched = is_done(Command::new("apt-get").arg("download").args(PACKAGES));
    let fetched = std::fs::read_dir(&cache).expect("a directory").flatten();
    for entry in fetched.filter(|_| is_fetched) {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            is_done(Command::new("dpkg").arg("-x").arg(&path).arg("root"));
        }
    }
    let root = roots.iter().find(has_all).cloned();
    if root.is_none() {
        eprintln!(
            "# NO PEERS: {} are not installed and could not be fetched; figures have no baseline",
            PACKAGES.join(", ")
        );
    }
    root
}

/// Beside this program, in the directory of its build.
fn cache() -> PathBuf {
    let program = std::env::current_exe().expect("a program");
    let build = program.parent().and_then(Path::parent);
    build
        .expect("a directory of the build")
        .join("footprint-peers")
}

const PACKAGES: [&str; 3] = [
    "prometheus-node-exporter",
    "prometheus-process-exporter",
    "collectd-core",
];
const PROGRAMS: [&str; 3] = [
    "usr/bin/prometheus-node-exporter",
    "usr/bin/prometheus-process-exporter",
    "usr/sbin/collectd",
];
const BASIC: [&str; 8] = [
    "--collector.disable-defaults",
    "--collector.cpu",
    "--collector.meminfo",
    "--collector.loadavg",
    "--collector.filesystem",
    "--collector.netdev",
    "--collector.stat",
    "--collector.time",
];
const PLUGINS: [&str; 8] = [
    "cpu",
    "memory",
    "load",
    "df",
    "interface",
    "swap",
    "uptime",
    "csv",
];
const EVERY_PROCESS: &str = "process_names:\n  - name: \"{{.Comm}}\"\n    cmdline: ['.+']\n";
const PATIENCE: Duration = Duration::from_secs(10);
