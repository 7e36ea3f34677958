//! Base64, Base32 and hashes.
//!
//! Source: Sprig v3.3.0 `strings.go`, `crypto.go`; Go 1.26 `encoding/base64`, `encoding/base32`, `hash/adler32`.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::Digest;

use super::Outcome;
use crate::gotemplate::{Call, FunctionError};
use crate::value::{Str, Value};

pub(super) fn b64enc(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(Value::from(base64::engine::general_purpose::STANDARD.encode(text.as_bytes())))
}

/// `b64dec`: where the text is not Base64, the error is the result.
pub(super) fn b64dec(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(match decode_base64(text.as_bytes()) {
        Ok(bytes) => Value::from(Str::from(bytes)),
        Err(at) => Value::from(format!("illegal base64 data at input byte {at}")),
    })
}

/// Decodes as Go's `base64.StdEncoding`: line ends are skipped, bits past the last byte are not looked at. The error is an offset.
pub(crate) fn decode_base64(text: &[u8]) -> Result<Vec<u8>, usize> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
    );
    let kept: Vec<u8> = text.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    LENIENT.decode(&kept).map_err(|_| first_illegal(text))
}

/// Finds the offset Go reports: the byte that is out of place, or the end of a group that is cut short.
fn first_illegal(text: &[u8]) -> usize {
    let is_digit = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
    let is_line_end = |b: &u8| matches!(*b, b'\r' | b'\n');
    let mut at = 0;
    loop {
        let mut digits = 0;
        while digits < 4 {
            let Some(&byte) = text.get(at) else {
                // The end inside a group is reported at its first byte.
                return if digits == 0 { at } else { at - digits };
            };
            at += 1;
            if is_line_end(&byte) {
                continue;
            }
            if is_digit(byte) {
                digits += 1;
                continue;
            }
            if byte != b'=' || digits < 2 {
                return at - 1;
            }
            if digits == 2 {
                while text.get(at).is_some_and(is_line_end) {
                    at += 1;
                }
                match text.get(at) {
                    None => return text.len(),
                    Some(b'=') => at += 1,
                    Some(_) => return at - 1,
                }
            }
            while text.get(at).is_some_and(is_line_end) {
                at += 1;
            }
            return at;
        }
    }
}

pub(super) fn sha1sum(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(Value::from(hexadecimal(&sha1::Sha1::digest(text.as_bytes()))))
}

pub(super) fn sha256sum(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(Value::from(hexadecimal(&sha2::Sha256::digest(text.as_bytes()))))
}

pub(super) fn sha512sum(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(Value::from(hexadecimal(&sha2::Sha512::digest(text.as_bytes()))))
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(super) fn adler32sum(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(text)] = args else { return Err(FunctionError::shape()) };
    const MODULUS: u32 = 65_521;
    let (low, high) = text.as_bytes().iter().fold((1, 0), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % MODULUS;
        (low, (high + low) % MODULUS)
    });
    Ok(Value::from((high << 16 | low).to_string()))
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

pub(super) fn b32enc(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(text)] = args else { return Err(FunctionError::shape()) };
    let mut out = String::new();
    for group in text.as_bytes().chunks(5) {
        let bits = group.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte)) << (8 * (5 - group.len()));
        let digits = (group.len() * 8).div_ceil(5);
        for n in 0..8 {
            let index = usize::try_from(bits >> (35 - 5 * n) & 31).unwrap_or(0);
            out.push(if n < digits { char::from(BASE32[index]) } else { '=' });
        }
    }
    Ok(Value::from(out))
}

/// `b32dec`: where the text is not Base32, the error is the result.
pub(super) fn b32dec(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(match decode_base32(text.as_bytes()) {
        Ok(bytes) => Value::from(Str::from(bytes)),
        Err(at) => Value::from(format!("illegal base32 data at input byte {at}")),
    })
}

/// Decodes as Go's `base32.StdEncoding`: line ends are dropped first. The error is an offset in what is left.
fn decode_base32(text: &[u8]) -> Result<Vec<u8>, usize> {
    let kept: Vec<u8> = text.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    let total = kept.len();
    let mut rest = &kept[..];
    let mut out = Vec::new();
    while !rest.is_empty() {
        let mut bits = 0_u64;
        let mut digits = 0;
        let mut ended = false;
        while digits < 8 {
            let Some((&byte, after)) = rest.split_first() else {
                // The group is cut short, and there is no padding.
                return Err(total - digits);
            };
            rest = after;
            if byte == b'=' && digits >= 2 && rest.len() < 8 {
                // Padding fills the group, and nothing follows it.
                if rest.len() + digits < 7 {
                    return Err(total);
                }
                for n in 0..7 - digits {
                    if rest.get(n) != Some(&b'=') {
                        return Err(total - rest.len() + n - 1);
                    }
                }
                if matches!(digits, 1 | 3 | 6) {
                    return Err(total - rest.len() - 1);
                }
                ended = true;
                break;
            }
            let Some(value) = BASE32.iter().position(|known| *known == byte) else {
                return Err(total - rest.len() - 1);
            };
            bits = bits << 5 | value as u64;
            digits += 1;
        }
        bits <<= 5 * (8 - digits);
        out.extend_from_slice(&bits.to_be_bytes()[3..3 + digits * 5 / 8]);
        if ended {
            break;
        }
    }
    Ok(out)
}
