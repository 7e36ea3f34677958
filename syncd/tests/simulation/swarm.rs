//! Histories by chance: each draws first what can happen in it at all, and how often, then what happens.
//!
//! A seed is a history with its weather, on any machine. `SYNCD_SIMULATION_SEED` plays one, with its transcript; `SYNCD_SIMULATION_RUNS` so
//! many from a new seed on; `SYNCD_SIMULATION_SECONDS` for so long. A history that fails is shortened before it is told.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use manifest::index::Sync;
use tokio::time::Instant;

use crate::chance::Chance;
use crate::exhaustive::play_all;
use crate::model::services::Service;
use crate::script::{History, Step};
use crate::weather::Weather;
use crate::world::{Violation, play};

/// Histories of every test run.
const RUNS: usize = 200;
/// Plays that shortening may cost.
const SHORTENING_MAX: usize = 400;

/// Objects that services may want.
const OBJECTS: [&str; 12] = [
    "ConfigMap a",
    "ConfigMap b",
    "ConfigMap c",
    "ConfigMap d",
    "ConfigMap e",
    "ConfigMap m/f",
    "Secret s",
    "Service v",
    "ServiceAccount u",
    "Namespace m",
    "CustomResourceDefinition.apiextensions.k8s.io widgets.example.org",
    "Widget.example.org w",
];
const WORKLOADS: [&str; 2] = ["Deployment.apps d", "StatefulSet.apps t"];
const NAMES: [&str; 3] = ["a", "b", "c"];
const GROUPS: [&str; 3] = ["apps", "example.org", "coordination.k8s.io"];

/// Draws the history of a seed.
pub fn drawn(seed: u64) -> History {
    let root = Chance::new(seed);
    let mut chance = root.branch("steps");
    let weights: [u64; 20] = std::array::from_fn(|_| if chance.one_in(2) { 0 } else { 1 + chance.below(4) });
    let processes = *chance.pick(&[1, 1, 1, 2, 2, 3]);
    let workloads = chance.one_in(4);
    let mut commits = root.branch("commits");
    let mut services = Vec::new();
    let mut steps = Vec::new();
    change(&mut services, &mut commits, workloads);
    change(&mut services, &mut commits, workloads);
    steps.push(Step::Commit(services.clone()));
    steps.push(if chance.one_in(3) { Step::Wait(1) } else { Step::Wait(20) });
    for _ in 0..2 + chance.below(8) {
        let step = step(&weights, &mut chance, |back| {
            change(&mut services, &mut commits, workloads);
            if back { Step::Rewrite(services.clone()) } else { Step::Commit(services.clone()) }
        });
        steps.push(step);
        if chance.one_in(2) {
            steps.push(Step::Wait(*chance.pick(&[1, 3, 8, 16, 30, 70])));
        }
    }
    suspend(&mut steps, &mut root.branch("suspensions"));
    History {
        processes,
        state_bytes: if chance.one_in(4) { 600 } else { 200 << 10 },
        weather: if chance.one_in(12) { Weather::Calm } else { Weather::drawn(root.branch("weather")) },
        ..History::new(&format!("seed {seed}"), steps)
    }
}

/// Lets people suspend something in one of four histories, and perhaps resume it before the end.
fn suspend(steps: &mut Vec<Step>, chance: &mut Chance) {
    if !chance.one_in(4) {
        return;
    }
    let what = match chance.below(3) {
        0 => "environment".to_owned(),
        1 => format!("service {}", chance.pick(&NAMES)),
        _ => (*chance.pick(&OBJECTS)).to_owned(),
    };
    let at = 1 + usize::try_from(chance.below(steps.len() as u64)).expect("few");
    steps.insert(at, Step::Suspend(what));
    if chance.one_in(2) {
        let left = steps.len() - at;
        steps.insert(at + 1 + usize::try_from(chance.below(left as u64)).expect("few"), Step::Resume);
    }
}

