//! `syncd` as a process: started, listened to, and measured from outside.
//!
//! Processor time and memory are the kernel's (`/proc`), points in time those of `syncd`'s own log. Linux only.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use crate::fleet::ENVIRONMENT;
use crate::git_repository::Repository;

/// Clock ticks a second, in which the kernel counts what `/proc` says.
const TICKS: f64 = 100.0;
const SECRET: &str = "a secret of a benchmark";
/// Longest time for anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(900);

/// What a process used so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Seconds of processor time of itself.
    pub cpu: f64,
    /// Seconds of processor time of the processes that it started and that have ended: git.
    pub children: f64,
    /// Most resident memory so far, in MiB.
    pub peak: f64,
    /// Resident memory now, in MiB.
    pub resident: f64,
}

impl Usage {
    /// Reads it; nothing for a process that has ended.
    pub fn of(pid: u32) -> Option<Usage> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default() / TICKS;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let mib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
        };
        Some(Usage {
            cpu: processor_time(pid).unwrap_or(ticks(11) + ticks(12)),
            children: ticks(13) + ticks(14),
            peak: mib("VmHWM").unwrap_or_default(),
            resident: mib("VmRSS").unwrap_or_default(),
        })
    }

    fn has_ended(pid: u32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
    }
}

/// Returns the seconds of processor time that a process used so far, to the nanosecond.
fn processor_time(pid: u32) -> Option<f64> {
    let pid = nix::unistd::Pid::from_raw(pid.try_into().ok()?);
    let used = nix::time::clock_getcpuclockid(pid).ok()?.now().ok()?;
    Some(Duration::from(used).as_secs_f64())
}

/// One line of the log.
#[derive(Debug, Clone)]
pub struct Line {
    /// Seconds since 1970.
    pub at: f64,
    pub fields: Value,
}

impl Line {
    fn read(text: &str) -> Option<Line> {
        let fields: Value = serde_json::from_str(text).ok()?;
        let at: jiff::Timestamp = fields["timestamp"].as_str()?.parse().ok()?;
        Some(Line { at: seconds(at), fields })
    }

