//! The agent as operators run it: the release program, enrolled at an address of this run.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::load::hub::build;
use crate::store::server::now;

/// The program.
#[derive(Debug, Clone)]
pub struct Program(PathBuf);

/// A directory of an enrolled agent; it goes with this value.
pub(super) struct Home {
    pub(super) path: PathBuf,
}

/// A running agent; killed in the end.
pub(super) struct Agent {
    child: Child,
    pub(super) started: Instant,
}

impl Program {
    /// A program that is there.
    pub const fn given(path: PathBuf) -> Self {
        Self(path)
    }

    /// Builds it in release mode, as `cargo build --release -p monsys-agent` does.
    pub fn build() -> Self {
        Self(build("monsys-agent"))
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Enrols a new agent.
    pub(super) fn enrol(&self, name: &str, addr: SocketAddr, token: &str) -> Home {
        let path = super::directory(name);
        let hub = format!("http://{addr}");
        let output = command(&self.0, &path)
            .args(["init", "--hub", &hub, "--token", token])
            .stdin(Stdio::null())
            .output()
            .expect("an agent");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "no agent: {said}");
        Home { path }
    }

    /// Starts it with a clock that runs `rate` times as fast as the wall's.
    pub(super) fn start(&self, home: &Home, rate: u32) -> Agent {
        let mut command = command(&self.0, &home.path);
        command.arg("daemon");
        if rate > 1 {
            let (origin, rate) = (now().to_rfc3339(), rate.to_string());
            command.args(["--clock-origin", &origin, "--clock-rate", &rate]);
        }
        let log = File::create(home.path.join("log")).expect("a log");
        let started = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("an agent");
        Agent { child, started }
    }
}

impl Agent {
    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Nothing of this process's own settings reaches it.
fn command(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MONSYS_") {
            command.env_remove(&name);
        }
    }
    command.env("MONSYS_AGENT_DATA", home);
    command
}
