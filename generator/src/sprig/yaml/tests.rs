//! Cases of the emitter and the reader as Helm has them; the recorded ones are in `tests/functions`.

use super::*;
use serde_json::json;

fn yaml(value: &Json) -> String {
    marshal(&crate::value::from_json(value)).expect("a YAML form")
}

#[test]
fn shapes() {
    let value =
        json!({"l": [1, [2, 3], {"a": 1, "b": []}, {}], "m": {"x": null, "y": {"z": true}}, "s": "", "t": "a\nb"});
    let expected = "l:\n- 1\n- - 2\n  - 3\n- a: 1\n  b: []\n- {}\nm:\n  x: null\n  \"y\":\n    z: true\ns: \"\"\nt: |-\n  a\n  b\n";
    assert_eq!(yaml(&value), expected);
    assert_eq!(yaml(&json!([])), "[]\n");
    assert_eq!(yaml(&json!("x")), "x\n");
}

#[test]
fn text() {
    let cases = [
        ("- a", "'- a'\n"),
        ("a: b", "'a: b'\n"),
        ("a:b", "a:b\n"),
        ("#c", "'#c'\n"),
        (" lead", "' lead'\n"),
        ("tab\there", "\"tab\\there\"\n"),
        ("it's", "it's\n"),
        ("'", "''''\n"),
        ("😀", "\"\\U0001F600\"\n"),
        ("ünï", "ünï\n"),
        ("a\n", "|\n  a\n"),
        ("a\n\n", "|+\n  a\n\n"),
        (" a\nb", "|2-\n   a\n  b\n"),
        ("a \nb", "\"a \\nb\"\n"),
        ("=", "=\n"),
        ("---", "'---'\n"),
        ("\u{7f}", ""),
    ];
    for (text, expected) in cases {
        let written = marshal(&Value::from(text)).unwrap_or_default();
        assert_eq!(written, expected, "{text:?}");
    }
}

#[test]
fn long_lines_fold_behind_column_80() {
    let words = "word ".repeat(30);
    let folded = yaml(&json!({"k": words.trim_end()}));
    assert_eq!(folded.lines().map(str::len).collect::<Vec<_>>(), [82, 71]);
    assert_eq!(yaml(&json!("x".repeat(200))).len(), 201);
}

#[test]
fn numbers_pass_through_json() {
    let cases = [
        (1_000_000.0, "1000000\n"),
        (1e20, "1e+20\n"),
        (12_345_678_901_234_567_890.0, "12345678901234567000\n"),
        (-0.0, "0\n"),
        (1.5e-7, "1.5e-07\n"),
    ];
    for (x, expected) in cases {
        assert_eq!(marshal(&Value::Float(x)).expect("a number"), expected);
    }
    assert!(marshal(&Value::Float(f64::NAN)).is_err());
}

#[test]
fn pretty_indents_lists() {
    let value = crate::value::from_json(&json!({"l": [1, [2]], "big": 1_000_000}));
    assert_eq!(marshal_pretty(&value).expect("a form"), "big: 1e+06\nl:\n  - 1\n  - - 2\n");
}

#[test]
fn a_cycle_is_an_error() {
    let map = crate::value::Map::new();
    map.insert("self", Value::Map(map.clone()));
    assert!(marshal(&Value::Map(map.clone())).is_err());
    map.remove("self");
}
