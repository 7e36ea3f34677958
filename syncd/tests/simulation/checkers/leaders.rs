//! Which process acts.

use std::collections::BTreeMap;

use super::{Checker, Done, Scene, Sent, Verdict};
use crate::truth::{Deed, holder};

/// Whoever does not hold the Lease sends nothing that changes anything.
pub struct Fence;

impl Checker for Fence {
    fn name(&self) -> &'static str {
        "fence"
    }

    fn sent(&mut self, scene: &Scene<'_>, sent: &Sent<'_>) -> Verdict {
        if scene.alone || matches!(sent.deed, Deed::Lease) {
            return Ok(());
        }
        let leads = holder(scene.model);
        if leads == sent.by { Ok(()) } else { Err(format!("{} acts, and `{leads}` leads", sent.by)) }
    }
}

/// A record that a leader wrote is written by none that was before it; and no record that was there once it has begun to change the
/// cluster: what it goes by is what is recorded.
#[derive(Default)]
pub struct Epoch {
    written: BTreeMap<String, u64>,
    /// The epoch that each process began.
    begun: BTreeMap<String, u64>,
    /// The last one in which something was sent that changes the cluster, and by whom.
    acting: (u64, String),
}

impl Checker for Epoch {
    fn name(&self) -> &'static str {
        "epoch"
    }

    fn sent(&mut self, scene: &Scene<'_>, sent: &Sent<'_>) -> Verdict {
        // Without an election, what was sent before may land: it is found by the second look.
        if !scene.alone && matches!(sent.deed, Deed::Apply(_) | Deed::Delete(..)) && !sent.deed.is_dry() {
            let begun = self.begun.get(sent.by).copied().unwrap_or(0);
            if begun > self.acting.0 {
                self.acting = (begun, sent.by.to_owned());
            }
        }
        Ok(())
    }

    fn done(&mut self, _scene: &Scene<'_>, sent: &Sent<'_>, done: &Done<'_>) -> Verdict {
        if done.error.is_some() {
            return Ok(());
        }
        match sent.deed {
            Deed::Write(object) => {
                let text = object.data.get("record.json").or_else(|| object.data.get("root.json"));
                let value = text.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
                let Some(epoch) = value.map(|value| value["epoch"].as_u64().unwrap_or(0)) else { return Ok(()) };
                let before = self.written.insert(object.name.clone(), epoch).unwrap_or(0);
                if object.data.contains_key("root.json") {
                    self.begun.insert(sent.by.to_owned(), epoch);
                }
                // What was not there nobody could write over: a record that is created late is found by the second look.
                // What one and the same process had sent before it began anew is its own: it knows that it was not answered.
                let (acting, by) = &self.acting;
                if object.resource_version.is_some() && epoch < *acting && sent.by != by {
                    return Err(format!("{} of epoch {epoch} is written while epoch {acting} acts", object.name));
                }
                if epoch < before {
                    return Err(format!("{} of epoch {before} is written over in epoch {epoch}", object.name));
                }
                Ok(())
            }
            Deed::Forget(name) => {
                self.written.remove(name);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
