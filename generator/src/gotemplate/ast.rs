//! The parsed template: what the text says, before it becomes instructions.
//!
//! Kept after compiling only to print a node in an error message, the way Go prints it. Plain data, shared between
//! threads. Invariant: a [`NodeRef`] names at most one node of a template, because no two nodes of one kind begin at
//! the same byte.

use super::function::Function;
use super::number::Number;
use super::print::quote;
use crate::value::{Str, runes};
use std::fmt;

/// A kind of node and the byte it begins at, packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeRef(u32);

/// The kinds of nodes an error can point at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum NodeKind {
    Action,
    Branch,
    Template,
    Pipe,
    Command,
    Operand,
    /// Text, `break` and `continue`: never in a message.
    Other,
}

impl NodeRef {
    /// Bits left for the position: more than the largest source needs.
    const POS_BITS: u32 = 28;

    pub(super) fn new(kind: NodeKind, pos: usize) -> NodeRef {
        NodeRef((kind as u32) << Self::POS_BITS | u32::try_from(pos).unwrap_or(u32::MAX) & ((1 << Self::POS_BITS) - 1))
    }

    /// Returns the byte offset in the source.
    pub(super) fn pos(self) -> usize {
        (self.0 & ((1 << Self::POS_BITS) - 1)) as usize
    }
}

/// A run of nodes.
pub(super) type List = Vec<Node>;

/// What stands between the delimiters, or outside of them.
#[derive(Debug)]
pub(super) enum Node {
    /// Bytes `start..end` of the source.
    Text {
        start: usize,
        end: usize,
    },
    /// A pipeline; its value is printed unless it declares variables.
    Action {
        pos: usize,
        pipe: Pipe,
    },
    /// `if` or `with`, with its `else if` chain.
    Branch(Branch),
    Range {
        pos: usize,
        pipe: Pipe,
        body: List,
        otherwise: Option<List>,
    },
    Template {
        pos: usize,
        name: Str,
        pipe: Option<Pipe>,
    },
    Break,
    Continue,
}

/// `{{if a}}..{{else if b}}..{{else}}..{{end}}`; `with` likewise.
#[derive(Debug)]
pub(super) struct Branch {
    pub with: bool,
    /// At least one.
    pub arms: Vec<Arm>,
    pub otherwise: Option<List>,
}

#[derive(Debug)]
pub(super) struct Arm {
    pub pos: usize,
    pub pipe: Pipe,
    pub body: List,
}

/// Commands joined by `|`, perhaps into variables.
#[derive(Debug)]
pub(super) struct Pipe {
    pub pos: usize,
    /// `=` rather than `:=`.
    pub assigns: bool,
    pub vars: Vec<Str>,
    pub commands: Vec<Command>,
}

/// An operand and its arguments.
#[derive(Debug)]
pub(super) struct Command {
    pub pos: usize,
    /// At least one.
    pub args: Vec<Operand>,
}

#[derive(Debug)]
pub(super) struct Operand {
    pub pos: usize,
    pub term: Term,
}

#[derive(Debug)]
pub(super) enum Term {
    Bool(bool),
    Dot,
    Nil,
    Number(Box<Number>),
    String {
        literal: Str,
        value: Str,
    },
    /// `.a.b`.
    Field(Vec<Str>),
    /// `$x.a.b`; the name keeps its dollar.
    Variable {
        name: Str,
        fields: Vec<Str>,
    },
    /// A function; `builtin` unless a table of the caller defines it.
    Function {
        function: &'static Function,
        builtin: bool,
    },
    Pipe(Pipe),
    /// `(pipe).a.b`, or fields of a function's result.
    Chain {
        of: Box<Operand>,
        fields: Vec<Str>,
    },
}

impl Operand {
    pub(super) fn node(&self) -> NodeRef {
        match &self.term {
            Term::Pipe(pipe) => NodeRef::new(NodeKind::Pipe, pipe.pos),
            _ => NodeRef::new(NodeKind::Operand, self.pos),
        }
    }
}

/// Reports whether nothing but space and comments is there: such a definition never replaces another.
pub(super) fn is_empty(list: &[Node], text: &[u8]) -> bool {
    list.iter().all(|node| match node {
        Node::Text { start, end } => is_blank(&text[*start..*end]),
        _ => false,
    })
}

/// Reports whether text is all white space, as Go's `bytes.TrimSpace` sees it.
fn is_blank(text: &[u8]) -> bool {
    runes(text).all(|(_, rune, _)| rune.is_whitespace())
}