fn step(weights: &[u64; 20], chance: &mut Chance, commit: impl FnOnce(bool) -> Step) -> Step {
    let mut object = || (*chance.pick(&OBJECTS[..9])).to_owned();
    let (one, other) = (object(), object());
    let who = usize::try_from(chance.below(3)).expect("few");
    let seconds = *chance.pick(&[1, 5, 12, 20, 45]);
    match chance.weighed(weights) {
        0 | 1 if chance.one_in(2) => commit(false),
        2 => Step::Kill(who),
        3 => Step::Stop(who),
        4 => Step::Pause(who, seconds),
        5 => Step::Cut(who, seconds),
        6 => Step::Remove(one),
        7 => Step::Edit(one),
        8 => Step::Unlabel(one),
        9 => Step::Create(one),
        10 => Step::CreateMarked("ConfigMap z".to_owned()),
        11 => Step::Deny(other),
        12 if chance.one_in(3) => Step::Approve,
        12 => Step::Allow,
        13 => Step::Outage((*chance.pick(&GROUPS)).to_owned(), seconds),
        14 => Step::RepositoryDown(seconds),
        15 => Step::DropWatches,
        16 => Step::Compact,
        17 => Step::Restart(seconds),
        18 => Step::Jump(*chance.pick(&[-7_200, -60, 60, 7_200, 50_000])),
        19 if chance.one_in(2) => Step::Back,
        19 => commit(true),
        _ => commit(false),
    }
}

/// Changes what is wanted, in one to three places.
fn change(services: &mut Vec<Service>, chance: &mut Chance, workloads: bool) {
    for _ in 0..1 + chance.below(3) {
        change_once(services, chance, workloads);
    }
    // A namespaced object without its namespace, or an instance without its definition, cannot come up.
    let has = |services: &[Service], id: &str| {
        services.iter().any(|service| service.objects.iter().any(|(other, _)| other == id))
    };
    for (needs, needed) in [("ConfigMap m/f", "Namespace m"), ("Widget.example.org w", OBJECTS[10])] {
        if has(services, needs) && !has(services, needed) {
            services.iter_mut().for_each(|service| service.objects.retain(|(id, _)| id != needs));
        }
    }
    services.retain(|service| !service.objects.is_empty());
    let names: Vec<String> = services.iter().map(|service| service.name.clone()).collect();
    services.iter_mut().for_each(|service| service.sync.depends_on.retain(|other| names.contains(other)));
}

fn change_once(services: &mut Vec<Service>, chance: &mut Chance, workloads: bool) {
    let content = format!("v{}", chance.below(3));
    let pool: Vec<&str> = OBJECTS.iter().chain(WORKLOADS.iter().filter(|_| workloads)).copied().collect();
    let id = (*chance.pick(&pool)).to_owned();
    let name = (*chance.pick(&NAMES)).to_owned();
    match chance.below(10) {
        0 if !services.is_empty() => {
            let number = usize::try_from(chance.below(services.len() as u64)).expect("few");
            services.remove(number);
        }
        1 => services.iter_mut().for_each(|service| service.objects.retain(|(other, _)| *other != id)),
        2 if services.len() > 1 => {
            // Only on earlier names: there is no way around.
            services.sort_by(|a, b| a.name.cmp(&b.name));
            let (first, last) = (services[0].name.clone(), services.len() - 1);
            services[last].sync = Sync { depends_on: vec![first], ..Sync::default() };
        }
        _ => {
            // Wherever it was, it is here now.
            services.iter_mut().for_each(|service| service.objects.retain(|(other, _)| *other != id));
            let secret = id.starts_with("Secret");
            let content = if secret { format!("s3cret-{content}") } else { content };
            match services.iter_mut().find(|service| service.name == name) {
                Some(service) => service.objects.push((id, content)),
                None => services.push(Service { name, objects: vec![(id, content)], sync: Sync::default() }),
            }
        }
    }
}

