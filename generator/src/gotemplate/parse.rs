//! Tokens into nodes.
//!
//! Functions and undefined variables are settled here, as in Go: a template that names an unknown one does not
//! parse. Truth: Go's `text/template/parse`, its error texts and the line they carry included.
//! Invariant: nesting is bounded by [`NESTING_MAX`], so nothing that walks a template recurses deeper.

use super::ast::{Arm, Branch, Command, List, Node, Operand, Pipe, Term, is_empty};
use super::error::ParseError;
use super::lex::{Kind, Token, Tokens, lex};
use super::limits::{NESTING_MAX, SOURCE_BYTES_MAX};
use super::number::Number;
use super::print::{quote, unquote};
use super::set::{Functions, Source};
use crate::value::Str;
use std::sync::Arc;

/// A template found in a text: under its own name or by `define` or `block`.
#[derive(Debug)]
pub(super) struct Tree {
    pub name: Str,
    pub body: List,
    pub empty: bool,
}

/// Parses a text under a name and returns its templates: the definitions, and the text itself last.
pub(super) fn parse(source: &Arc<Source>, functions: &Functions) -> Parsed<Vec<Tree>> {
    let text = source.text.as_bytes();
    if text.len() > SOURCE_BYTES_MAX {
        let message = format!("template of {} bytes exceeds the limit of {SOURCE_BYTES_MAX} bytes", text.len());
        return Err(Box::new(ParseError::new(source, 0, message, 0, 0).code("limit")));
    }
    let tokens = lex(text);
    let mut parser = Parser {
        source,
        text,
        tokens: &tokens,
        at: 0,
        lexed: 0,
        functions,
        scope: Scope::new(),
        nesting: 0,
        trees: Vec::new(),
    };
    parser.text()?;
    Ok(parser.trees)
}

/// What belongs to the template being parsed, as opposed to the text.
struct Scope {
    /// Variables in sight, innermost last.
    vars: Vec<Str>,
    /// Ranges whose body we are in.
    ranges: usize,
    /// Where the action being parsed began; `None` between actions.
    action: Option<usize>,
    /// The last token this template caused to be read: Go counts error lines from it.
    last: Option<Token>,
}

impl Scope {
    fn new() -> Scope {
        Scope { vars: vec![Str::from("$")], ranges: 0, action: None, last: None }
    }
}

/// How a list of nodes ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    End,
    Else,
}

impl Stop {
    fn text(self) -> &'static str {
        match self {
            Stop::End => "{{end}}",
            Stop::Else => "{{else}}",
        }
    }
}

/// A node, or the end of the list it would stand in.
enum Item {
    Node(Node),
    Stop(Stop),
}

struct Parser<'a> {
    source: &'a Arc<Source>,
    text: &'a [u8],
    tokens: &'a Tokens,
    /// The next token.
    at: usize,
    /// How many tokens were ever looked at.
    lexed: usize,
    functions: &'a Functions,
    scope: Scope,
    nesting: usize,
    trees: Vec<Tree>,
}

/// Failing is rare; what succeeds should not carry room for it, least of all on the stack of a recursive parser.
type Parsed<T> = Result<T, Box<ParseError>>;