/// Returns the node a reference names as Go prints it, empty where there is none.
pub(super) fn print_node(body: &[Node], node: NodeRef, source: &[u8]) -> String {
    let mut finder = Finder { node, source, found: None };
    finder.list(body);
    finder.found.unwrap_or_default()
}

/// Walks a template for one node. Recursion is bounded: the parser limits nesting.
struct Finder<'a> {
    node: NodeRef,
    source: &'a [u8],
    found: Option<String>,
}

impl Finder<'_> {
    fn meet(&mut self, kind: NodeKind, pos: usize, shown: &dyn Fn() -> String) {
        if self.found.is_none() && NodeRef::new(kind, pos) == self.node {
            self.found = Some(shown());
        }
    }

    fn list(&mut self, list: &[Node]) {
        for node in list {
            if self.found.is_some() {
                return;
            }
            let source = self.source;
            let shown = || Shown { node, source }.to_string();
            match node {
                Node::Text { .. } | Node::Break | Node::Continue => {}
                Node::Action { pos, pipe } => {
                    self.meet(NodeKind::Action, *pos, &shown);
                    self.pipe(pipe);
                }
                Node::Branch(branch) => {
                    for (index, arm) in branch.arms.iter().enumerate() {
                        self.meet(NodeKind::Branch, arm.pos, &|| show_branch(branch, index, source));
                        self.pipe(&arm.pipe);
                        self.list(&arm.body);
                    }
                    branch.otherwise.iter().for_each(|list| self.list(list));
                }
                Node::Range { pos, pipe, body, otherwise } => {
                    self.meet(NodeKind::Branch, *pos, &shown);
                    self.pipe(pipe);
                    self.list(body);
                    otherwise.iter().for_each(|list| self.list(list));
                }
                Node::Template { pos, pipe, .. } => {
                    self.meet(NodeKind::Template, *pos, &shown);
                    pipe.iter().for_each(|pipe| self.pipe(pipe));
                }
            }
        }
    }

    fn pipe(&mut self, pipe: &Pipe) {
        self.meet(NodeKind::Pipe, pipe.pos, &|| pipe.to_string());
        for command in &pipe.commands {
            self.meet(NodeKind::Command, command.pos, &|| command.to_string());
            command.args.iter().for_each(|arg| self.operand(arg));
        }
    }

    fn operand(&mut self, operand: &Operand) {
        match &operand.term {
            Term::Pipe(pipe) => self.pipe(pipe),
            term => {
                self.meet(NodeKind::Operand, operand.pos, &|| operand.to_string());
                if let Term::Chain { of, .. } = term {
                    self.operand(of);
                }
            }
        }
    }
}

/// Returns the fields and variables that a node reads: itself, or the arguments of the function it is, what is piped into it included.
pub(super) fn operands_at(body: &[Node], node: NodeRef) -> Vec<(NodeRef, String)> {
    let mut found = Vec::new();
    operands_in_list(body, node, &mut found);
    found
}

fn operands_in_list(list: &[Node], node: NodeRef, found: &mut Vec<(NodeRef, String)>) {
    for item in list {
        match item {
            Node::Text { .. } | Node::Break | Node::Continue => {}
            Node::Action { pipe, .. } => operands_in_pipe(pipe, node, found),
            Node::Branch(branch) => {
                for arm in &branch.arms {
                    operands_in_pipe(&arm.pipe, node, found);
                    operands_in_list(&arm.body, node, found);
                }
                branch.otherwise.iter().for_each(|list| operands_in_list(list, node, found));
            }
            Node::Range { pipe, body, otherwise, .. } => {
                operands_in_pipe(pipe, node, found);
                operands_in_list(body, node, found);
                otherwise.iter().for_each(|list| operands_in_list(list, node, found));
            }
            Node::Template { pipe, .. } => pipe.iter().for_each(|pipe| operands_in_pipe(pipe, node, found)),
        }
    }
}

