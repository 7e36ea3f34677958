//! A report as text for people: a table of services, then what was done to which object, then what went wrong.
//!
//! Knows nothing but the report. Texts that come from outside (versions, commit subjects, servers' words) are shown without control
//! characters. Invariant: the same report gives the same text.

use std::fmt::Write as _;

use crate::report::{Cause, Fight, Outcome, Report, printable};

/// Returns a report as text, with a final newline.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    let revision = report
        .revision
        .as_ref()
        .map_or(" without a revision".to_owned(), |revision| format!(" at {}", revision.short()));
    let subject = report.commit.as_ref().map(|commit| format!(" ({})", printable(&commit.subject))).unwrap_or_default();
    let result = report.result.as_str();
    line(
        &mut out,
        format_args!("{}: {result}{revision}{subject}, {:.1} s", printable(&report.environment), report.seconds),
    );
    if !report.services.is_empty() {
        out.push('\n');
        table(&mut out, report);
    }
    let objects: Vec<String> = objects(report);
    if !objects.is_empty() {
        out.push('\n');
    }
    for object in objects {
        line(&mut out, format_args!("{object}"));
    }
    let troubles = troubles(report);
    if !troubles.is_empty() {
        out.push('\n');
    }
    for trouble in troubles {
        line(&mut out, format_args!("{trouble}"));
    }
    out
}

fn table(out: &mut String, report: &Report) {
    let head = ["SERVICE", "VERSION", "STATE", "APPLIED", "DELETED", "UNCHANGED", "FAILED", "KEPT"].map(str::to_owned);
    let rows = report.services.iter().map(|(name, service)| {
        let numbers = [service.applied, service.deleted, service.unchanged, service.failed, service.withheld];
        let [applied, deleted, unchanged, failed, kept] = numbers.map(|number| number.to_string());
        let version = printable(service.version.as_deref().unwrap_or("-"));
        [printable(name), version, service.state.as_str().to_owned(), applied, deleted, unchanged, failed, kept]
    });
    let rows: Vec<[String; 8]> = std::iter::once(head).chain(rows).collect();
    out.push_str(&aligned(&rows));
}

/// Returns rows as a table in which columns stand under each other.
pub fn aligned<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        line(&mut out, format_args!("{}", cells.join("  ").trim_end()));
    }
    out
}

/// Returns what was done, service by service in the order of the plan. What needed nothing is left out.
fn objects(report: &Report) -> Vec<String> {
    let width = report.services.keys().map(|name| name.chars().count()).max().unwrap_or(0);
    let all =
        report.services.iter().flat_map(|(name, service)| service.objects.iter().map(move |object| (name, object)));
    let told = all.filter(|(_, object)| object.outcome != Outcome::Unchanged);
    told.map(|(name, object)| {
        let error = object.error.as_ref().map(|error| format!(": {}", printable(error))).unwrap_or_default();
        format!(
            "{:<10}  {:<width$}  {}{error}",
            object.outcome.as_str(),
            printable(name),
            printable(&object.object.to_string())
        )
    })
    .collect()
}

fn troubles(report: &Report) -> Vec<String> {
    let mut troubles = Vec::new();
    for (name, service) in &report.services {
        if let Some(error) = &service.error {
            troubles.push(format!("{}: {}", printable(name), printable(error)));
        }
        for waiting in &service.waiting_for {
            troubles.push(format!(
                "{}: waited for {}: {}",
                printable(name),
                printable(&waiting.object.to_string()),
                printable(&waiting.message)
            ));
        }
        troubles.extend(service.causes.iter().flat_map(|cause| explained(name, cause)));
    }
    if let Some(held) = &report.held {
        troubles.push(format!("held: {held}; to let exactly these through: syncd approve {}", held.id));
    }
    troubles.extend(report.suspended.0.iter().map(|suspension| printable(&suspension.to_string())));
    for Fight { object, manager, fields, pause_seconds, .. } in &report.fights {
        let manager = printable(manager.as_deref().unwrap_or("somebody"));
        let fields = if fields.is_empty() { "it".to_owned() } else { printable(&fields.join(", ")) };
        let object = printable(&object.to_string());
        troubles.push(format!("{object}: {manager} keeps changing {fields}; corrected every {pause_seconds} s"));
    }
    if !report.orphans.is_empty() {
        troubles.push(format!("objects that carry our label, but are in no record: {}", report.orphans.len()));
    }
    troubles
        .extend(report.errors.iter().map(|error| format!("{}: {}", error.stage.as_str(), printable(&error.message))));
    troubles
}

/// Returns a cause: where, what, and what was said and logged there.
fn explained(service: &str, cause: &Cause) -> Vec<String> {
    let part = |what: &str, name: &Option<String>| name.as_ref().map(|name| format!(", {what} {}", printable(name)));
    let place =
        [part("pod", &cause.pod), part("container", &cause.container)].into_iter().flatten().collect::<String>();
    let exit = cause.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
    let restarts = if cause.restarts > 0 { format!(", {} restarts", cause.restarts) } else { String::new() };
    let object = printable(&cause.object.to_string());
    let mut lines =
        vec![format!("{}: {object}{place}: {}{exit}{restarts}", printable(service), printable(&cause.reason))];
    let withheld = cause.log_withheld.iter().cloned().collect::<Vec<_>>();
    let parts = [
        ("event", &cause.events),
        ("log before", &cause.previous_log),
        ("log", &cause.log),
        ("log not shown", &withheld),
    ];
    for (what, texts) in parts {
        lines.extend(texts.iter().map(|text| format!("  {what}: {}", printable(text))));
    }
    lines
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a string takes any text");
}

#[cfg(test)]
mod tests {
    use manifest::{Hash, ObjectRef};

