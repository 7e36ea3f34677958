//! Template text into tokens.
//!
//! The whole text is cut at once; the parser walks the tokens by index. Trim markers (`{{- `, ` -}}`) and comments
//! are settled here and never seen again. Truth: Go's `text/template/parse` lexer, its error texts included.
//! Invariant: tokens lie in the text in order, without overlap, and end with [`Kind::Eof`] or [`Kind::Error`].

use super::print::{is_alphanumeric, is_print, quote};
use crate::value::first_rune;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Error,
    Bool,
    /// A printable ASCII character with no meaning of its own, such as a comma.
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    Block,
    Break,
    Continue,
    Dot,
    Define,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

impl Kind {
    /// Reports whether messages write the token as `<if>` rather than `"if"`.
    fn is_keyword(self) -> bool {
        matches!(
            self,
            Kind::Block
                | Kind::Break
                | Kind::Continue
                | Kind::Dot
                | Kind::Define
                | Kind::Else
                | Kind::End
                | Kind::If
                | Kind::Nil
                | Kind::Range
                | Kind::Template
                | Kind::With
        )
    }
}

/// A token: its kind and the bytes it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

/// The tokens of a text; where lexing failed the last one is an error and `error` says why.
#[derive(Debug)]
pub(super) struct Tokens {
    pub tokens: Vec<Token>,
    pub error: String,
}

impl Tokens {
    /// Returns the token as error messages show it.
    pub(super) fn describe(&self, token: Token, text: &[u8]) -> String {
        let value = &text[token.start..token.end];
        match token.kind {
            Kind::Eof => "EOF".to_owned(),
            Kind::Error => self.error.clone(),
            kind if kind.is_keyword() => format!("<{}>", String::from_utf8_lossy(value)),
            _ if value.len() > 10 => {
                let end = crate::value::runes(value).nth(10).map_or(value.len(), |(at, ..)| at);
                format!("{}...", quote(&value[..end]))
            }
            _ => quote(value),
        }
    }
}

/// Cuts a text into tokens.
pub(super) fn lex(text: &[u8]) -> Tokens {
    let mut lexer = Lexer { text, at: 0, start: 0, parens: 0, tokens: Vec::with_capacity(text.len() / 8 + 2) };
    let error = match lexer.run() {
        Ok(()) => String::new(),
        Err(error) => {
            let start = lexer.start.min(text.len());
            lexer.tokens.push(Token { kind: Kind::Error, start, end: lexer.at.clamp(start, text.len()) });
            error
        }
    };
    Tokens { tokens: lexer.tokens, error }
}

const LEFT: &[u8] = b"{{";
const RIGHT: &[u8] = b"}}";

