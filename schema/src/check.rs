//! Says what is wrong with an object by its schema: fields nobody knows, wrong types, missing fields, values that are not allowed.
//!
//! As strict as an API server that is asked to be (`fieldValidation=Strict`, server-side apply), before any default is written: what the
//! server fills in is not missed. Knows no kind by name, but for a few fields that are said to be required and are not. Invariant: an object
//! without problems is looked at without copying a part of it; a problem names its place by JSON pointer, and never a value, unless it is
//! one of the words that a list of allowed words was asked for.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use serde_json::{Map as Object, Value};

use super::rules::{Breach, same};
use super::{Items, List, Map, Scalar, Schema, Type, TypeId, Zero};

/// Deepest nesting that is looked at; servers refuse deeper ones.
const DEPTH_MAX: usize = 128;
/// Alternatives that are tried for one object: alternatives of alternatives are many. Those after them are taken to fit.
const TRIES_MAX: u32 = 50_000;
/// Longer words are not repeated in a message.
const WORD_MAX: usize = 40;

/// Fields that the API documents call required and that servers do without: they have a default, or the empty value is one.
/// Each was tried on a kube-apiserver 1.35, and is again by the tests of the generator (`tests/validation`).
const NOT_MISSED: [(&str, &str); 9] = [
    ("batch.v1.PodFailurePolicyOnPodConditionsPattern", "status"),
    ("core.v1.HTTPHeader", "value"),
    ("core.v1.LimitRangeSpec", "limits"),
    ("core.v1.Sysctl", "value"),
    ("networking.v1.NetworkPolicySpec", "podSelector"),
    ("rbac.v1.RoleRef", "apiGroup"),
    ("scheduling.v1.PriorityClass", "value"),
    ("apps.v1.StatefulSetSpec", "serviceName"),
    ("apps.v1.ControllerRevision", "revision"),
];

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// JSON pointer of the part that is wrong; of a missing field, of the object it is missing in.
    pub pointer: String,
    /// What is wrong with it.
    pub what: What,
}

/// What is wrong with a part of an object.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A field that the type does not have; those it has.
    Unknown {
        /// In order of the alphabet.
        known: Vec<String>,
    },
    /// A value of another type.
    WrongType {
        /// What it has to be; what it is, the object says.
        expected: Form,
    },
    /// A text or number that is not written as it has to be.
    Malformed {
        /// What it has to be: `base64`, `a quantity like 500m or 1Gi`.
        expected: &'static str,
    },
    /// A value that is none of those there may be.
    NotOneOf {
        /// Those there may be, as JSON has them, texts without quotes.
        allowed: Vec<String>,
        /// The value, where it is a short word.
        found: Option<String>,
    },
    /// A field that has to be there.
    Missing {
        /// Its name.
        name: String,
    },
    /// A list item that is the same as an earlier one, as far as these fields tell them apart; none where the whole item does.
    Duplicate {
        /// The fields.
        keys: Vec<String>,
        /// Index of the earlier one.
        first: usize,
    },
    /// A value that is not as it is asked for.
    Broken(Breach),
    /// Anything else, said as what must be: `must fit exactly one of ...`.
    Other(String),
}

/// What a value can be asked to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// See [`Scalar::String`]; also what is written in one in some way.
    Text,
    /// See [`Scalar::Int`].
    Whole,
    /// See [`Scalar::Number`].
    Number,
    /// See [`Scalar::Bool`].
    Truth,
    /// See [`Scalar::Quantity`].
    Quantity,
    /// See [`Scalar::IntOrString`].
    WholeOrText,
    /// See [`Type::List`].
    List,
    /// See [`Type::Map`].
    Mapping,
    /// See [`Type::Any`].
    Any,
}

/// With its article: `a string`, `a whole number`.
impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Form::Text => "a string",
            Form::Whole => "a whole number",
            Form::Number => "a number",
            Form::Truth => "true or false",
            Form::Quantity => "a quantity like 500m, 2 or 1Gi",
            Form::WholeOrText => "a whole number or a string",
            Form::List => "a list",
            Form::Mapping => "a mapping",
            Form::Any => "any value",
        })
    }
}

