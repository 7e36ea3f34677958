//! The calling convention between templates and the functions they call.
//!
//! A function is one row of a static table: its name, the Go types of its parameters, and what it does. The
//! executor converts and checks the arguments against those types *before* the call, with Go's own wording
//! (`wrong number of args for trunc: want 2 got 1`, `wrong type for value; expected string; got int`), so a body may
//! take its arguments apart by pattern and treat any other shape as a broken invariant.
//!
//! How to write one:
//!
//! ```
//! use generator::gotemplate::{Call, Function, FunctionError};
//! use generator::value::{Type, Value};
//!
//! pub static FUNCTIONS: &[Function] = &[
//!     // func(int, string) string: literals arrive converted (`repeat 2 "x"`, `repeat 2e0 "x"`).
//!     Function::new("repeat", &[Type::Int, Type::String], repeat),
//!     // func(...interface{}) []interface{}: anything arrives as it is, nil as `Value::Nil`.
//!     Function::variadic("list", &[], Type::Any, list),
//! ];
//!
//! fn repeat(call: &mut Call<'_>, args: &[Value]) -> Result<Value, FunctionError> {
//!     let [Value::Int(count), Value::String(text)] = args else { return Err(FunctionError::shape()) };
//!     let count = usize::try_from(*count).map_err(|_| "strings: negative Repeat count")?;
//!     call.check_bytes(text.len().saturating_mul(count))?; // before building anything big
//!     Ok(Value::string(text.as_bytes().repeat(count)))
//! }
//!
//! fn list(_: &mut Call<'_>, args: &[Value]) -> Result<Value, FunctionError> {
//!     Ok(Value::list(args.to_vec()))
//! }
//! ```
//!
//! Types: declare exactly what the Go function declares. `Type::Any` is `interface{}`; `Type::MAP`, `Type::LIST`,
//! `Type::STRINGS` are the unnamed map and slice types (a named map such as `common.Values` arrives as a plain one over the
//! same storage; a nil argument arrives as a nil map or list, see `Map::is_nil`). A panic of the Go function is an
//! error here, with Go's text. Functions that run templates (`include`, `tpl`) return an [`Execution`] instead of a
//! value, see [`Function::template`]: the executor runs it on its own stack, so recursion never uses ours.
//! Whatever a body shares between calls (recursion counters, the chart at hand) lives in the host, [`Call::host`].

use crate::value::{Oversized, Str, Type, Value};
use std::any::Any;

/// One template function: a row of a function table.
#[derive(Debug)]
pub struct Function {
    /// The name templates call it by.
    pub name: &'static str,
    /// Types of the fixed parameters, in order.
    pub params: &'static [Type],
    /// Type of the repeated last parameter, if the function is variadic.
    pub variadic: Option<Type>,
    /// What a call does.
    pub body: Body,
}

