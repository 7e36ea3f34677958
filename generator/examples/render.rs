//! Renders charts given as JSON, one request a line on standard input, one answer a line on standard output.
//!
//! It is what `conformance/helm/cmd/fuzz` compares with the real Helm, so requests and answers have the form of
//! `conformance/helm/internal/sdk`. A failure has, besides, each message and place by itself.

#[path = "../tests/request/mod.rs"]
mod request;

use std::io::{BufRead, Write};

use generator::diagnostic::Diagnostics;
use generator::helm::stream::{self, Selection};
use generator::helm::{self, Options};
use generator::source::SourceTree;
use request::{flag, strings};
use serde_json::{Map, Value, json};

const CHART: &str = "apiVersion: v2\nname: c\nversion: 0.1.0\n";

fn failure(wrong: &Diagnostics) -> Value {
    let all = wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let each: Vec<Value> = wrong
        .iter()
        .map(|diagnostic| {
            let place = diagnostic.place.as_ref().map(ToString::to_string).unwrap_or_default();
            json!({ "code": diagnostic.code, "message": diagnostic.message, "place": place })
        })
        .collect();
    json!({ "error": all, "diagnostics": each })
}

fn render(options: &Value) -> Result<Value, Value> {
    let mut tree = SourceTree::default();
    let files = options["files"].as_object().cloned().unwrap_or_default();
    if !files.contains_key("Chart.yaml") {
        tree.insert("chart/Chart.yaml", CHART);
    }
    for (path, text) in &files {
        tree.insert(format!("chart/{path}"), text.as_str().unwrap_or_default());
    }
    let layers: Vec<(String, String)> = strings(options, "layers")
        .into_iter()
        .enumerate()
        .map(|(number, text)| (format!("values-{number}.yaml"), text))
        .collect();
    let request = request::request(options, &layers).map_err(|error| json!({ "error": error }))?;
    let chart = helm::load(&tree, "chart").map_err(|wrong| failure(&wrong))?;
    let settings = Options { allow_nondeterministic: flag(options, "nondeterministic"), ..Options::default() };
    let rendered = helm::render(&chart, &request, &settings).map_err(|wrong| failure(&wrong))?;
    let mut texts: Map<String, Value> =
        rendered.files.iter().map(|file| (file.path.clone(), Value::from(file.text.as_str()))).collect();
    if let Some(notes) = &rendered.notes {
        texts.insert(format!("{}/templates/NOTES.txt", chart.name()), Value::from(notes.as_str()));
    }
    let mut answer = json!({ "files": texts });
    if flag(options, "stream") {
        let selection = Selection {
            include_crds: flag(options, "includeCRDs"),
            no_hooks: flag(options, "noHooks"),
            skip_tests: false,
        };
        let text =
            stream::template_output(&rendered, &selection).map_err(|error| json!({ "error": error.to_string() }))?;
        answer["stream"] = Value::from(text);
    }
    Ok(answer)
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let answer = match serde_json::from_str(&line?) {
            Ok(options) => render(&options).unwrap_or_else(|error| error),
            Err(error) => json!({ "error": format!("bad request: {error}") }),
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
