//! Which type a scalar has: the YAML 1.1 rules that `kubectl` and Helm apply.
//!
//! Truth is goyaml.v2 (`resolve.go`, as bundled by sigs.k8s.io/yaml 1.4) followed by encoding/json: a manifest is first typed as YAML and
//! then lives as JSON, where a number is a 64-bit signed integer if its digits fit one and a 64-bit float otherwise. Knows nothing of
//! positions, collections or quoting. Invariant: [`plain`] is total; what it cannot type is text.

use std::borrow::Cow;

use serde_json::{Number, Value};

/// What a plain (unquoted, untagged) scalar means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Plain {
    Null,
    Bool(bool),
    Int(i64),
    /// An integer above the signed range.
    Unsigned(u64),
    /// May be infinite or not a number, which JSON has no word for.
    Float(f64),
    Text,
}

impl Plain {
    /// Returns the tag in goyaml's words.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Plain::Null => "!!null",
            Plain::Bool(_) => "!!bool",
            Plain::Int(_) | Plain::Unsigned(_) => "!!int",
            Plain::Float(_) => "!!float",
            Plain::Text => "!!str",
        }
    }
}

/// Returns the meaning of a plain scalar.
pub(super) fn plain(text: &str) -> Plain {
    match text.as_bytes().first() {
        None => Plain::Null,
        Some(b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~') => word(text),
        Some(b'.') => match special_float(text) {
            Some(float) => Plain::Float(float),
            None => go_float(text).map_or(Plain::Text, Plain::Float),
        },
        Some(b'+' | b'-' | b'0'..=b'9') => special_float(text).map_or_else(|| number(text), Plain::Float),
        Some(_) => Plain::Text,
    }
}

fn word(text: &str) -> Plain {
    match text {
        "~" | "null" | "Null" | "NULL" => Plain::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Plain::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Plain::Bool(false),
        _ => Plain::Text,
    }
}

fn special_float(text: &str) -> Option<f64> {
    match text {
        ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

/// Types what starts with a sign or a digit.
fn number(text: &str) -> Plain {
    let digits: Cow<'_, str> = if text.contains('_') { text.replace('_', "").into() } else { text.into() };
    if let Some(int) = go_int(&digits) {
        return int;
    }
    if is_decimal_float(&digits)
        && let Some(float) = finite(&digits)
    {
        return Plain::Float(float);
    }
    // goyaml strips the prefix and parses again, so that a sign may follow `0b`.
    match digits.strip_prefix("0b").map(|rest| i64::from_str_radix(rest, 2)) {
        Some(Ok(int)) => Plain::Int(int),
        Some(Err(_)) | None => Plain::Text,
    }
}

/// Parses as Go's `strconv.ParseInt(text, 0, 64)`, then as `strconv.ParseUint(text, 0, 64)`.
fn go_int(text: &str) -> Option<Plain> {
    let (negative, signed, rest) = match text.as_bytes().first()? {
        b'-' => (true, true, text.get(1..)?),
        b'+' => (false, true, text.get(1..)?),
        _ => (false, false, text),
    };
    let (radix, digits) = match rest.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, rest.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, rest.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, rest.get(2..)?),
        [b'0', _, ..] => (8, rest.get(1..)?),
        _ => (10, rest),
    };
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None; // a second sign, which Rust's parser would accept
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0i64.checked_sub_unsigned(magnitude).map(Plain::Int);
    }
    match i64::try_from(magnitude) {
        Ok(int) => Some(Plain::Int(int)),
        Err(_) if signed => None,
        Err(_) => Some(Plain::Unsigned(magnitude)),
    }
}

/// Returns the number that Go's `strconv.ParseFloat` reads from a decimal text, in which a single `_` may stand between digits; `None` where
/// it is none or too large.
pub fn go_float(text: &str) -> Option<f64> {
    if !text.contains('_') {
        return if is_decimal_float(text) { finite(text) } else { None };
    }
    let bytes = text.as_bytes();
    let between_digits = |at: usize| {
        let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
        digit(at.checked_sub(1)) && digit(at.checked_add(1))
    };
    if (0..bytes.len()).any(|at| bytes[at] == b'_' && !between_digits(at)) {
        return None;
    }
    go_float(&text.replace('_', ""))
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|float: &f64| float.is_finite())
}

