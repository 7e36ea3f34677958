//! How one scalar is written: which styles its characters allow, and each style with its folding.

use super::{Version, WIDTH, Writer};

/// How a scalar is set off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Literal,
}

/// Which styles the characters of a scalar allow.
pub(super) struct Analysis {
    multiline: bool,
    plain: bool,
    single_quoted: bool,
    block: bool,
}

impl Analysis {
    pub(super) fn of(text: &str, version: Version) -> Analysis {
        if text.is_empty() {
            return Analysis { multiline: false, plain: true, single_quoted: true, block: false };
        }
        let mut seen = Seen { indicators: text.starts_with("---") || text.starts_with("..."), ..Seen::default() };
        let mut chars = text.chars().peekable();
        let mut previous: Option<char> = None;
        while let Some(c) = chars.next() {
            seen.character(c, previous, chars.peek().copied(), version);
            previous = Some(c);
        }
        let edges = [text.chars().next(), text.chars().next_back()];
        let spaced = edges.into_iter().flatten().any(|c| c == ' ' || is_break(c));
        let unsafe_block = seen.space_break || seen.special;
        Analysis {
            multiline: seen.line_breaks,
            plain: !(spaced || seen.line_breaks || seen.indicators || seen.break_space || seen.tab || unsafe_block),
            single_quoted: !(seen.break_space || seen.tab || unsafe_block),
            block: !(text.ends_with(' ') || unsafe_block),
        }
    }

    /// Returns the wanted style, or the next one that the characters allow.
    pub(super) fn allowed(&self, wanted: Style, simple_key: bool, empty: bool) -> Style {
        let mut style = wanted;
        if simple_key && self.multiline {
            style = Style::DoubleQuoted;
        }
        if style == Style::Plain && (!self.plain || (empty && simple_key)) {
            style = Style::SingleQuoted;
        }
        if style == Style::SingleQuoted && !self.single_quoted {
            style = Style::DoubleQuoted;
        }
        if style == Style::Literal && (!self.block || simple_key) {
            style = Style::DoubleQuoted;
        }
        style
    }
}

#[derive(Default)]
struct Seen {
    indicators: bool,
    line_breaks: bool,
    special: bool,
    tab: bool,
    break_space: bool,
    space_break: bool,
}

impl Seen {
    fn character(&mut self, c: char, previous: Option<char>, next: Option<char>, version: Version) {
        let followed_by_blank = next.is_none_or(|n| n == ' ' || n == '\t');
        self.indicators |= match (c, previous) {
            ('#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`', None) => {
                true
            }
            ('?' | ':' | '-', None) | (':', Some(_)) => followed_by_blank,
            ('#', Some(p)) => p == ' ' || p == '\t' || p == '\0' || is_break(p),
            _ => false,
        };
        if c == '\t' && version == Version::V3 {
            self.tab = true;
        } else if !is_printable(c) {
            self.special = true;
        }
        if c == ' ' {
            self.break_space |= previous.is_some_and(is_break);
        } else if is_break(c) {
            self.line_breaks = true;
            self.space_break |= previous == Some(' ');
        }
    }
}

/// Reports whether a key can stand before its colon without a `?`.
pub(super) fn is_simple_key(key: &str) -> bool {
    key.len() <= 128 && !key.contains(is_break)
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What the emitter takes for printable: no tab, and nothing past the basic plane.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}')
}

impl Writer {
    fn copy(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    fn copy_break(&mut self, c: char) {
        if c == '\n' {
            self.put_break();
        } else {
            self.out.push(c);
            self.column = 0;
            if self.version == Version::V3 {
                self.indention = true;
            }
        }
    }

    /// Reports whether a space may become a line break here.
    fn folds(&self, allow_breaks: bool, after_space: bool) -> bool {
        self.version == Version::V2 && allow_breaks && !after_space && self.column > WIDTH
    }

    pub(super) fn write_plain(&mut self, text: &str, allow_breaks: bool) {
        if !self.whitespace && (self.version == Version::V2 || !text.is_empty()) {
            self.copy(' ');
        }
        let mut spaces = false;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if c == ' ' && self.folds(allow_breaks, spaces) && chars.peek() != Some(&' ') {
                self.write_indent();
                spaces = true;
                continue;
            }
            self.copy(c);
            spaces = c == ' ';
            if !spaces {
                self.indention = false;
            }
        }
        self.whitespace = false;
        self.indention = false;
    }

