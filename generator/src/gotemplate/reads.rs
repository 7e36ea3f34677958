//! Which parts of their data templates read, without executing them.
//!
//! Follows the dot and the variables through `with`, `range`, `include` and the functions that hand their arguments on, and notes every
//! field chain at the place where it stands. What cannot be followed - a computed key, what a text given to `tpl` says, a map that is put
//! together in a way unknown here - reads more than can be told: a computed key is [`Part::Any`], and a value that leaves as a whole is
//! [`Read::whole`]. Both branches of a condition count. Knows nothing of Helm. Invariant: it ends, whatever the templates: a template is
//! looked into once for each dot it can have, within [`VISITS_MAX`] in all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ast::{Command, List, Node, Operand, Pipe, Term};
use super::set::{Source, TemplateSet};
use crate::value::Str;

/// Templates looked into, each time with another dot.
const VISITS_MAX: usize = 20_000;
/// Values that one expression may have, as far as they are told apart.
const ALTERNATIVES_MAX: usize = 16;
/// Longest chain that is followed: deeper, a template that hands itself a part of its dot would never end.
const PARTS_MAX: usize = 32;

/// One step into the data.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A field.
    Key(String),
    /// Any element of a list or map.
    Any,
}

/// A place that reads something.
#[derive(Debug, Clone)]
pub struct Read {
    /// The text it stands in.
    pub source: Arc<Source>,
    /// Line, from 1.
    pub line: usize,
    /// What it reads, from the data on.
    pub path: Vec<Part>,
    /// Whether what is there goes on as a whole, with everything in it; otherwise only whether it is there, or something in it.
    pub whole: bool,
}

/// Returns what the templates of these names read, sorted by text and line, each path once a line.
pub fn reads<'n>(set: &TemplateSet, names: impl IntoIterator<Item = &'n str>) -> Vec<Read> {
    let mut walk = Walk { set, seen: BTreeSet::new(), found: BTreeMap::new() };
    for name in names {
        walk.template(&Str::from(name), &known(Known::Data(Vec::new())));
    }
    let found = walk.found.into_iter();
    found.map(|((_, line, path), (source, whole))| Read { source, line, path, whole }).collect()
}

/// What an expression can be, as far as it is known where that comes from; nothing where it is not.
type Value = BTreeSet<Known>;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    /// A part of the data.
    Data(Vec<Part>),
    /// A map put together in a template.
    Dict(BTreeMap<String, Value>),
    /// A list put together in a template, as charts do to hand several things to a template.
    List(Vec<Value>),
}

fn known(one: Known) -> Value {
    BTreeSet::from([one])
}

fn union(values: impl IntoIterator<Item = Value>) -> Value {
    values.into_iter().flatten().take(ALTERNATIVES_MAX).collect()
}

fn field(value: &Value, part: &Part) -> Value {
    let below = |one: &Known| match (one, part) {
        (Known::Data(path), _) if path.len() < PARTS_MAX => {
            known(Known::Data(path.iter().chain([part]).cloned().collect()))
        }
        (Known::Dict(entries), Part::Key(key)) => entries.get(key).cloned().unwrap_or_default(),
        (Known::Dict(entries), Part::Any) => union(entries.values().cloned()),
        (Known::List(elements), Part::Key(at)) => {
            at.parse().ok().and_then(|at: usize| elements.get(at)).cloned().unwrap_or_default()
        }
        (Known::List(elements), Part::Any) => union(elements.iter().cloned()),
        (Known::Data(_), _) => Value::new(),
    };
    union(value.iter().map(below))
}

/// Returns what the first element can be.
fn first(value: &Value) -> Value {
    let first = |one: &Known| match one {
        Known::List(elements) => elements.first().cloned().unwrap_or_default(),
        other => field(&known(other.clone()), &Part::Any),
    };
    union(value.iter().map(first))
}

/// Returns the list without its first element.
fn rest(value: &Value) -> Value {
    let rest = |one: &Known| match one {
        Known::List(elements) => Known::List(elements.iter().skip(1).cloned().collect()),
        other => other.clone(),
    };
    value.iter().map(rest).collect()
}

/// Key of a read: text, line, path.
type Place = (Str, usize, Vec<Part>);

struct Walk<'s> {
    set: &'s TemplateSet,
    seen: BTreeSet<(Str, Value)>,
    found: BTreeMap<Place, (Arc<Source>, bool)>,
}

/// What names mean where the walk is.
struct Scope {
    source: Arc<Source>,
    dot: Value,
    root: Value,
    variables: Vec<(Str, Value)>,
}

