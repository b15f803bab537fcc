//! What accepted payloads write, many in one transaction.
//!
//! Tenant by tenant, in the order of their identifiers: the rows of their agents are locked in
//! order, so that two transactions never wait for each other; what decides about the payloads is
//! read in one statement each, all sent together; the decisions are made in memory, in the order of
//! the input; what they leave is written by a few statements of many rows, sent together as well.

mod agent_state;
mod content;
mod live_key;
mod payload;

use std::collections::BTreeMap;
use std::sync::Arc;

use monsys_core::id::{AgentId, TenantId};
use monsys_core::position::Admission;
use monsys_core::store::{
    IngestBatch, IngestFinding, IngestOutcome, IngestStore, NonceDigest, NonceOutcome, NonceUse,
    Payload, StoreError, StoreFuture,
};
use monsys_core::time::Timestamp;

use self::agent_state::{AgentStates, LOCK, agents_of};
use self::content::{CONTENTS, Contents, ContentsQuery};
use self::live_key::LiveKeys;
pub(super) use self::live_key::{KEYS, LiveKeysQuery};
use self::payload::PayloadRows;
use super::PostgresStore;
use super::anomaly::record;
use super::fault::Fault;
use super::ledger::Ledger;
use super::nonce::{self, KNOWN, Known, KnownQuery, Nonces, known_of, spend};
use super::partition::{Slice, Table};
use super::row_values::RowValues;
use super::signal::{ARRIVALS, arrivals_of, slice_of};
use super::transaction::{Parameters, Plan, Query, Tx, shared};

impl IngestStore for PostgresStore {
    fn commit<'a>(&'a self, batches: &'a [IngestBatch]) -> StoreFuture<'a, Vec<IngestOutcome>> {
        let batches = shared(batches);
        let written = Arc::clone(&batches);
        let slices = move || batches.iter().flat_map(slices_of).collect();
        let plan = Plan::write_hub("ingest").repeatable();
        self.run_in_slices(plan, slices, move |tx| {
            let batches = Arc::clone(&written);
            Box::pin(async move { commit(tx, &batches).await })
        })
    }

    fn spend_nonce<'a>(&'a self, spent: &'a NonceUse) -> StoreFuture<'a, NonceOutcome> {
        let spent = *spent;
        let plan = Plan::write("spend nonce", spent.tenant).repeatable();
        let slices = move || vec![nonce::slice_at(spent.at)];
        self.run_in_slices(plan, slices, move |tx| {
            Box::pin(async move { spend(tx, spent).await })
        })
    }

    fn record<'a>(&'a self, finding: &'a IngestFinding) -> StoreFuture<'a, ()> {
        let found = Arc::new(finding.clone());
        let slice = slice_of(&finding.signal);
        let plan = Plan::write("record", finding.tenant);
        self.run_in_slices(
            plan,
            move || vec![slice],
            move |tx| {
                let found = Arc::clone(&found);
                Box::pin(async move {
                    let (finding, signal) = (&found.finding, &found.signal);
                    let of = (found.tenant, found.agent);
                    let mut ledger = Ledger::lock(tx, found.tenant).await?;
                    let n = found.occurrences;
                    record(tx, &mut ledger, of, found.at, finding, n, signal).await?;
                    ledger.write(tx).await
                })
            },
        )
    }
}

/// Where the rows of a payload go.
fn slices_of(batch: &IngestBatch) -> Vec<Slice> {
    let at = batch.received_at;
    let mut slices = vec![Slice {
        table: Table::Contents,
        at,
    }];
    slices.extend(nonce::slice_of(batch));
    match &batch.payload {
        Payload::Metrics(_) => slices.push(Slice {
            table: Table::Metrics,
            at,
        }),
        Payload::Endpoint(_) => slices.push(Slice {
            table: Table::EndpointSnapshots,
            at,
        }),
        Payload::Signals(signals) => slices.extend(signals.iter().map(slice_of)),
        _ => {}
    }
    slices.extend(batch.finding.iter().map(|(_, signal)| slice_of(signal)));
    slices
}

async fn commit(tx: &Tx, batches: &[IngestBatch]) -> Result<Vec<IngestOutcome>, Fault> {
    let mut tenants: BTreeMap<TenantId, Vec<(usize, &IngestBatch)>> = BTreeMap::new();
    for (place, batch) in batches.iter().enumerate() {
        tenants
            .entry(batch.tenant)
            .or_default()
            .push((place, batch));
    }
    let mut outcomes = BTreeMap::new();
    let n_tenants = tenants.len();
    for (index, (tenant, placed)) in tenants.into_iter().enumerate() {
        let batches: Vec<&IngestBatch> = placed.iter().map(|(_, batch)| *batch).collect();
        let ending = if index + 1 == n_tenants {
            Ending::Commit
        } else {
            Ending::GoOn
        };
        // It goes out first, and the reading behind it.
        let (entered, decided) = tokio::join!(
            biased;
            tx.enter(tenant),
            commit_of_tenant(tx, tenant, &batches, ending)
        );
        entered?;
        outcomes.extend(placed.iter().map(|(place, _)| *place).zip(decided?));
    }
    Ok(outcomes.into_values().collect())
}

/// What follows when the payloads of a tenant are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    GoOn,
    Commit,
}

