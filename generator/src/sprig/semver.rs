//! Versions and constraints as Helm's charts write them.
//!
//! Not Cargo's grammar: `1.2` is a version, a bare constraint is exact or a tilde, `||`, `,` and blanks combine, `1 - 2` is a range.
//! Source: Masterminds/semver v3.5.0.

use std::any::Any;
use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::Outcome;
use crate::gotemplate::{Call, FunctionError};
use crate::value::{Method, Object, Oversized, SizedInt, Str, Type, Value};

/// Bytes of a version at most; upstream's limit.
const VERSION_BYTES_MAX: usize = 256;
/// Bytes of a constraint at most; upstream's limit.
const CONSTRAINT_BYTES_MAX: usize = 512;
/// Groups between `||` at most; upstream's limit.
const CONSTRAINT_GROUPS_MAX: usize = 32;

/// Constraints kept a thread.
const KNOWN_MAX: usize = 256;

/// Why a text is no version or no constraint, in upstream's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

fn error<T>(message: impl Into<String>) -> Result<T, Error> {
    Err(Error(message.into()))
}

/// A version. Build metadata is kept and never compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Version {
    major: u64,
    minor: u64,
    patch: u64,
    prerelease: String,
    metadata: String,
    original: String,
}

impl Version {
    /// Reads a version; missing segments are 0, a leading `v` and leading zeros are allowed.
    ///
    /// # Errors
    /// What is wrong, in upstream's words.
    pub fn parse(text: &str) -> Result<Version, Error> {
        if text.len() > VERSION_BYTES_MAX {
            return error(format!("version string is too long (max {VERSION_BYTES_MAX} bytes)"));
        }
        let Some([major, minor, patch, prerelease, metadata]) = parts(text) else {
            return error("invalid semantic version");
        };
        let version = Version {
            major: segment(major)?,
            minor: segment(minor)?,
            patch: segment(patch)?,
            prerelease: prerelease.to_owned(),
            metadata: metadata.to_owned(),
            original: text.to_owned(),
        };
        check_prerelease(&version.prerelease)?;
        Ok(version)
    }

    /// Compares by precedence: a prerelease comes before its release, metadata does not count.
    pub fn compare(&self, other: &Version) -> Ordering {
        let release = |v: &Version| (v.major, v.minor, v.patch);
        release(self).cmp(&release(other)).then_with(|| match (&*self.prerelease, &*other.prerelease) {
            ("", "") => Ordering::Equal,
            ("", _) => Ordering::Greater,
            (_, "") => Ordering::Less,
            (a, b) => compare_prereleases(a, b),
        })
    }

    fn text(&self) -> String {
        let mut text = format!("{}.{}.{}", self.major, self.minor, self.patch);
        for (mark, part) in [('-', &self.prerelease), ('+', &self.metadata)] {
            if !part.is_empty() {
                text.push(mark);
                text.push_str(part);
            }
        }
        text
    }
}

/// Takes a version apart: `v?N(.N(.N)?)?(-WORDS)?(+WORDS)?`, where words have dots between them; what is missing is empty.
fn parts(text: &str) -> Option<[&str; 5]> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let (release, metadata) = text.split_once('+').map_or((text, None), |(release, words)| (release, Some(words)));
    let (release, prerelease) =
        release.split_once('-').map_or((release, None), |(release, words)| (release, Some(words)));
    let mut rest = release.strip_prefix('v').unwrap_or(release);
    let mut numbers = [""; 3];
    for (n, number) in numbers.iter_mut().enumerate() {
        if n > 0 {
            match rest.strip_prefix('.') {
                Some(after) => rest = after,
                None => break,
            }
        }
        (*number, rest) = rest.split_at(digits(rest));
        if number.is_empty() {
            return None;
        }
    }
    let words = [prerelease, metadata];
    let are_words = words.into_iter().flatten().all(|words| words.split('.').all(is_word));
    let [major, minor, patch] = numbers;
    (rest.is_empty() && are_words).then(|| [major, minor, patch, prerelease.unwrap_or(""), metadata.unwrap_or("")])
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a fixed pattern")
}

fn segment(digits: &str) -> Result<u64, Error> {
    if digits.is_empty() {
        return Ok(0);
    }
    digits.parse().or_else(|_| {
        error(format!("error parsing version segment: strconv.ParseUint: parsing {digits:?}: value out of range"))
    })
}

fn is_number(part: &str) -> bool {
    part.bytes().all(|b| b.is_ascii_digit())
}