    pub(super) fn write_single_quoted(&mut self, text: &str, allow_breaks: bool) {
        self.indicator("'", true, false, false);
        let (mut spaces, mut breaks, mut first) = (false, false, true);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let inside = !std::mem::take(&mut first) && chars.peek().is_some();
            if c == ' ' {
                if inside && self.folds(allow_breaks, spaces) && chars.peek() != Some(&' ') {
                    self.write_indent();
                } else {
                    self.copy(c);
                }
                spaces = true;
            } else if is_break(c) {
                if !breaks && c == '\n' {
                    self.put_break();
                }
                self.copy_break(c);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                if c == '\'' {
                    self.copy('\'');
                }
                self.copy(c);
                self.indention = false;
                spaces = false;
                breaks = false;
            }
        }
        self.indicator("'", false, false, false);
        self.whitespace = false;
        self.indention = false;
    }

    pub(super) fn write_double_quoted(&mut self, text: &str, allow_breaks: bool) {
        self.indicator("\"", true, false, false);
        // The emitter looks for a byte order mark at the start of the text, not at the character at hand.
        let all_escaped = text.starts_with('\u{feff}');
        let (mut spaces, mut first) = (false, true);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let inside = !std::mem::take(&mut first) && chars.peek().is_some();
            if all_escaped || !is_printable(c) || is_break(c) || c == '"' || c == '\\' {
                self.escape(c);
                spaces = false;
            } else if c == ' ' {
                if inside && self.folds(allow_breaks, spaces) {
                    self.write_indent();
                    if chars.peek() == Some(&' ') {
                        self.copy('\\');
                    }
                } else {
                    self.copy(c);
                }
                spaces = true;
            } else {
                self.copy(c);
                spaces = false;
            }
        }
        self.indicator("\"", false, false, false);
        self.whitespace = false;
        self.indention = false;
    }

    fn escape(&mut self, c: char) {
        let short = match c {
            '\0' => "0",
            '\u{7}' => "a",
            '\u{8}' => "b",
            '\t' => "t",
            '\n' => "n",
            '\u{b}' => "v",
            '\u{c}' => "f",
            '\r' => "r",
            '\u{1b}' => "e",
            '"' => "\"",
            '\\' => "\\",
            '\u{85}' => "N",
            '\u{a0}' => "_",
            '\u{2028}' => "L",
            '\u{2029}' => "P",
            _ => "",
        };
        let code = u32::from(c);
        let text = match (short, code) {
            ("", 0..=0xff) => format!("\\x{code:02X}"),
            ("", 0x100..=0xffff) => format!("\\u{code:04X}"),
            ("", _) => format!("\\U{code:08X}"),
            (short, _) => format!("\\{short}"),
        };
        self.out.push_str(&text);
        self.column += text.len();
    }

    pub(super) fn write_literal(&mut self, text: &str) {
        self.indicator("|", true, false, false);
        if text.starts_with(|c| c == ' ' || is_break(c)) {
            self.indicator("2", false, false, false);
        }
        let mut ends = text.chars().rev();
        match (ends.next().is_some_and(is_break), ends.next()) {
            (false, _) => self.indicator("-", false, false, false),
            (true, before) if before.is_none_or(is_break) => self.indicator("+", false, false, false),
            (true, _) => {}
        }
        self.put_break();
        self.indention = true;
        self.whitespace = true;
        let mut breaks = true;
        for c in text.chars() {
            if is_break(c) {
                self.copy_break(c);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                self.copy(c);
                self.indention = false;
                breaks = false;
            }
        }
    }
}
