//! Which organisations an auditor may read.

use serde_json::json;

use super::{location_of, say};
use crate::cli::AuditorArgs;
use crate::error::{Failure, FailureKind};
use crate::location::StoreLocation;
use crate::store::postgres::PostgresPlace;
use crate::store::postgres::auditor::{self, AuditorError};

/// `auditor grant`.
pub(super) async fn grant(args: &AuditorArgs) -> Result<(), Failure> {
    let location = location_of(&args.store)?;
    let granted = auditor::grant(owner_of(&location)?, &args.role, &args.org).await;
    let is_new = granted.map_err(|error| failure(error, &location))?;
    let word = if is_new { "now reads" } else { "reads already" };
    said(args, "granted", word);
    Ok(())
}

/// `auditor revoke`.
pub(super) async fn revoke(args: &AuditorArgs) -> Result<(), Failure> {
    let location = location_of(&args.store)?;
    let revoked = auditor::revoke(owner_of(&location)?, &args.role, &args.org).await;
    revoked.map_err(|error| failure(error, &location))?;
    said(args, "revoked", "no longer reads");
    Ok(())
}

fn owner_of(location: &StoreLocation) -> Result<&PostgresPlace, Failure> {
    location.owner().ok_or_else(|| {
        let message = format!(
            "{location}: auditors are login roles of PostgreSQL: expected DATABASE_URL to name \
             the database of a hub"
        );
        Failure::new(FailureKind::Configuration, message)
    })
}

fn said(args: &AuditorArgs, status: &str, word: &str) {
    let (role, org) = (&args.role, &args.org);
    let shown = json!({"status": status, "role": role, "org": org});
    say(args.store.json, &shown, format_args!("{role} {word} {org}"));
}

fn failure(error: AuditorError, location: &StoreLocation) -> Failure {
    match error {
        AuditorError::Open(error) => Failure::from(error).about(location),
        AuditorError::UnknownOrg(_)
        | AuditorError::UnknownRole(_)
        | AuditorError::NoLogin(_)
        | AuditorError::Unfenced(_)
        | AuditorError::NotGranted { .. } => Failure::new(FailureKind::Usage, error),
    }
}
