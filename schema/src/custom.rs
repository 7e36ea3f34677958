//! Reads the shape of a custom kind from the `openAPIV3Schema` of its definition.
//!
//! Takes types, list and map annotations, defaults, and what is asked of values; rules in CEL (`x-kubernetes-validations`) and formats are
//! not looked at. Invariant: whatever the definition says, the result is a schema whose root is an object with `apiVersion`, `kind` and
//! `metadata`.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use super::rules::Range;
use super::{Field, Items, Key, List, Map, NEWEST, PatchStrategy, Rules, Scalar, Schema, Type, TypeId, Zero, table};

/// Deepest nesting that is followed; below it everything is [`Type::Any`].
const DEPTH_MAX: usize = 64;

/// Returns the schema of a custom kind and its root. Without a definition everything is allowed.
pub fn custom(open_api: Option<&Value>) -> (Schema, TypeId) {
    let mut schema = Schema::default();
    let mut root = match open_api {
        Some(open_api) => object(&mut schema, open_api, 0),
        None => anything(&mut schema),
    };
    embed(&mut schema, &mut root);
    let root = schema.add(Type::Map(root));
    if let Some(open_api) = open_api {
        add_rules(&mut schema, root, open_api, 0);
    }
    (schema, root)
}

fn anything(schema: &mut Schema) -> Map {
    let values = Some(schema.add(Type::Any));
    Map { values, ..Map::default() }
}

/// Adds the fields every object has.
fn embed(schema: &mut Schema, map: &mut Map) {
    let meta = table::shape(NEWEST, "meta.v1.ObjectMeta");
    let meta = schema.import(&meta.schema, meta.root, &mut BTreeMap::new());
    let string = schema.add(Type::Scalar(Scalar::String));
    map.fields.insert("metadata".to_owned(), Field::plain(meta));
    map.fields.insert("apiVersion".to_owned(), Field::plain(string));
    map.fields.insert("kind".to_owned(), Field::plain(string));
}

fn flag(of: &Value, name: &str) -> bool {
    of[name].as_bool().unwrap_or(false)
}

fn read(schema: &mut Schema, of: &Value, depth: usize) -> TypeId {
    if depth > DEPTH_MAX {
        return schema.add(Type::Any);
    }
    let id = read_type(schema, of, depth);
    add_rules(schema, id, of, depth);
    id
}

fn read_type(schema: &mut Schema, of: &Value, depth: usize) -> TypeId {
    let scalar = if flag(of, "x-kubernetes-int-or-string") {
        Some(Scalar::IntOrString)
    } else {
        match of["type"].as_str() {
            Some("string") => Some(Scalar::String),
            Some("integer") => Some(Scalar::Int),
            Some("number") => Some(Scalar::Number),
            Some("boolean") => Some(Scalar::Bool),
            _ => None,
        }
    };
    let of = match (scalar, of["type"].as_str()) {
        (Some(scalar), _) => Type::Scalar(scalar),
        (None, Some("array")) => {
            let item = read(schema, &of["items"], depth + 1);
            let items = match of["x-kubernetes-list-type"].as_str() {
                Some("set") => Items::Set,
                Some("map") => Items::Keyed(keys(of)),
                _ => Items::Atomic,
            };
            Type::List(List { item, items })
        }
        (None, Some("object")) => Type::Map(object(schema, of, depth)),
        (None, _) => Type::Any,
    };
    schema.add(of)
}

