//! What a service's record says after its walk.
//!
//! Exactly what was confirmed: objects that were applied with uid and hash, objects that are gone no more, everything else as it was.
//! Invariant: an object leaves the record only when it was seen to be gone or another record holds it.

use manifest::index::OnFailure;
use tokio::time::Instant;

use super::service::{Stop, Walk};
use super::{After, Done, Pause};
use crate::cluster::Cluster;
use crate::plan::{PlannedApply, Withheld, WithheldObject};
use crate::report::{Event, Outcome, Resource, ServiceReport, ServiceState};
use crate::state::{self, Condition, Finished, Record, RolledBack, Settled};

impl<C: Cluster> Walk<'_, C> {
    /// Records the end of the walk and reports it.
    pub(super) async fn settle(mut self: Box<Self>, result: Result<(), Stop>) -> Done {
        if self.plan.problem.is_some() || self.lost_record {
            let after = if self.lost_record { After::Unknown } else { After::Untouched };
            return self.done(&result, after);
        }
        let result = self.release(result);
        let record = self.record(&result);
        if self.plan.content.is_none() && result.is_ok() && record.held.is_empty() {
            return Box::pin(self.remove_record(result, record)).await;
        }
        if self.stored.as_ref().is_some_and(|stored| stored.record == record) {
            return self.done(&result, After::Untouched);
        }
        match self.run.write_record(self.name, self.stored.as_deref(), record).await {
            Ok(stored) => self.done(&result, After::Stored(Box::new(stored))),
            Err(error) => {
                let result = result.and(Err(Stop::Failed(error.to_string(), Pause::Short)));
                self.done(&result, After::Unknown)
            }
        }
    }

    /// Forgets what is gone or recorded elsewhere, and marks what is kept. What is still to go holds the service open.
    fn release(&mut self, result: Result<(), Stop>) -> Result<(), Stop> {
        self.plan.gone.iter().for_each(|id| drop(self.held().remove(id)));
        let mut open = Ok(());
        for WithheldObject { id, withheld } in &self.plan.withheld {
            let reason = withheld.to_string();
            if let Some(holder) = withheld.holder() {
                if self.holders.get(id).is_some_and(|holders| holders.contains(holder)) {
                    self.held().remove(id);
                } else {
                    let message = format!("{id} goes to service `{holder}`, which has not recorded it");
                    open = open.and(Err(Stop::Blocked(message)));
                }
                continue;
            }
            if *withheld == Withheld::Suspended {
                open = open.and(Err(Stop::Suspended(self.run.suspended(id))));
            } else if withheld.is_pending() {
                open = open.and(Err(Stop::Held(format!("{id}: {reason}"))));
            } else if let Some(held) = self.held().get_mut(id) {
                held.leftover = Some(reason.clone());
            }
            self.note(id, Outcome::Withheld, reason, None);
        }
        result.and(open)
    }

    fn record(&self, result: &Result<(), Stop>) -> Record {
        let mut record = self.stored.as_ref().map(|stored| stored.record.clone()).unwrap_or_default();
        if let Some(held) = &self.held {
            record.held.clone_from(held);
        }
        for (id, held) in &mut record.held {
            let is_seen = self.expected.get(id).is_some_and(|expected| held.is(&expected.uid));
            let may_come = self.run.live.may_come.contains(id) || self.unanswered.contains(id);
            held.unanswered = may_come || held.unanswered && !is_seen;
        }
        let source = &self.run.desired.source;
        if let Some(entry) = source.index.services.get(self.name) {
            record.prune_off = !entry.sync.prune;
        }
        let (state, message, _) = self.state_of(result);
        let (content, version) = (self.plan.content, self.plan.version.clone());
        if result.is_ok() {
            record.intent = None;
            record.condition = None;
            if !source.kept.contains_key(self.name) {
                record.rolled_back = None;
            }
            let same = |settled: &Settled| settled.content == content && settled.version == version;
            if !record.settled.as_ref().is_some_and(same) {
                record.settled = Some(Settled { content, version, commit: source.revision.clone() });
            }
        } else {
            let same = record.intent.as_ref().is_some_and(|intent| intent.content == content);
            if !same {
                record.intent = Some(self.run.intent(self.plan));
            }
            let message = message.unwrap_or_default();
            if self.rolls_back(&record) {
                let at = self.run.context.now();
                record.rolled_back = content.map(|content| RolledBack { content, message: message.clone(), at });
            }
            self.set_condition(&mut record, state, message);
        }
        let changed = self
            .objects
            .iter()
            .filter(|object| matches!(object.outcome, Outcome::Created | Outcome::Configured | Outcome::Deleted));
        let last = record.results.first().map(|last| last.state.as_str());
        if changed.count() > 0 || last != Some(state.as_str()) {
            record.finish(Finished {
                at: self.run.context.now(),
                commit: source.revision.clone(),
                state: state.as_str().to_owned(),
                applied: self.applied.len(),
                deleted: self.deleted.len(),
            });
        }
        record
    }

    /// Tells whether what was ready last is to take the place of what is not going to be.
    fn rolls_back(&self, record: &Record) -> bool {
        let last = record.settled.as_ref().and_then(|settled| settled.content);
        let differs = last.is_some() && self.plan.content.is_some() && last != self.plan.content;
        self.unready && differs && self.on_failure() == OnFailure::Rollback
    }

    /// Keeps the time since when the same thing is wrong.
    fn set_condition(&self, record: &mut Record, state: ServiceState, message: String) {
        let state = state.as_str().to_owned();
        let same = |condition: &Condition| condition.state == state && condition.message == message;
        if !record.condition.as_ref().is_some_and(same) {
            record.condition = Some(Condition { state, message, since: self.run.context.now() });
        }
    }

    /// The service left the index and holds nothing any more.
    async fn remove_record(mut self: Box<Self>, result: Result<(), Stop>, record: Record) -> Done {
        let Some(mut stored) = self.stored.take() else { return self.done(&result, After::Nothing) };
        stored.record = record;
        let _permit = self.run.requests.acquire().await;
        let environment = &self.run.settings.environment;
        match state::delete(self.run.cluster, environment, self.name, &stored).await {
            Ok(()) => self.done(&result, After::Nothing),
            Err(error) => self.done(&Err(Stop::Failed(error.to_string(), Pause::Short)), After::Unknown),
        }
    }

    fn done(self: Box<Self>, result: &Result<(), Stop>, stored: After) -> Done {
        let (mut state, error, mut pause) = self.state_of(result);
        if state == ServiceState::Synced && self.plan.content.is_none() && stored == After::Nothing {
            state = ServiceState::Removed;
        }
        let count = |outcome: Outcome| self.objects.iter().filter(|object| object.outcome == outcome).count();
        let bytes = match &stored {
            After::Stored(stored) => stored.bytes,
            After::Untouched => self.stored.as_ref().map_or(0, |stored| stored.bytes),
            After::Nothing | After::Unknown => 0,
        };
        let rolls_back = match &stored {
            After::Stored(stored) if self.unready => {
                stored.record.rolled_back.is_some() && self.rolls_back(&stored.record)
            }
            _ => false,
        };
        // A record that was widened is stored even when nothing was written at the end.
        let stored = match (stored, self.stored) {
            (After::Untouched, Some(stored)) if self.plan.problem.is_none() => After::Stored(stored),
            (stored, _) => stored,
        };
        if rolls_back {
            pause = Pause::None;
        }
        let report = ServiceReport {
            state,
            version: self.plan.version.clone(),
            applied: self.applied.len(),
            deleted: self.deleted.len(),
            unchanged: self.plan.unchanged,
            failed: count(Outcome::Failed),
            withheld: count(Outcome::Withheld),
            seconds: Instant::now().duration_since(self.started).as_secs_f64(),
            error,
            waiting_for: self.waiting_for,
            causes: self.causes,
            objects: self.objects.into(),
            failures: 0,
            state_bytes: bytes,
        };
        let same = |before: &ServiceReport| before.state == report.state && before.error == report.error;
        if self.plan.problem.is_none() || !self.run.before.get(self.name).is_some_and(same) {
            let event = Event::ServiceFinished { service: self.name.to_owned(), report: report.clone() };
            self.run.context.tell(&event);
        }
        let is_open = |apply: &PlannedApply| {
            apply.reason.was_seen() && !self.applied.iter().any(|applied| applied.id == apply.id)
        };
        // What it was not come to is forgotten with the sight, unless it is looked for again.
        let look_again = self.look_again || self.plan.applies().any(is_open);
        let resource = |id, version| Resource::new(self.name, id, version);
        let applied = self.applied.iter().map(|apply| resource(&apply.id, &apply.api_version)).collect();
        let deleted = self.deleted.iter().map(|delete| resource(&delete.id, &delete.api_version)).collect();
        let unanswered = self.unanswered;
        Done { report, stored, look_again, unanswered, pause, rolls_back, applied, deleted }
    }
}
