//! Executes templates.
//!
//! A machine with a stack of values and a stack of frames, both on the heap: recursion of templates, also through
//! `include` and `tpl`, never uses the native stack. Truth: Go's `text/template` executor, its error texts and its notion of the
//! current node included. Single-threaded over values; the templates themselves are shared.
//! Invariant: an error gains its place in [`Machine::fail`] and nowhere else.

mod call;
mod field;
mod involved;
mod range;
mod rendered;
mod step;
mod tracer;

pub use rendered::Rendered;

use range::Iteration;

use crate::gotemplate::ast::{NodeKind, NodeRef};
use crate::gotemplate::error::{Called, ExecError, Level};
use crate::gotemplate::function::{Call, Execution, Function, FunctionError, Run, Stage};
use crate::gotemplate::limits::{EXECUTION_DEPTH_MAX, OUTPUT_BYTES_MAX, STEPS_MAX, TRACE_LEVELS_MAX};
use crate::gotemplate::origin::Origins;
use crate::gotemplate::print;
use crate::gotemplate::set::{Parsed, Template, TemplateSet};
use crate::value::{Method, Oversized, Str, Text, Value};
use std::any::Any;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// What a missing map key yields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// The zero value of the map's elements, `missingkey=zero`: Helm's choice.
    #[default]
    Zero,
    /// No value at all, `missingkey=default`: further fields of it are no error.
    Invalid,
    /// An error, `missingkey=error`: Helm's `--strict`.
    Error,
}

/// How to execute.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// What a missing map key yields.
    pub missing_key: MissingKey,
    /// Whether to record which template wrote which bytes, see [`Rendered::origins`].
    pub origins: bool,
    /// Whether to follow texts through functions, too, so that what a helper wrote is known to be the helper's. Costs time and memory: for
    /// a second execution, when something is wrong with what the first one wrote.
    pub follow: bool,
    /// Where to stop a runaway.
    pub limits: Limits,
}

/// Bounds of one execution; the [named limits](super::limits) unless set lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Templates within templates.
    pub depth: usize,
    /// Bytes written, captured output counted each time.
    pub output_bytes: usize,
    /// Instructions.
    pub steps: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { depth: EXECUTION_DEPTH_MAX, output_bytes: OUTPUT_BYTES_MAX, steps: STEPS_MAX }
    }
}

/// Executes templates of one set, one after the other, over values and a host they share.
pub struct Executor<'h>(Machine<'h>);

impl<'h> Executor<'h> {
    /// Returns an executor; functions reach `host` through [`Call::host`].
    pub fn new(set: Arc<TemplateSet>, host: &'h mut dyn Any, options: Options) -> Executor<'h> {
        Executor(Machine {
            set,
            local: None,
            host,
            options,
            parsed: BTreeMap::new(),
            stack: Vec::new(),
            slots: Vec::new(),
            dots: Vec::new(),
            ranges: Vec::new(),
            methods: Vec::new(),
            pending: Vec::new(),
            frames: Vec::new(),
            captured: Vec::new(),
            spare: Vec::new(),
            out: Text::new(),
            origins: Origins::default(),
            tracer: options.follow.then(Box::default),
            written: 0,
            steps: 0,
            ip: 0,
            base: 0,
            at: NodeRef::new(NodeKind::Other, 0),
            dot: Slot::default(),
            held: false,
        })
    }

    /// Returns the host.
    pub fn host<T: Any>(&mut self) -> Option<&mut T> {
        self.0.host.downcast_mut()
    }

    /// Executes a template with `data` as `.` and `$`.
    ///
    /// # Errors
    /// [`ExecError`] for the first thing that fails; what was written until then is lost.
    pub fn execute(&mut self, name: &str, data: Value) -> Result<Rendered, ExecError> {
        let machine = &mut self.0;
        let Some(template) = machine.set.get(name).cloned() else {
            return Err(no_template(&machine.set, name));
        };
        machine.out = Text::with_capacity(template.source.text.len());
        let run = machine.run(template, data);
        let rendered =
            Rendered { text: std::mem::take(&mut machine.out), origins: std::mem::take(&mut machine.origins) };
        machine.reset();
        run.map(|()| rendered)
    }
}

fn no_template(set: &TemplateSet, name: &str) -> ExecError {
    let message = missing_template(set, name);
    ExecError {
        levels: Vec::new(),
        message,
        code: "unknown-template",
        hint: suggestion(set, name),
        involved: Vec::new(),
    }
}

/// Go's words for a template that `include` does not find.
fn missing_template(set: &TemplateSet, name: &str) -> String {
    let (name, of) = (print::quote(name.as_bytes()), print::quote(set.name().as_bytes()));
    format!("template: no template {name} associated with template {of}")
}

fn suggestion(set: &TemplateSet, name: &str) -> Option<String> {
    crate::diagnostic::suggest(name, set.names().filter_map(Str::as_str))
        .map(|meant| format!("did you mean `{meant}`?"))
}

/// Returns a hint naming what is nil: a path as printed, without the names that were not reached.
fn not_set(path: &str, unreached: usize) -> Option<String> {
    if unreached == 0 || path.contains(['(', ' ']) {
        return None;
    }
    let (before, _) = path.rmatch_indices('.').nth(unreached - 1).map(|(at, _)| path.split_at(at))?;
    (!before.is_empty()).then(|| format!("`{before}` is not set"))
}

/// A value and whether Go would hold it in an `interface {}`, which decides how it fails.
#[derive(Clone, Debug, Default)]
struct Slot {
    value: Value,
    held: bool,
    /// Whether a variable was declared at all.
    set: bool,
}

/// What went wrong, before it has a place.
#[derive(Debug)]
struct Failure {
    message: String,
    code: &'static str,
    hint: Option<String>,
    /// The function that failed, if one did.
    function: Option<&'static str>,
    /// How many names at the end of the path at hand were not reached, because what they belong to is nil.
    unreached: usize,
}

/// Failing is rare; what succeeds should not carry room for it.
type Step<T> = Result<T, Box<Failure>>;

impl Failure {
    fn new(message: impl Into<String>) -> Box<Failure> {
        Box::new(Failure { message: message.into(), code: "template-failed", hint: None, function: None, unreached: 0 })
    }