fn check_prerelease(prerelease: &str) -> Result<(), Error> {
    if prerelease.is_empty() {
        return Ok(());
    }
    for part in prerelease.split('.') {
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return error("invalid prerelease string");
        }
        if is_number(part) && part.len() > 1 && part.starts_with('0') {
            return error("version segment starts with 0");
        }
    }
    Ok(())
}

fn check_metadata(metadata: &str) -> Result<(), Error> {
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if metadata.is_empty() || metadata.split('.').all(is_part) { Ok(()) } else { error("invalid metadata string") }
}

fn compare_prereleases(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some("")) | (Some(""), None) => {}
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) if a == b => {}
            (Some(a), Some(b)) => return compare_prerelease_parts(a, b),
        }
    }
}

/// Numbers come before words; a number too large for 64 bits is a word.
fn compare_prerelease_parts(a: &str, b: &str) -> Ordering {
    let number = |part: &str| if is_number(part) { part.parse::<u64>().ok() } else { None };
    match (a, b) {
        ("", _) => Ordering::Less,
        (_, "") => Ordering::Greater,
        _ => match (number(a), number(b)) {
            (None, None) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            // Upstream never calls two different texts equal: `01` is refused before, so this cannot tie.
            (Some(a), Some(b)) => a.cmp(&b).then(Ordering::Less),
        },
    }
}

/// A set of conditions on versions.
#[derive(Debug, Clone)]
pub struct Constraints {
    groups: Vec<Vec<Condition>>,
}

#[derive(Debug, Clone)]
struct Condition {
    operator: Operator,
    version: Version,
    /// Which segment is missing or a wildcard.
    open: Open,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Patch,
    Minor,
    Major,
}

#[derive(Debug, Clone, Copy)]
enum Operator {
    TildeOrEqual,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Tilde,
    Caret,
}

/// A version in a constraint: segments may be wildcards (and, as upstream has it, bars).
const CONSTRAINT_VERSION: &str = r"v?([0-9xX*|]+)(\.[0-9xX*|]+)?(\.[0-9xX*|]+)?(-([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?(\+([0-9A-Za-z\-]+(\.[0-9A-Za-z\-]+)*))?";
/// The empty operator comes second: an operator of one character is tried before the longer ones, and given up where no version follows.
const OPERATORS: &str = r"=||!=|>|<|>=|=>|<=|=<|~|~>|\^";
/// Go's `\s`.
const BLANK: &str = r"[\t\n\x0C\r ]";

impl Constraints {
    /// Reads a constraint.
    ///
    /// # Errors
    /// What is wrong, in upstream's words.
    pub fn parse(text: &str) -> Result<Constraints, Error> {
        static VALID: LazyLock<Regex> = LazyLock::new(|| {
            let one = format!("{BLANK}*({OPERATORS}){BLANK}*({CONSTRAINT_VERSION}){BLANK}*");
            let more = format!("(?:{BLANK}+|,{BLANK}*)({OPERATORS}){BLANK}*({CONSTRAINT_VERSION}){BLANK}*");
            regex(&format!("^({one})({more})*$"))
        });
        static FIND: LazyLock<Regex> = LazyLock::new(|| regex(&format!("({OPERATORS}){BLANK}*({CONSTRAINT_VERSION})")));
        if text.len() > CONSTRAINT_BYTES_MAX {
            return error(format!("constraint string is too long (max {CONSTRAINT_BYTES_MAX} bytes)"));
        }
        let text = without_ranges(text);
        let groups: Vec<&str> = text.split("||").collect();
        if groups.len() > CONSTRAINT_GROUPS_MAX {
            return error(format!("too many constraint groups (max {CONSTRAINT_GROUPS_MAX})"));
        }
        let parse_group = |group: &str| {
            if !VALID.is_match(group) {
                return error(format!("improper constraint: {}", crate::gotemplate::print::quote(group.as_bytes())));
            }
            FIND.find_iter(group).map(|found| Condition::parse(found.as_str())).collect()
        };
        Ok(Constraints { groups: groups.into_iter().map(parse_group).collect::<Result<_, _>>()? })
    }

    /// Reads a constraint, or finds it read: charts compare with the same few, release for release.
    ///
    /// # Errors
    /// As [`Constraints::parse`].
    fn known(text: &str) -> Result<Rc<Constraints>, Error> {
        thread_local! {
            static KNOWN: RefCell<BTreeMap<String, Rc<Constraints>>> = const { RefCell::new(BTreeMap::new()) };
        }
        KNOWN.with_borrow_mut(|known| {
            if let Some(found) = known.get(text) {
                return Ok(Rc::clone(found));
            }
            if known.len() >= KNOWN_MAX {
                known.clear();
            }
            let parsed = Rc::new(Constraints::parse(text)?);
            known.insert(text.to_owned(), Rc::clone(&parsed));
            Ok(parsed)
        })
    }

