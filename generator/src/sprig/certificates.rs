//! Certificates and keys made by templates: `genCA`, `genSignedCert` and their relatives, and `buildCustomCert`, which makes none.
//!
//! Whoever makes a key makes another one at every render, so all but `buildCustomCert` are refused, unless the host allows results that
//! differ from run to run. Subjects, names, uses, identifiers and validity are those that Go puts in. Source: Sprig v3.3.0 `crypto.go`,
//! Go 1.26 `crypto/x509`.

use std::any::Any;
use std::net::IpAddr;
use std::time::Duration;

use sha2::{Digest, Sha256};
use x509_cert::Certificate as X509;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{self, CertificateBuilder};
use x509_cert::certificate::TbsCertificate;
use x509_cert::der::asn1::{Any as Der, GeneralizedTime, Ia5String, ObjectIdentifier, OctetString, SetOfVec};
use x509_cert::der::asn1::{PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::time::{Time, Validity};

use super::dates;
use super::encoding::decode_base64;
use super::keys::{PrivateKey, pem, pem_block};
use super::random::bytes;
use super::{Outcome, refuse};
use crate::gotemplate::print::quote;
use crate::gotemplate::{Call, FunctionError};
use crate::value::{List, Object, Str, Type, Value};

const WHY: &str = "makes a new key at every render";
const HINT: &str = "make the certificate outside of the chart and put it into the values or into a Secret that the chart refers to, or have cert-manager make it in the cluster";
/// RSA keys that come with a certificate.
const RSA_BITS: usize = 2048;
/// RSA keys by themselves.
const RSA_BITS_ALONE: usize = 4096;
const DAY_NANOS: i64 = 24 * 60 * 60 * 1_000_000_000;

/// The type of a certificate with its key.
pub(super) const CERTIFICATE: Type = Type::Object("sprig.certificate");

/// A certificate with its key, both as PEM.
#[derive(Debug, PartialEq, Eq)]
struct Certificate {
    cert: Str,
    key: Str,
}

impl Object for Certificate {
    fn type_name(&self) -> &'static str {
        "sprig.certificate"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![("Cert", Value::from(self.cert.clone())), ("Key", Value::from(self.key.clone()))]
    }

    fn equals(&self, other: &dyn Object) -> bool {
        other.as_any().downcast_ref::<Certificate>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `genPrivateKey`: `rsa`, `dsa`, `ecdsa` or `ed25519`; anything else is told in the result.
pub(super) fn gen_private_key(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(kind)] = args else { return Err(FunctionError::shape()) };
    let make: fn() -> Result<PrivateKey, FunctionError> = match &*kind.to_str_lossy() {
        "" | "rsa" => || Ok(PrivateKey::rsa(RSA_BITS_ALONE)?),
        "dsa" => || Ok(PrivateKey::dsa()?),
        "ecdsa" => || Ok(PrivateKey::p256()?),
        "ed25519" => || Ok(PrivateKey::ed25519(&bytes()?)),
        other => return Ok(Value::from(format!("Unknown type {other}"))),
    };
    refuse(call, "genPrivateKey", WHY, HINT)?;
    Ok(Value::from(make()?.to_pem()?))
}

/// What goes into a certificate besides keys.
struct Contents<'a> {
    name: &'a Str,
    addresses: Option<&'a List>,
    hosts: Option<&'a List>,
    days: i64,
    is_ca: bool,
}

fn key_of(pem: &Str) -> Result<PrivateKey, FunctionError> {
    PrivateKey::from_pem(pem.as_bytes()).map_err(|error| format!("parsing private key: {error}").into())
}

pub(super) fn gen_ca(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(name), Value::Int(days)] = args else { return Err(FunctionError::shape()) };
    refuse(call, "genCA", WHY, HINT)?;
    let contents = Contents { name, addresses: None, hosts: None, days: *days, is_ca: true };
    certified(&contents, &PrivateKey::rsa(RSA_BITS)?, None)
}

pub(super) fn gen_ca_with_key(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(name), Value::Int(days), Value::String(key)] = args else { return Err(FunctionError::shape()) };
    refuse(call, "genCAWithKey", WHY_WITH_KEY, HINT)?;
    let contents = Contents { name, addresses: None, hosts: None, days: *days, is_ca: true };
    certified(&contents, &key_of(key)?, None)
}

/// The key is given, but the serial number is random and the time is now.
const WHY_WITH_KEY: &str = "depends on chance and on the present moment";

fn leaf(args: &[Value]) -> Result<Contents<'_>, FunctionError> {
    match args {
        [Value::String(name), Value::List(addresses), Value::List(hosts), Value::Int(days), ..] => {
            Ok(Contents { name, addresses: Some(addresses), hosts: Some(hosts), days: *days, is_ca: false })
        }
        _ => Err(FunctionError::shape()),
    }
}

pub(super) fn gen_self_signed_cert(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let contents = leaf(args)?;
    refuse(call, "genSelfSignedCert", WHY, HINT)?;
    // Before the key, which takes its time.
    names(&contents)?;
    certified(&contents, &PrivateKey::rsa(RSA_BITS)?, None)
}

