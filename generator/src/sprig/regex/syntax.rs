//! Go's pattern syntax, checked as Go checks it and written anew for the `regex` crate.
//!
//! Every piece comes out fully spelled: classes as ranges, flags on the piece they govern, names dropped. Errors are Go's. Source: Go
//! 1.26 `regexp/syntax/parse.go`. Invariant: what [`translate`] returns means to the `regex` crate what the input means to Go.

use std::fmt::Write as _;

/// Groups inside groups at most; Go's own limit.
pub(super) const NESTING_MAX: u32 = 1000;
/// Repetitions at most, nested ones multiplied; Go's own limit.
const REPEAT_MAX: u32 = 1000;

/// What is wrong with a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {code}: `{part}`")]
pub(super) struct Error {
    code: &'static str,
    part: String,
}

fn fail<T>(code: &'static str, part: &str) -> Result<T, Error> {
    Err(Error { code, part: part.to_owned() })
}

/// A pattern for the `regex` crate.
#[derive(Debug)]
pub(super) struct Translated {
    pub(super) pattern: String,
    /// Names of the groups, the whole match first.
    pub(super) names: Vec<String>,
}

/// Translates a pattern.
pub(super) fn translate(pattern: &str) -> Result<Translated, Error> {
    let mut parser = Parser {
        whole: pattern,
        rest: pattern,
        flags: Flags::default(),
        groups: vec![Group::default()],
        names: vec![String::new()],
    };
    parser.run()?;
    let [only] = &mut parser.groups[..] else { return fail("missing closing )", pattern) };
    Ok(Translated { pattern: std::mem::take(only).finish().text, names: parser.names })
}

#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    fold: bool,
    multiline: bool,
    dot_newline: bool,
    lazy: bool,
}

/// A finished piece, and the largest product of repetitions in it.
#[derive(Debug, Clone, Default)]
struct Piece {
    text: String,
    repeats: u32,
}

/// An open group: finished alternatives, and the pieces of the one at hand.
#[derive(Debug, Default)]
struct Group {
    alternatives: Vec<Piece>,
    pieces: Vec<Piece>,
    captures: bool,
    outer_flags: Flags,
}

impl Group {
    fn end_alternative(&mut self) {
        let pieces = std::mem::take(&mut self.pieces);
        let repeats = pieces.iter().map(|piece| piece.repeats).max().unwrap_or(1);
        let text = pieces.into_iter().map(|piece| piece.text).collect();
        self.alternatives.push(Piece { text, repeats });
    }

    fn finish(mut self) -> Piece {
        self.end_alternative();
        let repeats = self.alternatives.iter().map(|piece| piece.repeats).max().unwrap_or(1);
        let texts: Vec<String> = self.alternatives.into_iter().map(|piece| piece.text).collect();
        Piece { text: texts.join("|"), repeats }
    }
}

struct Parser<'p> {
    whole: &'p str,
    rest: &'p str,
    flags: Flags,
    groups: Vec<Group>,
    names: Vec<String>,
}

impl<'p> Parser<'p> {
    fn run(&mut self) -> Result<(), Error> {
        // Where the repetition before began, if that is what came last.
        let mut last_repeat: Option<&'p str> = None;
        while let Some(first) = self.rest.chars().next() {
            let before = self.rest;
            let mut repeat = None;
            match first {
                '(' => self.open()?,
                ')' => self.close()?,
                '|' => {
                    self.skip(1);
                    self.group().end_alternative();
                }
                '^' => self.assertion(1, if self.flags.multiline { "(?m:^)" } else { r"\A" }),
                '$' => self.assertion(1, if self.flags.multiline { "(?m:$)" } else { r"\z" }),
                '.' => self.assertion(1, if self.flags.dot_newline { "(?s:.)" } else { r"[^\n]" }),
                '[' => self.class()?,
                '*' | '+' | '?' => {
                    self.skip(1);
                    let bounds = match first {
                        '*' => (0, None),
                        '+' => (1, None),
                        _ => (0, Some(1)),
                    };
                    self.repeat(before, &first.to_string(), bounds, last_repeat)?;
                    repeat = Some(before);
                }
                '{' => match counted(before) {
                    None => self.literal_next(),
                    Some((min, max, after)) => {
                        self.rest = after;
                        let part = &before[..before.len() - after.len()];
                        let in_range = |n: i64| (0..=i64::from(REPEAT_MAX)).contains(&n);
                        let ok = in_range(min) && max.is_none_or(|max| in_range(max) && min <= max);
                        let (Ok(low), true) = (u32::try_from(min), ok) else {
                            return fail("invalid repeat count", part);
                        };
                        let high = max.map(|max| u32::try_from(max).unwrap_or(REPEAT_MAX));
                        self.repeat(before, part, (low, high), last_repeat)?;
                        repeat = Some(before);
                    }
                },
                '\\' => self.escape()?,
                _ => self.literal_next(),
            }
            last_repeat = repeat;
        }
        Ok(())
    }

