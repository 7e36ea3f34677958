//! How values print: Go's `fmt` and `strconv`, as far as templates can reach them.
//!
//! `{{ .x }}` is [`sprint`] of one value, `print`, `println` and `printf` are the functions of those names, and Sprig's
//! `toString`, `quote` and `cat` build on them. Truth: Go's `fmt` package, error forms such as `%!d(string=a)` included.
//! Addresses are never printed: where Go shows one, a constant stands, so that output stays deterministic.

mod float;
mod quote;
mod verbs;

pub use float::format_float;
pub(crate) use float::{append_int, append_shortest};
pub(crate) use quote::{Unit, append_quoted, is_alphanumeric, unquote, unquote_char};
pub use quote::{is_print, quote};

use super::limits::OUTPUT_BYTES_MAX;
use crate::value::{Elem, Integer, Kind, Object, Oversized, Str, Text, Value, Walk};
use verbs::{Spec, verb_at};

/// What stands for an address.
const ADDRESS: u64 = 0xc000_0100_0000;

/// Returns what `fmt.Sprint` does: values side by side, a space between two that are not strings.
///
/// # Errors
/// [`Oversized`] for cyclic values and the like; so for all functions here.
pub fn sprint(args: &[Value]) -> Result<Str, Oversized> {
    if let [Value::String(text)] = args {
        return Ok(text.clone());
    }
    let mut printer = Printer::new();
    let mut after_string = true;
    for arg in args {
        let is_string = matches!(arg, Value::String(_));
        if !is_string && !after_string {
            printer.out.push_str(" ");
        }
        printer.argument(arg, 'v')?;
        after_string = is_string;
    }
    Ok(printer.out.into())
}

/// Returns what `fmt.Sprintln` does: a space between all values, a newline at the end.
///
/// # Errors
/// As [`sprint`].
pub fn sprintln(args: &[Value]) -> Result<Str, Oversized> {
    let mut printer = Printer::new();
    for (index, arg) in args.iter().enumerate() {
        if index > 0 {
            printer.out.push_str(" ");
        }
        printer.argument(arg, 'v')?;
    }
    printer.out.push_str("\n");
    Ok(printer.out.into())
}

/// Returns what `fmt.Sprintf` does, its complaints about bad verbs and missing arguments included.
///
/// # Errors
/// As [`sprint`], and for output past the limit.
pub fn sprintf(format: impl AsRef<[u8]>, args: &[Value]) -> Result<Str, Oversized> {
    let mut printer = Printer { out: Text::with_capacity(format.as_ref().len() + 32), ..Printer::new() };
    printer.format(format.as_ref(), args)?;
    Ok(printer.out.into())
}

/// Returns one value as `%v` prints it; nil is `<nil>`.
///
/// # Errors
/// As [`sprint`].
pub fn to_text(value: &Value) -> Result<Str, Oversized> {
    sprint(std::slice::from_ref(value))
}

/// Returns what [`sprint`] does, but as an action prints: nil is `<no value>`, and a pointer is what it points to.
pub(crate) fn sprint_action(args: &[Value]) -> Result<Str, Oversized> {
    let mut printer = Printer::new();
    let mut after_string = true;
    for arg in args {
        let is_string = matches!(arg, Value::String(_) | Value::Nil);
        if !is_string && !after_string {
            printer.out.push_str(" ");
        }
        match arg {
            Value::Nil => printer.out.push_str("<no value>"),
            Value::Object(object) if object.kind() == Kind::Ptr && object.text().is_none() => {
                printer.structure(object.as_ref(), 'v', 0)?;
            }
            other => printer.argument(other, 'v')?,
        }
        after_string = is_string;
    }
    Ok(printer.out.into())
}

/// Returns the struct behind a pointer as `%v` prints it.
pub(crate) fn struct_text(object: &dyn Object) -> Result<Str, Oversized> {
    let mut printer = Printer::new();
    printer.structure(object, 'v', 0)?;
    Ok(printer.out.into())
}

