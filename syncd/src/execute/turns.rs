//! Whose turn it is to send requests.
//!
//! Knows services as a number: how many have a turn, and how many queue for one. Whoever waits for something else than its requests gives its
//! turn back. Invariant: a turn and a place in the queue are given back when they are dropped.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::plan::Plan;

/// Number of services that may have requests ready for each that is under way: so many that none waits for a service, and so few that thousands
/// do not hold what they are going to send.
const TURNS_PER_REQUEST: usize = 2;

/// Longest that a look at what was applied is put off for the sake of those who queue,
const PUT_OFF_MAX: Duration = Duration::from_secs(15);
/// and the part of the shortest timeout of a plan: nobody is to be given up unseen.
const PUT_OFF_PART: u32 = 4;

/// Whose turn it is to send requests.
pub(super) struct Turns {
    free: Semaphore,
    /// Services that wait for their turn.
    waiting: AtomicUsize,
    nobody_waits: Notify,
    /// How long others are patient with the queue.
    patience: Duration,
}

impl Turns {
    pub(super) fn new(concurrency: usize, plan: &Plan) -> Self {
        let shortest = plan.services.values().map(|service| service.timeout_seconds).min().unwrap_or_default();
        Turns {
            free: Semaphore::new(TURNS_PER_REQUEST * concurrency),
            waiting: AtomicUsize::new(0),
            nobody_waits: Notify::new(),
            patience: PUT_OFF_MAX.min(Duration::from_secs(shortest) / PUT_OFF_PART),
        }
    }

    /// Waits until nobody waits for a turn any more, with patience.
    pub(super) async fn end_of_queue(&self) {
        let ends = self.nobody_waits.notified();
        if self.waiting.load(Ordering::Relaxed) > 0 {
            // Whether it ended does not matter.
            let _ = tokio::time::timeout(self.patience, ends).await;
        }
    }
}

/// A place in the queue, left when it is dropped.
struct Queued<'a>(&'a Turns);

impl<'a> Queued<'a> {
    fn new(turns: &'a Turns) -> Self {
        turns.waiting.fetch_add(1, Ordering::Relaxed);
        Queued(turns)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        if self.0.waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.nobody_waits.notify_waiters();
        }
    }
}

/// The turn of a service, which it gives back whenever it waits for something else than its requests.
pub(super) struct Turn<'a> {
    turns: &'a Turns,
    held: Mutex<Option<SemaphorePermit<'a>>>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(turns: &'a Turns) -> Self {
        Turn { turns, held: Mutex::default() }
    }

    /// Waits until it is the service's turn, unless it is.
    pub(super) async fn take(&self) {
        if self.held().is_some() {
            return;
        }
        let permit = match self.turns.free.try_acquire() {
            Ok(permit) => Some(permit),
            Err(_) => {
                let _queued = Queued::new(self.turns);
                self.turns.free.acquire().await.ok()
            }
        };
        *self.held() = permit;
    }

    pub(super) fn give_back(&self) {
        self.held().take();
    }

    fn held(&self) -> MutexGuard<'_, Option<SemaphorePermit<'a>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
