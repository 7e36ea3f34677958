//! The notation of `--set` and its sisters: `a.b=1,list[0].c=x,d={1,2}`.
//!
//! Source: Helm v4.2.3 `pkg/strvals/{parser,literal_parser}.go`, `pkg/cli/values/options.go`.

use serde_json::Value as Json;

use crate::gotemplate::print::{quote, sprintf};
use crate::value::{List, Map, Value};

/// Highest index of a list; upstream's limit.
pub const INDEX_MAX: i64 = 65536;
/// Keys inside keys at most; upstream's limit.
pub const KEY_DEPTH_MAX: usize = 30;

/// What the text after `=` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// `--set`: booleans, null and integers are recognised, everything else is text.
    Typed,
    /// `--set-string`: everything is text.
    Text,
    /// `--set-json`: a JSON value.
    Json,
    /// `--set-literal`: everything to the end is text, commas and backslashes too.
    Literal,
}

/// Why a line cannot be read, in upstream's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// Reads a line into single values, in order: a path as [`Setting::Value`](super::Setting) takes it, and its value.
///
/// # Errors
/// What is wrong with the line.
pub fn parse(line: &str, notation: Notation) -> Result<Vec<(String, Json)>, Error> {
    let mut settings = Vec::new();
    let source = Source::Notation(notation, &mut settings);
    Parser { rest: line.chars().collect(), at: 0, start: 0, source }.line(&Map::new())?;
    Ok(settings)
}

/// Reads a line and sets what it says in `values`, over what is there.
///
/// # Errors
/// What is wrong with the line, or with what it is to be set into.
pub(super) fn apply(line: &str, notation: Notation, values: &Map) -> Result<(), Error> {
    let source = Source::Notation(notation, &mut Vec::new());
    Parser { rest: line.chars().collect(), at: 0, start: 0, source }.line(values)
}

/// Sets one value at a path in the same notation; `path` has no `=`.
///
/// # Errors
/// What is wrong with the path.
pub(super) fn set_path(path: &str, value: &Value, values: &Map) -> Result<(), Error> {
    let mut chars: Vec<char> = path.chars().collect();
    chars.push('=');
    Parser { rest: chars, at: 0, start: 0, source: Source::Given(value) }.line(values)
}

struct Parser<'v> {
    rest: Vec<char>,
    at: usize,
    /// Where the path that is being read begins.
    start: usize,
    source: Source<'v>,
}

/// Where values come from.
enum Source<'v> {
    /// The line itself; what was read is noted down.
    Notation(Notation, &'v mut Vec<(String, Json)>),
    Given(&'v Value),
}

/// Why parsing stopped.
enum Stop {
    /// The line is at its end; nothing is wrong.
    End,
    Wrong(String),
}

fn wrong<T>(message: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Wrong(message.into()))
}

