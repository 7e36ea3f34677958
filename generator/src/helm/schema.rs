//! `values.schema.json`: what the values of a chart must look like.
//!
//! Offline: a reference to anything outside of the file is refused with its address. Messages are in the words of the Go library Helm
//! uses. Source: Helm v4.2.3 `pkg/chart/common/util/jsonschema.go`, santhosh-tekuri/jsonschema v6.0.2.

use std::error::Error;
use std::fmt;

use boon::{CompileError, Compiler, ErrorKind, InstanceToken, SchemaIndex, Schemas, UrlLoader, ValidationError};
use serde_json::Value as Json;

/// Where the schema is said to be, for the references in it.
const ADDRESS: &str = "file:///values.schema.json";

/// A schema, compiled once. One that cannot be compiled fails at the first validation, as it does in Helm.
pub(super) struct Schema {
    /// Path of the file, for messages.
    pub(super) file: String,
    compiled: Result<(Schemas, SchemaIndex), String>,
}

/// One thing about the values that is not as the schema wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    /// JSON pointer of the value, in the values of the chart.
    pub(super) pointer: String,
    /// What is wrong with it.
    pub(super) message: String,
}

impl Schema {
    pub(super) fn new(file: String, content: &[u8]) -> Schema {
        Schema { file, compiled: compile(content) }
    }

    /// Returns everything that is wrong with the values; empty where they fit.
    ///
    /// # Errors
    /// What is wrong with the schema itself.
    pub(super) fn violations(&self, values: &Json) -> Result<Vec<Violation>, String> {
        let (schemas, index) = self.compiled.as_ref().map_err(Clone::clone)?;
        let mut found = Vec::new();
        if let Err(error) = schemas.validate(values, *index) {
            collect(&error, &mut found);
        }
        // The library keeps properties in a map of random order.
        found.sort_by(|a: &Violation, b: &Violation| (&a.pointer, &a.message).cmp(&(&b.pointer, &b.message)));
        found.dedup();
        Ok(found)
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").field("file", &self.file).finish_non_exhaustive()
    }
}

fn compile(content: &[u8]) -> Result<(Schemas, SchemaIndex), String> {
    let document: Json = serde_json::from_slice(content).map_err(|error| format!("the schema is not JSON: {error}"))?;
    let mut schemas = Schemas::new();
    let mut compiler = Compiler::new();
    compiler.use_loader(Box::new(Offline));
    compiler.add_resource(ADDRESS, document).map_err(|error| describe(&error))?;
    let index = compiler.compile(ADDRESS, &mut schemas).map_err(|error| match error {
        // What the library takes for a bug of its own is a regular expression that is too large.
        CompileError::Bug(cause) => format!("a pattern of the schema cannot be used: {cause}"),
        error => describe(&error),
    })?;
    Ok((schemas, index))
}

fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Loads nothing. An unresolved `urn:` allows everything, as in Helm.
struct Offline;

impl UrlLoader for Offline {
    fn load(&self, url: &str) -> Result<Json, Box<dyn Error>> {
        if url.starts_with("urn:") {
            return Ok(Json::Bool(true));
        }
        Err(format!(
            "the schema refers to {url}, and nothing outside of the file is read; copy the definition into the file"
        )
        .into())
    }
}

/// Collects the errors that say what is wrong; those that only group others are left out.
fn collect(error: &ValidationError<'_, '_>, found: &mut Vec<Violation>) {
    let is_group = matches!(error.kind, ErrorKind::Schema { .. } | ErrorKind::Group | ErrorKind::Reference { .. });
    if !is_group || error.causes.is_empty() {
        let pointer = error.instance_location.tokens.iter().fold(String::new(), |mut pointer, token| {
            pointer.push('/');
            match token {
                InstanceToken::Prop(name) => pointer.push_str(&name.replace('~', "~0").replace('/', "~1")),
                InstanceToken::Item(index) => pointer.push_str(&index.to_string()),
            }
            pointer
        });
        found.push(Violation { pointer, message: message(&error.kind) });
    }
    for cause in &error.causes {
        collect(cause, found);
    }
}

