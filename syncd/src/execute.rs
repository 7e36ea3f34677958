//! Carries out a plan, and records before it acts.
//!
//! Leaves nothing to choose: what, in which order and why is in the plan. First all records are widened, then every service walks by
//! itself: foundations, its turn, stages, readiness, deletions, settling. All of it is one future without spawned tasks, so that
//! dropping it stops everything between two requests. Invariants: nothing is created that is not recorded; nothing is forgotten that
//! was not seen to be gone or to be recorded elsewhere; a service that fails stops nobody but those that wait for it.

mod around;
mod board;
mod cause;
mod objects;
mod service;
mod settle;
mod turns;
mod waiting;
mod watching;
mod yielding;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use futures::future::{Either, FutureExt, join_all, select};
use manifest::{Hash, ObjectRef};
use smol_str::SmolStr;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::cluster::{Cluster, ClusterError, ErrorClass, GroupKind, side_by_side};
use crate::config::Settings;
use crate::context::Context;
use crate::desired::Desired;
use crate::live::Live;
use crate::plan::{Plan, ServicePlan};
use crate::readiness::pods::runs_pods;
use crate::report::{Resource, ServiceReport};
use crate::state::{self, Held, Intent, Reading, Record, State, StateError, Stored};

use board::Board;
pub use objects::{apply_of, is_replaced};
use turns::Turns;
use watching::{Subscription, Watches};
pub use yielding::left_to_others;

/// What became of one service of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// For people.
    pub report: ServiceReport,
    /// Its record.
    pub stored: After,
    /// Whether objects may be in another state than the record says: look before planning for it again.
    pub look_again: bool,
    /// Objects that may still be created by a request that was not answered.
    pub unanswered: BTreeSet<ObjectRef>,
    /// When to try again.
    pub pause: Pause,
    /// Whether what was ready last is to be applied again, now.
    pub rolls_back: bool,
    /// What was applied.
    pub applied: Vec<Resource>,
    /// What was deleted.
    pub deleted: Vec<Resource>,
}

/// The record of a service after a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// There is none.
    Nothing,
    /// This one.
    Stored(Box<Stored>),
    /// The one that there was.
    Untouched,
    /// Not known: a write went wrong. Everything is to be read again.
    Unknown,
}

/// When to try a service again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pause {
    /// In the next cycle: nothing failed, or what it waits for is tried too.
    None,
    /// After a pause that grows: it may mend by itself.
    Short,
    /// After a long pause, or when its content changes: people have to do something.
    Long,
}

/// Why a wait goes on or ends.
enum Next {
    Changed,
    TimedOut,
    Superseded,
}

/// What all services of a plan share.
struct Run<'a, C> {
    cluster: &'a C,
    settings: &'a Settings,
    context: &'a Context<'a>,
    plan: &'a Plan,
    plan_id: Hash,
    /// [`state::Root::epoch`] of the leader that acts.
    epoch: u64,
    desired: &'a Desired,
    live: &'a Live,
    /// How services that are not synced stood before.
    before: &'a BTreeMap<String, ServiceReport>,
    board: Board,
    watches: Watches<'a>,
    /// Requests in flight.
    requests: Semaphore,
    /// Services that send requests or have them ready.
    turns: Turns,
}