/// Appends one value as `%v` prints it.
pub(crate) fn append(out: &mut Text, value: &Value) -> Result<(), Oversized> {
    match value {
        Value::String(text) => out.push_string(text),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(n) | Value::Int64(n) => append_int(out, *n),
        Value::Float(x) => append_shortest(out, *x),
        other => {
            let mut printer = Printer { out: std::mem::take(out), ..Printer::new() };
            let printed = printer.argument(other, 'v');
            *out = printer.out;
            printed?;
        }
    }
    Ok(())
}

/// Returns a duration as `time.Duration.String` does, such as `1h0m0.5s`.
pub fn format_duration(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let total = nanoseconds.unsigned_abs();
    let fraction = |value: u64, unit: u64, digits: usize| {
        let (whole, rest) = (value / unit, value % unit);
        let text = if rest == 0 { String::new() } else { format!(".{rest:0digits$}") };
        (whole, text.trim_end_matches('0').to_owned())
    };
    match total {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{total}ns"),
        1_000..1_000_000 => {
            let (whole, rest) = fraction(total, 1_000, 3);
            format!("{sign}{whole}{rest}µs")
        }
        1_000_000..1_000_000_000 => {
            let (whole, rest) = fraction(total, 1_000_000, 6);
            format!("{sign}{whole}{rest}ms")
        }
        _ => {
            let (seconds, rest) = fraction(total, 1_000_000_000, 9);
            let (minutes, hours) = (seconds / 60, seconds / 3600);
            let seconds = seconds % 60;
            match (hours, minutes) {
                (0, 0) => format!("{sign}{seconds}{rest}s"),
                (0, _) => format!("{sign}{minutes}m{seconds}{rest}s"),
                _ => format!("{sign}{hours}h{}m{seconds}{rest}s", minutes % 60),
            }
        }
    }
}

struct Printer {
    out: Text,
    spec: Spec,
    walk: Walk,
    /// Inside a `%!verb(...)` complaint `String()` methods are not called.
    complaining: bool,
}

impl Printer {
    fn new() -> Printer {
        Printer { out: Text::new(), spec: Spec::default(), walk: Walk::new(), complaining: false }
    }

    /// Formats one whole argument.
    fn argument(&mut self, value: &Value, verb: char) -> Result<(), Oversized> {
        if self.out.len() > OUTPUT_BYTES_MAX {
            return Err(Oversized);
        }
        match (value, verb) {
            (Value::Nil, 'T' | 'v') => self.spec.pad(&mut self.out, b"<nil>"),
            (Value::Nil, _) => self.bad_verb(value, verb)?,
            (_, 'T') => self.spec.string(&mut self.out, value.type_name().as_bytes()),
            (Value::Bytes(_) | Value::List(_) | Value::Map(_), 'p') => self.address(verb),
            (Value::Object(object), 'p') if object.kind() == Kind::Ptr => self.address(verb),
            (_, 'p') => self.bad_verb(value, verb)?,
            _ => self.value(value, verb, 0)?,
        }
        Ok(())
    }

    /// Formats a value, at the top or inside another.
    fn value(&mut self, value: &Value, verb: char, depth: usize) -> Result<(), Oversized> {
        self.walk.enter()?;
        if self.out.len() > OUTPUT_BYTES_MAX {
            return Err(Oversized);
        }
        // `%w` is for errors; what could have methods is refused before anything looks inside.
        let could_have_methods =
            matches!(value, Value::List(_) | Value::Map(_) | Value::Object(_) | Value::Duration(_));
        match value {
            _ if verb == 'w' && !self.complaining && (depth > 0 || could_have_methods) => self.bad_verb(value, verb)?,
            Value::Nil if verb == 'v' => self.out.push_str("<nil>"),
            Value::Nil => self.bad_verb(value, verb)?,
            Value::Bool(b) if matches!(verb, 't' | 'v') => self.spec.boolean(&mut self.out, *b),
            Value::Bool(_) => self.bad_verb(value, verb)?,
            Value::Duration(n) if !self.complaining && !self.spec.sharp_v && is_stringable(verb) => {
                self.string(value, format_duration(*n).as_bytes(), verb)?;
            }
            Value::Int(n) | Value::Int64(n) | Value::Duration(n) => self.integer(value, Integer::Signed(*n), verb)?,
            Value::Sized(n) => self.integer(value, n.widen(), verb)?,
            Value::Float(x) => self.float(value, *x, verb)?,
            Value::Complex(re, im) => self.complex(value, *re, *im, verb)?,
            Value::String(text) => self.string(value, text.as_bytes(), verb)?,
            Value::Bytes(bytes) => self.bytes(bytes, verb, depth)?,
            Value::List(list) => {
                let name = list.list_type().name;
                if self.spec.sharp_v && list.is_nil() {
                    self.out.push_str(name);
                    self.out.push_str("(nil)");
                } else {
                    let items = list.borrow();
                    self.items(name, &items, list.list_type().elem, verb, depth)?;
                }
            }
            Value::Map(map) => self.map(map, verb, depth)?,
            Value::Object(object) => self.object(value, object.as_ref(), verb, depth)?,
        }
        self.walk.leave();
        Ok(())
    }