    fn group(&mut self) -> &mut Group {
        self.groups.last_mut().expect("the outermost group is never closed")
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    fn push(&mut self, text: String) {
        self.group().pieces.push(Piece { text, repeats: 1 });
    }

    fn assertion(&mut self, bytes: usize, text: &str) {
        self.skip(bytes);
        self.push(text.to_owned());
    }

    fn literal_next(&mut self) {
        if let Some(c) = self.rest.chars().next() {
            self.skip(c.len_utf8());
            self.literal(u32::from(c));
        }
    }

    fn literal(&mut self, code: u32) {
        let mut class = Class::default();
        class.range(code, code);
        self.push_class(&class);
    }

    fn push_class(&mut self, class: &Class) {
        let text = class.text();
        self.push(if self.flags.fold { format!("(?i:{text})") } else { text });
    }

    fn open(&mut self) -> Result<(), Error> {
        if self.groups.len() as u64 > u64::from(NESTING_MAX) {
            return fail("expression nests too deeply", self.whole);
        }
        if self.rest.starts_with("(?") {
            return self.open_special();
        }
        self.skip(1);
        self.capture(String::new());
        Ok(())
    }

    fn capture(&mut self, name: String) {
        self.names.push(name);
        self.groups.push(Group { captures: true, outer_flags: self.flags, ..Group::default() });
    }

    /// `(?P<name>`, `(?<name>`, `(?flags)` or `(?flags:`.
    fn open_special(&mut self) -> Result<(), Error> {
        let start = self.rest;
        let named = start.strip_prefix("(?P<").or_else(|| start.strip_prefix("(?<"));
        if let Some(after) = named.filter(|after| !after.is_empty()) {
            let Some(end) = after.find('>') else { return fail("invalid named capture", start) };
            let (name, rest) = (&after[..end], &after[end + 1..]);
            if name.is_empty() || !name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) {
                return fail("invalid named capture", &start[..start.len() - rest.len()]);
            }
            self.rest = rest;
            self.capture(name.to_owned());
            return Ok(());
        }
        let mut flags = self.flags;
        let (mut on, mut saw_flag) = (true, false);
        let unsupported = |end: usize| fail("invalid or unsupported Perl syntax", &start[..end]);
        for (at, c) in start[2..].char_indices() {
            let end = 2 + at + c.len_utf8();
            match c {
                'i' => flags.fold = on,
                'm' => flags.multiline = on,
                's' => flags.dot_newline = on,
                'U' => flags.lazy = on,
                '-' if on => {
                    (on, saw_flag) = (false, false);
                    continue;
                }
                ':' | ')' if on || saw_flag => {
                    self.rest = &start[end..];
                    if c == ':' {
                        self.groups.push(Group { outer_flags: self.flags, ..Group::default() });
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => return unsupported(end),
            }
            saw_flag = true;
        }
        unsupported(start.len())
    }

    fn close(&mut self) -> Result<(), Error> {
        if self.groups.len() < 2 {
            return fail("unexpected )", self.whole);
        }
        self.skip(1);
        let group = self.groups.pop().expect("counted above");
        self.flags = group.outer_flags;
        let open = if group.captures { "(" } else { "(?:" };
        let Piece { text, repeats } = group.finish();
        self.group().pieces.push(Piece { text: format!("{open}{text})"), repeats });
        Ok(())
    }

    fn repeat(
        &mut self,
        before: &'p str,
        operator: &str,
        (min, max): (u32, Option<u32>),
        last: Option<&'p str>,
    ) -> Result<(), Error> {
        let mut lazy = self.flags.lazy;
        if let Some(after) = self.rest.strip_prefix('?') {
            self.rest = after;
            lazy = !lazy;
        }
        let part = |from: &'p str, rest: &str| &from[..from.len() - rest.len()];
        let rest = self.rest;
        if let Some(last) = last {
            return fail("invalid nested repetition operator", part(last, rest));
        }
        let Some(piece) = self.group().pieces.last_mut() else {
            return fail("missing argument to repetition operator", part(before, rest));
        };
        if operator.starts_with('{') {
            // Zero repetitions take what is inside with them.
            let times = match max {
                Some(0) => 0,
                Some(max) => max,
                None => min,
            };
            piece.repeats = if times == 0 { 1 } else { piece.repeats.saturating_mul(times) };
            if (min >= 2 || max.is_some_and(|max| max >= 2)) && piece.repeats > REPEAT_MAX {
                return fail("invalid repeat count", part(before, rest));
            }
        }
        let count = match (operator, max) {
            ("*" | "+" | "?", _) => operator.to_owned(),
            (_, None) => format!("{{{min},}}"),
            (_, Some(max)) => format!("{{{min},{max}}}"),
        };
        piece.text = format!("(?:{}){count}{}", piece.text, if lazy { "?" } else { "" });
        Ok(())
    }

    fn escape(&mut self) -> Result<(), Error> {
        match self.rest.as_bytes().get(1) {
            Some(b'A') => self.assertion(2, r"\A"),
            Some(b'z') => self.assertion(2, r"\z"),
            Some(b'b') => self.assertion(2, r"(?-u:\b)"),
            Some(b'B') => self.assertion(2, r"(?-u:\B)"),
            Some(b'C') => return fail("invalid escape sequence", &self.rest[..2]),
            Some(b'Q') => {
                let (literal, after) = self.rest[2..].split_once(r"\E").unwrap_or((&self.rest[2..], ""));
                self.rest = after;
                for c in literal.chars() {
                    self.literal(u32::from(c));
                }
            }
            _ => {
                let mut class = Class::default();
                if self.class_escape(&mut class)? {
                    self.push_class(&class);
                } else {
                    let code = self.character_escape()?;
                    self.literal(code);
                }
            }
        }
        Ok(())
    }

    /// `\d`, `\pL` and the like; false where something else stands.
    fn class_escape(&mut self, class: &mut Class) -> Result<bool, Error> {
        let Some(letter) = self.rest.strip_prefix('\\').and_then(|rest| rest.chars().next()) else { return Ok(false) };
        let ranges = match letter.to_ascii_lowercase() {
            'd' => DIGIT,
            's' => SPACE,
            'w' => WORD,
            'p' => return self.unicode_class(class).map(|()| true),
            _ => return Ok(false),
        };
        self.skip(2);
        class.group(ranges, letter.is_ascii_uppercase());
        Ok(true)
    }

    fn unicode_class(&mut self, class: &mut Class) -> Result<(), Error> {
        let start = self.rest;
        let mut negated = start.starts_with(r"\P");
        let after = &start[2..];
        let Some(first) = after.chars().next() else { return fail("invalid UTF-8", "") };
        let (name, rest) = if first == '{' {
            let Some(end) = after.find('}') else { return fail("invalid character class range", start) };
            (&after[1..end], &after[end + 1..])
        } else {
            after.split_at(first.len_utf8())
        };
        let plain = name.strip_prefix('^').unwrap_or(name);
        negated ^= plain.len() != name.len();
        let Some(known) = unicode_name(plain) else {
            return fail("invalid character class range", &start[..start.len() - rest.len()]);
        };
        self.rest = rest;
        let _ = write!(class.text, "\\{}{{{known}}}", if negated { 'P' } else { 'p' });
        Ok(())
    }

    fn character_escape(&mut self) -> Result<u32, Error> {
        let start = self.rest;
        let mut chars = start[1..].chars();
        let Some(c) = chars.next() else { return fail("trailing backslash at end of expression", "") };
        let value = match c {
            '0'..='7' if c == '0' || chars.as_str().starts_with(|c| ('0'..='7').contains(&c)) => {
                let mut value = c as u32 - '0' as u32;
                for _ in 0..2 {
                    let Some(digit) = chars.as_str().chars().next().and_then(|c| c.to_digit(8)) else { break };
                    chars.next();
                    value = value * 8 + digit;
                }
                Some(value)
            }
            'x' => hexadecimal(&mut chars)?,
            'a' => Some(0x07),
            'f' => Some(0x0c),
            'n' => Some(0x0a),
            'r' => Some(0x0d),
            't' => Some(0x09),
            'v' => Some(0x0b),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(u32::from(c)),
            _ => None,
        };
        self.rest = chars.as_str();
        match value {
            Some(value) => Ok(value),
            None => fail("invalid escape sequence", &start[..start.len() - self.rest.len()]),
        }
    }

    fn class(&mut self) -> Result<(), Error> {
        let start = self.rest;
        self.skip(1);
        let mut class = Class::default();
        if let Some(after) = self.rest.strip_prefix('^') {
            self.rest = after;
            class.negated = true;
        }
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            first = false;
            if self.rest.starts_with("[:") && self.rest.len() > 2 && self.named_class(&mut class)? {
                continue;
            }
            if self.class_escape(&mut class)? {
                continue;
            }
            let range = self.rest;
            let low = self.class_character(start)?;
            let mut high = low;
            if self.rest.len() >= 2 && self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                self.skip(1);
                high = self.class_character(start)?;
                if high < low {
                    return fail("invalid character class range", &range[..range.len() - self.rest.len()]);
                }
            }
            class.range(low, high);
        }
        self.skip(1);
        self.push_class(&class);
        Ok(())
    }

