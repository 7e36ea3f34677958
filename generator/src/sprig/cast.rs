//! Numbers out of anything: the rules behind `int`, `int64`, `float64` and all arithmetic.
//!
//! Whatever cannot be read is 0, silently. Source: spf13/cast v1.7.0 `caste.go`, Go 1.26 `strconv`.

use crate::value::{Integer, Value};

/// `cast.ToInt64`, and `cast.ToInt`, which is the same on 64 bits.
pub(super) fn to_int64(value: &Value) -> i64 {
    match value {
        Value::Int(n) | Value::Int64(n) => *n,
        Value::Sized(n) => match n.widen() {
            Integer::Signed(n) => n,
            Integer::Unsigned(n) => n.cast_signed(),
        },
        Value::Float(x) => float_to_int(*x),
        Value::String(text) => text.as_str().and_then(|text| parse_int_any_base(trim_zero_decimal(text))).unwrap_or(0),
        Value::Bool(b) => i64::from(*b),
        other => super::dates::named_number(other).unwrap_or(0),
    }
}

/// `cast.ToFloat64`.
#[expect(clippy::cast_precision_loss, reason = "Go's conversion rounds alike")]
pub(super) fn to_float64(value: &Value) -> f64 {
    match value {
        Value::Float(x) => *x,
        Value::Int(n) | Value::Int64(n) => *n as f64,
        Value::Sized(n) => match n.widen() {
            Integer::Signed(n) => n as f64,
            Integer::Unsigned(n) => n as f64,
        },
        Value::String(text) => text.as_str().and_then(parse_float).unwrap_or(0.0),
        Value::Bool(b) => f64::from(u8::from(*b)),
        other => super::dates::named_number(other).unwrap_or(0) as f64,
    }
}

/// Go's conversion on amd64: towards zero, and the lowest number where it does not fit.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked first")]
pub(super) fn float_to_int(x: f64) -> i64 {
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&x) { x as i64 } else { i64::MIN }
}

/// `12.00` counts as `12`: zeros after the last point are cut, with the point.
fn trim_zero_decimal(text: &str) -> &str {
    let zeros = text.trim_end_matches('0');
    match zeros.strip_suffix('.') {
        Some(whole) if zeros.len() < text.len() => whole,
        _ => text,
    }
}

/// `strconv.ParseInt(text, 0, 64)`; `None` for what it refuses.
pub(super) fn parse_int_any_base(text: &str) -> Option<i64> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = unsigned.to_ascii_lowercase();
    let (digits, radix) = if let Some(digits) = lower.strip_prefix("0x") {
        (digits, 16)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        (digits, 2)
    } else if let Some(digits) = lower.strip_prefix("0o") {
        (digits, 8)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (&lower[1..], 8)
    } else {
        (lower.as_str(), 10)
    };
    if !underscores_separate_digits(&lower) {
        return None;
    }
    let digits = digits.replace('_', "");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(&digits, radix).ok()?;
    if negative {
        (magnitude <= 1 << 63).then(|| 0_i64.wrapping_sub_unsigned(magnitude))
    } else {
        i64::try_from(magnitude).ok()
    }
}

/// Every underscore stands between two digits; a base prefix counts as a digit. `text` is lower case and has no sign.
fn underscores_separate_digits(text: &str) -> bool {
    if !text.contains('_') {
        return true;
    }
    let prefixed = text.len() >= 2 && text.starts_with('0') && matches!(text.as_bytes()[1], b'b' | b'o' | b'x');
    let (body, hexadecimal) = if prefixed { (&text[2..], text.as_bytes()[1] == b'x') } else { (text, false) };
    let mut after_digit = prefixed;
    let mut after_underscore = false;
    for byte in body.bytes() {
        if byte.is_ascii_digit() || (hexadecimal && byte.is_ascii_hexdigit()) {
            (after_digit, after_underscore) = (true, false);
        } else if byte == b'_' {
            if !after_digit {
                return false;
            }
            (after_digit, after_underscore) = (false, true);
        } else {
            if after_underscore {
                return false;
            }
            (after_digit, after_underscore) = (false, false);
        }
    }
    !after_underscore
}

/// `strconv.Atoi` and `ParseInt(text, 10, 64)` with the error ignored: 0 for what is no number, the nearest end of the range for what is
/// too large.
pub(super) fn parse_int_clamped(text: &str, radix: u32) -> i64 {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return 0;
    }
    i64::from_str_radix(text, radix).unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX })
}

/// `strconv.ParseFloat(text, 64)`; `None` for what it refuses, too large numbers included.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    let unsigned = lower.strip_prefix(['-', '+']).unwrap_or(&lower);
    let special = matches!(unsigned, "inf" | "infinity" | "nan");
    if unsigned.starts_with("0x") {
        return parse_hexadecimal_float(unsigned).map(|x| if lower.starts_with('-') { -x } else { x });
    }
    if special {
        // Go knows no signed NaN.
        return if unsigned == "nan" && unsigned.len() != lower.len() { None } else { lower.parse().ok() };
    }
    if !underscores_separate_digits(unsigned) {
        return None;
    }
    lower.replace('_', "").parse::<f64>().ok().filter(|x| x.is_finite())
}

/// `0x1.8p3`: the exponent is not optional.
#[expect(clippy::cast_precision_loss, reason = "more than 53 bits of mantissa are rounded once")]
fn parse_hexadecimal_float(text: &str) -> Option<f64> {
    if !underscores_separate_digits(text) {
        return None;
    }
    let text = text.replace('_', "");
    let (mantissa, exponent) = text.strip_prefix("0x")?.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let value = u64::from_str_radix(&digits, 16).ok()? as f64;
    let exponent: i32 = exponent.parse().ok()?;
    let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?.checked_mul(4)?)?;
    let result = value * 2_f64.powi(shift);
    result.is_finite().then_some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_from_text() {
        let cases = [
            ("010", 8),
            ("08", 0),
            ("0x1A", 26),
            ("3.7", 0),
            ("3.00", 3),
            ("3.", 0),
            ("  5", 0),
            ("1_000", 1000),
            ("0_7", 7),
            ("_1", 0),
            ("1__0", 0),
            ("0x_f", 15),
            ("-0b11", -3),
            ("9223372036854775808", 0),
            ("-9223372036854775808", i64::MIN),
            ("", 0),
            ("+5", 5),
            ("-", 0),
            ("0", 0),
        ];
        for (text, expected) in cases {
            assert_eq!(to_int64(&Value::from(text)), expected, "{text}");
        }
        assert_eq!(parse_int_clamped("99999999999999999999", 10), i64::MAX);
        assert_eq!(parse_int_clamped("1_0", 10), 0);
    }

    #[test]
    fn floats_from_text() {
        for (text, expected) in
            [("1e3", 1000.0), (".5", 0.5), ("0x1p-2", 0.25), ("1e400", 0.0), ("x", 0.0), ("1_0.5", 10.5), ("1__0", 0.0)]
        {
            assert!((to_float64(&Value::from(text)) - expected).abs() < f64::EPSILON, "{text}");
        }
        assert_eq!(float_to_int(1e30), i64::MIN);
        assert_eq!(float_to_int(-1.9), -1);
    }
}
