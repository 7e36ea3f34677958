//! Calling: arguments are checked and converted here, functions called, templates found and parsed for them.

use super::{Failure, Local, Machine, Pause, Running, Step, missing_template, suggestion};
use crate::gotemplate::ParseError;
use crate::gotemplate::ast::NodeRef;
use crate::gotemplate::function::{Body, Call, Execution, Function, FunctionError, Run, Stage};
use crate::gotemplate::limits::BYTES_A_STEP;
use crate::gotemplate::print;
use crate::gotemplate::set::{Parsed, Template};
use crate::value::{Str, Type, Value};
use std::rc::Rc;
use std::sync::Arc;

/// Texts worth remembering, see [`super::Executor`].
const PARSED_TEXTS_MAX: usize = 4096;

impl Machine<'_> {
    /// Brings a piped argument to its place and returns where the arguments begin.
    pub(super) fn arguments(&mut self, args: usize, piped: bool) -> usize {
        let base = self.stack.len() - args - usize::from(piped);
        if piped {
            self.stack[base..].rotate_left(1);
        }
        base
    }

    /// Checks the value `depth` below the top against a parameter and converts what Go assigns silently.
    pub(super) fn check(&mut self, wanted: Type, depth: usize) -> Step<()> {
        let at = self.stack.len() - 1 - depth;
        let held = self.held && depth == 0;
        let value = std::mem::take(&mut self.stack[at]);
        self.stack[at] = match value {
            Value::Nil if held && !matches!(wanted, Type::Any | Type::Reflect) => {
                let message = format!("wrong type for value; expected {wanted}; got interface {{}}");
                return Err(Failure::new(message).code("nil-value").hint(nil_hint()));
            }
            Value::Nil => wanted.nil().ok_or_else(|| {
                Failure::new(format!("invalid value; expected {wanted}")).code("nil-value").hint(nil_hint())
            })?,
            value => wanted.assign(value).map_err(|value| {
                let message = format!("wrong type for value; expected {wanted}; got {}", value.type_name());
                let hint = type_hint(&wanted.to_string(), value.type_name());
                Failure::new(message).code("wrong-type").hint(hint)
            })?,
        };
        Ok(())
    }

    pub(super) fn call(
        &mut self,
        node: NodeRef,
        function: &'static Function,
        args: usize,
        piped: bool,
    ) -> Step<Option<Pause>> {
        let base = self.arguments(args, piped);
        for value in &mut self.stack[base..] {
            if let Value::Object(object) = value
                && let Some(copy) = object.copied()
            {
                *value = copy;
            }
        }
        let mut call = Call { host: &mut *self.host, bytes_max: self.options.limits.output_bytes };
        let outcome = match function.body {
            Body::Value(body) => {
                let result = body(&mut call, &self.stack[base..]);
                if let (Some(tracer), Ok(value)) = (&mut self.tracer, &result) {
                    tracer.called(function.name, &self.stack[base..], value);
                }
                let work: usize = self.stack[base..].iter().chain(&result).map(size).sum();
                self.steps += (work / BYTES_A_STEP) as u64;
                self.stack.truncate(base);
                match result {
                    Ok(value) => {
                        self.push(value);
                        return Ok(None);
                    }
                    Err(error) => Err(error),
                }
            }
            Body::Template(body) => {
                let result = body(&mut call, &self.stack[base..]);
                self.stack.truncate(base);
                result
            }
        };
        let started = match outcome {
            Ok(execution) => self.start(function, node, execution),
            Err(error) => Err(Failure::of(function.name, error)),
        };
        if started.is_err() {
            self.at = node;
        }
        started.map(Some)
    }

    /// Finds or parses what a function wants executed.
    pub(super) fn start(
        &mut self,
        function: &'static Function,
        node: NodeRef,
        mut execution: Execution,
    ) -> Step<Pause> {
        let data = std::mem::take(&mut execution.data);
        let preamble = |stage| execution.preamble.map_or_else(String::new, |say| say(&execution.template, stage));
        let (template, local) = match &execution.template {
            Run::Named(name) => {
                let found = self.find(name).ok_or_else(|| {
                    let name = name.to_str_lossy();
                    let message = preamble(Stage::Executing) + &missing_template(&self.set, &name);
                    let hint = suggestion(&self.set, &name);
                    let error = FunctionError { code: "unknown-template", message, hint };
                    Failure::of(function.name, error)
                })?;
                (found, None)
            }
            Run::Text { name, text } => {
                let parsed = self.parse(name, text).map_err(|error| {
                    let message = preamble(Stage::Parsing) + &error.to_string();
                    let error = FunctionError { code: error.code, message, hint: error.hint };
                    Failure::of(function.name, error)
                })?;
                let Some(main) = parsed.main() else { return Err(Failure::new("internal: text without a template")) };
                (Arc::clone(main), self.layered(&parsed))
            }
        };
        Ok(Pause::Enter(template, data, Some(Running { function, node, execution }), local))
    }

    pub(super) fn parse(&mut self, name: &Str, text: &Str) -> Result<Parsed, ParseError> {
        if let Some(known) = self.parsed.get(text)
            && known.main().is_some_and(|main| main.name == *name)
        {
            return Ok(known.clone());
        }
        let parsed = Parsed::new(name.clone(), text.clone(), self.set.functions())?;
        if self.parsed.len() < PARSED_TEXTS_MAX {
            self.parsed.insert(text.clone(), parsed.clone());
        }
        Ok(parsed)
    }

    /// Returns the templates of a text over those in sight.
    pub(super) fn layered(&self, parsed: &Parsed) -> Option<Local> {
        let [definitions @ .., _] = parsed.templates() else { return self.local.clone() };
        if definitions.is_empty() {
            return self.local.clone();
        }
        let mut local = self.local.as_deref().cloned().unwrap_or_default();
        for template in definitions {
            let known = local.contains_key(&template.name) || self.set.get(&template.name).is_some();
            if !(template.is_empty() && known) {
                local.insert(template.name.clone(), Arc::clone(template));
            }
        }
        Some(Rc::new(local))
    }

    pub(super) fn find(&self, name: &Str) -> Option<Arc<Template>> {
        let local = self.local.as_ref().and_then(|local| local.get(name));
        local.or_else(|| self.set.get(name)).cloned()
    }

    pub(super) fn no_template(&self, name: &Str) -> Box<Failure> {
        Failure::new(format!("template {} not defined", print::quote(name.as_bytes())))
            .code("unknown-template")
            .hint(suggestion(&self.set, &name.to_str_lossy()))
    }
}

