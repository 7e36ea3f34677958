//! Private keys: made, read from PEM, written as PEM, and signing certificates.
//!
//! Knows the kinds Go's `crypto/x509` takes: RSA, the NIST curves, Ed25519, and DSA, which can be written and never signs. Source: Sprig
//! v3.3.0 `crypto.go`, Go 1.26 `crypto/x509`.
//! Invariant: what is written reads back as the same key; no text of an error holds any part of a key.

use base64::Engine;
use dsa::Generate;
use ed25519_dalek::pkcs8::KeypairBytes;
use getrandom::SysRng;
use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey};
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, PrivateKeyInfoRef};
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::der::asn1::Uint;
use x509_cert::der::{Decode, Encode};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

/// A private key.
pub(super) enum PrivateKey {
    /// Of any length that Go takes.
    Rsa(Box<rsa::PrivateKey>),
    /// On the curve P-256.
    P256(p256::SecretKey),
    /// On the curve P-384.
    P384(p384::SecretKey),
    /// On the curve P-521.
    P521(p521::SecretKey),
    /// On Curve25519.
    Ed25519(ed25519_dalek::SigningKey),
    /// The DER of a key that is written and never signs.
    Dsa(Vec<u8>),
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl PrivateKey {
    /// Makes an RSA key.
    ///
    /// # Errors
    /// The machine has no random bytes.
    pub(super) fn rsa(bits: usize) -> Result<PrivateKey, String> {
        rsa::PrivateKey::new(&mut SysRng, bits).map(|key| PrivateKey::Rsa(Box::new(key))).map_err(text)
    }

    /// Makes a key on the curve P-256.
    ///
    /// # Errors
    /// The machine has no random bytes.
    pub(super) fn p256() -> Result<PrivateKey, String> {
        p256::SecretKey::try_generate_from_rng(&mut SysRng).map(PrivateKey::P256).map_err(text)
    }

    /// Makes a key of Ed25519 out of 32 random bytes.
    pub(super) fn ed25519(seed: &[u8; 32]) -> PrivateKey {
        PrivateKey::Ed25519(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Makes a DSA key of 2048 bits.
    ///
    /// # Errors
    /// The machine has no random bytes.
    pub(super) fn dsa() -> Result<PrivateKey, String> {
        let components = dsa::Components::try_generate_from_rng_with_key_size(&mut SysRng, dsa::KeySize::DSA_2048_256)
            .map_err(text)?;
        let key = dsa::SigningKey::try_generate_from_rng_with_components(&mut SysRng, components).map_err(text)?;
        let public = key.verifying_key();
        let parts = public.components();
        // As OpenSSL writes it: a sequence of numbers, the version first.
        let numbers = [parts.p().to_be_bytes(), parts.q().to_be_bytes(), parts.g().to_be_bytes()];
        let numbers = numbers.into_iter().chain([public.y().to_be_bytes(), key.x().to_be_bytes()]);
        let all: Result<Vec<Uint>, _> =
            [vec![0].into()].into_iter().chain(numbers).map(|bytes| Uint::new(&bytes)).collect();
        all.and_then(|numbers| numbers.to_der()).map(PrivateKey::Dsa).map_err(text)
    }

    /// Reads the first PEM block of a text.
    ///
    /// # Errors
    /// No private key, in Go's words, but for what a decoder says of broken DER.
    pub(super) fn from_pem(pem: &[u8]) -> Result<PrivateKey, String> {
        let Some((label, der)) = pem_block(pem) else { return Err("no PEM data in input".to_owned()) };
        if label == "PRIVATE KEY" {
            return PrivateKey::from_pkcs8(&der).map_err(|error| format!("decoding PEM as PKCS#8: {error}"));
        }
        let Some(kind) = label.strip_suffix(" PRIVATE KEY") else {
            return Err(format!("no private key data in PEM block of type {label}"));
        };
        let (name, key) = match kind {
            "RSA" => ("RSA", PrivateKey::from_pkcs1(&der)),
            "EC" => ("EC", PrivateKey::from_sec1(&der)),
            "DSA" => ("DSA", dsa_numbers(&der).map(|()| PrivateKey::Dsa(der.clone()))),
            _ => return Err(format!("invalid private key type {label}")),
        };
        key.map_err(|error| format!("parsing {name} private key from PEM: {error}"))
    }

    fn from_pkcs1(der: &[u8]) -> Result<PrivateKey, String> {
        rsa::PrivateKey::from_pkcs1_der(der).map(|key| PrivateKey::Rsa(Box::new(key))).map_err(text)
    }

    fn from_sec1(der: &[u8]) -> Result<PrivateKey, String> {
        if let Ok(key) = p256::SecretKey::from_sec1_der(der) {
            return Ok(PrivateKey::P256(key));
        }
        if let Ok(key) = p384::SecretKey::from_sec1_der(der) {
            return Ok(PrivateKey::P384(key));
        }
        p521::SecretKey::from_sec1_der(der).map(PrivateKey::P521).map_err(|_| "x509: unknown elliptic curve".to_owned())
    }

    fn from_pkcs8(der: &[u8]) -> Result<PrivateKey, String> {
        let info = PrivateKeyInfoRef::try_from(der).map_err(text)?;
        match info.algorithm.oid.to_string().as_str() {
            "1.2.840.113549.1.1.1" => {
                rsa::PrivateKey::from_pkcs8_der(der).map(|key| PrivateKey::Rsa(Box::new(key))).map_err(text)
            }
            "1.2.840.10045.2.1" => {
                if let Ok(key) = p256::SecretKey::from_pkcs8_der(der) {
                    return Ok(PrivateKey::P256(key));
                }
                if let Ok(key) = p384::SecretKey::from_pkcs8_der(der) {
                    return Ok(PrivateKey::P384(key));
                }
                let curve = p521::SecretKey::from_pkcs8_der(der).map(PrivateKey::P521);
                curve.map_err(|_| "x509: unknown elliptic curve".to_owned())
            }
            "1.3.101.112" => ed25519_dalek::SigningKey::from_pkcs8_der(der).map(PrivateKey::Ed25519).map_err(text),
            other => Err(format!("x509: PKCS#8 wrapping contained private key with unknown algorithm: {other}")),
        }
    }

    /// Writes the key the way Sprig does for its kind.
    ///
    /// # Errors
    /// None that a key made or read here meets.
    pub(super) fn to_pem(&self) -> Result<String, String> {
        let der = |document: rsa::pkcs8::SecretDocument| document.as_bytes().to_vec();
        let (label, bytes) = match self {
            PrivateKey::Rsa(key) => ("RSA PRIVATE KEY", der(key.to_pkcs1_der().map_err(text)?)),
            PrivateKey::P256(key) => ("EC PRIVATE KEY", key.to_sec1_der().map_err(text)?.to_vec()),
            PrivateKey::P384(key) => ("EC PRIVATE KEY", key.to_sec1_der().map_err(text)?.to_vec()),
            PrivateKey::P521(key) => ("EC PRIVATE KEY", key.to_sec1_der().map_err(text)?.to_vec()),
            PrivateKey::Ed25519(key) => {
                let pair = KeypairBytes { secret_key: key.to_bytes(), public_key: None };
                ("PRIVATE KEY", der(pair.to_pkcs8_der().map_err(text)?))
            }
            PrivateKey::Dsa(der) => ("DSA PRIVATE KEY", der.clone()),
        };
        Ok(pem(label, &bytes))
    }

    /// Returns the public key, `None` for DSA.
    ///
    /// # Errors
    /// None that a key made or read here meets.
    pub(super) fn public(&self) -> Result<Option<SubjectPublicKeyInfoOwned>, String> {
        match self {
            PrivateKey::Rsa(key) => SubjectPublicKeyInfoOwned::from_key(&key.to_public_key()),
            PrivateKey::P256(key) => SubjectPublicKeyInfoOwned::from_key(&key.public_key()),
            PrivateKey::P384(key) => SubjectPublicKeyInfoOwned::from_key(&key.public_key()),
            PrivateKey::P521(key) => SubjectPublicKeyInfoOwned::from_key(&key.public_key()),
            PrivateKey::Ed25519(key) => SubjectPublicKeyInfoOwned::from_key(&key.verifying_key()),
            PrivateKey::Dsa(_) => return Ok(None),
        }
        .map(Some)
        .map_err(text)
    }

    /// Signs a certificate and returns its DER.
    ///
    /// # Errors
    /// A key that cannot sign, in Go's words.
    pub(super) fn sign<P: BuilderProfile>(&self, builder: CertificateBuilder<P>) -> Result<Vec<u8>, String> {
        let certificate = match self {
            PrivateKey::Rsa(key) => {
                let signer = rsa::pkcs1v15::SigningKey::<rsa::sha2::Sha256>::new((**key).clone());
                builder.build::<_, rsa::pkcs1v15::Signature>(&signer)
            }
            PrivateKey::P256(key) => {
                builder.build::<_, p256::ecdsa::DerSignature>(&p256::ecdsa::SigningKey::from(key.clone()))
            }
            PrivateKey::P384(key) => {
                builder.build::<_, p384::ecdsa::DerSignature>(&p384::ecdsa::SigningKey::from(key.clone()))
            }
            PrivateKey::P521(key) => {
                builder.build::<_, p521::ecdsa::DerSignature>(&p521::ecdsa::SigningKey::from(key.clone()))
            }
            PrivateKey::Ed25519(key) => builder.build::<_, ed25519_dalek::Signature>(key),
            PrivateKey::Dsa(_) => {
                return Err("x509: certificate private key does not implement crypto.Signer".to_owned());
            }
        };
        certificate.map_err(text)?.to_der().map_err(text)
    }
}

/// Checks that DER is what a DSA key is made of: the version, three parameters and two keys.
fn dsa_numbers(der: &[u8]) -> Result<(), String> {
    let numbers = Vec::<Uint>::from_der(der).map_err(text)?;
    if numbers.len() == 6 { Ok(()) } else { Err("asn1: structure error: sequence truncated".to_owned()) }
}

/// Returns a PEM block.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.extend(line.iter().copied().map(char::from));
        out.push('\n');
    }
    out + &format!("-----END {label}-----\n")
}

/// Returns the label and the content of the first PEM block.
pub(super) fn pem_block(text: &[u8]) -> Option<(String, Vec<u8>)> {
    let text = std::str::from_utf8(text).ok()?;
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    // Headers, as old encrypted keys have them, end with an empty line.
    let body = body.split_once("\n\n").map_or(body, |(head, body)| if head.contains(':') { body } else { head });
    let digits: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    Some((label.to_owned(), base64::engine::general_purpose::STANDARD.decode(digits).ok()?))
}