pub(super) fn gen_self_signed_cert_with_key(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let (contents, Some(Value::String(key))) = (leaf(args)?, args.last()) else { return Err(FunctionError::shape()) };
    refuse(call, "genSelfSignedCertWithKey", WHY_WITH_KEY, HINT)?;
    certified(&contents, &key_of(key)?, None)
}

pub(super) fn gen_signed_cert(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let (contents, Some(ca)) = (leaf(args)?, args.last()) else { return Err(FunctionError::shape()) };
    refuse(call, "genSignedCert", WHY, HINT)?;
    let signer = Signer::of(ca)?;
    names(&contents)?;
    certified(&contents, &PrivateKey::rsa(RSA_BITS)?, Some(&signer))
}

pub(super) fn gen_signed_cert_with_key(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let (contents, [.., ca, Value::String(key)]) = (leaf(args)?, args) else { return Err(FunctionError::shape()) };
    refuse(call, "genSignedCertWithKey", WHY_WITH_KEY, HINT)?;
    let key = key_of(key)?;
    certified(&contents, &key, Some(&Signer::of(ca)?))
}

/// Who signs another one's certificate.
struct Signer {
    certificate: X509,
    key: PrivateKey,
}

impl Signer {
    fn of(ca: &Value) -> Result<Signer, FunctionError> {
        let Value::Object(object) = ca else { return Err(FunctionError::shape()) };
        let ca = object.as_any().downcast_ref::<Certificate>().ok_or_else(FunctionError::shape)?;
        let (_, der) = pem_block(ca.cert.as_bytes()).ok_or("unable to decode certificate")?;
        let certificate = X509::from_der(&der)
            .map_err(|_| "error parsing certificate: decodedSignerCert.Bytes: x509: malformed certificate")?;
        let key =
            PrivateKey::from_pem(ca.key.as_bytes()).map_err(|error| format!("error parsing private key: {error}"))?;
        Ok(Signer { certificate, key })
    }

    /// Returns the identifier of the signer's key, where its certificate has one.
    fn key_identifier(&self) -> Option<OctetString> {
        let extension = self.certificate.tbs_certificate().get_extension::<SubjectKeyIdentifier>().ok()??;
        Some(extension.1.0)
    }
}

/// Makes a certificate of a key: signed by itself, or by another one.
fn certified(contents: &Contents<'_>, key: &PrivateKey, signer: Option<&Signer>) -> Outcome {
    let names = names(contents)?;
    let wrong = |error: String| FunctionError::new(format!("error creating certificate: {error}"));
    // Go looks at the signing key first.
    let by = signer.map_or(key, |signer| &signer.key);
    let Some(signing) = by.public()? else {
        return Err(wrong("x509: certificate private key does not implement crypto.Signer".to_owned()));
    };
    let Some(public) = key.public()? else {
        return Err(wrong("x509: unsupported public key type: *dsa.PublicKey".to_owned()));
    };
    let subject = subject(contents.name).map_err(wrong)?;
    if let Some(signer) = signer
        && *signer.certificate.tbs_certificate().subject_public_key_info() != signing
    {
        return Err(wrong("x509: provided PrivateKey doesn't match parent's PublicKey".to_owned()));
    }
    let extensions = extensions(contents, &names, &public, &subject, signer).map_err(wrong)?;
    let issuer =
        signer.map_or_else(|| subject.clone(), |signer| signer.certificate.tbs_certificate().subject().clone());
    let profile = Profile { subject, issuer, extensions };
    let serial = serial()?;
    let validity = validity(contents.days).map_err(wrong)?;
    let builder =
        CertificateBuilder::new(profile, serial, validity, public).map_err(|error| wrong(error.to_string()))?;
    let der = by.sign(builder).map_err(wrong)?;
    Ok(Value::object(Certificate { cert: Str::from(pem("CERTIFICATE", &der)), key: Str::from(key.to_pem()?) }))
}

/// A random number of 128 bits.
fn serial() -> Result<SerialNumber, FunctionError> {
    let random: [u8; 16] = bytes()?;
    SerialNumber::new(&random).map_err(|error| error.to_string().into())
}

/// From now on, so many days of 24 hours; the seconds of Go's clock.
fn validity(days: i64) -> Result<Validity, String> {
    let now = dates::now_nanos();
    let time = |nanos: i64| {
        let seconds = u64::try_from(nanos.div_euclid(1_000_000_000)).map_err(|_| "the certificate ends before 1970")?;
        let time =
            GeneralizedTime::from_unix_duration(Duration::from_secs(seconds)).map_err(|error| error.to_string())?;
        Ok::<Time, String>(Time::from(time))
    };
    Ok(Validity::new(time(now)?, time(now.wrapping_add(days.wrapping_mul(DAY_NANOS)))?))
}