    fn items(&mut self, name: &str, items: &[Value], elem: Elem, verb: char, depth: usize) -> Result<(), Oversized> {
        if self.spec.sharp_v {
            self.out.push_str(name);
        }
        self.out.push_str(if self.spec.sharp_v { "{" } else { "[" });
        for (index, item) in items.iter().enumerate() {
            self.separator(index);
            self.element(item, elem, verb, depth)?;
        }
        self.out.push_str(if self.spec.sharp_v { "}" } else { "]" });
        Ok(())
    }

    fn map(&mut self, map: &crate::value::Map, verb: char, depth: usize) -> Result<(), Oversized> {
        let map_type = map.map_type();
        if self.spec.sharp_v {
            self.out.push_str(map_type.name);
            if map.is_nil() {
                self.out.push_str("(nil)");
                return Ok(());
            }
        } else {
            self.out.push_str("map");
        }
        self.out.push_str(if self.spec.sharp_v { "{" } else { "[" });
        for (index, (key, value)) in map.borrow().iter().enumerate() {
            self.separator(index);
            self.value(&Value::String(key.clone()), verb, depth + 1)?;
            self.out.push_str(":");
            self.element(value, map_type.elem, verb, depth)?;
        }
        self.out.push_str(if self.spec.sharp_v { "}" } else { "]" });
        Ok(())
    }

    /// Formats what a list or map holds; a nil held as `interface {}` has its own forms.
    fn element(&mut self, value: &Value, elem: Elem, verb: char, depth: usize) -> Result<(), Oversized> {
        match value {
            Value::Nil if self.spec.sharp_v && elem == Elem::Any => self.out.push_str("interface {}(nil)"),
            Value::Nil => self.out.push_str("<nil>"),
            value => self.value(value, verb, depth + 1)?,
        }
        Ok(())
    }

    fn separator(&mut self, index: usize) {
        if index > 0 {
            self.out.push_str(if self.spec.sharp_v { ", " } else { " " });
        }
    }

    fn object(&mut self, value: &Value, object: &dyn Object, verb: char, depth: usize) -> Result<(), Oversized> {
        if !self.complaining
            && !self.spec.sharp_v
            && is_stringable(verb)
            && let Some(text) = object.text()
        {
            return self.string(&Value::Nil, text.as_bytes(), verb);
        }
        if object.kind() == Kind::Ptr {
            if depth > 0 {
                if !matches!(verb, 'v' | 'b' | 'o' | 'd' | 'x' | 'X') {
                    return self.bad_verb(value, verb);
                }
                self.address(verb);
                return Ok(());
            }
            self.out.push_str("&");
        }
        self.structure(object, verb, depth)
    }

    /// Formats the fields of a struct, whatever `String()` it has.
    fn structure(&mut self, object: &dyn Object, verb: char, depth: usize) -> Result<(), Oversized> {
        if self.spec.sharp_v {
            self.out.push_str(object.type_name().trim_start_matches('*'));
        }
        self.out.push_str("{");
        for (index, (name, value)) in object.all_fields().iter().enumerate() {
            self.separator(index);
            if self.spec.plus_v || self.spec.sharp_v {
                self.out.push_str(name);
                self.out.push_str(":");
            }
            self.element(value, Elem::Any, verb, depth + 1)?;
        }
        self.out.push_str("}");
        Ok(())
    }

