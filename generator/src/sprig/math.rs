//! Arithmetic, counting and rounding.
//!
//! Integer functions read their arguments by [`cast`] and wrap around as Go does; the float functions go through decimals (in
//! [`decimal`]). Source: Sprig v3.3.0 `numeric.go`, `functions.go`.

use super::decimal::{self, Decimal};
use super::{Outcome, cast};
use crate::gotemplate::{Call, FunctionError, print};
use crate::value::{List, Value};

pub(super) fn atoi(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(Value::Int(text.as_str().map_or(0, |text| cast::parse_int_clamped(text, 10))))
}

pub(super) fn int64(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [value] = args else { return Err(FunctionError::shape()) };
    Ok(Value::Int64(cast::to_int64(value)))
}

pub(super) fn int(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [value] = args else { return Err(FunctionError::shape()) };
    Ok(Value::Int(cast::to_int64(value)))
}

pub(super) fn float64(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [value] = args else { return Err(FunctionError::shape()) };
    Ok(Value::Float(cast::to_float64(value)))
}

/// `toDecimal`: reads octal digits.
pub(super) fn to_decimal(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [value] = args else { return Err(FunctionError::shape()) };
    let text = print::to_text(value)?;
    let number = text.as_str().and_then(|text| i64::from_str_radix(text, 8).ok());
    Ok(Value::Int64(number.unwrap_or(0)))
}

pub(super) fn add1(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [value] = args else { return Err(FunctionError::shape()) };
    Ok(Value::Int64(cast::to_int64(value).wrapping_add(1)))
}

pub(super) fn add(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    Ok(Value::Int64(args.iter().map(cast::to_int64).fold(0, i64::wrapping_add)))
}

pub(super) fn sub(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [a, b] = args else { return Err(FunctionError::shape()) };
    Ok(Value::Int64(cast::to_int64(a).wrapping_sub(cast::to_int64(b))))
}

pub(super) fn mul(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    Ok(Value::Int64(args.iter().map(cast::to_int64).fold(1, i64::wrapping_mul)))
}

pub(super) fn div(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let (a, b) = operands(args)?;
    Ok(Value::Int64(a.wrapping_div(b)))
}

/// `mod`.
pub(super) fn modulo(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let (a, b) = operands(args)?;
    Ok(Value::Int64(a.wrapping_rem(b)))
}

fn operands(args: &[Value]) -> Result<(i64, i64), FunctionError> {
    let [a, b] = args else { return Err(FunctionError::shape()) };
    match cast::to_int64(b) {
        0 => Err("runtime error: integer divide by zero".into()),
        b => Ok((cast::to_int64(a), b)),
    }
}

/// `max` and `biggest`.
pub(super) fn max(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    Ok(Value::Int64(args.iter().map(cast::to_int64).max().unwrap_or(0)))
}

pub(super) fn min(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    Ok(Value::Int64(args.iter().map(cast::to_int64).min().unwrap_or(0)))
}

pub(super) fn maxf(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    extreme(args, f64::max)
}

pub(super) fn minf(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    extreme(args, f64::min)
}

/// Unlike Rust's, Go's extremes are NaN as soon as one number is.
fn extreme(args: &[Value], pick: fn(f64, f64) -> f64) -> Outcome {
    let numbers = args.iter().map(cast::to_float64);
    let found = numbers.reduce(|a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { pick(a, b) });
    Ok(Value::Float(found.unwrap_or(0.0)))
}

pub(super) fn floor(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [value] = args else { return Err(FunctionError::shape()) };
    Ok(Value::Float(cast::to_float64(value).floor()))
}

pub(super) fn ceil(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [value] = args else { return Err(FunctionError::shape()) };
    Ok(Value::Float(cast::to_float64(value).ceil()))
}

pub(super) fn round(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [value, Value::Int(places), rest @ ..] = args else { return Err(FunctionError::shape()) };
    let round_on = match rest.first() {
        Some(Value::Float(x)) => *x,
        _ => 0.5,
    };
    let power = power_of_ten(*places);
    let digit = power * cast::to_float64(value);
    let rounded = if digit.fract() >= round_on { digit.ceil() } else { digit.floor() };
    Ok(Value::Float(rounded / power))
}