    /// Reports whether a version meets every condition of at least one group. A prerelease meets only groups that name one.
    pub fn check(&self, version: &Version) -> bool {
        self.groups.iter().any(|group| {
            let names_prerelease = group.iter().any(|condition| !condition.version.prerelease.is_empty());
            (version.prerelease.is_empty() || names_prerelease)
                && group.iter().all(|condition| condition.check(version))
        })
    }
}

/// Writes `1 - 2` as `>= 1, <= 2`.
fn without_ranges(text: &str) -> String {
    static RANGE: LazyLock<Regex> = LazyLock::new(|| {
        regex(&format!("{BLANK}*({CONSTRAINT_VERSION}){BLANK}+-{BLANK}+({CONSTRAINT_VERSION}){BLANK}*"))
    });
    let mut out = text.to_owned();
    for found in RANGE.captures_iter(text) {
        let low = found.get(1).map_or("", |m| m.as_str());
        // The low version has nine groups of its own inside, and the two are groups 1 and 11.
        let high = found.get(11).map_or("", |m| m.as_str());
        out = out.replacen(&found[0], &format!(">= {low}, <= {high} "), 1);
    }
    out
}

impl Condition {
    fn parse(text: &str) -> Result<Condition, Error> {
        static SHAPE: LazyLock<Regex> =
            LazyLock::new(|| regex(&format!("^{BLANK}*({OPERATORS}){BLANK}*({CONSTRAINT_VERSION}){BLANK}*$")));
        let Some(parts) = SHAPE.captures(text) else {
            return error(format!("improper constraint: {}", crate::gotemplate::print::quote(text.as_bytes())));
        };
        let part = |n: usize| group(&parts, n);
        let operator = match part(1) {
            "!=" => Operator::NotEqual,
            ">" => Operator::Greater,
            "<" => Operator::Less,
            ">=" | "=>" => Operator::GreaterOrEqual,
            "<=" | "=<" => Operator::LessOrEqual,
            "~" | "~>" => Operator::Tilde,
            "^" => Operator::Caret,
            _ => Operator::TildeOrEqual,
        };
        let (major, minor, patch, prerelease) = (part(3), part(4), part(5), part(6));
        let is_open = |segment: &str| matches!(segment.strip_prefix('.').unwrap_or(segment), "" | "x" | "X" | "*");
        let (text, open) = if is_open(major) {
            (format!("0.0.0{prerelease}"), Open::Major)
        } else if is_open(minor) {
            (format!("{major}.0.0{prerelease}"), Open::Minor)
        } else if is_open(patch) {
            (format!("{major}{minor}.0{prerelease}"), Open::Patch)
        } else {
            (part(2).to_owned(), Open::Nothing)
        };
        let version = Version::parse(&text).or_else(|_| error("constraint parser error"))?;
        Ok(Condition { operator, version, open })
    }

    fn check(&self, version: &Version) -> bool {
        let Condition { operator, version: limit, open } = self;
        let order = version.compare(limit);
        match operator {
            Operator::NotEqual => self.differs(version),
            Operator::Greater => match open {
                Open::Nothing => order.is_gt(),
                _ if version.major != limit.major => version.major > limit.major,
                Open::Minor => false,
                Open::Patch => version.minor > limit.minor,
                Open::Major => order.is_gt(),
            },
            Operator::Less => order.is_lt(),
            Operator::GreaterOrEqual => order.is_ge(),
            Operator::LessOrEqual => match open {
                Open::Nothing => order.is_le(),
                _ if version.major > limit.major => false,
                _ => !(version.major == limit.major && version.minor > limit.minor && *open != Open::Minor),
            },
            Operator::Tilde => self.is_near(version),
            Operator::TildeOrEqual if *open != Open::Nothing => self.is_near(version),
            Operator::TildeOrEqual => order.is_eq(),
            Operator::Caret => self.is_compatible(version),
        }
    }

    fn differs(&self, version: &Version) -> bool {
        let limit = &self.version;
        match self.open {
            Open::Nothing => {}
            _ if limit.major != version.major => return true,
            Open::Minor => return false,
            _ if limit.minor != version.minor => return true,
            Open::Patch => {
                return compare_prereleases(&version.prerelease, &limit.prerelease).is_ne();
            }
            Open::Major if limit.patch != version.patch => return true,
            Open::Major => {}
        }
        version.compare(limit).is_ne()
    }