    fn address(&mut self, verb: char) {
        let sharp = if verb == 'v' || verb == 'p' { !self.spec.sharp } else { self.spec.sharp };
        let verb = if matches!(verb, 'b' | 'o' | 'd' | 'X') { verb } else { 'x' };
        Spec { sharp, ..self.spec.clone() }.integer(&mut self.out, false, ADDRESS, verb);
    }

    fn string(&mut self, value: &Value, text: &[u8], verb: char) -> Result<(), Oversized> {
        match verb {
            'v' if self.spec.sharp_v => self.spec.quoted(&mut self.out, text),
            'v' | 's' => self.spec.string(&mut self.out, text),
            'x' | 'X' => self.spec.hex_bytes(&mut self.out, text, verb == 'X'),
            'q' => self.spec.quoted(&mut self.out, text),
            _ => self.bad_verb(value, verb)?,
        }
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8], verb: char, depth: usize) -> Result<(), Oversized> {
        match verb {
            's' => self.spec.string(&mut self.out, bytes),
            'x' | 'X' => self.spec.hex_bytes(&mut self.out, bytes, verb == 'X'),
            'q' => self.spec.quoted(&mut self.out, bytes),
            _ => {
                let items: Vec<Value> = bytes.iter().map(|&b| Value::Sized(crate::value::SizedInt::Uint8(b))).collect();
                let name = if depth == 0 && verb == 'v' { "[]byte" } else { "[]uint8" };
                self.items(name, &items, Elem::Int, verb, depth)?;
            }
        }
        Ok(())
    }

    fn integer(&mut self, value: &Value, n: Integer, verb: char) -> Result<(), Oversized> {
        let (negative, magnitude, bits) = match n {
            Integer::Signed(n) => (n < 0, n.unsigned_abs(), n.cast_unsigned()),
            Integer::Unsigned(n) => (false, n, n),
        };
        match verb {
            'v' if self.spec.sharp_v && matches!(n, Integer::Unsigned(_)) => {
                Spec { sharp: true, ..self.spec.clone() }.integer(&mut self.out, false, magnitude, 'x');
            }
            'v' | 'd' | 'b' | 'o' | 'O' | 'x' | 'X' => self.spec.integer(&mut self.out, negative, magnitude, verb),
            'c' => self.spec.rune(&mut self.out, bits),
            'q' => self.spec.quoted_rune(&mut self.out, bits),
            'U' => self.spec.unicode(&mut self.out, bits),
            _ => self.bad_verb(value, verb)?,
        }
        Ok(())
    }

    fn float(&mut self, value: &Value, x: f64, verb: char) -> Result<(), Oversized> {
        match verb {
            'v' => self.spec.float(&mut self.out, x, b'g', None),
            'b' => self.spec.float(&mut self.out, x, b'b', None),
            'g' => self.spec.float(&mut self.out, x, b'g', None),
            'G' => self.spec.float(&mut self.out, x, b'G', None),
            'x' => self.spec.float(&mut self.out, x, b'x', None),
            'X' => self.spec.float(&mut self.out, x, b'X', None),
            'f' | 'F' => self.spec.float(&mut self.out, x, b'f', Some(6)),
            'e' => self.spec.float(&mut self.out, x, b'e', Some(6)),
            'E' => self.spec.float(&mut self.out, x, b'E', Some(6)),
            _ => self.bad_verb(value, verb)?,
        }
        Ok(())
    }

    fn complex(&mut self, value: &Value, re: f64, im: f64, verb: char) -> Result<(), Oversized> {
        if !matches!(verb, 'v' | 'b' | 'g' | 'G' | 'x' | 'X' | 'f' | 'F' | 'e' | 'E') {
            return self.bad_verb(value, verb);
        }
        self.out.push_str("(");
        self.float(value, re, verb)?;
        let plus = std::mem::replace(&mut self.spec.plus, true);
        self.float(value, im, verb)?;
        self.spec.plus = plus;
        self.out.push_str("i)");
        Ok(())
    }

    /// `%!d(string=text)`.
    fn bad_verb(&mut self, value: &Value, verb: char) -> Result<(), Oversized> {
        let complaining = std::mem::replace(&mut self.complaining, true);
        self.out.push_str("%!");
        self.out.push(verb);
        self.out.push_str("(");
        if matches!(value, Value::Nil) {
            self.out.push_str("<nil>");
        } else {
            self.out.push_str(value.type_name());
            self.out.push_str("=");
            self.argument(value, 'v')?;
        }
        self.out.push_str(")");
        self.complaining = complaining;
        Ok(())
    }

    /// Formats a whole format string.
    fn format(&mut self, format: &[u8], args: &[Value]) -> Result<(), Oversized> {
        let mut cursor =
            Cursor { format, at: 0, args, next: 0, reordered: false, index_good: true, after_index: false };
        while cursor.at < format.len() {
            let text_end = format[cursor.at..].iter().position(|&b| b == b'%').map_or(format.len(), |p| cursor.at + p);
            self.out.push_bytes(&format[cursor.at..text_end]);
            cursor.at = text_end;
            if cursor.at < format.len() {
                self.directive(&mut cursor)?;
            }
        }
        if !cursor.reordered && cursor.next < args.len() {
            self.spec = Spec::default();
            self.out.push_str("%!(EXTRA ");
            for (index, arg) in args[cursor.next..].iter().enumerate() {
                if index > 0 {
                    self.out.push_str(", ");
                }
                if !matches!(arg, Value::Nil) {
                    self.out.push_str(arg.type_name());
                    self.out.push_str("=");
                }
                self.argument(arg, 'v')?;
            }
            self.out.push_str(")");
        }
        Ok(())
    }

    /// Formats one directive; the cursor stands on its `%`.
    fn directive(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Oversized> {
        cursor.at += 1;
        // Nearly all directives are a bare verb.
        if let (Some(verb @ (b's' | b'v' | b'd' | b'q')), Some(arg)) =
            (cursor.format.get(cursor.at), cursor.args.get(cursor.next))
        {
            cursor.at += 1;
            cursor.next += 1;
            self.spec = Spec::default();
            return self.bare(arg, char::from(*verb));
        }
        cursor.index_good = true;
        cursor.after_index = false;
        self.spec = cursor.flags();
        cursor.argument_index();
        self.width(cursor);
        self.precision(cursor);
        if !cursor.after_index {
            cursor.argument_index();
        }
        let (verb, width) = verb_at(&cursor.format[cursor.at..]);
        if width == 0 {
            self.out.push_str("%!(NOVERB)");
            return Ok(());
        }
        cursor.at += width;
        if verb == '%' {
            self.out.push_str("%");
        } else if !cursor.index_good {
            self.complain(verb, "(BADINDEX)");
        } else if let Some(arg) = cursor.args.get(cursor.next) {
            if matches!(verb, 'v' | 'w') {
                self.spec.sharp_v = std::mem::take(&mut self.spec.sharp);
                self.spec.plus_v = std::mem::take(&mut self.spec.plus);
            }
            cursor.next += 1;
            return self.argument(arg, verb);
        } else {
            self.complain(verb, "(MISSING)");
        }
        Ok(())
    }

    /// Formats an argument by a verb without flags.
    fn bare(&mut self, arg: &Value, verb: char) -> Result<(), Oversized> {
        match (arg, verb) {
            (Value::String(text), 's' | 'v') => self.out.push_string(text),
            (Value::Int(n) | Value::Int64(n), 'd' | 'v') => append_int(&mut self.out, *n),
            (Value::Float(x), 'v') => append_shortest(&mut self.out, *x),
            _ => return self.argument(arg, verb),
        }
        Ok(())
    }

    fn complain(&mut self, verb: char, about: &str) {
        self.out.push_str("%!");
        self.out.push(verb);
        self.out.push_str(about);
    }

    fn width(&mut self, cursor: &mut Cursor<'_>) {
        if !cursor.eat(b'*') {
            self.spec.width = cursor.number();
            if cursor.after_index && self.spec.width.is_some() {
                cursor.index_good = false;
            }
            return;
        }
        match cursor.integer_argument() {
            Some(width) => {
                if width < 0 {
                    self.spec.minus = true;
                    self.spec.zero = false;
                }
                self.spec.width = usize::try_from(width.unsigned_abs()).ok();
            }
            None => self.out.push_str("%!(BADWIDTH)"),
        }
        cursor.after_index = false;
    }

    fn precision(&mut self, cursor: &mut Cursor<'_>) {
        if cursor.at + 1 >= cursor.format.len() || !cursor.eat(b'.') {
            return;
        }
        if cursor.after_index {
            cursor.index_good = false;
        }
        cursor.argument_index();
        if !cursor.eat(b'*') {
            self.spec.precision = Some(cursor.number().unwrap_or(0));
            return;
        }
        self.spec.precision = cursor.integer_argument().and_then(|precision| usize::try_from(precision).ok());
        if self.spec.precision.is_none() {
            self.out.push_str("%!(BADPREC)");
        }
        cursor.after_index = false;
    }
}