/// Carries out a plan. `before` says how services that are not synced stood: what did not change is not told again.
#[expect(clippy::too_many_arguments, reason = "each is one part of the world, and none belongs to another")]
pub async fn execute<C: Cluster>(
    cluster: &C,
    settings: &Settings,
    context: &Context<'_>,
    plan: &Plan,
    desired: &Desired,
    state: &State,
    live: &Live,
    before: &BTreeMap<String, ServiceReport>,
) -> BTreeMap<String, Done> {
    let run = Run {
        cluster,
        settings,
        context,
        plan,
        plan_id: plan.id(),
        epoch: state.epoch(),
        desired,
        live,
        before,
        board: Board::new(plan),
        watches: Watches::new(
            &settings.environment,
            settings.retry.pause,
            &settings.rules,
            waiting_services(plan, live),
            workload_namespaces(plan),
        ),
        requests: Semaphore::new(settings.concurrency.max(1)),
        turns: Turns::new(settings.concurrency.max(1), plan),
    };
    let mut records = run.write_ahead(state).await;
    let holders = holders(plan, state, &records);
    let mut walks = Vec::new();
    for (name, plan) in &plan.services {
        let record = records.remove(name).unwrap_or(Ok(None));
        let walk = service::walk(&run, name, plan, record, &holders);
        // Boxed at both ends: those that ended are kept, each in its place among all, until the last one has.
        walks.push(Box::pin(walk.map(move |done| (name, Box::new(done)))));
    }
    let all = std::pin::pin!(join_all(walks));
    let watches = std::pin::pin!(run.watches.drive(cluster, &run.turns));
    match select(all, watches).await {
        Either::Left((done, _)) => done.into_iter().map(|(name, done)| (name.clone(), *done)).collect(),
        Either::Right((never, _)) => match never {},
    }
}

/// Most services whose objects are watched by name: with more of them, all of a kind are watched.
const NAMED_MAX: usize = 20;

/// Returns the services whose objects can be waited for: those of the plan, and those whose objects go or change hands by it. Where they are
/// many, none.
fn waiting_services(plan: &Plan, live: &Live) -> Vec<String> {
    if plan.services.len() > NAMED_MAX {
        return Vec::new();
    }
    let applied = plan.services.values().flat_map(ServicePlan::applies).map(|apply| &apply.id);
    let touched = plan.deletes().map(|(_, delete)| &delete.id).chain(applied);
    let said = touched.filter_map(|id| live.present(id)?.service.as_deref());
    let named: BTreeSet<&str> = plan.services.keys().map(String::as_str).chain(said).collect();
    if named.len() <= NAMED_MAX { named.into_iter().map(str::to_owned).collect() } else { Vec::new() }
}

/// Returns the namespaces in which workloads are waited for.
fn workload_namespaces(plan: &Plan) -> BTreeSet<SmolStr> {
    let waited = plan.services.values().flat_map(|service| &service.wait);
    waited.filter(|id| runs_pods(&GroupKind::of(id))).map(|id| id.namespace.clone()).collect()
}

/// Which services have recorded an object that is to change its holder, after the widening.
type Holders = BTreeMap<ObjectRef, BTreeSet<String>>;

/// The record of a service after the widening; nothing: it has none.
type Widening = Result<Option<Box<Stored>>, StateError>;

/// Looks up who holds what is to change its holder, and nothing else: there may be many records.
fn holders(plan: &Plan, state: &State, records: &BTreeMap<String, Widening>) -> Holders {
    let kept = plan.services.values().flat_map(|service| &service.withheld);
    let moved: BTreeSet<&ObjectRef> =
        kept.filter(|kept| kept.withheld.holder().is_some()).map(|kept| &kept.id).collect();
    if moved.is_empty() {
        return Holders::new();
    }
    let widened = |name: &String| records.get(name).and_then(|record| record.as_ref().ok()).and_then(Option::as_deref);
    let mut holders = Holders::new();
    let names: BTreeSet<&String> = state.services.keys().chain(records.keys()).collect();
    for name in names {
        let record = widened(name).map(|stored| &stored.record).or_else(|| state.record(name));
        for id in record.into_iter().flat_map(|record| record.held.keys()).filter(|id| moved.contains(id)) {
            holders.entry(id.clone()).or_default().insert(name.clone());
        }
    }
    holders
}