/// Returns whether `text` matches `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?` as a whole.
fn is_decimal_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let has_digits = if whole.is_empty() { !fraction.is_empty() } else { true };
    let exponent_ok = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    has_digits && digits(whole) && digits(fraction) && exponent_ok
}

/// Returns the meaning of a scalar with an explicit tag, in any style, and its text.
///
/// # Errors
/// A text that is not of the type that the tag names; the message is complete.
pub(super) fn tagged<'t>(tag: &str, text: Cow<'t, str>) -> Result<(Plain, Cow<'t, str>), String> {
    let Some(name) = tag.strip_prefix("tag:yaml.org,2002:").or_else(|| tag.strip_prefix("!!")) else {
        return Ok((Plain::Text, text)); // a tag of an application says nothing to Kubernetes
    };
    let meaning = plain(&text);
    let meaning = match (name, meaning) {
        ("bool", Plain::Bool(_))
        | ("int", Plain::Int(_) | Plain::Unsigned(_))
        | ("float", Plain::Float(_))
        | ("null", Plain::Null) => meaning,
        ("float", Plain::Int(int)) => Plain::Float(int as f64),
        ("timestamp", Plain::Text) if is_timestamp(&text) => Plain::Text,
        ("bool" | "int" | "float" | "null" | "timestamp", _) => {
            return Err(format!("`{text}` is tagged `!!{name}`, but it is `{}`", meaning.tag()));
        }
        ("binary", _) => {
            return match decode_base64(&text) {
                Some(bytes) => Ok((Plain::Text, lossy(&bytes).into())),
                None => Err("`!!binary` takes padded base64".to_owned()),
            };
        }
        _ => Plain::Text,
    };
    Ok((meaning, text))
}

/// Returns whether `text` begins as the timestamps of goyaml do: four digits and a hyphen.
fn is_timestamp(text: &str) -> bool {
    matches!(text.as_bytes(), [a, b, c, d, b'-', ..] if [a, b, c, d].into_iter().all(u8::is_ascii_digit))
}

/// Decodes as Go's `base64.StdEncoding`: padded, line breaks skipped, the last bits not looked at.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut symbols = text.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r'));
    loop {
        let mut group = [0u8; 4];
        let mut padding = 0;
        for (filled, slot) in group.iter_mut().enumerate() {
            match (symbols.next(), filled) {
                (None, 0) => return Some(bytes),
                (None, _) => return None,
                (Some(b'='), 2..) => padding += 1,
                (Some(symbol), _) if padding == 0 => *slot = sextet(symbol)?,
                (Some(_), _) => return None,
            }
        }
        let [a, b, c, d] = group;
        let decoded = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
        bytes.extend(decoded.into_iter().take(3 - padding));
        if padding > 0 {
            return symbols.next().is_none().then_some(bytes);
        }
    }
}

