//! Laws of reading and writing, over values and texts that nobody has thought of.

use manifest::yaml::{self, DuplicateKeys, Settings};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Characters and words that mean something to some reader of YAML.
fn nasty_text() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        " ",
        "  ",
        "\t",
        "\n",
        "\n\n",
        "\r",
        "\r\n",
        ":",
        ": ",
        " #",
        "#",
        "-",
        "- ",
        "?",
        ",",
        "[",
        "]",
        "{",
        "}",
        "{{",
        "&",
        "*",
        "!",
        "|",
        ">",
        "'",
        "\"",
        "%",
        "@",
        "`",
        "~",
        "=",
        "<<",
        ".",
        "...",
        "---",
        "+",
        "_",
        "/",
        "\\",
        "0",
        "1",
        "0x",
        "0o",
        "1e",
        ".inf",
        ".nan",
        "y",
        "no",
        "on",
        "null",
        "true",
        "a",
        "b",
        "Z",
        "é",
        "日",
        "😀",
        "\u{0}",
        "\u{7}",
        "\u{7f}",
        "\u{85}",
        "\u{a0}",
        "\u{200b}",
        "\u{2028}",
        "\u{2029}",
        "\u{202e}",
        "\u{feff}",
        "\u{fffe}",
        "\u{e0001}",
    ]);
    prop_oneof![
        8 => prop::collection::vec(parts, 0..10).prop_map(|parts| parts.concat()),
        2 => any::<String>(),
        1 => "[a-z]{0,8}",
    ]
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(|int| json!(int)),
        (-1000i64..1000).prop_map(|int| json!(int)),
        any::<f64>().prop_filter("JSON has no word for it", |float| float.is_finite()).prop_map(|float| json!(float)),
        (-1000i32..1000, -8i32..22).prop_map(|(digits, exponent)| json!(f64::from(digits) * 10f64.powi(exponent))),
        any::<u64>().prop_map(|int| json!(int)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::Bool),
        2 => number(),
        6 => nasty_text().prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::btree_map(nasty_text(), inner, 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// Returns the value as Kubernetes holds it: a float is an integer if its shortest digits are one of 64 signed bits, an integer that does not
/// fit them is a float.
fn as_kubernetes_holds_it(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.as_i64().is_none() => {
            let float = number.as_f64().expect("a float");
            match float.to_string().parse::<i64>() {
                Ok(int) => json!(int),
                Err(_) => json!(float),
            }
        }
        Value::Array(items) => items.iter().map(as_kubernetes_holds_it).collect(),
        Value::Object(entries) => {
            let entries: Map<String, Value> =
                entries.iter().map(|(key, value)| (key.clone(), as_kubernetes_holds_it(value))).collect();
            Value::Object(entries)
        }
        other => other.clone(),
    }
}