/// Whose rules for null and for defaults hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A kind of Kubernetes' own: null is as if it were not there.
    BuiltIn,
    /// A kind with a definition: null is a value that the definition has to allow.
    Custom,
}

/// Lists what is wrong with an object, in the order of its document; missing fields come after those that are there.
pub fn check(schema: &Schema, root: TypeId, object: &Value, origin: Origin) -> Vec<Problem> {
    let tries = Cell::new(0);
    let mut walk = Walk { schema, origin, tries: &tries, found: Vec::new() };
    walk.value(root, object, &Path::Root, Presence::Asked, 0);
    walk.found
}

/// Returns how people write a JSON pointer: `spec.ports[0].port`; keys with dots or slashes in quotes.
pub fn path(pointer: &str) -> String {
    let mut path = String::new();
    for step in pointer.split('/').skip(1) {
        let key = step.replace("~1", "/").replace("~0", "~");
        if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit()) {
            path += &format!("[{key}]");
        } else if key.contains(['.', '/']) {
            path += &format!("[\"{key}\"]");
        } else {
            path += if path.is_empty() { "" } else { "." };
            path += &key;
        }
    }
    path
}

/// Whether missing fields are missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Asked,
    /// Below the top's `status`: servers ignore what is applied there.
    Ignored,
}

/// Where the walk is; becomes text only where something is wrong.
enum Path<'p> {
    Root,
    Key(&'p Path<'p>, &'p str),
    Index(&'p Path<'p>, usize),
}

impl Path<'_> {
    fn pointer(&self) -> String {
        match self {
            Path::Root => String::new(),
            Path::Key(parent, key) => format!("{}/{}", parent.pointer(), key.replace('~', "~0").replace('/', "~1")),
            Path::Index(parent, index) => format!("{}/{index}", parent.pointer()),
        }
    }
}

struct Walk<'s> {
    schema: &'s Schema,
    origin: Origin,
    /// Alternatives that have been tried.
    tries: &'s Cell<u32>,
    found: Vec<Problem>,
}

