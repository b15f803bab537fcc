//! The real agent of the demo: the reference agent, in a process of its own.
//!
//! `cargo run -p monsys-hub` builds no other program, so the demo starts this very one again under
//! a hidden subcommand. The agent ends when its standard input ends, and so it never outlives a
//! demo that was killed.

use std::ffi::OsString;
use std::io::Read;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use monsys_wire::BearerToken;

use super::Stage;
use crate::error::{Failure, FailureKind};

/// Where the real agent keeps its key and spool, in the demo's directory.
pub(super) const AGENT_DIR: &str = "agent-this-machine";
/// How long the agent may take to end.
const END_WITHIN: Duration = Duration::from_secs(3);

/// The running agent.
pub(super) struct RealAgent {
    child: Option<Child>,
}

impl RealAgent {
    /// Sets the agent up as a user would, with `init`, and starts its daemon.
    pub(super) async fn start(stage: &Stage<'_>, token: &BearerToken) -> Result<Self, Failure> {
        let data = stage.place.path.join(AGENT_DIR);
        let origin = stage.origin.to_rfc3339();
        let rate = stage.app.clock.rate().to_string();
        let command = |verb: &str| -> Result<Command, Failure> {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["agent-process", verb, "--data"]).arg(&data);
            command.args(["--clock-origin", &origin, "--clock-rate", &rate]);
            // What happens is on the demo's screen already.
            if std::env::var_os("MONSYS_AGENT_LOG").is_none() {
                command.env("MONSYS_AGENT_LOG", "warn");
            }
            command.stdin(Stdio::piped()).stdout(Stdio::null());
            Ok(command)
        };
        let mut init = command("init")?;
        init.args(["--hub", &format!("http://{}", stage.addr)]);
        // A token on the command line would be seen by everyone on this machine.
        init.env("MONSYS_TOKEN", token.expose_text());
        let status = tokio::task::spawn_blocking(move || {
            let mut child = init.spawn()?;
            // Its standard input stays open until it ends by itself.
            let input = child.stdin.take();
            let status = child.wait();
            drop(input);
            status
        });
        let status = status.await.map_err(|_| failed("it was not started"))??;
        if !status.success() {
            return Err(failed("its init failed"));
        }
        Ok(Self {
            child: Some(command("daemon")?.spawn()?),
        })
    }

    /// Ends the agent.
    pub(super) async fn end(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        drop(child.stdin.take());
        let ended = tokio::task::spawn_blocking(move || {
            let patience = std::time::Instant::now() + END_WITHIN;
            while std::time::Instant::now() < patience {
                if matches!(child.try_wait(), Ok(Some(_))) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            if child.kill().and_then(|()| child.wait()).is_err() {
                tracing::warn!("the real agent could not be ended");
            }
        });
        if ended.await.is_err() {
            tracing::warn!("the real agent was not waited for");
        }
    }
}

fn failed(why: &str) -> Failure {
    Failure::new(
        FailureKind::Unavailable,
        format!("the real agent did not start: {why}"),
    )
}

/// Runs the reference agent in this process until its standard input ends.
pub(crate) fn agent_process(arguments: Vec<OsString>) -> ExitCode {
    let watched = std::thread::Builder::new().name("stdin".into()).spawn(|| {
        let mut ignored = [0; 64];
        let mut input = std::io::stdin().lock();
        while matches!(input.read(&mut ignored), Ok(n) if n > 0) {}
        // The spool is safe against a sudden end at any moment.
        std::process::exit(0);
    });
    if watched.is_err() {
        return ExitCode::from(74);
    }
    let program = OsString::from("monsys-agent");
    monsys_agent::run(std::iter::once(program).chain(arguments))
}