    fn class_character(&mut self, whole: &str) -> Result<u32, Error> {
        match self.rest.chars().next() {
            None => fail("missing closing ]", whole),
            Some('\\') => self.character_escape(),
            Some(c) => {
                self.skip(c.len_utf8());
                Ok(u32::from(c))
            }
        }
    }

    /// `[:alpha:]`; false where the brackets are not closed.
    fn named_class(&mut self, class: &mut Class) -> Result<bool, Error> {
        let Some(end) = self.rest[2..].find(":]") else { return Ok(false) };
        let whole = &self.rest[..end + 4];
        let name = &self.rest[2..end + 2];
        let plain = name.strip_prefix('^').unwrap_or(name);
        let Some((_, ranges)) = POSIX.iter().find(|(known, _)| *known == plain) else {
            return fail("invalid character class range", whole);
        };
        self.skip(whole.len());
        class.group(ranges, plain.len() != name.len());
        Ok(true)
    }
}

fn hexadecimal(chars: &mut std::str::Chars<'_>) -> Result<Option<u32>, Error> {
    match chars.next() {
        Some('{') => {
            let mut value: u32 = 0;
            let mut digits = 0;
            loop {
                match chars.next() {
                    Some('}') => return Ok((digits > 0).then_some(value)),
                    Some(c) => {
                        let Some(digit) = c.to_digit(16) else { return Ok(None) };
                        value = value * 16 + digit;
                        digits += 1;
                        if value > 0x0010_ffff {
                            return Ok(None);
                        }
                    }
                    None => return Ok(None),
                }
            }
        }
        Some(high) => {
            // Go asks for a second character before it looks at the first.
            let Some(low) = chars.next() else { return Ok(None) };
            Ok(high.to_digit(16).zip(low.to_digit(16)).map(|(high, low)| high * 16 + low))
        }
        None => Ok(None),
    }
}

