//! A made-up environment with something of everything, to look at the status page with: in tests, and served by this example.
//!
//! Its texts try to break out of the page: [`HOSTILE`] stands wherever text comes from outside.

use manifest::{Hash, ObjectRef};
use syncd::cycle::{Clock, Mode, Request};
use syncd::daemon::failed_report;
use syncd::repo::{CommitInfo, Revision};
use syncd::report::{
    Cause, CycleError, CycleResult, DriftAction, Event, Fight, HeldDeletions, ObjectReport, Outcome, Report,
    ServiceReport, ServiceState, Stage, Trigger, Waiting,
};

/// Text that does harm where it is not escaped, and that reads backwards where it is not cleaned.
pub const HOSTILE: &str =
    "<x-hostile onclick=alert(1)>\"'&</x-hostile><script>document.title='broken'</script>\u{202e}\u{7}";

/// A clock that stands.
pub struct Standing;

impl Clock for Standing {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_second(1_793_000_000).expect("a date")
    }
}

/// Returns an object in namespace `shop`.
pub fn object(kind: &str, name: &str) -> ObjectRef {
    let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
    ObjectRef { group: group.into(), kind: kind.into(), namespace: "shop".into(), name: name.into() }
}

fn touched(kind: &str, name: &str, outcome: Outcome, error: Option<&str>) -> ObjectReport {
    let reason = "content changed".to_owned();
    ObjectReport { object: object(kind, name), outcome, reason, error: error.map(str::to_owned) }
}

/// Returns a service in a state, as a cycle leaves it.
pub fn service(name: &str, state: ServiceState) -> ServiceReport {
    let deployment = object("Deployment.apps", name);
    let blank = ServiceReport {
        state,
        version: Some("1.4.2".into()),
        applied: 0,
        deleted: 0,
        unchanged: 4,
        failed: 0,
        withheld: 0,
        seconds: 2.5,
        error: None,
        waiting_for: Vec::new(),
        causes: Vec::new(),
        objects: [].into(),
        failures: 0,
        state_bytes: 900,
    };
    let cause = Cause {
        object: deployment.clone(),
        pod: Some(format!("{name}-7c9d-x2x4z")),
        container: Some("app".to_owned()),
        reason: "CrashLoopBackOff".to_owned(),
        message: "back-off 40s restarting failed container".to_owned(),
        exit_code: Some(1),
        restarts: 4,
        events: vec![format!("Warning BackOff (x5): Back-off restarting failed container {HOSTILE}")],
        log: vec!["starting".to_owned(), format!("FATAL: no database {HOSTILE}")],
        previous_log: vec!["starting".to_owned()],
        log_withheld: None,
    };
    match state {
        ServiceState::Failed => ServiceReport {
            applied: 1,
            failed: 1,
            failures: 3,
            error: Some(format!("Deployment.apps shop/{name} cannot become ready: CrashLoopBackOff {HOSTILE}")),
            waiting_for: vec![Waiting { object: deployment, message: format!("1 of 3 replicas updated {HOSTILE}") }],
            causes: vec![cause],
            objects: [
                touched("ConfigMap", name, Outcome::Configured, None),
                touched("Deployment.apps", name, Outcome::Failed, Some(HOSTILE)),
            ]
            .into(),
            ..blank
        },
        ServiceState::Held => {
            let objects = [touched("Service", name, Outcome::Withheld, None)].into();
            ServiceReport { withheld: 12, objects, ..blank }
        }
        ServiceState::RolledBack => {
            ServiceReport { error: Some("rolled back to revision 0123456789ab: not ready".to_owned()), ..blank }
        }
        ServiceState::Suspended => ServiceReport {
            error: Some(format!("service `{name}` is suspended since 2026-01-01T00:00:00Z: incident {HOSTILE}")),
            ..blank
        },
        ServiceState::Blocked => {
            ServiceReport { error: Some("waits for `database`, which failed".to_owned()), ..blank }
        }
        ServiceState::Synced | ServiceState::Removed | ServiceState::Superseded => blank,
    }
}

/// Returns the report of a cycle over `count` services: one in a hundred has failed, and there is something of everything.
pub fn report(count: usize) -> Report {
    let state = |number: usize| match number % 100 {
        7 => ServiceState::Failed,
        23 => ServiceState::Held,
        41 => ServiceState::Blocked,
        59 => ServiceState::RolledBack,
        _ => ServiceState::Synced,
    };
    let name = |number: usize| if number == 7 { format!("odd-{HOSTILE}") } else { format!("service-{number:04}") };
    let services = (0..count).map(|number| (name(number), service(&name(number), state(number)))).collect();
    let error = CycleError { stage: Stage::Source, message: format!("the repository could not be reached: {HOSTILE}") };
    let request = Request { id: "01J9ZK3V5T6M8N0P2Q4R6S8T0V".to_owned(), mode: Mode::Auto };
    let fight = Fight {
        object: object("Deployment.apps", "service-0001"),
        service: "service-0001".to_owned(),
        manager: Some(format!("autoscaler {HOSTILE}")),
        fields: vec!["/spec/replicas".to_owned()],
        times: 3,
        pause_seconds: 80,
    };
    Report {
        revision: Some(Revision("0123456789abcdef0123456789abcdef01234567".to_owned())),
        commit: Some(CommitInfo {
            author: format!("Ada Lovelace {HOSTILE}"),
            subject: format!("shop: a new basket {HOSTILE}"),
            committed_at_seconds: 1_792_999_000,
        }),
        index: Some(Hash::of(b"index")),
        plan: Some(Hash::of(b"plan")),
        trigger: Trigger::Changed,
        result: CycleResult::Failed,
        seconds: 12.3,
        services,
        held: Some(HeldDeletions { id: Hash::of(b"plan"), deletions: 17, limit: 10 }),
        orphans: vec![object("ConfigMap", "stray"), object("Secret", HOSTILE)],
        fights: vec![fight],
        ..failed_report(&request, "production", &Standing, error)
    }
}

/// Returns what is heard while the next cycle goes on: something that drifted, a service that is applied, one that waits.
pub fn events() -> Vec<Event> {
    let waits = Waiting { object: object("Deployment.apps", "service-0003"), message: "1 of 3 replicas".to_owned() };
    vec![
        Event::Drift {
            service: "service-0001".to_owned(),
            object: object("Deployment.apps", "service-0001"),
            what: format!("/spec/replicas was changed by kubectl-edit {HOSTILE}"),
            action: DriftAction::Corrected,
        },
        Event::ServiceStarted { service: "service-0002".to_owned() },
        Event::ServiceStarted { service: "service-0003".to_owned() },
        Event::Object {
            service: "service-0003".to_owned(),
            object: touched("Deployment.apps", "service-0003", Outcome::Configured, None),
        },
        Event::Waiting { service: "service-0003".to_owned(), waiting_for: vec![waits] },
    ]
}
