//! Chart by chart: our engine and Helm's, turn about, on the same charts and values, each chart loaded once.
//!
//! Helm's side is `conformance/helm/cmd/bench`, a process that stays. Both sides repeat what `helm template` does between a loaded chart with
//! parsed values files and the texts: values merged, subcharts settled, values coalesced, templates executed. Charts are compared without
//! their schemas, because Helm compiles a schema anew for every render; the last row has `generic` with it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use generator::helm::{self, Options, Request};
use generator::source::SourceTree;
use serde_json::{Value, json};

use crate::sections::sections;

/// Rounds of each chart; the median counts.
const ROUNDS: usize = 9;
/// How long one side renders in a round.
const TURN: Duration = Duration::from_millis(40);
const SCHEMA: &str = "values.schema.json";

/// A chart and the values of one release.
struct Case {
    name: String,
    /// By path in the chart.
    files: BTreeMap<String, String>,
    layers: Vec<String>,
}

pub fn compare(folders: &[&str]) {
    let mut helm = Helm::start();
    println!("one render in microseconds, median of {ROUNDS} rounds, turn about; ratio: Helm's time by ours");
    println!(
        "{:<24} {:>9} {:>9} {:>8} {:>9} {:>9} {:>8}",
        "chart", "ours", "Helm", "ratio", "ours, CPU", "Helm, CPU", "ratio"
    );
    let (mut ratios, mut cpu_ratios) = (Vec::new(), Vec::new());
    for case in cases(folders) {
        match row(&case, helm.as_mut()) {
            Ok(Some((ratio, cpu_ratio))) => {
                ratios.push(ratio);
                cpu_ratios.push(cpu_ratio);
            }
            Ok(None) => {}
            Err(why) => println!("{:<24} left out: {why}", case.name),
        }
    }
    if !ratios.is_empty() {
        let (count, ratio, cpu_ratio) = (ratios.len(), median(&mut ratios), median(&mut cpu_ratios));
        println!("median ratio of {count} charts: {ratio:.1} by the clock, {cpu_ratio:.1} by processor time");
    }
    for case in with_schema() {
        if let Err(why) = row(&case, helm.as_mut()) {
            println!("{:<24} left out: {why}", case.name);
        }
    }
    println!();
}

/// Measures one chart and prints its row; returns how many times as long Helm takes, by the clock and by processor time, where there is
/// Helm.
fn row(case: &Case, helm: Option<&mut Helm>) -> Result<Option<(f64, f64)>, String> {
    let (chart, request) = load(case)?;
    let render = || helm::render(&chart, &request, &Options::default());
    let rendered = render().map_err(|wrong| wrong.iter().map(ToString::to_string).collect::<String>())?;
    let start = Instant::now();
    let mut warm = 0;
    while start.elapsed() < TURN {
        let _ = render();
        warm += 1;
    }
    let run_ours = || {
        let (start, spent) = (Instant::now(), processor_time());
        for _ in 0..warm {
            std::hint::black_box(render()).expect("rendered before");
        }
        let (wall, all) = (start.elapsed(), processor_time() - spent);
        let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(warm);
        (each(wall), each(all))
    };
    let Some(helm) = helm else {
        let mut ours: Vec<f64> = (0..ROUNDS).map(|_| run_ours().0).collect();
        println!("{:<24} {:>9.1}", case.name, median(&mut ours));
        return Ok(None);
    };
    let texts = helm.load(case)?;
    if let Some(file) = rendered.files.iter().find(|file| texts.get(&file.path) != Some(&file.text)) {
        return Err(format!("{} is another text than Helm's", file.path));
    }
    let times = (TURN.as_secs_f64() * 1e6 / helm.run(3)?.0).ceil().max(1.0) as u32;
    helm.run(times)?;
    let (mut ours, mut theirs, mut ratios) = (vec![], vec![], vec![]);
    let (mut our_cpu, mut their_cpu, mut cpu_ratios) = (vec![], vec![], vec![]);
    for _ in 0..ROUNDS {
        let (our_wall, our_all) = run_ours();
        let (wall, all) = helm.run(times)?;
        ours.push(our_wall);
        theirs.push(wall);
        ratios.push(wall / our_wall);
        our_cpu.push(our_all);
        their_cpu.push(all);
        cpu_ratios.push(all / our_all);
    }
    let (ratio, cpu_ratio) = (median(&mut ratios), median(&mut cpu_ratios));
    println!(
        "{:<24} {:>9.1} {:>9.1} {ratio:>8.1} {:>9.1} {:>9.1} {cpu_ratio:>8.1}",
        case.name,
        median(&mut ours),
        median(&mut theirs),
        median(&mut our_cpu),
        median(&mut their_cpu)
    );
    Ok(Some((ratio, cpu_ratio)))
}

/// Returns how long all threads of this process have run.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Loads a chart and reads its values files.
fn load(case: &Case) -> Result<(helm::Chart, Request), String> {
    let mut tree = SourceTree::default();
    for (path, text) in &case.files {
        tree.insert(format!("chart/{path}"), text.as_bytes());
    }
    let chart =
        helm::load(&tree, "chart").map_err(|wrong| wrong.iter().map(ToString::to_string).collect::<String>())?;
    let named: Vec<(String, String)> =
        case.layers.iter().map(|text| ("values.yaml".to_owned(), text.clone())).collect();
    Ok((chart, crate::request::request(&json!({}), &named)?))
}