fn sextet(symbol: u8) -> Option<u8> {
    match symbol {
        b'A'..=b'Z' => Some(symbol - b'A'),
        b'a'..=b'z' => Some(symbol - b'a' + 26),
        b'0'..=b'9' => Some(symbol - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Returns text with U+FFFD in place of every byte that is no text, as encoding/json writes strings.
fn lossy(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

/// Returns the JSON number that a float becomes: an integer if the digits that encoding/json prints fit 64 signed bits, a float
/// otherwise. `None` for infinities and for what is not a number.
pub(super) fn number_from_float(float: f64) -> Option<Number> {
    // Rust prints the same shortest digits as Go, padded with zeros; they are the integer, not the exact value of the float.
    if float.fract() == 0.0
        && float.abs() < INTEGERS_END
        && let Ok(int) = format!("{float}").parse::<i64>()
    {
        return Some(int.into());
    }
    Number::from_f64(float)
}

/// From 2^63 on no float is a signed integer.
const INTEGERS_END: f64 = 9_223_372_036_854_775_808.0;

/// Returns the JSON value of a plain scalar; `None` for infinities and for what is not a number.
pub(super) fn value(plain: Plain, text: Cow<'_, str>) -> Option<Value> {
    Some(match plain {
        Plain::Null => Value::Null,
        Plain::Bool(bool) => Value::Bool(bool),
        Plain::Int(int) => Value::Number(int.into()),
        Plain::Unsigned(int) => Value::Number(Number::from_f64(int as f64)?),
        Plain::Float(float) => Value::Number(number_from_float(float)?),
        Plain::Text => Value::String(text.into_owned()),
    })
}

/// Returns the string that a plain scalar becomes as a key of a mapping; `None` where there is none (null, integers above the signed
/// range). Source: sigs.k8s.io/yaml `convertToJSONableObject`.
pub(super) fn key(plain: Plain, text: Cow<'_, str>) -> Option<String> {
    match plain {
        Plain::Null | Plain::Unsigned(_) => None,
        Plain::Bool(bool) => Some(bool.to_string()),
        Plain::Int(int) => Some(int.to_string()),
        Plain::Float(float) => Some(float_key(float)),
        Plain::Text => Some(text.into_owned()),
    }
}

/// Prints as Go's `strconv.FormatFloat(float, 'g', -1, 32)`: with the precision of 32 bits.
fn float_key(float: f64) -> String {
    let narrow = float as f32;
    if float.is_nan() {
        return ".nan".to_owned();
    }
    if narrow.is_infinite() {
        return if narrow > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let scientific = format!("{narrow:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("scientific notation has an exponent");
    match exponent.parse::<i32>() {
        Ok(-4..=5) => format!("{narrow}"),
        Ok(exponent) => format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs()),
        Err(_) => scientific,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn typed(text: &str) -> Option<Value> {
        value(plain(text), text.into())
    }

    #[test]
    fn integers() {
        for (text, int) in [
            ("0", 0),
            ("-0", 0),
            ("+12", 12),
            ("00", 0),
            ("0644", 420),
            ("-0644", -420),
            ("0o644", 420),
            ("0O17", 15),
            ("0777_7", 4095),
            ("0_7", 7),
            ("0x1F", 31),
            ("-0X1f", -31),
            ("0b11", 3),
            ("0B11", 3),
            ("-0b11", -3),
            ("0b-1", -1),
            ("0b+1", 1),
            ("1_000", 1000),
            ("1__0_", 10),
            ("08", 8),
            ("1e3", 1000),
            ("1.0", 1),
            ("-0.0", 0),
            ("5.", 5),
            ("-9223372036854775808", i64::MIN),
            ("-0x8000000000000000", i64::MIN),
            ("9223372036854775807", i64::MAX),
            // The digits that encoding/json prints, not the exact value of the float, which ends in 6976.
            ("1152921504606846976.0", 1_152_921_504_606_847_000),
        ] {
            assert_eq!(typed(text), Some(json!(int)), "{text}");
        }
    }

    #[test]
    fn floats() {
        for (text, float) in [
            (".5", 0.5),
            (".5_5", 0.55),
            (".5e-3", 0.0005),
            ("-1.5E+3_", -1500.0),
            ("1_000.5", 1000.5),
            ("012e-1", 1.2),
            ("9223372036854775808", 9_223_372_036_854_775_808.0),
            ("18446744073709551615", 18_446_744_073_709_551_615.0),
            ("-9223372036854775809", -9_223_372_036_854_775_809.0),
            ("0x8000000000000000", 9_223_372_036_854_775_808.0),
            ("1e20", 1e20),
            ("123456789012345678901234567890", 1.2345678901234568e29),
        ] {
            let value = typed(text).expect("a number");
            assert_eq!(value.as_f64(), Some(float), "{text}");
            assert!(float.fract() == 0.0 && float.abs() < 1e18 || value.is_f64(), "{text}");
        }
        for text in [".inf", "-.Inf", "+.INF", ".nan", ".NaN", ".NAN"] {
            assert_eq!(typed(text), None, "{text}");
        }
    }

    #[test]
    fn words() {
        for text in ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"] {
            assert_eq!(typed(text), Some(json!(true)), "{text}");
        }
        for text in ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"] {
            assert_eq!(typed(text), Some(json!(false)), "{text}");
        }
        for text in ["", "~", "null", "Null", "NULL"] {
            assert_eq!(typed(text), Some(Value::Null), "{text}");
        }
    }

    #[test]
    fn text() {
        for text in [
            "tRue",
            "nULL",
            "yEs",
            "0x",
            "0xZZ",
            "0o8",
            "0b2",
            "-0b-1",
            "0b",
            "_1",
            "1e",
            "e3",
            "1e400",
            "-1e400",
            ".",
            "..",
            ".e1",
            "._5",
            ".5_",
            ".5__5",
            "1.2.3",
            "100m",
            "1:30",
            "190:20:30",
            "2001-12-14",
            "2001-12-14t21:59:43.10-05:00",
            "=",
            "<<",
            "+",
            "-",
            "--1",
            "+-1",
            "0x-1",
            "0o+7",
            "0-7",
            "NaN",
            "inf",
            "-.NaN",
            "+.nan",
            "\u{661}",
            "1 2",
        ] {
            assert_eq!(typed(text), Some(json!(text)), "{text}");
        }
    }

    #[test]
    fn tags() {
        let tagged_value = |tag: &str, text: &'static str| {
            let (meaning, text) = tagged(tag, text.into())?;
            value(meaning, text).ok_or_else(|| "no JSON value".to_owned())
        };
        for (tag, text, expected) in [
            ("str", "123", json!("123")),
            ("str", "~", json!("~")),
            ("int", "0x10", json!(16)),
            ("int", "18446744073709551615", json!(18_446_744_073_709_551_615.0)),
            ("float", "1", json!(1)),
            ("float", "0.5", json!(0.5)),
            ("bool", "yes", json!(true)),
            ("null", "", json!(null)),
            ("timestamp", "2001-12-14", json!("2001-12-14")),
            ("binary", "aGVsbG8=", json!("hello")),
            ("binary", "aGVs\nbG8h\n", json!("hello!")),
            ("binary", "aGVsbB==", json!("hell")),
            ("binary", "4oI=", json!("\u{fffd}\u{fffd}")),
            ("binary", "", json!("")),
            ("map", "a", json!("a")),
            ("set", "12", json!("12")),
        ] {
            assert_eq!(tagged_value(&format!("tag:yaml.org,2002:{tag}"), text), Ok(expected), "{tag} {text}");
        }
        for tag in ["!", "!foo", "tag:example.com,2000:int"] {
            assert_eq!(tagged_value(tag, "12"), Ok(json!("12")), "{tag}");
        }
        for (tag, text) in [
            ("int", "1.0"),
            ("int", ""),
            ("int", "2001-01-01"),
            ("float", "18446744073709551615"),
            ("float", "a"),
            ("float", ".inf"),
            ("bool", "1"),
            ("null", "a"),
            ("timestamp", "a"),
            ("timestamp", "1"),
            ("binary", "aGVsbG8"),
            ("binary", "aGVsbG8=="),
            ("binary", "aGVs bG8="),
            ("binary", "=aaa"),
            ("binary", "aG=s"),
            ("binary", "aGVsbG8=aGVs"),
        ] {
            assert!(tagged_value(&format!("tag:yaml.org,2002:{tag}"), text).is_err(), "{tag} {text}");
        }
    }

    #[test]
    fn keys() {
        for (text, expected) in [
            ("a", Some("a")),
            ("0644", Some("420")),
            ("on", Some("true")),
            ("1e3", Some("1000")),
            ("1e6", Some("1e+06")),
            ("100000.5", Some("100000.5")),
            ("1234567.0", Some("1.234567e+06")),
            ("0.1", Some("0.1")),
            ("0.0001", Some("0.0001")),
            ("0.00001", Some("1e-05")),
            ("1e-100", Some("0")),
            ("-0.0", Some("-0")),
            ("1e39", Some(".inf")),
            ("-.inf", Some("-.inf")),
            (".nan", Some(".nan")),
            ("~", None),
            ("18446744073709551615", None),
        ] {
            assert_eq!(key(plain(text), text.into()).as_deref(), expected, "{text}");
        }
    }
}