/// Reads `{2}`, `{2,}` or `{2,3}`; anything else is text. A number too large to hold is -1.
fn counted(text: &str) -> Option<(i64, Option<i64>, &str)> {
    let rest = text.strip_prefix('{')?;
    let (min, rest) = number(rest)?;
    let (max, rest) = match rest.strip_prefix(',') {
        None => (Some(min), rest),
        Some(rest) if rest.starts_with('}') => (None, rest),
        Some(rest) => {
            let (max, rest) = number(rest)?;
            (Some(max), rest)
        }
    };
    Some((min, max, rest.strip_prefix('}')?))
}

fn number(text: &str) -> Option<(i64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 || (digits > 1 && text.starts_with('0')) {
        return None;
    }
    let value = text[..digits].parse::<i64>().ok().filter(|n| *n < 1_000_000_000).unwrap_or(-1);
    Some((value, &text[digits..]))
}

/// Returns how the `regex` crate calls a class of Unicode that Go knows: a general category, a script, or one of three more.
fn unicode_name(name: &str) -> Option<String> {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ')) {
        return None;
    }
    if matches!(name.to_ascii_lowercase().as_str(), "any" | "assigned" | "ascii") {
        return Some(name.to_owned());
    }
    ["gc", "sc"].into_iter().map(|property| format!("{property}={name}")).find(|query| {
        // The crate's own tables decide; a script by its short name is let through, too.
        regex::Regex::new(&format!("\\p{{{query}}}")).is_ok()
    })
}

