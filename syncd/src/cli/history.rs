//! `syncd history`: the cycles of a running syncd that did something, the last one first.

use clap::Args;
use serde_json::Value;

use super::output::{Output, print};
use super::status::Running;
use super::{CliError, Exit};
use crate::report::printable;
use crate::summary::aligned;

pub(super) const HELP: &str = "Cycles that did something, or that ended otherwise than the one before, since the process began. \
Which revision each service reached, and its last results, outlive it: they are in the records, ConfigMaps syncd-<environment>-<service>.

From outside of the cluster: kubectl port-forward --namespace syncd deployment/syncd 9102

Exit codes:
   0  told
   1  there was no answer
   2  wrong usage: the arguments cannot work";

#[derive(Debug, Args)]
pub(super) struct History {
    #[command(flatten)]
    running: Running,
    /// text for people, json or yaml for programs
    #[arg(short, long, env = "SYNCD_OUTPUT", value_enum, default_value_t = Output::Text, value_name = "FORM")]
    output: Output,
}

pub(super) async fn run(arguments: &History) -> Result<Exit, CliError> {
    let answer = arguments.running.ask("/api/v1/history").await?;
    print(arguments.output, &text(&answer), &answer);
    Ok(Exit::Synced)
}

/// Returns a table of cycles, and below it what went wrong.
fn text(answer: &Value) -> String {
    let cycles = answer["cycles"].as_array().map_or(&[][..], Vec::as_slice);
    if cycles.is_empty() {
        return "nothing yet\n".to_owned();
    }
    let word = |cycle: &Value, name: &str| printable(cycle[name].as_str().unwrap_or("-"));
    let row = |cycle: &Value| {
        let names = |list: &str| {
            cycle[list].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
        };
        let unsynced = names("unsynced");
        [
            word(cycle, "ended_at"),
            word(cycle, "result"),
            word(cycle, "trigger"),
            word(cycle, "revision").chars().take(12).collect(),
            cycle["applied"].to_string(),
            cycle["deleted"].to_string(),
            printable(if unsynced.is_empty() { "-" } else { &unsynced }),
            word(cycle, "subject"),
        ]
    };
    let head = ["ENDED", "RESULT", "WHY", "REVISION", "APPLIED", "DELETED", "UNSYNCED", "SUBJECT"].map(str::to_owned);
    let rows: Vec<[String; 8]> = std::iter::once(head).chain(cycles.iter().map(row)).collect();
    let mut text = aligned(&rows);
    for cycle in cycles {
        for error in cycle["errors"].as_array().into_iter().flatten() {
            text.push_str(&format!(
                "\n{}: {}: {}",
                word(cycle, "ended_at"),
                word(error, "stage"),
                word(error, "message")
            ));
        }
    }
    if text.ends_with('\n') { text } else { text + "\n" }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_history_as_people_read_it() {
        assert_eq!(text(&json!({"cycles": []})), "nothing yet\n");
        let fine = json!({"ended_at": "2026-01-02T03:04:05Z", "result": "synced", "trigger": "changed", "revision": "0123456789abcdef",
            "applied": 3, "deleted": 0, "subject": "app1: \u{1b}[31m2", "unsynced": [], "errors": []});
        let failed = json!({"ended_at": "2026-01-02T03:00:00Z", "result": "failed", "trigger": "start", "revision": null, "applied": 0,
            "deleted": 0, "subject": null, "unsynced": ["app1", "app2"], "errors": [{"stage": "source", "message": "no\nanswer"}]});
        insta::assert_snapshot!(text(&json!({"cycles": [fine, failed]})), @r"
        ENDED                 RESULT  WHY      REVISION      APPLIED  DELETED  UNSYNCED   SUBJECT
        2026-01-02T03:04:05Z  synced  changed  0123456789ab  3        0        -          app1:  [31m2
        2026-01-02T03:00:00Z  failed  start    -             0        0        app1 app2  -

        2026-01-02T03:00:00Z: source: no answer
        ");
    }
}
