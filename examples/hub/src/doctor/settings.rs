//! What the operator chose: as `check` examines it, with the secrets in it and never shown.

use super::check::Check;
use crate::config::HubConfig;

/// Makes the checks of the settings.
pub(super) fn examine(config: &HubConfig) -> Vec<Check> {
    let name = "settings";
    let found = config.examine();
    let environment = config.serving.environment.as_str();
    let faults = found.faults.into_iter().map(|fault| {
        let todo = format!("set it: a hub in {environment} refuses to start");
        Check::fail(name, fault, todo)
    });
    let warnings = found.warnings.into_iter().map(|warning| {
        let todo = "set it before the hub is run for others";
        Check::warn(name, warning, todo)
    });
    let mut checks: Vec<_> = faults.chain(warnings).collect();
    if checks.is_empty() {
        checks.push(Check::ok(name, format!("complete for {environment}")));
    }
    checks
}