type Ranges = &'static [(char, char)];

const DIGIT: Ranges = &[('0', '9')];
const SPACE: Ranges = &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')];
const WORD: Ranges = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];

const POSIX: &[(&str, Ranges)] = &[
    ("alnum", &[('0', '9'), ('A', 'Z'), ('a', 'z')]),
    ("alpha", &[('A', 'Z'), ('a', 'z')]),
    ("ascii", &[('\0', '\x7f')]),
    ("blank", &[('\t', '\t'), (' ', ' ')]),
    ("cntrl", &[('\0', '\x1f'), ('\x7f', '\x7f')]),
    ("digit", DIGIT),
    ("graph", &[('!', '~')]),
    ("lower", &[('a', 'z')]),
    ("print", &[(' ', '~')]),
    ("punct", &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')]),
    ("space", &[('\t', '\r'), (' ', ' ')]),
    ("upper", &[('A', 'Z')]),
    ("word", WORD),
    ("xdigit", &[('0', '9'), ('A', 'F'), ('a', 'f')]),
];

/// A set of characters under construction.
#[derive(Debug, Default)]
struct Class {
    text: String,
    negated: bool,
}

impl Class {
    fn range(&mut self, low: u32, high: u32) {
        // Surrogates are no characters; no text holds one.
        let (low, high) = match (low, high) {
            (0xd800..=0xdfff, 0xd800..=0xdfff) => return,
            (0xd800..=0xdfff, high) => (0xe000, high),
            (low, 0xd800..=0xdfff) => (low, 0xd7ff),
            both => both,
        };
        let _ = write!(self.text, "\\x{{{low:x}}}-\\x{{{high:x}}}");
    }

    fn group(&mut self, ranges: Ranges, negated: bool) {
        let mut group = Class { negated, ..Class::default() };
        for (low, high) in ranges {
            group.range(u32::from(*low), u32::from(*high));
        }
        self.text.push_str(&group.text());
    }

    fn text(&self) -> String {
        match (self.text.is_empty(), self.negated) {
            (true, false) => r"[^\x{0}-\x{10ffff}]".to_owned(),
            (true, true) => r"[\x{0}-\x{10ffff}]".to_owned(),
            (false, negated) => format!("[{}{}]", if negated { "^" } else { "" }, self.text),
        }
    }
}