/// Returns a history that fails in the same way with fewer steps and faults.
fn shortened(history: &History, violation: &Violation) -> History {
    let fails =
        |history: &History| play(history, false).violation.is_some_and(|other| other.message == violation.message);
    let faults = play(history, false).faults;
    let mut short = History { weather: Weather::Planned(faults), ..history.clone() };
    if !fails(&short) {
        return history.clone();
    }
    let mut plays = 0;
    loop {
        let before = (short.steps.len(), planned(&short).len());
        for number in (0..short.steps.len()).rev() {
            let mut shorter = short.clone();
            shorter.steps.remove(number);
            plays += 1;
            if plays < SHORTENING_MAX && fails(&shorter) {
                short = shorter;
            }
        }
        for call in planned(&short) {
            let mut shorter = short.clone();
            if let Weather::Planned(faults) = &mut shorter.weather {
                faults.remove(&call);
            }
            plays += 1;
            if plays < SHORTENING_MAX && fails(&shorter) {
                short = shorter;
            }
        }
        if before == (short.steps.len(), planned(&short).len()) || plays >= SHORTENING_MAX {
            return short;
        }
    }
}

fn planned(history: &History) -> Vec<usize> {
    match &history.weather {
        Weather::Planned(faults) => faults.keys().copied().collect(),
        Weather::Calm | Weather::Named(_) | Weather::Wild(_) => Vec::new(),
    }
}

/// Returns what is to be told of a seed that fails.
fn account(seed: u64) -> String {
    let history = drawn(seed);
    let outcome = play(&history, true);
    let Some(violation) = &outcome.violation else { return outcome.transcript.join("\n") };
    let short = play(&shortened(&history, violation), true);
    format!(
        "SYNCD_SIMULATION_SEED={seed} cargo test -p syncd --test simulation swarm\n{}: {}, at call {}\n{}\n\nshortened: {:?}\n{}\n",
        violation.checker,
        violation.message,
        violation.call,
        outcome.transcript.join("\n"),
        short.violation,
        short.transcript.join("\n"),
    )
}

fn number(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "a test is told by its caller how much to do")]
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn swarm() {
    if let Some(seed) = number("SYNCD_SIMULATION_SEED") {
        println!("{}", account(seed));
        assert_eq!(play(&drawn(seed), false).violation, None, "seed {seed}");
        return;
    }
    let (runs, seconds) = (number("SYNCD_SIMULATION_RUNS"), number("SYNCD_SIMULATION_SECONDS"));
    let base = match (number("SYNCD_SIMULATION_BASE"), runs.or(seconds)) {
        (Some(base), _) => base,
        (None, Some(_)) => RandomState::new().hash_one("a new seed") >> 20,
        (None, None) => 0,
    };
    let until = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let count = match (runs, until) {
        (Some(runs), _) => usize::try_from(runs).expect("a number of runs"),
        (None, Some(_)) => usize::MAX / 2,
        (None, None) => RUNS,
    };
    println!("swarm: from seed {base}");
    let is_over = |_: usize, outcome: &crate::world::Outcome| {
        until.is_some_and(|until| Instant::now() >= until) || outcome.violation.is_some() && runs.is_none()
    };
    let totals = play_all(count, |number| drawn(base + number as u64), is_over);
    println!("swarm: {totals}");
    let mut told = String::new();
    for (number, checker, message) in &totals.violations {
        told += &format!("\nseed {}: {checker}: {message}", base + *number as u64);
    }
    told += &totals
        .violations
        .first()
        .map(|(number, _, _)| format!("\n{}", account(base + *number as u64)))
        .unwrap_or_default();
    assert!(totals.violations.is_empty(), "{told}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..20 {
        let (one, two) = (play(&drawn(seed), true), play(&drawn(seed), true));
        assert_eq!(one.transcript, two.transcript, "seed {seed}");
    }
}
