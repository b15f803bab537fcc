//! `migrate`: bring a store to the schema of this program, or only say what that would do.

use serde_json::json;

use super::{location_of, say};
use crate::cli::StoreArgs;
use crate::error::Failure;

/// Migrates.
pub(super) async fn migrate(args: &StoreArgs) -> Result<(), Failure> {
    location_of(args)?.migrate().await?;
    say(
        args.json,
        &json!({"status": "ok"}),
        "the store has the schema of this program",
    );
    Ok(())
}

/// Says what `migrate` would do, and changes nothing.
pub(super) async fn look(args: &StoreArgs) -> Result<(), Failure> {
    let location = location_of(args)?;
    let schema = location.schema().await?;
    let steps: Vec<i64> = (schema.found + 1..=schema.newest).collect();
    let shown = json!({
        "status": if steps.is_empty() { "ok" } else { "pending" },
        "store": location.to_string(),
        "found": schema.found,
        "newest": schema.newest,
        "would_run": steps,
    });
    let text = if steps.is_empty() {
        format!("{location} has the schema of this program: nothing would be done")
    } else {
        let (found, newest) = (schema.found, schema.newest);
        format!("{location} has schema {found}: migrate would bring it to {newest}")
    };
    say(args.json, &shown, text);
    Ok(())
}
