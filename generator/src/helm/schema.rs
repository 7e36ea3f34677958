//! `values.schema.json`: what the values of a chart must look like.
//!
//! Offline: a reference to anything outside of the file is refused with its address. Messages are in the words of the Go library Helm
//! uses. Source: Helm v4.2.3 `pkg/chart/common/util/jsonschema.go`, santhosh-tekuri/jsonschema v6.0.2.

use std::error::Error;
use std::fmt;

use boon::{CompileError, Compiler, ErrorKind, InstanceToken, SchemaIndex, Schemas, UrlLoader, ValidationError};
use serde_json::Value as Json;

use crate::diagnostic::suggest;

/// Where the schema is said to be, for the references in it.
const ADDRESS: &str = "file:///values.schema.json";

/// A schema, compiled once. One that cannot be compiled fails at the first validation, as it does in Helm.
pub(super) struct Schema {
    /// Path of the file, for messages.
    pub(super) file: String,
    compiled: Result<(Schemas, SchemaIndex), String>,
    /// What the file says, for what the library does not tell of an error.
    document: Json,
}

/// One thing about the values that is not as the schema wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    /// JSON pointer of the value, in the values of the chart.
    pub(super) pointer: String,
    /// What is wrong with it.
    pub(super) message: String,
    /// The key in it that is wrong, where it is one.
    pub(super) key: Option<String>,
    /// What was probably meant.
    pub(super) hint: Option<String>,
}

impl Schema {
    pub(super) fn new(file: String, content: &[u8]) -> Schema {
        let document = serde_json::from_slice(content).unwrap_or_default();
        Schema { file, compiled: compile(content), document }
    }

