//! Floating-point numbers as Go writes them.
//!
//! Truth: Go's `strconv.FormatFloat` for 64 bits. The digits come from Rust's formatter, which is exact both for the
//! shortest form that reads back equal and for a given number of digits; only their arrangement is ours.

use crate::value::Text;

/// Returns `strconv.FormatFloat(x, form, precision, 64)`. `form` is one of `b e E f g G x X`; `None` as precision
/// asks for the fewest digits that read back as the same number.
pub fn format_float(x: f64, form: u8, precision: Option<usize>) -> String {
    let mut out = String::new();
    append_float(&mut out, x, form, precision);
    out
}

/// Appends a float as `%v` prints it.
pub(crate) fn append_shortest(out: &mut Text, x: f64) {
    // Whole numbers below the exponent form: ports, replicas, sizes.
    if x.fract() == 0.0 && x.abs() < 1e6 && x != 0.0 {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below a million")]
        append_int(out, x as i64);
    } else {
        out.push_str(&format_float(x, b'g', None));
    }
}

/// Appends an integer in decimal.
pub(crate) fn append_int(out: &mut Text, n: i64) {
    let mut digits = [0; 21];
    let mut at = digits.len();
    let mut rest = n.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if n < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    out.push_str(std::str::from_utf8(&digits[at..]).unwrap_or_default());
}

/// Decimal digits without trailing zeros: the value is `0.d1d2d3.. * 10^point`. Zero has no digits.
struct Digits {
    digits: String,
    point: i64,
}

impl Digits {
    /// Returns the fewest digits that read back as the number, the nearest such.
    fn shortest(x: f64) -> Digits {
        let shortest = Digits::of(&format!("{x:e}"));
        // Where two are equally near, which needs this many digits, Rust rounds up and Go to even.
        if shortest.digits.len() >= 15 {
            let even = format!("{x:.*e}", shortest.digits.len() - 1);
            if even.parse() == Ok(x) {
                return Digits::of(&even);
            }
        }
        shortest
    }

    /// Takes the digits out of Rust's `d.ddde±x`.
    fn of(scientific: &str) -> Digits {
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
        let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
        let digits = digits.trim_end_matches('0').to_owned();
        let point = if digits.is_empty() { 0 } else { exponent.parse::<i64>().unwrap_or(0) + 1 };
        Digits { digits, point }
    }

    fn count(&self) -> i64 {
        i64::try_from(self.digits.len()).unwrap_or(i64::MAX)
    }

    /// Returns the digit at a place after the first one, `0` outside.
    fn at(&self, place: i64) -> char {
        usize::try_from(place).ok().and_then(|place| self.digits.as_bytes().get(place)).map_or('0', |&d| char::from(d))
    }
}

/// No float has more digits than these; behind them are zeros, which Rust's formatting writes up to 65,535 places only.
const EXACT_PLACES: usize = 1100;

pub(super) fn append_float(out: &mut String, x: f64, form: u8, precision: Option<usize>) {
    if x.is_nan() {
        return out.push_str("NaN");
    }
    if x.is_infinite() {
        return out.push_str(if x > 0.0 { "+Inf" } else { "-Inf" });
    }
    if x.is_sign_negative() {
        out.push('-');
    }
    let x = x.abs();
    match form {
        b'b' => append_binary(out, x),
        b'x' | b'X' => append_hex(out, x, form, precision),
        b'f' => match precision {
            Some(precision) => {
                let exact = precision.min(EXACT_PLACES);
                out.push_str(&format!("{x:.exact$}"));
                out.extend(std::iter::repeat_n('0', precision - exact));
            }
            None => {
                let digits = Digits::shortest(x);
                append_plain(out, &digits, (digits.count() - digits.point).max(0));
            }
        },
        b'e' | b'E' => match precision {
            Some(precision) => {
                let exact = precision.min(EXACT_PLACES);
                let digits = Digits::of(&format!("{x:.exact$e}"));
                append_exponent(out, &digits, i64::try_from(precision).unwrap_or(i64::MAX), form);
            }
            None => {
                let digits = Digits::shortest(x);
                append_exponent(out, &digits, (digits.count() - 1).max(0), form);
            }
        },
        _ => append_general(out, x, form, precision),
    }
}

/// `%g`: the exponent form for very small and very large numbers, else the plain one.
fn append_general(out: &mut String, x: f64, form: u8, precision: Option<usize>) {
    let (digits, precision, exponent_from) = match precision {
        None => {
            let digits = Digits::shortest(x);
            let count = digits.count();
            (digits, count, 6)
        }
        Some(precision) => {
            let precision = precision.max(1);
            let digits = Digits::of(&format!("{x:.*e}", (precision - 1).min(EXACT_PLACES)));
            let precision = i64::try_from(precision).unwrap_or(i64::MAX);
            let whole = digits.count() < precision && digits.count() >= digits.point;
            let exponent_from = if whole { digits.count() } else { precision };
            (digits, precision, exponent_from)
        }
    };
    let exponent = digits.point - 1;
    if exponent < -4 || exponent >= exponent_from {
        append_exponent(out, &digits, precision.min(digits.count()) - 1, if form == b'G' { b'E' } else { b'e' });
    } else {
        let precision = if precision > digits.point { digits.count() } else { precision };
        append_plain(out, &digits, (precision - digits.point).max(0));
    }
}

/// `ddd.ddd` with that many digits after the point.
fn append_plain(out: &mut String, digits: &Digits, fraction: i64) {
    if digits.point > 0 {
        (0..digits.point).for_each(|place| out.push(digits.at(place)));
    } else {
        out.push('0');
    }
    if fraction > 0 {
        out.push('.');
        (0..fraction).for_each(|place| out.push(digits.at(digits.point + place)));
    }
}