/// `math.Pow(10, n)`: by repeated squaring of a fraction, which is off by a bit for some powers; Go's bits are wanted.
fn power_of_ten(n: i64) -> f64 {
    match n {
        0 => return 1.0,
        1 => return 10.0,
        _ => {}
    }
    let (mut fraction, mut exponent) = (0.625_f64, 4_i64);
    let (mut result, mut result_exponent) = (1.0_f64, 0_i64);
    let mut bits = n.unsigned_abs();
    while bits != 0 {
        if !(-4096..=4096).contains(&exponent) {
            result_exponent += exponent;
            break;
        }
        if bits & 1 == 1 {
            result *= fraction;
            result_exponent += exponent;
        }
        fraction *= fraction;
        exponent <<= 1;
        if fraction < 0.5 {
            fraction += fraction;
            exponent -= 1;
        }
        bits >>= 1;
    }
    if n < 0 {
        result = 1.0 / result;
        result_exponent = -result_exponent;
    }
    while result_exponent > 0 && result.is_finite() {
        let step = result_exponent.min(1000);
        result *= power_of_two(step);
        result_exponent -= step;
    }
    // One multiplication that may round, at the end.
    while result_exponent < -900 && result != 0.0 {
        result *= power_of_two(-900);
        result_exponent += 900;
    }
    if result_exponent < 0 { result * power_of_two(result_exponent) } else { result }
}

fn power_of_two(n: i64) -> f64 {
    2_f64.powi(i32::try_from(n).unwrap_or(i32::MAX))
}

pub(super) fn until(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Int(count)] = args else { return Err(FunctionError::shape()) };
    let step = if *count < 0 { -1 } else { 1 };
    Ok(Value::List(List::ints(steps(call, 0, *count, step)?)))
}

pub(super) fn until_step(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Int(start), Value::Int(stop), Value::Int(step)] = args else { return Err(FunctionError::shape()) };
    Ok(Value::List(List::ints(steps(call, *start, *stop, *step)?)))
}

/// The numbers from `start` on, up or down to but without `stop`; none where the step leads away from it.
fn steps(call: &Call<'_>, start: i64, stop: i64, step: i64) -> Result<Vec<i64>, FunctionError> {
    if step == 0 || (step < 0) != (stop < start) {
        return Ok(Vec::new());
    }
    let distance = stop.abs_diff(start);
    let count = usize::try_from(distance.div_ceil(step.unsigned_abs())).unwrap_or(usize::MAX);
    call.check_bytes(count.saturating_mul(24))?;
    Ok((0..count).scan(start, |next, _| Some(std::mem::replace(next, next.wrapping_add(step)))).collect())
}

pub(super) fn seq(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let params: Vec<i64> = args.iter().map(cast::to_int64).collect();
    let (start, stop, step) = match params[..] {
        [end] => (1, end.wrapping_add(if end < 1 { -1 } else { 1 }), if end < 1 { -1 } else { 1 }),
        [start, end] => {
            let step = if end < start { -1 } else { 1 };
            (start, end.wrapping_add(step), step)
        }
        [start, step, end] if end >= start || step <= 0 => {
            (start, end.wrapping_add(if end < start { -1 } else { 1 }), step)
        }
        _ => return Ok(Value::from("")),
    };
    let numbers: Vec<String> = steps(call, start, stop, step)?.iter().map(ToString::to_string).collect();
    Ok(Value::from(numbers.join(" ")))
}

fn fold(first: f64, rest: &[Value], step: impl Fn(Decimal, Decimal) -> Result<Decimal, decimal::Error>) -> Outcome {
    let mut result = Decimal::from_float(first)?;
    for value in rest {
        result = step(result, Decimal::from_float(cast::to_float64(value))?)?;
    }
    Ok(Value::Float(result.to_float()))
}

pub(super) fn add1f(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [value] = args else { return Err(FunctionError::shape()) };
    fold(cast::to_float64(value), &[Value::Int(1)], |a, b| Ok(a.add(&b)))
}

pub(super) fn addf(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    fold(0.0, args, |a, b| Ok(a.add(&b)))
}

pub(super) fn subf(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [first, rest @ ..] = args else { return Err(FunctionError::shape()) };
    fold(cast::to_float64(first), rest, |a, b| Ok(a.subtract(&b)))
}

pub(super) fn mulf(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [first, rest @ ..] = args else { return Err(FunctionError::shape()) };
    fold(cast::to_float64(first), rest, |a, b| Ok(a.multiply(&b)))
}

pub(super) fn divf(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [first, rest @ ..] = args else { return Err(FunctionError::shape()) };
    fold(cast::to_float64(first), rest, |a, b| a.divide(&b))
}
