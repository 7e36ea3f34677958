//! Parsed templates and the names they go by.
//!
//! A text is parsed once, into [`Parsed`]; sets are put together from parsed texts and shared between threads. Who is
//! added later wins, except that an empty definition never replaces one; the order is the caller's business.

use super::ast::{List, NodeRef, operands_at, print_node};
use super::builtins;
use super::code::Code;
use super::compile::compile;
use super::error::ParseError;
use super::function::Function;
use super::parse::parse;
use crate::value::Str;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A template text and the name it was parsed under.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The name error messages give it: for a chart's files their path within the chart.
    pub name: Str,
    /// The whole text.
    pub text: Str,
}

/// The functions templates may call: Go's own and the tables given, later tables hiding earlier ones.
#[derive(Debug, Clone)]
pub struct Functions {
    /// Sorted by name; true for Go's own.
    rows: Vec<(&'static str, &'static Function, bool)>,
}

impl Functions {
    /// Returns Go's own functions and those of the tables.
    pub fn new(tables: &[&'static [Function]]) -> Functions {
        let mut rows: BTreeMap<&'static str, (&'static Function, bool)> =
            builtins::FUNCTIONS.iter().map(|function| (function.name, (function, true))).collect();
        for function in tables.iter().copied().flatten() {
            rows.insert(function.name, (function, false));
        }
        Functions { rows: rows.into_iter().map(|(name, (function, builtin))| (name, function, builtin)).collect() }
    }

    /// Returns the names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.rows.iter().map(|&(name, ..)| name)
    }

    /// Returns the function of a name, and whether it is one of Go's own.
    pub(super) fn find(&self, name: &str) -> Option<(&'static Function, bool)> {
        let at = self.rows.binary_search_by_key(&name, |&(known, ..)| known).ok()?;
        let (_, function, builtin) = self.rows[at];
        Some((function, builtin))
    }
}

/// One template, ready to execute.
#[derive(Debug)]
pub struct Template {
    /// The name `include` and `template` know it by.
    pub name: Str,
    /// The text it stands in.
    pub source: Arc<Source>,
    pub(super) code: Code,
    body: List,
    empty: bool,
}

impl Template {
    /// Returns a node as Go prints it.
    pub(super) fn print_node(&self, node: NodeRef) -> String {
        print_node(&self.body, node, self.source.text.as_bytes())
    }

    /// Returns what stands in it.
    pub(super) fn body(&self) -> &List {
        &self.body
    }

    /// Returns the fields and variables that the action at a node reads, and how they are written.
    pub(super) fn operands_at(&self, node: NodeRef) -> Vec<(NodeRef, String)> {
        operands_at(&self.body, node)
    }

    /// Reports whether there is nothing but space and comments.
    pub fn is_empty(&self) -> bool {
        self.empty
    }
}

/// The templates of one text: its definitions, and the text itself last.
#[derive(Debug, Clone)]
pub struct Parsed {
    templates: Arc<[Arc<Template>]>,
}

impl Parsed {
    /// Parses a text. Its own template goes by `name`, which error messages show, too.
    ///
    /// # Errors
    /// [`ParseError`], the first one, as in Go.
    pub fn new(name: impl Into<Str>, text: impl Into<Str>, functions: &Functions) -> Result<Parsed, ParseError> {
        let source = Arc::new(Source { name: name.into(), text: text.into() });
        let templates = parse(&source, functions)
            .map_err(|error| *error)?
            .into_iter()
            .map(|tree| {
                let code = compile(&tree.body);
                let source = Arc::clone(&source);
                Arc::new(Template { name: tree.name, source, code, body: tree.body, empty: tree.empty })
            })
            .collect();
        Ok(Parsed { templates })
    }

    /// Returns the templates: definitions in order of appearance, the text itself last.
    pub fn templates(&self) -> &[Arc<Template>] {
        &self.templates
    }

    /// Returns the template of the text itself.
    pub(super) fn main(&self) -> Option<&Arc<Template>> {
        self.templates.last()
    }
}

/// Templates that see each other.
#[derive(Debug, Clone)]
pub struct TemplateSet {
    name: Str,
    functions: Arc<Functions>,
    templates: BTreeMap<Str, Arc<Template>>,
}

impl TemplateSet {
    /// Returns an empty set. Only error messages show its name.
    pub fn new(name: impl Into<Str>, functions: Arc<Functions>) -> TemplateSet {
        TemplateSet { name: name.into(), functions, templates: BTreeMap::new() }
    }

    /// Adds the templates of a text. Of two with one name the later counts, unless it is empty.
    pub fn add(&mut self, parsed: &Parsed) {
        for template in parsed.templates() {
            if !(template.empty && self.templates.contains_key(&template.name)) {
                self.templates.insert(template.name.clone(), Arc::clone(template));
            }
        }
    }

    /// Parses a text and adds it.
    ///
    /// # Errors
    /// As [`Parsed::new`]; the set is unchanged then.
    pub fn parse(&mut self, name: impl Into<Str>, text: impl Into<Str>) -> Result<(), ParseError> {
        let parsed = Parsed::new(name, text, &self.functions)?;
        self.add(&parsed);
        Ok(())
    }

    /// Returns the template of a name.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&Arc<Template>> {
        self.templates.get(name.as_ref())
    }

    /// Returns the names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &Str> {
        self.templates.keys()
    }

    /// Returns the name of the set.
    pub fn name(&self) -> &Str {
        &self.name
    }

    /// Returns the functions its templates may call.
    pub fn functions(&self) -> &Functions {
        &self.functions
    }
}
