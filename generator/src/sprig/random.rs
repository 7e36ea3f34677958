//! Functions of chance: refused, unless the host allows results that differ from run to run.
//!
//! Source: Sprig v3.3.0 `strings.go`, `crypto.go`, Masterminds/goutils v1.1.1 `cryptorandomstringutils.go`.

use base64::Engine;

use super::{Outcome, refuse};
use crate::gotemplate::{Call, FunctionError};
use crate::value::{Str, Value};

const CHANCE: &str = "depends on chance";
const HINT: &str = "put the value into the values of the service, or let a Secret of the cluster hold it; what is rendered is committed";

/// Returns random bytes.
pub(super) fn bytes<const N: usize>() -> Result<[u8; N], FunctionError> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

fn fill(bytes: &mut [u8]) -> Result<(), FunctionError> {
    getrandom::fill(bytes).map_err(|error| FunctionError::new(error.to_string()))
}

/// Returns a number below `limit`, each equally likely.
fn below(limit: u64) -> Result<u64, FunctionError> {
    let unbiased = u64::MAX - u64::MAX % limit;
    loop {
        let number = u64::from_le_bytes(bytes()?);
        if number < unbiased {
            return Ok(number % limit);
        }
    }
}

fn text(call: &mut Call<'_>, function: &str, args: &[Value], is_wanted: fn(u8) -> bool) -> Outcome {
    let [Value::Int(count)] = args else { return Err(FunctionError::shape()) };
    refuse(call, function, CHANCE, HINT)?;
    // A negative count is an error that upstream drops.
    let count = usize::try_from(*count).unwrap_or(0);
    call.check_bytes(count)?;
    let letters: Vec<u8> = (b' '..=b'~').filter(|byte| is_wanted(*byte)).collect();
    let mut out = String::with_capacity(count);
    for _ in 0..count {
        let index = usize::try_from(below(letters.len() as u64)?).unwrap_or(0);
        out.push(char::from(letters[index]));
    }
    Ok(Value::from(out))
}

pub(super) fn alpha_num(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    text(call, "randAlphaNum", args, |byte| byte.is_ascii_alphanumeric())
}

pub(super) fn alpha(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    text(call, "randAlpha", args, |byte| byte.is_ascii_alphabetic())
}

pub(super) fn ascii(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    text(call, "randAscii", args, |_| true)
}

pub(super) fn numeric(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    text(call, "randNumeric", args, |byte| byte.is_ascii_digit())
}

pub(super) fn rand_bytes(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Int(count)] = args else { return Err(FunctionError::shape()) };
    refuse(call, "randBytes", CHANCE, HINT)?;
    let count = usize::try_from(*count).map_err(|_| "runtime error: makeslice: len out of range")?;
    call.check_bytes(count)?;
    let mut bytes = vec![0; count];
    fill(&mut bytes)?;
    Ok(Value::from(base64::engine::general_purpose::STANDARD.encode(bytes)))
}

pub(super) fn rand_int(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Int(min), Value::Int(max)] = args else { return Err(FunctionError::shape()) };
    refuse(call, "randInt", CHANCE, HINT)?;
    let range = u64::try_from(max.wrapping_sub(*min)).ok().filter(|range| *range > 0);
    let offset = below(range.ok_or("invalid argument to Intn")?)?;
    Ok(Value::Int(min.wrapping_add_unsigned(offset)))
}

pub(super) fn shuffle(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(text)] = args else { return Err(FunctionError::shape()) };
    refuse(call, "shuffle", CHANCE, HINT)?;
    let mut runes: Vec<char> = text.to_str_lossy().chars().collect();
    for at in (1..runes.len()).rev() {
        let other = usize::try_from(below(at as u64 + 1)?).unwrap_or(at);
        runes.swap(at, other);
    }
    Ok(Value::from(Str::from(runes.into_iter().collect::<String>())))
}

pub(super) fn uuidv4(call: &mut Call<'_>, _: &[Value]) -> Outcome {
    refuse(call, "uuidv4", CHANCE, HINT)?;
    let mut id: [u8; 16] = bytes()?;
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    Ok(Value::from(parts.join("-")))
}
