//! One verb, one basic value: numbers, strings and runes under width, precision and flags.
//!
//! Truth: Go's `fmt` package. Knows nothing of format strings or composite values.

use super::float::append_float;
use super::quote::{Charset, can_backquote, is_print, quote_with};
use crate::value::{Text, first_rune, runes};

/// The flags, width and precision between `%` and the verb.
#[derive(Clone, Debug, Default)]
pub(super) struct Spec {
    pub width: Option<usize>,
    pub precision: Option<usize>,
    pub minus: bool,
    pub plus: bool,
    pub sharp: bool,
    pub space: bool,
    pub zero: bool,
    /// `%+v`: field names.
    pub plus_v: bool,
    /// `%#v`: Go syntax.
    pub sharp_v: bool,
}

impl Spec {
    /// Appends text padded to the width, which counts runes.
    pub(super) fn pad(&self, out: &mut Text, text: &[u8]) {
        let missing = match self.width {
            Some(width) if width > 0 => width.saturating_sub(runes(text).count()),
            _ => 0,
        };
        if self.minus {
            out.push_bytes(text);
            self.fill(out, missing);
        } else {
            self.fill(out, missing);
            out.push_bytes(text);
        }
    }

    /// Appends padding: zeros only on the left.
    fn fill(&self, out: &mut Text, count: usize) {
        let byte = if self.zero && !self.minus { "0" } else { " " };
        out.push_str(&byte.repeat(count));
    }

    fn without_zero(&self) -> Spec {
        Spec { zero: false, ..self.clone() }
    }

    /// `%t`.
    pub(super) fn boolean(&self, out: &mut Text, b: bool) {
        self.pad(out, if b { b"true" } else { b"false" });
    }

