//! A `syncd` that runs beside the scenario: the daemon's own loop, in this process.
//!
//! What it tells is kept with the time at which it was told. Invariant: when the story ends, the daemon does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use syncd::daemon::{self, Pace, Reconciler};
use syncd::report::{DriftAction, Event, Observer};
use tokio::sync::watch;
use tokio::time::sleep;
use ulid::Ulid;

use crate::repo::Shared;
use crate::world::{Now, World};

/// What a daemon told.
#[derive(Default)]
pub struct Told(Mutex<Vec<Event>>);

impl Observer for Told {
    fn observe(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Told {
    /// Returns what was told of drift since the last call, as lines.
    pub fn take_drift(&self) -> Vec<String> {
        self.take().iter().filter_map(drift).collect()
    }

    /// Waits until something is told; returns everything until then, as lines.
    pub async fn until(&self, last: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while !lines.iter().any(|line| line == last) {
            sleep(Duration::from_millis(20)).await;
            lines.extend(self.take().iter().filter_map(line_of));
        }
        lines
    }

    /// Returns everything since the last call.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn drift(event: &Event) -> Option<String> {
    let Event::Drift { object, what, action, .. } = event else { return None };
    let action = match action {
        DriftAction::BackedOff { pause_seconds } => format!("{} for {pause_seconds} s", action.as_str()),
        _ => action.as_str().to_owned(),
    };
    Some(format!("{object}: {what}: {action}"))
}

/// Returns what happened as a line, but for what is told as often as time wants.
pub fn line_of(event: &Event) -> Option<String> {
    match event {
        Event::Revision { revision, .. } => Some(format!("revision {revision}")),
        Event::Object { service, object } => {
            let error = object.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
            Some(format!("{service}: {} {} ({}){error}", object.outcome.as_str(), object.object, object.reason))
        }
        Event::ServiceFinished { service, report } => Some(format!("{service}: {}", report.state.as_str())),
        Event::Suspended(suspended) => Some(format!("suspended: {}", suspended.0.len())),
        Event::Held(held) => Some(format!("held: {} deletions", held.deletions)),
        Event::Failed(error) => Some(format!("{}: {}", error.stage.as_str(), error.message)),
        Event::Drift { .. } => drift(event),
        Event::Planned { .. } | Event::ServiceStarted { .. } | Event::ServiceApplied { .. } | Event::Waiting { .. } => {
            None
        }
    }
}

/// Runs a daemon for as long as the story lasts.
pub async fn beside(world: &mut World, pace: &Pace, story: impl AsyncFnOnce(&mut World, &Told)) {
    let told = Arc::new(Told::default());
    let cluster = world.connect().await;
    let mut reconciler = Reconciler::new(
        Shared(Arc::clone(&world.repo)),
        cluster,
        world.settings.clone(),
        Arc::new(Now),
        Arc::<Told>::clone(&told),
    );
    let (tip, watches) = (reconciler.tip(), reconciler.watches());
    let (_stop, stopped) = watch::channel(false);
    let daemon = daemon::run(&mut reconciler, &*tip, pace, &(), Ulid::new, stopped);
    tokio::select! {
        () = daemon => panic!("it ended"),
        never = watches => match never {},
        () = story(world, &told) => {}
    }
}
