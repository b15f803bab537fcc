//! Processes and listeners that make the host as busy as the table says, and do nothing else.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use super::kernel;

/// They end with this value, and with this process, because their input does.
pub(super) struct Crowd {
    children: Vec<Child>,
    listeners: Vec<TcpListener>,
}

impl Crowd {
    /// Starts as many as are missing to `n_processes`, and [`LISTENERS`] ports.
    pub(super) fn gather(n_processes: usize) -> Self {
        let n_missing = n_processes.saturating_sub(kernel::n_processes());
        let child = |_| {
            let mut command = Command::new("cat");
            command.stdin(Stdio::piped()).stdout(Stdio::null());
            command.spawn().expect("cat")
        };
        let listener = |_| TcpListener::bind("127.0.0.1:0").expect("a port");
        Self {
            children: (0..n_missing).map(child).collect(),
            listeners: (0..LISTENERS).map(listener).collect(),
        }
    }

    /// What the host has with them.
    pub(super) fn describe(&self) -> String {
        let (n, listeners) = (kernel::n_processes(), self.listeners.len());
        format!("{n} processes, {listeners} listeners more than the host's own")
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.children {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

const LISTENERS: usize = 20;
