//! The request that a case in JSON asks for: flags as `helm template` has them.
//!
//! Used by the tests of charts and by what the fuzzer compares with the real Helm. The names of the options are those of
//! `conformance/helm/internal/sdk`.

use std::sync::Arc;

use generator::helm::strvals::Notation;
use generator::helm::{Capabilities, Layer, Request, Setting};
use manifest::yaml::{self, DuplicateKeys};
use serde_json::Value;

/// Returns the texts of a list.
pub fn strings(options: &Value, key: &str) -> Vec<String> {
    let items = options.get(key).and_then(Value::as_array).into_iter().flatten();
    items.map(|item| item.as_str().expect("text").to_owned()).collect()
}

/// Returns whether a flag is set.
pub fn flag(options: &Value, key: &str) -> bool {
    options.get(key).and_then(Value::as_bool).unwrap_or_default()
}

/// Returns the request; `files` are values files, name and text, low to high.
///
/// # Errors
/// A values file or an argument that cannot be read.
pub fn request(options: &Value, files: &[(String, String)]) -> Result<Request, String> {
    let text = |key: &str, default: &str| {
        let given = options.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        given.unwrap_or(default).to_owned()
    };
    let mut layers = Vec::new();
    for (file, text) in files {
        let settings =
            yaml::Settings { marks: true, duplicate_keys: DuplicateKeys::LastWins, ..yaml::Settings::default() };
        for document in yaml::read(text, &settings)
            .map_err(|error| format!("cannot unmarshal yaml document: error converting YAML to JSON: yaml: {error}"))?
        {
            layers.push(Arc::new(Layer { file: file.clone(), value: document.value, marks: document.marks.into() }));
        }
    }
    let notations = [
        ("setJSON", "--set-json", Notation::Json),
        ("set", "--set", Notation::Typed),
        ("setString", "--set-string", Notation::Text),
        ("setLiteral", "--set-literal", Notation::Literal),
    ];
    let mut set = Vec::new();
    for (key, flag, notation) in notations {
        for line in strings(options, key) {
            if notation == Notation::Json && line.trim_start().starts_with('{') {
                let value =
                    serde_json::from_str(&line).map_err(|_| format!("failed parsing --set-json data JSON: {line}"))?;
                layers.push(Arc::new(Layer { file: "--set-json".to_owned(), value, ..Layer::default() }));
            } else {
                set.push(Setting::Line { flag, notation, line });
            }
        }
    }
    let default = Capabilities::default();
    let capabilities = Capabilities {
        kube_version: text("kubeVersion", &default.kube_version),
        api_versions: strings(options, "apiVersions"),
    };
    Ok(Request {
        release_name: text("name", "release-name"),
        namespace: text("namespace", "default"),
        layers,
        set,
        capabilities,
        is_upgrade: flag(options, "isUpgrade"),
    })
}
