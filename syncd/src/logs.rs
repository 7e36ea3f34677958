//! Events as log lines: one fact a line, past tense, with fields.
//!
//! Knows no cycle; says what [`Event`]s say. Info: what changed. Warn: someone may need to act. Error: someone must. Invariant: only
//! names, numbers, reasons and the server's scrubbed words are logged; text from outside is a field, quoted and escaped by the writer.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;

use crate::cycle::Takeover;
use crate::leader::Leadership;
use crate::report::{DriftAction, Event, Observer, Outcome, ServiceReport, ServiceState};

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Level {
    /// Someone must act.
    Error,
    /// Someone may need to act.
    Warn,
    /// What changed.
    Info,
    /// What was looked at.
    Debug,
    /// Everything of ours.
    Trace,
}

/// Sends log lines to standard error from now on. Libraries are held to warnings; those that would print what servers send, to nothing.
pub fn install(format: Format, level: Level) {
    let ours = match level {
        Level::Error => "syncd=error",
        Level::Warn => "syncd=warn",
        Level::Info => "syncd=info",
        Level::Debug => "syncd=debug",
        Level::Trace => "syncd=trace",
    };
    let directives = ["warn", ours, "kube_client=off", "kube_runtime=off", "tower_http=off"];
    let parse = |text: &str| text.parse::<Directive>().expect("a constant directive");
    let filter = directives.iter().fold(EnvFilter::default(), |filter, text| filter.add_directive(parse(text)));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A second call, as in tests, leaves what is there.
    let _ = match format {
        Format::Text => lines.with_target(false).with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        Format::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init(),
    };
}

/// Logs how this process stands among others.
pub fn leadership(leadership: &Leadership) {
    match leadership {
        Leadership::Standby { holder, error: None } => {
            let holder = holder.as_deref().unwrap_or_default();
            tracing::info!(holder, "stands by");
        }
        Leadership::Standby { holder, error: Some(error) } => {
            let holder = holder.as_deref().unwrap_or_default();
            tracing::warn!(holder, error, "stands by: the Lease could not be asked for");
        }
        Leadership::Leads { takeover: Takeover::Clean } => tracing::info!("leads"),
        Leadership::Leads { takeover: Takeover::Forced } => {
            tracing::info!("leads: the Lease was not given back; writes every record again, so that nobody else can");
        }
        Leadership::Lost { reason } => tracing::warn!(reason, "leads no longer: stopped at once"),
    }
}

/// Logs what happens.
pub struct Logged;

impl Observer for Logged {
    fn observe(&self, event: &Event) {
        match event {
            Event::Revision { revision, commit } => {
                let (author, subject) = (commit.author.as_str(), commit.subject.as_str());
                tracing::info!(%revision, author, subject, "a new revision came");
            }
            Event::Planned { plan, trigger, services, applies, deletes, withheld } => {
                let trigger = trigger.as_str();
                tracing::info!(%plan, trigger, services, applies, deletes, withheld, "planned");
            }
            Event::ServiceStarted { service } => tracing::debug!(service, "the service began"),
            Event::ServiceApplied { service } => tracing::debug!(service, "the service is applied"),
            Event::Object { service, object } => {
                let (outcome, reason) = (object.outcome.as_str(), object.reason.as_str());
                let id = &object.object;
                match (&object.error, object.outcome) {
                    (Some(error), _) => {
                        tracing::warn!(service, object = %id, outcome, reason, error, "an object failed");
                    }
                    (None, Outcome::Unchanged) => {
                        tracing::debug!(service, object = %id, outcome, reason, "an object was left");
                    }
                    (None, _) => tracing::info!(service, object = %id, outcome, reason, "an object was handled"),
                }
            }
            Event::Waiting { service, waiting_for } => {
                for waiting in waiting_for {
                    tracing::debug!(service, object = %waiting.object, missing = waiting.message, "waited for an object");
                }
            }
            Event::ServiceFinished { service, report } => finished(service, report),
            Event::Held(held) => {
                let (plan, deletions, limit) = (held.id, held.deletions, held.limit);
                tracing::warn!(%plan, deletions, limit, "deletions are held until they are approved");
            }
            Event::Suspended(suspended) => {
                if suspended.is_empty() {
                    tracing::info!("nothing is suspended any more");
                }
                for suspension in &suspended.0 {
                    tracing::warn!(suspension = %suspension, "suspended: nothing of it is written");
                }
            }
            Event::Drift { service, object, what, action } => {
                let done = action.as_str();
                match action {
                    DriftAction::BackedOff { pause_seconds } => {
                        tracing::warn!(service, %object, what, action = done, pause_seconds, "somebody keeps changing an object");
                    }
                    DriftAction::Corrected | DriftAction::Reported => {
                        tracing::warn!(service, %object, what, action = done, "somebody changed an object");
                    }
                }
            }
            Event::Failed(error) => {
                tracing::error!(stage = error.stage.as_str(), error = error.message, "the cycle failed");
            }
        }
    }
}

fn finished(service: &str, report: &ServiceReport) {
    let ServiceReport { applied, deleted, failed, withheld, seconds, .. } = report;
    let (state, error) = (report.state.as_str(), report.error.as_deref());
    match report.state {
        ServiceState::Failed | ServiceState::RolledBack => {
            tracing::error!(service, state, applied, deleted, failed, withheld, seconds, error, "the service ended");
        }
        ServiceState::Held | ServiceState::Suspended | ServiceState::Blocked => {
            tracing::warn!(service, state, applied, deleted, failed, withheld, seconds, error, "the service ended");
        }
        ServiceState::Synced | ServiceState::Removed | ServiceState::Superseded => {
            tracing::info!(service, state, applied, deleted, failed, withheld, seconds, "the service ended");
        }
    }
}
