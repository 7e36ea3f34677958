//! Every call of every small history goes wrong once, in every way.
//!
//! The number of calls of a history is counted in calm weather; then there is a run for each of them and each fault. Invariant: nothing is
//! drawn by chance here: the runs are the same every time. `SYNCD_SIMULATION_CASE`, as a failure tells it, plays one with its transcript.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use manifest::index::Sync;
use tokio::time::Instant;

use crate::model::services::{Service, service};
use crate::script::{History, Step};
use crate::weather::{Fault, Weather};
use crate::world::{Outcome, play};

/// What happens to each call.
const FAULTS: [Fault; 12] = [
    Fault::CrashBefore,
    Fault::CrashAfter,
    Fault::LostBefore,
    Fault::LostAfter,
    Fault::Late(Duration::from_secs(45)),
    Fault::CrashLate(Duration::from_secs(25)),
    Fault::Slow(Duration::from_secs(8)),
    Fault::Paused(Duration::from_secs(40)),
    Fault::Denied,
    Fault::Throttled,
    Fault::Broken,
    Fault::BrokenAfter,
];

/// The small histories.
pub fn histories() -> Vec<History> {
    let secret = ("Secret s", "s3cret");
    let depends = |mut service: Service, on: &str| {
        service.sync = Sync { depends_on: vec![on.to_owned()], ..Sync::default() };
        service
    };
    let kept = |objects: &[(&str, &str)]| vec![service("a", objects).sync(Sync { prune: false, ..Sync::default() })];
    let steps = |revisions: Vec<Vec<Service>>| {
        let steps = revisions.into_iter().flat_map(|revision| [Step::Commit(revision), Step::Settle]);
        steps.collect::<Vec<_>>()
    };
    let named = |name: &str, revisions: Vec<Vec<Service>>| History::new(name, steps(revisions));
    let come_and_go = vec![
        vec![service("a", &[("ConfigMap a", "v1"), secret])],
        vec![service("a", &[("ConfigMap a", "v2"), ("ConfigMap b", "v1")])],
        vec![],
    ];
    let moving = vec![
        vec![service("a", &[("ConfigMap m", "v1"), ("ConfigMap x", "v1")]), service("b", &[("ConfigMap y", "v1")])],
        vec![service("a", &[("ConfigMap x", "v1")]), service("b", &[("ConfigMap m", "v1"), ("ConfigMap y", "v1")])],
        vec![service("b", &[("ConfigMap m", "v2")]), service("c", &[("ConfigMap x", "v1")])],
    ];
    let one = vec![service("a", &[("ConfigMap a", "v1"), ("ConfigMap b", "v1")])];
    let two = vec![service("a", &[("ConfigMap a", "v2"), ("ConfigMap c", "v1")])];
    let six: Vec<(String, &str)> = (0..6).map(|number| (format!("ConfigMap c{number}"), "v1")).collect();
    let six: Vec<(&str, &str)> = six.iter().map(|(id, content)| (id.as_str(), *content)).collect();
    vec![
        named("come and go", come_and_go),
        named("move", moving.clone()),
        History { state_bytes: 600, ..named("split records", moving) },
        named(
            "foundations",
            vec![
                vec![service("a", &[("Namespace m", ""), ("ConfigMap m/a", "v1")])],
                vec![service(
                    "b",
                    &[
                        ("CustomResourceDefinition.apiextensions.k8s.io widgets.example.org", ""),
                        ("Widget.example.org w", "v1"),
                    ],
                )],
            ],
        ),
        named(
            "workload",
            vec![
                vec![service("a", &[("ConfigMap c", "v1"), ("Deployment.apps d", "v1")])],
                vec![service("a", &[("ConfigMap e", "v1"), ("Deployment.apps d", "v2")])],
            ],
        ),
        named(
            "dependency",
            vec![
                vec![service("a", &[("ConfigMap a", "v1")]), depends(service("b", &[("ConfigMap b", "v1")]), "a")],
                vec![service("a", &[("ConfigMap a", "v2")]), depends(service("b", &[("ConfigMap b", "v2")]), "a")],
            ],
        ),
        History::new(
            "suspended service",
            vec![
                Step::Commit(one.clone()),
                Step::Settle,
                Step::Suspend("service a".to_owned()),
                Step::Commit(two.clone()),
                Step::Wait(20),
                Step::Resume,
            ],
        ),
        History::new(
            "suspended object",
            vec![
                Step::Commit(one.clone()),
                Step::Settle,
                Step::Suspend("ConfigMap a".to_owned()),
                Step::Edit("ConfigMap a".to_owned()),
                Step::Commit(two.clone()),
                Step::Wait(20),
                Step::Resume,
            ],
        ),
        // The second revision is taken back before it can be done.
        History::new(
            "revert",
            vec![
                Step::Commit(one.clone()),
                Step::Settle,
                Step::Commit(two.clone()),
                Step::Wait(17),
                Step::Commit(one.clone()),
            ],
        ),
        History::new(
            "taken away",
            vec![Step::Commit(two.clone()), Step::Wait(1), Step::Commit(vec![service("b", &[("ConfigMap z", "v1")])])],
        ),
        // What is kept although it is not wanted is wanted again, as it is.
        History::new(
            "kept",
            vec![
                Step::Commit(kept(&[("ConfigMap a", "v1"), ("ConfigMap b", "v1")])),
                Step::Settle,
                Step::Commit(kept(&[("ConfigMap a", "v1")])),
                Step::Wait(20),
                Step::Commit(kept(&[("ConfigMap a", "v1"), ("ConfigMap b", "v1")])),
            ],
        ),
        History::new("held", vec![Step::Commit(vec![service("a", &six)]), Step::Settle, Step::Commit(vec![])]),
        // What has another tool's marks is left to it, whoever wants it.
        History::new(
            "marked",
            vec![
                Step::CreateMarked("ConfigMap z".to_owned()),
                Step::Commit(vec![service("a", &[("ConfigMap a", "v1")]), service("b", &[("ConfigMap z", "v1")])]),
                Step::Wait(20),
                Step::Commit(vec![service("a", &[("ConfigMap a", "v1")]), service("b", &[("ConfigMap b", "v1")])]),
            ],
        ),
        History::new(
            "adopted",
            vec![
                Step::Create("ConfigMap a".to_owned()),
                Step::CreateMarked("ConfigMap z".to_owned()),
                Step::Commit(one.clone()),
                Step::Settle,
                Step::Commit(vec![]),
            ],
        ),
        History::new(
            "drift",
            vec![
                Step::Commit(one.clone()),
                Step::Settle,
                Step::Edit("ConfigMap a".to_owned()),
                Step::Wait(4),
                Step::Remove("ConfigMap b".to_owned()),
                Step::Settle,
            ],
        ),
        History::new(
            "rewritten",
            vec![
                Step::Commit(one.clone()),
                Step::Settle,
                Step::Commit(two.clone()),
                Step::Settle,
                Step::Rewrite(one.clone()),
            ],
        ),
        History {
            processes: 2,
            ..History::new(
                "handed over",
                vec![Step::Commit(one.clone()), Step::Settle, Step::Commit(two.clone()), Step::Stop(0)],
            )
        },
        History {
            processes: 2,
            ..History::new(
                "paused",
                vec![
                    Step::Commit(one),
                    Step::Settle,
                    Step::Commit(two),
                    Step::Wait(14),
                    Step::Pause(0, 40),
                    Step::Settle,
                ],
            )
        },
    ]
}