    fn is_near(&self, version: &Version) -> bool {
        let limit = &self.version;
        if version.compare(limit).is_lt() {
            return false;
        }
        let is_zero = limit.major == 0 && limit.minor == 0 && limit.patch == 0;
        if is_zero && !matches!(self.open, Open::Minor | Open::Patch) {
            return true;
        }
        version.major == limit.major && (version.minor == limit.minor || self.open == Open::Minor)
    }

    fn is_compatible(&self, version: &Version) -> bool {
        let limit = &self.version;
        if version.compare(limit).is_lt() {
            return false;
        }
        if limit.major > 0 || self.open == Open::Minor {
            return version.major == limit.major;
        }
        if version.major > 0 {
            return false;
        }
        if limit.minor > 0 || self.open == Open::Patch {
            return version.minor == limit.minor;
        }
        version.minor == 0 && version.patch == limit.patch
    }
}

fn group<'t>(parts: &Captures<'t>, n: usize) -> &'t str {
    parts.get(n).map_or("", |part| part.as_str())
}

/// Reports whether a version is in the range; what is no version or no constraint is not.
pub fn is_compatible_range(constraint: &str, version: &str) -> bool {
    match (Version::parse(version), Constraints::known(constraint)) {
        (Ok(version), Ok(constraints)) => constraints.check(&version),
        _ => false,
    }
}

/// `semverCompare`.
pub(super) fn semver_compare(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(constraint), Value::String(version)] = args else { return Err(FunctionError::shape()) };
    let constraints = Constraints::known(&constraint.to_str_lossy()).map_err(|error| error.0)?;
    let version = Version::parse(&version.to_str_lossy()).map_err(|error| error.0)?;
    Ok(Value::Bool(constraints.check(&version)))
}

/// `semver`: a version as a value with methods.
pub(super) fn semver(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(version)] = args else { return Err(FunctionError::shape()) };
    let version = Version::parse(&version.to_str_lossy()).map_err(|error| error.0)?;
    Ok(Value::object(VersionObject { version, is_pointer: true }))
}

/// `*semver.Version`, or `semver.Version`, which has fewer methods.
#[derive(Debug)]
struct VersionObject {
    version: Version,
    is_pointer: bool,
}

