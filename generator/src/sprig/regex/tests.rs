//! Cases of the translation and of what Go adds to it; the recorded ones are in `tests/functions`.

use super::*;
use crate::gotemplate::Call;
use serde_json::Value as Json;

const INPUT: &str = include_str!("../../../tests/functions/regex-semver-input.json");
const EXPECTED: &str = include_str!("../../../tests/functions/regex-semver-expected.json");

fn data(text: &str) -> Json {
    serde_json::from_str(text).expect("JSON")
}

/// Patterns, and what Go's `regexp` made of them.
#[test]
fn patterns_match_as_in_go() {
    let (input, expected) = (data(INPUT), data(EXPECTED));
    let text = |value: &Json| value.as_str().expect("text").to_owned();
    let cases = input["R"].as_array().expect("cases");
    let mut wrong = Vec::new();
    for (case, expected) in cases.iter().zip(expected["R"].as_array().expect("answers")) {
        let (pattern, input, with) = (text(&case["Re"]), text(&case["In"]), text(&case["Repl"]));
        let found = match compiled(&Str::from(&pattern)) {
            Err(_) => Json::from("ERR"),
            Ok(compiled) => {
                // The answers show a nil list as an empty one.
                let strings = |value: Value| match value.to_json().expect("strings") {
                    Json::Null => serde_json::json!([]),
                    json => json,
                };
                serde_json::json!({
                    "match": compiled.regex.is_match(&input),
                    "find": strings(find_all(&compiled, &Str::from(&input), -1)),
                    "repl": strings(replace(&compiled, &Str::from(&input), &Str::from(&with))),
                    "lit": strings(replace_literal(&compiled, &Str::from(&input), &Str::from(&with))),
                    "split": strings(super::strings(compiled.split(&input, -1))),
                })
            }
        };
        if found != *expected {
            wrong.push(format!("{pattern:?}\n  ours {found}\n  Go   {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn special_characters_are_quoted_as_in_go() {
    let mut host = ();
    let plain = r"a#b&c-d~e.f*g/h{i}|j^k$l\m[n](o)+?p q";
    let quoted = regex_quote_meta(&mut Call::detached(&mut host), &[Value::from(plain)]).expect("total");
    assert_eq!(quoted.as_string().expect("text").to_string(), data(EXPECTED)["Q"].as_str().expect("text"));
}

/// Errors, in Go's words.
#[test]
fn broken_patterns() {
    let cases = [
        ("a**", "error parsing regexp: invalid nested repetition operator: `**`"),
        ("a(b", "error parsing regexp: missing closing ): `a(b`"),
        ("a)b", "error parsing regexp: unexpected ): `a)b`"),
        ("[a", "error parsing regexp: missing closing ]: `[a`"),
        ("*a", "error parsing regexp: missing argument to repetition operator: `*`"),
        ("a|*", "error parsing regexp: missing argument to repetition operator: `*`"),
        ("x{1001}", "error parsing regexp: invalid repeat count: `{1001}`"),
        ("(x{100}){11}", "error parsing regexp: invalid repeat count: `{11}`"),
        (r"\8", r"error parsing regexp: invalid escape sequence: `\8`"),
        ("(?=a)", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`"),
        ("(?<n", "error parsing regexp: invalid named capture: `(?<n`"),
        ("[b-a]", "error parsing regexp: invalid character class range: `b-a`"),
        (r"\pX", r"error parsing regexp: invalid character class range: `\pX`"),
        ("a\\", "error parsing regexp: trailing backslash at end of expression: ``"),
    ];
    for (pattern, expected) in cases {
        assert_eq!(compiled(&Str::from(pattern)).expect_err(pattern), expected, "{pattern}");
    }
}
