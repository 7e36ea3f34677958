//! When a receiver is told, and told again.
//!
//! One queue a receiver: bounded, in order, in which what was not told of a commit gives way to what is newer. Knows no receiver's ways.
//! Invariants: pushing never waits; what cannot be told within [`Pace::patience`] is dropped and counted, and what comes after it is not held up by it for ever.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::OnResult;
use super::news::News;
use super::receiver::{Around, Failure, Http, Receiver};

/// Most that waits for one receiver; the oldest is dropped.
const QUEUE_MAX: usize = 100;

/// How fast to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Pause after the first failure; it doubles with each.
    pub first: Duration,
    /// Longest pause.
    pub longest: Duration,
    /// How long one message is tried.
    pub patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(5 * 60),
            patience: Duration::from_secs(60 * 60),
        }
    }
}

/// What waits for a receiver.
pub(super) struct Queue {
    name: String,
    on_result: OnResult,
    waiting: Mutex<VecDeque<News>>,
    news: Notify,
}

impl Queue {
    pub(super) fn new(name: &str, on_result: OnResult) -> Self {
        // Shown from the start, so that a receiver that was never told differs from one that there is not.
        RESULTS.iter().for_each(|result| on_result(name, result, 0));
        Queue { name: name.to_owned(), on_result, waiting: Mutex::default(), news: Notify::new() }
    }

    pub(super) fn push(&self, news: News) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(news, News::Commit { .. }) {
            // Of the same commit only the last word counts; of others each its own.
            let revision = |news: &News| match news {
                News::Commit { revision, .. } => Some(revision.clone()),
                News::Problem { .. } => None,
            };
            waiting.retain(|other| revision(other).is_none() || revision(other) != revision(&news));
        }
        if waiting.len() == QUEUE_MAX {
            waiting.pop_front();
            self.count(DROPPED);
        }
        waiting.push_back(news);
        drop(waiting);
        self.news.notify_one();
    }

    async fn next(&self) -> News {
        loop {
            if let Some(news) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front() {
                return news;
            }
            self.news.notified().await;
        }
    }

    /// Tells whether something newer makes `news` pointless.
    fn is_overtaken(&self, news: &News) -> bool {
        let News::Commit { revision, .. } = news else { return false };
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.iter().any(|other| matches!(other, News::Commit { revision: of, .. } if of == revision))
    }

    fn count(&self, result: &'static str) {
        (self.on_result)(&self.name, result, 1);
    }
}

/// It was told.
const TOLD: &str = "told";
/// It could not be told, and is tried again.
const RETRIED: &str = "retried";
/// It was given up.
const DROPPED: &str = "dropped";
/// All of them.
pub const RESULTS: [&str; 3] = [TOLD, RETRIED, DROPPED];

/// Tells a receiver what is in its queue, for ever.
pub(super) async fn deliver(
    mut receiver: Receiver,
    mut http: Http,
    queue: &Queue,
    pace: &Pace,
    environment: &str,
    link: Option<&str>,
) {
    let around = Around { environment, link };
    loop {
        let news = queue.next().await;
        if !receiver.wants(&news) {
            continue;
        }
        let begun = Instant::now();
        let mut pause = pace.first;
        loop {
            http.renew();
            let failure = match receiver.tell(&http, &news, &around).await {
                Ok(()) => {
                    queue.count(TOLD);
                    break;
                }
                Err(failure) => failure,
            };
            let receiver = receiver.name();
            let wait = match &failure {
                Failure::Later { after, .. } => after.unwrap_or(pause).min(pace.longest),
                Failure::Refused(_) => pace.patience,
            };
            if matches!(failure, Failure::Refused(_)) || begun.elapsed() + wait > pace.patience {
                tracing::warn!(receiver, error = %failure, "a notification was given up");
                queue.count(DROPPED);
                break;
            }
            tracing::info!(receiver, error = %failure, "a notification is tried again");
            queue.count(RETRIED);
            sleep(wait).await;
            if queue.is_overtaken(&news) {
                break;
            }
            pause = pause.saturating_mul(2).min(pace.longest);
        }
    }
}
