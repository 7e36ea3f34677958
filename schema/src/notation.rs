//! Reads the notation of `data/types.txt`; its grammar is at the head of that file.
//!
//! Knows no Kubernetes type by name. Invariant: every name that is referred to is declared, or reading fails.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Field, Items, Key, List, Map, PatchStrategy, Rules, Scalar, Schema, Type, TypeId, Zero};

/// One declared type.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'t> {
    /// Its name.
    pub(super) name: &'t str,
    atomic: bool,
    /// The fields, not yet looked at.
    fields: &'t str,
}

impl<'t> Line<'t> {
    /// Reads no further than the name.
    pub(super) fn new(line: &'t str) -> Line<'t> {
        let (head, fields) = line.split_once(' ').unwrap_or((line, ""));
        let (name, atomic) = head.strip_suffix('~').map_or((head, false), |name| (name, true));
        Line { name, atomic, fields }
    }
}

/// Reads the types `roots` and all they refer to; `lines` are sorted by name. The error names the type and what is wrong with it.
pub(super) fn read(lines: &[Line<'_>], roots: &[&str]) -> Result<Schema, String> {
    let mut reader =
        Reader { schema: Schema::default(), lines, open: Vec::new(), copies: BTreeMap::new(), inline: BTreeMap::new() };
    for root in roots {
        reader.named(root)?;
    }
    while let Some((id, line)) = reader.open.pop() {
        reader.declare(id, line).map_err(|error| format!("{}: {error}", line.name))?;
    }
    reader.fill_keys();
    reader.fill_copies();
    Ok(reader.schema)
}

struct Reader<'t> {
    schema: Schema,
    lines: &'t [Line<'t>],
    /// Types that were referred to and are still to be read.
    open: Vec<(TypeId, Line<'t>)>,
    /// Named type, and whether atomic -> a copy of it that is so, filled once every type is known.
    copies: BTreeMap<(TypeId, bool), TypeId>,
    inline: BTreeMap<&'t str, TypeId>,
}

impl<'t> Reader<'t> {
    fn named(&mut self, name: &str) -> Result<TypeId, String> {
        if let Some(id) = self.schema.named(name) {
            return Ok(id);
        }
        let at = self.lines.binary_search_by(|line| line.name.cmp(name)).map_err(|_| format!("no type {name:?}"))?;
        let id = self.schema.add(Type::Any);
        self.schema.names.insert(name.to_owned(), id);
        self.open.push((id, self.lines[at]));
        Ok(id)
    }

    fn declare(&mut self, id: TypeId, line: Line<'t>) -> Result<(), String> {
        let mut map = Map { atomic: line.atomic, ..Map::default() };
        for word in line.fields.split(' ').filter(|word| !word.is_empty()) {
            let (field, rest) = word.split_once(':').ok_or_else(|| format!("{word:?} is no field"))?;
            let (field, required) = field.strip_suffix('!').map_or((field, false), |field| (field, true));
            map.fields.insert(field.to_owned(), Field { required, ..self.field(rest)? });
        }
        self.schema.types[id.0 as usize] = Type::Map(map);
        Ok(())
    }

    fn field(&mut self, text: &'t str) -> Result<Field, String> {
        let (text, strategies) = text.split_once('%').unwrap_or((text, ""));
        let (text, default) = match text.split_once('=') {
            Some((text, json)) => (text, Some(serde_json::from_str::<Value>(json).map_err(|error| error.to_string())?)),
            None => (text, None),
        };
        let (text, zero) = match text.as_bytes().last() {
            Some(b'?') => (&text[..text.len() - 1], Zero::Dropped),
            Some(b'+') => (&text[..text.len() - 1], Zero::Written),
            _ => (text, Zero::Kept),
        };
        let mut patch = PatchStrategy::default();
        for strategy in strategies.split('%').filter(|strategy| !strategy.is_empty()) {
            match strategy {
                "retain" => patch.retain = true,
                "merge" => patch.merge = Some(None),
                keyed => {
                    let key = keyed.strip_prefix("merge(").and_then(|key| key.strip_suffix(')'));
                    patch.merge = Some(Some(key.ok_or_else(|| format!("{keyed:?} is no strategy"))?.to_owned()));
                }
            }
        }
        Ok(Field { of: self.of(text)?, required: false, zero, default, patch })
    }

