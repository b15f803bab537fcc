//! From drafts to stored signals, for workers, ingest handlers and scanners of a hub.
//!
//! What: the emitter of the signals document. It checks every draft where the mistake was made,
//! and stores all of a batch or nothing. What not: the rules (they are the validator's), the
//! transaction (the store's), and what agents may claim (`monsys_signals::admit`). Cost: one pass
//! over the drafts and one call of the store.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::future::{Future, ready};
use core::pin::Pin;
use core::task::{Context, Poll};

use thiserror::Error;

use super::{SignalStore, StoreError, StoreFuture};
use crate::id::TenantId;
use crate::limit;
use crate::signal::{Signal, SignalDraft, Violations};
use crate::time::Timestamp;

/// The answer of an emitter, later.
pub type EmitFuture<'a> = Pin<Box<dyn Future<Output = Result<(), EmitError>> + Send + 'a>>;

/// Why nothing of a batch was stored.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EmitError {
    /// Drafts that break rules; the first are named by index, field and rule.
    #[error("invalid signals: {0}")]
    Invalid(#[source] Violations),
    /// More drafts than one batch holds.
    #[error(
        "batch of {n_signals} signals: expected at most {}",
        limit::SIGNALS_PER_BATCH_MAX
    )]
    TooMany {
        /// How many there were.
        n_signals: usize,
    },
    /// The store did not take them.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes checked signals of one hub into its store.
///
/// ```
/// use monsys_core::signal::SignalDraft;
/// use monsys_core::store::{EmitError, Emitter, InMemory};
/// # use core::task::{Context, Poll, Waker};
/// # use monsys_core::{TenantId, Timestamp, name::DisplayName};
/// # let now = Timestamp::parse_rfc3339("2026-11-21T01:15:41Z")?;
/// # let tenant = TenantId::from_random_bytes([1; 16]);
/// let store = InMemory::new();
/// # store.add_tenant(tenant, DisplayName::parse("acme")?);
/// let emitter = Emitter::new(&store);
/// let good = SignalDraft {
///     source: "my_check".into(), subject_type: "agent".into(), subject_id: "web-1".into(),
///     key: "my.finding".into(), value: r#"{"value":42,"extra":"context"}"#.into(),
///     severity: Some("high".into()), observed_at: now, ttl_seconds: None,
/// };
/// let typo = SignalDraft { key: "finding".into(), ..good.clone() };
/// # let wait = |mut f: monsys_core::store::EmitFuture<'_>|
/// #     match f.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
/// #         Poll::Ready(answer) => answer, Poll::Pending => unreachable!() };
/// let refused = wait(emitter.emit_batch(tenant, &[good.clone(), typo], now));
/// assert!(matches!(refused, Err(EmitError::Invalid(v)) if v.first().index == 1));
/// assert_eq!(store.signal_history(tenant).len(), 0);
/// wait(emitter.emit(tenant, &good, now))?;
/// assert_eq!(store.signal_history(tenant).len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct Emitter<'a> {
    store: &'a dyn SignalStore,
}

impl<'a> Emitter<'a> {
    /// Takes the store to write to.
    pub const fn new(store: &'a dyn SignalStore) -> Self {
        Self { store }
    }

    /// Checks and stores one signal.
    ///
    /// # Errors
    /// As [`Self::emit_batch`].
    pub fn emit(&self, tenant: TenantId, draft: &SignalDraft, now: Timestamp) -> EmitFuture<'a> {
        self.emit_batch(tenant, core::slice::from_ref(draft), now)
    }

    /// Checks and stores a batch, all or nothing: one invalid signal refuses its neighbours too
    /// (signals document, `EmitBatch`). An empty batch is fine and stores nothing.
    ///
    /// # Errors
    /// `TooMany` and `Invalid` before the store is asked, else what the store says. Nothing was
    /// stored, but for `Store(Unavailable)` of a connection that broke while it answered.
    pub fn emit_batch(
        &self,
        tenant: TenantId,
        drafts: &[SignalDraft],
        now: Timestamp,
    ) -> EmitFuture<'a> {
        match check(drafts, now) {
            Ok(signals) if signals.is_empty() => Box::pin(ready(Ok(()))),
            Ok(signals) => Box::pin(Emission(self.store.emit(tenant, signals))),
            Err(refused) => Box::pin(ready(Err(refused))),
        }
    }
}

impl fmt::Debug for Emitter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Emitter(…)")
    }
}

fn check(drafts: &[SignalDraft], now: Timestamp) -> Result<Vec<Signal>, EmitError> {
    if drafts.len() > limit::SIGNALS_PER_BATCH_MAX {
        return Err(EmitError::TooMany {
            n_signals: drafts.len(),
        });
    }
    Signal::validate_batch(drafts, now).map_err(EmitError::Invalid)
}

/// The store's answer as that of the emitter.
struct Emission<'a>(StoreFuture<'a, ()>);

impl Future for Emission<'_> {
    type Output = Result<(), EmitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context).map_err(EmitError::Store)
    }
}