/// Verbs that call a `String()` method.
fn is_stringable(verb: char) -> bool {
    matches!(verb, 'v' | 's' | 'x' | 'X' | 'q')
}

/// Where a format string and its arguments stand.
struct Cursor<'a> {
    format: &'a [u8],
    at: usize,
    args: &'a [Value],
    next: usize,
    /// An explicit index such as `[2]` was seen: leftover arguments are no mistake then.
    reordered: bool,
    /// The index of the current directive, if any, was valid.
    index_good: bool,
    /// The last thing read was an index.
    after_index: bool,
}

impl Cursor<'_> {
    /// Widths and precisions past this are taken for mistakes.
    const NUMBER_MAX: i64 = 1_000_000;

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.format.get(self.at) == Some(&byte);
        self.at += usize::from(found);
        found
    }

    fn flags(&mut self) -> Spec {
        let mut spec = Spec::default();
        while let Some(flag) = self.format.get(self.at) {
            match flag {
                b'#' => spec.sharp = true,
                b'0' => spec.zero = true,
                b'+' => spec.plus = true,
                b'-' => spec.minus = true,
                b' ' => spec.space = true,
                _ => break,
            }
            self.at += 1;
        }
        spec
    }

    /// Reads a decimal number; one that is far too large swallows the rest of the format, as in Go.
    fn number(&mut self) -> Option<usize> {
        let mut number = 0;
        let start = self.at;
        while let Some(digit) = self.format.get(self.at).filter(|b| b.is_ascii_digit()) {
            if number > Self::NUMBER_MAX {
                self.at = self.format.len();
                return None;
            }
            number = number * 10 + i64::from(digit - b'0');
            self.at += 1;
        }
        if self.at == start { None } else { usize::try_from(number).ok() }
    }

    /// Takes the next argument as a width or precision.
    fn integer_argument(&mut self) -> Option<i64> {
        let arg = self.args.get(self.next)?;
        self.next += 1;
        let number = match arg.as_integer()? {
            Integer::Signed(n) => n,
            Integer::Unsigned(n) => i64::try_from(n).ok()?,
        };
        (-Self::NUMBER_MAX..=Self::NUMBER_MAX).contains(&number).then_some(number)
    }

    /// Reads an explicit argument index such as `[2]`, if one stands here.
    fn argument_index(&mut self) {
        self.after_index = false;
        let rest = &self.format[self.at..];
        if rest.first() != Some(&b'[') {
            return;
        }
        self.reordered = true;
        let close = if rest.len() < 3 { None } else { rest.iter().position(|&b| b == b']') };
        let Some(close) = close else {
            self.at += 1;
            self.index_good = false;
            return;
        };
        let number = std::str::from_utf8(&rest[1..close]).ok().filter(|s| s.bytes().all(|b| b.is_ascii_digit()));
        let number = number.and_then(|s| s.parse::<usize>().ok()).filter(|&n| n <= 10_000_009);
        self.at += close + 1;
        match number {
            Some(number) if (1..=self.args.len()).contains(&number) => {
                self.next = number - 1;
                self.after_index = true;
            }
            Some(_) => {
                self.index_good = false;
                self.after_index = true;
            }
            None => self.index_good = false,
        }
    }
}

#[cfg(test)]
mod tests;