struct Lexer<'t> {
    text: &'t [u8],
    /// The next byte to read.
    at: usize,
    /// Where the token being read began.
    start: usize,
    /// Open parentheses of the current action.
    parens: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn run(&mut self) -> Result<(), String> {
        while let Some(found) = find(&self.text[self.at..], LEFT) {
            let delim = self.at + found;
            let inside = delim + LEFT.len();
            let trim = self.trims_left(inside);
            let text_end = if trim { self.at + trim_end(&self.text[self.at..delim]) } else { delim };
            self.at = text_end;
            if text_end > self.start {
                self.emit(Kind::Text);
            }
            let body = if trim { inside + 2 } else { inside };
            (self.start, self.at) = (delim, inside);
            if self.text[body..].starts_with(b"/*") {
                (self.start, self.at) = (body, body);
                self.comment()?;
            } else {
                self.emit(Kind::LeftDelim);
                (self.start, self.at) = (body, body);
                self.action()?;
            }
        }
        self.at = self.text.len();
        if self.at > self.start {
            self.emit(Kind::Text);
        }
        self.emit(Kind::Eof);
        Ok(())
    }

    fn emit(&mut self, kind: Kind) {
        self.tokens.push(Token { kind, start: self.start, end: self.at });
        self.start = self.at;
    }

    /// Skips a comment; it stands right after the delimiter and must end right before one.
    fn comment(&mut self) -> Result<(), String> {
        let Some(end) = find(&self.text[self.at + 2..], b"*/") else {
            return Err("unclosed comment".to_owned());
        };
        self.at += 2 + end + 2;
        if !self.skip_right_delim() {
            return Err("comment ends before closing delimiter".to_owned());
        }
        Ok(())
    }

    /// Skips the right delimiter, with or without trim marker, and what it trims; false where there is none.
    fn skip_right_delim(&mut self) -> bool {
        let trim = self.at_trimmed_right_delim(self.at);
        if !trim && !self.text[self.at..].starts_with(RIGHT) {
            return false;
        }
        self.at += if trim { 4 } else { 2 };
        if trim {
            self.at += self.text[self.at..].iter().take_while(|&&b| is_space(b)).count();
        }
        self.start = self.at;
        true
    }

    /// Reports a trim marker after the left delimiter that ends at `at`.
    fn trims_left(&self, at: usize) -> bool {
        matches!(self.text[at..], [b'-', space, ..] if is_space(space))
    }

    /// Reports ` -}}` at a place.
    fn at_trimmed_right_delim(&self, at: usize) -> bool {
        matches!(self.text[at..], [space, b'-', b'}', b'}', ..] if is_space(space))
    }

    /// Emits the right delimiter the lexer stands on.
    fn right_delim(&mut self) {
        let trim = self.at_trimmed_right_delim(self.at);
        self.start = if trim { self.at + 2 } else { self.at };
        self.at = self.start + RIGHT.len();
        self.emit(Kind::RightDelim);
        if trim {
            self.at += self.text[self.at..].iter().take_while(|&&b| is_space(b)).count();
            self.start = self.at;
        }
    }

    /// Cuts one action, from after its left delimiter to its right one.
    fn action(&mut self) -> Result<(), String> {
        self.parens = 0;
        loop {
            if self.at_trimmed_right_delim(self.at) || self.text[self.at..].starts_with(RIGHT) {
                if self.parens > 0 {
                    return Err("unclosed left paren".to_owned());
                }
                self.right_delim();
                return Ok(());
            }
            let Some((rune, width)) = first_rune(&self.text[self.at..]) else {
                return Err("unclosed action".to_owned());
            };
            match rune {
                ' ' | '\t' | '\r' | '\n' => {
                    if self.space() {
                        self.right_delim();
                        return Ok(());
                    }
                    continue;
                }
                '=' => self.single(Kind::Assign),
                ':' => {
                    self.at += 1;
                    if self.text.get(self.at) != Some(&b'=') {
                        return Err("expected :=".to_owned());
                    }
                    self.single(Kind::Declare);
                }
                '|' => self.single(Kind::Pipe),
                '"' => self.quoted(b'"', Kind::String, "unterminated quoted string")?,
                '\'' => self.quoted(b'\'', Kind::CharConstant, "unterminated character constant")?,
                '`' => self.raw_string()?,
                '$' => self.field_or_variable(Kind::Variable)?,
                '.' if self.text.get(self.at + 1).is_some_and(|b| !b.is_ascii_digit()) => {
                    self.field_or_variable(Kind::Field)?;
                }
                '.' | '+' | '-' | '0'..='9' => self.number()?,
                rune if is_alphanumeric(rune) => self.identifier()?,
                '(' => {
                    self.parens += 1;
                    self.single(Kind::LeftParen);
                }
                ')' => {
                    let Some(parens) = self.parens.checked_sub(1) else {
                        self.at += 1;
                        return Err("unexpected right paren".to_owned());
                    };
                    self.parens = parens;
                    self.single(Kind::RightParen);
                }
                rune if rune.is_ascii() && is_print(rune) => self.single(Kind::Char),
                rune => {
                    self.at += width;
                    return Err(format!("unrecognized character in action: {}", unicode(rune)));
                }
            }
        }
    }

    fn single(&mut self, kind: Kind) {
        self.at += 1;
        self.emit(kind);
    }

    /// Cuts a run of spaces. A single space that belongs to ` -}}` is left alone, and true is returned.
    fn space(&mut self) -> bool {
        let spaces = self.text[self.at..].iter().take_while(|&&b| is_space(b)).count();
        self.at += spaces;
        if self.at_trimmed_right_delim(self.at - 1) {
            self.at -= 1;
            if spaces == 1 {
                return true;
            }
        }
        self.emit(Kind::Space);
        false
    }

    fn quoted(&mut self, mark: u8, kind: Kind, unterminated: &str) -> Result<(), String> {
        self.at += 1;
        loop {
            match self.text.get(self.at) {
                Some(b'\\') => match self.text.get(self.at + 1) {
                    None | Some(b'\n') => return Err(unterminated.to_owned()),
                    Some(_) => self.at += 2,
                },
                None | Some(b'\n') => return Err(unterminated.to_owned()),
                Some(&byte) => {
                    self.at += 1;
                    if byte == mark {
                        self.emit(kind);
                        return Ok(());
                    }
                }
            }
        }
    }

    fn raw_string(&mut self) -> Result<(), String> {
        match find(&self.text[self.at + 1..], b"`") {
            Some(end) => {
                self.at += end + 2;
                self.emit(Kind::RawString);
                Ok(())
            }
            None => {
                self.at = self.text.len();
                Err("unterminated raw quoted string".to_owned())
            }
        }
    }

    fn identifier(&mut self) -> Result<(), String> {
        self.word()?;
        let kind = match &self.text[self.start..self.at] {
            b"block" => Kind::Block,
            b"break" => Kind::Break,
            b"continue" => Kind::Continue,
            b"define" => Kind::Define,
            b"else" => Kind::Else,
            b"end" => Kind::End,
            b"if" => Kind::If,
            b"range" => Kind::Range,
            b"nil" => Kind::Nil,
            b"template" => Kind::Template,
            b"with" => Kind::With,
            b"true" | b"false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.emit(kind);
        Ok(())
    }

    fn field_or_variable(&mut self, kind: Kind) -> Result<(), String> {
        self.at += 1;
        if self.at_terminator() {
            self.emit(if kind == Kind::Field { Kind::Dot } else { kind });
            return Ok(());
        }
        self.word()?;
        self.emit(kind);
        Ok(())
    }

    /// Reads letters and digits up to something that may follow a word.
    fn word(&mut self) -> Result<(), String> {
        while let Some((rune, width)) = first_rune(&self.text[self.at..]) {
            if !is_alphanumeric(rune) {
                if self.at_terminator() {
                    break;
                }
                return Err(format!("bad character {}", unicode(rune)));
            }
            self.at += width;
        }
        Ok(())
    }

    /// Reports whether a word may end here: catches `$x+2`, which is no arithmetic.
    fn at_terminator(&self) -> bool {
        match self.text.get(self.at) {
            None | Some(b' ' | b'\t' | b'\r' | b'\n' | b'.' | b',' | b'|' | b':' | b')' | b'(') => true,
            Some(_) => self.text[self.at..].starts_with(RIGHT),
        }
    }

    fn number(&mut self) -> Result<(), String> {
        let mut good = self.scan_number();
        let mut kind = Kind::Number;
        if good && matches!(self.text.get(self.at), Some(b'+' | b'-')) {
            kind = Kind::Complex;
            good = self.scan_number() && self.text[self.at - 1] == b'i';
        }
        if !good {
            return Err(format!("bad number syntax: {}", quote(&self.text[self.start..self.at])));
        }
        self.emit(kind);
        Ok(())
    }

    /// Reads something like a number; the parser looks closer. False where a letter follows.
    fn scan_number(&mut self) -> bool {
        self.accept(b"+-");
        let mut digits: &[u8] = b"0123456789_";
        if self.accept(b"0") {
            if self.accept(b"xX") {
                digits = b"0123456789abcdefABCDEF_";
            } else if self.accept(b"oO") {
                digits = b"01234567_";
            } else if self.accept(b"bB") {
                digits = b"01_";
            }
        }
        while self.accept(digits) {}
        if self.accept(b".") {
            while self.accept(digits) {}
        }
        let exponent: &[u8] = match digits.len() {
            11 => b"eE",
            23 => b"pP",
            _ => b"",
        };
        if self.accept(exponent) {
            self.accept(b"+-");
            while self.accept(b"0123456789_") {}
        }
        self.accept(b"i");
        match first_rune(&self.text[self.at..]) {
            Some((rune, width)) if is_alphanumeric(rune) => {
                self.at += width;
                false
            }
            _ => true,
        }
    }

    fn accept(&mut self, set: &[u8]) -> bool {
        let found = self.text.get(self.at).is_some_and(|byte| set.contains(byte));
        self.at += usize::from(found);
        found
    }
}

