//! Reading the ledger of every organisation again, to see that nothing of it was changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use monsys_core::id::TenantId;
use monsys_core::ledger::{Broken, Digest32, Fault, LedgerHead, Verifier};
use monsys_core::limit;
use monsys_core::store::{AnomalyCursor, AnomalyFilter};
use serde::{Deserialize, Serialize};

use super::{existing_store_of, refuse_demo, say};
use crate::cli::StoreArgs;
use crate::clock::wall_now;
use crate::error::{Failure, FailureKind};
use crate::store::HubStore;

/// What a reading printed, and what a later one can be given to compare with.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    ok: bool,
    ledgers: Vec<Ledger>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    broken: Option<Place>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Ledger {
    org: String,
    entries: u64,
    hash: String,
    anomalies: u64,
}

/// The first bad row.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    org: String,
    entry: Option<u64>,
    anomaly: Option<String>,
    expected: String,
}

/// `verify`.
pub(super) async fn run(since: Option<PathBuf>, args: &StoreArgs) -> Result<ExitCode, Failure> {
    let earlier = since.as_deref().map(read_heads).transpose()?;
    let earlier = earlier.unwrap_or_default();
    let store = existing_store_of(args).await?;
    refuse_demo(&*store).await?;
    let mut outcome = Outcome {
        ok: true,
        ledgers: Vec::new(),
        broken: None,
    };
    let mut missing = earlier.clone();
    for (tenant, name) in store.tenant_names().await? {
        let org = name.as_str().to_owned();
        missing.remove(&org);
        match settled(&*store, tenant, earlier.get(&org).copied()).await? {
            Ok((head, anomalies)) => outcome.ledgers.push(Ledger {
                org,
                entries: head.seq,
                hash: head.hash.to_string(),
                anomalies,
            }),
            Err(broken) => {
                outcome.ok = false;
                outcome.broken = Some(Place {
                    org,
                    entry: broken.seq,
                    anomaly: broken.anomaly.map(|id| id.to_string()),
                    expected: broken.to_string(),
                });
                break;
            }
        }
    }
    if let (true, Some((org, head))) = (outcome.ok, missing.pop_first()) {
        outcome.ok = false;
        outcome.broken = Some(Place {
            org,
            entry: None,
            anomaly: None,
            expected: format!("expected {} entries, found no organisation", head.seq),
        });
    }
    store.close();
    let value = serde_json::to_value(&outcome).unwrap_or_default();
    say(args.json, &value, in_words(&outcome));
    Ok(ExitCode::from(u8::from(!outcome.ok)))
}

fn in_words(outcome: &Outcome) -> String {
    if let Some(place) = &outcome.broken {
        return format!(
            "the ledger of {:?} is not what was written: {}",
            place.org, place.expected
        );
    }
    let each = outcome.ledgers.iter().map(|ledger| {
        format!(
            "{:?}: {} entries about {} anomalies, ending with {}",
            ledger.org, ledger.entries, ledger.anomalies, ledger.hash
        )
    });
    each.collect::<Vec<_>>().join("\n")
}

/// Reads where the ledgers ended in what an earlier reading printed.
fn read_heads(file: &Path) -> Result<BTreeMap<String, LedgerHead>, Failure> {
    let usage = || {
        let expected = "expected in --since the JSON that an earlier `verify --json` printed";
        Failure::new(FailureKind::Usage, expected)
    };
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::new(FailureKind::Io, format!("{}: {error}", file.display())))?;
    let outcome: Outcome = serde_json::from_str(&text).map_err(|_| usage())?;
    let head = |ledger: Ledger| {
        let hash = Digest32::parse_hex(&ledger.hash)?;
        let seq = ledger.entries;
        Some((ledger.org, LedgerHead { seq, hash }))
    };
    let heads = outcome.ledgers.into_iter().map(head);
    heads.collect::<Option<_>>().ok_or_else(usage)
}

/// Reads a ledger; one that a running hub changes meanwhile is read again before it is called
/// broken.
async fn settled(
    store: &dyn HubStore,
    tenant: TenantId,
    earlier: Option<LedgerHead>,
) -> Result<Result<(LedgerHead, u64), Broken>, Failure> {
    for _ in 0..READINGS_MAX {
        let before = store.ledger_head(tenant).await?;
        let read = read(store, tenant, earlier).await?;
        if read.is_ok() || store.ledger_head(tenant).await? == before {
            return Ok(read);
        }
    }
    let message = "the ledger changed during each reading: expected a quieter moment";
    Err(Failure::new(FailureKind::Unavailable, message))
}

async fn read(
    store: &dyn HubStore,
    tenant: TenantId,
    earlier: Option<LedgerHead>,
) -> Result<Result<(LedgerHead, u64), Broken>, Failure> {
    let mut verifier = Verifier::new(tenant);
    loop {
        let after = verifier.head().seq;
        let entries = store.ledger(tenant, None, after, limit::LEDGER_PAGE_ROWS);
        let entries = entries.await?;
        if entries.is_empty() {
            break;
        }
        for entry in &entries {
            let is_known =
                earlier.is_none_or(|known| known.seq != entry.seq || known.hash == entry.hash);
            let broken = verifier.entry(entry).err().or_else(|| {
                (!is_known).then_some(Broken {
                    seq: Some(entry.seq),
                    anomaly: Some(entry.event.anomaly),
                    fault: Fault::Head,
                })
            });
            if let Some(broken) = broken {
                return Ok(Err(broken));
            }
        }
    }
    let head = verifier.head();
    let is_cut = earlier.is_some_and(|known| known.seq > head.seq);
    let mut n_anomalies = 0;
    let mut after: Option<AnomalyCursor> = None;
    loop {
        let filter = AnomalyFilter {
            after,
            ..AnomalyFilter::default()
        };
        let page = store.anomalies(tenant, filter, limit::PAGE_ROWS_MAX, wall_now());
        let page = page.await?;
        for row in &page.rows {
            n_anomalies += 1;
            if let Err(broken) = verifier.anomaly(&row.anomaly) {
                return Ok(Err(broken));
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    // Where the store says that the chain ends, when nothing was added meanwhile.
    let stored = store.ledger_head(tenant).await?;
    let expected = if is_cut { earlier } else { Some(stored) };
    Ok(verifier.finish(expected).map(|head| (head, n_anomalies)))
}

/// How often a ledger is read before a hub that keeps changing it is given up on.
const READINGS_MAX: usize = 5;
