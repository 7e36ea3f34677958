//! Which values are not to be shown.
//!
//! A value is secret if its name says so, or if what it says stands in a Secret that the release renders to. Masking too much is a
//! nuisance, masking too little an accident: a text that is part of a Secret's value is masked too, unless it is so short that it says
//! nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use manifest::object::flatten;
use manifest::yaml::{self, DuplicateKeys};
use serde_json::Value;

use crate::helm::{self, Chart, Request};

/// What stands for a secret value.
pub const MASK: &str = "***";
/// A text this short may be part of a secret value by chance.
const PART_BYTES_MIN: usize = 6;
/// Names of secret values, in lower case without `-` and `_`, by their ends.
const NAMES: [&str; 9] =
    ["password", "passwd", "passphrase", "token", "apikey", "secretkey", "privatekey", "credentials", "secretvalue"];
/// Names of maps whose entries are secret values.
const MAPS: [&str; 2] = ["secrets", "stringdata"];

/// What is known to be secret.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    texts: Vec<String>,
}

impl Secrets {
    /// Renders a release and collects what its Secrets say. A release that does not render has none, and names decide.
    pub(super) fn of(chart: &Chart, request: &Request) -> Self {
        let settings = yaml::Settings { duplicate_keys: DuplicateKeys::LastWins, ..yaml::Settings::default() };
        let rendered = helm::render(chart, request, &helm::Options::default());
        let files = rendered.into_iter().flat_map(|rendered| rendered.files);
        let documents = files.flat_map(|file| yaml::read(&file.text, &settings).unwrap_or_default());
        let objects = documents.flat_map(|document| flatten(document.value));
        let secrets = objects.filter(|object| object.get("kind").and_then(Value::as_str) == Some("Secret"));
        Secrets { texts: secrets.flat_map(|secret| texts(&secret)).filter(|text| !text.is_empty()).collect() }
    }

    /// Returns a value as it may be shown.
    pub(super) fn masked(&self, path: &[&str], value: &Value) -> Value {
        let by_name = path.iter().rev().skip(1).any(|part| MAPS.contains(&plain(part).as_str()))
            || path.last().is_some_and(|last| is_secret_name(last));
        self.mask(value, by_name)
    }

    fn mask(&self, value: &Value, secret: bool) -> Value {
        match value {
            Value::Object(map) => {
                let entry = |(key, value): (&String, &Value)| {
                    let inner =
                        secret || is_secret_name(key) || MAPS.contains(&plain(key).as_str()) && value.is_object();
                    (key.clone(), self.mask(value, inner))
                };
                Value::Object(map.iter().map(entry).collect())
            }
            Value::Array(items) => Value::Array(items.iter().map(|item| self.mask(item, secret)).collect()),
            Value::Null => Value::Null,
            Value::String(text) if text.is_empty() => value.clone(),
            Value::String(text) if secret || self.says(text) => Value::String(MASK.to_owned()),
            Value::Number(number) if secret || self.texts.contains(&number.to_string()) => {
                Value::String(MASK.to_owned())
            }
            // Neither of two answers is a secret.
            other => other.clone(),
        }
    }

    fn says(&self, text: &str) -> bool {
        self.texts.iter().any(|secret| secret == text || (text.len() >= PART_BYTES_MIN && secret.contains(text)))
    }
}

fn texts(secret: &Value) -> Vec<String> {
    let entries = |field: &str| {
        let values = secret.get(field).and_then(Value::as_object).into_iter().flat_map(serde_json::Map::values);
        values.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let encoded = entries("data");
    let decoded = encoded.iter().filter_map(|text| String::from_utf8(STANDARD.decode(text).ok()?).ok());
    decoded.collect::<Vec<_>>().into_iter().chain(encoded.clone()).chain(entries("stringData")).collect()
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

fn is_secret_name(name: &str) -> bool {
    let name = plain(name);
    NAMES.iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_contents_decide() {
        let secrets = Secrets { texts: vec!["s3cr3t-text".to_owned(), "7".to_owned()] };
        let shown = |path: &[&str], value: Value| secrets.masked(path, &value);
        assert_eq!(shown(&["db", "adminPassword"], json!("x")), MASK);
        assert_eq!(shown(&["secrets", "URL"], json!("x")), MASK);
        assert_eq!(shown(&["automountToken"], json!(true)), json!(true));
        assert_eq!(shown(&["url"], json!("s3cr3t")), MASK, "a part of a secret value");
        assert_eq!(shown(&["url"], json!("s3c")), json!("s3c"));
        assert_eq!(shown(&["n"], json!(7)), MASK);
        assert_eq!(
            shown(&["a"], json!([{"token": "x", "secrets": {"k": "v"}, "name": "n"}])),
            json!([{"token": MASK, "secrets": {"k": MASK}, "name": "n"}])
        );
        assert_eq!(shown(&["secretName"], json!("tls")), json!("tls"));
        assert_eq!(shown(&["secrets"], json!({})), json!({}));
        assert_eq!(shown(&["password"], json!("")), json!(""), "nothing is no secret");
    }

    #[test]
    fn data_is_decoded() {
        let secret = json!({"kind": "Secret", "data": {"a": "aGVsbG8="}, "stringData": {"b": "plain"}});
        assert_eq!(texts(&secret), ["hello", "aGVsbG8=", "plain"]);
    }
}