impl Parser<'_> {
    fn line(&mut self, values: &Map) -> Result<(), Error> {
        loop {
            match self.key(values, 0) {
                Ok(()) => {}
                Err(Stop::End) => return Ok(()),
                Err(Stop::Wrong(message)) => return Err(Error(message)),
            }
        }
    }

    fn is_literal(&self) -> bool {
        matches!(self.source, Source::Notation(Notation::Literal, _))
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.get(self.at).copied();
        self.at += usize::from(c.is_some());
        c
    }

    /// Reads up to one of the stops, which is taken and returned; without one, the rest of the line.
    fn until(&mut self, stops: &[char]) -> (String, Option<char>) {
        let mut text = String::new();
        while let Some(c) = self.next() {
            if stops.contains(&c) {
                return (text, Some(c));
            }
            if c == '\\' && !self.is_literal() {
                match self.next() {
                    Some(escaped) => text.push(escaped),
                    None => return (text, None),
                }
            } else {
                text.push(c);
            }
        }
        (text, None)
    }

    fn key(&mut self, values: &Map, depth: usize) -> Result<(), Stop> {
        let stops: &[char] = if self.is_literal() { &['=', '[', '.'] } else { &['=', '[', ',', '.'] };
        let (key, stop) = self.until(stops);
        match stop {
            None if key.is_empty() => Err(Stop::End),
            None => wrong(format!("key {} has no value", quote(key.as_bytes()))),
            Some('[') => {
                let index = self.index()?;
                let list = match values.get(&key) {
                    None => Vec::new(),
                    Some(Value::List(list)) => list.to_vec(),
                    Some(other) => return wrong(unfit(&other, "[]interface {}")),
                };
                let (list, result) = self.item(list, index, depth);
                insert(values, &key, Value::List(List::new(list)));
                result
            }
            Some('=') => {
                let (value, result) = self.value()?;
                insert(values, &key, value);
                result
            }
            Some(',') => {
                insert(values, &key, Value::from(""));
                wrong(format!("key {} has no value (cannot end with ,)", quote(key.as_bytes())))
            }
            Some(_) => self.inner_key(values, &key, depth + 1),
        }
    }

    /// A key after a point.
    fn inner_key(&mut self, values: &Map, key: &str, depth: usize) -> Result<(), Stop> {
        if depth > KEY_DEPTH_MAX {
            return wrong(format!(
                "value name nested level is greater than maximum supported nested level of {KEY_DEPTH_MAX}"
            ));
        }
        let inner = match values.get(key) {
            None => Map::new(),
            Some(Value::Map(map)) => map,
            Some(other) => return wrong(unfit(&other, "map[string]interface {}")),
        };
        let result = self.key(&inner, depth);
        if result.is_ok() && inner.is_empty() {
            return wrong(format!("key map {} has no value", quote(key.as_bytes())));
        }
        if !inner.is_empty() {
            insert(values, key, Value::Map(inner));
        }
        result
    }

    fn index(&mut self) -> Result<i64, Stop> {
        let (text, stop) = self.until(&[']']);
        if stop.is_none() {
            // Upstream takes the end of the line inside an index for the end of the line.
            return Err(Stop::End);
        }
        match text.parse::<i64>() {
            Ok(index) => Ok(index),
            Err(_) => {
                let quoted = quote(text.as_bytes());
                wrong(format!("error parsing index: strconv.Atoi: parsing {quoted}: invalid syntax"))
            }
        }
    }

    /// What follows an index; the list comes back in any case, because it is set in any case.
    fn item(&mut self, mut list: Vec<Value>, index: i64, depth: usize) -> (Vec<Value>, Result<(), Stop>) {
        let result = self.item_value(&mut list, index, depth);
        (list, result)
    }

    fn item_value(&mut self, list: &mut Vec<Value>, index: i64, depth: usize) -> Result<(), Stop> {
        if index < 0 {
            return wrong(format!("negative {index} index not allowed"));
        }
        let (text, stop) = self.until(&['[', '.', '=']);
        if !text.is_empty() {
            // Upstream prints a list of characters.
            let runes = Value::list(text.chars().map(|c| Value::Int(i64::from(u32::from(c)))).collect());
            let runes = sprintf("%q", &[runes]).unwrap_or_default();
            return wrong(format!("unexpected data at end of array index: {runes}"));
        }
        let old = usize::try_from(index).ok().and_then(|index| list.get(index)).cloned();
        match stop {
            None => Err(Stop::End),
            Some('=') => {
                // Unlike after a key, the end of the line is no reason to leave.
                let (value, _) = self.value()?;
                set_index(list, index, value)
            }
            Some('[') => {
                let next = self.index()?;
                let inner = match old {
                    Some(Value::List(inner)) => inner.to_vec(),
                    Some(Value::Nil) | None => Vec::new(),
                    Some(other) => return wrong(unfit(&other, "[]interface {}")),
                };
                let (inner, result) = self.item(inner, next, depth);
                result?;
                set_index(list, index, Value::list(inner))
            }
            Some(_) => {
                let inner = match old {
                    Some(Value::Map(map)) => map,
                    _ => Map::new(),
                };
                let is_there = usize::try_from(index).is_ok_and(|index| index < list.len());
                let result = self.key(&inner, depth);
                // Where the line ends early, only an element that was there before changes.
                if result.is_ok() || is_there {
                    set_index(list, index, Value::Map(inner))?;
                }
                result
            }
        }
    }

    /// Reads a value, and says whether the line goes on after it.
    fn value(&mut self) -> Result<(Value, Result<(), Stop>), Stop> {
        // The sign of equality was read last.
        let path = self.path();
        let read = match &self.source {
            Source::Given(value) => {
                self.at = self.rest.len();
                return Ok(((*value).clone(), Ok(())));
            }
            Source::Notation(notation, _) => self.value_text(*notation)?,
        };
        if let Source::Notation(_, settings) = &mut self.source {
            settings.push((path, plain(&read.0)));
        }
        self.start = self.at;
        Ok(read)
    }

    /// The path that ends before the last character, with the escapes that all notations but the literal one know.
    fn path(&self) -> String {
        let path = &self.rest[self.start..self.at.saturating_sub(1).max(self.start)];
        let is_literal = self.is_literal();
        let escaped =
            path.iter().flat_map(|&c| (is_literal && matches!(c, '\\' | ',')).then_some('\\').into_iter().chain([c]));
        escaped.collect()
    }

    fn value_text(&mut self, notation: Notation) -> Result<(Value, Result<(), Stop>), Stop> {
        match (notation, self.rest.get(self.at)) {
            (Notation::Json, _) => self.json(),
            (Notation::Literal, _) => {
                let text: String = self.rest[self.at..].iter().collect();
                self.at = self.rest.len();
                Ok((Value::from(text), Ok(())))
            }
            (_, None) => Ok((Value::from(""), Err(Stop::End))),
            (_, Some('{')) => {
                self.at += 1;
                self.list(notation).map(|list| (list, Ok(())))
            }
            (_, Some(_)) => Ok((scalar(&self.until(&[',']).0, notation), Ok(()))),
        }
    }

    fn list(&mut self, notation: Notation) -> Result<Value, Stop> {
        let mut items = Vec::new();
        loop {
            let (text, stop) = self.until(&[',', '}']);
            match stop {
                None => return wrong("list must terminate with '}'"),
                Some(',') => items.push(scalar(&text, notation)),
                Some(_) => {
                    if self.rest.get(self.at) == Some(&',') {
                        self.at += 1;
                    }
                    items.push(scalar(&text, notation));
                    return Ok(Value::list(items));
                }
            }
        }
    }

    fn json(&mut self) -> Result<(Value, Result<(), Stop>), Stop> {
        if self.skip_blank() {
            return Ok((Value::Nil, Ok(())));
        }
        let text: String = self.rest[self.at..].iter().collect();
        let mut stream = serde_json::Deserializer::from_str(&text).into_iter::<serde_json::Value>();
        let value = match stream.next() {
            Some(Ok(value)) => value,
            Some(Err(error)) => return wrong(error.to_string()),
            None => return wrong("EOF"),
        };
        self.at += text[..stream.byte_offset()].chars().count();
        self.skip_blank();
        Ok((crate::value::from_json(&value), Ok(())))
    }

    /// Skips blanks and one comma; true where nothing else comes before the comma or the end.
    fn skip_blank(&mut self) -> bool {
        while let Some(c) = self.next() {
            if c == ',' {
                return true;
            }
            if !c.is_whitespace() {
                self.at -= 1;
                return false;
            }
        }
        true
    }
}

