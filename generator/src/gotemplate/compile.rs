//! Nodes into instructions.
//!
//! Types of parameters are known here, so literals are converted, argument counts are checked and needless checks left
//! out once, not at every execution. What Go finds wrong only when it gets there becomes an instruction that fails there.
//! Variables become slots: a name is resolved to the innermost declaration that is executed whenever the use is.

use super::ast::{Branch, Command, Node, NodeKind, NodeRef, Operand, Pipe, Term};
use super::builtins;
use super::code::{Code, Literal, Op, RangeVars};
use super::function::Function;
use crate::value::{Str, Type};

/// Compiles a template body.
pub(super) fn compile(body: &[Node]) -> Code {
    let mut compiler = Compiler {
        code: Code::default(),
        scope: vec![Var { name: Str::from("$"), slot: 0, conditional: false }],
        loops: Vec::new(),
        dots: 0,
        conditional: 0,
    };
    compiler.code.slots = 1;
    compiler.list(body);
    compiler.emit(Op::Return);
    compiler.code
}

struct Var {
    name: Str,
    slot: u32,
    /// Declared where `and` or `or` may not have looked.
    conditional: bool,
}

/// A range we are inside of.
struct Loop {
    /// In its body, not in its `else`.
    body: bool,
    /// The instruction that takes the next element.
    next: usize,
    /// Dots given up when the body was entered.
    dots: u32,
    /// Jumps to its end, to be aimed.
    breaks: Vec<usize>,
}

struct Compiler {
    code: Code,
    scope: Vec<Var>,
    loops: Vec<Loop>,
    /// Dots given up so far, by `with` and `range`.
    dots: u32,
    /// Operands of `and` and `or` we are inside of, the first ones not counted.
    conditional: usize,
}

