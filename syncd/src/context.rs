//! What surrounds a cycle: the time of day, who listens, and when to stop waiting.
//!
//! Everything that is neither the repository, nor the cluster, nor a setting, and still from outside. Invariant: nothing here changes
//! what is decided, only how long is waited and what is told; but for what people want left alone, which is decided by them.

use std::future::Future;

use tokio::sync::watch;

use crate::report::{Event, Observer};
use crate::suspension::Heard;

/// Tells the time of day: for reports, and for when the last full sync was. Never for waiting.
pub trait Clock: Send + Sync {
    /// Returns the present time.
    fn now(&self) -> jiff::Timestamp;
}

/// What surrounds a cycle.
pub struct Context<'a> {
    /// The time of day.
    pub clock: &'a dyn Clock,
    /// Who hears what happens.
    pub observer: &'a dyn Observer,
    /// Becomes true when waiting is no longer worth it: a newer revision is there, or the process is to end. Requests under way are
    /// finished, waits end, the report comes.
    pub superseded: watch::Receiver<bool>,
    /// What was heard of what people want left alone.
    pub heard: &'a Heard,
}

impl Context<'_> {
    /// Returns the present time as RFC 3339, UTC.
    pub fn now(&self) -> String {
        self.clock.now().to_string()
    }

    /// Tells an event.
    pub fn tell(&self, event: &Event) {
        self.observer.observe(event);
    }

    /// Tells whether waiting is no longer worth it.
    pub fn is_superseded(&self) -> bool {
        *self.superseded.borrow()
    }

    /// Waits for `future`, but not when that is no longer worth it: then nothing.
    pub async fn unless_superseded<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut superseded = self.superseded.clone();
        let stop = async {
            if superseded.wait_for(|superseded| *superseded).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = stop => None,
            output = future => Some(output),
        }
    }
}
