//! Asking the worker for a cycle now.
//!
//! Orders go to the one loop that also runs the cycles that are due, so that two of them never run
//! in one hub, whoever asks how often.

use std::sync::{Mutex, PoisonError};

use monsys_core::store::StoreError;
use tokio::sync::{mpsc, oneshot};

/// What came of asking for a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It runs.
    Started,
    /// One runs already in this hub.
    Running,
    /// Another hub has the lease.
    Elsewhere,
    /// One has just ended: whoever asks without end must not keep the store busy for others.
    TooSoon,
}

impl Asked {
    /// Returns the word used in addresses.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Running => "running",
            Self::Elsewhere => "elsewhere",
            Self::TooSoon => "too-soon",
        }
    }
}

/// Who asked, and waits to hear what came of it.
pub(super) type Order = oneshot::Sender<Result<Asked, StoreError>>;

/// Where orders wait for the loop.
#[derive(Debug)]
pub(super) struct Orders {
    sender: mpsc::Sender<Order>,
    receiver: Mutex<Option<mpsc::Receiver<Order>>>,
}

impl Default for Orders {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        Self {
            sender,
            receiver: Mutex::new(Some(receiver)),
        }
    }
}

impl Orders {
    /// Takes the end where orders arrive; the first caller gets it.
    pub(super) fn take(&self) -> Option<mpsc::Receiver<Order>> {
        let mut receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        receiver.take()
    }

    /// Asks for a cycle, and waits until it is known whether there is one.
    ///
    /// # Errors
    /// Those of taking the lease; `Unavailable` when too many ask or the worker has ended.
    pub(super) async fn place(&self) -> Result<Asked, StoreError> {
        let (order, answer) = oneshot::channel();
        let placed = self.sender.try_send(order);
        placed.map_err(|_| StoreError::Unavailable)?;
        answer.await.unwrap_or(Err(StoreError::Unavailable))
    }
}

/// Answers an order. Whoever went away meanwhile hears nothing.
pub(super) fn answer(order: Option<Order>, asked: Result<Asked, StoreError>) {
    if let Some(order) = order {
        let _ = order.send(asked);
    }
}

/// Most orders that wait: the loop answers each at once, but for the moment that a lease takes.
const WAITING_MAX: usize = 16;