fn scalar(text: &str, notation: Notation) -> Value {
    if notation != Notation::Typed {
        return Value::from(text);
    }
    match text.to_lowercase().as_str() {
        "true" => return Value::Bool(true),
        "false" => return Value::Bool(false),
        "null" => return Value::Nil,
        "0" => return Value::Int64(0),
        _ => {}
    }
    // Leading zeros keep a text a text.
    match text.parse::<i64>() {
        Ok(number) if !text.starts_with('0') => Value::Int64(number),
        _ => Value::from(text),
    }
}

/// Values read from a line are plain data: integers, floats, text, lists and objects.
fn plain(value: &Value) -> Json {
    match value {
        Value::Float(number) => serde_json::Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::Int64(number) => Json::from(*number),
        Value::Bool(flag) => Json::Bool(*flag),
        Value::String(text) => Json::String(text.to_str_lossy().into_owned()),
        Value::List(list) => list.to_vec().iter().map(plain).collect(),
        Value::Map(map) => {
            Json::Object(map.entries().iter().map(|(key, item)| (key.to_string(), plain(item))).collect())
        }
        _ => Json::Null,
    }
}

/// An empty key sets nothing.
fn insert(values: &Map, key: &str, value: Value) {
    if !key.is_empty() {
        values.insert(key, value);
    }
}

