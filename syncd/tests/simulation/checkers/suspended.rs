//! What people want left alone is left alone.

use std::collections::BTreeMap;
use std::time::Duration;

use syncd::report::Report;
use tokio::time::Instant;

use super::{Checker, Scene, Sent, Verdict};
use crate::model::services::id;
use crate::truth::Deed;

/// How long the news is under way at most, to a process that runs.
const HEARD: Duration = Duration::from_secs(1);

/// No cycle that began after something was suspended writes anything of it.
#[derive(Default)]
pub struct Suspended {
    /// When a process last ended a cycle: what it sends now is of a later one.
    reported: BTreeMap<String, Instant>,
}

impl Checker for Suspended {
    fn name(&self) -> &'static str {
        "suspended"
    }

    fn sent(&mut self, scene: &Scene<'_>, sent: &Sent<'_>) -> Verdict {
        let (Some((what, since)), Some(object)) = (&scene.truth.suspended, sent.deed.object()) else { return Ok(()) };
        let begun = self.reported.get(sent.by).is_some_and(|reported| *reported > *since + HEARD);
        if !begun || sent.deed.is_dry() {
            return Ok(());
        }
        let covers = match what.strip_prefix("service ") {
            Some(service) => {
                let is_its = matches!(sent.deed, Deed::Apply(apply) if apply.body["metadata"]["labels"]["syncd/service"] == service);
                is_its || scene.truth.records.holders(object).any(|(holder, _)| holder == service)
            }
            None => what == "environment" || id(what) == *object,
        };
        if covers { Err(format!("{object} is written, and {what} is suspended")) } else { Ok(()) }
    }

    fn reported(&mut self, _scene: &Scene<'_>, by: &str, _report: &Report) -> Verdict {
        self.reported.insert(by.to_owned(), Instant::now());
        Ok(())
    }
}
