//! Whole processes over fleets of services that use `charts/generic`: clock, processor time, memory.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use tempfile::TempDir;

pub fn measure() {
    println!("whole processes; CPU in seconds of all threads, peak in MiB of resident memory (Linux only)");
    println!("{:<10} {:>3} {:<28} {:>7} {:>7} {:>7}", "services", "env", "command", "wall s", "CPU s", "peak");
    for (services, environments, rounds) in [
        (100, &["production"][..], 5),
        (1_000, &["production", "staging"], 7),
        (2_000, &["production", "staging"], 5),
        (20_000, &["production"], 1),
    ] {
        let folder = TempDir::new().expect("a scratch folder");
        let root = folder.path();
        make(root, services, environments);
        let row = |what: &str, runs: Vec<Run>| {
            let middle = |get: fn(&Run) -> f64| {
                let mut figures: Vec<f64> = runs.iter().map(get).collect();
                figures.sort_by(f64::total_cmp);
                figures[figures.len() / 2]
            };
            let (wall, cpu, peak) = (middle(|run| run.wall), middle(|run| run.cpu), middle(|run| run.peak));
            println!("{services:<10} {:>3} {what:<28} {wall:>7.3} {cpu:>7.2} {peak:>7.0}", environments.len());
        };
        let times = |arguments: &'static [&str]| (0..rounds).map(move |_| run(root, arguments, 0)).collect();
        let cold = (0..rounds).map(|_| {
            let _ = fs::remove_dir_all(root.join("_gen"));
            run(root, &["render"], 0)
        });
        row("render, cold", cold.collect());
        row("check, nothing changed", times(&["check"]));
        row("check --full", times(&["check", "--full"]));
        row("diff, nothing changed", times(&["diff"]));
        let config = root.join("services/service-00007/config.yaml");
        let (mut checks, mut renders) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let text = format!("{}labels: {{round: \"{round}\"}}\n", service(7));
            fs::write(&config, text).expect("written");
            checks.push(run(root, &["check"], 1));
            renders.push(run(root, &["render"], 0));
        }
        row("check, one service changed", checks);
        row("render, one service changed", renders);
    }
}

struct Run {
    wall: f64,
    cpu: f64,
    peak: f64,
}

/// Runs the generator, which is to exit with `exit`.
fn run(root: &Path, arguments: &[&str], exit: i32) -> Run {
    let (start, before) = (Instant::now(), children_cpu());
    let mut process = Command::new(env!("CARGO_BIN_EXE_generator"))
        .arg("--root")
        .arg(root)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the generator starts");
    let status = format!("/proc/{}/status", process.id());
    let mut peak = 0.0;
    let ended = loop {
        // What Linux calls the high-water mark only grows, so the last look counts.
        peak = fs::read_to_string(&status).ok().as_deref().and_then(high_water).unwrap_or(peak);
        if let Some(ended) = process.try_wait().expect("a child") {
            break ended;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    };
    assert_eq!(ended.code(), Some(exit), "generator {arguments:?}");
    Run { wall: start.elapsed().as_secs_f64(), cpu: children_cpu() - before, peak }
}

/// Returns `VmHWM` in MiB.
fn high_water(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
}

/// Returns the processor time of all children that have ended, in seconds; Linux counts it in hundredths.
fn children_cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    fields.skip(13).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Writes a repository with so many services, in these environments.
pub fn make(root: &Path, services: usize, environments: &[&str]) {
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    };
    copy(&super::root().join("charts"), &root.join("charts"));
    // The chart of a fleet may write a ServiceMonitor, and what that is stands in no file of the fleet.
    let monitors = "monitoring.coreos.com/v1/ServiceMonitor";
    write("generator.yaml", &format!("kubernetesVersion: \"1.33\"\napiVersions: [{monitors}]\n"));
    for i in 0..services {
        let folder = format!("services/service-{i:05}");
        write(&format!("{folder}/config.yaml"), &service(i));
        write(&format!("{folder}/version"), &format!("1.{}.{}\n", i % 30, i % 17));
        for environment in environments {
            write(&format!("{folder}/{environment}/config.yaml"), &placement(i, environment));
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// Returns the values of a service.
pub fn service(i: usize) -> String {
    format!(
        "# What service-{i} is, wherever it runs.
image: registry.example.com/team/service-{i}
team: team-{}
namespace: space-{}
httpService:
  internalPort: {}
healthCheck:
  livePath: /healthz/live
  readyPath: /healthz/ready
resources:
  memoryMiB: {}
  cpuMilli: {}
scalability:
  replicas: {}
  maxReplicas: {}
environment:
  LOG_LEVEL: info
  DATABASE_URL: postgres://db-{}.internal:5432/service_{i}
  FEATURE_{}: \"true\"
  TIMEOUT_SECONDS: {}
",
        i % 40,
        i % 25,
        8000 + i % 100,
        64 + i % 512,
        50 + i % 400,
        1 + i % 4,
        4 + i % 8,
        i % 7,
        i % 11,
        i % 60
    )
}

/// Returns the values of a service in an environment.
pub fn placement(i: usize, environment: &str) -> String {
    let mut text = format!(
        "scalability:\n  replicas: {}\n  maxReplicas: {}\nenvironment:\n  LOG_LEVEL: warn\n",
        2 + i % 3,
        6 + i % 9
    );
    if i.is_multiple_of(3) {
        text +=
            &format!("httpService:\n  public:\n    enable: true\n    host: service-{i}.{environment}.example.com\n");
    }
    if i.is_multiple_of(4) {
        text += "metrics:\n  enable: true\n";
    }
    text
}
