//! Go's text/template: parse once, execute many times.
//!
//! Text becomes tokens ([`lex`]), nodes ([`ast`], [`parse`]), instructions ([`compile`], [`code`]); sets of templates
//! ([`set`]) are shared between threads and executed ([`exec`]) over [values](crate::value) by an executor that never
//! recurses. Functions are rows of static tables ([`function`]). Knows nothing of Helm, charts or files.
//! Truth: Go 1.26 `text/template`; every case of its language, its printing and its error texts is meant to be equal.
//!
//! ```
//! use generator::gotemplate::{Executor, Functions, Options, TemplateSet};
//! use generator::value::Value;
//! use std::sync::Arc;
//!
//! let functions = Arc::new(Functions::new(&[]));
//! let mut set = TemplateSet::new("gotpl", functions);
//! set.parse("t.yaml", "{{ range .names }}{{ . }},{{ end }}").expect("a template");
//! let data = Value::map([("names", Value::strings(["a", "b"]))]);
//! let mut host = ();
//! let rendered = Executor::new(Arc::new(set), &mut host, Options::default()).execute("t.yaml", data).expect("renders");
//! assert_eq!(rendered.text.as_bytes(), b"a,b,");
//! ```

mod ast;
mod builtins;
mod code;
mod compile;
mod error;
mod exec;
mod function;
mod lex;
pub mod limits;
mod number;
mod origin;
mod parse;
pub mod print;
mod reads;
mod set;

pub use error::{Called, ExecError, Involved, Level, ParseError};
pub use exec::{Executor, Limits, MissingKey, Options, Rendered};
pub use function::{Body, Call, Execution, Finish, Function, FunctionError, Preamble, Run, Stage};
pub use origin::{Origins, Way};
pub use reads::{Part, Read, reads};
pub use set::{Functions, Parsed, Source, Template, TemplateSet};
