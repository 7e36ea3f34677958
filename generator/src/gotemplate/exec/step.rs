//! What each instruction does.
//!
//! Three functions by how often they are met: the flow of control, the values on the way, and the odd cases. Each
//! leaves Go's current node where Go would.

use super::tracer::way_of_value;
use super::{Failure, Machine, Pause, Slot, Step};
use crate::gotemplate::ast::NodeRef;
use crate::gotemplate::code::{Code, Op};
use crate::gotemplate::function::FunctionError;
use crate::gotemplate::print;
use crate::gotemplate::set::Template;
use crate::value::{Str, Type, Value};

impl Machine<'_> {
    /// Runs instructions until the template ends or another one is to be executed.
    pub(super) fn steps(&mut self, template: &Template) -> Step<Pause> {
        let code = &template.code;
        loop {
            let op = code.ops[self.ip];
            self.ip += 1;
            self.steps += 1;
            if self.steps > self.options.limits.steps {
                let max = self.options.limits.steps;
                return Err(Failure::limit(format!("execution exceeds the limit of {max} steps")));
            }
            match op {
                Op::Jump { target } => self.ip = target as usize,
                Op::Unless { target } => {
                    if !self.pop().truth() {
                        self.ip = target as usize;
                    }
                }
                Op::Decide { or, target } => {
                    if self.stack.last().is_some_and(|value| value.truth() == or) {
                        self.ip = target as usize;
                    } else {
                        self.stack.pop();
                    }
                }
                Op::With { target } => {
                    let value = self.pop();
                    if value.truth() {
                        let dot = Slot { value, held: false, set: true };
                        self.dots.push(std::mem::replace(&mut self.dot, dot));
                    } else {
                        self.ip = target as usize;
                    }
                }
                Op::DropDots { count } => (0..count).for_each(|_| self.dot = self.dots.pop().unwrap_or_default()),
                Op::Range { vars, target } => {
                    if !self.start_range(code.ranges[vars as usize])? {
                        self.ip = target as usize;
                    }
                }
                Op::Next { vars, target } => {
                    if !self.next(code.ranges[vars as usize]) {
                        self.end_range();
                        self.ip = target as usize;
                    }
                }
                Op::EndRange => self.end_range(),
                Op::Call { node, function, args, piped } => {
                    let function = code.functions[function as usize];
                    if let Some(pause) = self.call(node, function, usize::from(args), piped)? {
                        return Ok(pause);
                    }
                }
                Op::Template { node, name } => {
                    self.at = node;
                    let name = &code.names[name as usize];
                    let found = self.find(name).ok_or_else(|| self.no_template(name))?;
                    self.pending.push(found);
                }
                Op::Enter { node } => {
                    // Go remembers the caller's node of before the call; its trace shows the action itself.
                    self.at = node;
                    let data = self.pop();
                    if let Some(template) = self.pending.pop() {
                        return Ok(Pause::Enter(template, data, None, None));
                    }
                }
                Op::Return => return Ok(Pause::Return),
                other => self.operate(template, other)?,
            }
        }
    }

    /// Pushes, stores, checks and prints values.
    fn operate(&mut self, template: &Template, op: Op) -> Step<()> {
        let code = &template.code;
        match op {
            Op::Text { start, end } => self.text(template, start as usize, end as usize)?,
            Op::At(node) => self.at = node,
            Op::Constant { node, index } => self.give(node, code.constants[index as usize].value(), false),
            Op::Dot { node } => self.give(node, self.dot.value.clone(), self.dot.held),
            Op::Var { node, slot } => {
                let slot = &self.slots[self.base + slot as usize];
                let (value, held) = (slot.value.clone(), slot.held);
                self.give(node, value, held);
            }
            Op::PathFromDot { node, path } => {
                self.at = node;
                let (value, held) = self.path(&self.dot.value, self.dot.held, &code.paths[path as usize])?;
                self.give(node, value, held);
            }
            Op::PathFromVar { node, path, slot } => {
                self.at = node;
                let slot = &self.slots[self.base + slot as usize];
                let (value, held) = self.path(&slot.value, slot.held, &code.paths[path as usize])?;
                self.give(node, value, held);
            }
            Op::PrintFromDot { node, path } => {
                self.at = node;
                let dot = std::mem::take(&mut self.dot);
                let printed = self.print_path(template, &dot, &code.paths[path as usize]);
                self.dot = dot;
                printed?;
            }
            Op::PrintFromVar { node, path, slot } => {
                self.at = node;
                let slot = self.slots[self.base + slot as usize].clone();
                self.print_path(template, &slot, &code.paths[path as usize])?;
            }
            Op::Print { node } => self.print(template, node)?,
            Op::Check { of, depth } => self.check(code.types[of as usize], usize::from(depth))?,
            Op::Dig => self.held = false,
            Op::Pop => drop(self.stack.pop()),
            Op::Store { slot } => {
                let value = self.stack.last().cloned().unwrap_or_default();
                *self.slot(slot) = Slot { value, held: false, set: true };
            }
            other => self.operate_rarely(code, other)?,
        }
        Ok(())
    }

    /// Fields of what was computed, methods with arguments, nil, variables declared in passing.
    fn operate_rarely(&mut self, code: &Code, op: Op) -> Step<()> {
        match op {
            Op::Fail { message } => {
                let message = code.messages[message as usize].clone();
                let hint = self.takes(&message);
                return Err(Failure::new(message).hint(hint));
            }
            Op::Nil { node } => self.give(node, Value::Nil, false),
            Op::TypedNil { node, of } => self.give(node, code.types[of as usize].nil().unwrap_or_default(), false),
            Op::PathFromTop { node, path } => {
                let top = self.pop();
                let found = self.path(&top, self.held, &code.paths[path as usize]);
                if found.as_ref().is_err_and(|failure| failure.function.is_some()) {
                    self.at = node;
                }
                let (value, held) = found?;
                self.give(self.at, value, held);
            }
            Op::Method { name, args, piped, target } => {
                if !self.method(&code.names[name as usize], usize::from(args), piped)? {
                    self.ip = target as usize;
                }
            }
            Op::MethodLiteral { node, literal, arg } => {
                self.at = node;
                let constant = code.literals[literal as usize].constant(self.method_type(arg)).map_err(Failure::new)?;
                self.give(node, constant.value(), false);
            }
            Op::MethodNil { node, arg } => {
                self.at = node;
                let wanted = self.method_type(arg);
                let nil = wanted.nil().ok_or_else(|| Failure::new(format!("cannot assign nil to {wanted}")))?;
                self.give(node, nil, false);
            }
            Op::MethodCheck { arg } => self.check(self.method_type(arg), 0)?,
            Op::MethodCall { node, args, piped } => self.call_method(node, usize::from(args), piped)?,
            Op::CheckLen { node } => {
                if self.held && matches!(self.stack.last(), Some(Value::Nil)) {
                    self.at = node;
                    return Err(Failure::of("len", FunctionError::new("len of nil pointer")));
                }
            }
            Op::DropBelow => {
                let top = self.pop();
                if let Some(below) = self.stack.last_mut() {
                    *below = top;
                }
            }
            Op::FirstVar { node, candidates, certain } => {
                self.at = node;
                self.first_var(&code.candidates[candidates as usize], certain);
            }
            Op::StoreFirst { candidates, certain } => {
                let value = self.stack.last().cloned().unwrap_or_default();
                let found = code.candidates[candidates as usize].iter().copied().find(|&slot| self.slot(slot).set);
                if let Some(slot) = found {
                    *self.slot(slot) = Slot { value, held: false, set: true };
                    self.ip += usize::from(!certain);
                }
            }
            Op::Unset { slot } => {
                if (slot as usize) < code.slots {
                    *self.slot(slot) = Slot::default();
                }
            }
            other => unreachable!("{other:?} is an instruction of the flow"),
        }
        Ok(())
    }

    /// Returns what a function takes, where a message says that it was given too little or too much.
    fn takes(&self, message: &str) -> Option<String> {
        let name = message.strip_prefix("wrong number of args for ")?.split(':').next()?;
        let (function, _) = self.set.functions().find(name)?;
        let word = |of: &Type| if matches!(of, Type::Any) { "anything".to_owned() } else { of.to_string() };
        let params = function.params.iter().map(word);
        let rest = function.variadic.map(|of| format!("and any number more of {}", word(&of)));
        let all: Vec<String> = params.chain(rest).collect();
        Some(format!("`{name}` takes {}; a value that is piped in comes last", all.join(", ")))
    }

    /// Pushes a value and makes its node the current one.
    fn give(&mut self, node: NodeRef, value: Value, held: bool) {
        self.at = node;
        self.held = held;
        self.stack.push(value);
    }

    fn text(&mut self, template: &Template, start: usize, end: usize) -> Step<()> {
        self.charge(end - start)?;
        if self.options.origins && (self.captured.is_empty() || self.tracer.is_some()) {
            self.origins.record(self.out.len(), &template.source, start, true);
        }
        let text = &template.source.text;
        match text.as_str().and_then(|text| text.get(start..end)) {
            Some(piece) => self.out.push_str(piece),
            None => self.out.push_bytes(&text.as_bytes()[start..end]),
        }
        Ok(())
    }

    fn print(&mut self, template: &Template, node: NodeRef) -> Step<()> {
        self.at = node;
        let value = self.pop();
        self.print_value(template, &value)
    }

    /// Prints what a path of fields leads to, without copying it.
    fn print_path(&mut self, template: &Template, from: &Slot, names: &[Str]) -> Step<()> {
        let Some((last, before)) = names.split_last() else { return Ok(()) };
        let owner;
        let (receiver, held) = match before {
            [] => (&from.value, from.held),
            _ => {
                let found = self.path(&from.value, from.held, before).map_err(|mut failure| {
                    failure.unreached += usize::from(failure.unreached > 0);
                    failure
                });
                let (value, held) = found?;
                owner = value;
                (&owner, held)
            }
        };
        if let Value::Map(map) = receiver
            && map.map_type().methods.is_empty()
            && let Some(value) = map.borrow().get(last.as_bytes())
        {
            return self.print_value(template, value);
        }
        let (value, _) = self.field(receiver, held, last).map_err(|mut failure| {
            failure.unreached = usize::from(failure.code == "nil-pointer");
            failure
        })?;
        self.print_value(template, &value)
    }

    fn print_value(&mut self, template: &Template, value: &Value) -> Step<()> {
        if let Some(tracer) = &self.tracer {
            let (start, pos) = (self.out.len(), self.at.pos());
            let of = match value {
                Value::String(text) => tracer.of(text),
                _ => None,
            };
            match of {
                Some(of) => self.origins.print(start, &of, &template.source, pos),
                None => {
                    self.origins.record(start, &template.source, pos, false);
                    self.origins.came(way_of_value(self.slots.first().map(|dollar| &dollar.value), value));
                }
            }
        } else if self.options.origins && self.captured.is_empty() {
            self.origins.record(self.out.len(), &template.source, self.at.pos(), false);
        }
        let before = self.out.len();
        match value {
            Value::Nil => self.out.push_str("<no value>"),
            Value::Object(_) => self.out.push_string(&print::sprint_action(std::slice::from_ref(value))?),
            value => print::append(&mut self.out, value)?,
        }
        self.charge(self.out.len() - before)
    }
}