    fn limit(message: impl Into<String>) -> Box<Failure> {
        Failure::new(message).code("limit")
    }

    fn of(function: &'static str, error: FunctionError) -> Box<Failure> {
        let FunctionError { code, message, hint } = error;
        Box::new(Failure { message, code, hint, function: Some(function), unreached: 0 })
    }

    fn code(mut self: Box<Failure>, code: &'static str) -> Box<Failure> {
        self.code = code;
        self
    }

    fn hint(mut self: Box<Failure>, hint: Option<String>) -> Box<Failure> {
        self.hint = hint;
        self
    }

    fn suggest(self: Box<Failure>, meant: Option<&str>) -> Box<Failure> {
        self.hint(meant.map(|meant| format!("did you mean `{meant}`?")))
    }
}

impl From<Oversized> for Box<Failure> {
    fn from(error: Oversized) -> Box<Failure> {
        Failure::limit(error.to_string())
    }
}

/// A template that waits for the one it executes.
struct Frame {
    template: Arc<Template>,
    ip: usize,
    at: NodeRef,
    base: usize,
    dot: Slot,
    local: Option<Local>,
    /// The function that executes, `None` for the `template` action.
    function: Option<Running>,
}

/// A function whose template is executing.
struct Running {
    function: &'static Function,
    /// The call, where its failure is reported; meanwhile Go's current node stays what it was.
    node: NodeRef,
    execution: Execution,
}

/// Templates that a text parsed at run time defines over the set.
type Local = Rc<BTreeMap<Str, Arc<Template>>>;

/// Why the instructions of one frame stopped.
enum Pause {
    /// Another template is to be executed.
    Enter(Arc<Template>, Value, Option<Running>, Option<Local>),
    /// The template ended.
    Return,
}

/// Buffers kept from one execution to the next: as many as includes nest in ordinary charts.
const SPARE_MAX: usize = 16;

struct Machine<'e> {
    set: Arc<TemplateSet>,
    local: Option<Local>,
    host: &'e mut dyn Any,
    options: Options,
    /// Texts parsed during execution: charts pass the same few to `tpl` again and again.
    parsed: BTreeMap<Str, Parsed>,
    stack: Vec<Value>,
    slots: Vec<Slot>,
    /// Dots given up by `with` and `range`.
    dots: Vec<Slot>,
    ranges: Vec<Iteration>,
    methods: Vec<(Value, &'static Method)>,
    /// Templates found and about to be entered.
    pending: Vec<Arc<Template>>,
    frames: Vec<Frame>,
    /// Outputs put aside while a function's template writes.
    captured: Vec<Text>,
    /// Buffers to use again.
    spare: Vec<Text>,
    out: Text,
    origins: Origins,
    tracer: Option<Box<tracer::Tracer>>,
    written: usize,
    steps: u64,
    ip: usize,
    base: usize,
    at: NodeRef,
    dot: Slot,
    /// Whether Go would hold the value just pushed in an `interface {}`.
    held: bool,
}

impl Machine<'_> {
    /// Forgets everything but what was parsed; keeps the room of the stacks.
    fn reset(&mut self) {
        self.local = None;
        self.stack.clear();
        self.slots.clear();
        self.dots.clear();
        self.ranges.clear();
        self.methods.clear();
        self.pending.clear();
        self.frames.clear();
        self.captured.clear();
        self.tracer = self.options.follow.then(Box::default);
        self.spare.truncate(SPARE_MAX);
        self.written = 0;
        self.steps = 0;
        self.dot = Slot::default();
    }

