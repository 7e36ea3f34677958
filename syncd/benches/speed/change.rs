//! One service of many changes; and nothing at all does.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::Size;
use crate::fleet::{Fleet, path};
use crate::git_repository::{Repository, git};
use crate::plane::{Counts, Plane, told};
use crate::process::{Syncd, now, nudge};
use crate::table::{head, median, row};

/// What one change took, in seconds.
#[derive(Debug, Clone)]
pub struct Change {
    /// From the call of the webhook to the log line that says the revision: ls-refs, fetch, index.
    pub revision: f64,
    /// Of it, the question for the tip.
    pub tip: f64,
    /// From there to the plan.
    pub plan: f64,
    /// From the plan to the answer to the first apply.
    pub first: f64,
    /// The whole cycle, as `syncd` reports it.
    pub cycle: f64,
    /// Of the cycle, what it says of the source.
    pub source: f64,
    /// Processor time of `syncd` for all of it.
    pub cpu: f64,
    /// Of it, until the revision was fetched and its index read.
    pub cpu_revision: f64,
    /// Of it, until the plan stood.
    pub cpu_plan: f64,
    /// And of the git that it started.
    pub git: f64,
    pub counts: Counts,
}

/// Has `syncd` follow one change, and looks on.
pub async fn follow(plane: &Plane, syncd: &Syncd) -> Change {
    // A poll is asked for at most once a second.
    sleep(Duration::from_millis(1200)).await;
    syncd.forget();
    let webhook = syncd.webhook();
    let from = plane.count_from().await;
    let asked = "syncd_source_request_duration_seconds_sum{request=\"tip\"";
    let asked_before = syncd.metric(asked).await;
    let (before, began) = (syncd.usage(), now());
    nudge(&webhook).await;
    let revision = syncd.until("a new revision came", |_| true).await.at;
    let at_revision = syncd.usage();
    let planned = syncd.until("planned", |_| true).await.at;
    let at_plan = syncd.usage();
    let first = syncd.until("an object was handled", |_| true).await.at;
    syncd.until("the service ended", |_| true).await;
    // The end of the cycle is not logged; it follows at once.
    sleep(Duration::from_millis(400)).await;
    let after = syncd.usage();
    let counts = plane.counted(&from).await;
    let report = syncd.report().await;
    Change {
        revision: revision - began,
        tip: syncd.metric(asked).await - asked_before,
        plan: planned - revision,
        first: first - planned,
        cycle: report["seconds"].as_f64().unwrap_or_default(),
        source: report["phases"]["source"].as_f64().unwrap_or_default(),
        cpu: after.cpu - before.cpu,
        cpu_revision: at_revision.cpu - before.cpu,
        cpu_plan: at_plan.cpu - before.cpu,
        git: after.children - before.children,
        counts,
    }
}

pub async fn one(size: Size) {
    let plane = Plane::open().await;
    println!("\none: of {} services one changes, {}, {} rounds", size.services, plane.name(), size.rounds);
    let mut fleet = Fleet::new(size.services, size.replicas, "one");
    let repository = fleet.commit();
    plane.prepare(&fleet).await;
    let syncd = Syncd::run(&repository, &plane.kubeconfig, "1h", &[]).await;
    plane.rest().await;
    plane.quiet().await;
    let bare = Bare::new(&plane).await;
    let copy = PlainCopy::new(&repository);
    let (mut changes, mut bares, mut fetches) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..size.rounds {
        fleet.change(&repository, [round % size.services]);
        changes.push(follow(&plane, &syncd).await);
        bares.push(bare.send(&plane, &fleet, round).await);
        fetches.push(copy.fetch(&repository));
    }
    let bare = 1000.0 * median(bares);
    let of = |get: fn(&Change) -> f64| 1000.0 * median(changes.iter().map(get));
    head("one service changed, medians in ms", &["what", "ms"]);
    row(&["webhook to the new revision (ls-refs, fetch, index)", &format!("{:.1}", of(|c| c.revision))]);
    row(&["of it the question for the tip", &format!("{:.1}", of(|c| c.tip))]);
    row(&["from there to the plan", &format!("{:.1}", of(|c| c.plan))]);
    row(&["from the plan to the answer to the first apply", &format!("{:.1}", of(|c| c.first))]);
    row(&["whole cycle", &format!("{:.1}", of(|c| c.cycle))]);
    row(&["of it reading the repository", &format!("{:.1}", of(|c| c.source))]);
    row(&["the same three writes, bare", &format!("{bare:.1}")]);
    let requests = of(|c| c.source) + bare;
    row(&["whole cycle beside that reading and those writes", &format!("{:.0} %", 100.0 * of(|c| c.cycle) / requests)]);
    row(&["the same fetch, by git itself", &format!("{:.1}", 1000.0 * median(fetches))]);
    row(&["processor time of syncd", &format!("{:.0}", of(|c| c.cpu))]);
    row(&["processor time of git", &format!("{:.0}", of(|c| c.git))]);
    println!("\nrequests: {}", changes.last().map(|change| told(&change.counts)).unwrap_or_default());
    drop(syncd);
    plane.clean(&fleet).await;
}

