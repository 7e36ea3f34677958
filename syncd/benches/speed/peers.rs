//! The same fleet by the load generator, by `syncd` and by other tools, each with its own defaults and without waiting, from an empty cluster; those
//! that are there.
//!
//! `kubectl` is the one on PATH, `helm` the one that `HELM` names, Flux's library the program that `FLUX_SSA` names
//! (`conformance/kubernetes/peers/flux`). None of them removes what is no longer wanted unless it is told to, and none records before it creates:
//! what they leave out is cheaper than what `syncd` does.

use std::path::Path;
use std::process::{Command, Stdio};

use manifest::yaml;

use crate::Size;
use crate::fleet::{Fleet, name};
use crate::plane::Plane;
use crate::process::{Once, once, to_its_end};
use crate::table::{head, median, row};

/// One way to apply a folder.
struct Tool {
    name: &'static str,
    program: String,
    /// `{}`: the folder.
    arguments: &'static [&'static str],
    /// The same again, where that is another command.
    again: &'static [&'static str],
}

fn tools() -> Vec<Tool> {
    let server_side: &[&str] = &["apply", "--server-side", "--force-conflicts", "--recursive", "--filename", "{}"];
    let client_side: &[&str] = &["apply", "--recursive", "--filename", "{}"];
    let mut tools = vec![
        Tool {
            name: "kubectl apply --server-side",
            program: "kubectl".to_owned(),
            arguments: server_side,
            again: server_side,
        },
        Tool { name: "kubectl apply", program: "kubectl".to_owned(), arguments: client_side, again: client_side },
    ];
    let named = |variable: &str| std::env::var(variable).ok().filter(|program| !program.is_empty());
    if let Some(program) = named("HELM") {
        let arguments: &[&str] = &["install", "fleet", "{}", "--namespace", "syncd"];
        let again: &[&str] = &["upgrade", "fleet", "{}", "--namespace", "syncd"];
        tools.push(Tool { name: "helm", program, arguments, again });
    }
    if let Some(program) = named("FLUX_SSA") {
        let arguments: &[&str] = &["{}"];
        tools.push(Tool { name: "Flux's ssa library", program, arguments, again: arguments });
    }
    tools
}

/// Requests that the load generator has under way.
const UNDER_WAY: usize = 16;

pub async fn measure(size: Size) {
    let plane = Plane::open().await;
    println!("\npeers: {} services, {}, {} rounds", size.services, plane.name(), size.rounds);
    head(
        "first sync and one without a change, medians",
        &["who", "objects/s", "s", "CPU s", "peak MiB", "again, s", "again, CPU s"],
    );
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let objects = (4 * size.services) as f64;
    let mut runs = Vec::new();
    for round in 0..size.rounds {
        runs.push(load(&plane, size, round).await);
    }
    tell(&format!("load generator, {UNDER_WAY} under way"), objects, &runs);
    runs.clear();
    for round in 0..size.rounds {
        runs.push(sync(&plane, size, round).await);
    }
    tell("`syncd once`, until the last apply", objects, &runs);
    for tool in tools() {
        runs.clear();
        for round in 0..size.rounds {
            runs.extend(apply(&plane, size, round, &tool).await);
        }
        tell(tool.name, objects, &runs);
    }
}

fn tell(who: &str, objects: f64, runs: &[(Run, Run)]) {
    if runs.is_empty() {
        return row(&[who, "did not run", "", "", "", "", ""]);
    }
    let of = |get: fn(&(Run, Run)) -> f64| median(runs.iter().map(get));
    row(&[
        who.to_owned(),
        format!("{:.0}", objects / of(|(first, _)| first.wall)),
        format!("{:.2}", of(|(first, _)| first.wall)),
        format!("{:.2}", of(|(first, _)| first.cpu)),
        format!("{:.0}", of(|(first, _)| first.peak)),
        format!("{:.2}", of(|(_, again)| again.wall)),
        format!("{:.2}", of(|(_, again)| again.cpu)),
    ]);
}

/// The limit: bodies that are there already, and nothing else.
async fn load(plane: &Plane, size: Size, round: usize) -> (Run, Run) {
    let fleet = Fleet::new(size.services, size.replicas, &format!("load{round}"));
    plane.prepare(&fleet).await;
    let run = async || {
        let load = plane.load(&fleet, UNDER_WAY, false).await;
        Run { wall: load.wall, cpu: load.cpu, peak: 0.0 }
    };
    let runs = (run().await, run().await);
    plane.clean(&fleet).await;
    runs
}

/// The time of the first one ends with the last apply, for the others do not wait either; its processor time does not, nor that of the second.
async fn sync(plane: &Plane, size: Size, round: usize) -> (Run, Run) {
    let fleet = Fleet::new(size.services, size.replicas, &format!("sync{round}"));
    let repository = fleet.commit();
    plane.prepare(&fleet).await;
    let first = once(&repository, &plane.kubeconfig, &[]).await;
    let again = once(&repository, &plane.kubeconfig, &[]).await;
    plane.clean(&fleet).await;
    let run = |once: &Once, wall| Run { wall, cpu: once.usage.cpu, peak: once.usage.peak };
    (run(&first, first.applying()), run(&again, again.wall))
}

/// Nothing: the tool is not there, or failed.
async fn apply(plane: &Plane, size: Size, round: usize, tool: &Tool) -> Option<(Run, Run)> {
    let fleet = Fleet::new(size.services, size.replicas, &format!("peer{round}"));
    plane.prepare(&fleet).await;
    let folder = tempfile::tempdir().unwrap();
    write(&fleet, folder.path());
    let first = run(plane, tool, tool.arguments, folder.path()).await;
    let again = run(plane, tool, tool.again, folder.path()).await;
    let release = "/api/v1/namespaces/syncd/secrets?labelSelector=owner%3Dhelm";
    plane.send("DELETE", release, "application/json", Vec::new()).await;
    plane.clean(&fleet).await;
    first.zip(again)
}

struct Run {
    wall: f64,
    cpu: f64,
    peak: f64,
}

/// Writes the objects as files, and what makes a chart of them.
fn write(fleet: &Fleet, folder: &Path) {
    std::fs::create_dir(folder.join("templates")).unwrap();
    std::fs::write(folder.join("Chart.yaml"), "apiVersion: v2\nname: fleet\nversion: 1.0.0\n").unwrap();
    for number in 0..fleet.services() {
        let path = folder.join(format!("templates/{}.yaml", name(number)));
        std::fs::write(path, yaml::write_documents(&fleet.objects(number))).unwrap();
    }
}

async fn run(plane: &Plane, tool: &Tool, arguments: &[&str], folder: &Path) -> Option<Run> {
    let folder = if tool.name == "helm" { folder.to_owned() } else { folder.join("templates") };
    let folder = folder.display().to_string();
    let mut command = Command::new(&tool.program);
    command.args(arguments.iter().map(|argument| argument.replace("{}", &folder)));
    command.env("KUBECONFIG", &plane.kubeconfig).stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.spawn().ok()?;
    let (wall, usage, status) = to_its_end(&mut child).await;
    status.success().then_some(Run { wall, cpu: usage.cpu, peak: usage.peak })
}
