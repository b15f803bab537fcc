//! Programs that end with this one, however it ends: a measurement that is stopped half-way must
//! leave nothing behind that takes the processors of the next.
//!
//! What: a command line that asks the kernel to signal the program when the thread that started it
//! is gone (prctl(2), PR_SET_PDEATHSIG), by `setpriv` of util-linux, which then becomes the program.
//! So whatever is started here is started by a thread that lasts. Linux alone, as all of this part.

use std::ffi::OsStr;
use std::process::Command;

/// Returns a command that gets a signal, such as `TERM`, when this program ends.
pub(super) fn bound(program: impl AsRef<OsStr>, signal: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal, "--"]).arg(program);
    command
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    const SIGTERM: i32 = 15;

    #[test]
    fn a_program_ends_with_the_thread_that_started_it() {
        let started = std::thread::spawn(|| {
            let child = bound("sleep", "TERM").arg("600").spawn().unwrap();
            // Only then it has asked for the signal.
            let name = format!("/proc/{}/comm", child.id());
            while std::fs::read_to_string(&name).unwrap() != "sleep\n" {
                std::thread::yield_now();
            }
            child
        });
        let mut child = started.join().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(SIGTERM));
    }
}
