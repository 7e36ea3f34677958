//! Passwords and encryption.
//!
//! Most of these need chance and are refused, unless the host allows results that differ from run to run. Source: Sprig v3.3.0 `crypto.go`.

use aes::Aes256;
use base64::Engine;
use cbc::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit, block_padding::NoPadding};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::encoding::decode_base64;
use super::random::bytes;
use super::{Outcome, refuse};
use crate::gotemplate::{Call, FunctionError};
use crate::value::{SizedInt, Str, Value};

const CHANCE: &str = "depends on chance";

pub(super) fn bcrypt(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(password)] = args else { return Err(FunctionError::shape()) };
    hashed(call, "bcrypt", password).map(Value::from)
}

pub(super) fn htpasswd(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(user), Value::String(password)] = args else { return Err(FunctionError::shape()) };
    if user.as_bytes().contains(&b':') {
        return Ok(Value::from(format!("invalid username: {user}")));
    }
    Ok(Value::from(format!("{user}:{}", hashed(call, "htpasswd", password)?)))
}

fn hashed(call: &mut Call<'_>, function: &str, password: &Str) -> Result<String, FunctionError> {
    /// Go's default cost.
    const COST: u32 = 10;
    /// Longer passwords are refused, in the result.
    const PASSWORD_BYTES_MAX: usize = 72;
    refuse(
        call,
        function,
        "depends on chance: every hash has a salt of its own",
        "put the finished hash into the values",
    )?;
    if password.len() > PASSWORD_BYTES_MAX {
        let reason = "bcrypt: password length exceeds 72 bytes";
        return Ok(format!("failed to encrypt string with bcrypt: {reason}"));
    }
    let hash = bcrypt::hash_with_result(password.as_bytes(), COST).map_err(|error| error.to_string())?;
    Ok(hash.format_for_version(bcrypt::Version::TwoA))
}

/// The AES-256 key of a password: cut or filled with zeros.
fn aes_key(password: &Str) -> [u8; 32] {
    let mut key = [0; 32];
    let len = password.len().min(32);
    key[..len].copy_from_slice(&password.as_bytes()[..len]);
    key
}

pub(super) fn encrypt_aes(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(password), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    if text.is_empty() {
        return Ok(Value::from(""));
    }
    refuse(call, "encryptAES", CHANCE, "put the encrypted text into the values")?;
    let iv: [u8; 16] = bytes()?;
    let padding = 16 - text.len() % 16;
    let mut blocks = text.as_bytes().to_vec();
    blocks.resize(text.len() + padding, u8::try_from(padding).unwrap_or(16));
    let cipher = cbc::Encryptor::<Aes256>::new(&aes_key(password).into(), &iv.into());
    let len = blocks.len();
    let encrypted = cipher.encrypt_padded_mut::<NoPadding>(&mut blocks, len).map_err(|error| error.to_string())?;
    Ok(Value::from(base64::engine::general_purpose::STANDARD.encode([&iv[..], encrypted].concat())))
}

pub(super) fn decrypt_aes(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(password), Value::String(encrypted)] = args else { return Err(FunctionError::shape()) };
    if encrypted.is_empty() {
        return Ok(Value::from(""));
    }
    let bytes = decode_base64(encrypted.as_bytes()).map_err(|at| format!("illegal base64 data at input byte {at}"))?;
    let Some((iv, blocks)) = bytes.split_first_chunk::<16>() else {
        return Err(format!("runtime error: slice bounds out of range [:16] with capacity {}", bytes.len()).into());
    };
    if blocks.len() % 16 != 0 {
        return Err("crypto/cipher: input not full blocks".into());
    }
    let mut blocks = blocks.to_vec();
    let cipher = cbc::Decryptor::<Aes256>::new(&aes_key(password).into(), iv.into());
    let text = cipher.decrypt_padded_mut::<NoPadding>(&mut blocks).map_err(|error| error.to_string())?;
    let Some(padding) = text.last() else { return Err("runtime error: index out of range [-1]".into()) };
    match text.len().checked_sub(usize::from(*padding)) {
        Some(len) => Ok(Value::from(Str::from(&text[..len]))),
        None => {
            let end = i64::try_from(text.len()).unwrap_or(0) - i64::from(*padding);
            Err(format!("runtime error: slice bounds out of range [:{end}]").into())
        }
    }
}

/// `derivePassword`: the algorithm of the Master Password app.
pub(super) fn derive_password(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Sized(SizedInt::Uint32(counter)), Value::String(kind), rest @ ..] = args else {
        return Err(FunctionError::shape());
    };
    let [Value::String(password), Value::String(user), Value::String(site)] = rest else {
        return Err(FunctionError::shape());
    };
    const SEED: &[u8] = b"com.lyndir.masterpassword";
    let Some((_, templates)) = PASSWORD_TEMPLATES.iter().find(|(name, _)| *kind == *name) else {
        return Ok(Value::from(format!("cannot find password template {kind}")));
    };
    let length = |text: &Str| u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
    let salt = [SEED, &length(user), user.as_bytes()].concat();
    let params = scrypt::Params::new(15, 8, 2, 64).map_err(|error| error.to_string())?;
    let mut key = [0; 64];
    scrypt::scrypt(password.as_bytes(), &salt, &params, &mut key).map_err(|error| error.to_string())?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|error| error.to_string())?;
    mac.update(&[SEED, &length(site), site.as_bytes(), &counter.to_be_bytes()].concat());
    let seed = mac.finalize().into_bytes();
    let template = templates[usize::from(seed[0]) % templates.len()];
    let letters = template.bytes().zip(&seed[1..]).map(|(class, byte)| {
        let choices = password_class(class).as_bytes();
        char::from(choices[usize::from(*byte) % choices.len()])
    });
    Ok(Value::from(letters.collect::<String>()))
}

const PASSWORD_TEMPLATES: [(&str, &[&str]); 6] = [
    ("maximum", &["anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"]),
    (
        "long",
        &[
            "CvcvnoCvcvCvcv",
            "CvcvCvcvnoCvcv",
            "CvcvCvcvCvcvno",
            "CvccnoCvcvCvcv",
            "CvccCvcvnoCvcv",
            "CvccCvcvCvcvno",
            "CvcvnoCvccCvcv",
            "CvcvCvccnoCvcv",
            "CvcvCvccCvcvno",
            "CvcvnoCvcvCvcc",
            "CvcvCvcvnoCvcc",
            "CvcvCvcvCvccno",
            "CvccnoCvccCvcv",
            "CvccCvccnoCvcv",
            "CvccCvccCvcvno",
            "CvcvnoCvccCvcc",
            "CvcvCvccnoCvcc",
            "CvcvCvccCvccno",
            "CvccnoCvcvCvcc",
            "CvccCvcvnoCvcc",
            "CvccCvcvCvccno",
        ],
    ),
    ("medium", &["CvcnoCvc", "CvcCvcno"]),
    ("short", &["Cvcn"]),
    ("basic", &["aaanaaan", "aannaaan", "aaannaaa"]),
    ("pin", &["nnnn"]),
];

fn password_class(class: u8) -> &'static str {
    match class {
        b'V' => "AEIOU",
        b'C' => "BCDFGHJKLMNPQRSTVWXYZ",
        b'v' => "aeiou",
        b'c' => "bcdfghjklmnpqrstvwxyz",
        b'A' => "AEIOUBCDFGHJKLMNPQRSTVWXYZ",
        b'a' => "AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
        b'n' => "0123456789",
        b'o' => "@&%?,=[]_:-+*$#!'^~;()/.",
        _ => "AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
    }
}
