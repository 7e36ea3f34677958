//! Takes secrets out of texts that come from containers and servers, before anybody can read them.
//!
//! Two nets. The first is exact: every value of every Secret that was given, as it is, line by line, in base64, percent-encoded and as a
//! JSON string. The second is by looks: what seems to be a token, a password or a key. Knows no object but Secrets, sends nothing.
//! Invariant: no value that was given, of four characters or more, is in a text that was redacted; shorter ones not as a whole word.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use regex::Regex;
use serde_json::Value;

/// What stands where something was taken out.
pub const MARK: &str = "[redacted]";
/// Values shorter than this are taken out only where they stand alone.
const LENGTH_MIN: usize = 4;

/// Knows what to take out.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    values: BTreeSet<String>,
    words: BTreeSet<String>,
}

impl Redactor {
    /// Adds every value of a Secret.
    pub fn add_secret(&mut self, secret: &Value) {
        let entries = |field: &str| secret.get(field).and_then(Value::as_object).into_iter().flatten();
        for (_, value) in entries("stringData") {
            self.add(value.as_str().unwrap_or_default());
        }
        for (_, value) in entries("data") {
            let encoded: String = value.as_str().unwrap_or_default().split_whitespace().collect();
            self.add_exactly(&encoded);
            if let Ok(bytes) = STANDARD.decode(&encoded) {
                self.add(&String::from_utf8_lossy(&bytes));
            }
        }
    }

    /// Adds everything that another one knows.
    pub fn extend(&mut self, other: Redactor) {
        self.values.extend(other.values);
        self.words.extend(other.words);
    }

    /// Adds a value in every form in which it may turn up.
    pub fn add(&mut self, value: &str) {
        let json = Value::String(value.to_owned()).to_string();
        let forms = [value.to_owned(), json[1..json.len() - 1].to_owned(), percent(value)];
        let encoded = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD].map(|engine| engine.encode(value));
        forms.iter().chain(&encoded).for_each(|form| self.add_exactly(form));
        value.lines().for_each(|line| self.add_exactly(line));
    }

    fn add_exactly(&mut self, value: &str) {
        let value = value.trim();
        if value.is_empty() {
            return;
        }
        let set = if value.chars().count() < LENGTH_MIN { &mut self.words } else { &mut self.values };
        set.insert(value.to_owned());
    }

    /// Returns a text without secrets.
    pub fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        // The longest first: a value may be part of another.
        let mut values: Vec<&String> = self.values.iter().collect();
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        for value in values {
            text = text.replace(value.as_str(), MARK);
        }
        for word in &self.words {
            text = without_word(&text, word);
        }
        for (pattern, replacement) in PATTERNS.iter() {
            text = pattern.replace_all(&text, *replacement).into_owned();
        }
        text
    }
}

fn percent(value: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    value.bytes().map(byte).collect()
}

fn without_word(text: &str, word: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        kept.push_str(before);
        let alone = !is_part(before.chars().next_back().or(kept.chars().next_back())) && !is_part(after.chars().next());
        kept.push_str(if alone { MARK } else { word });
        rest = after;
    }
    kept + rest
}

/// What looks like a secret, and what stands in its place.
static PATTERNS: LazyLock<Vec<(Regex, &'static str)>> = LazyLock::new(|| {
    const LOOKS: [(&str, &str); 7] = [
        (r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\z)", MARK),
        (r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*)?", MARK),
        (r"(?i)\b(bearer|basic)(\s+)[A-Za-z0-9._~+/=-]{8,}", "$1$2[redacted]"),
        (r"(://[^\s:/@]*:)[^\s@/]+@", "$1[redacted]@"),
        (r"\b(AKIA|ASIA)[0-9A-Z]{16}\b", MARK),
        (r"\b(gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk-|npm_|pypi-)[A-Za-z0-9_-]{10,}", MARK),
        (
            r#"(?i)([A-Za-z0-9_.-]*(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)[A-Za-z0-9_.-]*["']?\s*[:=]\s*["']?)[^\s"',;&}\[]{3,}"#,
            "$1[redacted]",
        ),
    ];
    LOOKS.iter().map(|(look, mark)| (Regex::new(look).expect("a constant pattern"), *mark)).collect()
});

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redactor() -> Redactor {
        let mut redactor = Redactor::default();
        redactor.add_secret(&json!({"data": {"a": STANDARD.encode("hunter2/x y"), "k": STANDARD.encode("line one\nline two\n")}, "stringData": {"b": "s3cr3t!", "c": "pw"}}));
        redactor
    }

    #[test]
    fn values_of_secrets_are_taken_out_in_every_form() {
        let redactor = redactor();
        let base64 = STANDARD.encode("hunter2/x y");
        for text in ["hunter2/x y", &base64, "hunter2%2Fx%20y", "line two", "s3cr3t!"] {
            assert_eq!(redactor.redact(&format!("a {text} b")), "a [redacted] b", "{text}");
        }
        assert_eq!(redactor.redact("pw, and spwn"), "[redacted], and spwn");
        assert_eq!(redactor.redact("nothing to see"), "nothing to see");
    }

    #[test]
    fn what_looks_like_a_secret_is_taken_out() {
        let cases = [
            ("password=hello1 user=bob", "password=[redacted] user=bob"),
            (r#"{"apiKey": "abcdef"}"#, r#"{"apiKey": "[redacted]"}"#),
            ("DB_PASSWORD: x1y2", "DB_PASSWORD: [redacted]"),
            ("Authorization: Bearer abcdefgh1234", "Authorization: Bearer [redacted]"),
            ("postgres://app:pa55@db:5432/x", "postgres://app:[redacted]@db:5432/x"),
            ("key AKIAABCDEFGHIJKLMNOP end", "key [redacted] end"),
            ("ghp_abcdefghij0123456789", "[redacted]"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2ln", "[redacted]"),
            ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nx", "[redacted]\nx"),
            ("connection refused on port 5432", "connection refused on port 5432"),
        ];
        for (text, expected) in cases {
            assert_eq!(Redactor::default().redact(text), expected);
        }
    }
}
