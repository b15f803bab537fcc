//! `doctor`: the checklist of a deployment, each condition tried for real where it can be.
//!
//! What: the machine, the settings, the store, and the cryptography of this very program. Privileges
//! that must not be there are used, in a transaction that is rolled back; a row of another
//! organisation is made there and looked for. Nothing stays of it. What not: what runs; that is what
//! `health` and the metrics are for.
//!
//! Exit code: 1 when a check failed, 69 when nothing failed but something was not reached. A warning
//! changes neither.

mod certificate;
mod check;
mod clock;
mod machine;
mod settings;
mod wire;

use std::process::ExitCode;

use serde_json::json;

use self::check::Outcome;
use crate::cli::DoctorArgs;
use crate::error::Failure;
use crate::location::StoreLocation;
use crate::output;

// The interface of the doctor is
pub(crate) use self::check::Check;
pub(crate) use self::clock::of_database;

/// Makes all checks and shows them.
///
/// # Errors
/// Configuration: when the settings cannot even be read.
pub(crate) async fn run(args: DoctorArgs) -> Result<ExitCode, Failure> {
    let config = args.choices.complete(args.config.as_deref())?;
    let location = StoreLocation::of(config.data.clone())?;
    let mut checks = settings::examine(&config);
    checks.push(certificate::examine(&config.serving));
    checks.extend(machine::examine(&location, config.serving.connections));
    checks.extend(location.examine().await);
    checks.push(clock::of_hub(args.against.as_deref()).await);
    checks.extend([wire::signature(), wire::canonical_json()]);
    let (code, is_ok) = verdict(&checks);
    if args.json {
        output::line(json!({"ok": is_ok, "checks": checks}));
    } else {
        checks.iter().for_each(output::line);
    }
    Ok(ExitCode::from(code))
}

fn verdict(checks: &[Check]) -> (u8, bool) {
    let failed = || {
        checks
            .iter()
            .filter(|check| check.outcome() == Outcome::Fail)
    };
    if failed().any(|check| !check.is_away()) {
        (1, false)
    } else if failed().next().is_some() {
        (69, false)
    } else {
        (0, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_weighs_more_than_what_was_away_and_a_warning_nothing() {
        let ok = || Check::ok("a", "");
        let warn = || Check::warn("b", "", "");
        let away = || Check::away("c", "", "");
        let fail = || Check::fail("d", "", "");
        for (checks, expected) in [
            (vec![ok(), warn(), Check::skip("e", "")], (0, true)),
            (vec![ok(), away()], (69, false)),
            (vec![away(), fail(), ok()], (1, false)),
        ] {
            assert_eq!(verdict(&checks), expected);
        }
    }
}