impl<C: Cluster> Run<'_, C> {
    /// Widens all records that must be, side by side. Nothing is applied and nothing narrowed before all of it is done.
    async fn write_ahead(&self, state: &State) -> BTreeMap<String, Widening> {
        let (limit, services) = (self.settings.concurrency, &self.plan.services);
        let widened =
            side_by_side(limit, services, async |(name, plan)| self.widen(name, plan, state.services.get(name)).await);
        widened.await.into_iter().collect()
    }

    async fn widen(&self, name: &str, plan: &ServicePlan, reading: Option<&Reading>) -> (String, Widening) {
        let stored = reading.and_then(Reading::stored);
        if plan.widen.is_empty() || plan.problem.is_some() {
            return (name.to_owned(), Ok(stored.cloned().map(Box::new)));
        }
        let record = stored.map(|stored| stored.record.clone()).unwrap_or_default();
        let record = self.widened(plan, record);
        if let Some(stored) = stored.filter(|stored| stored.record == record) {
            return (name.to_owned(), Ok(Some(Box::new(stored.clone()))));
        }
        (name.to_owned(), self.write_record(name, stored, record).await.map(|stored| Some(Box::new(stored))))
    }

    fn widened(&self, plan: &ServicePlan, mut record: Record) -> Record {
        for (id, widened) in &plan.widen {
            let old = record.held.remove(id);
            let old = old.filter(|old| old.uid == widened.uid).unwrap_or_default();
            let (api_version, uid) = (widened.api_version.clone(), widened.uid.clone());
            record.held.insert(id.clone(), Held { api_version, uid, leftover: None, ..old });
        }
        record.intent = Some(self.intent(plan));
        record
    }

    /// Says why an object is left alone.
    fn suspended(&self, id: &ObjectRef) -> String {
        match self.plan.suspended.object(id) {
            Some(suspension) => suspension.to_string(),
            None => format!("{id} belongs to a service that is suspended"),
        }
    }

    fn intent(&self, plan: &ServicePlan) -> Intent {
        Intent { plan: self.plan_id, content: plan.content, commit: self.plan.revision.clone() }
    }

    /// Writes a record; tried again as long as nothing happened.
    async fn write_record(
        &self,
        name: &str,
        previous: Option<&Stored>,
        mut record: Record,
    ) -> Result<Stored, StateError> {
        record.epoch = self.epoch;
        let environment = &self.settings.environment;
        let bytes_max = self.settings.limits.state_bytes;
        let mut pause = self.settings.retry.pause;
        for _ in 1..self.settings.retry.tries {
            let written = {
                let _permit = self.requests.acquire().await;
                // Boxed, as in `request`.
                Box::pin(state::write(self.cluster, environment, name, previous, record.clone(), bytes_max)).await
            };
            match written {
                Err(StateError::Cluster { source, .. }) if source.class == ErrorClass::Transient => {}
                written => return written,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        let _permit = self.requests.acquire().await;
        Box::pin(state::write(self.cluster, environment, name, previous, record, bytes_max)).await
    }

    /// Waits until something that is watched changes. It is not asked whether time is over only when nothing changes: something always
    /// might.
    async fn next_change(&self, changes: &Subscription<'_>, deadline: Instant) -> Next {
        if Instant::now() >= deadline {
            return Next::TimedOut;
        }
        match self.context.unless_superseded(tokio::time::timeout_at(deadline, changes.changed())).await {
            None => Next::Superseded,
            Some(Err(_)) => Next::TimedOut,
            Some(Ok(())) => Next::Changed,
        }
    }

    /// Sends a request, which is made when it is its turn: thousands of services wait for theirs, and what a request needs is held by
    /// those alone that are under way. Again after a growing pause as long as its error is one of `again` and nothing newer is wanted.
    async fn request<T, F: Future<Output = Result<T, ClusterError>>>(
        &self,
        again: &[ErrorClass],
        request: impl Fn() -> F,
    ) -> Result<T, ClusterError> {
        let mut pause = self.settings.retry.pause;
        let mut tries = 1;
        loop {
            let reply = {
                let _permit = self.requests.acquire().await;
                Box::pin(request()).await
            };
            match reply {
                Err(error) if again.contains(&error.class) && tries < self.settings.retry.tries => {
                    if self.context.unless_superseded(tokio::time::sleep(pause)).await.is_none() {
                        return Err(error);
                    }
                }
                reply => return reply,
            }
            pause *= 2;
            tries += 1;
        }
    }
}
