//! `spool status`: how much is undelivered; works while the daemon runs.

use monsys_wire::spool::Gap;

use crate::config::DataDir;
use crate::error::{AgentError, Outcome};
use crate::output::{self, Form};
use crate::spool::{SpoolLimits, inspect};

/// Shows the state of the spool.
///
/// # Errors
/// [`AgentError::Spool`] when it cannot be read.
pub fn status(data: &DataDir, form: Form) -> Result<Outcome, AgentError> {
    let status = inspect(&data.spool(), SpoolLimits::standard())?;
    let oldest = status.oldest_captured_at.as_deref().unwrap_or("-");
    let mut lines = vec![
        format!("epoch     {}", status.epoch),
        format!("next seq  {}", status.next_seq),
        format!("pending   {}", status.pending),
        format!("oldest    {oldest}"),
        format!("bytes     {} of {}", status.bytes, status.bytes_max),
        format!("dropped   {}", status.dropped),
    ];
    let gaps = status.gaps.iter().map(Gap::from);
    lines.extend(gaps.map(|gap| format!("gap       {gap}")));
    output::show(form, &status, &lines);
    Ok(Outcome::Success)
}
