//! The hub as operators run it: the release program, on a store of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::bound::bound;
use super::usage;

/// The program.
#[derive(Debug, Clone)]
pub struct Program(PathBuf);

impl Program {
    /// A program that is there.
    pub const fn given(path: PathBuf) -> Self {
        Self(path)
    }

    /// Builds it in release mode, as `cargo build --release -p monsys-hub` does.
    pub fn build() -> Self {
        Self(build("monsys-hub"))
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

/// Builds the program of a package in release mode and returns where it lies.
pub(crate) fn build(package: &str) -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--locked", "-p", package])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{package} was not built");
    let text = String::from_utf8(output.stdout).expect("JSON");
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let made = messages.filter(|message| message["target"]["name"] == package);
    let path = made
        .filter_map(|message| Some(message["executable"].as_str()?.into()))
        .next_back();
    path.expect("a program")
}

/// Where a hub stores.
#[derive(Debug, Clone)]
pub enum Place {
    /// SQLite in a directory.
    Directory(PathBuf),
    /// The PostgreSQL of a URL.
    Server(String),
}

/// A serving hub; killed in the end, so that nothing it acknowledged may still be under way.
pub struct Hub {
    child: Child,
    /// Where it listens.
    pub addr: SocketAddr,
}

impl Hub {
    /// Starts one without limits on rates, but for what the settings say; its log goes to a file.
    pub fn start(program: &Program, place: &Place, log: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = bound(&program.0, "KILL");
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("MONSYS_") || text.starts_with("EM_") || text.contains("_URL") {
                command.env_remove(&name);
            }
        }
        command
            .env("MONSYS_ORG_RATE", "0")
            .env("MONSYS_ADDRESS_RATE", "0");
        match place {
            Place::Directory(path) => command.env("MONSYS_DATA", path),
            Place::Server(url) => command.env("DATABASE_URL", url),
        };
        command.envs(settings.iter().copied());
        let mut child = command
            .args(["run", "--addr", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(log).expect("a log"))
            .spawn()
            .expect("a hub");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let addr = stdout.lines().map_while(Result::ok).find_map(|line| {
            let start = line.find("http://")? + "http://".len();
            line[start..].split_whitespace().next()?.parse().ok()
        });
        let said = || std::fs::read_to_string(log).unwrap_or_default();
        let addr = addr.unwrap_or_else(|| panic!("no hub: {}", said()));
        Self { child, addr }
    }

    /// CPU time so far.
    pub fn cpu(&self) -> Duration {
        usage::cpu_of_tree(self.child.id())
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        usage::resident_bytes(self.child.id())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