/// The next free index of a table; tables are bounded by the size of a source.
fn index(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// A count of arguments; where it does not fit, the argument count was refused before.
fn count(args: usize) -> u16 {
    u16::try_from(args).unwrap_or(u16::MAX)
}

/// Arguments one call may have.
const ARGS_MAX: usize = u16::MAX as usize - 1;

impl Compiler {
    fn emit(&mut self, op: Op) -> usize {
        self.code.ops.push(op);
        self.code.ops.len() - 1
    }

    fn here(&self) -> usize {
        self.code.ops.len()
    }

    /// Aims a jump at the next instruction.
    fn aim(&mut self, jump: usize) {
        let here = index(self.here());
        match &mut self.code.ops[jump] {
            Op::Jump { target }
            | Op::Unless { target }
            | Op::With { target }
            | Op::Range { target, .. }
            | Op::Next { target, .. }
            | Op::Method { target, .. }
            | Op::Decide { target, .. } => *target = here,
            other => unreachable!("{other:?} is no jump"),
        }
    }

    fn fail(&mut self, node: Option<NodeRef>, message: impl Into<String>) {
        if let Some(node) = node {
            self.emit(Op::At(node));
        }
        self.code.messages.push(message.into());
        let message = index(self.code.messages.len() - 1);
        self.emit(Op::Fail { message });
    }

    fn name(&mut self, name: &Str) -> u32 {
        self.code.names.push(name.clone());
        index(self.code.names.len() - 1)
    }

    fn path(&mut self, fields: &[Str]) -> u32 {
        if let Some(known) = self.code.paths.iter().rposition(|path| **path == *fields) {
            return index(known);
        }
        self.code.paths.push(fields.into());
        index(self.code.paths.len() - 1)
    }

    fn type_index(&mut self, of: Type) -> u32 {
        if let Some(known) = self.code.types.iter().position(|&known| known == of) {
            return index(known);
        }
        self.code.types.push(of);
        index(self.code.types.len() - 1)
    }

    // Variables.

    fn declare(&mut self, name: &Str) -> u32 {
        // Slots are taken like a stack, so the scope's length is the next free one.
        let slot = index(self.scope.len());
        self.scope.push(Var { name: name.clone(), slot, conditional: self.conditional > 0 });
        self.code.slots = self.code.slots.max(self.scope.len());
        slot
    }

    /// Returns the slots a name may mean, innermost first; the last one is certain, unless none is.
    fn resolve(&self, name: &Str) -> (Vec<u32>, bool) {
        let mut slots = Vec::new();
        for var in self.scope.iter().rev().filter(|var| var.name == *name) {
            slots.push(var.slot);
            if !var.conditional {
                return (slots, true);
            }
        }
        (slots, false)
    }

    fn candidates(&mut self, slots: Vec<u32>) -> u32 {
        self.code.candidates.push(slots.into());
        index(self.code.candidates.len() - 1)
    }

    /// Pushes a variable and follows its fields.
    fn variable(&mut self, node: NodeRef, name: &Str, fields: &[Str]) {
        match self.resolve(name) {
            (slots, true) if slots.len() == 1 => {
                let slot = slots[0];
                if fields.is_empty() {
                    self.emit(Op::Var { node, slot });
                } else {
                    let path = self.path(fields);
                    self.emit(Op::PathFromVar { node, path, slot });
                }
                return;
            }
            (slots, _) if slots.is_empty() => return self.fail(Some(node), format!("undefined variable: {name}")),
            (slots, certain) => {
                let candidates = self.candidates(slots);
                self.emit(Op::FirstVar { node, candidates, certain });
                if !certain {
                    self.code.messages.push(format!("undefined variable: {name}"));
                    let message = index(self.code.messages.len() - 1);
                    // Reached only where no candidate was declared: see FirstVar.
                    self.emit(Op::Fail { message });
                }
            }
        }
        if !fields.is_empty() {
            let path = self.path(fields);
            self.emit(Op::PathFromTop { node, path });
        }
    }

    /// Copies the top into the variables of a pipeline and returns their slots.
    fn store(&mut self, pipe: &Pipe) -> Vec<u32> {
        let mut stored = Vec::new();
        for name in &pipe.vars {
            if !pipe.assigns {
                let slot = self.declare(name);
                self.emit(Op::Store { slot });
                stored.push(slot);
                continue;
            }
            let (slots, certain) = self.resolve(name);
            match (slots.first().copied(), slots.len(), certain) {
                (None, ..) => {
                    self.fail(None, format!("undefined variable: {name}"));
                    stored.push(0);
                }
                (Some(slot), 1, true) => {
                    self.emit(Op::Store { slot });
                    stored.push(slot);
                }
                (Some(slot), ..) => {
                    let candidates = self.candidates(slots);
                    self.emit(Op::StoreFirst { candidates, certain });
                    if !certain {
                        self.code.messages.push(format!("undefined variable: {name}"));
                        let message = index(self.code.messages.len() - 1);
                        self.emit(Op::Fail { message });
                    }
                    stored.push(slot);
                }
            }
        }
        stored
    }

    // Nodes.

    fn list(&mut self, list: &[Node]) {
        for node in list {
            match node {
                Node::Text { start, end } => {
                    self.emit(Op::Text { start: index(*start), end: index(*end) });
                }
                Node::Action { pos, pipe } => {
                    if let Some(print) = self.print_of_path(pipe) {
                        self.emit(print);
                        continue;
                    }
                    self.pipeline(pipe);
                    if pipe.vars.is_empty() {
                        self.emit(Op::Print { node: NodeRef::new(NodeKind::Action, *pos) });
                    } else {
                        self.emit(Op::Pop);
                    }
                }
                Node::Branch(branch) => self.branch(branch),
                Node::Range { pipe, body, otherwise, .. } => self.range(pipe, body, otherwise.as_deref()),
                Node::Template { pos, name, pipe } => {
                    let node = NodeRef::new(NodeKind::Template, *pos);
                    let name = self.name(name);
                    self.emit(Op::Template { node, name });
                    match pipe {
                        Some(pipe) => self.pipeline(pipe),
                        None => {
                            self.emit(Op::Nil { node });
                        }
                    }
                    self.emit(Op::Enter { node });
                }
                Node::Break => self.leave(),
                Node::Continue => self.proceed(),
            }
        }
    }

    /// Returns the one instruction that prints a pipeline which is a mere path of fields.
    fn print_of_path(&mut self, pipe: &Pipe) -> Option<Op> {
        let ([command], []) = (&pipe.commands[..], &pipe.vars[..]) else { return None };
        let [operand] = &command.args[..] else { return None };
        let node = operand.node();
        match &operand.term {
            Term::Field(fields) => Some(Op::PrintFromDot { node, path: self.path(fields) }),
            Term::Variable { name, fields } if !fields.is_empty() => match self.resolve(name) {
                (slots, true) if slots.len() == 1 => {
                    Some(Op::PrintFromVar { node, path: self.path(fields), slot: slots[0] })
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn branch(&mut self, branch: &Branch) {
        let outer = self.scope.len();
        let mut ends = Vec::new();
        for arm in &branch.arms {
            self.pipeline(&arm.pipe);
            let skip =
                if branch.with { self.emit(Op::With { target: 0 }) } else { self.emit(Op::Unless { target: 0 }) };
            let inner = self.scope.len();
            self.dots += u32::from(branch.with);
            self.list(&arm.body);
            self.dots -= u32::from(branch.with);
            // What the body declares is not there in the `else`, though the parser lets it be named.
            self.scope.truncate(inner);
            if branch.with {
                self.emit(Op::DropDots { count: 1 });
            }
            ends.push(self.emit(Op::Jump { target: 0 }));
            self.aim(skip);
        }
        if let Some(otherwise) = &branch.otherwise {
            self.list(otherwise);
        }
        self.scope.truncate(outer);
        ends.into_iter().for_each(|end| self.aim(end));
    }

    fn range(&mut self, pipe: &Pipe, body: &[Node], otherwise: Option<&[Node]>) {
        let outer = self.scope.len();
        let stored = self.pipeline_stored(pipe);
        let vars = match stored[..] {
            [] => RangeVars::default(),
            [element] => RangeVars { index: None, element: Some(element) },
            [index, element, ..] => RangeVars { index: Some(index), element: Some(element) },
        };
        self.code.ranges.push(vars);
        let vars = index(self.code.ranges.len() - 1);
        let begin = self.emit(Op::Range { vars, target: 0 });
        let inner = self.scope.len();
        let next = self.emit(Op::Next { vars, target: 0 });
        self.dots += 1;
        self.loops.push(Loop { body: true, next, dots: self.dots, breaks: Vec::new() });
        self.list(body);
        self.dots -= 1;
        self.scope.truncate(inner);
        self.emit(Op::Jump { target: index(next) });
        let mut ends = self.loops.pop().map_or_else(Vec::new, |l| l.breaks);
        ends.push(next);
        self.aim(begin);
        if let Some(otherwise) = otherwise {
            // Skipped after the last element; jumped over by falling out of Next.
            self.loops.push(Loop { body: false, next, dots: self.dots, breaks: Vec::new() });
            self.list(otherwise);
            ends.append(&mut self.loops.pop().map_or_else(Vec::new, |l| l.breaks));
        }
        self.scope.truncate(outer);
        ends.into_iter().for_each(|end| self.aim(end));
    }

    /// `break`. In the `else` of a range it only ends that range, as Go's recovery has it.
    fn leave(&mut self) {
        let Some(innermost) = self.loops.last() else { return };
        let (body, dots) = (innermost.body, self.dots - innermost.dots);
        self.drop_dots(dots);
        if body {
            self.emit(Op::EndRange);
        }
        let jump = self.emit(Op::Jump { target: 0 });
        if let Some(innermost) = self.loops.last_mut() {
            innermost.breaks.push(jump);
        }
    }

    /// `continue`, of the innermost range whose body we are in.
    fn proceed(&mut self) {
        let Some(innermost) = self.loops.iter().rfind(|l| l.body) else { return };
        let (dots, next) = (self.dots - innermost.dots, index(innermost.next));
        self.drop_dots(dots);
        self.emit(Op::Jump { target: next });
    }

    fn drop_dots(&mut self, count: u32) {
        if count > 0 {
            self.emit(Op::DropDots { count });
        }
    }

    // Pipelines.

    /// Pushes the value of a pipeline.
    fn pipeline(&mut self, pipe: &Pipe) {
        self.pipeline_stored(pipe);
    }

    fn pipeline_stored(&mut self, pipe: &Pipe) -> Vec<u32> {
        for (stage, command) in pipe.commands.iter().enumerate() {
            self.command(command, stage > 0, pipe);
        }
        self.store(pipe)
    }

    /// Pushes the value of a command; `piped` if the value before it lies on the stack as its last argument.
    fn command(&mut self, command: &Command, piped: bool, pipe: &Pipe) {
        let first = &command.args[0];
        let args = &command.args[1..];
        if args.len() > ARGS_MAX {
            return self.fail(Some(first.node()), format!("more than {ARGS_MAX} arguments"));
        }
        let plain = args.is_empty() && !piped;
        let node = first.node();
        match &first.term {
            Term::Function { function, builtin } => {
                self.call(function, *builtin, NodeRef::new(NodeKind::Command, command.pos), node, args, piped);
            }
            Term::Field(fields) if plain => self.field(node, fields),
            Term::Field(fields) => {
                if let Some((last, path)) = fields.split_last() {
                    if path.is_empty() {
                        self.emit(Op::Dot { node });
                    } else {
                        self.field(node, path);
                    }
                    self.method(node, last, args, piped);
                }
            }
            Term::Variable { name, fields } if plain => self.variable(node, name, fields),
            Term::Variable { name, fields } => match fields.split_last() {
                Some((last, path)) => {
                    self.variable(node, name, path);
                    self.method(node, last, args, piped);
                }
                None if self.resolve(name).0.is_empty() => self.variable(node, name, &[]),
                None => self.fail(Some(node), format!("can't give argument to non-function {first}")),
            },
            Term::Chain { of, fields } if plain => self.chain(node, of, fields),
            Term::Chain { of, fields } => {
                if let Some((last, path)) = fields.split_last() {
                    self.chain(node, of, path);
                    self.method(node, last, args, piped);
                }
            }
            Term::Pipe(inner) if plain => self.pipeline(inner),
            Term::Pipe(_) => {
                // Go's current node is the pipeline around, or whatever the stage before left.
                let node = (!piped).then(|| NodeRef::new(NodeKind::Pipe, pipe.pos));
                self.fail(node, format!("can't give argument to non-function {first}"));
            }
            _ if !plain => self.fail(Some(node), format!("can't give argument to non-function {first}")),
            Term::Dot => {
                self.emit(Op::Dot { node });
            }
            Term::Nil => self.fail(Some(node), "nil is not a command"),
            Term::Bool(_) | Term::Number(_) | Term::String { .. } => self.literal(first, Type::Any),
        }
    }

    fn field(&mut self, node: NodeRef, fields: &[Str]) {
        let path = self.path(fields);
        self.emit(Op::PathFromDot { node, path });
    }

    /// `(pipe).a.b` or `function.a.b`.
    fn chain(&mut self, node: NodeRef, of: &Operand, fields: &[Str]) {
        self.argument(of, Type::Any);
        if matches!(of.term, Term::Pipe(_)) {
            self.emit(Op::Dig);
        }
        if !fields.is_empty() {
            let path = self.path(fields);
            self.emit(Op::PathFromTop { node, path });
        }
    }

    /// Calls a method of the top with arguments; their types are known when the method is.
    fn method(&mut self, node: NodeRef, name: &Str, args: &[Operand], piped: bool) {
        let name = self.name(name);
        let argc = count(args.len());
        let find = self.emit(Op::Method { name, args: argc, piped, target: 0 });
        for (arg, operand) in args.iter().enumerate() {
            let (arg, node) = (count(arg), operand.node());
            if let Some(literal) = literal_of(operand) {
                self.code.literals.push(literal);
                let literal = index(self.code.literals.len() - 1);
                self.emit(Op::MethodLiteral { node, literal, arg });
            } else if matches!(operand.term, Term::Nil) {
                self.emit(Op::MethodNil { node, arg });
            } else {
                self.argument(operand, Type::Any);
                if matches!(operand.term, Term::Pipe(_)) {
                    self.emit(Op::Dig);
                }
                self.emit(Op::MethodCheck { arg });
            }
        }
        self.emit(Op::MethodCall { node, args: argc, piped });
        self.aim(find);
    }

    // Calls.

    fn call(
        &mut self,
        function: &'static Function,
        builtin: bool,
        command: NodeRef,
        identifier: NodeRef,
        args: &[Operand],
        piped: bool,
    ) {
        let name = function.name;
        let given = args.len() + usize::from(piped);
        let is_call = builtin && name == builtins::CALL;
        // The callee's name is handed to `call` as a first argument of its own.
        let fixed = if is_call { 1 } else { function.params.len() };
        if function.variadic.is_some() {
            if given < fixed {
                let got = args.len();
                let message = format!("wrong number of args for {name}: want at least {fixed} got {got}");
                return self.fail(Some(identifier), message);
            }
        } else if given != fixed {
            return self.fail(Some(identifier), format!("wrong number of args for {name}: want {fixed} got {given}"));
        }
        if args.is_empty() {
            self.emit(Op::At(identifier));
        }
        if builtin && (name == builtins::AND || name == builtins::OR) {
            return self.decide(name == builtins::OR, args, piped);
        }
        let mut extra = 0;
        if is_call {
            let callee =
                Literal::String(args.first().map_or_else(Str::empty, |arg| Str::from(arg.to_string())), Str::empty());
            self.constant(identifier, &callee, Type::String);
            extra = 1;
        }
        let type_of = |at: usize| function.params.get(at + extra).copied().or(function.variadic).unwrap_or(Type::Any);
        for (at, arg) in args.iter().enumerate() {
            self.argument(arg, type_of(at));
        }
        if piped {
            if args.is_empty() {
                self.emit(Op::Dig);
            }
            self.check(type_of(args.len()), args.len() + extra);
        } else if builtin && name == builtins::LEN {
            if matches!(args[0].term, Term::Pipe(_)) {
                self.emit(Op::Dig);
            }
            self.emit(Op::CheckLen { node: command });
        }
        self.code.functions.push(function);
        let function = index(self.code.functions.len() - 1);
        self.emit(Op::Call { node: command, function, args: count(args.len() + extra), piped });
    }

    /// `and` and `or`: the first operand that decides is the value, and the rest is not looked at.
    fn decide(&mut self, or: bool, args: &[Operand], piped: bool) {
        // Variables that only a later operand declares must not look declared by an earlier round.
        let first_new = self.scope.len();
        let unset_at = self.here();
        let may_declare = args.iter().skip(1).map(declarations_in).sum::<usize>();
        for _ in 0..may_declare {
            self.emit(Op::Unset { slot: u32::MAX });
        }
        let mut decided = Vec::new();
        for (at, arg) in args.iter().enumerate() {
            self.conditional += usize::from(at > 0);
            self.argument(arg, Type::Reflect);
            self.conditional -= usize::from(at > 0);
            if at + 1 < args.len() || piped {
                decided.push(self.emit(Op::Decide { or, target: 0 }));
            }
        }
        let new: Vec<u32> = self.scope[first_new..].iter().filter(|var| var.conditional).map(|var| var.slot).collect();
        for (offset, slot) in new.into_iter().enumerate().take(may_declare) {
            self.code.ops[unset_at + offset] = Op::Unset { slot };
        }
        if !piped {
            decided.into_iter().for_each(|jump| self.aim(jump));
            return;
        }
        if decided.is_empty() {
            return;
        }
        let end = self.emit(Op::Jump { target: 0 });
        decided.into_iter().for_each(|jump| self.aim(jump));
        self.emit(Op::DropBelow);
        self.aim(end);
    }

    /// Pushes an argument for a parameter of a type.
    fn argument(&mut self, arg: &Operand, wanted: Type) {
        let node = arg.node();
        match &arg.term {
            Term::Dot => {
                self.emit(Op::Dot { node });
            }
            Term::Nil => match (wanted, wanted.nil()) {
                (Type::Any | Type::Reflect, _) => {
                    self.emit(Op::Nil { node });
                    return;
                }
                (_, Some(_)) => {
                    let of = self.type_index(wanted);
                    self.emit(Op::TypedNil { node, of });
                    return;
                }
                (_, None) => return self.fail(Some(node), format!("cannot assign nil to {wanted}")),
            },
            Term::Field(fields) => self.field(node, fields),
            Term::Variable { name, fields } => self.variable(node, name, fields),
            Term::Pipe(pipe) => {
                self.pipeline(pipe);
                if !matches!(wanted, Type::Any | Type::Reflect) {
                    self.emit(Op::Dig);
                }
            }
            Term::Function { function, builtin } => self.call(function, *builtin, node, node, &[], false),
            Term::Chain { of, fields } => self.chain(node, of, fields),
            Term::Bool(_) | Term::Number(_) | Term::String { .. } => return self.literal(arg, wanted),
        }
        self.check(wanted, 0);
    }

    fn check(&mut self, wanted: Type, depth: usize) {
        if !matches!(wanted, Type::Any | Type::Reflect) {
            let of = self.type_index(wanted);
            self.emit(Op::Check { of, depth: count(depth) });
        }
    }

    fn literal(&mut self, operand: &Operand, wanted: Type) {
        if let Some(literal) = literal_of(operand) {
            self.constant(operand.node(), &literal, wanted);
        }
    }

    fn constant(&mut self, node: NodeRef, literal: &Literal, wanted: Type) {
        match literal.constant(wanted) {
            Ok(constant) => {
                self.code.constants.push(constant);
                let index = index(self.code.constants.len() - 1);
                self.emit(Op::Constant { node, index });
            }
            Err(message) => self.fail(Some(node), message),
        }
    }
}

fn literal_of(operand: &Operand) -> Option<Literal> {
    Some(match &operand.term {
        Term::Bool(b) => Literal::Bool(*b),
        Term::Number(number) => Literal::Number(number.clone()),
        Term::String { literal, value } => Literal::String(value.clone(), literal.clone()),
        _ => return None,
    })
}

/// Returns how many variables an operand declares.
fn declarations_in(operand: &Operand) -> usize {
    match &operand.term {
        Term::Pipe(pipe) => {
            let own = if pipe.assigns { 0 } else { pipe.vars.len() };
            own + pipe.commands.iter().flat_map(|command| &command.args).map(declarations_in).sum::<usize>()
        }
        Term::Chain { of, .. } => declarations_in(of),
        _ => 0,
    }
}
