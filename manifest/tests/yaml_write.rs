//! The canonical form: what it looks like, and that no reader takes text for anything else.
//!
//! Readers of other opinions than kubectl's are stated as tables: the types of YAML 1.1 (yaml.org/type) and the core schema of YAML 1.2.2
//! (section 10.3.2). Invariant: what is written without quotes matches no row of either.

use manifest::yaml::{self, Settings};
use proptest::prelude::*;
use regex::Regex;
use serde_json::{Value, json};

mod yaml_strings;

/// Tags and the plain scalars that a reader gives them, as a whole.
const YAML_1_1: &[(&str, &str)] = &[
    ("null", "~|null|Null|NULL|"),
    ("bool", "y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF"),
    ("int", "[-+]?0b[0-1_]+"),
    ("int", "[-+]?0[0-7_]+"),
    ("int", "[-+]?(0|[1-9][0-9_]*)"),
    ("int", "[-+]?0x[0-9a-fA-F_]+"),
    ("int", "[-+]?[1-9][0-9_]*(:[0-5]?[0-9])+"),
    ("float", r"[-+]?([0-9][0-9_]*)?\.[0-9.]*([eE][-+][0-9]+)?"),
    ("float", r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*"),
    ("float", r"[-+]?\.(inf|Inf|INF)"),
    ("float", r"\.(nan|NaN|NAN)"),
    ("timestamp", "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"),
    (
        "timestamp",
        "[0-9][0-9][0-9][0-9]-[0-9][0-9]?-[0-9][0-9]?([Tt]|[ \t]+)[0-9][0-9]?:[0-9][0-9]:[0-9][0-9](\\.[0-9]*)?\
         (([ \t]*)(Z|[-+][0-9][0-9]?(:[0-9][0-9])?))?",
    ),
    ("merge", "<<"),
    ("value", "="),
];

const YAML_1_2: &[(&str, &str)] = &[
    ("null", "null|Null|NULL|~|"),
    ("bool", "true|True|TRUE|false|False|FALSE"),
    ("int", "[-+]?[0-9]+"),
    ("int", "0o[0-7]+"),
    ("int", "0x[0-9a-fA-F]+"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"),
    ("float", r"[-+]?(\.inf|\.Inf|\.INF)"),
    ("float", r"\.nan|\.NaN|\.NAN"),
];

/// Plain text of one line in block context, in both versions: no indicator at the beginning but a hyphen before text, nothing that begins
/// a comment or ends a key, only characters that can be seen.
const PLAIN: &str = r"(-*[A-Za-z/_]|[\p{L}\p{M}\p{N}\p{P}\p{S}&&[^-?:,\[\]{}#&*!|>'\x22%@`]])[\p{L}\p{M}\p{N}\p{P}\p{S}\x20\x{fffd}\p{Co}\p{Cn}]*";

fn whole(pattern: &str) -> Regex {
    Regex::new(&format!("^(?:{pattern})$")).expect("a regular expression")
}

/// Returns the tags that readers of a version give a plain scalar.
fn tags(table: &[(&'static str, &str)], scalar: &str) -> Vec<&'static str> {
    table.iter().filter(|(_, pattern)| whole(pattern).is_match(scalar)).map(|(tag, _)| *tag).collect()
}

/// Returns how a text is written, without the line break.
fn written(text: &str) -> String {
    let mut out = yaml::write(&json!(text));
    assert_eq!(out.pop(), Some('\n'));
    out
}

fn is_plain(text: &str) -> bool {
    !written(text).starts_with('"')
}

/// Reads one document.
fn read(text: &str) -> Value {
    let mut documents =
        yaml::read(text, &Settings::default()).unwrap_or_else(|error| panic!("{error} at {:?} in {text:?}", error.at));
    assert_eq!(documents.len(), 1, "{text:?}");
    documents.remove(0).value
}

#[test]
fn the_form_of_an_object() {
    let object = json!({
        "apiVersion": "v1",
        "data": {
            "empty": "", "number": "0644", "switch": "on", "text": "plain text", "script": "#!/bin/sh\nset -e\n\n\techo \"$1\"\n",
            "no-newline": "a\nb", "newlines": "a\nb\n\n", "indented": "  a\nb\n", "blank": "\na\n",
        },
        "kind": "ConfigMap",
        "list": ["a", [], {}, ["b", ["c"]], {"y": 1, "x": {"kind": "k", "apiVersion": "v", "name": "n"}}, null, true, -1.5],
        "metadata": {"name": "a", "annotations": {"kind": "k", "apiVersion": "v"}},
        "Z": {"10": 1, "9": 2, "a": 3, "B": 4, "ä": 5},
    });
    let canonical = r##"apiVersion: v1
kind: ConfigMap
metadata:
  annotations:
    apiVersion: v
    kind: k
  name: a
Z:
  "10": 1
  "9": 2
  B: 4
  a: 3
  ä: 5
data:
  blank: |2

    a
  empty: ""
  indented: |2
      a
    b
  newlines: |+
    a
    b

  no-newline: |-
    a
    b
  number: "0644"
  script: |
    #!/bin/sh
    set -e

    	echo "$1"
  switch: "on"
  text: plain text
list:
- a
- []
- {}
- - b
  - - c
- x:
    apiVersion: v
    kind: k
    name: "n"
  "y": 1
- null
- true
- -1.5
"##;
    assert_eq!(yaml::write(&object), canonical);
    assert_eq!(read(canonical), object);
}

#[test]
fn a_root_of_any_type_is_one_document() {
    for (value, text) in [
        (json!(null), "null\n"),
        (json!({}), "{}\n"),
        (json!([]), "[]\n"),
        (json!("a\nb\n"), "\"a\\nb\\n\"\n"),
        (json!("---"), "\"---\"\n"),
        (json!([1, [2]]), "- 1\n- - 2\n"),
    ] {
        assert_eq!(yaml::write(&value), text);
        assert_eq!(read(text), value);
    }
}

#[test]
fn documents_are_joined_by_a_marker() {
    let values = [json!({"a": "x\n\n"}), Value::Null, json!([]), json!("b")];
    let text = yaml::write_documents(&values);
    assert_eq!(text, "a: |+\n  x\n\n---\nnull\n---\n[]\n---\nb\n");
    let read = yaml::read(&text, &Settings::default()).expect("YAML");
    assert_eq!(read.into_iter().map(|document| document.value).collect::<Vec<_>>(), values);
    assert_eq!(yaml::write_documents(&[]), "");
    assert_eq!(yaml::write_documents([&values[0]]), yaml::write(&values[0]));
}

#[test]
fn numbers_have_one_form() {
    let ints = [
        (json!(0), "0"),
        (json!(-0.0), "0"),
        (json!(1.0), "1"),
        (json!(-3e3), "-3000"),
        (json!(i64::MIN), "-9223372036854775808"),
    ];
    for (value, text) in ints {
        assert_eq!(yaml::write(&value), format!("{text}\n"));
        assert_eq!((tags(YAML_1_1, text), tags(YAML_1_2, text)), (vec!["int"], vec!["int", "float"]), "{text}");
    }
    let floats = [
        (json!(0.1), "0.1"),
        (json!(-1.5), "-1.5"),
        (json!(123_456.789), "123456.789"),
        (json!(0.00001), "0.00001"),
        (json!(0.000001), "1.0e-06"),
        (json!(1.5e-7), "1.5e-07"),
        (json!(1e20), "1.0e+20"),
        (json!(-1.25e300), "-1.25e+300"),
        (json!(u64::MAX), "1.8446744073709552e+19"),
    ];
    for (value, text) in floats {
        assert_eq!(yaml::write(&value), format!("{text}\n"));
        assert_eq!((tags(YAML_1_1, text), tags(YAML_1_2, text)), (vec!["float"], vec!["float"]), "{text}");
        assert_eq!(read(text).as_f64(), value.as_f64(), "{text}");
    }
}

#[test]
fn every_text_is_read_back_in_every_position() {
    assert!(yaml_strings::STRINGS.len() >= 200);
    for text in yaml_strings::STRINGS {
        for value in yaml_strings::positions(text) {
            let canonical = yaml::write(&value);
            assert_eq!(read(&canonical), value, "{canonical}");
        }
    }
}

#[test]
fn text_without_quotes_has_no_other_type_in_any_version() {
    let plain = whole(PLAIN);
    for text in yaml_strings::STRINGS.iter().copied().filter(|text| is_plain(text)) {
        assert_eq!(written(text), text);
        assert_eq!(tags(YAML_1_1, text), [""; 0], "{text:?} in YAML 1.1");
        assert_eq!(tags(YAML_1_2, text), [""; 0], "{text:?} in YAML 1.2");
        assert!(
            plain.is_match(text) && !text.contains(": ") && !text.contains(" #") && !text.ends_with([':', ' ']),
            "{text:?} is syntax"
        );
    }
}

#[test]
fn what_people_write_every_day_needs_no_quotes() {
    for text in [
        "a",
        "hello world",
        "--port=80",
        "-c",
        "/bin/sh",
        "./run",
        ".gitignore",
        "100m",
        "1Gi",
        "http://x:80/y",
        "a:b",
        "a#b",
        "it's",
        "v1.2.3",
        "8080:80/tcp",
        "a, b",
        "a[0]",
        "x{y}",
        "$(HOME)",
        "registry.example.com/team/app:1.2.3",
        "apps/v1",
        "日本",
        "3d",
        "10.0.0.0/8",
        "ünï cödé",
    ] {
        assert!(is_plain(text), "{text}");
    }
}

#[test]
fn what_cannot_be_seen_is_escaped() {
    for (text, escaped) in [
        ("a\u{0}b", r#""a\x00b""#),
        ("\u{85}", r#""\x85""#),
        ("a\u{a0}b", r#""a\xa0b""#),
        ("a\u{200b}b", r#""a\u200bb""#),
        ("a\u{202e}b", r#""a\u202eb""#),
        ("line\none\u{2028}", r#""line\none\u2028""#),
        ("\u{feff}", r#""\ufeff""#),
        ("\u{e0041}", r#""\U000e0041""#),
        ("say \"\\\"\t\r\n", r#""say \"\\\"\t\r\n""#),
    ] {
        assert_eq!(written(text), escaped);
        assert_eq!(read(escaped), json!(text));
    }
}

#[test]
fn a_key_too_long_for_one_line_stands_alone() {
    for length in [998, 999, 1000, 1001, 1025, 5000] {
        let key = "k".repeat(length);
        for value in [
            json!({&key: 1, "z": 2}),
            json!({"m": {&key: {&key: ["a"]}}}),
            json!([{&key: {"a": 1}}, {"a": 1, &key: [[{}]]}]),
        ] {
            let canonical = yaml::write(&value);
            assert_eq!(canonical.contains("? "), length > 1000, "{length}");
            assert_eq!(read(&canonical), value);
        }
    }
}

#[test]
fn the_order_of_a_map_does_not_matter() {
    let one: Value =
        serde_json::from_str(r#"{"b": 1, "metadata": {"z": 1, "a": 2}, "a": 2, "kind": "K", "apiVersion": "v1"}"#)
            .expect("JSON");
    let other: Value =
        serde_json::from_str(r#"{"apiVersion": "v1", "kind": "K", "a": 2, "metadata": {"a": 2, "z": 1}, "b": 1}"#)
            .expect("JSON");
    assert_eq!(yaml::write(&one), yaml::write(&other));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Text made to the pattern of a type is quoted, whatever the version.
    #[test]
    fn text_that_looks_typed_is_quoted(text in typed_text()) {
        prop_assert!(!is_plain(&text), "{}", text);
    }

    /// The tables again, with text that is near to what they hold.
    #[test]
    fn text_without_quotes_is_text(text in "[-+.:_ 0-9a-fA-FxXoOtTzZnNyYiI=<~]{0,12}") {
        if is_plain(&text) {
            prop_assert_eq!(tags(YAML_1_1, &text), [""; 0]);
            prop_assert_eq!(tags(YAML_1_2, &text), [""; 0]);
        }
    }
}

fn typed_text() -> impl Strategy<Value = String> {
    let patterns = YAML_1_1.iter().chain(YAML_1_2).map(|(_, pattern)| {
        proptest::string::string_regex(&format!("({pattern})")).expect("a pattern to make text from").boxed()
    });
    proptest::strategy::Union::new(patterns)
}