/// A history with one fault.
pub struct Case {
    pub history: History,
    pub call: usize,
    pub fault: Fault,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {} at call {}", self.history.name, self.fault, self.call)
    }
}

/// Returns every history with every fault at every call.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for history in histories() {
        let calm = play(&history, false);
        for call in 0..calm.exposed {
            cases.extend(FAULTS.map(|fault| {
                let history = History { weather: Weather::once(call, fault), ..history.clone() };
                Case { history, call, fault }
            }));
        }
    }
    cases
}

/// Plays many on all cores. `end`: no more are begun. Returns what each came to that was played.
pub fn play_all(
    count: usize,
    history: impl Fn(usize) -> History + Send + std::marker::Sync,
    end: impl Fn(usize, &Outcome) -> bool + Send + std::marker::Sync,
) -> Totals {
    let next = AtomicUsize::new(0);
    let totals = Mutex::new(Totals::default());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let outcome = play(&history(number), false);
                    let ends = end(number, &outcome);
                    let mut totals = totals.lock().expect("whole");
                    totals.runs += 1;
                    totals.calls += outcome.calls;
                    totals.faults += outcome.faults.len();
                    totals.simulated += outcome.simulated;
                    if let Some(violation) = outcome.violation {
                        totals.violations.push((number, violation.checker, violation.message));
                    }
                    if ends {
                        next.store(count, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let mut totals = totals.into_inner().expect("whole");
    totals.took = started.elapsed();
    totals.violations.sort();
    totals
}

/// What many runs came to.
#[derive(Debug, Default)]
pub struct Totals {
    pub runs: usize,
    pub calls: usize,
    pub faults: usize,
    pub simulated: Duration,
    pub took: Duration,
    pub violations: Vec<(usize, &'static str, String)>,
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Totals { runs, calls, faults, simulated, took, violations } = self;
        let per_second = *runs as f64 / took.as_secs_f64().max(0.001);
        write!(
            f,
            "{runs} histories, {calls} calls, {faults} faults, {:.1} simulated days; {} violations; {:.0} s, {per_second:.0} histories a second",
            simulated.as_secs_f64() / 86_400.0,
            violations.len(),
            took.as_secs_f64(),
        )
    }
}

#[test]
fn every_call_goes_wrong_once_in_every_way() {
    for history in histories() {
        assert_eq!(play(&history, false).violation, None, "`{}` in calm weather", history.name);
    }
    let cases = cases();
    #[expect(clippy::disallowed_methods, reason = "a test is told by its caller what to play")]
    if let Ok(wanted) = std::env::var("SYNCD_SIMULATION_CASE") {
        let case = cases.iter().find(|case| case.to_string() == wanted).expect("a case as it is told");
        let outcome = play(&case.history, true);
        println!("{}\n{:?}", outcome.transcript.join("\n"), outcome.violation);
        return;
    }
    let totals = play_all(cases.len(), |number| cases[number].history.clone(), |_, _| false);
    println!("exhaustive: {totals}");
    let mut told = String::new();
    for (number, checker, message) in totals.violations.iter().take(5) {
        let transcript = play(&cases[*number].history, true).transcript.join("\n");
        told += &format!("\n{}: {checker}: {message}\n{transcript}\n", cases[*number]);
    }
    for (number, checker, message) in totals.violations.iter().skip(5) {
        told += &format!("\n{}: {checker}: {message}", cases[*number]);
    }
    assert!(totals.violations.is_empty(), "{told}");
    assert!(totals.runs > 2_000, "that is not much");
}