    fn of(&mut self, text: &'t str) -> Result<TypeId, String> {
        if let Some(id) = self.inline.get(text) {
            return Ok(*id);
        }
        let of = match text {
            "string" => Type::Scalar(Scalar::String),
            "int" => Type::Scalar(Scalar::Int),
            "int32" => Type::Scalar(Scalar::Int32),
            "number" => Type::Scalar(Scalar::Number),
            "bool" => Type::Scalar(Scalar::Bool),
            "bytes" => Type::Scalar(Scalar::Bytes),
            "time" => Type::Scalar(Scalar::Time),
            "microtime" => Type::Scalar(Scalar::MicroTime),
            "quantity" => Type::Scalar(Scalar::Quantity),
            "intstr" => Type::Scalar(Scalar::IntOrString),
            "any" => Type::Any,
            _ => return self.compound(text),
        };
        let id = self.schema.add(of);
        self.inline.insert(text, id);
        Ok(id)
    }

    fn compound(&mut self, text: &'t str) -> Result<TypeId, String> {
        if let Some(values) = text.strip_prefix("string(").and_then(|rest| rest.strip_suffix(')')) {
            let id = self.schema.add(Type::Scalar(Scalar::String));
            let rules = Rules::one_of(values.split('|').map(Value::from).collect());
            self.schema.rules.insert(id, rules);
            self.inline.insert(text, id);
            return Ok(id);
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (item, kind) = rest.rsplit_once(']').ok_or_else(|| format!("{text:?} is not closed"))?;
            let item = self.of(item)?;
            let items = match kind {
                "" => Items::Atomic,
                "set" => Items::Set,
                keyed => {
                    let keys = keyed.strip_prefix("map(").and_then(|keys| keys.strip_suffix(')'));
                    let keys = keys.ok_or_else(|| format!("{keyed:?} is no kind of list"))?;
                    Items::Keyed(keys.split(',').map(|name| Key { name: name.to_owned(), default: None }).collect())
                }
            };
            return Ok(self.schema.add(Type::List(List { item, items })));
        }
        let (plain, atomic) = match (text.strip_suffix('~'), text.strip_suffix('^')) {
            (Some(plain), _) => (plain, Some(true)),
            (None, Some(plain)) => (plain, Some(false)),
            (None, None) => (text, None),
        };
        if let Some(values) = plain.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            let values = Some(self.of(values)?);
            return Ok(self.schema.add(Type::Map(Map { values, atomic: atomic == Some(true), ..Map::default() })));
        }
        let named = self.named(plain)?;
        let Some(atomic) = atomic else { return Ok(named) };
        if let Some(copy) = self.copies.get(&(named, atomic)) {
            return Ok(*copy);
        }
        let copy = self.schema.add(Type::Any);
        self.copies.insert((named, atomic), copy);
        Ok(copy)
    }

    /// Gives every list key the default that its field declares.
    fn fill_keys(&mut self) {
        for index in 0..self.schema.types.len() {
            let Type::List(List { item, items: Items::Keyed(keys) }) = &self.schema.types[index] else { continue };
            let Type::Map(item) = self.schema.get(*item) else { continue };
            let defaults: Vec<Option<Value>> =
                keys.iter().map(|key| item.fields.get(&key.name).and_then(|field| field.default.clone())).collect();
            if let Type::List(List { items: Items::Keyed(keys), .. }) = &mut self.schema.types[index] {
                for (key, default) in keys.iter_mut().zip(defaults) {
                    key.default = default;
                }
            }
        }
    }

    fn fill_copies(&mut self) {
        for ((named, atomic), copy) in &self.copies {
            let mut of = self.schema.get(*named).clone();
            if let Type::Map(map) = &mut of {
                map.atomic = *atomic;
            }
            self.schema.types[copy.0 as usize] = of;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undeclared_name_is_named_with_the_type_that_refers_to_it() {
        let read = |text: &str| read(&[Line::new(text)], &["A"]).map(|_| ());
        assert_eq!(read("A b:C"), Err("A: no type \"C\"".to_owned()));
        assert_eq!(read("A b"), Err("A: \"b\" is no field".to_owned()));
    }
}
