//! Looks at certificates by hand: all that are configured, or one endpoint.

use std::collections::BTreeMap;
use std::process::ExitCode;

use monsys_core::severity::Severity;
use monsys_core::signal::SignalDraft;
use monsys_core::store::EmitError;
use monsys_signals::scan::cert::Observation;
use serde_json::{Value, json};

use super::{existing_store_of, refuse_demo, tenant_named};
use crate::cli::ScanCertsArgs;
use crate::clock::Clock;
use crate::config::Choices;
use crate::error::{Failure, FailureKind};
use crate::output;
use crate::scan::{Look, ScanConfig, Scanner, TargetEntry, scan, watched};
use crate::store::Author;

/// `scan certs`.
pub(super) async fn certs(args: ScanCertsArgs) -> Result<ExitCode, Failure> {
    let choices = Choices {
        data: args.store.data.clone(),
        scan: args.scan.clone(),
        ..Choices::default()
    };
    let mut config = choices.complete(args.config.as_deref())?;
    choose_targets(&mut config.scan, &args)?;
    let mut store_args = args.store;
    store_args.data = config.data;
    let store = existing_store_of(&store_args).await?;
    refuse_demo(&*store).await?;
    if let Some(org) = &args.org {
        tenant_named(&*store, org).await?;
    }
    let round = watched(&*store, &config.scan).await?;
    let mut looks = Vec::with_capacity(round.len());
    let mut n_looks = BTreeMap::new();
    for watched in &round {
        *n_looks.entry(watched.tenant).or_insert(0_usize) += 1;
    }
    let scanner = Scanner::new(&config.scan);
    let round = round.into_iter().enumerate().collect();
    scan(&scanner, &*store, &Clock::system(), round, |look| {
        if !store_args.json {
            output::line(in_one_line(&look));
        }
        looks.push(look);
    })
    .await;
    for (tenant, n_looks) in n_looks {
        let subject = n_looks.to_string();
        let audit = store.add_audit(Some(tenant), Author::Hub, "certificates looked at", subject);
        audit.await?;
    }
    store.close();
    looks.sort_by_key(|look| look.index);
    if store_args.json {
        let items: Vec<_> = looks.iter().map(item).collect();
        output::line(json!({"items": items}));
    }
    end(looks)
}

/// Replaces the configured targets by the one that is asked for, or by those of one organisation.
fn choose_targets(config: &mut ScanConfig, args: &ScanCertsArgs) -> Result<(), Failure> {
    let usage = |what: &str| Failure::new(FailureKind::Usage, what);
    if let Some(org) = &args.org {
        config.targets.retain(|target| target.org == *org);
    }
    if let (Some(target), Some(org)) = (&args.target, &args.org) {
        let expected = "--target: expected HOST:PORT, an IPv6 address in brackets";
        let (host, port) = target.rsplit_once(':').ok_or_else(|| usage(expected))?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(usage(expected));
        }
        let entry = TargetEntry {
            org: org.clone(),
            host: host.to_owned(),
            port: Some(port.parse().map_err(|_| usage(expected))?),
            name: args.name.clone(),
            allow_private: false,
        };
        let target = entry.parse(config.allow_private);
        config.targets = vec![target.map_err(|what| usage(&format!("--target: {what}")))?];
    }
    if config.targets.is_empty() {
        let message = "nothing to look at: expected --target, or [[scan.certs]] in the file that \
                       --config names";
        return Err(usage(message));
    }
    Ok(())
}

/// The worst news decides: not stored, then a serious finding, then a certificate not seen.
fn end(looks: Vec<Look>) -> Result<ExitCode, Failure> {
    let is_serious = |look: &Look| worst(look) >= Some(Severity::High);
    let is_unseen = |look: &Look| matches!(look.observation, Observation::Unseen(_));
    let has_serious = looks.iter().any(is_serious);
    let has_unseen = looks.iter().any(is_unseen);
    for look in looks {
        let endpoint = &look.watched.target.endpoint;
        look.stored
            .map_err(|error| not_stored(error).about(endpoint))?;
    }
    Ok(match (has_serious, has_unseen) {
        (true, _) => ExitCode::FAILURE,
        (false, true) => ExitCode::from(69),
        (false, false) => ExitCode::SUCCESS,
    })
}

fn not_stored(error: EmitError) -> Failure {
    if let EmitError::Store(error) = error {
        return error.into();
    }
    Failure::new(FailureKind::Io, error)
}

fn worst(look: &Look) -> Option<Severity> {
    look.drafts.iter().filter_map(severity).max()
}

fn severity(draft: &SignalDraft) -> Option<Severity> {
    draft
        .severity
        .as_deref()
        .and_then(|word| Severity::parse(word).ok())
}

fn in_one_line(look: &Look) -> String {
    let severity = worst(look).map_or("-", |severity| severity.as_str());
    let mut line = format!(
        "{severity:8}  {}  {}",
        look.watched.target.org, look.watched.target.endpoint
    );
    for draft in &look.drafts {
        line.push_str(&format!("  {} {}", draft.key, draft.value));
    }
    line
}

fn item(look: &Look) -> Value {
    let signals: Vec<_> = look
        .drafts
        .iter()
        .map(|draft| {
            let value: Option<Value> = serde_json::from_str(&draft.value).ok();
            json!({"key": draft.key, "value": value, "severity": draft.severity})
        })
        .collect();
    json!({
        "org": look.watched.target.org,
        "subject_id": look.watched.target.endpoint.to_string(),
        "severity": worst(look).map(Severity::as_str),
        "signals": signals,
    })
}