/// `U+0041 'A'`, as `%#U` prints a rune.
fn unicode(rune: char) -> String {
    let code = u32::from(rune);
    if is_print(rune) { format!("U+{code:04X} '{rune}'") } else { format!("U+{code:04X}") }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Returns the length without trailing space.
fn trim_end(text: &[u8]) -> usize {
    text.iter().rposition(|&b| !is_space(b)).map_or(0, |last| last + 1)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    // Two-byte needles only: a byte search and a look at the next byte.
    let (&first, rest) = what.split_first()?;
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|&b| b == first) {
        if text[from + at + 1..].starts_with(rest) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds(text: &str) -> Vec<(Kind, &str)> {
        let tokens = lex(text.as_bytes()).tokens;
        tokens.iter().map(|t| (t.kind, &text[t.start..t.end])).collect()
    }

    #[test]
    fn trim_markers_eat_space_and_need_it() {
        let trimmed = kinds("a \n{{- 3 -}}\t b");
        assert_eq!(
            trimmed,
            [
                (Kind::Text, "a"),
                (Kind::LeftDelim, "{{"),
                (Kind::Number, "3"),
                (Kind::RightDelim, "}}"),
                (Kind::Text, "b"),
                (Kind::Eof, "")
            ]
        );
        assert_eq!(
            kinds("a {{-3}} b")[..4],
            [(Kind::Text, "a "), (Kind::LeftDelim, "{{"), (Kind::Number, "-3"), (Kind::RightDelim, "}}")]
        );
    }

    #[test]
    fn comments_leave_no_token() {
        assert_eq!(kinds("a {{- /* x }} y */ -}} b"), [(Kind::Text, "a"), (Kind::Text, "b"), (Kind::Eof, "")]);
        assert_eq!(lex(b"{{/* x */ }}").error, "comment ends before closing delimiter");
        assert_eq!(lex(b"{{/* x").error, "unclosed comment");
    }

    #[test]
    fn words_need_a_terminator() {
        assert_eq!(lex(b"{{$x+2}}").error, "bad character U+002B '+'");
        assert_eq!(lex("{{ \u{1} }}".as_bytes()).error, "unrecognized character in action: U+0001");
        assert_eq!(lex(b"{{ 3k }}").error, "bad number syntax: \"3k\"");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn tokens_lie_in_order_and_the_text_between_them_is_markup(text in r#"([a-z .$(){}|"'`*/=:,\n-]|\{\{|\}\}|\{\{- | -\}\}|/\*|\*/|é)*"#) {
            let tokens = lex(text.as_bytes()).tokens;
            let mut end = 0;
            for token in &tokens {
                prop_assert!(token.start >= end && token.end >= token.start && token.end <= text.len());
                let gap = &text[end..token.start];
                let markup = gap.chars().all(|c| c.is_whitespace() || c == '-') || gap.contains("/*");
                prop_assert!(markup || token.kind == Kind::Error, "{gap:?}");
                end = token.end;
            }
            prop_assert!(matches!(tokens.last().map(|t| t.kind), Some(Kind::Eof | Kind::Error)));
        }

        #[test]
        fn any_bytes_are_lexed(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            lex(&text);
        }
    }
}