impl Parser<'_> {
    // Tokens.

    fn next(&mut self) -> Token {
        let last = self.tokens.tokens.len() - 1;
        let token = self.tokens.tokens[self.at.min(last)];
        self.at += 1;
        if self.at > self.lexed {
            self.lexed = self.at;
            self.scope.last = Some(token);
        }
        token
    }

    fn back(&mut self) {
        self.at -= 1;
    }

    fn peek(&mut self) -> Token {
        let token = self.next();
        self.back();
        token
    }

    fn next_non_space(&mut self) -> Token {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    fn peek_non_space(&mut self) -> Token {
        let token = self.next_non_space();
        self.back();
        token
    }

    fn value(&self, token: Token) -> &str {
        // Whatever is not UTF-8 is no word, and literals are read as bytes.
        std::str::from_utf8(&self.text[token.start..token.end]).unwrap_or("\u{fffd}")
    }

    fn word(&self, token: Token) -> Str {
        Str::from(&self.text[token.start..token.end])
    }

    // Errors.

    fn line(&self, pos: usize) -> usize {
        1 + self.text[..pos].iter().filter(|&&b| b == b'\n').count()
    }

    fn error<T>(&self, message: impl Into<String>) -> Parsed<T> {
        let last = self.scope.last.map_or((0, 0), |token| (token.start, token.end));
        self.error_at(message, last)
    }

    fn error_at<T>(&self, message: impl Into<String>, (start, end): (usize, usize)) -> Parsed<T> {
        Err(Box::new(self.failure(message, (start, end))))
    }

    fn failure(&self, message: impl Into<String>, (start, end): (usize, usize)) -> ParseError {
        let line = self.scope.last.map_or(0, |token| self.line(token.start));
        ParseError::new(self.source, line, message, start, end)
    }

    fn unexpected<T>(&self, token: Token, context: &str) -> Parsed<T> {
        let described = self.tokens.describe(token, self.text);
        let span = (token.start, token.end);
        if token.kind != Kind::Error {
            return self.error_at(format!("unexpected {described} in {context}"), span);
        }
        let mut message = described;
        if let Some(action) = self.scope.action.map(|pos| self.line(pos)).filter(|&line| line != self.line(token.start))
        {
            // "unclosed action started at", not "unclosed action in action started at".
            let joint = if message.ends_with(" action") { "" } else { " in action" };
            message.push_str(&format!("{joint} started at {}:{action}", self.source.name));
        }
        self.error_at(message, span)
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Token> {
        let token = self.next_non_space();
        if token.kind == kind { Ok(token) } else { self.unexpected(token, context) }
    }

    /// Goes one level deeper, if there is one.
    fn nest(&mut self, message: &str) -> Parsed<()> {
        if self.nesting >= NESTING_MAX {
            return self.error(message).map_err(|error| Box::new(error.code("limit")));
        }
        self.nesting += 1;
        Ok(())
    }

    // Templates.

    /// The whole text: nodes and definitions.
    fn text(&mut self) -> Parsed<()> {
        let mut body = List::new();
        while self.peek().kind != Kind::Eof {
            if self.peek().kind == Kind::LeftDelim {
                let delim = self.at;
                self.next();
                if self.next_non_space().kind == Kind::Define {
                    self.definition()?;
                    continue;
                }
                self.at = delim;
            }
            match self.text_or_action()? {
                Item::Node(node) => body.push(node),
                Item::Stop(stop) => return self.error(format!("unexpected {}", stop.text())),
            }
        }
        self.add(self.source.name.clone(), body)
    }

    /// `{{define "name"}} .. {{end}}`, the keyword being read.
    fn definition(&mut self) -> Parsed<()> {
        let outer = std::mem::replace(&mut self.scope, Scope::new());
        let token = self.next_non_space();
        let name = self.template_name(token, "define clause")?;
        self.expect(Kind::RightDelim, "define clause")?;
        let (body, stop) = self.list()?;
        if stop != Stop::End {
            return self.error(format!("unexpected {} in define clause", stop.text()));
        }
        self.add(name, body)?;
        self.scope = outer;
        Ok(())
    }

    /// Keeps a template of this text; only an empty one may share its name with another.
    fn add(&mut self, name: Str, body: List) -> Parsed<()> {
        let empty = is_empty(&body, self.text);
        match self.trees.iter_mut().find(|tree| tree.name == name) {
            None => self.trees.push(Tree { name, body, empty }),
            Some(tree) if tree.empty => *tree = Tree { name, body, empty },
            Some(_) if empty => {}
            Some(_) => {
                let message = format!("template: multiple definition of template {}", quote(name.as_bytes()));
                return self.error(message).map_err(|error| Box::new(error.code("duplicate-template")));
            }
        }
        Ok(())
    }

    /// Nodes up to `{{end}}` or `{{else}}`.
    fn list(&mut self) -> Parsed<(List, Stop)> {
        let mut list = List::new();
        while self.peek_non_space().kind != Kind::Eof {
            match self.text_or_action()? {
                Item::Node(node) => list.push(node),
                Item::Stop(stop) => return Ok((list, stop)),
            }
        }
        self.error("unexpected EOF")
    }

    fn text_or_action(&mut self) -> Parsed<Item> {
        let token = self.next_non_space();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text { start: token.start, end: token.end })),
            Kind::LeftDelim => {
                self.scope.action = Some(token.start);
                let item = self.action()?;
                self.scope.action = None;
                Ok(item)
            }
            _ => self.unexpected(token, "input"),
        }
    }

    fn action(&mut self) -> Parsed<Item> {
        let token = self.next_non_space();
        let node = match token.kind {
            Kind::Block => self.block()?,
            Kind::Break => self.leave_loop("break", Node::Break)?,
            Kind::Continue => self.leave_loop("continue", Node::Continue)?,
            Kind::Else => return self.otherwise().map(Item::Stop),
            Kind::End => {
                self.expect(Kind::RightDelim, "end")?;
                return Ok(Item::Stop(Stop::End));
            }
            Kind::If => self.branch(false)?,
            Kind::With => self.branch(true)?,
            Kind::Range => self.range()?,
            Kind::Template => self.template()?,
            _ => {
                self.back();
                Node::Action { pos: token.start, pipe: self.pipeline("command", Kind::RightDelim)? }
            }
        };
        Ok(Item::Node(node))
    }

    /// `{{break}}` or `{{continue}}`, the keyword being read.
    fn leave_loop(&mut self, word: &str, node: Node) -> Parsed<Node> {
        let token = self.next_non_space();
        if token.kind != Kind::RightDelim {
            return self.unexpected(token, &format!("{{{{{word}}}}}"));
        }
        if self.scope.ranges == 0 {
            return self.error(format!("{{{{{word}}}}} outside {{{{range}}}}"));
        }
        Ok(node)
    }

    /// `{{else}}`; of `{{else if` and `{{else with` the second word is left to read.
    fn otherwise(&mut self) -> Parsed<Stop> {
        if !matches!(self.peek_non_space().kind, Kind::If | Kind::With) {
            self.expect(Kind::RightDelim, "else")?;
        }
        Ok(Stop::Else)
    }

    /// `if` or `with` and all its arms. A chain of `else if` is one node, so that it does not count as nesting.
    fn branch(&mut self, with: bool) -> Parsed<Node> {
        let (context, keyword) = if with { ("with", Kind::With) } else { ("if", Kind::If) };
        self.nest("max block depth exceeded")?;
        let vars = self.scope.vars.len();
        let mut arms = Vec::new();
        let mut otherwise = None;
        loop {
            let pipe = self.pipeline(context, Kind::RightDelim)?;
            let (body, stop) = self.list()?;
            arms.push(Arm { pos: pipe.pos, pipe, body });
            if stop == Stop::End {
                break;
            }
            if self.peek().kind == keyword {
                self.next();
                continue;
            }
            otherwise = Some(self.else_list()?);
            break;
        }
        self.scope.vars.truncate(vars);
        self.nesting -= 1;
        Ok(Node::Branch(Branch { with, arms, otherwise }))
    }

    fn else_list(&mut self) -> Parsed<List> {
        let (list, stop) = self.list()?;
        if stop != Stop::End {
            return self.error(format!("expected end; found {}", stop.text()));
        }
        Ok(list)
    }

    fn range(&mut self) -> Parsed<Node> {
        self.nest("max block depth exceeded")?;
        let vars = self.scope.vars.len();
        let pipe = self.pipeline("range", Kind::RightDelim)?;
        self.scope.ranges += 1;
        let (body, stop) = self.list()?;
        self.scope.ranges -= 1;
        let otherwise = if stop == Stop::Else { Some(self.else_list()?) } else { None };
        self.scope.vars.truncate(vars);
        self.nesting -= 1;
        Ok(Node::Range { pos: pipe.pos, pipe, body, otherwise })
    }

    /// `{{block "name" pipeline}} .. {{end}}`: defines a template and executes it.
    fn block(&mut self) -> Parsed<Node> {
        let token = self.next_non_space();
        let name = self.template_name(token, "block clause")?;
        let pipe = self.pipeline("block clause", Kind::RightDelim)?;
        self.nest("max block depth exceeded")?;
        let outer = std::mem::replace(&mut self.scope, Scope::new());
        let listed = self.list();
        let inner = std::mem::replace(&mut self.scope, outer);
        let (body, stop) = listed?;
        if stop != Stop::End {
            return self.error(format!("unexpected {} in block clause", stop.text()));
        }
        let outer = std::mem::replace(&mut self.scope, inner);
        self.add(name.clone(), body)?;
        self.scope = outer;
        self.nesting -= 1;
        Ok(Node::Template { pos: token.start, name, pipe: Some(pipe) })
    }

    fn template(&mut self) -> Parsed<Node> {
        let token = self.next_non_space();
        let name = self.template_name(token, "template clause")?;
        let pipe = if self.next_non_space().kind == Kind::RightDelim {
            None
        } else {
            self.back();
            Some(self.pipeline("template clause", Kind::RightDelim)?)
        };
        Ok(Node::Template { pos: token.start, name, pipe })
    }

    fn template_name(&mut self, token: Token, context: &str) -> Parsed<Str> {
        match token.kind {
            Kind::String | Kind::RawString => self.literal(token),
            _ => self.unexpected(token, context),
        }
    }

    fn literal(&self, token: Token) -> Parsed<Str> {
        unquote(&self.text[token.start..token.end])
            .ok_or_else(|| Box::new(self.failure("invalid syntax", (token.start, token.end))))
    }

    // Pipelines.

    fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let pos = self.peek_non_space().start;
        let mut pipe = Pipe { pos, assigns: false, vars: Vec::new(), commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.next_non_space();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.back();
                    pipe.commands.push(self.command()?);
                }
                _ => return self.unexpected(token, context),
            }
        }
        if pipe.commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            if matches!(
                command.args[0].term,
                Term::Bool(_) | Term::Dot | Term::Nil | Term::Number(_) | Term::String { .. }
            ) {
                return self.error(format!("non executable command in pipeline stage {}", index + 1));
            }
        }
        Ok(pipe)
    }

    /// `$x :=`, `$x =`, and for `range` also `$i, $x :=`, if any.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<()> {
        while self.peek_non_space().kind == Kind::Variable {
            let start = self.at;
            let variable = self.next();
            let next = self.peek_non_space();
            let name = self.word(variable);
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    pipe.assigns = next.kind == Kind::Assign;
                    self.next_non_space();
                    pipe.vars.push(name.clone());
                    self.scope.vars.push(name);
                    return Ok(());
                }
                Kind::Char if self.value(next) == "," => {
                    self.next_non_space();
                    pipe.vars.push(name.clone());
                    self.scope.vars.push(name);
                    if context != "range" || pipe.vars.len() > 1 {
                        return self.error(format!("too many declarations in {context}"));
                    }
                    if !matches!(self.peek_non_space().kind, Kind::Variable | Kind::RightDelim | Kind::RightParen) {
                        return self.error("range can only initialize variables");
                    }
                }
                _ => {
                    self.at = start;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Operands up to a pipe, which is read, or to the end of the pipeline, which is left.
    fn command(&mut self) -> Parsed<Command> {
        let pos = self.peek_non_space().start;
        let mut args = Vec::new();
        loop {
            self.peek_non_space();
            if let Some(operand) = self.operand()? {
                args.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.back(),
                Kind::Pipe => {}
                _ => return self.unexpected(token, "operand"),
            }
            break;
        }
        if args.is_empty() {
            return self.error("empty command");
        }
        Ok(Command { pos, args })
    }

    /// A term and the fields that follow it without space.
    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(mut operand) = self.term()? else { return Ok(None) };
        let first = self.peek();
        if first.kind != Kind::Field {
            return Ok(Some(operand));
        }
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            let token = self.next();
            fields.push(Str::from(&self.text[token.start + 1..token.end]));
        }
        match &mut operand.term {
            Term::Field(names) | Term::Variable { fields: names, .. } => {
                names.append(&mut fields);
                // Go gives the joined node the place of its second part.
                operand.pos = first.start;
                Ok(Some(operand))
            }
            Term::Bool(_) | Term::String { .. } | Term::Number(_) | Term::Nil | Term::Dot => {
                self.error(format!("unexpected . after term {}", quote(operand.to_string().as_bytes())))
            }
            _ => Ok(Some(Operand { pos: first.start, term: Term::Chain { of: Box::new(operand), fields } })),
        }
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        let token = self.next_non_space();
        let span = (token.start, token.end);
        let number = |parser: &Self, number: Result<Number, String>| match number {
            Ok(number) => Ok(Term::Number(Box::new(number))),
            Err(message) => parser.error_at(message, span),
        };
        let term = match token.kind {
            Kind::Identifier => match self.functions.find(self.value(token)) {
                Some((function, builtin)) => Term::Function { function, builtin },
                None => return Err(Box::new(self.unknown_function(token))),
            },
            Kind::Dot => Term::Dot,
            Kind::Nil => Term::Nil,
            Kind::Variable => {
                let name = self.word(token);
                if !self.scope.vars.contains(&name) {
                    let message = format!("undefined variable {}", quote(name.as_bytes()));
                    let known = self.scope.vars.iter().filter_map(Str::as_str).filter(|known| known.len() > 1);
                    let meant = crate::diagnostic::suggest(self.value(token), known);
                    return Err(Box::new(self.failure(message, span).code("undefined-variable").suggest(meant)));
                }
                Term::Variable { name, fields: Vec::new() }
            }
            Kind::Field => Term::Field(vec![Str::from(&self.text[token.start + 1..token.end])]),
            Kind::Bool => Term::Bool(self.value(token) == "true"),
            Kind::CharConstant => number(self, Number::character(self.value(token)))?,
            Kind::Complex => number(self, Number::pair(self.value(token)))?,
            Kind::Number => number(self, Number::plain(self.value(token)))?,
            Kind::LeftParen => {
                self.nest("max expression depth exceeded")?;
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.nesting -= 1;
                Term::Pipe(pipe)
            }
            Kind::String | Kind::RawString => Term::String { literal: self.word(token), value: self.literal(token)? },
            _ => {
                self.back();
                return Ok(None);
            }
        };
        Ok(Some(Operand { pos: token.start, term }))
    }

    fn unknown_function(&self, token: Token) -> ParseError {
        let name = self.value(token);
        let meant = crate::diagnostic::suggest(name, self.functions.names());
        self.failure(format!("function {} not defined", quote(name.as_bytes())), (token.start, token.end))
            .code("unknown-function")
            .suggest(meant)
    }
}