    /// Returns everything that is wrong with the values; empty where they fit.
    ///
    /// # Errors
    /// What is wrong with the schema itself.
    pub(super) fn violations(&self, values: &Json) -> Result<Vec<Violation>, String> {
        let (schemas, index) = self.compiled.as_ref().map_err(Clone::clone)?;
        let mut found = Vec::new();
        if let Err(error) = schemas.validate(values, *index) {
            self.collect(&error, values, &mut found);
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

impl Schema {
    /// Collects the errors that say what is wrong; those that only group others are left out.
    fn collect(&self, error: &ValidationError<'_, '_>, values: &Json, found: &mut Vec<Violation>) {
        let is_group = matches!(error.kind, ErrorKind::Schema { .. } | ErrorKind::Group | ErrorKind::Reference { .. });
        if !is_group || error.causes.is_empty() {
            let mut violation = Violation {
                pointer: pointer(&error.instance_location.tokens),
                message: message(&error.kind),
                key: None,
                hint: None,
            };
            match &error.kind {
                ErrorKind::AdditionalProperties { got } => {
                    let known: Vec<&str> = self.properties(error.schema_url);
                    let mut names: Vec<&str> = got.iter().map(|name| &**name).collect();
                    names.sort_unstable();
                    let near = names.iter().map(|name| (*name, suggest(name, known.iter().copied())));
                    let near = near.filter_map(|(name, near)| Some((name, near?)));
                    violation.hint = match near.collect::<Vec<_>>().as_slice() {
                        [] => None,
                        [(_, near)] if names.len() == 1 => Some(format!("did you mean `{near}`?")),
                        several => {
                            let each = several.iter().map(|(name, near)| format!("`{near}` for `{name}`"));
                            Some(format!("did you mean {}?", each.collect::<Vec<_>>().join(", ")))
                        }
                    };
                    violation.key = names.first().map(|name| (*name).to_owned());
                }
                // The library looks at a name alone, and forgets whose it is.
                ErrorKind::PropertyName { prop } => {
                    let (_, fragment) = error.schema_url.split_once('#').unwrap_or_default();
                    let mut search =
                        Search { document: &self.document, wanted: fragment, key: prop, found: Vec::new(), steps: 0 };
                    search.walk("", values, "", 0);
                    violation.pointer = search.found.into_iter().next().unwrap_or_default();
                    violation.key = Some(prop.clone());
                    violation.hint = error.causes.iter().find_map(why_no_name);
                }
                _ => {}
            }
            found.push(violation);
        }
        if !matches!(error.kind, ErrorKind::PropertyName { .. }) {
            for cause in &error.causes {
                self.collect(cause, values, found);
            }
        }
    }

    /// Returns the names that a part of the schema knows.
    fn properties(&self, url: &str) -> Vec<&str> {
        let (_, fragment) = url.split_once('#').unwrap_or_default();
        let part = self.document.pointer(fragment);
        let names = part.and_then(|part| part.get("properties")).and_then(Json::as_object);
        names.into_iter().flat_map(serde_json::Map::keys).map(String::as_str).collect()
    }
}

fn pointer(tokens: &[InstanceToken<'_>]) -> String {
    tokens.iter().fold(String::new(), |mut pointer, token| {
        pointer.push('/');
        match token {
            InstanceToken::Prop(name) => pointer.push_str(&escape(name)),
            InstanceToken::Item(index) => pointer.push_str(&index.to_string()),
        }
        pointer
    })
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Says how a name has to be written.
fn why_no_name(error: &ValidationError<'_, '_>) -> Option<String> {
    match &error.kind {
        ErrorKind::Pattern { want, .. } => Some(format!("a name here has to match `{want}`")),
        ErrorKind::Enum { want } => {
            Some(format!("the names here are {}", want.iter().map(displayed).collect::<Vec<_>>().join(", ")))
        }
        ErrorKind::Not => Some("this name is taken".to_owned()),
        _ => error.causes.iter().find_map(why_no_name),
    }
}

/// Deepest nesting of schema and values that is searched.
const SEARCH_DEPTH_MAX: usize = 64;
/// Parts of a schema that are searched, each for one value: alternatives of alternatives are many.
const SEARCH_STEPS_MAX: usize = 100_000;

/// Finds the values that a part of a schema is asked about.
struct Search<'s> {
    document: &'s Json,
    /// JSON pointer of the part.
    wanted: &'s str,
    /// A key that the value has.
    key: &'s str,
    found: Vec<String>,
    steps: usize,
}

impl Search<'_> {
    fn walk(&mut self, at: &str, value: &Json, pointer: &str, depth: usize) {
        self.steps += 1;
        let is_near = depth < SEARCH_DEPTH_MAX && self.steps < SEARCH_STEPS_MAX;
        let Some(schema) = self.document.pointer(at).filter(|_| is_near) else { return };
        if at == self.wanted && value.get(self.key).is_some() && !self.found.iter().any(|found| found == pointer) {
            self.found.push(pointer.to_owned());
        }
        if let Some(reference) = schema.get("$ref").and_then(Json::as_str).and_then(|text| text.strip_prefix('#')) {
            self.walk(reference, value, pointer, depth + 1);
        }
        for junctor in ["allOf", "anyOf", "oneOf"] {
            for index in 0..schema.get(junctor).and_then(Json::as_array).map_or(0, Vec::len) {
                self.walk(&format!("{at}/{junctor}/{index}"), value, pointer, depth + 1);
            }
        }
        match value {
            Json::Object(entries) => {
                let properties = schema.get("properties");
                for (name, value) in entries {
                    let name = escape(name);
                    let is_known =
                        properties.is_some_and(|properties| properties.pointer(&format!("/{name}")).is_some());
                    let below = if is_known { format!("properties/{name}") } else { "additionalProperties".to_owned() };
                    self.walk(&format!("{at}/{below}"), value, &format!("{pointer}/{name}"), depth + 1);
                }
            }
            Json::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    self.walk(&format!("{at}/items"), value, &format!("{pointer}/{index}"), depth + 1);
                }
            }
            _ => {}
        }
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
    // A backslash at the end loses its double to the closing quote, upstream.
    let escaped = crate::gotemplate::print::quote(text.as_bytes()).replace("\\\"", "\"").replace('\'', "\\'");
    format!("'{}'", &escaped[1..escaped.len() - 1])
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
        let names = [r"a\", r"a\b", "k'k", "q\"q", "t\tb"].map(quoted);
        assert_eq!(names, [r"'a\'", r"'a\\b'", r"'k\'k'", "'q\"q'", r"'t\tb'"]);
    }

    #[test]
    fn a_name_is_said_with_what_has_it_and_what_was_meant() {
        let schema = Schema::new(
            "s".to_owned(),
            br##"{"definitions":{"names":{"propertyNames":{"pattern":"^[a-z]+$"}}},
                "properties":{"ports":{"additionalProperties":{"$ref":"#/definitions/names"}},
                              "probe":{"additionalProperties":false,"properties":{"path":{}, "port":{}}}}}"##,
        );
        let values = serde_json::json!({"ports": {"a": {"b": 1}, "c": {"D": 1}}, "probe": {"pth": 1, "prot": 1}});
        let found = schema.violations(&values).expect("a schema");
        let found: Vec<(&str, Option<&str>, Option<&str>)> =
            found.iter().map(|v| (v.pointer.as_str(), v.key.as_deref(), v.hint.as_deref())).collect();
        assert_eq!(
            found,
            [
                ("/ports/c", Some("D"), Some("a name here has to match `^[a-z]+$`")),
                ("/probe", Some("prot"), Some("did you mean `port` for `prot`, `path` for `pth`?")),
            ]
        );
    }

    #[test]
    fn nothing_outside_is_read() {
        let schema = Schema::new("s".to_owned(), br#"{"$ref":"https://example.org/s.json"}"#);
        let error = schema.violations(&Json::Null).expect_err("refused");
        assert!(error.contains("https://example.org/s.json"), "{error}");
    }
}