    /// Integers of all verbs but `c q U`.
    pub(super) fn integer(&self, out: &mut Text, negative: bool, magnitude: u64, verb: char) {
        let mut precision = self.precision.unwrap_or(0);
        if self.precision == Some(0) && magnitude == 0 {
            return out.push_str(&" ".repeat(self.width.unwrap_or(0)));
        }
        if self.precision.is_none()
            && self.zero
            && !self.minus
            && let Some(width) = self.width
        {
            precision = width.saturating_sub(usize::from(negative || self.plus || self.space));
        }
        let digits = match verb {
            'b' => format!("{magnitude:b}"),
            'o' | 'O' => format!("{magnitude:o}"),
            'x' => format!("{magnitude:x}"),
            'X' => format!("{magnitude:X}"),
            _ => magnitude.to_string(),
        };
        let mut text = String::new();
        text.push_str(match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        });
        if verb == 'O' {
            text.push_str("0o");
        }
        let zeros = precision.saturating_sub(digits.len());
        if self.sharp {
            text.push_str(match verb {
                'b' => "0b",
                'o' | 'O' if zeros == 0 && !digits.starts_with('0') => "0",
                'x' => "0x",
                'X' => "0X",
                _ => "",
            });
        }
        text.push_str(&"0".repeat(zeros));
        text.push_str(&digits);
        self.without_zero().pad(out, text.as_bytes());
    }

    /// `%c`: the rune itself.
    pub(super) fn rune(&self, out: &mut Text, code: u64) {
        self.pad(out, rune_of(code).encode_utf8(&mut [0; 4]).as_bytes());
    }

    /// `%q` of an integer: the rune in single quotes.
    pub(super) fn quoted_rune(&self, out: &mut Text, code: u64) {
        let rune = rune_of(code);
        let charset = if self.plus { Charset::Ascii } else { Charset::Unicode };
        self.pad(out, quote_with(rune.encode_utf8(&mut [0; 4]).as_bytes(), '\'', charset).as_bytes());
    }

    /// `%U`: `U+0078`, with `#` also the character.
    pub(super) fn unicode(&self, out: &mut Text, code: u64) {
        let precision = self.precision.unwrap_or(0).max(4);
        let mut text = format!("U+{code:0precision$X}");
        if self.sharp
            && let Some(rune) = u32::try_from(code).ok().and_then(char::from_u32).filter(|&r| is_print(r))
        {
            text.push_str(&format!(" '{rune}'"));
        }
        self.without_zero().pad(out, text.as_bytes());
    }

    /// Floats; `form` as for `strconv`, `precision` where the format gives none.
    pub(super) fn float(&self, out: &mut Text, x: f64, form: u8, precision: Option<usize>) {
        let precision = self.precision.or(precision);
        let mut number = String::new();
        append_float(&mut number, x, form, precision);
        if !number.starts_with(['+', '-']) {
            number.insert(0, '+');
        }
        if self.space && number.starts_with('+') && !self.plus {
            number.replace_range(..1, " ");
        }
        if x.is_infinite() || x.is_nan() {
            let drop_sign = x.is_nan() && !self.space && !self.plus || number.starts_with('+') && !self.plus;
            return self.without_zero().pad(out, &number.as_bytes()[usize::from(drop_sign && x.is_nan())..]);
        }
        if self.sharp && form != b'b' {
            number = with_point(&number, form, precision);
        }
        if self.plus || !number.starts_with('+') {
            let missing = self.width.unwrap_or(0).saturating_sub(number.len());
            if self.zero && !self.minus && missing > 0 {
                out.push_str(&number[..1]);
                self.fill(out, missing);
                return out.push_str(&number[1..]);
            }
            return self.pad(out, number.as_bytes());
        }
        self.pad(out, &number.as_bytes()[1..]);
    }

    /// `%s`.
    pub(super) fn string(&self, out: &mut Text, text: &[u8]) {
        self.pad(out, self.truncated(text));
    }

    /// `%q`.
    pub(super) fn quoted(&self, out: &mut Text, text: &[u8]) {
        let text = self.truncated(text);
        if self.sharp && can_backquote(text) {
            let mut raw = Vec::with_capacity(text.len() + 2);
            raw.push(b'`');
            raw.extend_from_slice(text);
            raw.push(b'`');
            return self.pad(out, &raw);
        }
        let charset = if self.plus { Charset::Ascii } else { Charset::Unicode };
        self.pad(out, quote_with(text, '"', charset).as_bytes());
    }

    /// `%x` and `%X` of strings and bytes.
    pub(super) fn hex_bytes(&self, out: &mut Text, bytes: &[u8], upper: bool) {
        let bytes = &bytes[..self.precision.map_or(bytes.len(), |precision| precision.min(bytes.len()))];
        if bytes.is_empty() {
            return self.fill(out, self.width.unwrap_or(0));
        }
        let mark = match (self.sharp, upper) {
            (false, _) => "",
            (true, false) => "0x",
            (true, true) => "0X",
        };
        let mut text = String::from(mark);
        for (index, byte) in bytes.iter().enumerate() {
            if self.space && index > 0 {
                text.push(' ');
                text.push_str(mark);
            }
            text.push_str(&if upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
        }
        let missing = self.width.unwrap_or(0).saturating_sub(text.len());
        if !self.minus {
            self.fill(out, missing);
        }
        out.push_str(&text);
        if self.minus {
            self.fill(out, missing);
        }
    }

    /// Returns at most `precision` runes.
    fn truncated<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        let Some(precision) = self.precision else { return text };
        let end = runes(text).nth(precision).map_or(text.len(), |(at, ..)| at);
        &text[..end]
    }
}

/// Returns the rune of a code point, U+FFFD where there is none.
fn rune_of(code: u64) -> char {
    u32::try_from(code).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// Adds the decimal point and the trailing zeros that `#` asks for.
fn with_point(number: &str, form: u8, precision: Option<usize>) -> String {
    let is_hex = matches!(form, b'x' | b'X');
    let tail_at = number[1..].find(|c| matches!(c, 'p' | 'P') || !is_hex && matches!(c, 'e' | 'E'));
    let (head, tail) = number.split_at(tail_at.map_or(number.len(), |at| at + 1));
    let wanted = match form {
        b'g' | b'G' | b'x' => precision.unwrap_or(6),
        _ => 0,
    };
    let significant = head[1..].chars().filter(|&c| c != '.').skip_while(|&c| c == '0').count();
    let mut digits = wanted.saturating_sub(significant);
    let mut out = head.to_owned();
    if !head.contains('.') {
        if &head[1..] == "0" {
            digits = digits.saturating_sub(1);
        }
        out.push('.');
    }
    out.push_str(&"0".repeat(digits));
    out.push_str(tail);
    out
}

/// Returns the first rune of a format string's rest and its width in bytes.
pub(super) fn verb_at(format: &[u8]) -> (char, usize) {
    first_rune(format).unwrap_or((char::REPLACEMENT_CHARACTER, 0))
}
