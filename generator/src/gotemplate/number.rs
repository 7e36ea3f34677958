//! Number literals: Go's untyped constants.
//!
//! A literal takes the type of the parameter it is given to, if it fits exactly; without one its spelling decides.
//! Truth: `newNumber` of Go's `text/template/parse` and `idealConstant` of `text/template`.

use super::print::{Unit, quote, unquote_char};
use crate::value::{SizedInt, Type, Value};

/// A number literal with every reading it allows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Number {
    pub int: Option<i64>,
    pub uint: Option<u64>,
    pub float: Option<f64>,
    pub complex: Option<(f64, f64)>,
    /// As written.
    pub text: String,
}

impl Number {
    /// Reads a character constant such as `'a'`.
    pub(super) fn character(text: &str) -> Result<Number, String> {
        let invalid = || "invalid syntax".to_owned();
        let (unit, tail) = unquote_char(&text.as_bytes()[1..], b'\'').ok_or_else(invalid)?;
        let code = match unit {
            Unit::Rune(rune) => u32::from(rune),
            Unit::Byte(byte) => byte.into(),
            Unit::Surrogate => return Err(invalid()),
        };
        if tail != b"'" {
            return Err(format!("malformed character constant: {text}"));
        }
        Ok(Number {
            int: Some(code.into()),
            uint: Some(code.into()),
            float: Some(code.into()),
            complex: None,
            text: text.to_owned(),
        })
    }

    /// Reads a pair such as `1+2i`.
    pub(super) fn pair(text: &str) -> Result<Number, String> {
        // The sign of an exponent is not the one that parts the pair; in hexadecimal `e` is a digit.
        let after_exponent = |at: usize| match text.as_bytes()[at - 1] {
            b'p' | b'P' => true,
            b'e' | b'E' => !text[..at].contains(['x', 'X']),
            _ => false,
        };
        let sign = (1..text.len()).rev().find(|&at| text[at..].starts_with(['+', '-']) && !after_exponent(at));
        let (re, im) = text.split_at(sign.unwrap_or(0));
        let scanning = "syntax error scanning complex number";
        let im = im.strip_suffix('i').ok_or(scanning)?;
        let prefixed = |part: &str| {
            let digits = part.trim_start_matches(['+', '-']).to_ascii_lowercase();
            digits.starts_with("0b") || digits.starts_with("0o")
        };
        if re.ends_with('i') || prefixed(re) || prefixed(im) || im.len() < 2 {
            return Err(scanning.to_owned());
        }
        let part = |part: &str| {
            read_float(part).map_err(|why| format!("strconv.ParseFloat: parsing {}: {why}", quote(part.as_bytes())))
        };
        let (re, im) = (part(re)?, part(im)?);
        Ok(Number::complex(re, im, text))
    }

    /// Reads a number that is not a pair.
    pub(super) fn plain(text: &str) -> Result<Number, String> {
        if let Some(im) = text.strip_suffix('i').and_then(parse_float) {
            return Ok(Number::complex(0.0, im, text));
        }
        let mut number = Number { text: text.to_owned(), ..Number::default() };
        number.uint = if text.starts_with(['+', '-']) { None } else { parse_magnitude(text) };
        number.int = parse_int(text);
        if number.int == Some(0) {
            number.uint = Some(0);
        }
        #[expect(clippy::cast_precision_loss, reason = "constants round like Go's")]
        let whole = number.int.map(|n| n as f64).or(number.uint.map(|n| n as f64));
        number.float = whole;
        if whole.is_none()
            && let Some(x) = parse_float(text)
        {
            if !text.contains(['.', 'e', 'E', 'p', 'P']) {
                return Err(format!("integer overflow: {}", quote(text.as_bytes())));
            }
            number.float = Some(x);
            number.int = float_as_int(x);
            number.uint = float_as_uint(x);
        }
        if number.float.is_none() {
            return Err(format!("illegal number syntax: {}", quote(text.as_bytes())));
        }
        Ok(number)
    }

    fn complex(re: f64, im: f64, text: &str) -> Number {
        let mut number = Number { complex: Some((re, im)), text: text.to_owned(), ..Number::default() };
        if im == 0.0 {
            number.float = Some(re);
            number.int = float_as_int(re);
            number.uint = float_as_uint(re);
        }
        number
    }

    /// Returns the value where no type is asked for: the spelling decides between `int` and `float64`.
    pub(super) fn untyped(&self) -> Result<Value, String> {
        let text = &self.text;
        if let Some((re, im)) = self.complex {
            return Ok(Value::Complex(re, im));
        }
        let hex = text.len() > 2 && text.starts_with("0x") | text.starts_with("0X") && !text.contains(['p', 'P']);
        let rune = text.starts_with('\'');
        if let Some(x) = self.float.filter(|_| !hex && !rune && text.contains(['.', 'e', 'E', 'p', 'P'])) {
            return Ok(Value::Float(x));
        }
        self.int.map(Value::Int).ok_or_else(|| format!("{text} overflows int"))
    }