/// Adds what `of` asks of the values of a type.
fn add_rules(schema: &mut Schema, id: TypeId, of: &Value, depth: usize) {
    let Some(of) = of.as_object() else { return };
    let number = |name: &str| of.get(name).and_then(Value::as_f64);
    let count = |names: [&str; 3]| names.iter().find_map(|name| of.get(*name).and_then(Value::as_u64));
    let is_true = |name: &str| of.get(name).and_then(Value::as_bool) == Some(true);
    let list = |name: &str| of.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut alternatives =
        |name: &str| -> Vec<TypeId> { list(name).iter().map(|inner| alternative(schema, inner, depth + 1)).collect() };
    let (all_of, any_of, exactly_one_of) = (alternatives("allOf"), alternatives("anyOf"), alternatives("oneOf"));
    let not = of.get("not").map(|inner| alternative(schema, inner, depth + 1));
    let rules = Rules {
        one_of: list("enum").to_vec(),
        nullable: is_true("nullable"),
        minimum: number("minimum").map(|limit| (limit, is_true("exclusiveMinimum"))),
        maximum: number("maximum").map(|limit| (limit, is_true("exclusiveMaximum"))),
        multiple_of: number("multipleOf"),
        length: Range {
            least: count(["minLength", "minItems", "minProperties"]),
            most: count(["maxLength", "maxItems", "maxProperties"]),
        },
        pattern: of.get("pattern").and_then(Value::as_str).and_then(|pattern| Regex::new(pattern).ok()),
        all_of,
        any_of,
        exactly_one_of,
        not,
    };
    if !rules.is_empty() {
        schema.rules.insert(id, rules);
    }
}

/// Reads what stands below `allOf` and the like: it asks something of values, but declares no field.
fn alternative(schema: &mut Schema, of: &Value, depth: usize) -> TypeId {
    if depth > DEPTH_MAX {
        return schema.add(Type::Any);
    }
    let any = schema.add(Type::Any);
    let required: Vec<&str> = of["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut map = Map { values: Some(any), ..Map::default() };
    for (name, property) in of["properties"].as_object().into_iter().flatten() {
        map.fields.insert(name.clone(), Field::plain(alternative(schema, property, depth + 1)));
    }
    for name in required {
        map.fields.entry(name.to_owned()).or_insert_with(|| Field::plain(any)).required = true;
    }
    let id = match of["type"].as_str() {
        None if map.fields.is_empty() && !of["items"].is_object() => schema.add(Type::Any),
        Some("array") => array(schema, of, depth),
        None if of["items"].is_object() => array(schema, of, depth),
        None | Some("object") => schema.add(Type::Map(map)),
        Some(_) => read_type(schema, of, depth),
    };
    add_rules(schema, id, of, depth);
    id
}

fn array(schema: &mut Schema, of: &Value, depth: usize) -> TypeId {
    let item = alternative(schema, &of["items"], depth + 1);
    schema.add(Type::List(List { item, items: Items::Atomic }))
}

fn keys(of: &Value) -> Vec<Key> {
    let names = of["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let default = |name: &str| of["items"]["properties"][name].get("default").cloned();
    names.map(|name| Key { name: name.to_owned(), default: default(name) }).collect()
}

fn object(schema: &mut Schema, of: &Value, depth: usize) -> Map {
    let required: Vec<&str> = of["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut map = Map { atomic: of["x-kubernetes-map-type"].as_str() == Some("atomic"), ..Map::default() };
    for (name, property) in of["properties"].as_object().into_iter().flatten() {
        let field = Field {
            of: read(schema, property, depth + 1),
            required: required.contains(&name.as_str()),
            zero: Zero::Kept,
            default: property.get("default").cloned(),
            patch: PatchStrategy::default(),
        };
        map.fields.insert(name.clone(), field);
    }
    map.values = match of.get("additionalProperties") {
        Some(values @ Value::Object(_)) => Some(read(schema, values, depth + 1)),
        Some(Value::Bool(true)) => Some(schema.add(Type::Any)),
        _ => None,
    };
    if flag(of, "x-kubernetes-preserve-unknown-fields") && map.values.is_none() {
        map.values = Some(schema.add(Type::Any));
    }
    if flag(of, "x-kubernetes-embedded-resource") {
        embed(schema, &mut map);
    }
    map
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn list_annotations_and_defaults_are_read() {
        let open_api = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "rules": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                      "items": {"type": "object", "properties": {"name": {"type": "string", "default": "main"}}}}}}}});
        let (schema, root) = custom(Some(&open_api));
        let Type::Map(root) = schema.get(root) else { panic!("an object") };
        assert!(root.fields.contains_key("metadata"));
        let Type::Map(spec) = schema.get(root.fields["spec"].of) else { panic!("an object") };
        let Type::List(rules) = schema.get(spec.fields["rules"].of) else { panic!("a list") };
        assert_eq!(rules.items, Items::Keyed(vec![Key { name: "name".into(), default: Some("main".into()) }]));
    }
}
