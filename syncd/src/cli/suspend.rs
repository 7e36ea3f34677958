//! `syncd suspend` and `syncd resume`: what people want left alone, said, ended and listed.
//!
//! Writes the one record that the daemon watches ([`crate::suspension`]), by compare-and-set; knows no daemon. Invariants: what is said in it
//! stays, but for what is named, and for what is over; one that cannot be read is not written.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use manifest::ObjectRef;

use super::arguments::{Reach, dns_label, duration, object};
use super::output::{Output, print, say};
use super::{CliError, Exit, SystemClock};
use crate::cluster::{Cluster, ErrorClass, StateObject};
use crate::cycle::Clock;
use crate::kube::KubeCluster;
use crate::report::{SuspendedScope, Suspension, printable};
use crate::state::{self, State};
use crate::suspension::{KEY, REASON_CHARS_MAX, Record, SUSPENSIONS_MAX, name};

pub(super) const HELP: &str =
    "Without --reason: lists what is suspended. With it, and neither --service nor --object: the whole environment.
A running syncd hears of it within a second; it ends what it has begun to apply, and begins nothing more of it.

Exit codes:
   0  suspended; or listed
   2  wrong usage: the arguments cannot work
   4  the cluster or the recorded state could not be read or written";

pub(super) const RESUME_HELP: &str =
    "With neither --service, --object nor --all: the environment, if it is suspended as a whole.

Exit codes:
   0  resumed
   1  that is not suspended
   2  wrong usage: the arguments cannot work
   4  the cluster or the recorded state could not be read or written";

/// How often a record is read again that somebody else was writing.
const TRIES: usize = 5;

#[derive(Debug, Args)]
pub(super) struct Suspend {
    /// Only this service
    #[arg(long, env = "SYNCD_SERVICE", value_name = "NAME", value_parser = dns_label, requires = "reason")]
    service: Option<String>,
    /// Only this object: `Kind.group namespace/name`, such as `Deployment.apps shop/web`
    #[arg(long, env = "SYNCD_OBJECT", value_name = "OBJECT", value_parser = object, requires = "reason", conflicts_with = "service")]
    object: Option<ObjectRef>,
    /// Why, in your words: everybody who looks is told
    #[arg(long, env = "SYNCD_REASON", value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    /// For how long; without it, and without --until, until it is resumed
    #[arg(long = "for", env = "SYNCD_FOR", value_name = "TIME", value_parser = duration, requires = "reason", conflicts_with = "until")]
    lasts: Option<Duration>,
    /// Until when: RFC 3339, such as 2026-01-31T12:00:00Z
    #[arg(long, env = "SYNCD_UNTIL", value_name = "TIME", value_parser = time, requires = "reason")]
    until: Option<Timestamp>,
    /// Form of the list: text for people, json or yaml for programs
    #[arg(short, long, env = "SYNCD_OUTPUT", value_enum, default_value_t = Output::Text, value_name = "FORM", conflicts_with = "reason")]
    output: Output,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Args)]
pub(super) struct Resume {
    /// This service
    #[arg(long, env = "SYNCD_SERVICE", value_name = "NAME", value_parser = dns_label)]
    service: Option<String>,
    /// This object: `Kind.group namespace/name`, such as `Deployment.apps shop/web`
    #[arg(long, env = "SYNCD_OBJECT", value_name = "OBJECT", value_parser = object, conflicts_with = "service")]
    object: Option<ObjectRef>,
    /// Everything that is suspended
    #[arg(long, env = "SYNCD_ALL", conflicts_with_all = ["service", "object"])]
    all: bool,
    #[command(flatten)]
    reach: Reach,
}

pub(super) async fn run(arguments: &Suspend) -> Result<Exit, CliError> {
    let Suspend { service, object, reason, lasts, until, output, reach } = arguments;
    let cluster = reach.quietly().await?;
    let now = SystemClock.now();
    let Some(reason) = reason else {
        let in_force = read(&cluster, &reach.environment).await?.1.in_force(now).0;
        print(*output, &table(&in_force), &in_force);
        return Ok(Exit::Synced);
    };
    let until = match lasts {
        Some(lasts) => Some(now.checked_add(*lasts).map_err(|_| CliError::Suspend("--for is too long".to_owned()))?),
        None => *until,
    };
    if let Some(until) = until.filter(|until| *until <= now) {
        let message = format!("--until {until} is over: now is {}", seconds(now));
        return Err(CliError::Suspend(message));
    }
    let (reason, since, until) = (reason.clone(), seconds(now), until.map(seconds));
    let suspension = Suspension { scope: named(service.as_ref(), object.as_ref()), reason, since, until };
    let (state, ()) = change(&cluster, &reach.environment, |record| {
        record.suspend(suspension.clone(), now);
        match record.suspensions.len() > SUSPENSIONS_MAX {
            true => Err(CliError::Suspend(format!(
                "more than {SUSPENSIONS_MAX} suspensions are more than anybody keeps in view; suspend the environment"
            ))),
            false => Ok(()),
        }
    })
    .await?;
    if let Some(warning) = unheard_of(&state, &suspension.scope) {
        eprintln!("syncd: {warning}");
    }
    say(&format!("{suspension}\n"));
    Ok(Exit::Synced)
}

