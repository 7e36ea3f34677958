//! Instructions: what a template becomes before it runs.
//!
//! A flat list of small instructions over a stack of values, so that executing never recurses, whatever the templates
//! do. Every instruction that can fail where Go would, does so at the same node: [`Op::At`] and the `node` of leaf
//! instructions follow Go's notion of the current node. Shared between threads; holds no values of an execution.

use super::ast::NodeRef;
use super::function::Function;
use super::number::Number;
use crate::value::{SizedInt, Str, Type, Value};

/// A compiled template body.
#[derive(Debug, Default)]
pub(super) struct Code {
    pub ops: Vec<Op>,
    pub constants: Vec<Constant>,
    /// Field names, in order of access.
    pub paths: Vec<Box<[Str]>>,
    pub names: Vec<Str>,
    pub messages: Vec<String>,
    pub types: Vec<Type>,
    pub functions: Vec<&'static Function>,
    /// Literals whose type only the method found at run time decides.
    pub literals: Vec<Literal>,
    /// Variables that may or may not be declared when they are read, innermost first.
    pub candidates: Vec<Box<[u32]>>,
    pub ranges: Vec<RangeVars>,
    /// Variables one execution of the template needs, `$` included.
    pub slots: usize,
}

/// A constant that is safe to share between threads.
#[derive(Clone, Debug)]
pub(super) enum Constant {
    Bool(bool),
    Int(i64),
    Int64(i64),
    Duration(i64),
    Sized(SizedInt),
    Float(f64),
    Complex(f64, f64),
    String(Str),
}

impl Constant {
    pub(super) fn value(&self) -> Value {
        match self {
            Constant::Bool(b) => Value::Bool(*b),
            Constant::Int(n) => Value::Int(*n),
            Constant::Int64(n) => Value::Int64(*n),
            Constant::Duration(n) => Value::Duration(*n),
            Constant::Sized(n) => Value::Sized(*n),
            Constant::Float(x) => Value::Float(*x),
            Constant::Complex(re, im) => Value::Complex(*re, *im),
            Constant::String(text) => Value::String(text.clone()),
        }
    }

    /// Returns the constant of a basic value, `None` for what no literal can be.
    fn of(value: Value) -> Option<Constant> {
        Some(match value {
            Value::Bool(b) => Constant::Bool(b),
            Value::Int(n) => Constant::Int(n),
            Value::Int64(n) => Constant::Int64(n),
            Value::Duration(n) => Constant::Duration(n),
            Value::Sized(n) => Constant::Sized(n),
            Value::Float(x) => Constant::Float(x),
            Value::Complex(re, im) => Constant::Complex(re, im),
            Value::String(text) => Constant::String(text),
            Value::Nil | Value::Bytes(_) | Value::List(_) | Value::Map(_) | Value::Object(_) => return None,
        })
    }
}

/// A literal before it has a type.
#[derive(Clone, Debug)]
pub(super) enum Literal {
    Bool(bool),
    Number(Box<Number>),
    /// The value, and the literal as written.
    String(Str, Str),
}

impl Literal {
    /// Returns the literal as an argument of a type, or Go's message why it cannot be one.
    pub(super) fn constant(&self, wanted: Type) -> Result<Constant, String> {
        let value = match (self, wanted) {
            (Literal::Bool(b), Type::Any | Type::Reflect | Type::Bool) => Value::Bool(*b),
            (Literal::String(text, _), Type::Any | Type::Reflect | Type::String) => Value::String(text.clone()),
            (Literal::Number(number), Type::Any | Type::Reflect) => number.untyped()?,
            (_, Type::Bool) => return Err(format!("expected bool; found {self}")),
            (_, Type::String) => return Err(format!("expected string; found {self}")),
            (_, Type::Bytes | Type::List(_) | Type::Map(_) | Type::Object(_)) => {
                return Err(format!("can't handle {self} for arg of type {wanted}"));
            }
            (Literal::Number(number), _) => {
                number.typed(wanted).map_err(|expected| format!("expected {expected}; found {self}"))?
            }
            (_, _) => {
                let expected = Number::default().typed(wanted).err().unwrap_or("number");
                return Err(format!("expected {expected}; found {self}"));
            }
        };
        Constant::of(value).ok_or_else(|| format!("can't handle {self} for arg of type {wanted}"))
    }
}