fn set_index(list: &mut Vec<Value>, index: i64, value: Value) -> Result<(), Stop> {
    let Some(at) = usize::try_from(index).ok().filter(|_| index <= INDEX_MAX) else {
        return wrong(format!("index of {index} is greater than maximum supported index of {INDEX_MAX}"));
    };
    if list.len() <= at {
        list.resize(at + 1, Value::Nil);
    }
    list[at] = value;
    Ok(())
}

fn unfit(value: &Value, wanted: &str) -> String {
    let found = if matches!(value, Value::Nil) { "nil" } else { value.type_name() };
    format!("unable to parse key: interface conversion: interface {{}} is {found}, not {wanted}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gotemplate::print::to_text;

    fn parsed(line: &str, notation: Notation) -> String {
        let values = Map::new();
        let settings = match parse(line, notation) {
            Ok(settings) => settings,
            Err(error) => return format!("error: {error}"),
        };
        for (path, value) in &settings {
            set_path(path, &super::super::values::from_json(value), &values).expect("it was read before");
        }
        to_text(&Value::Map(values)).expect("small").to_string()
    }

    #[test]
    fn lines_as_helm_reads_them() {
        let cases = [
            ("a=1,b=x,c=true,d=null,e=,f=007,g=0", "map[a:1 b:x c:true d:<nil> e: f:007 g:0]"),
            ("a.b.c=1,a.d=2", "map[a:map[b:map[c:1] d:2]]"),
            ("l={a,1,}", "map[l:[a 1 ]]"),
            ("l[0].a=1,l[2]=x", "map[l:[map[a:1] <nil> x]]"),
            ("l[0]=", "map[l:[]]"),
            ("l[0][1]=", "map[l:[[<nil> ]]]"),
            ("l[0][1]=,a=1", "map[a:1 l:[[<nil> ]]]"),
            ("l[0][1]=x", "map[l:[[<nil> x]]]"),
            (r"a\.b=1\,2", "map[a.b:1,2]"),
            ("a", "error: key \"a\" has no value"),
            ("a=1,b", "error: key \"b\" has no value"),
            ("a=1,", "map[a:1]"),
            ("l={a", "error: list must terminate with '}'"),
            ("l[-1]=1", "error: negative -1 index not allowed"),
            ("=1", "map[]"),
        ];
        for (line, expected) in cases {
            assert_eq!(parsed(line, Notation::Typed), expected, "{line}");
        }
        assert_eq!(parsed("a=1,b=true", Notation::Text), "map[a:1 b:true]");
        assert_eq!(parsed(r"a.b=1,x\y", Notation::Literal), r"map[a:map[b:1,x\y]]");
        assert_eq!(parsed(r#"a={"b":[1,2.5]},c=null"#, Notation::Json), "map[a:map[b:[1 2.5]] c:<nil>]");
    }

    #[test]
    fn a_path_takes_any_value() {
        let values = Map::new();
        set_path("image.tag", &Value::from("1.0,x"), &values).expect("a path");
        set_path("l[1]", &Value::Int64(3), &values).expect("a path");
        assert_eq!(to_text(&Value::Map(values)).expect("small"), "map[image:map[tag:1.0,x] l:[<nil> 3]]");
    }
}