    use super::*;
    use crate::cycle::{Clock, Mode, Request};
    use crate::daemon::failed_report;
    use crate::repo::{CommitInfo, Revision};
    use crate::report::{
        CycleError, CycleResult, HeldDeletions, ObjectReport, ServiceReport, ServiceState, Stage, Trigger, Waiting,
    };

    struct Epoch;

    impl Clock for Epoch {
        fn now(&self) -> jiff::Timestamp {
            jiff::Timestamp::UNIX_EPOCH
        }
    }

    fn failed() -> Report {
        let request = Request { id: "01J".to_owned(), mode: Mode::Auto };
        let error =
            CycleError { stage: Stage::Source, message: "the repository could not be reached: timed out".to_owned() };
        failed_report(&request, "staging", &Epoch, error)
    }

    fn object(kind: &str, name: &str, outcome: Outcome, error: Option<&str>) -> ObjectReport {
        let object = ObjectRef { group: "".into(), kind: kind.into(), namespace: "shop".into(), name: name.into() };
        ObjectReport { object, outcome, reason: "new".to_owned(), error: error.map(str::to_owned) }
    }

    fn service(state: ServiceState, version: &str, objects: Vec<ObjectReport>) -> ServiceReport {
        let number = |outcomes: &[Outcome]| objects.iter().filter(|object| outcomes.contains(&object.outcome)).count();
        ServiceReport {
            state,
            version: (!version.is_empty()).then(|| version.into()),
            applied: number(&[Outcome::Created, Outcome::Configured]),
            deleted: number(&[Outcome::Deleted]),
            unchanged: 3,
            failed: number(&[Outcome::Failed]),
            withheld: number(&[Outcome::Withheld]),
            seconds: 1.0,
            error: None,
            waiting_for: Vec::new(),
            causes: Vec::new(),
            objects: objects.into(),
            failures: 0,
            state_bytes: 100,
        }
    }

    #[test]
    fn a_cycle_as_people_read_it() {
        let new = vec![
            object("Service", "app1", Outcome::Created, None),
            object("ConfigMap", "app1", Outcome::Configured, None),
        ];
        let waiting = Waiting {
            object: object("Deployment", "app2", Outcome::Failed, None).object,
            message: "1 of 3 replicas".to_owned(),
        };
        let cause = Cause {
            object: waiting.object.clone(),
            pod: Some("app2-1".to_owned()),
            container: Some("app".to_owned()),
            reason: "CrashLoopBackOff".to_owned(),
            message: "back-off".to_owned(),
            exit_code: Some(2),
            restarts: 3,
            events: vec!["Warning BackOff (x3): Back-off restarting".to_owned()],
            log: vec!["starting".to_owned(), "no \u{1b}[31mdatabase".to_owned()],
            previous_log: vec!["starting".to_owned()],
            log_withheld: None,
        };
        let broken = ServiceReport {
            error: Some("not ready after 600 s".to_owned()),
            waiting_for: vec![waiting],
            causes: vec![cause],
            ..service(
                ServiceState::Failed,
                "2\u{1b}[31m",
                vec![object("Secret", "app2", Outcome::Failed, Some("Invalid"))],
            )
        };
        let old = service(ServiceState::Held, "", vec![object("Service", "old", Outcome::Withheld, None)]);
        let untouched = service(ServiceState::Synced, "4", vec![object("Service", "same", Outcome::Unchanged, None)]);
        let services = [
            ("app1", service(ServiceState::Synced, "1.2.3", new)),
            ("app2", broken),
            ("old", old),
            ("same", untouched),
        ];
        let report = Report {
            revision: Some(Revision("0123456789abcdef0123456789abcdef01234567".to_owned())),
            commit: Some(CommitInfo { subject: "app1: 1.2.3".to_owned(), ..CommitInfo::default() }),
            trigger: Trigger::Changed,
            result: CycleResult::Failed,
            seconds: 12.34,
            services: services.map(|(name, service)| (name.to_owned(), service)).into_iter().collect(),
            held: Some(HeldDeletions { id: Hash::of(b"plan"), deletions: 17, limit: 10 }),
            orphans: vec![object("Pod", "stray", Outcome::Failed, None).object],
            errors: Vec::new(),
            ..failed()
        };
        insta::assert_snapshot!(text(&report), @r"
        staging: failed at 0123456789ab (app1: 1.2.3), 12.3 s

        SERVICE  VERSION  STATE   APPLIED  DELETED  UNCHANGED  FAILED  KEPT
        app1     1.2.3    synced  2        0        3          0       0
        app2     2 [31m   failed  0        0        3          1       0
        old      -        held    0        0        3          0       1
        same     4        synced  0        0        3          0       0

        created     app1  Service shop/app1
        configured  app1  ConfigMap shop/app1
        failed      app2  Secret shop/app2: Invalid
        withheld    old   Service shop/old

        app2: not ready after 600 s
        app2: waited for Deployment shop/app2: 1 of 3 replicas
        app2: Deployment shop/app2, pod app2-1, container app: CrashLoopBackOff, exit code 2, 3 restarts
          event: Warning BackOff (x3): Back-off restarting
          log before: starting
          log: starting
          log: no  [31mdatabase
        held: 17 deletions, 10 are let through unasked; to let exactly these through: syncd approve 29fde71e3ef298312227db745efc78ceb1c4e97c3a45f8e1f3f8680fa8a8f9ac
        objects that carry our label, but are in no record: 1
        ");
    }

    #[test]
    fn a_cycle_that_came_to_nothing() {
        insta::assert_snapshot!(text(&failed()), @r"
        staging: failed without a revision, 0.0 s

        source: the repository could not be reached: timed out
        ");
    }
}