impl std::fmt::Display for Literal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Literal::Bool(b) => write!(f, "{b}"),
            Literal::Number(number) => f.write_str(&number.text),
            Literal::String(_, literal) => write!(f, "{literal}"),
        }
    }
}

/// Where a range puts what it meets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RangeVars {
    pub index: Option<u32>,
    pub element: Option<u32>,
}

/// One instruction. "Top" is the top of the value stack; targets are indices of instructions.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    /// Writes a piece of the source.
    Text {
        start: u32,
        end: u32,
    },
    /// Moves Go's current node.
    At(NodeRef),
    /// Fails with a message at the current node.
    Fail {
        message: u32,
    },
    Constant {
        node: NodeRef,
        index: u32,
    },
    /// Pushes nil: untyped, or of a type.
    Nil {
        node: NodeRef,
    },
    TypedNil {
        node: NodeRef,
        of: u32,
    },
    Dot {
        node: NodeRef,
    },
    Var {
        node: NodeRef,
        slot: u32,
    },
    /// Pushes the first candidate that is declared and skips the failure that follows unless one is certain to be.
    FirstVar {
        node: NodeRef,
        candidates: u32,
        certain: bool,
    },
    /// Pushes what a path of fields leads to, from dot, a variable, or the top, which it replaces.
    PathFromDot {
        node: NodeRef,
        path: u32,
    },
    PathFromVar {
        node: NodeRef,
        path: u32,
        slot: u32,
    },
    PathFromTop {
        node: NodeRef,
        path: u32,
    },
    /// Takes the receiver off the top and finds its method; a missing receiver makes nil of the whole call and jumps.
    Method {
        name: u32,
        args: u16,
        piped: bool,
        target: u32,
    },
    MethodLiteral {
        node: NodeRef,
        literal: u32,
        arg: u16,
    },
    MethodNil {
        node: NodeRef,
        arg: u16,
    },
    /// Checks the top against the method's parameter.
    MethodCheck {
        arg: u16,
    },
    MethodCall {
        node: NodeRef,
        args: u16,
        piped: bool,
    },
    /// Checks and converts the value `depth` below the top.
    Check {
        of: u32,
        depth: u16,
    },
    /// Forgets that the top was held in an interface.
    Dig,
    /// Fails as `len` does on a nil interface.
    CheckLen {
        node: NodeRef,
    },
    Call {
        node: NodeRef,
        function: u32,
        args: u16,
        piped: bool,
    },
    /// Jumps with the top kept if its truth decides `and` (`or`), else drops it.
    Decide {
        or: bool,
        target: u32,
    },
    /// Drops the value below the top.
    DropBelow,
    Print {
        node: NodeRef,
    },
    /// Prints what a path leads to, from dot or a variable.
    PrintFromDot {
        node: NodeRef,
        path: u32,
    },
    PrintFromVar {
        node: NodeRef,
        path: u32,
        slot: u32,
    },
    Pop,
    /// Copies the top into a variable.
    Store {
        slot: u32,
    },
    StoreFirst {
        candidates: u32,
        certain: bool,
    },
    /// Makes a variable undeclared; a slot out of range is nothing.
    Unset {
        slot: u32,
    },
    Jump {
        target: u32,
    },
    /// Takes the top and jumps unless it is true.
    Unless {
        target: u32,
    },
    /// Takes the top; makes it dot if it is true, else jumps.
    With {
        target: u32,
    },
    /// Gives back that many former dots.
    DropDots {
        count: u32,
    },
    /// Takes the top and starts iterating, or jumps where there is nothing.
    Range {
        vars: u32,
        target: u32,
    },
    /// Takes the next element, or ends the iteration and jumps.
    Next {
        vars: u32,
        target: u32,
    },
    /// Ends the innermost iteration.
    EndRange,
    /// Finds the template to execute.
    Template {
        node: NodeRef,
        name: u32,
    },
    /// Executes the template found, with the top as its data.
    Enter {
        node: NodeRef,
    },
    Return,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_stay_small() {
        assert!(size_of::<Op>() <= 16, "{}", size_of::<Op>());
    }

    #[test]
    fn code_is_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Code>();
        shared::<crate::gotemplate::TemplateSet>();
    }
}
