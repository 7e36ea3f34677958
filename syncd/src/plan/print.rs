//! A plan for people.
//!
//! One line a fact, nothing left out, in the order in which it is carried out. Names only, never values.

use std::fmt;

use super::order::STAGES;
use super::{DeleteReason, Plan, Problem, Reason, ServicePlan, Withheld};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (revision, trigger) = (self.revision.short(), self.trigger.as_str());
        writeln!(f, "plan {} for {} at {revision} ({trigger})", self.id().short(), self.environment)?;
        for (name, service) in &self.services {
            print_service(f, name, service)?;
        }
        if let Some(held) = &self.held {
            writeln!(f, "held: {held}; to approve them: {}", held.id)?;
        }
        for id in &self.orphans {
            writeln!(f, "orphan: {id}")?;
        }
        if self.services.is_empty() && self.orphans.is_empty() {
            writeln!(f, "nothing to do")?;
        }
        Ok(())
    }
}

fn print_service(f: &mut fmt::Formatter<'_>, name: &str, service: &ServicePlan) -> fmt::Result {
    match &service.version {
        Some(version) => write!(f, "service {name} {version}")?,
        None => write!(f, "service {name}, which left the index")?,
    }
    if service.wave != 0 {
        write!(f, ", wave {}", service.wave)?;
    }
    if !service.after.is_empty() {
        write!(f, ", after {}", service.after.join(", "))?;
    }
    writeln!(f)?;
    if let Some(problem) = &service.problem {
        return writeln!(f, "  nothing is done: {problem}");
    }
    for (id, widened) in &service.widen {
        writeln!(f, "  record {id}{}", widened.uid.as_ref().map(|uid| format!(" (uid {uid})")).unwrap_or_default())?;
    }
    for id in &service.gates {
        writeln!(f, "  needs {id}")?;
    }
    for stage in &service.stages {
        writeln!(f, "  apply {}", stage_name(stage.stage))?;
        for apply in &stage.applies {
            let uid = apply.uid.as_ref().map(|uid| format!(" (uid {uid})")).unwrap_or_default();
            writeln!(f, "    {}{uid}: {}", apply.id, apply.reason)?;
        }
    }
    for id in &service.suspended {
        writeln!(f, "  leave {id}: it is suspended")?;
    }
    for id in &service.wait {
        writeln!(f, "  wait for {id}, {} s at most", service.timeout_seconds)?;
    }
    if !service.deletes_after.is_empty() {
        writeln!(f, "  deletes when {} ended", service.deletes_after.join(", "))?;
    }
    for stage in &service.deletes {
        writeln!(f, "  delete {}", stage_name(stage.stage))?;
        for delete in &stage.deletes {
            let again = if delete.terminating { ", which has begun" } else { "" };
            writeln!(f, "    {} (uid {}){again}: {}", delete.id, delete.uid, delete.reason)?;
        }
    }
    for id in &service.gone {
        writeln!(f, "  forget {id}: it does not exist any more")?;
    }
    for object in &service.withheld {
        writeln!(f, "  keep {}: {}", object.id, object.withheld)?;
    }
    match service.unchanged {
        0 => Ok(()),
        count => writeln!(f, "  {count} unchanged"),
    }
}

fn stage_name(stage: u8) -> &'static str {
    STAGES.get(usize::from(stage)).copied().unwrap_or("unknown stage")
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Moved { from } => return write!(f, "it moves here from service `{from}`"),
            Reason::Adopted { from: None } => "it was there before, and nobody's",
            Reason::Adopted { from: Some(owner) } => return write!(f, "it is taken over from {owner}"),
            Reason::Terminating { uid } => {
                return write!(f, "it is being deleted (uid {uid}) and is created again when it is gone");
            }
            Reason::New => "it is new",
            Reason::Changed => "its manifest changed",
            Reason::Unconfirmed => "it was never confirmed",
            Reason::Missing => "it is missing in the cluster",
            Reason::Recreated => "somebody else created it again",
            Reason::Unrecorded => "it has our labels and was not recorded",
            Reason::LiveDiffers => "its hash annotation is not ours",
            Reason::Relabelled => "its owner labels are not ours",
            Reason::Drifted => "somebody changed what was applied",
            Reason::FullSync => "everything is applied again",
        })
    }
}

impl fmt::Display for DeleteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeleteReason::Removed => "it is not generated any more",
            DeleteReason::ServiceRemoved => "its service left the index",
        })
    }
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Withheld::Moved { to } => return write!(f, "it moves to service `{to}`"),
            Withheld::HeldTwice { with } => return write!(f, "service `{with}` holds it too and deletes it"),
            Withheld::Unproven { service } => {
                return write!(f, "service `{service}` could not be read and may want it");
            }
            Withheld::NamespaceInUse { objects, first } => {
                return write!(f, "objects in it that are not deleted: {objects}, such as {first}");
            }
            Withheld::DefinitionInUse { objects, first } => {
                return write!(f, "objects of its kind that are not deleted: {objects}, such as {first}");
            }
            Withheld::Unexplored { reason: None } => "it was not looked at what would go with it",
            Withheld::Unexplored { reason: Some(reason) } => {
                return write!(f, "it could not be read what would go with it: {reason}");
            }
            Withheld::Protected { approve } => {
                return write!(f, "more goes with it than the object: syncd approve {}", approve.short());
            }
            Withheld::Own => "it belongs to syncd itself",
            Withheld::PruneOff => "the service's settings say `prune: false`",
            Withheld::PruneDisabled => "it is annotated `syncd/prune: disabled`",
            Withheld::NotOwned => "it does not carry our owner labels",
            Withheld::UidDiffers => "it is not the object that was recorded",
            Withheld::Unseen => "it could not be looked at",
            Withheld::MayCome => "a request that creates it may still be under way",
            Withheld::Suspended => "it is suspended",
            Withheld::Fuse => "too many deletions at once wait for approval",
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Refused { reason } => f.write_str(reason),
            Problem::Unreadable { reason } => write!(f, "its record cannot be read: {reason}"),
            Problem::Foreign { object, owner } => {
                let tool = owner.tool;
                write!(f, "{object} belongs to {owner}; to take it over, annotate it with `syncd/adopt: {tool}` in Git")
            }
            Problem::Unread { object, reason } => {
                write!(f, "it is not known whether {object} is there, and whose it is: {reason}")
            }
            Problem::UnknownDependency { service } => {
                write!(f, "it depends on service `{service}`, which the index does not have")
            }
            Problem::DependencyCycle { way } => write!(f, "it would wait for itself: {}", way.join(" waits for ")),
            Problem::BehindSuspended { by } => {
                write!(f, "service `{by}` must be ready before, and is suspended with work that waits")
            }
            Problem::Blocked { by } => write!(f, "service `{by}` must be ready before, and failed"),
        }
    }
}