/// `d.ddde±dd` with that many digits after the point.
fn append_exponent(out: &mut String, digits: &Digits, fraction: i64, letter: u8) {
    out.push(digits.at(0));
    if fraction > 0 {
        out.push('.');
        (1..=fraction).for_each(|place| out.push(digits.at(place)));
    }
    let exponent = if digits.digits.is_empty() { 0 } else { digits.point - 1 };
    out.push(char::from(letter));
    out.push(if exponent < 0 { '-' } else { '+' });
    out.push_str(&format!("{:02}", exponent.abs()));
}

/// The mantissa as an integer of at most 53 bits, and its binary exponent.
fn parts(x: f64) -> (u64, i64) {
    let bits = x.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    let exponent = i64::try_from((bits >> 52) & 0x7ff).unwrap_or(0);
    if exponent == 0 { (fraction, -1022) } else { (fraction | 1 << 52, exponent - 1023) }
}

fn append_binary(out: &mut String, x: f64) {
    let (mantissa, exponent) = parts(x);
    let exponent = exponent - 52;
    out.push_str(&format!("{mantissa}p{exponent:+}"));
}

fn append_hex(out: &mut String, x: f64, form: u8, precision: Option<usize>) {
    let (mut mantissa, mut exponent) = parts(x);
    if mantissa == 0 {
        exponent = 0;
    }
    // The leading one stands at bit 60, so that the fraction is whole hex digits.
    mantissa <<= 8;
    while mantissa != 0 && mantissa & (1 << 60) == 0 {
        mantissa <<= 1;
        exponent -= 1;
    }
    if let Some(precision @ 0..15) = precision {
        let kept = precision * 4;
        let dropped = (mantissa << kept) & ((1 << 60) - 1);
        mantissa >>= 60 - kept;
        if dropped | (mantissa & 1) > 1 << 59 {
            mantissa += 1;
        }
        mantissa <<= 60 - kept;
        if mantissa & (1 << 61) != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let (letter, digits) = if form == b'X' { ('P', "0123456789ABCDEF") } else { ('p', "0123456789abcdef") };
    let digit = |mantissa: u64| char::from(digits.as_bytes()[usize::try_from(mantissa >> 60 & 15).unwrap_or(0)]);
    out.push('0');
    out.push(char::from(form));
    out.push(if mantissa >> 60 & 1 == 1 { '1' } else { '0' });
    mantissa <<= 4;
    match precision {
        None if mantissa != 0 => {
            out.push('.');
            while mantissa != 0 {
                out.push(digit(mantissa));
                mantissa <<= 4;
            }
        }
        Some(precision) if precision > 0 => {
            out.push('.');
            for _ in 0..precision {
                out.push(digit(mantissa));
                mantissa <<= 4;
            }
        }
        _ => {}
    }
    out.push(letter);
    out.push(if exponent < 0 { '-' } else { '+' });
    out.push_str(&format!("{:02}", exponent.abs()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortest_form_switches_where_go_does() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (100_000.0, "100000"),
            (999_999.0, "999999"),
            (123_456.5, "123456.5"),
            (1_000_000.0, "1e+06"),
            (1_234_567.5, "1.2345675e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e21, "1e+21"),
            (1e100, "1e+100"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (0.1 + 0.2, "0.30000000000000004"),
            (-992_021_361_691_975.2, "-9.920213616919752e+14"),
            (221_991_263_332_664.62, "2.2199126333266462e+14"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (x, want) in cases {
            assert_eq!(format_float(x, b'g', None), want);
            let mut out = Text::new();
            append_shortest(&mut out, x);
            assert_eq!(out.as_bytes(), want.as_bytes());
        }
    }

    #[test]
    fn every_form_matches_strconv() {
        let cases: [(f64, u8, Option<usize>, &str); 22] = [
            (1.5, b'e', None, "1.5e+00"),
            (1.5, b'E', Some(3), "1.500E+00"),
            (0.0, b'e', Some(2), "0.00e+00"),
            (123.456, b'f', Some(1), "123.5"),
            (2.5, b'f', Some(0), "2"),
            (123.456, b'f', None, "123.456"),
            (1e21, b'f', None, "1000000000000000000000"),
            (1e-7, b'f', None, "0.0000001"),
            (100.0, b'g', Some(3), "100"),
            (100.0, b'g', Some(2), "1e+02"),
            (1.5, b'g', Some(5), "1.5"),
            (123_456_789.0, b'G', Some(4), "1.235E+08"),
            (0.00001234, b'g', Some(2), "1.2e-05"),
            (1.0, b'b', None, "4503599627370496p-52"),
            (1.0, b'x', None, "0x1p+00"),
            (3.75, b'x', None, "0x1.ep+01"),
            (3.75, b'X', Some(2), "0X1.E0P+01"),
            (1.999, b'x', Some(1), "0x1.0p+01"),
            (0.0, b'x', Some(1), "0x0.0p+00"),
            (1e6, b'g', Some(7), "1000000"),
            (12.0, b'g', Some(0), "1e+01"),
            (-1.5, b'f', Some(2), "-1.50"),
        ];
        for (x, form, precision, want) in cases {
            assert_eq!(format_float(x, form, precision), want, "{x} {} {precision:?}", char::from(form));
        }
    }

    #[test]
    fn integers_print_in_full() {
        for n in [0, 7, -1, 42, i64::MAX, i64::MIN] {
            let mut out = Text::new();
            append_int(&mut out, n);
            assert_eq!(out.as_bytes(), n.to_string().as_bytes());
        }
    }
}