fn read_one(text: &str) -> Value {
    let marked = Settings { marks: true, ..Settings::default() };
    let mut documents =
        yaml::read(text, &marked).unwrap_or_else(|error| panic!("{error} at {:?} in {text:?}", error.at));
    assert_eq!(documents.len(), 1, "{text:?}");
    documents.remove(0).value
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(value in value()) {
        let text = yaml::write(&value);
        prop_assert_eq!(read_one(&text), as_kubernetes_holds_it(&value), "{}", text);
        prop_assert!(text.ends_with('\n') && !text.contains('\r'));
    }

    #[test]
    fn writing_what_was_read_changes_nothing(value in value()) {
        let text = yaml::write(&value);
        prop_assert_eq!(yaml::write(&read_one(&text)), text);
    }

    #[test]
    fn streams_are_read_back(values in prop::collection::vec(value(), 0..5)) {
        let documents = yaml::read(&yaml::write_documents(&values), &Settings::default()).expect("YAML");
        let read: Vec<Value> = documents.into_iter().map(|document| document.value).collect();
        prop_assert_eq!(read, values.iter().map(as_kubernetes_holds_it).collect::<Vec<_>>());
    }

    #[test]
    fn json_is_yaml(value in value()) {
        // JSON allows characters as they are that YAML 1.1 does not; both know the escape.
        let escaped = |char: char| matches!(char, '\u{7f}'..'\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
        let text: String = value
            .to_string()
            .chars()
            .map(|char| if escaped(char) { format!("\\u{:04x}", u32::from(char)) } else { char.to_string() })
            .collect();
        prop_assert_eq!(read_one(&text), as_kubernetes_holds_it(&value));
    }

    #[test]
    fn every_value_has_a_position(value in value()) {
        let text = yaml::write(&value);
        let marked = Settings { marks: true, ..Settings::default() };
        let document = yaml::read(&text, &marked).expect("YAML").remove(0);
        let lines: Vec<&str> = text.split('\n').collect();
        for (pointer, at) in document.marks.values.iter().chain(&document.marks.keys) {
            prop_assert!(document.value.pointer(pointer).is_some(), "{} is in no value", pointer);
            let line = lines.get(at.line - 1).copied();
            prop_assert!(line.is_some_and(|line| at.column <= line.chars().count() + 1), "{} is at {:?} of {}", pointer, at, text);
        }
        prop_assert_eq!(document.marks.values.len(), count(&document.value));
    }

    #[test]
    fn reading_anything_ends_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(text) = yaml::decode(&bytes) {
            never_panics(&text)?;
        }
    }

    #[test]
    fn reading_what_looks_like_yaml_ends_without_a_panic(text in yaml_soup()) {
        never_panics(&text)?;
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(entries) => entries.values().map(count).sum(),
        _ => 0,
    }
}

/// What looks like YAML and mostly is none.
fn yaml_soup() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        "a",
        "b: ",
        "c:\n",
        "- ",
        "-\n",
        "? ",
        ": ",
        "\n",
        "\n\n",
        "\n  ",
        "\n    ",
        "\n\t",
        "\t",
        " ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "\"",
        "'",
        "\"x\ny\"",
        "'x\n\n y'",
        "|\n",
        "|2-\n",
        ">+\n",
        "# c\n",
        "---\n",
        "...\n",
        "&a ",
        "*a",
        "<<: *a\n",
        "<<: [*a, *a]\n",
        "!!int ",
        "!t ",
        "!!binary ",
        "%X\n",
        "\\",
        "\\x",
        "0x",
        "1e9",
        "~",
        "é",
        "\r\n",
        "\r",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "{{ x }}",
        "yes",
        "==",
    ]);
    prop::collection::vec(parts, 0..24).prop_map(|parts| parts.concat())
}

/// Reads in every way; what is read can be written and is then read back.
fn never_panics(text: &str) -> Result<(), TestCaseError> {
    for duplicate_keys in [DuplicateKeys::Refuse, DuplicateKeys::LastWins] {
        let plain = yaml::read(text, &Settings { duplicate_keys, ..Settings::default() });
        let marked = yaml::read(text, &Settings { duplicate_keys, marks: true, ..Settings::default() });
        match (plain, marked) {
            (Ok(plain), Ok(marked)) => {
                let plain: Vec<Value> = plain.into_iter().map(|document| document.value).collect();
                let marked: Vec<Value> = marked.into_iter().map(|document| document.value).collect();
                prop_assert_eq!(&plain, &marked, "marks change the values of {:?}", text);
                let again =
                    yaml::read(&yaml::write_documents(&plain), &Settings::default()).expect("what is written is YAML");
                prop_assert_eq!(again.into_iter().map(|document| document.value).collect::<Vec<_>>(), plain);
            }
            (Err(plain), Err(marked)) => {
                prop_assert_eq!(&plain, &marked, "marks change the error of {:?}", text);
                prop_assert!(plain.at.line >= 1 && plain.at.column >= 1);
                prop_assert!(!plain.message.is_empty() && !plain.message.ends_with('.'));
            }
            (plain, marked) => {
                prop_assert!(false, "{:?} is {:?} without and {:?} with marks", text, plain.is_ok(), marked.is_ok());
            }
        }
    }
    Ok(())
}