    /// Runs a template and whatever it executes, to the end.
    fn run(&mut self, mut template: Arc<Template>, data: Value) -> Result<(), ExecError> {
        self.enter(&template, data);
        loop {
            let pause = match self.steps(&template) {
                Ok(pause) => pause,
                Err(failure) => return Err(self.fail(&template, *failure)),
            };
            match pause {
                Pause::Enter(next, data, function, local) => {
                    if self.frames.len() >= self.options.limits.depth {
                        let depth = self.options.limits.depth;
                        let message = format!("exceeded maximum template depth ({depth})");
                        return Err(self.fail(&template, *Failure::limit(message)));
                    }
                    if function.is_some() {
                        let fresh = self.spare.pop().unwrap_or_default();
                        self.captured.push(std::mem::replace(&mut self.out, fresh));
                        if let Some(tracer) = &mut self.tracer {
                            tracer.begin(std::mem::take(&mut self.origins));
                        }
                    }
                    let frame = Frame {
                        template: std::mem::replace(&mut template, next),
                        ip: self.ip,
                        at: self.at,
                        base: self.base,
                        dot: std::mem::take(&mut self.dot),
                        local: self.local.clone(),
                        function,
                    };
                    if let Some(local) = local {
                        self.local = Some(local);
                    }
                    self.frames.push(frame);
                    self.enter(&template, data);
                }
                Pause::Return => {
                    self.slots.truncate(self.base);
                    let Some(frame) = self.frames.pop() else { return Ok(()) };
                    template = frame.template;
                    (self.ip, self.at, self.base) = (frame.ip, frame.at, frame.base);
                    self.dot = frame.dot;
                    self.local = frame.local;
                    if let Some(running) = frame.function
                        && let Err(failure) = self.finish(&running)
                    {
                        return Err(self.fail(&template, *failure));
                    }
                }
            }
        }
    }

    fn enter(&mut self, template: &Template, data: Value) {
        self.ip = 0;
        self.base = self.slots.len();
        self.slots.resize_with(self.base + template.code.slots, Slot::default);
        self.slots[self.base] = Slot { value: data.clone(), held: false, set: true };
        self.dot = Slot { value: data, held: false, set: true };
        self.at = NodeRef::new(NodeKind::Other, 0);
    }

    /// Turns what a function's template wrote into the function's result.
    fn finish(&mut self, running: &Running) -> Step<()> {
        let mut written = std::mem::replace(&mut self.out, self.captured.pop().unwrap_or_default());
        let text = written.to_string_value();
        written.clear();
        self.spare.push(written);
        let followed = self.tracer.as_mut().map(|tracer| {
            let inner = std::mem::replace(&mut self.origins, tracer.end());
            (text.clone(), inner)
        });
        let result = match running.execution.finish {
            None => Value::String(text),
            Some(finish) => {
                let mut call = Call { host: &mut *self.host, bytes_max: self.options.limits.output_bytes };
                finish(&mut call, text).map_err(|error| {
                    self.at = running.node;
                    Failure::of(running.function.name, error)
                })?
            }
        };
        if let (Some(tracer), Some((text, origins))) = (&mut self.tracer, followed) {
            tracer.made(running.function.name, &result, &text, origins);
        }
        self.push(result);
        Ok(())
    }

    /// Gives a failure its place: the current node, and the callers'.
    fn fail(&self, template: &Template, failure: Failure) -> ExecError {
        let level = |template: &Template, at: NodeRef, call: Called| Level {
            template: template.name.to_string(),
            source: Arc::clone(&template.source),
            pos: at.pos(),
            node: template.print_node(at),
            call,
            text: None,
        };
        let own = match failure.function {
            None => Called::Failed,
            Some(function) => Called::FailedIn(function.to_owned()),
        };
        let mut levels = vec![level(template, self.at, own)];
        let hint = failure.hint.or_else(|| not_set(&levels[0].node, failure.unreached));
        let mut templates = 0;
        for frame in self.frames.iter().rev() {
            let call = match &frame.function {
                Some(running) => {
                    let execution = &running.execution;
                    let preamble = execution.preamble.map(|say| say(&execution.template, Stage::Executing));
                    Called::Function(running.function.name.to_owned(), preamble.unwrap_or_default())
                }
                None => {
                    // Not part of Go's message, so the far end of a runaway recursion may be left out.
                    templates += 1;
                    if templates > TRACE_LEVELS_MAX {
                        continue;
                    }
                    Called::Template
                }
            };
            let at = frame.function.as_ref().map_or(frame.at, |running| running.node);
            let text = frame.function.as_ref().and_then(|running| match &running.execution.template {
                Run::Text { text, .. } => self.text_path(text),
                Run::Named(_) => None,
            });
            levels.push(Level { text, ..level(&frame.template, at, call) });
        }
        let involved = self.involved(template);
        ExecError { levels, message: failure.message, code: failure.code, hint, involved }
    }

    fn push(&mut self, value: Value) {
        self.held = matches!(value, Value::Nil);
        self.stack.push(value);
    }

    fn pop(&mut self) -> Value {
        self.stack.pop().unwrap_or_default()
    }

    fn slot(&mut self, slot: u32) -> &mut Slot {
        let at = self.base + slot as usize;
        &mut self.slots[at]
    }

    /// Counts bytes about to be written.
    fn charge(&mut self, bytes: usize) -> Step<()> {
        self.written = self.written.saturating_add(bytes);
        let max = self.options.limits.output_bytes;
        if self.written > max {
            return Err(Failure::limit(format!("output exceeds the limit of {max} bytes")));
        }
        Ok(())
    }
}