impl Object for VersionObject {
    fn type_name(&self) -> &'static str {
        if self.is_pointer { "*semver.Version" } else { "semver.Version" }
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    fn methods(&self) -> &'static [Method] {
        if self.is_pointer { POINTER_METHODS } else { &POINTER_METHODS[..VALUE_METHODS] }
    }

    fn text(&self) -> Option<Str> {
        Some(Str::from(self.version.text()))
    }

    fn json(&self) -> Option<Result<serde_json::Value, Oversized>> {
        Some(Ok(self.version.text().into()))
    }

    fn equals(&self, other: &dyn Object) -> bool {
        match other.as_any().downcast_ref::<VersionObject>() {
            Some(other) if !self.is_pointer && !other.is_pointer => self.version == other.version,
            Some(other) => std::ptr::eq(self, other),
            None => false,
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

const POINTER: Type = Type::Object("*semver.Version");
/// How many of [`POINTER_METHODS`], from the first on, a version that is not a pointer has too.
const VALUE_METHODS: usize = 12;

static POINTER_METHODS: &[Method] = &[
    Method::new("String", &[], |v, _| of(v, |v| Value::from(v.text()))),
    Method::new("Major", &[], |v, _| of(v, |v| number(v.major))),
    Method::new("Minor", &[], |v, _| of(v, |v| number(v.minor))),
    Method::new("Patch", &[], |v, _| of(v, |v| number(v.patch))),
    Method::new("Prerelease", &[], |v, _| of(v, |v| Value::from(v.prerelease.as_str()))),
    Method::new("Metadata", &[], |v, _| of(v, |v| Value::from(v.metadata.as_str()))),
    Method::new("IncPatch", &[], |v, _| changed(v, inc_patch)),
    Method::new("IncMinor", &[], |v, _| changed(v, inc_minor)),
    Method::new("IncMajor", &[], |v, _| changed(v, inc_major)),
    Method::new("SetPrerelease", &[Type::String], set_prerelease),
    Method::new("SetMetadata", &[Type::String], set_metadata),
    Method::new("MarshalText", &[], |v, _| of(v, |v| Value::Bytes(v.text().as_bytes().into()))),
    Method::new("Original", &[], |v, _| of(v, |v| Value::from(v.original.as_str()))),
    Method::new("LessThan", &[POINTER], |v, args| compared(v, args, Ordering::is_lt)),
    Method::new("LessThanEqual", &[POINTER], |v, args| compared(v, args, Ordering::is_le)),
    Method::new("GreaterThan", &[POINTER], |v, args| compared(v, args, Ordering::is_gt)),
    Method::new("GreaterThanEqual", &[POINTER], |v, args| compared(v, args, Ordering::is_ge)),
    Method::new("Equal", &[POINTER], |v, args| compared(v, args, Ordering::is_eq)),
    Method::new("Compare", &[POINTER], |v, args| Ok(Value::Int(order(v, args)? as i64))),
];

fn number(n: u64) -> Value {
    Value::Sized(SizedInt::Uint64(n))
}

fn receiver(value: &Value) -> Result<&VersionObject, String> {
    // The dereference of a nil pointer is the only other thing that can arrive here.
    value.as_object().ok_or_else(|| "runtime error: invalid memory address or nil pointer dereference".to_owned())
}

fn of(value: &Value, get: impl Fn(&Version) -> Value) -> Result<Value, String> {
    receiver(value).map(|object| get(&object.version))
}

fn order(value: &Value, args: &[Value]) -> Result<Ordering, String> {
    let other = receiver(args.first().unwrap_or(&Value::Nil))?;
    Ok(receiver(value)?.version.compare(&other.version))
}

fn compared(value: &Value, args: &[Value], is: fn(Ordering) -> bool) -> Result<Value, String> {
    order(value, args).map(|order| Value::Bool(is(order)))
}

fn changed(value: &Value, change: fn(&mut Version) -> Result<(), String>) -> Result<Value, String> {
    let mut version = receiver(value)?.version.clone();
    change(&mut version)?;
    let prefix = if version.original.starts_with('v') { "v" } else { "" };
    version.original = format!("{prefix}{}", version.text());
    Ok(Value::object(VersionObject { version, is_pointer: false }))
}

fn cleared(version: &mut Version) {
    version.prerelease.clear();
    version.metadata.clear();
}

fn increment(segment: &mut u64, name: &str) -> Result<(), String> {
    *segment = segment.checked_add(1).ok_or_else(|| format!("{name} version increment would overflow uint64"))?;
    Ok(())
}

fn inc_patch(version: &mut Version) -> Result<(), String> {
    if version.prerelease.is_empty() {
        increment(&mut version.patch, "patch")?;
    }
    cleared(version);
    Ok(())
}

fn inc_minor(version: &mut Version) -> Result<(), String> {
    increment(&mut version.minor, "minor")?;
    version.patch = 0;
    cleared(version);
    Ok(())
}

fn inc_major(version: &mut Version) -> Result<(), String> {
    increment(&mut version.major, "major")?;
    (version.minor, version.patch) = (0, 0);
    cleared(version);
    Ok(())
}

fn text_argument(args: &[Value]) -> String {
    args.first().and_then(Value::as_string).map(|text| text.to_str_lossy().into_owned()).unwrap_or_default()
}

fn set_prerelease(value: &Value, args: &[Value]) -> Result<Value, String> {
    let prerelease = text_argument(args);
    check_prerelease(&prerelease).map_err(|error| error.0)?;
    let mut version = receiver(value)?.version.clone();
    version.prerelease = prerelease;
    changed(&Value::object(VersionObject { version, is_pointer: false }), |_| Ok(()))
}

fn set_metadata(value: &Value, args: &[Value]) -> Result<Value, String> {
    let metadata = text_argument(args);
    check_metadata(&metadata).map_err(|error| error.0)?;
    let mut version = receiver(value)?.version.clone();
    version.metadata = metadata;
    changed(&Value::object(VersionObject { version, is_pointer: false }), |_| Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value as Json;

    /// Constraints and versions, and what `semverCompare` of Helm 4.2.3 made of them.
    #[test]
    fn constraints_hold_as_in_helm() {
        const INPUT: &str = include_str!("../../tests/functions/regex-semver-input.json");
        const EXPECTED: &str = include_str!("../../tests/functions/regex-semver-expected.json");
        let data = |text: &str| -> Json { serde_json::from_str(text).expect("JSON") };
        let (input, expected) = (data(INPUT), data(EXPECTED));
        let mut wrong = Vec::new();
        for (case, expected) in
            input["S"].as_array().expect("cases").iter().zip(expected["S"].as_array().expect("answers"))
        {
            let (constraint, version) = (case[0].as_str().expect("text"), case[1].as_str().expect("text"));
            let found = match (Constraints::parse(constraint), Version::parse(version)) {
                (Err(_), _) | (_, Err(_)) => "error".to_owned(),
                (Ok(constraints), Ok(version)) => constraints.check(&version).to_string(),
            };
            if found != *expected {
                wrong.push(format!("{constraint:?} {version:?}: ours {found}, upstream {expected}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
