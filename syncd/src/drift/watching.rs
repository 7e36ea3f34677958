//! The watches that tell of drift: one of metadata for each recorded kind, for as long as something of it is recorded.
//!
//! Sends nothing but the watches, and an Event where a fight begins or grows. Knows nothing of what an event means ([`super::judging`]).
//! Invariant: a watch that breaks or cannot be begun is begun again after a pause that grows, and tells everything anew.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use manifest::Hash;
use serde_json::{Value, json};

use super::Drift;
use crate::cluster::{Cluster, GroupKind};
use crate::context::Clock;
use crate::report::Fight;

/// First and longest pause before a watch that could not be begun, or ended, is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(60));

/// Watches all kinds that are recorded, for ever.
pub async fn drive<C: Cluster>(drift: &Drift, cluster: &C, environment: &str, clock: &dyn Clock) -> Infallible {
    let mut wanted = drift.wanted.subscribe();
    let mut watched = BTreeSet::new();
    let mut running = FuturesUnordered::new();
    loop {
        let kinds = wanted.borrow_and_update().clone();
        for kind in kinds.difference(&watched) {
            running.push(follow(drift, cluster, environment, clock, kind.clone()));
        }
        watched.extend(kinds);
        tokio::select! {
            biased;
            Ok(()) = wanted.changed() => {}
            Some(kind) = running.next() => drop(watched.remove(&kind)),
        }
    }
}

/// Follows one kind for as long as it is wanted.
async fn follow<C: Cluster>(
    drift: &Drift,
    cluster: &C,
    environment: &str,
    clock: &dyn Clock,
    kind: GroupKind,
) -> GroupKind {
    let mut wanted = drift.wanted.subscribe();
    let watching = async {
        let (mut pause, longest) = PAUSE;
        loop {
            match cluster.watch_metadata(&kind, environment).await {
                Err(error) => tracing::warn!(%kind, %error, "drift is not seen: the kind cannot be watched"),
                Ok(mut events) => {
                    while let Some(event) = events.next().await {
                        let event = match event {
                            Ok(event) => event,
                            Err(error) => {
                                tracing::warn!(%kind, %error, "drift is not seen: the watch broke");
                                continue;
                            }
                        };
                        pause = PAUSE.0;
                        for fight in drift.hear(&kind, event) {
                            // That it cannot be said changes nothing.
                            let _ = cluster.say(event_of(&fight, clock)).await;
                        }
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    };
    tokio::select! {
        biased;
        _ = wanted.wait_for(|wanted| !wanted.contains(&kind)) => {}
        () = watching => {}
    }
    kind
}

/// Returns the Event of an object that others keep changing.
fn event_of(fight: &Fight, clock: &dyn Clock) -> Value {
    let Fight { object, manager, fields, times, pause_seconds, .. } = fight;
    let manager = manager.as_deref().unwrap_or("somebody");
    let fields = if fields.is_empty() { "it".to_owned() } else { fields.join(", ") };
    let message = format!(
        "{manager} keeps changing {fields} after syncd has corrected it; the next correction waits {pause_seconds} s"
    );
    let now = clock.now().to_string();
    let namespace = if object.namespace.is_empty() { "default" } else { &object.namespace };
    let digest = Hash::of(format!("{object} {manager} {times} {now}").as_bytes());
    json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"name": format!("{}.{}", object.name.replace(':', "."), digest.short()), "namespace": namespace},
        "involvedObject": {"kind": object.kind, "name": object.name, "namespace": object.namespace},
        "reason": "DriftFight", "message": message, "type": "Warning", "count": 1, "source": {"component": "syncd"},
        "firstTimestamp": now, "lastTimestamp": now, "reportingComponent": "syncd", "reportingInstance": "syncd",
    })
}