    /// Returns the value as a parameter of a numeric type, or what was expected instead.
    pub(super) fn typed(&self, wanted: Type) -> Result<Value, &'static str> {
        let int = || self.int.ok_or("integer");
        let uint = || self.uint.ok_or("unsigned integer");
        // Go's SetInt and SetUint drop the bits that do not fit.
        #[expect(clippy::cast_possible_truncation, reason = "as Go truncates")]
        Ok(match wanted {
            Type::Int => Value::Int(int()?),
            Type::Int64 => Value::Int64(int()?),
            Type::Duration => Value::Duration(int()?),
            Type::Int8 => Value::Sized(SizedInt::Int8(int()? as i8)),
            Type::Int16 => Value::Sized(SizedInt::Int16(int()? as i16)),
            Type::Int32 => Value::Sized(SizedInt::Int32(int()? as i32)),
            Type::Uint => Value::Sized(SizedInt::Uint(uint()?)),
            Type::Uint8 => Value::Sized(SizedInt::Uint8(uint()? as u8)),
            Type::Uint16 => Value::Sized(SizedInt::Uint16(uint()? as u16)),
            Type::Uint32 => Value::Sized(SizedInt::Uint32(uint()? as u32)),
            Type::Uint64 => Value::Sized(SizedInt::Uint64(uint()?)),
            Type::Float64 => Value::Float(self.float.ok_or("float")?),
            Type::Complex128 => self.complex.map(|(re, im)| Value::Complex(re, im)).ok_or("complex")?,
            _ => return Err("number"),
        })
    }
}

/// Returns the float as an integer if it is one and fits.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn float_as_int(x: f64) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (x.fract() == 0.0 && (-LIMIT..LIMIT).contains(&x)).then_some(x as i64)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
fn float_as_uint(x: f64) -> Option<u64> {
    (x.fract() == 0.0 && (0.0..18_446_744_073_709_551_616.0).contains(&x)).then_some(x as u64)
}

/// `strconv.ParseInt(text, 0, 64)`.
fn parse_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = parse_magnitude(digits)?;
    if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// `strconv.ParseUint(text, 0, 64)`: prefixes `0x 0o 0b 0`, underscores between digits.
fn parse_magnitude(text: &str) -> Option<u64> {
    if !underscores_are_good(text) {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let (base, digits) = match lower.as_bytes() {
        [b'0', b'x', _, ..] => (16, &lower[2..]),
        [b'0', b'b', _, ..] => (2, &lower[2..]),
        [b'0', b'o', _, ..] => (8, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &*lower),
    };
    let digits: String = digits.chars().filter(|&c| c != '_').collect();
    if digits.is_empty() || digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(&digits, base).ok()
}

/// Reports whether underscores only stand between digits, or right after a base prefix.
fn underscores_are_good(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text).as_bytes();
    if !text.contains(&b'_') {
        return true;
    }
    let (mut before, mut at, mut hex) = (b'^', 0, false);
    if let [b'0', prefix, ..] = text
        && matches!(prefix.to_ascii_lowercase(), b'b' | b'o' | b'x')
    {
        (before, at, hex) = (b'0', 2, prefix.eq_ignore_ascii_case(&b'x'));
    }
    for &byte in &text[at..] {
        let now = if byte.is_ascii_digit() || hex && byte.is_ascii_hexdigit() { b'0' } else { byte };
        match (before, now) {
            (b'0', b'_') | (_, b'0') => {}
            (_, b'_') | (b'_', _) => return false,
            _ => {}
        }
        before = if matches!(now, b'0' | b'_') { now } else { b'!' };
    }
    before != b'_'
}

/// `strconv.ParseFloat(text, 64)`; `None` for bad syntax and for overflow.
fn parse_float(text: &str) -> Option<f64> {
    read_float(text).ok()
}

/// `strconv.ParseFloat(text, 64)`, with Go's reason why not.
fn read_float(text: &str) -> Result<f64, &'static str> {
    const SYNTAX: &str = "invalid syntax";
    if !underscores_are_good(text) {
        return Err(SYNTAX);
    }
    let text: String = text.chars().filter(|&c| c != '_').collect();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
    let x = if unsigned.starts_with("0x") || unsigned.starts_with("0X") {
        parse_hex_float(&unsigned[2..]).ok_or(SYNTAX)?
    } else {
        // Rust also reads words such as `inf`.
        let word = unsigned.bytes().any(|b| b.is_ascii_alphabetic() && !matches!(b, b'e' | b'E'));
        if word || !unsigned.bytes().any(|b| b.is_ascii_digit()) {
            return Err(SYNTAX);
        }
        unsigned.parse::<f64>().map_err(|_| SYNTAX)?
    };
    if x.is_infinite() {
        return Err("value out of range");
    }
    Ok(if text.starts_with('-') { -x } else { x })
}