pub(super) async fn resume(arguments: &Resume) -> Result<Exit, CliError> {
    let Resume { service, object, all, reach } = arguments;
    let cluster = reach.quietly().await?;
    let (now, environment) = (SystemClock.now(), &reach.environment);
    let scope = named(service.as_ref(), object.as_ref());
    let (_, resumed) = change(&cluster, environment, |record| {
        let before: Vec<String> = record.in_force(now).0.iter().map(|one| one.scope.to_string()).collect();
        let resumed = record.resume(now, |one| *all || *one == scope);
        match resumed.is_empty() {
            false => Ok(resumed),
            true => Err(CliError::NotSuspended { environment: environment.clone(), scope: scope.to_string(), before }),
        }
    })
    .await?;
    for Suspension { scope, since, .. } in resumed {
        say(&format!("{scope} is resumed; it was suspended since {since}\n"));
    }
    Ok(Exit::Synced)
}

fn named(service: Option<&String>, object: Option<&ObjectRef>) -> SuspendedScope {
    match (service, object) {
        (Some(service), _) => SuspendedScope::Service(service.clone()),
        (None, Some(object)) => SuspendedScope::Object(object.clone()),
        (None, None) => SuspendedScope::Environment,
    }
}

async fn read(cluster: &KubeCluster, environment: &str) -> Result<(State, Record), CliError> {
    let state = state::read(cluster, environment).await.map_err(|error| CliError::State(error.to_string()))?;
    let record = Record::read(state.suspensions.as_ref(), environment).map_err(CliError::State)?;
    Ok((state, record))
}

/// Changes the record; tried again as long as somebody else was faster. Returns what was recorded of everything else.
async fn change<T>(
    cluster: &KubeCluster,
    environment: &str,
    change: impl Fn(&mut Record) -> Result<T, CliError>,
) -> Result<(State, T), CliError> {
    let mut tries = 0;
    loop {
        let (state, mut record) = read(cluster, environment).await?;
        let changed = change(&mut record)?;
        let object = StateObject {
            name: name(environment),
            labels: state::labels(environment, None),
            data: BTreeMap::from([(KEY.to_owned(), record.text())]),
            resource_version: state.suspensions.as_ref().and_then(|object| object.resource_version.clone()),
        };
        tries += 1;
        match cluster.write_state(object).await {
            Ok(_) => return Ok((state, changed)),
            Err(error) if error.class == ErrorClass::Conflict && tries < TRIES => {}
            Err(error) => return Err(CliError::State(error.message)),
        }
    }
}

/// Says that nothing of what is suspended is recorded: it may be new, or mistyped.
fn unheard_of(state: &State, scope: &SuspendedScope) -> Option<String> {
    let heard_of = match scope {
        SuspendedScope::Environment => true,
        SuspendedScope::Service(name) => state.services.contains_key(name),
        SuspendedScope::Object(id) => state.records().any(|(_, record)| record.held.contains_key(id)),
    };
    (!heard_of).then(|| format!("{scope} is in no record: it is new, or mistyped"))
}

fn table(suspensions: &[Suspension]) -> String {
    if suspensions.is_empty() {
        return "nothing is suspended\n".to_owned();
    }
    let head = ["WHAT", "SINCE", "UNTIL", "REASON"].map(str::to_owned);
    let row = |one: &Suspension| {
        let until = one.until.clone().unwrap_or_else(|| "resumed".to_owned());
        [printable(&one.scope.to_string()), one.since.clone(), until, printable(&one.reason)]
    };
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(suspensions.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..3).map(width).collect();
    let mut text = String::new();
    for [what, since, until, reason] in &rows {
        writeln!(text, "{what:<0$}  {since:<1$}  {until:<2$}  {reason}", widths[0], widths[1], widths[2])
            .expect("a string takes any text");
    }
    text
}

/// Whole seconds are enough for people.
fn seconds(time: Timestamp) -> String {
    format!("{time:.0}")
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "expected a time with its zone, such as `2026-01-31T12:00:00Z`".to_owned())
}

fn reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("say why, so that others know".to_owned()),
        text if text.chars().count() > REASON_CHARS_MAX => {
            Err(format!("a reason has at most {REASON_CHARS_MAX} characters"))
        }
        text => Ok(printable(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_and_times() {
        assert_eq!(reason(" incident 7\n"), Ok("incident 7".to_owned()));
        assert!(reason(" \t").is_err() && reason(&"x".repeat(REASON_CHARS_MAX)).is_ok());
        assert!(reason(&"x".repeat(REASON_CHARS_MAX + 1)).is_err());
        assert!(time("2026-01-31T12:00:00Z").is_ok() && time("2026-01-31T12:00:00+02:00").is_ok());
        for text in ["", "tomorrow", "2026-01-31", "2026-01-31T12:00:00"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