async fn commit_of_tenant(
    tx: &Tx,
    tenant: TenantId,
    batches: &[&IngestBatch],
    ending: Ending,
) -> Result<Vec<IngestOutcome>, Fault> {
    let (mut turn, known) = Turn::read(tx, tenant, batches).await?;
    let mut known = known.into_iter();
    let mut outcomes = Vec::with_capacity(batches.len());
    for batch in batches {
        let outcome = match batch.nonce {
            None => NonceOutcome::Spent,
            Some(nonce) => {
                let known = known.next().ok_or(StoreError::Damaged)?;
                let used = (batch.agent, nonce, batch.received_at);
                turn.nonces.decide(used, &known)
            }
        };
        outcomes.push(match outcome {
            NonceOutcome::Spent => turn.decide(batch)?,
            NonceOutcome::Used => IngestOutcome::NonceUsed,
            NonceOutcome::Full { retry_after_s } => IngestOutcome::NoncesFull { retry_after_s },
        });
    }
    let rows = turn.into_rows(tenant);
    let found: Vec<_> = batches
        .iter()
        .zip(&outcomes)
        .filter(|(_, outcome)| **outcome == IngestOutcome::Accepted)
        .filter_map(|(batch, _)| Some((batch, batch.finding.as_ref()?)))
        .collect();
    if found.is_empty() && ending == Ending::Commit {
        tx.write_and_commit(&rows).await?;
        return Ok(outcomes);
    }
    tx.write(&rows).await?;
    if found.is_empty() {
        return Ok(outcomes);
    }
    let mut ledger = Ledger::lock(tx, tenant).await?;
    for (batch, (finding, signal)) in found {
        let (of, at) = ((tenant, batch.agent), batch.received_at);
        record(tx, &mut ledger, of, at, finding, 1, signal).await?;
    }
    ledger.write(tx).await?;
    Ok(outcomes)
}

/// What the payloads of one tenant are decided by, and what they leave.
struct Turn<'a> {
    agents: AgentStates,
    nonces: Nonces,
    contents: Contents,
    keys: LiveKeys,
    arrivals: Vec<i64>,
    rows: PayloadRows<'a>,
}

impl<'a> Turn<'a> {
    /// Locks the agents and reads what decides, in statements that are sent together: what is read
    /// after the lock is read when it is held. Answers also what is known of the nonces.
    async fn read(
        tx: &Tx,
        tenant: TenantId,
        batches: &[&IngestBatch],
    ) -> Result<(Self, Vec<Known>), Fault> {
        let agents = agents_of(batches);
        let contents = ContentsQuery::new(batches);
        let keys = LiveKeysQuery::new(batches);
        let uses = nonces_of(batches);
        let known = KnownQuery::new(&uses);
        let n_signals = batches.iter().map(|batch| {
            if let Payload::Signals(signals) = &batch.payload {
                signals.len()
            } else {
                0
            }
        });
        // Some may stay unused: numbers need only rise.
        let n_signals = i64::try_from(n_signals.sum::<usize>()).unwrap_or(i64::MAX);
        let (contents, keys_of) = (contents.parameters(&tenant), keys.parameters(&tenant));
        let known = known.parameters(&tenant);
        let (lock, signals): (Parameters<'_>, Parameters<'_>) =
            (&[&tenant, &agents], &[&n_signals]);
        let mut queries: Vec<Query<'_>> = vec![(LOCK, lock), (CONTENTS, &contents)];
        if !keys.is_empty() {
            queries.push((KEYS, &keys_of));
        }
        if n_signals > 0 {
            queries.push((ARRIVALS, signals));
        }
        if !uses.is_empty() {
            queries.push((KNOWN, &known));
        }
        let mut answers = tx.all_rows(&queries).await?.into_iter();
        let mut next = |is_asked: bool| {
            let answer = is_asked.then(|| answers.next());
            answer.flatten().unwrap_or_default()
        };
        let turn = Self {
            agents: AgentStates::of(&next(true), batches)?,
            nonces: Nonces::of(tx),
            contents: Contents::of(&next(true))?,
            keys: LiveKeys::of(&next(!keys.is_empty()))?,
            arrivals: arrivals_of(&next(n_signals > 0))?,
            rows: PayloadRows::default(),
        };
        Ok((turn, known_of(&next(!uses.is_empty()))?))
    }

    fn decide(&mut self, batch: &'a IngestBatch) -> Result<IngestOutcome, Fault> {
        let positions = self.agents.positions(batch.agent)?;
        // A copy: a payload that is refused further down leaves the positions as they were.
        let mut admitting = positions.clone();
        let known = self.contents.at(batch);
        let fills_gap = match admitting.admit(batch.position, batch.content, known) {
            Admission::Duplicate => return Ok(IngestOutcome::Duplicate),
            Admission::Replay => return Ok(IngestOutcome::Replay),
            Admission::GivenUp => return Ok(IngestOutcome::GivenUp),
            Admission::StaleEpoch { min_epoch } => {
                return Ok(IngestOutcome::StaleEpoch { min_epoch });
            }
            Admission::OutOfRange => return Ok(IngestOutcome::OutOfRange),
            Admission::Fresh { fills_gap } => fills_gap,
        };
        if let Payload::Signals(signals) = &batch.payload
            && let Some(index) = self.keys.take(batch, signals)
        {
            return Ok(IngestOutcome::TooManyKeys { index });
        }
        self.rows.add(batch, fills_gap && batch.is_late())?;
        self.contents.keep(batch);
        self.agents.accept(batch, admitting, fills_gap)?;
        Ok(IngestOutcome::Accepted)
    }

    fn into_rows(self, tenant: TenantId) -> Vec<RowValues<'a>> {
        let mut rows = vec![
            self.nonces.into_rows(tenant),
            self.contents.into_rows(tenant),
            self.agents.into_rows(tenant),
        ];
        rows.extend(self.rows.into_rows(tenant, self.arrivals));
        rows
    }
}

fn nonces_of(batches: &[&IngestBatch]) -> Vec<(AgentId, NonceDigest, Timestamp)> {
    let with_nonce = batches.iter().filter_map(|batch| {
        let nonce = batch.nonce?;
        Some((batch.agent, nonce, batch.received_at))
    });
    with_nonce.collect()
}