/// A copy that git itself keeps: bare and shallow, as that of `syncd`.
struct PlainCopy(tempfile::TempDir);

impl PlainCopy {
    fn new(repository: &Repository) -> PlainCopy {
        let copy = PlainCopy(tempfile::tempdir().unwrap());
        assert!(git(copy.0.path()).args(["init", "--quiet", "--bare", "."]).status().unwrap().success());
        copy.fetch(repository);
        copy
    }

    /// Fetches what is new. Returns the seconds that it takes.
    fn fetch(&self, repository: &Repository) -> f64 {
        let began = now();
        let fetched = git(self.0.path()).args(["fetch", "--quiet", "--depth=1", &repository.url(), "main"]).status();
        assert!(fetched.unwrap().success());
        now() - began
    }
}

/// The requests of such a cycle, sent one after the other by nobody in particular: two writes of the state with an apply between them.
struct Bare {
    root: Value,
    record: Value,
}

impl Bare {
    async fn new(plane: &Plane) -> Bare {
        let copy = async |from: &str, to: &str| {
            let (_, body) = plane.get(&format!("/api/v1/namespaces/syncd/configmaps/{from}")).await;
            let mut map: Value = serde_json::from_slice(&body).unwrap_or_default();
            map["metadata"] = json!({"name": to, "namespace": "syncd", "labels": {"copied": "yes"}});
            let body = map.to_string().into_bytes();
            plane.send("POST", "/api/v1/namespaces/syncd/configmaps", "application/json", body).await;
            map
        };
        Bare {
            root: copy("syncd-bench", "bare-root").await,
            record: copy("syncd-bench-service-00000", "bare-record").await,
        }
    }

    async fn send(&self, plane: &Plane, fleet: &Fleet, round: usize) -> f64 {
        let mut object = fleet.objects(0)[0].clone();
        object["data"]["CHANGE"] = json!(format!("bare {round}"));
        object["metadata"]["name"] = json!("bare-object");
        let put = async |map: &Value| {
            let mut map = map.clone();
            map["data"]["round"] = json!(round.to_string());
            let name = map["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let path = format!("/api/v1/namespaces/syncd/configmaps/{name}?fieldManager=bare");
            plane.send("PUT", &path, "application/json", map.to_string().into_bytes()).await
        };
        let apply = format!("{}?fieldManager=bare&force=true", path(&object, false));
        // Once before: an apply that creates is another one.
        if round == 0 {
            plane.send("PATCH", &apply, "application/apply-patch+yaml", object.to_string().into_bytes()).await;
            object["data"]["CHANGE"] = json!("bare, changed");
        }
        let began = now();
        put(&self.root).await;
        plane.send("PATCH", &apply, "application/apply-patch+yaml", object.to_string().into_bytes()).await;
        put(&self.record).await;
        now() - began
    }
}

/// What a poll costs, in seconds of processor time.
pub struct Poll {
    pub polls: f64,
    pub cpu: f64,
    pub git: f64,
    pub counts: Counts,
}

/// Looks at a daemon that polls, for a while.
pub async fn look(plane: &Plane, syncd: &Syncd, watched: Duration) -> Poll {
    let from = plane.count_from().await;
    let polls = syncd.metric("syncd_source_poll_total").await;
    let before = syncd.usage();
    sleep(watched).await;
    let after = syncd.usage();
    let polls = syncd.metric("syncd_source_poll_total").await - polls;
    let counts = plane.counted(&from).await;
    Poll { polls, cpu: (after.cpu - before.cpu) / polls, git: (after.children - before.children) / polls, counts }
}

pub async fn poll(size: Size) {
    let plane = Plane::open().await;
    println!("\npoll: {} services, nothing changes, {}", size.services, plane.name());
    let fleet = Fleet::new(size.services, size.replicas, "poll");
    let repository = fleet.commit();
    plane.prepare(&fleet).await;
    let syncd = Syncd::run(&repository, &plane.kubeconfig, "1s", &[]).await;
    println!("\nwatches have listed everything after {:.0} s", plane.quiet().await);
    let mut seen = Vec::new();
    for _ in 0..size.rounds {
        seen.push(look(&plane, &syncd, Duration::from_secs(10)).await);
    }
    head("unchanged poll, medians", &["what", "each poll"]);
    row(&["processor time of syncd, ms", &format!("{:.1}", 1000.0 * median(seen.iter().map(|poll| poll.cpu)))]);
    row(&["processor time of git, ms", &format!("{:.1}", 1000.0 * median(seen.iter().map(|poll| poll.git)))]);
    row(&["polls looked at", &format!("{:.0}", seen.iter().map(|poll| poll.polls).sum::<f64>())]);
    let usage = syncd.usage();
    row(&["resident memory, MiB (most)", &format!("{:.0} ({:.0})", usage.resident, usage.peak)]);
    println!("\nrequests to the cluster in all of them: {}", told(&seen.last().expect("a round").counts));
    drop(syncd);
    plane.clean(&fleet).await;
}
