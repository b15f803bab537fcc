//! Removing what is no longer kept.

use monsys_core::store::{Retention, Swept};
use serde_json::json;

use super::{existing_store_of, refuse_demo, say};
use crate::cli::StoreArgs;
use crate::clock::wall_now;
use crate::error::Failure;
use crate::store::Author;

/// What is to be done about what is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Count it.
    Count,
    /// Remove it.
    Sweep,
}

/// `retention run`.
pub(super) async fn run(step: Step, args: &StoreArgs) -> Result<(), Failure> {
    let store = existing_store_of(args).await?;
    refuse_demo(&*store).await?;
    let (retention, now) = (Retention::standard(), wall_now());
    let is_dry = step == Step::Count;
    let swept = if is_dry {
        store.count_due(retention, now).await?
    } else {
        let swept = store.sweep(retention, now).await?;
        let audit = store.add_audit(None, Author::CommandLine, "retention run", in_words(&swept));
        audit.await?;
        swept
    };
    let shown = json!({
        "dry_run": is_dry,
        "signals": swept.signals,
        "current": swept.current,
        "metrics": swept.metrics,
        "endpoints": swept.endpoints,
        "contents": swept.contents,
        "nonces": swept.nonces,
    });
    let did = if is_dry { "would remove" } else { "removed" };
    say(
        args.json,
        &shown,
        format_args!("{did} {}", in_words(&swept)),
    );
    store.close();
    Ok(())
}

fn in_words(swept: &Swept) -> String {
    format!(
        "{} signals, {} expired current signals, {} metrics, {} endpoint snapshots, \
         {} content hashes, {} nonces",
        swept.signals, swept.current, swept.metrics, swept.endpoints, swept.contents, swept.nonces
    )
}
