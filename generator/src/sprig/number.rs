//! Numbers as Go's `strconv` and `encoding/json` write them.
//!
//! Digits are the shortest that read back as the same float, which Rust and Go agree on; only the choice between plain and exponent
//! form differs. Source: Go 1.26 `strconv/ftoa.go`, `encoding/json/encode.go`.

/// Returns `strconv.FormatFloat(x, 'g', -1, 64)`: what `%v`, `toString` and YAML show.
pub fn go_g(x: f64) -> String {
    if x.is_nan() {
        return "NaN".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let (mantissa, exponent) = scientific(x);
    if !(-4..6).contains(&exponent) {
        return with_exponent(&mantissa, exponent, 2);
    }
    format!("{x}")
}

/// Returns `strconv.FormatFloat(x, 'g', -1, 32)`: YAML keys and numbers read into Go strings are written so.
#[expect(clippy::cast_possible_truncation, reason = "the loss of precision is what Go does")]
pub fn go_g32(x: f64) -> String {
    let x = x as f32;
    if !x.is_finite() {
        return go_g(f64::from(x));
    }
    let text = format!("{x:e}");
    let (mantissa, exponent) = split(&text);
    if (-4..6).contains(&exponent) { format!("{x}") } else { with_exponent(mantissa, exponent, 2) }
}

/// Returns the form of JSON: exponents only below 1e-6 and from 1e21 on, without a leading zero. The number must be finite.
pub fn json(x: f64) -> String {
    let magnitude = x.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let (mantissa, exponent) = scientific(x);
        // Go keeps two digits but for `e-09` and the like, which become `e-9`.
        return with_exponent(&mantissa, exponent, if exponent < 0 { 1 } else { 2 });
    }
    format!("{x}")
}

fn scientific(x: f64) -> (String, i32) {
    let text = format!("{x:e}");
    let (mantissa, exponent) = split(&text);
    (mantissa.to_owned(), exponent)
}

fn split(text: &str) -> (&str, i32) {
    let (mantissa, exponent) = text.split_once('e').expect("`{:e}` always writes an exponent");
    (mantissa, exponent.parse().expect("`{:e}` writes an integer exponent"))
}

fn with_exponent(mantissa: &str, exponent: i32, width: usize) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:0width$}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let cases = [
            (100_000.0, "100000", "100000"),
            (1_000_000.0, "1e+06", "1000000"),
            (1_234_567.5, "1.2345675e+06", "1234567.5"),
            (0.0001, "0.0001", "0.0001"),
            (0.00001, "1e-05", "0.00001"),
            (1e-7, "1e-07", "1e-7"),
            (1e20, "1e+20", "100000000000000000000"),
            (1e21, "1e+21", "1e+21"),
            (-0.0, "-0", "-0"),
            (12_345_678_901_234_567_890.0, "1.2345678901234567e+19", "12345678901234567000"),
        ];
        for (x, g, in_json) in cases {
            assert_eq!(go_g(x), g);
            assert_eq!(json(x), in_json);
        }
        assert_eq!(go_g32(1.1), "1.1");
    }
}
