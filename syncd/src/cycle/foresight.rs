//! What a cycle would do, without doing it: the same walk as far as the verified plan, and not a step further.
//!
//! For people who look before it happens, with rights of their own. Knows what a new process knows: nothing of pauses after failures, nor of
//! what a running one was told by its watches. Invariants: nothing is written; what cannot be read is an error beside the plan, never a world
//! without it.

use super::{Cycle, Memory, Mode, Surveyed, Walk};
use crate::cluster::Cluster;
use crate::config::Settings;
use crate::context::Context;
use crate::desired::{Desired, Source};
use crate::live::Live;
use crate::plan::Plan;
use crate::repo::{CommitInfo, Repo, Revision};
use crate::report::{CycleError, Stage};
use crate::state::{self, State};

/// What a cycle would find, and what it would do about it.
#[derive(Debug, Default)]
pub struct Foresight {
    /// What would be in force; absent: nothing.
    pub source: Option<Source>,
    /// What is recorded; absent: it could not be read.
    pub state: Option<State>,
    /// What was read of what is wanted; absent where nothing had to be.
    pub desired: Option<Desired>,
    /// What was seen of the cluster.
    pub live: Live,
    /// What would be done; absent: nothing, or the errors say why that is not known.
    pub plan: Option<Plan>,
    /// What went wrong on the way.
    pub errors: Vec<CycleError>,
}

/// Looks ahead. `revision`: at this one instead of the tip.
pub async fn foresee<R: Repo, C: Cluster>(
    repo: &R,
    cluster: &C,
    settings: &Settings,
    mode: Mode,
    revision: Option<&Revision>,
    context: &Context<'_>,
) -> Foresight {
    let mut memory = Memory::default();
    let mut cycle = Cycle { repo, cluster, settings, context, memory: &mut memory, walk: Walk::default() };
    let mut foresight = Foresight::default();
    cycle.foresee(mode, revision, &mut foresight).await;
    foresight.errors = cycle.walk.errors;
    foresight
}

impl<R: Repo, C: Cluster> Cycle<'_, R, C> {
    async fn foresee(&mut self, mode: Mode, revision: Option<&Revision>, foresight: &mut Foresight) {
        let new = match revision {
            Some(revision) => self.fetch_named(revision).await,
            None => self.ask_source().await,
        };
        let state = match state::read(self.cluster, &self.settings.environment).await {
            Ok(state) => state,
            Err(error) => return self.fail(Stage::State, &error.to_string()),
        };
        if let Err(reason) = self.hear_suspensions(Some(&state)).await {
            return self.fail(Stage::State, &reason);
        }
        let source = match (self.check_source(new, &state).await, revision) {
            // What was named is not there: another one would be the answer to another question.
            (None, Some(_)) => None,
            (new, _) => self.adopt_source(new, &state).await,
        };
        if let Some(source) = source {
            let source = source.with_kept(&state);
            let full = self.is_full(mode, &state);
            match self.survey(&source, &state, true, full).await {
                Surveyed::Nothing(live) => foresight.live = live,
                Surveyed::Blind => {}
                Surveyed::Planned(survey) => {
                    foresight.live = survey.live;
                    foresight.desired = Some(survey.desired);
                    foresight.plan = Some(survey.plan);
                }
            }
            foresight.source = Some(source);
        }
        foresight.state = Some(state);
    }

    async fn fetch_named(&mut self, revision: &Revision) -> Option<(Revision, CommitInfo)> {
        match self.repo.fetch(revision).await {
            Ok(commit) => Some((revision.clone(), commit)),
            Err(error) => {
                self.fail(Stage::Source, &format!("revision {revision} could not be fetched: {error}"));
                None
            }
        }
    }
}
