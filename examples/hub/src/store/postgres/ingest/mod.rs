//! What accepted payloads write, many in one transaction.
//!
//! Tenant by tenant, in the order of their identifiers: the rows of their agents are locked in
//! order, so that two transactions never wait for each other; what decides about the payloads is
//! read in one statement each; the decisions are made in memory, in the order of the input; what
//! they leave is written by a few statements of many rows.

mod agent_state;
mod content;
mod live_key;
mod payload;

use std::collections::BTreeMap;
use std::sync::Arc;

use monsys_core::id::TenantId;
use monsys_core::position::Admission;
use monsys_core::store::{
    IngestBatch, IngestFinding, IngestOutcome, IngestStore, NonceOutcome, NonceUse, Payload,
    StoreError, StoreFuture,
};

use self::agent_state::AgentStates;
use self::content::Contents;
use self::live_key::LiveKeys;
use self::payload::PayloadRows;
use super::PostgresStore;
use super::anomaly::record;
use super::fault::Fault;
use super::nonce::{self, Nonces, known, spend};
use super::partition::{Slice, Table};
use super::signal::slice_of;
use super::transaction::{Plan, Tx, shared};

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
                    record(tx, of, found.at, finding, found.occurrences, signal).await?;
                    Ok(())
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
    for (tenant, placed) in tenants {
        tx.enter(tenant).await?;
        let batches: Vec<&IngestBatch> = placed.iter().map(|(_, batch)| *batch).collect();
        let decided = commit_of_tenant(tx, tenant, &batches).await?;
        outcomes.extend(placed.iter().map(|(place, _)| *place).zip(decided));
    }
    Ok(outcomes.into_values().collect())
}

async fn commit_of_tenant(
    tx: &Tx,
    tenant: TenantId,
    batches: &[&IngestBatch],
) -> Result<Vec<IngestOutcome>, Fault> {
    let mut turn = Turn {
        agents: AgentStates::lock(tx, tenant, batches).await?,
        nonces: Nonces::of(tx),
        contents: Contents::read(tx, tenant, batches).await?,
        keys: LiveKeys::default(),
        rows: PayloadRows::default(),
    };
    let with_nonce = batches.iter().filter_map(|batch| {
        let nonce = batch.nonce?;
        Some((batch.agent, nonce, batch.received_at))
    });
    let uses: Vec<_> = with_nonce.collect();
    let mut known = known(tx, tenant, &uses).await?.into_iter();
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
            NonceOutcome::Spent => turn.decide(tx, batch).await?,
            NonceOutcome::Used => IngestOutcome::NonceUsed,
            NonceOutcome::Full { retry_after_s } => IngestOutcome::NoncesFull { retry_after_s },
        });
    }
    turn.write(tx, tenant).await?;
    for (batch, outcome) in batches.iter().zip(&outcomes) {
        if let (Some((finding, signal)), IngestOutcome::Accepted) = (&batch.finding, outcome) {
            let of = (tenant, batch.agent);
            record(tx, of, batch.received_at, finding, 1, signal).await?;
        }
    }
    Ok(outcomes)
}

/// What the payloads of one tenant are decided by, and what they leave.
struct Turn<'a> {
    agents: AgentStates,
    nonces: Nonces,
    contents: Contents,
    keys: LiveKeys,
    rows: PayloadRows<'a>,
}

impl<'a> Turn<'a> {
    async fn decide(&mut self, tx: &Tx, batch: &'a IngestBatch) -> Result<IngestOutcome, Fault> {
        let positions = self.agents.positions(batch.agent)?;
        // A copy: a payload that is refused further down leaves the positions as they were.
        let mut admitting = positions.clone();
        let known = self.contents.at(batch);
        let fills_gap = match admitting.admit(batch.position, batch.content, known) {
            Admission::Duplicate => return Ok(IngestOutcome::Duplicate),
            Admission::Replay => return Ok(IngestOutcome::Replay),
            Admission::StaleEpoch { min_epoch } => {
                return Ok(IngestOutcome::StaleEpoch { min_epoch });
            }
            Admission::OutOfRange => return Ok(IngestOutcome::OutOfRange),
            Admission::Fresh { fills_gap } => fills_gap,
        };
        if let Payload::Signals(signals) = &batch.payload
            && let Some(index) = self.keys.take(tx, batch, signals).await?
        {
            return Ok(IngestOutcome::TooManyKeys { index });
        }
        self.rows.add(batch, fills_gap && batch.is_late())?;
        self.contents.keep(batch);
        self.agents.accept(batch, admitting, fills_gap)?;
        Ok(IngestOutcome::Accepted)
    }

    async fn write(self, tx: &Tx, tenant: TenantId) -> Result<(), Fault> {
        self.nonces.write(tx, tenant).await?;
        self.contents.write(tx, tenant).await?;
        self.agents.write(tx, tenant).await?;
        self.rows.write(tx, tenant).await
    }
}
