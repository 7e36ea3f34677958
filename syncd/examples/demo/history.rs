//! The histories that the demo plays, as data: what a person changes in `services/`, and what must come of it.
//!
//! They are those of the project that this one re-creates: add an app, re-indent two configurations, fix an ingress host, disable the
//! ingress, rename an app. Knows no Git and no cluster. Invariant: a step changes files of `services/` only.

use std::fs;
use std::io;
use std::path::Path;

/// Environments, in the order of the table.
pub const ENVIRONMENTS: [&str; 2] = ["production", "staging"];

/// What one environment must have done in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Number of objects applied.
    pub applied: usize,
    /// Number of objects deleted.
    pub deleted: usize,
}

/// One commit and its consequences.
pub struct Step {
    /// What happens, as a commit message would say it.
    pub title: &'static str,
    /// Changes files below `services/`, whose path is given.
    pub change: fn(&Path) -> io::Result<()>,
    /// What must come of it, in the order of [`ENVIRONMENTS`].
    pub expected: [Expected; 2],
}

const fn expect(applied: usize, deleted: usize) -> Expected {
    Expected { applied, deleted }
}

const NOTHING: Expected = expect(0, 0);

/// The history, from an empty cluster on.
pub const HISTORY: [Step; 8] = [
    Step { title: "first sync: app1, app2 and app4", change: |_| Ok(()), expected: [expect(12, 0), expect(12, 0)] },
    Step { title: "nothing changed", change: |_| Ok(()), expected: [NOTHING, NOTHING] },
    Step { title: "add an app: app3 in staging", change: add_app3, expected: [NOTHING, expect(6, 0)] },
    Step { title: "re-indent the configuration of app1 and app2", change: reindent, expected: [NOTHING, NOTHING] },
    Step { title: "publish app2 in production", change: publish_app2, expected: [expect(1, 0), NOTHING] },
    Step { title: "fix the ingress host of app2", change: fix_host, expected: [expect(1, 0), NOTHING] },
    Step { title: "disable the ingress of app2", change: disable_ingress, expected: [expect(0, 1), NOTHING] },
    Step { title: "rename an app: app3 to app5", change: rename_app3, expected: [NOTHING, expect(6, 6)] },
];

const APP3: &str = "\
image: nginx
team: b-team
namespace: kahoy-helm-example
httpService:
  internalPort: 80
healthCheck:
  livePath: /
  readyPath: /
resources:
  memoryMiB: 15
  cpuMilli: 15
scalability:
  replicas: 2
  maxReplicas: 2
";

fn add_app3(services: &Path) -> io::Result<()> {
    fs::create_dir_all(services.join("app3/staging"))?;
    fs::write(services.join("app3/config.yaml"), APP3)?;
    fs::write(services.join("app3/staging/config.yaml"), "")?;
    fs::write(services.join("app3/staging/version"), "1.27-alpine\n")
}

/// Doubles every indentation and adds a comment: other bytes, the same values.
fn reindent(services: &Path) -> io::Result<()> {
    for path in ["app1/config.yaml", "app1/production/config.yaml", "app2/config.yaml"] {
        let path = services.join(path);
        let text = fs::read_to_string(&path)?;
        let mut wide = String::from("# re-indented\n");
        for line in text.lines() {
            let indentation = line.len() - line.trim_start().len();
            wide.push_str(&" ".repeat(indentation));
            wide.push_str(line);
            wide.push('\n');
        }
        fs::write(&path, wide)?;
    }
    Ok(())
}

fn app2_production(services: &Path, enable: bool, host: &str) -> io::Result<()> {
    let public = format!("httpService:\n  public:\n    enable: {enable}\n    host: {host}\n");
    fs::write(services.join("app2/production/config.yaml"), public)
}

fn publish_app2(services: &Path) -> io::Result<()> {
    app2_production(services, true, "app2.example.test")
}

fn fix_host(services: &Path) -> io::Result<()> {
    app2_production(services, true, "app2.kahoy-helm-example.valhalla.slok.dev")
}

fn disable_ingress(services: &Path) -> io::Result<()> {
    app2_production(services, false, "app2.kahoy-helm-example.valhalla.slok.dev")
}

fn rename_app3(services: &Path) -> io::Result<()> {
    fs::rename(services.join("app3"), services.join("app5"))
}