    pub fn says(&self, message: &str) -> bool {
        self.fields["message"] == message
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 fit")]
fn seconds(at: jiff::Timestamp) -> f64 {
    at.as_microsecond() as f64 / 1e6
}

/// Returns the time of day as the log has it.
pub fn now() -> f64 {
    seconds(jiff::Timestamp::now())
}

/// A `syncd` that runs. It ends when it is dropped.
pub struct Syncd {
    child: Child,
    log: Arc<Mutex<Vec<Line>>>,
    _secret: Option<tempfile::NamedTempFile>,
}

/// What came of a `syncd once`.
pub struct Once {
    pub wall: f64,
    pub usage: Usage,
    pub log: Vec<Line>,
}

impl Once {
    /// Returns the seconds from the plan to the last object that was applied: writes ahead of the applies included.
    pub fn applying(&self) -> f64 {
        let planned = self.log.iter().find(|line| line.says("planned")).map_or(0.0, |line| line.at);
        let handled = self.log.iter().rev().find(|line| line.says("an object was handled"));
        handled.map_or(0.0, |line| line.at - planned)
    }

    /// Returns the seconds from the first object that was applied to the last: nothing but applies, and the writes that settle.
    pub fn applies(&self) -> f64 {
        let mut handled = self.log.iter().filter(|line| line.says("an object was handled")).map(|line| line.at);
        let first = handled.next().unwrap_or_default();
        handled.next_back().unwrap_or(first) - first
    }
}

fn command(verb: &str, repository: &Repository, kubeconfig: &Path, more: &[&str]) -> Command {
    // Another build may be named, to be compared with.
    let program = std::env::var_os("SPEED_SYNCD").unwrap_or_else(|| env!("CARGO_BIN_EXE_syncd").into());
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    for name in ["MALLOC_ARENA_MAX", "MALLOC_CONF", "TMPDIR"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    let url = repository.url();
    command.args([verb, "--environment", ENVIRONMENT, "--repository", &url, "--ref", "main", "--log-format", "json"]);
    command.arg("--kubeconfig").arg(kubeconfig).arg("--no-leader-election").args(more);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn start(mut command: Command) -> Syncd {
    let mut child = command.spawn().unwrap();
    let log: Arc<Mutex<Vec<Line>>> = Arc::default();
    let (lines, stderr) = (Arc::clone(&log), child.stderr.take().unwrap());
    std::thread::spawn(move || {
        for text in BufReader::new(stderr).lines().map_while(Result::ok) {
            match Line::read(&text) {
                Some(line) => {
                    if line.fields["level"] == "ERROR" && std::env::var_os("SPEED_VERBOSE").is_some() {
                        eprintln!("{text}");
                    }
                    lines.lock().unwrap().push(line);
                }
                None => eprintln!("{text}"),
            }
        }
    });
    Syncd { child, log, _secret: None }
}

/// Waits for the end of a process that has just been started; returns how long it ran and what it used.
pub async fn to_its_end(child: &mut Child) -> (f64, Usage, ExitStatus) {
    let (began, pid) = (Instant::now(), child.id());
    let mut usage = Usage::default();
    while !Usage::has_ended(pid) {
        if let Some(now) = Usage::of(pid) {
            usage = Usage { peak: usage.peak.max(now.peak), ..now };
        }
        sleep(Duration::from_millis(5)).await;
    }
    let wall = began.elapsed().as_secs_f64();
    // Of who has ended and was not waited for, all but the memory can still be asked.
    let peak = usage.peak;
    let usage = Usage::of(pid).map_or(usage, |last| Usage { peak, ..last });
    (wall, usage, child.wait().unwrap())
}

/// Runs `syncd once` to its end.
pub async fn once(repository: &Repository, kubeconfig: &Path, more: &[&str]) -> Once {
    let mut syncd = start(command("once", repository, kubeconfig, more));
    let (wall, usage, status) = to_its_end(&mut syncd.child).await;
    // The last lines of the log may still be on their way.
    sleep(Duration::from_millis(20)).await;
    let log = syncd.lines();
    if !status.success() {
        let errors: Vec<String> = log
            .iter()
            .filter(|line| line.fields["level"] == "ERROR")
            .map(|line| line.fields.to_string())
            .take(3)
            .collect();
        eprintln!("syncd once ended with {status}: {}", errors.join("\n"));
    }
    Once { wall, usage, log }
}

impl Syncd {
    /// Starts a daemon and waits until it stands at its first revision.
    pub async fn run(repository: &Repository, kubeconfig: &Path, poll: &str, more: &[&str]) -> Syncd {
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), SECRET).unwrap();
        let mut command = command("run", repository, kubeconfig, &["--poll-interval", poll, "--listen", "127.0.0.1:0"]);
        command.args(["--webhook-listen", "127.0.0.1:0", "--webhook-secret-file"]).arg(secret.path()).args(more);
        let mut syncd = start(command);
        syncd._secret = Some(secret);
        syncd.until("the webhook is listened for", |_| true).await;
        let begun = Instant::now();
        while reqwest::get(format!("http://{}/readyz", syncd.address()))
            .await
            .map_or(true, |answer| !answer.status().is_success())
        {
            assert!(begun.elapsed() < PATIENCE, "syncd is not ready");
            sleep(Duration::from_millis(20)).await;
        }
        syncd
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn usage(&self) -> Usage {
        Usage::of(self.pid()).expect("it runs")
    }

    pub fn lines(&self) -> Vec<Line> {
        self.log.lock().unwrap().clone()
    }

    /// Forgets what was logged so far.
    pub fn forget(&self) {
        let at_start = |line: &Line| line.says("syncd started") || line.says("the webhook is listened for");
        self.log.lock().unwrap().retain(at_start);
    }

    /// Waits for a line of the log.
    pub async fn until(&self, message: &str, is_it: impl Fn(&Line) -> bool) -> Line {
        let begun = Instant::now();
        loop {
            if let Some(line) = self.log.lock().unwrap().iter().find(|line| line.says(message) && is_it(line)) {
                return line.clone();
            }
            assert!(begun.elapsed() < PATIENCE, "syncd never said `{message}`");
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until so many services were synced since the log was forgotten.
    pub async fn until_synced(&self, services: usize) {
        let begun = Instant::now();
        let is_synced = |line: &&Line| line.says("the service ended") && line.fields["state"] == "synced";
        let synced = || {
            let log = self.log.lock().unwrap();
            let names = log.iter().filter(is_synced).map(|line| line.fields["service"].to_string());
            names.collect::<std::collections::BTreeSet<String>>().len()
        };
        while synced() < services {
            assert!(begun.elapsed() < PATIENCE, "not all services are synced");
            sleep(Duration::from_millis(200)).await;
        }
    }

    fn said(&self, message: &str, field: &str) -> String {
        let log = self.log.lock().unwrap();
        let line = log.iter().find(|line| line.says(message)).expect("it was said");
        line.fields[field].as_str().unwrap().to_owned()
    }

    /// Returns where its pages are.
    pub fn address(&self) -> String {
        self.said("syncd started", "listen")
    }

    /// Returns where its webhook is.
    pub fn webhook(&self) -> String {
        self.said("the webhook is listened for", "address")
    }
}

impl Syncd {
    /// Returns the whole last report.
    pub async fn report(&self) -> Value {
        let answer = reqwest::get(format!("http://{}/api/v1/status", self.address())).await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap_or_default()).unwrap_or_default()
    }

    /// Returns the sum of the samples of a metric.
    pub async fn metric(&self, name: &str) -> f64 {
        let answer = reqwest::get(format!("http://{}/metrics", self.address())).await.unwrap();
        let text = answer.text().await.unwrap_or_default();
        let samples =
            text.lines().filter(|line| line.starts_with(name) && line[name.len()..].starts_with(['{', ' ', ',']));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

impl Drop for Syncd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has a daemon poll now.
pub async fn nudge(webhook: &str) {
    let request = reqwest::Client::new().post(format!("http://{webhook}/webhook")).header("x-gitlab-token", SECRET);
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "the webhook says {}", answer.status());
}