impl Walk<'_> {
    fn say(&mut self, path: &Path<'_>, what: What) {
        self.found.push(Problem { pointer: path.pointer(), what });
    }

    fn value(&mut self, of: TypeId, value: &Value, path: &Path<'_>, presence: Presence, depth: usize) {
        if depth > DEPTH_MAX {
            return self.say(path, What::Other("is nested too deeply".to_owned()));
        }
        let schema = self.schema;
        let typed = schema.get(of);
        if value.is_null() {
            let is_allowed = schema.rules(of).is_some_and(|rules| rules.nullable) || *typed == Type::Any;
            if self.origin == Origin::Custom && !is_allowed {
                self.say(path, What::WrongType { expected: expected(typed) });
            }
            return;
        }
        match (typed, value) {
            (Type::Any, _) => {}
            (Type::Map(map), Value::Object(object)) => self.object((of, map), object, path, presence, depth),
            (Type::List(list), Value::Array(items)) => self.list(list, items, path, presence, depth),
            (Type::Scalar(scalar), value) => {
                if let Some(what) = misfit(*scalar, value) {
                    return self.say(path, what);
                }
            }
            (typed, _) => {
                return self.say(path, What::WrongType { expected: expected(typed) });
            }
        }
        self.rules(of, value, path, depth);
    }

    fn object(
        &mut self,
        (of, map): (TypeId, &Map),
        object: &Object<String, Value>,
        path: &Path<'_>,
        presence: Presence,
        depth: usize,
    ) {
        for (name, value) in object {
            let path = Path::Key(path, name);
            match map.type_of(name) {
                Some(of) => {
                    let is_status = depth == 0 && name == "status";
                    let presence = if is_status { Presence::Ignored } else { presence };
                    self.value(of, value, &path, presence, depth + 1);
                }
                None => self.say(&path, What::Unknown { known: map.fields.keys().cloned().collect() }),
            }
        }
        if presence == Presence::Ignored {
            return;
        }
        for (name, field) in &map.fields {
            let is_there = object.get(name).is_some_and(|value| !value.is_null() || self.origin == Origin::Custom);
            if is_there || (depth == 0 && name == "status") {
                continue;
            }
            if field.required {
                let is_defaulted = field.default.as_ref().is_some_and(|default| !default.is_null());
                if !is_defaulted && !self.is_not_missed(of, name) {
                    self.say(path, What::Missing { name: name.clone() });
                }
            } else if field.zero == Zero::Written
                && matches!(self.schema.get(field.of), Type::Map(map) if !map.fields.is_empty())
            {
                // The server writes an empty one, and misses what is required in it.
                self.value(field.of, &Value::Object(Object::new()), &Path::Key(path, name), presence, depth + 1);
            }
        }
    }

    fn is_not_missed(&self, of: TypeId, field: &str) -> bool {
        let name = self.schema.name_of(of).unwrap_or_default();
        self.origin == Origin::BuiltIn && NOT_MISSED.contains(&(name, field))
    }

    fn list(&mut self, list: &List, items: &[Value], path: &Path<'_>, presence: Presence, depth: usize) {
        for (index, item) in items.iter().enumerate() {
            self.value(list.item, item, &Path::Index(path, index), presence, depth + 1);
        }
        if items.len() < 2 || presence == Presence::Ignored {
            return;
        }
        let no_keys = Vec::new();
        let keys = match &list.items {
            Items::Atomic => return,
            Items::Set => &no_keys,
            Items::Keyed(keys) => keys,
        };
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let name = if keys.is_empty() {
                item.to_string()
            } else {
                let parts: Option<Vec<String>> =
                    keys.iter().map(|key| item.get(&key.name).or(key.default.as_ref()).map(Value::to_string)).collect();
                // One without its key has been reported.
                let Some(parts) = parts else { continue };
                parts.join(",")
            };
            if let Some(first) = seen.get(&name) {
                let keys = keys.iter().map(|key| key.name.clone()).collect();
                self.say(&Path::Index(path, index), What::Duplicate { keys, first: *first });
            } else {
                seen.insert(name, index);
            }
        }
    }

    fn rules(&mut self, of: TypeId, value: &Value, path: &Path<'_>, depth: usize) {
        let Some(rules) = self.schema.rules(of) else { return };
        // An empty text is as if it were not there to a built-in type.
        let is_absent = self.origin == Origin::BuiltIn && value.as_str() == Some("");
        if !rules.one_of.is_empty() && !is_absent && !rules.one_of.iter().any(|allowed| same(allowed, value)) {
            let word = value.as_str().filter(|word| word.len() <= WORD_MAX && !word.contains(char::is_whitespace));
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let allowed = rules.one_of.iter().map(text).filter(|allowed| !allowed.is_empty()).collect();
            self.say(path, What::NotOneOf { allowed, found: word.map(str::to_owned) });
        }
        for broken in rules.broken(value) {
            self.say(path, What::Broken(broken));
        }
        for inner in &rules.all_of {
            self.value(*inner, value, path, Presence::Asked, depth + 1);
        }
        let fits = |of: &TypeId| self.fits(*of, value, depth);
        if !rules.any_of.is_empty() && !rules.any_of.iter().any(fits) {
            self.explain(
                &rules.any_of,
                "must fit at least one of the alternatives in the definition",
                value,
                path,
                depth,
            );
        }
        let fitting = rules.exactly_one_of.iter().filter(|of| self.fits(**of, value, depth)).count();
        if !rules.exactly_one_of.is_empty() && fitting != 1 {
            let what = "must fit exactly one of the alternatives in the definition";
            if fitting == 0 {
                self.explain(&rules.exactly_one_of, what, value, path, depth);
            } else {
                self.say(path, What::Other(format!("{what}, not {fitting}")));
            }
        }
        if rules.not.is_some_and(|of| self.fits(of, value, depth)) {
            self.say(path, What::Other("must not be what the definition excludes".to_owned()));
        }
    }

    fn fits(&self, of: TypeId, value: &Value, depth: usize) -> bool {
        self.alone(of, value, depth).is_empty()
    }

    fn alone(&self, of: TypeId, value: &Value, depth: usize) -> Vec<Problem> {
        let mut walk = Walk { found: Vec::new(), ..*self };
        self.tries.set(self.tries.get() + 1);
        if self.tries.get() > TRIES_MAX {
            return Vec::new();
        }
        walk.value(of, value, &Path::Root, Presence::Asked, depth + 1);
        walk.found
    }

    /// Says that no alternative fits, and which fields each of them misses.
    fn explain(&mut self, alternatives: &[TypeId], what: &str, value: &Value, path: &Path<'_>, depth: usize) {
        let mut missing: Vec<String> = Vec::new();
        for problem in alternatives.iter().flat_map(|of| self.alone(*of, value, depth)) {
            if let What::Missing { name } = problem.what
                && !missing.contains(&name)
            {
                missing.push(name);
            }
        }
        let fields = if missing.is_empty() { String::new() } else { format!(" (fields: {})", missing.join(", ")) };
        self.say(path, What::Other(format!("{what}{fields}")));
    }
}