impl Walk<'_> {
    fn template(&mut self, name: &Str, dot: &Value) {
        let Some(template) = self.set.get(name).cloned() else { return };
        if self.seen.len() >= VISITS_MAX || !self.seen.insert((name.clone(), dot.clone())) {
            return;
        }
        let mut scope =
            Scope { source: Arc::clone(&template.source), dot: dot.clone(), root: dot.clone(), variables: Vec::new() };
        self.list(template.body(), &mut scope);
    }

    fn note(&mut self, scope: &Scope, at: usize, value: &Value, whole: bool) {
        for one in value {
            match one {
                // The data itself is handed on everywhere; only what looks into it says something.
                Known::Data(path) if path.is_empty() && !whole => {}
                Known::Data(path) => {
                    let key = (scope.source.name.clone(), line(&scope.source, at), path.clone());
                    let entry = self.found.entry(key).or_insert_with(|| (Arc::clone(&scope.source), false));
                    entry.1 |= whole;
                }
                Known::Dict(entries) if whole => entries.values().for_each(|value| self.note(scope, at, value, true)),
                Known::List(elements) if whole => {
                    elements.iter().for_each(|value| self.note(scope, at, value, true));
                }
                Known::Dict(_) | Known::List(_) => {}
            }
        }
    }

    fn list(&mut self, list: &List, scope: &mut Scope) {
        let declared = scope.variables.len();
        for node in list {
            self.node(node, scope);
        }
        scope.variables.truncate(declared);
    }

    fn node(&mut self, node: &Node, scope: &mut Scope) {
        match node {
            Node::Text { .. } | Node::Break | Node::Continue => {}
            Node::Action { pipe, .. } => {
                let value = self.pipe(pipe, scope);
                if pipe.vars.is_empty() {
                    self.note(scope, pipe.pos, &value, true);
                }
            }
            Node::Branch(branch) => {
                // What an arm declares is known in the arms after it, too.
                let declared = scope.variables.len();
                for arm in &branch.arms {
                    let value = self.pipe(&arm.pipe, scope);
                    let outer = scope.dot.clone();
                    if branch.with {
                        scope.dot = value;
                    }
                    self.list(&arm.body, scope);
                    scope.dot = outer;
                }
                branch.otherwise.iter().for_each(|list| self.list(list, scope));
                scope.variables.truncate(declared);
            }
            Node::Range { pipe, body, otherwise, .. } => {
                let declared = scope.variables.len();
                let value = self.commands(pipe, scope);
                let element = field(&value, &Part::Any);
                self.note(scope, pipe.pos, &element, false);
                if let Some((last, before)) = pipe.vars.split_last() {
                    scope.variables.extend(before.iter().map(|name| (name.clone(), Value::new())));
                    scope.variables.push((last.clone(), element.clone()));
                }
                let outer = std::mem::replace(&mut scope.dot, element);
                self.list(body, scope);
                scope.dot = outer;
                scope.variables.truncate(declared);
                otherwise.iter().for_each(|list| self.list(list, scope));
            }
            Node::Template { name, pipe, .. } => {
                let dot = pipe.as_ref().map(|pipe| self.pipe(pipe, scope)).unwrap_or_default();
                self.template(name, &dot);
            }
        }
    }

    fn pipe(&mut self, pipe: &Pipe, scope: &mut Scope) -> Value {
        let value = self.commands(pipe, scope);
        for name in &pipe.vars {
            match scope.variables.iter_mut().rev().find(|(known, _)| pipe.assigns && known == name) {
                // Whether the assignment is reached is not known: both values count from here on.
                Some((_, old)) => *old = union([std::mem::take(old), value.clone()]),
                None => scope.variables.push((name.clone(), value.clone())),
            }
        }
        value
    }

    fn commands(&mut self, pipe: &Pipe, scope: &mut Scope) -> Value {
        let mut piped = None;
        for command in &pipe.commands {
            piped = Some(self.command(command, piped, scope));
        }
        piped.unwrap_or_default()
    }

    fn command(&mut self, command: &Command, piped: Option<Value>, scope: &mut Scope) -> Value {
        let (first, rest) = command.args.split_first().expect("a command has an operand");
        let Term::Function { function, .. } = &first.term else {
            let value = self.operand(first, scope);
            // A method may do anything with its arguments.
            for argument in rest {
                let argument_value = self.operand(argument, scope);
                self.note(scope, argument.pos, &argument_value, true);
            }
            return if rest.is_empty() { value } else { Value::new() };
        };
        let mut arguments: Vec<Argument> = rest
            .iter()
            .map(|operand| Argument { at: operand.pos, text: literal(operand), value: self.operand(operand, scope) })
            .collect();
        arguments.extend(piped.map(|value| Argument { at: command.pos, text: None, value }));
        self.call(function.name, &arguments, scope)
    }

    fn operand(&mut self, operand: &Operand, scope: &mut Scope) -> Value {
        let (base, fields): (Value, &[Str]) = match &operand.term {
            Term::Dot => (scope.dot.clone(), &[]),
            Term::Field(fields) => (scope.dot.clone(), fields),
            Term::Variable { name, fields } => (self.variable(name, scope), fields),
            Term::Pipe(pipe) => return self.pipe(pipe, scope),
            Term::Chain { of, fields } => (self.operand(of, scope), fields),
            Term::Function { function, .. } => return self.call(function.name, &[], scope),
            Term::Bool(_) | Term::Nil | Term::Number(_) | Term::String { .. } => return Value::new(),
        };
        let value = fields.iter().fold(base, |value, name| field(&value, &Part::Key(name.to_str_lossy().into_owned())));
        if !fields.is_empty() {
            self.note(scope, operand.pos, &value, false);
        }
        value
    }

    fn variable(&self, name: &Str, scope: &Scope) -> Value {
        if name.as_bytes() == b"$" {
            return scope.root.clone();
        }
        let declared = scope.variables.iter().rev().find(|(known, _)| known == name);
        declared.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    fn call(&mut self, function: &str, arguments: &[Argument], scope: &Scope) -> Value {
        let value = |at: usize| arguments.get(at).map(|argument| argument.value.clone()).unwrap_or_default();
        let key = |argument: &Argument| argument.text.clone().map_or(Part::Any, Part::Key);
        match function {
            "include" => {
                match arguments.first().and_then(|name| name.text.as_deref()) {
                    Some(name) => self.template(&Str::from(name), &value(1)),
                    // Which template that is, is not known here.
                    None => self.note(scope, arguments.get(1).map_or(0, |dot| dot.at), &value(1), true),
                }
                Value::new()
            }
            // Hand on what they are given.
            "default" | "required" | "coalesce" | "ternary" | "or" | "and" | "deepCopy" | "mustDeepCopy" | "merge"
            | "mustMerge" | "mergeOverwrite" | "mustMergeOverwrite" | "omit" | "pick" | "uniq" | "mustUniq"
            | "compact" | "mustCompact" | "reverse" | "mustReverse" | "sortAlpha" | "initial" | "without"
            | "concat" | "append" | "mustAppend" | "prepend" | "mustPrepend" | "slice" | "mustSlice" => {
                union(arguments.iter().map(|argument| argument.value.clone()))
            }
            "first" | "mustFirst" => first(&value(0)),
            "rest" | "mustRest" => rest(&value(0)),
            "last" | "mustLast" | "values" => field(&value(0), &Part::Any),
            "index" => {
                let found = arguments.iter().skip(1).fold(value(0), |value, argument| field(&value, &key(argument)));
                self.looked_up(scope, arguments, found)
            }
            "get" => {
                let found = arguments.get(1).map(|argument| field(&value(0), &key(argument))).unwrap_or_default();
                self.looked_up(scope, arguments, found)
            }
            "pluck" => {
                let part = arguments.first().map_or(Part::Any, key);
                let found = union(arguments.iter().skip(1).map(|argument| field(&argument.value, &part)));
                known(Known::List(vec![self.looked_up(scope, arguments, found)]))
            }
            "dig" if arguments.len() >= 3 => {
                let (keys, ends) = arguments.split_at(arguments.len() - 2);
                let found = keys.iter().fold(ends[1].value.clone(), |value, argument| field(&value, &key(argument)));
                let found = self.looked_up(scope, arguments, found);
                union([found, ends[0].value.clone()])
            }
            // Look whether it is there, or what it is, and no further.
            "hasKey" => {
                let found = arguments.get(1).map(|argument| field(&value(0), &key(argument))).unwrap_or_default();
                self.looked_up(scope, arguments, found);
                Value::new()
            }
            "not" | "empty" | "kindIs" | "kindOf" | "typeIs" | "typeOf" | "typeIsLike" | "len" | "fail" => Value::new(),
            "dict" => {
                let entries = arguments.chunks(2).filter_map(|pair| match pair {
                    [name, value] => Some((name.text.clone()?, value.value.clone())),
                    _ => None,
                });
                known(Known::Dict(entries.collect()))
            }
            "set" => {
                let mut result = value(0);
                if let [_, name, value] = arguments
                    && let Some(name) = &name.text
                {
                    let put = Known::Dict(BTreeMap::from([(name.clone(), value.value.clone())]));
                    result.insert(put);
                }
                result
            }
            "list" | "tuple" => known(Known::List(arguments.iter().map(|argument| argument.value.clone()).collect())),
            _ => {
                arguments.iter().for_each(|argument| self.note(scope, argument.at, &argument.value, true));
                Value::new()
            }
        }
    }

    /// Notes what a function finds by a key, where the function is called.
    fn looked_up(&mut self, scope: &Scope, arguments: &[Argument], found: Value) -> Value {
        self.note(scope, arguments.first().map_or(0, |argument| argument.at), &found, false);
        found
    }
}

/// An argument of a function.
struct Argument {
    at: usize,
    /// What it says, where it is a text or a number in the template.
    text: Option<String>,
    value: Value,
}

fn literal(operand: &Operand) -> Option<String> {
    match &operand.term {
        Term::String { value, .. } => Some(value.to_str_lossy().into_owned()),
        Term::Number(number) => Some(number.text.clone()),
        _ => None,
    }
}

/// Returns the line of a byte.
fn line(source: &Source, at: usize) -> usize {
    1 + source.text.as_bytes().iter().take(at).filter(|&&byte| byte == b'\n').count()
}
