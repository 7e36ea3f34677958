//! Chart.yaml: what a chart says of itself.
//!
//! Read as `encoding/json` fills a struct: names match without regard to case, numbers become text where text is wanted, unknown names
//! are ignored. Source: Helm v4.2.3 `pkg/chart/v2/{metadata,dependency}.go`, `pkg/chart/common.go`, sigs.k8s.io/yaml v1.6.0.

use std::collections::BTreeMap;

use serde_json::{Map as JsonMap, Value as Json};

use crate::gotemplate::print::is_print;
use crate::sprig::{go_number_text, semver};
use crate::value::{List, Map, STRING_MAP, Str, Value};

/// The contents of a Chart.yaml (for `apiVersion: v1` with its requirements.yaml).
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) home: String,
    pub(super) sources: Vec<String>,
    pub(super) version: String,
    pub(super) description: String,
    pub(super) keywords: Vec<String>,
    pub(super) maintainers: Vec<Maintainer>,
    pub(super) icon: String,
    pub(super) api_version: String,
    pub(super) condition: String,
    pub(super) tags: String,
    pub(super) app_version: String,
    pub(super) deprecated: bool,
    /// Absent and empty print differently.
    pub(super) annotations: Option<BTreeMap<String, String>>,
    pub(super) kube_version: String,
    /// Absent and empty differ: without the list no dependency is processed at all.
    pub(super) dependencies: Option<Vec<Dependency>>,
    pub(super) chart_type: String,
}

/// One of the people named in Chart.yaml.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Maintainer {
    pub(super) name: String,
    pub(super) email: String,
    pub(super) url: String,
}

/// A chart this chart depends on.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) repository: String,
    pub(super) condition: String,
    pub(super) tags: Vec<String>,
    pub(super) enabled: bool,
    pub(super) import_values: Vec<Json>,
    pub(super) alias: String,
}

/// Why a file cannot fill the struct: the text of Go's error, and the key that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Misfit {
    /// Go's words.
    pub(super) message: String,
    /// JSON pointer of the value.
    pub(super) pointer: String,
}

