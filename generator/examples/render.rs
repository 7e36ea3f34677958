//! Renders charts given as JSON, one request a line on standard input, one answer a line on standard output.
//!
//! It is what `conformance/helm/cmd/fuzz` compares with the real Helm, so requests and answers have the form of
//! `conformance/helm/internal/sdk`. Knows only `files`, `layers` and the release; everything else is for the tests of charts.

use std::io::{BufRead, Write};

use generator::diagnostic::Diagnostics;
use generator::helm::{self, Capabilities, Layer, Options, Request};
use generator::source::SourceTree;
use manifest::yaml::{self, DuplicateKeys};
use serde_json::{Value, json};

const CHART: &str = "apiVersion: v2\nname: c\nversion: 0.1.0\n";

fn messages(wrong: &Diagnostics) -> String {
    wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn layers(texts: &Value) -> Result<Vec<Layer>, String> {
    let settings = yaml::Settings { marks: true, duplicate_keys: DuplicateKeys::LastWins, ..yaml::Settings::default() };
    let mut layers = Vec::new();
    for text in texts.as_array().into_iter().flatten().filter_map(Value::as_str) {
        for document in yaml::read(text, &settings).map_err(|error| error.to_string())? {
            let file = format!("values-{}.yaml", layers.len());
            layers.push(Layer { file, value: document.value, marks: document.marks });
        }
    }
    Ok(layers)
}

fn render(request: &Value) -> Result<Value, String> {
    let mut tree = SourceTree::default();
    tree.insert("chart/Chart.yaml", CHART);
    for (path, text) in request["files"].as_object().into_iter().flatten() {
        tree.insert(format!("chart/{path}"), text.as_str().unwrap_or_default());
    }
    let chart = helm::load(&tree, "chart").map_err(|wrong| messages(&wrong))?;
    let request = Request {
        release_name: "release-name".to_owned(),
        namespace: "default".to_owned(),
        layers: layers(&request["layers"])?,
        set: Vec::new(),
        capabilities: Capabilities::default(),
        is_upgrade: false,
    };
    let rendered = helm::render(&chart, &request, &Options::default()).map_err(|wrong| messages(&wrong))?;
    let texts = rendered.files.into_iter().map(|file| (file.path, Value::from(file.text)));
    Ok(json!({ "files": Value::Object(texts.collect()) }))
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let answer = match serde_json::from_str(&line?) {
            Ok(request) => render(&request).unwrap_or_else(|error| json!({ "error": error })),
            Err(error) => json!({ "error": format!("bad request: {error}") }),
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