fn operands_in_pipe(pipe: &Pipe, node: NodeRef, found: &mut Vec<(NodeRef, String)>) {
    let mut add = |operand: &Operand| {
        let is_read = matches!(operand.term, Term::Field(_) | Term::Variable { .. } | Term::Dot);
        if is_read && found.iter().all(|(known, _)| *known != operand.node()) {
            found.push((operand.node(), operand.to_string()));
        }
    };
    for (stage, command) in pipe.commands.iter().enumerate() {
        let is_function = matches!(command.args[0].term, Term::Function { .. });
        let is_meant = NodeRef::new(NodeKind::Command, command.pos) == node || command.args[0].node() == node;
        if is_function && is_meant {
            command.args[1..].iter().for_each(&mut add);
        }
        let at_literal = || {
            command.args[1..].iter().any(|operand| {
                operand.node() == node && matches!(operand.term, Term::Bool(_) | Term::Number(_) | Term::String { .. })
            })
        };
        if is_function
            && (is_meant || at_literal())
            && let Some(Command { args, .. }) = stage.checked_sub(1).map(|before| &pipe.commands[before])
            && let [only] = &args[..]
        {
            add(only);
        }
        command.args.iter().filter(|operand| operand.node() == node).for_each(&mut add);
    }
    for operand in pipe.commands.iter().flat_map(|command| &command.args) {
        let mut inner = operand;
        while let Term::Chain { of, .. } = &inner.term {
            inner = of;
        }
        if let Term::Pipe(pipe) = &inner.term {
            operands_in_pipe(pipe, node, found);
        }
    }
}

/// A node together with the source its text lies in.
struct Shown<'a> {
    node: &'a Node,
    source: &'a [u8],
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = self.source;
        match self.node {
            Node::Text { start, end } => f.write_str(&String::from_utf8_lossy(&source[*start..*end])),
            Node::Action { pipe, .. } => write!(f, "{{{{{pipe}}}}}"),
            Node::Branch(branch) => f.write_str(&show_branch(branch, 0, source)),
            Node::Range { pipe, body, otherwise, .. } => {
                write!(f, "{{{{range {pipe}}}}}")?;
                show_list(f, body, source)?;
                if let Some(otherwise) = otherwise {
                    f.write_str("{{else}}")?;
                    show_list(f, otherwise, source)?;
                }
                f.write_str("{{end}}")
            }
            Node::Template { name, pipe, .. } => {
                write!(f, "{{{{template {}", quote(name.as_bytes()))?;
                if let Some(pipe) = pipe {
                    write!(f, " {pipe}")?;
                }
                f.write_str("}}")
            }
            Node::Break => f.write_str("{{break}}"),
            Node::Continue => f.write_str("{{continue}}"),
        }
    }
}

fn show_list(f: &mut dyn fmt::Write, list: &[Node], source: &[u8]) -> fmt::Result {
    list.iter().try_for_each(|node| write!(f, "{}", Shown { node, source }))
}

/// Prints an `if` or `with` from one of its arms on; `else if` shows as an `if` inside the `else`, as Go has it.
fn show_branch(branch: &Branch, from: usize, source: &[u8]) -> String {
    let mut out = String::new();
    let word = if branch.with { "with" } else { "if" };
    for (index, arm) in branch.arms[from..].iter().enumerate() {
        if index > 0 {
            out.push_str("{{else}}");
        }
        out.push_str(&format!("{{{{{word} {}}}}}", arm.pipe));
        // Writing to a string cannot fail.
        let _ = show_list(&mut out, &arm.body, source);
    }
    if let Some(otherwise) = &branch.otherwise {
        out.push_str("{{else}}");
        let _ = show_list(&mut out, otherwise, source);
    }
    out.push_str(&"{{end}}".repeat(branch.arms.len() - from));
    out
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, var) in self.vars.iter().enumerate() {
            write!(f, "{}{var}", if index > 0 { ", " } else { "" })?;
        }
        if !self.vars.is_empty() {
            f.write_str(if self.assigns { " = " } else { " := " })?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            write!(f, "{}{command}", if index > 0 { " | " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, arg) in self.args.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            match &arg.term {
                Term::Pipe(pipe) => write!(f, "({pipe})")?,
                _ => write!(f, "{arg}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields =
            |f: &mut fmt::Formatter<'_>, fields: &[Str]| fields.iter().try_for_each(|name| write!(f, ".{name}"));
        match &self.term {
            Term::Bool(b) => write!(f, "{b}"),
            Term::Dot => f.write_str("."),
            Term::Nil => f.write_str("nil"),
            Term::Number(number) => f.write_str(&number.text),
            Term::String { literal, .. } => write!(f, "{literal}"),
            Term::Field(names) => fields(f, names),
            Term::Variable { name, fields: names } => {
                write!(f, "{name}")?;
                fields(f, names)
            }
            Term::Function { function, .. } => f.write_str(function.name),
            Term::Pipe(pipe) => write!(f, "{pipe}"),
            Term::Chain { of, fields: names } => {
                match &of.term {
                    Term::Pipe(pipe) => write!(f, "({pipe})")?,
                    _ => write!(f, "{of}")?,
                }
                fields(f, names)
            }
        }
    }
}
