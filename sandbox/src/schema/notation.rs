//! Reads the notation of `schema/builtin.txt`; its grammar is at the head of that file.
//!
//! Knows no Kubernetes type by name. Invariant: every name that is referred to is declared, or reading fails.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Field, Items, Key, List, Map, PatchStrategy, Scalar, Schema, Type, TypeId, Zero};

/// Reads a whole table. The error names the line (from 1) and what is wrong with it.
pub(super) fn read(text: &str) -> Result<Schema, String> {
    let mut reader = Reader { schema: Schema::default(), copies: BTreeMap::new(), inline: BTreeMap::new() };
    let lines: Vec<(usize, &str)> =
        text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).collect();
    for (number, line) in &lines {
        let name = line.split(' ').next().unwrap_or_default().trim_end_matches('~');
        let id = reader.schema.add(Type::Any);
        if reader.schema.names.insert(name.to_owned(), id).is_some() {
            return Err(format!("line {}: {name} is declared twice", number + 1));
        }
    }
    for (number, line) in &lines {
        reader.declare(line).map_err(|error| format!("line {}: {error}", number + 1))?;
    }
    reader.fill_keys();
    reader.fill_copies();
    Ok(reader.schema)
}

struct Reader {
    schema: Schema,
    /// Named type, and whether atomic -> a copy of it that is so, filled once every type is known.
    copies: BTreeMap<(TypeId, bool), TypeId>,
    inline: BTreeMap<String, TypeId>,
}

impl Reader {
    fn declare(&mut self, line: &str) -> Result<(), String> {
        let mut words = line.split(' ');
        let head = words.next().unwrap_or_default();
        let (name, atomic) = head.strip_suffix('~').map_or((head, false), |name| (name, true));
        let id = self.schema.names[name];
        if line[head.len()..].trim() == "= any" {
            return Ok(());
        }
        let mut map = Map { atomic, ..Map::default() };
        for word in words {
            let (field, rest) = word.split_once(':').ok_or_else(|| format!("{word:?} is no field"))?;
            let (field, required) = field.strip_suffix('!').map_or((field, false), |field| (field, true));
            map.fields.insert(field.to_owned(), Field { required, ..self.field(rest)? });
        }
        self.schema.types[id.0 as usize] = Type::Map(map);
        Ok(())
    }

    fn field(&mut self, text: &str) -> Result<Field, String> {
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

    fn of(&mut self, text: &str) -> Result<TypeId, String> {
        if let Some(id) = self.inline.get(text) {
            return Ok(*id);
        }
        let of = match text {
            "string" => Type::Scalar(Scalar::String),
            "int" => Type::Scalar(Scalar::Int),
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
        self.inline.insert(text.to_owned(), id);
        Ok(id)
    }

    fn compound(&mut self, text: &str) -> Result<TypeId, String> {
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
        let named = self.schema.named(plain).ok_or_else(|| format!("no type {plain:?}"))?;
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
    fn an_undeclared_name_is_named_with_its_line() {
        assert_eq!(read("# head\nA b:C").map(|_| ()), Err("line 2: no type \"C\"".to_owned()));
    }
}