/// What a call does: computes a value, or asks for a template to be executed.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// Returns the result.
    Value(fn(&mut Call<'_>, &[Value]) -> Result<Value, FunctionError>),
    /// Returns what to execute; the text it writes becomes the result.
    Template(fn(&mut Call<'_>, &[Value]) -> Result<Execution, FunctionError>),
}

impl Function {
    /// Returns a function with fixed parameters.
    pub const fn new(
        name: &'static str,
        params: &'static [Type],
        body: fn(&mut Call<'_>, &[Value]) -> Result<Value, FunctionError>,
    ) -> Function {
        Function { name, params, variadic: None, body: Body::Value(body) }
    }

    /// Returns a function whose last parameter, of type `rest`, may be given any number of times.
    pub const fn variadic(
        name: &'static str,
        params: &'static [Type],
        rest: Type,
        body: fn(&mut Call<'_>, &[Value]) -> Result<Value, FunctionError>,
    ) -> Function {
        Function { name, params, variadic: Some(rest), body: Body::Value(body) }
    }

    /// Returns a function that executes a template, such as `include` and `tpl`.
    pub const fn template(
        name: &'static str,
        params: &'static [Type],
        body: fn(&mut Call<'_>, &[Value]) -> Result<Execution, FunctionError>,
    ) -> Function {
        Function { name, params, variadic: None, body: Body::Template(body) }
    }
}

/// Makes a function's result of the text its template wrote.
pub type Finish = fn(&mut Call<'_>, Str) -> Result<Value, FunctionError>;

/// Says what a function's error says before that of its template.
pub type Preamble = fn(&Run, Stage) -> String;

/// A template to execute on behalf of a function.
#[derive(Debug)]
pub struct Execution {
    /// What to execute.
    pub template: Run,
    /// The data it sees as `.` and `$`.
    pub data: Value,
    /// What becomes of the text it wrote; `None` returns it as a string. Also the place to undo what the body
    /// counted up. Not called when the execution fails: that failure ends the whole execution.
    pub finish: Option<Finish>,
    /// What the function's error says before that of the template; `None` for nothing. Asked for only on failure.
    pub preamble: Option<Preamble>,
}

/// How far an [`Execution`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The text of [`Run::Text`] is no template.
    Parsing,
    /// The template failed.
    Executing,
}

/// What an [`Execution`] executes.
#[derive(Debug)]
pub enum Run {
    /// A template defined in the set at hand.
    Named(Str),
    /// Text parsed now, under a name for error messages. It sees every template of the set at hand; templates it
    /// defines are seen by itself and whatever it calls, and are forgotten afterwards.
    Text {
        /// The name error messages give the text.
        name: Str,
        /// The template text.
        text: Str,
    },
}

/// Why a function could not return a value.
///
/// `?` makes one of a text; the executor says `error calling NAME: TEXT` around it and adds the position.
#[derive(Debug)]
pub struct FunctionError {
    /// A stable code for the diagnostic; `function-failed` unless set.
    pub code: &'static str,
    /// What went wrong, in Go's words where Go has words for it.
    pub message: String,
    /// What the author of the chart may do about it.
    pub hint: Option<String>,
}

impl FunctionError {
    /// Returns an error with the text of Go's `error`.
    pub fn new(message: impl Into<String>) -> FunctionError {
        FunctionError { code: "function-failed", message: message.into(), hint: None }
    }

    /// Returns the same error under another code.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> FunctionError {
        self.code = code;
        self
    }

    /// Returns the same error with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> FunctionError {
        self.hint = Some(hint.into());
        self
    }

    /// Returns the error for arguments that do not fit the row's own parameter types: a broken table, never the
    /// author's fault.
    pub fn shape() -> FunctionError {
        FunctionError::new("internal: arguments do not match the function table").code("internal")
    }
}

impl From<String> for FunctionError {
    fn from(message: String) -> FunctionError {
        FunctionError::new(message)
    }
}

impl From<&str> for FunctionError {
    fn from(message: &str) -> FunctionError {
        FunctionError::new(message)
    }
}

impl From<Oversized> for FunctionError {
    fn from(error: Oversized) -> FunctionError {
        FunctionError::new(error.to_string()).code("limit")
    }
}

/// What a function may reach besides its arguments.
pub struct Call<'a> {
    pub(crate) host: &'a mut dyn Any,
    pub(crate) bytes_max: usize,
}

impl<'a> Call<'a> {
    /// Returns the surroundings of a call made outside of a template execution: for tests of single functions.
    pub fn detached(host: &'a mut dyn Any) -> Call<'a> {
        Call { host, bytes_max: super::limits::OUTPUT_BYTES_MAX }
    }

    /// Returns the state the caller of the execution passed in, if it is a `T`.
    pub fn host<T: Any>(&mut self) -> Option<&mut T> {
        self.host.downcast_mut()
    }

    /// Refuses to build a result of more than the allowed bytes (for lists: elements times 24). Call it before
    /// allocating anything whose size the arguments choose.
    ///
    /// # Errors
    /// A [`FunctionError`] with code `limit`.
    pub fn check_bytes(&self, bytes: usize) -> Result<(), FunctionError> {
        if bytes <= self.bytes_max {
            return Ok(());
        }
        let max = self.bytes_max;
        Err(FunctionError::new(format!("result of {bytes} bytes exceeds the limit of {max} bytes")).code("limit"))
    }
}
