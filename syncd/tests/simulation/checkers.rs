//! What must never be, whatever goes wrong; and what must be when nothing does any more.
//!
//! Each checker knows the [`Truth`] and remembers for itself what else it needs; none asks a `syncd`. They are told every request that
//! changes something when it leaves (what it was sent for is judged then, however late it lands) and when it was carried out, and every
//! report. Invariant: a checker that is content says nothing; the first that is not names itself.

mod end;
mod leaders;
mod objects;
mod order;
mod records;
mod services;
mod suspended;

use sandbox::Cluster as Model;
use serde_json::Value;
use syncd::cluster::ClusterError;
use syncd::report::Report;

use crate::truth::{Deed, Truth};

pub use end::{converged, is_quiet};

/// What a checker found.
pub type Verdict = Result<(), String>;

/// The world as it is.
pub struct Scene<'a> {
    pub model: &'a Model,
    pub truth: &'a Truth,
    /// Nobody is asked who leads.
    pub alone: bool,
    /// Services that cannot come through, for a reason of their own.
    pub bad: &'a [String],
}

/// A request of a process.
pub struct Sent<'a> {
    pub by: &'a str,
    pub deed: &'a Deed,
}

/// What a request did.
pub struct Done<'a> {
    /// The object before and after.
    pub before: Option<&'a Value>,
    pub after: Option<&'a Value>,
    pub error: Option<&'a ClusterError>,
}

/// One thing that must never be.
pub trait Checker: Send {
    fn name(&self) -> &'static str;

    /// A request leaves its process.
    fn sent(&mut self, _scene: &Scene<'_>, _sent: &Sent<'_>) -> Verdict {
        Ok(())
    }

    /// A request was carried out.
    fn done(&mut self, _scene: &Scene<'_>, _sent: &Sent<'_>, _done: &Done<'_>) -> Verdict {
        Ok(())
    }

    /// A call of a process came to nothing; `about`: the service, nothing for what concerns all.
    fn hurt(&mut self, _by: &str, _about: Option<&str>) {}

    /// A process reported a cycle.
    fn reported(&mut self, _scene: &Scene<'_>, _by: &str, _report: &Report) -> Verdict {
        Ok(())
    }
}

/// Returns all checkers, as if nothing had happened yet.
pub fn all() -> Vec<Box<dyn Checker>> {
    vec![
        Box::new(objects::Foreign),
        Box::new(objects::Wanted),
        Box::new(objects::Content::default()),
        Box::new(objects::Uid),
        Box::new(records::Recorded),
        Box::new(records::Ahead),
        Box::new(records::Secret),
        Box::new(order::Order::default()),
        Box::new(order::PruneLast),
        Box::new(services::Isolation::default()),
        Box::new(services::Fuse::default()),
        Box::new(suspended::Suspended::default()),
        Box::new(leaders::Fence),
        Box::new(leaders::Epoch::default()),
    ]
}