fn message(kind: &ErrorKind<'_, '_>) -> String {
    let joined = |names: &[&str]| names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    let limit =
        |keyword: &str, got: &dyn fmt::Display, want: &dyn fmt::Display| format!("{keyword}: got {got}, want {want}");
    match kind {
        ErrorKind::Type { got, want } => {
            let want: Vec<String> = want.iter().map(|kind| kind.to_string()).collect();
            format!("got {got}, want {}", want.join(" or "))
        }
        ErrorKind::Enum { want } if want.iter().any(|value| value.is_array() || value.is_object()) => {
            "'enum' failed".to_owned()
        }
        ErrorKind::Enum { want } => match &want[..] {
            [one] => format!("value must be {}", displayed(one)),
            many => format!("value must be one of {}", many.iter().map(displayed).collect::<Vec<_>>().join(", ")),
        },
        ErrorKind::Const { want } if want.is_array() || want.is_object() => "'const' failed".to_owned(),
        ErrorKind::Const { want } => format!("value must be {}", displayed(want)),
        ErrorKind::Format { got, want, err } => format!("{} is not valid {want}: {err}", displayed(got)),
        ErrorKind::MinProperties { got, want } => limit("minProperties", got, want),
        ErrorKind::MaxProperties { got, want } => limit("maxProperties", got, want),
        ErrorKind::MinItems { got, want } => limit("minItems", got, want),
        ErrorKind::MaxItems { got, want } => limit("maxItems", got, want),
        ErrorKind::MinLength { got, want } => limit("minLength", got, want),
        ErrorKind::MaxLength { got, want } => limit("maxLength", got, want),
        ErrorKind::Minimum { got, want } => limit("minimum", got, want),
        ErrorKind::Maximum { got, want } => limit("maximum", got, want),
        ErrorKind::ExclusiveMinimum { got, want } => limit("exclusiveMinimum", got, want),
        ErrorKind::ExclusiveMaximum { got, want } => limit("exclusiveMaximum", got, want),
        ErrorKind::MultipleOf { got, want } => limit("multipleOf", got, want),
        ErrorKind::AdditionalItems { got } => format!("last {got} additionalItem(s) not allowed"),
        ErrorKind::AdditionalProperties { got } => {
            let mut names: Vec<&str> = got.iter().map(|name| &**name).collect();
            names.sort_unstable();
            format!("additional properties {} not allowed", joined(&names))
        }
        ErrorKind::Required { want } => match &want[..] {
            [one] => format!("missing property {}", quoted(one)),
            many => format!("missing properties {}", joined(many)),
        },
        ErrorKind::Dependency { prop, missing } | ErrorKind::DependentRequired { prop, missing } => {
            format!("properties {} required, if {} exists", joined(missing), quoted(prop))
        }
        ErrorKind::PropertyName { prop } => format!("invalid propertyName {}", quoted(prop)),
        ErrorKind::UniqueItems { got: [a, b] } => format!("items at {a} and {b} are equal"),
        ErrorKind::Contains => "no items match contains schema".to_owned(),
        ErrorKind::Pattern { got, want } => format!("{} does not match pattern {}", quoted(got), quoted(want)),
        ErrorKind::Not => "'not' failed".to_owned(),
        ErrorKind::AllOf => "'allOf' failed".to_owned(),
        ErrorKind::AnyOf => "'anyOf' failed".to_owned(),
        ErrorKind::OneOf(None) => "'oneOf' failed, none matched".to_owned(),
        ErrorKind::OneOf(Some((a, b))) => format!("'oneOf' failed, subschemas {a}, {b} matched"),
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    let escaped = crate::gotemplate::print::quote(text.as_bytes());
    let inner = escaped[1..escaped.len() - 1].replace("\\\"", "\"").replace('\'', "\\'");
    format!("'{inner}'")
}

fn displayed(value: &Json) -> String {
    match value {
        Json::String(text) => quoted(text),
        Json::Array(_) | Json::Object(_) => "value".to_owned(),
        Json::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violations_in_the_words_of_helm() {
        let schema = Schema::new(
            "s".to_owned(),
            br#"{"type":"object","required":["name"],"additionalProperties":false,
                "properties":{"replicas":{"type":"integer","minimum":1},"kind":{"enum":["a","b"]}}}"#,
        );
        let found = schema.violations(&serde_json::json!({"replicas": "x", "kind": "c", "more": 1})).expect("a schema");
        let found: Vec<(&str, &str)> = found.iter().map(|v| (v.pointer.as_str(), v.message.as_str())).collect();
        assert_eq!(
            found,
            [
                ("", "additional properties 'more' not allowed"),
                ("", "missing property 'name'"),
                ("/kind", "value must be one of 'a', 'b'"),
                ("/replicas", "got string, want integer"),
            ]
        );
        assert_eq!(schema.violations(&serde_json::json!({"replicas": 1.0})).expect("a schema").len(), 1);
    }

    #[test]
    fn nothing_outside_is_read() {
        let schema = Schema::new("s".to_owned(), br#"{"$ref":"https://example.org/s.json"}"#);
        let error = schema.violations(&Json::Null).expect_err("refused");
        assert!(error.contains("https://example.org/s.json"), "{error}");
    }
}