/// Says why a leaf of this kind cannot hold a value.
fn misfit(scalar: Scalar, value: &Value) -> Option<What> {
    let wrong = || Some(What::WrongType { expected: form(scalar) });
    let malformed = |fits: bool, expected| (!fits).then_some(What::Malformed { expected });
    match (scalar, value) {
        (Scalar::String, Value::String(_)) | (Scalar::Number, Value::Number(_)) | (Scalar::Bool, Value::Bool(_)) => {
            None
        }
        (Scalar::Bytes, Value::String(text)) => {
            malformed(is_base64(text), "base64 (`b64enc` in a template; `stringData` of a Secret takes plain text)")
        }
        (Scalar::Time | Scalar::MicroTime, Value::String(text)) => {
            malformed(is_time(text), "a time like 2030-12-31T23:59:59Z")
        }
        (Scalar::Quantity, Value::String(text)) => {
            malformed(quantity(text).is_some(), "a quantity like 500m, 2 or 1Gi")
        }
        (Scalar::Quantity, Value::Number(_)) => None,
        (Scalar::Int, Value::Number(number)) => match whole(number) {
            true => None,
            false => wrong(),
        },
        (Scalar::Int32, Value::Number(number)) if whole(number) => {
            let fits = number.as_i64().is_some_and(|number| i32::try_from(number).is_ok());
            malformed(fits || number.is_f64(), "a whole number between -2147483648 and 2147483647")
        }
        (Scalar::IntOrString, Value::String(_)) => None,
        (Scalar::IntOrString, Value::Number(number)) if whole(number) => None,
        _ => wrong(),
    }
}

fn whole(number: &serde_json::Number) -> bool {
    number.is_i64() || number.is_u64()
}

fn is_base64(text: &str) -> bool {
    let strict = base64::engine::general_purpose::STANDARD;
    if text.contains(['\n', '\r']) {
        return strict.decode(text.replace(['\n', '\r'], "")).is_ok();
    }
    strict.decode(text).is_ok()
}

fn is_time(text: &str) -> bool {
    text.as_bytes().get(10) == Some(&b'T') && text.parse::<jiff::Timestamp>().is_ok()
}

