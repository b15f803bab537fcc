//! `rotate-key`: another key for the same agent; a running daemon takes it by itself.

use monsys_wire::DeviceKey;
use serde::Serialize;

use crate::config::DataDir;
use crate::error::{AgentError, Outcome};
use crate::output::{self, Form};
use crate::rotation;

#[derive(Serialize)]
struct Rotated {
    /// Null in the profile whose key has no public half.
    public_key: Option<String>,
}

/// Goes to a new key: one of the agent's own making, or the given one that the hub made.
///
/// # Errors
/// Those of [`rotation::rotate`] and [`rotation::replace_device_key`].
pub fn run(
    data: &DataDir,
    of_device: Option<&DeviceKey>,
    form: Form,
) -> Result<Outcome, AgentError> {
    let (rotated, line) = match of_device {
        None => {
            let public_key = rotation::rotate(data)?.to_string();
            let line = format!("public key {public_key}");
            (Some(public_key), line)
        }
        Some(key) => {
            rotation::replace_device_key(data, key)?;
            (None, "the key of the device is replaced".to_owned())
        }
    };
    let rotated = Rotated {
        public_key: rotated,
    };
    output::show(form, &rotated, &[line]);
    Ok(Outcome::Success)
}