/// Returns the names a certificate is for.
fn names(contents: &Contents<'_>) -> Result<Vec<GeneralName>, FunctionError> {
    let items = |list: Option<&List>| list.map(|list| list.borrow().to_vec()).unwrap_or_default();
    let mut addresses = Vec::new();
    for item in items(contents.addresses) {
        let Some(text) = item.as_string() else {
            return Err(format!("error parsing ip: {} is not a string", printed(&item)).into());
        };
        let address: IpAddr = text.to_str_lossy().parse().map_err(|_| format!("error parsing ip: {text}"))?;
        let octets = match address.to_canonical() {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        addresses.push(GeneralName::IpAddress(OctetString::new(octets).map_err(|error| error.to_string())?));
    }
    let mut names = Vec::new();
    for item in items(contents.hosts) {
        let Some(text) = item.as_string() else {
            return Err(format!("error processing alternate dns name: {} is not a string", printed(&item)).into());
        };
        let name = Ia5String::new(text.as_bytes()).map_err(|_| {
            format!("error creating certificate: x509: {} cannot be encoded as an IA5String", quote(text.as_bytes()))
        })?;
        names.push(GeneralName::DnsName(name));
    }
    names.append(&mut addresses);
    Ok(names)
}

fn printed(value: &Value) -> Str {
    crate::gotemplate::print::sprintf("%v", std::slice::from_ref(value)).unwrap_or_default()
}

/// The common name, as a printable string where it can be one; nothing where it is empty.
fn subject(name: &Str) -> Result<Name, String> {
    const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
    let mut sequence = RdnSequence::default();
    if !name.is_empty() {
        let text = std::str::from_utf8(name.as_bytes()).map_err(|_| "asn1: string not valid UTF-8")?;
        let value = match PrintableStringRef::new(text) {
            Ok(text) => Der::encode_from(&text),
            Err(_) => Utf8StringRef::new(text).and_then(|text| Der::encode_from(&text)),
        };
        let attribute = AttributeTypeAndValue { oid: COMMON_NAME, value: value.map_err(|error| error.to_string())? };
        let set = SetOfVec::try_from(vec![attribute]).map_err(|error| error.to_string())?;
        sequence.push(RelativeDistinguishedName::from(set));
    }
    sequence.to_der().and_then(|der| Name::from_der(&der)).map_err(|error| error.to_string())
}

fn extension<E: AssociatedOid + Encode>(critical: bool, value: &E) -> Result<Extension, String> {
    let value = value.to_der().and_then(OctetString::new).map_err(|error| error.to_string())?;
    Ok(Extension { extn_id: E::OID, critical, extn_value: value })
}

/// The extensions in Go's order.
fn extensions(
    contents: &Contents<'_>,
    names: &[GeneralName],
    public: &SubjectPublicKeyInfoOwned,
    subject: &Name,
    signer: Option<&Signer>,
) -> Result<Vec<Extension>, String> {
    const SERVER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
    const CLIENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
    let mut usages = KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment;
    if contents.is_ca {
        usages |= KeyUsages::KeyCertSign;
    }
    let mut extensions = vec![
        extension(true, &KeyUsage(usages))?,
        extension(false, &ExtendedKeyUsage(vec![SERVER, CLIENT]))?,
        extension(true, &BasicConstraints { ca: contents.is_ca, path_len_constraint: None })?,
    ];
    if contents.is_ca {
        // The first 20 bytes of the hash of the public key's bits, as Go has it since 1.25.
        let hash = Sha256::digest(public.subject_public_key.raw_bytes());
        let identifier = OctetString::new(&hash[..20]).map_err(|error| error.to_string())?;
        extensions.push(extension(false, &SubjectKeyIdentifier(identifier))?);
    }
    if let Some(signer) = signer
        && signer.certificate.tbs_certificate().subject() != subject
        && let Some(identifier) = signer.key_identifier()
    {
        let authority =
            AuthorityKeyIdentifier { key_identifier: Some(identifier), ..AuthorityKeyIdentifier::default() };
        extensions.push(extension(false, &authority)?);
    }
    if !names.is_empty() {
        extensions.push(extension(subject.is_empty(), &SubjectAltName(names.to_vec()))?);
    }
    Ok(extensions)
}

/// What the builder asks for, all of it known before.
struct Profile {
    subject: Name,
    issuer: Name,
    extensions: Vec<Extension>,
}

impl BuilderProfile for Profile {
    fn get_issuer(&self, _: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        _: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        _: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        Ok(self.extensions.clone())
    }
}

/// `buildCustomCert`: takes both from Base64, and gives them back where they can be read.
pub(super) fn build_custom_cert(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(cert), Value::String(key)] = args else { return Err(FunctionError::shape()) };
    let cert = decode_base64(cert.as_bytes()).map_err(|_| "unable to decode base64 certificate")?;
    let key = decode_base64(key.as_bytes()).map_err(|_| "unable to decode base64 private key")?;
    let (_, der) = pem_block(&cert).ok_or("unable to decode certificate")?;
    X509::from_der(&der).map_err(|_| "error parsing certificate: decodedCert.Bytes: x509: malformed certificate")?;
    PrivateKey::from_pem(&key).map_err(|error| format!("error parsing private key: {error}"))?;
    Ok(Value::object(Certificate { cert: Str::from(cert), key: Str::from(key) }))
}
