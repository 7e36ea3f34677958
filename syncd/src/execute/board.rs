//! Where services tell each other how far they are.
//!
//! Knows names and outcomes, not what they mean. Invariant: what was told once stays told; every service tells everything that others
//! may wait for, whatever happens to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use manifest::ObjectRef;
use tokio::sync::watch;

use crate::plan::Plan;

/// Something that others wait for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fact {
    /// A namespace or a definition of this plan can be used.
    Usable(ObjectRef),
    /// A service is applied and ready.
    Ready(String),
    /// A service has deleted what it had to, apart from namespaces and definitions.
    Deleted(String),
}

/// What was told so far.
pub(super) struct Board {
    told: Mutex<Told>,
    changed: watch::Sender<()>,
}

struct Told {
    /// `Err`: it will not come true, and who is to blame.
    facts: BTreeMap<Fact, Result<(), String>>,
    /// Services that did not tell whether they are ready, by wave.
    open: BTreeMap<i32, BTreeSet<String>>,
    /// The first service of each wave that is not going to be ready.
    failed: BTreeMap<i32, String>,
}

impl Board {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut open: BTreeMap<i32, BTreeSet<String>> = BTreeMap::new();
        for (name, service) in plan.services.iter().filter(|(_, service)| service.content.is_some()) {
            open.entry(service.wave).or_default().insert(name.clone());
        }
        let told = Told { facts: BTreeMap::new(), open, failed: BTreeMap::new() };
        Board { told: Mutex::new(told), changed: watch::Sender::new(()) }
    }

    /// Tells a fact of a service, once; later words about the same fact are not heard.
    pub(super) fn tell(&self, service: &str, wave: i32, fact: Fact, outcome: Result<(), ()>) {
        let outcome = outcome.map_err(|()| service.to_owned());
        let mut told = self.told();
        if told.facts.contains_key(&fact) {
            return;
        }
        if matches!(&fact, Fact::Ready(_)) {
            let closed = told.open.get_mut(&wave).is_some_and(|open| open.remove(service));
            if closed && outcome.is_err() {
                told.failed.entry(wave).or_insert_with(|| service.to_owned());
            }
        }
        told.facts.insert(fact, outcome);
        drop(told);
        self.changed.send_replace(());
    }

    /// Waits until all facts were told well, or one was not: then who is to blame.
    pub(super) async fn wait_all(&self, facts: &[Fact]) -> Result<(), String> {
        for fact in facts {
            self.wait(|told| told.facts.get(fact).cloned()).await?;
        }
        Ok(())
    }

    /// Waits until all facts were told, well or not.
    pub(super) async fn wait_any_outcome(&self, facts: &[Fact]) {
        for fact in facts {
            self.wait(|told| told.facts.get(fact).map(|_| ())).await;
        }
    }

    /// Waits until all services of lower waves are ready, or one is not going to be.
    pub(super) async fn wait_below(&self, wave: i32) -> Result<(), String> {
        self.wait(|told| {
            if let Some((_, failed)) = told.failed.range(..wave).next() {
                return Some(Err(failed.clone()));
            }
            told.open.range(..wave).all(|(_, open)| open.is_empty()).then_some(Ok(()))
        })
        .await
    }

    async fn wait<T>(&self, answer: impl Fn(&Told) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(answer) = answer(&self.told()) {
                return answer;
            }
            changed.changed().await.expect("the board outlives those who wait at it");
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
