//! The kill matrix: two real `syncd run`s on a real control plane, with everything around them killed at random moments.
//!
//! A round commits the other revision and does one thing while it is carried out: SIGKILL or SIGSTOP to one of them, SIGKILL to both, a
//! restart of kube-apiserver or of etcd, a cut or a delay of all connections (a proxy of bytes stands in between; it drops and delays, and
//! repeats nothing). Meanwhile somebody looks, past the proxy: nothing of ours is unrecorded, nothing that both revisions want or that is not
//! ours is ever gone or another object. Then everything must become exactly what the revision says.
//!
//! Runs with `SYNCD_TEST_KUBECONFIG` and `CONTROL_PLANE_DIR` (`conformance/kubernetes/kill-matrix`), for `SYNCD_KILL_ROUNDS` rounds from
//! `SYNCD_KILL_SEED`; without them it says that it did not run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use manifest::{Manifest, ObjectRef};
use serde_json::Value;
use smol_str::SmolStr;
use syncd::cluster::Cluster;
use syncd::kube::{Connection, KubeCluster, Timeouts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::eyes::Eyes;
use crate::git_repository::Repository;
use crate::{Dice, ENVIRONMENT, Revision, commit, config_map, one, two, written};

/// Longest time from the end of a fault until everything is as the revision says.
const CONVERGES: Duration = Duration::from_secs(180);

/// What is done to the world in a round.
const DEEDS: [&str; 7] =
    ["kill one", "pause one", "kill both", "restart kube-apiserver", "restart etcd", "cut", "delay"];

/// Connections to the API server, which can be cut and delayed.
struct Wire {
    cut: watch::Sender<u64>,
    is_cut: AtomicBool,
    delay_ms: AtomicU64,
}

impl Wire {
    async fn listen(upstream: String) -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let wire =
            Arc::new(Wire { cut: watch::channel(0).0, is_cut: AtomicBool::new(false), delay_ms: AtomicU64::new(0) });
        let shared = Arc::clone(&wire);
        tokio::spawn(async move {
            loop {
                let Ok((near, _)) = listener.accept().await else { continue };
                if shared.is_cut.load(Ordering::SeqCst) {
                    continue;
                }
                let (wire, upstream) = (Arc::clone(&shared), upstream.clone());
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(&upstream).await else { return };
                    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                    let mut cut = wire.cut.subscribe();
                    tokio::select! {
                        () = carry(&wire, near_in, far_out) => {}
                        () = carry(&wire, far_in, near_out) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        (wire, address)
    }

    fn set_cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
        if is_cut {
            self.cut.send_modify(|times| *times += 1);
        }
    }
}

async fn carry(wire: &Wire, mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin) {
    let mut bytes = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        tokio::time::sleep(Duration::from_millis(wire.delay_ms.load(Ordering::SeqCst))).await;
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

/// One `syncd run`.
struct Daemon {
    child: Child,
}

struct Plane {
    wire: Arc<Wire>,
    eyes: Eyes,
    folder: PathBuf,
    kubeconfig: tempfile::NamedTempFile,
    repository: Repository,
    logs: tempfile::TempDir,
}

impl Plane {
    fn start(&self, name: &str) -> Daemon {
        let log = self.logs.path().join(name);
        let file = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncd"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.args(["run", "--environment", ENVIRONMENT, "--repository", &self.repository.url(), "--ref", "main"]);
        command.args(["--poll-interval", "1s", "--poll-interval-max", "5s", "--lease-duration", "5s"]);
        command.args(["--listen", "127.0.0.1:0", "--kubeconfig"]).arg(self.kubeconfig.path());
        let child = command.stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Daemon { child }
    }

    /// Ends and starts a part of the control plane.
    fn restart(&self, part: &str, signal: &str) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/kubernetes/control-plane");
        for arguments in [vec!["stop", "DIR", part, signal], vec!["start", "DIR", part]] {
            let arguments = arguments.into_iter().map(|argument| match argument {
                "DIR" => self.folder.to_string_lossy().into_owned(),
                other => other.to_owned(),
            });
            let output = Command::new(&script).args(arguments).stdin(Stdio::null()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{part} could not be started again: {said}");
        }
    }
}

fn signal(daemon: &Daemon, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &daemon.child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Returns what both revisions want: none of it may ever be gone or another object.
fn steady() -> BTreeSet<ObjectRef> {
    let ids = |revision: Revision| {
        let objects = revision.into_values().flatten();
        objects.map(|object| Manifest::from_value(object).unwrap().id).collect::<BTreeSet<_>>()
    };
    ids(one()).intersection(&ids(two())).cloned().collect()
}

/// What somebody who only looks has seen.
#[derive(Default)]
struct Seen {
    uids: BTreeMap<ObjectRef, SmolStr>,
    looks: AtomicUsize,
    unrecorded: AtomicUsize,
    gone: AtomicUsize,
}

impl Seen {
    /// Looks once. What cannot be read now is not judged.
    async fn look(&mut self, eyes: &Eyes, foreign: &ObjectRef, steady: &BTreeSet<ObjectRef>) {
        let Ok(mut forgotten) = eyes.forgotten().await else { return };
        if !forgotten.is_empty() {
            // It may have been deleted, and let go, between the two questions: then it is not there the second time.
            let Ok(again) = eyes.forgotten().await else { return };
            forgotten.retain(|id| again.contains(id));
        }
        let Ok(owned) = eyes.owned().await else { return };
        let Ok(other) = eyes.0.get(foreign).await else { return };
        self.looks.fetch_add(1, Ordering::Relaxed);
        if !forgotten.is_empty() {
            println!("UNRECORDED: {forgotten:?}");
            self.unrecorded.fetch_add(forgotten.len(), Ordering::Relaxed);
        }
        let uid = |value: &Value| value["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let mut now: BTreeMap<ObjectRef, SmolStr> = owned.into_iter().map(|(id, (uid, _, _))| (id, uid)).collect();
        now.extend(other.as_ref().map(|value| (foreign.clone(), uid(value).into())));
        for id in steady.iter().chain([foreign]) {
            let (before, after) = (self.uids.get(id).cloned(), now.get(id).cloned());
            if before.is_some() && before != after {
                println!("WRONGLY DELETED: {id} was {before:?} and is {after:?}");
                self.gone.fetch_add(1, Ordering::Relaxed);
            }
            self.uids.extend(after.map(|uid| (id.clone(), uid)));
        }
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_killed_on_a_real_control_plane_and_nothing_is_lost() {
    let (Ok(kubeconfig), Ok(folder)) = (std::env::var("SYNCD_TEST_KUBECONFIG"), std::env::var("CONTROL_PLANE_DIR"))
    else {
        println!("not run: no control plane (conformance/kubernetes/kill-matrix)");
        return;
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let text = std::fs::read_to_string(&kubeconfig).unwrap();
    let server = text.split("https://").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap().to_owned();
    let server = server.trim_matches(['"', ',', '/']).to_owned();
    let (wire, address) = Wire::listen(server.clone()).await;
    let connection = Connection { kubeconfig: Some(PathBuf::from(&kubeconfig)), context: None };
    let timeouts = Timeouts { attempt: Duration::from_secs(5), connect: Duration::from_secs(2) };
    let eyes = Eyes(KubeCluster::connect(&connection, "syncd", timeouts, Arc::new(|_| {})).await.unwrap());
    let plane = Plane {
        wire,
        eyes,
        folder: PathBuf::from(folder),
        kubeconfig: written(&text.replace(&server, &address)),
        repository: Repository::new(),
        logs: tempfile::tempdir().unwrap(),
    };
    let kubectl = |body: &Value| {
        let file = written(&body.to_string());
        let mut apply = Command::new("kubectl");
        apply.args(["--kubeconfig", &kubeconfig, "apply", "--filename"]).arg(file.path());
        assert!(apply.stdout(Stdio::null()).status().unwrap().success());
    };
    kubectl(&serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "syncd"}}));
    let mut foreign = config_map("foreign", "1");
    foreign["metadata"]["namespace"] = serde_json::json!("default");
    kubectl(&foreign);
    let foreign = Manifest::from_value(foreign).unwrap().id;

    let (rounds, seed) = (number("SYNCD_KILL_ROUNDS", 20), number("SYNCD_KILL_SEED", 1));
    let mut dice = Dice(seed);
    for _ in 0..3 {
        dice.below(2);
    }
    let (steady, mut seen) = (steady(), Seen::default());
    commit(&plane.repository, "main-one", &one());
    let mut daemons = [plane.start("a.log"), plane.start("b.log")];
    let mut done: BTreeMap<&str, u64> = BTreeMap::new();
    let mut longest = Duration::ZERO;
    converged(&plane, &one(), &mut seen, &foreign, &steady, "the first revision").await;
    for round in 0..rounds {
        let revision = if round % 2 == 0 { two() } else { one() };
        commit(&plane.repository, &format!("round-{round}"), &revision);
        tokio::time::sleep(Duration::from_millis(u64::try_from(dice.below(2500)).unwrap())).await;
        let (deed, who) = (DEEDS[dice.below(DEEDS.len())], dice.below(2));
        let seconds = Duration::from_millis(500 + u64::try_from(dice.below(6000)).unwrap());
        let hard = if dice.below(2) == 0 { "KILL" } else { "TERM" };
        match deed {
            "kill one" => revive(&plane, &mut daemons, &[who]),
            "kill both" => revive(&plane, &mut daemons, &[0, 1]),
            "pause one" => {
                signal(&daemons[who], "STOP");
                tokio::time::sleep(seconds * 2).await;
                signal(&daemons[who], "CONT");
            }
            "restart kube-apiserver" => plane.restart("kube-apiserver", hard),
            "restart etcd" => plane.restart("etcd", hard),
            "cut" => {
                plane.wire.set_cut(true);
                tokio::time::sleep(seconds).await;
                plane.wire.set_cut(false);
            }
            _ => {
                plane.wire.delay_ms.store(20 + u64::try_from(dice.below(400)).unwrap(), Ordering::SeqCst);
                tokio::time::sleep(seconds).await;
                plane.wire.delay_ms.store(0, Ordering::SeqCst);
            }
        }
        *done.entry(deed).or_default() += 1;
        let case = format!("round {round}, {deed} {who}, seed {seed}");
        let took = converged(&plane, &revision, &mut seen, &foreign, &steady, &case).await;
        println!("{case}: converged after {:.1} s", took.as_secs_f64());
        longest = longest.max(took);
        for (number, daemon) in daemons.iter_mut().enumerate() {
            assert!(daemon.child.try_wait().unwrap().is_none(), "{case}: syncd {number} ended by itself");
        }
    }
    for daemon in &mut daemons {
        daemon.child.kill().unwrap();
        daemon.child.wait().unwrap();
    }
    let (looks, unrecorded, gone) = (seen.looks.into_inner(), seen.unrecorded.into_inner(), seen.gone.into_inner());
    println!(
        "kill matrix: {rounds} rounds from seed {seed}: {done:?}; {looks} looks; {unrecorded} unrecorded, {gone} lost or wrongly deleted; converged after each, after {:.1} s at most",
        longest.as_secs_f64()
    );
    assert_eq!((unrecorded, gone), (0, 0));
}

/// Kills daemons at once, and starts them again.
fn revive(plane: &Plane, daemons: &mut [Daemon; 2], which: &[usize]) {
    for number in which {
        daemons[*number].child.kill().unwrap();
        daemons[*number].child.wait().unwrap();
    }
    for number in which {
        daemons[*number] = plane.start(["a.log", "b.log"][*number]);
    }
}

/// Looks until the cluster is exactly what a revision says. Returns how long it took.
async fn converged(
    plane: &Plane,
    revision: &Revision,
    seen: &mut Seen,
    foreign: &ObjectRef,
    steady: &BTreeSet<ObjectRef>,
    case: &str,
) -> Duration {
    let started = Instant::now();
    loop {
        seen.look(&plane.eyes, foreign, steady).await;
        let differs = match plane.eyes.differs(revision).await {
            Ok(None) => return started.elapsed(),
            Ok(Some(differs)) => differs,
            Err(error) => error.to_string(),
        };
        if started.elapsed() > CONVERGES {
            let logs = std::fs::read_to_string(plane.logs.path().join("a.log")).unwrap_or_default()
                + &std::fs::read_to_string(plane.logs.path().join("b.log")).unwrap_or_default();
            let end: Vec<&str> = logs.lines().rev().take(60).collect();
            panic!("{case}: {differs}\n{}", end.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
}