/// Returns about how many bytes a function has to look at in a value, were it to look at all of it but what is nested.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.len() * size_of::<Value>(),
        Value::Map(map) => map.len() * size_of::<Value>(),
        _ => 0,
    }
}

fn nil_hint() -> Option<String> {
    Some("the value is not set: set it, or guard its use with `if` or `default`".to_owned())
}

/// Says how to make the one type of the other.
fn type_hint(wanted: &str, got: &str) -> Option<String> {
    let is_number = |name: &str| matches!(name, "int" | "int64" | "float64");
    let hint = match (wanted, got) {
        ("string", "bool" | "float64" | "int" | "int64") => {
            "a text is wanted: write the value in quotes where it is set, or convert it with `toString`"
        }
        ("string", "map[string]interface {}" | "[]interface {}") => {
            "a text is wanted: take one of its entries, or make text of all of it with `toYaml` or `toJson`"
        }
        (number, "string") if is_number(number) => {
            "a number is wanted: write the value without quotes where it is set, or convert it with `int`"
        }
        (number, other) if is_number(number) && is_number(other) => "convert it with `int`, `int64` or `float64`",
        ("map[string]interface {}", _) => "a map is wanted: `key: value` lines, one level deeper",
        ("[]interface {}", _) => "a list is wanted: `- item` lines, or make one with `list`",
        _ => return None,
    };
    Some(hint.to_owned())
}
