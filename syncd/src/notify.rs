//! Tells others what happened: chats, webhooks, and the forge that the commit came from.
//!
//! What is worth telling is decided in [`news`], how each receiver is told in [`receiver`], when it is tried again in [`delivery`]. Knows no
//! cycle from inside: it hears events and reports like everybody else. Invariants: nothing here ever delays a sync (what is told is queued, and
//! the queue is bounded); one cause is told once, however many objects and services it has; nothing is told that a report may not hold.

use std::sync::{Arc, Mutex, PoisonError};

use crate::report::{Event, Report};

pub mod config;
pub mod delivery;
pub mod news;
pub mod receiver;

pub use config::{Config, ConfigError};
pub use delivery::Pace;
pub use news::{Kind, News};

use delivery::{Queue, deliver};
use news::Teller;
use receiver::Http;

/// Counts messages: the receiver's name, the result, how many.
pub type OnResult = Arc<dyn Fn(&str, &'static str, u64) + Send + Sync>;

/// Hears what happens and has it told.
pub struct Notifier {
    teller: Mutex<Teller>,
    queues: Vec<Arc<Queue>>,
}

impl Notifier {
    /// Begins to tell the receivers of a configuration; each has a queue and a task of its own, so that none waits for another.
    ///
    /// # Errors
    /// [`ConfigError::Wrong`] when the authorities of a receiver cannot be read.
    pub fn start(config: Config, environment: &str, pace: Pace, on_result: &OnResult) -> Result<Self, ConfigError> {
        let Config { link, receivers } = config;
        let mut queues = Vec::new();
        for receiver in receivers {
            let queue = Arc::new(Queue::new(receiver.name(), Arc::clone(on_result)));
            let http = Http::new(receiver.ca_file())
                .map_err(|why| ConfigError::Wrong(vec![format!("receiver `{}`: {why}", receiver.name())]))?;
            queues.push(Arc::clone(&queue));
            let (link, environment) = (link.clone(), environment.to_owned());
            #[expect(
                clippy::disallowed_methods,
                reason = "it lives as long as the process; what is not told when it ends is told in no other way either"
            )]
            tokio::spawn(async move { deliver(receiver, http, &queue, &pace, &environment, link.as_deref()).await });
        }
        Ok(Notifier { teller: Mutex::default(), queues })
    }

    /// Hears an event of a cycle.
    pub fn hear(&self, event: &Event) {
        let news = self.teller.lock().unwrap_or_else(PoisonError::into_inner).hear(event);
        self.tell(news);
    }

    /// Hears the report of a cycle.
    pub fn end(&self, report: &Report) {
        let news = self.teller.lock().unwrap_or_else(PoisonError::into_inner).end(report);
        self.tell(news);
    }

    fn tell(&self, news: Vec<News>) {
        for news in news {
            self.queues.iter().for_each(|queue| queue.push(news.clone()));
        }
    }
}