impl Metadata {
    /// Fills in what a document says; what it does not mention stays.
    ///
    /// # Errors
    /// The first value of the wrong type.
    pub(super) fn fill(&mut self, document: &Json) -> Result<(), Misfit> {
        let Some(fields) = object(document, "", "chart.Metadata")? else { return Ok(()) };
        for (key, value) in fields {
            let at = Field { structure: "Metadata", path: format!("/{}", pointer_part(key)) };
            match key.to_ascii_lowercase().as_str() {
                "name" => at.named("name").text(value, &mut self.name)?,
                "home" => at.named("home").text(value, &mut self.home)?,
                "sources" => at.named("sources").texts(value, &mut self.sources)?,
                "version" => at.named("version").text(value, &mut self.version)?,
                "description" => at.named("description").text(value, &mut self.description)?,
                "keywords" => at.named("keywords").texts(value, &mut self.keywords)?,
                "icon" => at.named("icon").text(value, &mut self.icon)?,
                "apiversion" => at.named("apiVersion").text(value, &mut self.api_version)?,
                "condition" => at.named("condition").text(value, &mut self.condition)?,
                "tags" => at.named("tags").text(value, &mut self.tags)?,
                "appversion" => at.named("appVersion").text(value, &mut self.app_version)?,
                "kubeversion" => at.named("kubeVersion").text(value, &mut self.kube_version)?,
                "type" => at.named("type").text(value, &mut self.chart_type)?,
                "deprecated" => at.named("deprecated").boolean(value, &mut self.deprecated)?,
                "annotations" => at.named("annotations").annotations(value, &mut self.annotations)?,
                "maintainers" => {
                    let mut maintainers = Vec::new();
                    for (n, item) in at.named("maintainers").items(value)?.iter().enumerate() {
                        maintainers.push(maintainer(item, &format!("{}/{n}", at.path))?);
                    }
                    self.maintainers = maintainers;
                }
                "dependencies" => {
                    if value.is_null() {
                        self.dependencies = None;
                        continue;
                    }
                    let mut dependencies = Vec::new();
                    for (n, item) in at.named("dependencies").items(value)?.iter().enumerate() {
                        dependencies.push(dependency(item, &format!("{}/{n}", at.path))?);
                    }
                    self.dependencies = Some(dependencies);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Cleans the texts and checks them, as Helm does when it has loaded a chart.
    ///
    /// # Errors
    /// Helm's message, and the JSON pointer of what it is about.
    pub(super) fn validate(&mut self) -> Result<(), Misfit> {
        for text in [
            &mut self.name,
            &mut self.description,
            &mut self.home,
            &mut self.icon,
            &mut self.condition,
            &mut self.tags,
            &mut self.app_version,
            &mut self.kube_version,
        ] {
            sanitize(text);
        }
        self.sources.iter_mut().chain(&mut self.keywords).for_each(sanitize);
        let wrong = |pointer: &str, message: String| {
            Err(Misfit { message: format!("validation: {message}"), pointer: pointer.to_owned() })
        };
        if self.api_version.is_empty() {
            return wrong("/apiVersion", "chart.metadata.apiVersion is required".to_owned());
        }
        match self.name.as_str() {
            "" => return wrong("/name", "chart.metadata.name is required".to_owned()),
            "." | ".." => return wrong("/name", format!("chart.metadata.name {:?} is not allowed", self.name)),
            name if name.contains('/') => {
                return wrong("/name", format!("chart.metadata.name {:?} is invalid", self.name));
            }
            _ => {}
        }
        if self.version.is_empty() {
            return wrong("/version", "chart.metadata.version is required".to_owned());
        }
        if semver::Version::parse(&self.version).is_err() {
            return wrong("/version", format!("chart.metadata.version {:?} is invalid", self.version));
        }
        if !matches!(self.chart_type.as_str(), "" | "application" | "library") {
            return wrong("/type", "chart.metadata.type must be application or library".to_owned());
        }
        for maintainer in &mut self.maintainers {
            [&mut maintainer.name, &mut maintainer.email, &mut maintainer.url].into_iter().for_each(sanitize);
        }
        self.validate_dependencies()
    }

    fn validate_dependencies(&mut self) -> Result<(), Misfit> {
        let mut seen = std::collections::BTreeSet::new();
        for (n, dependency) in self.dependencies.iter_mut().flatten().enumerate() {
            let Dependency { name, version, repository, condition, .. } = dependency;
            [name, version, repository, condition].into_iter().for_each(sanitize);
            dependency.tags.iter_mut().for_each(sanitize);
            let wrong = |message: String| {
                Err(Misfit { message: format!("validation: {message}"), pointer: format!("/dependencies/{n}") })
            };
            let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if !dependency.alias.chars().all(is_plain) {
                return wrong(format!("dependency {:?} has disallowed characters in the alias", dependency.name));
            }
            let key = if dependency.alias.is_empty() { &dependency.name } else { &dependency.alias };
            if !seen.insert(key.clone()) {
                return wrong(format!("more than one dependency with name or alias {key:?}"));
            }
        }
        Ok(())
    }

    /// Reports whether only the `_` files of the chart count.
    pub(super) fn is_library(&self) -> bool {
        self.chart_type.eq_ignore_ascii_case("library")
    }

    /// Returns what templates see as `.Chart`: the Go names of the fields.
    pub(super) fn to_template(&self, is_root: bool) -> Map {
        let texts = |texts: &[String]| Value::List(List::new(texts.iter().map(|t| Value::from(t.as_str())).collect()));
        let maintainers = self.maintainers.iter().map(Maintainer::to_template).collect();
        let dependencies = self.dependencies.iter().flatten().map(Dependency::to_template).collect();
        let annotations = match &self.annotations {
            Some(annotations) => {
                let entries = annotations.iter().map(|(k, v)| (Str::from(k), Value::from(v.as_str()))).collect();
                Value::Map(Map::typed(&STRING_MAP, entries))
            }
            None => Value::Map(Map::nil(&STRING_MAP)),
        };
        let text = |text: &String| Value::from(text.as_str());
        // In byte order of the names, which spares sorting them for every render.
        [
            ("APIVersion", text(&self.api_version)),
            ("Annotations", annotations),
            ("AppVersion", text(&self.app_version)),
            ("Condition", text(&self.condition)),
            ("Dependencies", Value::list(dependencies)),
            ("Deprecated", Value::Bool(self.deprecated)),
            ("Description", text(&self.description)),
            ("Home", text(&self.home)),
            ("Icon", text(&self.icon)),
            ("IsRoot", Value::Bool(is_root)),
            ("Keywords", texts(&self.keywords)),
            ("KubeVersion", text(&self.kube_version)),
            ("Maintainers", Value::list(maintainers)),
            ("Name", text(&self.name)),
            ("Sources", texts(&self.sources)),
            ("Tags", text(&self.tags)),
            ("Type", text(&self.chart_type)),
            ("Version", text(&self.version)),
        ]
        .into_iter()
        .map(|(key, value)| (Str::constant(key), value))
        .collect()
    }
}

impl Maintainer {
    fn to_template(&self) -> Value {
        Value::record([
            ("Name", Value::from(self.name.as_str())),
            ("Email", Value::from(self.email.as_str())),
            ("URL", Value::from(self.url.as_str())),
        ])
    }
}

impl Dependency {
    fn to_template(&self) -> Value {
        let import_values = self.import_values.iter().map(import_value).collect();
        Value::record([
            ("Name", Value::from(self.name.as_str())),
            ("Version", Value::from(self.version.as_str())),
            ("Repository", Value::from(self.repository.as_str())),
            ("Condition", Value::from(self.condition.as_str())),
            ("Tags", Value::list(self.tags.iter().map(|tag| Value::from(tag.as_str())).collect())),
            ("Enabled", Value::Bool(self.enabled)),
            ("ImportValues", Value::list(import_values)),
            ("Alias", Value::from(self.alias.as_str())),
        ])
    }
}

/// Processed entries are `map[string]string`.
fn import_value(entry: &Json) -> Value {
    let Some(fields) = entry.as_object() else { return crate::value::from_json(entry) };
    let texts = fields.iter().map(|(key, value)| {
        (Str::from(key), Value::from(value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
    });
    Value::Map(Map::typed(&STRING_MAP, texts.collect()))
}

fn maintainer(item: &Json, path: &str) -> Result<Maintainer, Misfit> {
    let mut maintainer = Maintainer::default();
    let Some(fields) = object(item, path, "chart.Maintainer")? else {
        return Err(empty_node(path, "maintainers must not contain empty or null nodes"));
    };
    for (key, value) in fields {
        let at = Field { structure: "Maintainer", path: format!("{path}/{}", pointer_part(key)) };
        match key.to_ascii_lowercase().as_str() {
            "name" => at.named("maintainers.name").text(value, &mut maintainer.name)?,
            "email" => at.named("maintainers.email").text(value, &mut maintainer.email)?,
            "url" => at.named("maintainers.url").text(value, &mut maintainer.url)?,
            _ => {}
        }
    }
    Ok(maintainer)
}

fn dependency(item: &Json, path: &str) -> Result<Dependency, Misfit> {
    let mut dependency = Dependency::default();
    let Some(fields) = object(item, path, "chart.Dependency")? else {
        return Err(empty_node(path, "dependencies must not contain empty or null nodes"));
    };
    for (key, value) in fields {
        let at = Field { structure: "Dependency", path: format!("{path}/{}", pointer_part(key)) };
        match key.to_ascii_lowercase().as_str() {
            "name" => at.named("dependencies.name").text(value, &mut dependency.name)?,
            "version" => at.named("dependencies.version").text(value, &mut dependency.version)?,
            "repository" => at.named("dependencies.repository").text(value, &mut dependency.repository)?,
            "condition" => at.named("dependencies.condition").text(value, &mut dependency.condition)?,
            "tags" => at.named("dependencies.tags").texts(value, &mut dependency.tags)?,
            "enabled" => at.named("dependencies.enabled").boolean(value, &mut dependency.enabled)?,
            "import-values" => dependency.import_values = at.named("dependencies.import-values").items(value)?.to_vec(),
            "alias" => at.named("dependencies.alias").text(value, &mut dependency.alias)?,
            _ => {}
        }
    }
    Ok(dependency)
}

fn empty_node(path: &str, message: &str) -> Misfit {
    Misfit { message: format!("validation: {message}"), pointer: path.to_owned() }
}

fn object<'j>(value: &'j Json, path: &str, structure: &str) -> Result<Option<&'j JsonMap<String, Json>>, Misfit> {
    match value {
        Json::Null => Ok(None),
        Json::Object(fields) => Ok(Some(fields)),
        other => Err(Misfit {
            message: format!("json: cannot unmarshal {} into Go value of type {structure}", json_kind(other)),
            pointer: path.to_owned(),
        }),
    }
}

/// A field to be filled, for messages.
struct Field {
    structure: &'static str,
    path: String,
}

struct Named<'f> {
    field: &'f Field,
    name: &'static str,
}

impl Field {
    fn named(&self, name: &'static str) -> Named<'_> {
        Named { field: self, name }
    }
}

impl Named<'_> {
    fn misfit(&self, value: &Json, go_type: &str) -> Misfit {
        let (structure, name) = (self.field.structure, self.name);
        let kind = json_kind(value);
        Misfit {
            message: format!("json: cannot unmarshal {kind} into Go struct field {structure}.{name} of type {go_type}"),
            pointer: self.field.path.clone(),
        }
    }

    fn text(&self, value: &Json, into: &mut String) -> Result<(), Misfit> {
        if !value.is_null() {
            *into = as_text(value).ok_or_else(|| self.misfit(value, "string"))?;
        }
        Ok(())
    }

    fn boolean(&self, value: &Json, into: &mut bool) -> Result<(), Misfit> {
        match value {
            Json::Bool(b) => *into = *b,
            Json::Null => {}
            other => return Err(self.misfit(other, "bool")),
        }
        Ok(())
    }

    fn items<'j>(&self, value: &'j Json) -> Result<&'j [Json], Misfit> {
        match value {
            Json::Array(items) => Ok(items),
            Json::Null => Ok(&[]),
            other => Err(self.misfit(other, "[]string")),
        }
    }

    fn texts(&self, value: &Json, into: &mut Vec<String>) -> Result<(), Misfit> {
        let mut texts = Vec::new();
        for item in self.items(value)? {
            texts.push(as_text(item).ok_or_else(|| self.misfit(item, "string"))?);
        }
        *into = texts;
        Ok(())
    }

    fn annotations(&self, value: &Json, into: &mut Option<BTreeMap<String, String>>) -> Result<(), Misfit> {
        let fields = match value {
            Json::Null => {
                *into = None;
                return Ok(());
            }
            Json::Object(fields) => fields,
            other => return Err(self.misfit(other, "map[string]string")),
        };
        let annotations = into.get_or_insert_default();
        for (key, value) in fields {
            annotations.insert(key.clone(), as_text(value).ok_or_else(|| self.misfit(value, "string"))?);
        }
        Ok(())
    }
}

/// Text where Go wants text: numbers and booleans are written out on the way, null leaves it empty.
pub(super) fn as_text(value: &Json) -> Option<String> {
    match value {
        Json::Null => Some(String::new()),
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(go_number_text(number)),
        Json::Bool(b) => Some(b.to_string()),
        Json::Array(_) | Json::Object(_) => None,
    }
}

fn json_kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "bool",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

/// Escapes a key for a JSON pointer.
fn pointer_part(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Makes every kind of blank a space and drops what does not print.
fn sanitize(text: &mut String) {
    let clean = |c: char| if c.is_whitespace() { Some(' ') } else { is_print(c).then_some(c) };
    if text.chars().any(|c| clean(c) != Some(c)) {
        *text = text.chars().filter_map(clean).collect();
    }
}