/// Renders one chart so often: work for a profiler.
pub fn repeat(name: &str, times: usize) {
    let case = cases(&[]).into_iter().find(|case| case.name == name).expect("the name of a chart of the table");
    let (chart, request) = load(&case).expect("it loads");
    for _ in 0..times {
        std::hint::black_box(helm::render(&chart, &request, &Options::default())).expect("it renders");
    }
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn cases(folders: &[&str]) -> Vec<Case> {
    let without_schema = |case: Case| Case {
        files: case.files.into_iter().filter(|(path, _)| !path.ends_with(SCHEMA)).collect(),
        ..case
    };
    let recorded = recorded().into_iter();
    let given = folders.iter().map(|folder| folder_case(Path::new(folder), Vec::new()));
    generic().into_iter().chain(recorded).chain(given).map(without_schema).collect()
}

/// The chart of the example, with values of services that have little and much.
fn generic() -> Vec<Case> {
    let values = |i, environment| vec![super::fleet::service(i), super::fleet::placement(i, environment)];
    let tag = "tag: 1.2.3\nenvironmentType: staging\n".to_owned();
    let case = |name: &str, i| {
        let layers = values(i, "staging").into_iter().chain([tag.clone()]).collect();
        Case { name: name.to_owned(), ..folder_case(&super::root().join("charts/generic"), layers) }
    };
    vec![case("generic, few options", 1), case("generic, more options", 12)]
}

fn with_schema() -> Vec<Case> {
    let all = generic().into_iter().skip(1);
    all.map(|case| Case { name: "generic, with schema".to_owned(), ..case }).collect()
}

/// The charts of the tests, each in its first render, where that needs values files alone and no packed charts.
fn recorded() -> Vec<Case> {
    let folder = super::root().join("generator/tests/helm");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("the test charts").map(|e| e.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| recorded_case(path)).collect()
}

fn recorded_case(path: &Path) -> Option<Case> {
    let name = path.file_stem()?.to_string_lossy().into_owned();
    let sections = sections(&std::fs::read_to_string(path).ok()?);
    let mut case = Case { name, files: BTreeMap::new(), layers: Vec::new() };
    let (mut layers, mut options, mut rendered) = (BTreeMap::new(), None, false);
    for (name, text) in sections {
        if let Some(layer) = name.strip_prefix("layer ") {
            layers.insert(layer.to_owned(), text);
        } else if name.starts_with("render ") {
            options = options.or_else(|| serde_json::from_str::<Value>(&text).ok());
        } else if let Some((_, what)) = name.strip_prefix("want ").and_then(|want| want.split_once(": ")) {
            rendered |= what == "stream";
        } else if name.contains(".tgz") {
            return None;
        } else {
            case.files.insert(name, text);
        }
    }
    let options = options?;
    let plain = options.as_object()?.keys().all(|key| key == "layers");
    let names = options["layers"].as_array().into_iter().flatten().filter_map(Value::as_str);
    case.layers = names.map(|name| layers.get(name).cloned()).collect::<Option<_>>()?;
    (plain && rendered).then_some(case)
}

/// The chart in a folder; files that are not text are left out.
fn folder_case(folder: &Path, layers: Vec<String>) -> Case {
    fn add(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                add(&entry.path(), &format!("{path}/"), files);
            } else if let Ok(text) = std::fs::read_to_string(entry.path()) {
                files.insert(path, text);
            }
        }
    }
    let mut files = BTreeMap::new();
    add(folder, "", &mut files);
    let name = folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Case { name, files, layers }
}

/// Helm's engine, in a process of its own.
struct Helm {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Drop for Helm {
    fn drop(&mut self) {
        // Nothing is waited for any more, and nobody is left to tell.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Helm {
    /// Builds and starts it; says why where it cannot.
    fn start() -> Option<Helm> {
        let binary = std::env::temp_dir().join(format!("generator-bench-helm-{}", std::process::id()));
        let built = Command::new("go")
            .args(["build", "-o"])
            .arg(&binary)
            .arg("./cmd/bench")
            .current_dir(super::root().join("conformance/helm"))
            .status();
        if !built.as_ref().is_ok_and(std::process::ExitStatus::success) {
            println!("NOT compared with Helm: there is no Go here that builds conformance/helm/cmd/bench");
            return None;
        }
        let started = Command::new(&binary).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let removed = std::fs::remove_file(&binary);
        let mut process = started.expect("the program just built starts");
        removed.expect("a running program can be unlinked");
        let to = process.stdin.take().expect("asked for");
        let from = BufReader::new(process.stdout.take().expect("asked for"));
        Some(Helm { process, to, from })
    }

    fn ask(&mut self, question: &Value) -> Result<Value, String> {
        let mut line = String::new();
        writeln!(self.to, "{question}")
            .and_then(|()| self.from.read_line(&mut line))
            .map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        match answer["error"].as_str() {
            Some(error) => Err(format!("Helm: {error}")),
            None => Ok(answer),
        }
    }

    fn load(&mut self, case: &Case) -> Result<BTreeMap<String, String>, String> {
        let answer = self.ask(&json!({"load": {"files": case.files, "layers": case.layers}}))?;
        let texts = answer["files"].as_object().into_iter().flatten();
        Ok(texts.map(|(path, text)| (path.clone(), text.as_str().unwrap_or_default().to_owned())).collect())
    }

    /// Renders that many times; returns microseconds of the clock, and of all processors, for one of them.
    fn run(&mut self, times: u32) -> Result<(f64, f64), String> {
        let answer = self.ask(&json!({"run": times}))?;
        let each = |key: &str| answer[key].as_f64().unwrap_or_default() / 1e3 / f64::from(times);
        Ok((each("wall"), each("cpu")))
    }
}