/// Reads a quantity such as `1Gi` or `500m`; nothing where it is none.
pub fn quantity(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, unit) = unsigned.split_at(end);
    if !number.bytes().any(|byte| byte.is_ascii_digit()) || number.matches('.').count() > 1 {
        return None;
    }
    let factor = match unit {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1_099_511_627_776.0,
        "Pi" => 1_125_899_906_842_624.0,
        "Ei" => 1_152_921_504_606_846_976.0,
        exponent => 10_f64.powi(exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
    Some(sign * number.parse::<f64>().ok()? * factor)
}

fn expected(of: &Type) -> Form {
    match of {
        Type::Scalar(scalar) => form(*scalar),
        Type::List(_) => Form::List,
        Type::Map(_) => Form::Mapping,
        Type::Any => Form::Any,
    }
}

fn form(scalar: Scalar) -> Form {
    match scalar {
        Scalar::String | Scalar::Bytes | Scalar::Time | Scalar::MicroTime => Form::Text,
        Scalar::Int | Scalar::Int32 => Form::Whole,
        Scalar::Number => Form::Number,
        Scalar::Bool => Form::Truth,
        Scalar::Quantity => Form::Quantity,
        Scalar::IntOrString => Form::WholeOrText,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Minor, custom, table};

    fn told(problems: &[Problem]) -> Vec<String> {
        problems.iter().map(|problem| format!("{} {:?}", problem.pointer, problem.what)).collect()
    }

    #[test]
    fn an_object_without_its_spec_misses_what_is_required_in_it() {
        let shape = table::shape(Minor(35), "apps.v1.Deployment");
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "status": {}});
        let found = check(&shape.schema, shape.root, &object, Origin::BuiltIn);
        let missing = ["selector", "template"].map(|name| format!("/spec Missing {{ name: {name:?} }}"));
        assert_eq!(told(&found), missing);
    }

    #[test]
    fn a_definition_asks_for_more_than_types() {
        let open_api = json!({"type": "object", "required": ["spec"], "properties": {"spec": {"type": "object",
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
        "properties": {
            "a": {"type": "string", "pattern": "^x", "maxLength": 2},
            "b": {"type": "integer", "minimum": 1, "exclusiveMinimum": true},
            "c": {"type": "string", "enum": ["One", "Two"]},
            "d": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "e": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            "f": {"type": "string", "nullable": true},
        }}}});
        let (schema, root) = custom(Some(&open_api));
        let check = |spec: Value| told(&check(&schema, root, &json!({"spec": spec}), Origin::Custom));
        assert_eq!(check(json!({"a": "xy", "d": {"any": [1]}, "e": 1, "f": null})), Vec::<String>::new());
        assert_eq!(
            check(json!({"a": "yyy"})),
            ["/spec/a Broken(TooMany { most: 2, found: 3, of: \"characters\" })", "/spec/a Broken(Pattern(\"^x\"))"]
        );
        assert_eq!(
            check(json!({"b": 1, "c": null})),
            ["/spec/b Broken(LeastExclusive(1.0))", "/spec/c WrongType { expected: Text }"]
        );
        assert_eq!(
            check(json!({"a": "x", "b": 2, "c": "two"}))[0],
            "/spec/c NotOneOf { allowed: [\"One\", \"Two\"], found: Some(\"two\") }"
        );
        assert!(
            check(json!({"a": "x", "b": 2}))[0].contains("exactly one of the alternatives in the definition, not 2")
        );
        assert!(check(json!({}))[0].contains("(fields: a, b)"));
        assert!(check(json!({"a": "x", "g": 1}))[0].starts_with("/spec/g Unknown"));
    }

    #[test]
    fn alternatives_of_alternatives_end() {
        // Each level is tried twice: whether it fits, and why not.
        let open_api = (0..40).fold(json!({"required": ["a"]}), |inner, _| json!({"anyOf": [inner]}));
        let (schema, root) = custom(Some(&json!({"type": "object", "properties": {"spec": open_api}})));
        assert!(check(&schema, root, &json!({"spec": {}}), Origin::Custom).len() < 2);
    }

    #[test]
    fn leaves_are_held_to_how_they_are_written() {
        for (text, fits) in
            [("1Gi", true), (".5", true), ("1e3", true), ("-1", true), ("1GB", false), ("", false), ("1 Gi", false)]
        {
            assert_eq!(quantity(text).is_some(), fits, "{text}");
        }
        for (smaller, larger) in [("500m", "1"), ("1G", "1Gi"), ("1023Mi", "1Gi"), ("1e3", "1.1k")] {
            assert!(quantity(smaller) < quantity(larger), "{smaller} {larger}");
        }
        assert!(is_base64("YQ==") && is_base64("YQ\n==") && !is_base64("secret!"));
        assert!(is_time("2030-01-01T00:00:00Z") && !is_time("2030-01-01") && !is_time("2030-01-01 00:00:00Z"));
        assert!(misfit(Scalar::Int32, &json!(3_000_000_000_u64)).is_some());
        assert_eq!(misfit(Scalar::Int, &json!(3_000_000_000_u64)), None);
    }
}