/// Reads `1.8p3` of a hexadecimal float; the exponent is required. Rounds to even.
fn parse_hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let digits_of_exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if digits_of_exponent.is_empty() || !digits_of_exponent.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Anything past this is zero or infinite whatever the mantissa, whose length is bounded by the source.
    let exponent = exponent.parse::<i64>().unwrap_or(if exponent.starts_with('-') { -1 << 40 } else { 1 << 40 });
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut bits: u64 = 0;
    let mut scale = exponent.clamp(-1 << 40, 1 << 40) - 4 * i64::try_from(fraction.len()).ok()?;
    for digit in whole.chars().chain(fraction.chars()) {
        let digit = u64::from(digit.to_digit(16)?);
        if bits >> 60 == 0 {
            bits = bits << 4 | digit;
        } else {
            // Past 60 bits only "something is there" matters for rounding.
            bits |= u64::from(digit != 0);
            scale += 4;
        }
    }
    Some(scale_by_power_of_two(bits, scale))
}

/// Returns `bits * 2^scale`, rounded once, to even.
fn scale_by_power_of_two(bits: u64, scale: i64) -> f64 {
    if bits == 0 {
        return 0.0;
    }
    let top = 63 - i64::from(bits.leading_zeros());
    let exponent = top + scale;
    if exponent > 1023 {
        return f64::INFINITY;
    }
    // Bits the result can hold: 53, fewer below the normal range.
    let held = if exponent >= -1022 { 53 } else { 53 + exponent + 1022 };
    let drop = top + 1 - held;
    let (kept, drop_scale) = if drop <= 0 {
        (bits, scale)
    } else if drop > 64 {
        return 0.0;
    } else {
        let drop = u32::try_from(drop).unwrap_or(64);
        let kept = bits.checked_shr(drop).unwrap_or(0);
        let rest = bits - kept.checked_shl(drop).unwrap_or(0);
        let half = 1_u64 << (drop - 1);
        (kept + u64::from(rest > half || rest == half && kept & 1 == 1), scale + i64::from(drop))
    };
    // `kept` has at most 54 bits and both factors are exact, so these products do not round again.
    #[expect(clippy::cast_precision_loss, reason = "at most 54 bits, the 54th only as a power of two")]
    let mut x = kept as f64;
    let mut scale = drop_scale;
    while scale > 0 {
        let step = scale.min(1023);
        x *= power_of_two(step);
        scale -= step;
    }
    while scale < 0 {
        let step = scale.max(-1022);
        x *= power_of_two(step);
        scale -= step;
    }
    x
}

/// Returns `2^exponent` for a normal exponent.
fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(u64::try_from(exponent + 1023).unwrap_or(0) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_read_as_in_go() {
        let int = |text: &str| Number::plain(text).ok().and_then(|n| n.int);
        assert_eq!(int("0x1F"), Some(31));
        assert_eq!(int("0o17"), Some(15));
        assert_eq!(int("0b11"), Some(3));
        assert_eq!(int("017"), Some(15));
        assert_eq!(int("1_000"), Some(1000));
        assert_eq!(int("0x_ff"), Some(255));
        assert_eq!(int("1e3"), Some(1000));
        assert_eq!(int("1.5"), None);
        assert_eq!(int("9223372036854775807"), Some(i64::MAX));
        assert_eq!(int("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(Number::plain("18446744073709551615").map(|n| (n.int, n.uint)), Ok((None, Some(u64::MAX))));
        for bad in ["1__0", "1_", "0x", "089", "18446744073709551616", "1e400", "0x1.8", ".", "0b2"] {
            assert!(Number::plain(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hex_floats_round_to_even_and_reach_both_ends() {
        let float = |text: &str| Number::plain(text).ok().and_then(|n| n.float);
        assert_eq!(float("0x1p-2"), Some(0.25));
        assert_eq!(float("0x1.8p1"), Some(3.0));
        assert_eq!(float("0x1.fffffffffffffp1023"), Some(f64::MAX));
        assert_eq!(float("0x1p-1074"), Some(5e-324));
        assert_eq!(float("0x1p-1075"), Some(0.0));
        assert_eq!(float("0x1.8p-1075"), Some(5e-324));
        assert_eq!(float("0x1.00000000000008p0"), Some(1.0));
        assert_eq!(float("0x1.000000000000080001p0"), Some(1.0 + f64::EPSILON));
        assert_eq!(float("0x1p1024"), None);
        assert_eq!(float("0x1p-99999999999999999999"), Some(0.0));
    }

    #[test]
    fn pairs_and_characters() {
        assert_eq!(Number::pair("1+2i").map(|n| n.complex), Ok(Some((1.0, 2.0))));
        assert_eq!(Number::pair("1e+2-3e-1i").map(|n| n.complex), Ok(Some((100.0, -0.3))));
        assert_eq!(Number::plain("1i").map(|n| n.complex), Ok(Some((0.0, 1.0))));
        assert_eq!(Number::character("'a'").map(|n| n.int), Ok(Some(97)));
        assert_eq!(Number::character("'\\n'").map(|n| n.int), Ok(Some(10)));
        assert_eq!(Number::character("'ab'"), Err("malformed character constant: 'ab'".to_owned()));
        assert_eq!(Number::character("''"), Err("invalid syntax".to_owned()));
    }
}
