//! What no template may do, whatever it says: panic, hang, overflow the stack, or pass a named limit.
//!
//! Test threads have a 2 MiB stack, so what recurses too deep here aborts the test run.

use generator::gotemplate::limits::{
    EXECUTION_DEPTH_MAX, NESTING_MAX, OUTPUT_BYTES_MAX, SOURCE_BYTES_MAX, STEPS_MAX, TRACE_LEVELS_MAX,
};
use generator::gotemplate::{
    Call, ExecError, Execution, Executor, Function, FunctionError, Functions, Limits, Options, ParseError, Parsed, Run,
    TemplateSet,
};
use generator::value::{Map, Type, Value, from_json};
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};

static TABLE: &[Function] = &[
    Function::variadic("list", &[], Type::Any, |_, args| Ok(Value::list(args.to_vec()))),
    Function::new("set", &[Type::MAP, Type::String, Type::Any], |_, args| match args {
        [Value::Map(map), Value::String(key), value] => {
            map.insert(key.clone(), value.clone());
            Ok(args[0].clone())
        }
        _ => Err(FunctionError::shape()),
    }),
    Function::template("include", &[Type::String, Type::Any], |_, args| match args {
        [Value::String(name), data] => {
            Ok(Execution { template: Run::Named(name.clone()), data: data.clone(), finish: None, preamble: None })
        }
        _ => Err(FunctionError::shape()),
    }),
    Function::template("tpl", &[Type::String, Type::Any], |_, args| match args {
        [Value::String(text), data] => {
            let template = Run::Text { name: "gotpl".into(), text: text.clone() };
            Ok(Execution { template, data: data.clone(), finish: None, preamble: None })
        }
        _ => Err(FunctionError::shape()),
    }),
];

static FUNCTIONS: LazyLock<Arc<Functions>> = LazyLock::new(|| Arc::new(Functions::new(&[TABLE])));

fn parse(text: &str) -> Result<Arc<TemplateSet>, ParseError> {
    let mut set = TemplateSet::new("gotpl", Arc::clone(&FUNCTIONS));
    set.parse("t", text)?;
    Ok(Arc::new(set))
}

fn execute(text: &str, data: Value, limits: Limits) -> Result<Vec<u8>, ExecError> {
    let set = parse(text).expect("a template");
    let mut host = ();
    let options = Options { limits, ..Options::default() };
    Ok(Executor::new(set, &mut host, options).execute("t", data)?.text.as_bytes().to_vec())
}

/// Runs a template that is to meet a limit and returns its complaint.
fn complaint(text: &str, limits: Limits) -> String {
    complaint_over(text, Value::Nil, limits)
}

fn complaint_over(text: &str, data: Value, limits: Limits) -> String {
    let error = execute(text, data, limits).expect_err("meets the limit");
    assert_eq!(error.code, "limit");
    error.message
}

#[test]
fn endless_recursion_of_templates_ends_at_the_depth_limit() {
    let limit = format!("exceeded maximum template depth ({EXECUTION_DEPTH_MAX})");
    let deep = "{{ define \"x\" }}{{ if true }}{{ with 1 }}{{ template \"x\" . }}{{ end }}{{ end }}{{ end }}{{ template \"x\" }}";
    assert_eq!(complaint(deep, Limits::default()), limit);
    assert_eq!(
        complaint("{{ define \"x\" }}{{ include \"x\" . }}{{ end }}{{ include \"x\" . }}", Limits::default()),
        limit
    );
    let tpl = execute("{{ tpl . . }}", "{{ tpl . . }}".into(), Limits::default()).expect_err("meets the limit");
    assert_eq!(tpl.message, limit);
}

#[test]
fn the_trace_of_a_runaway_recursion_is_cut() {
    let text = "{{ define \"x\" }}{{ template \"x\" . }}{{ end }}{{ template \"x\" . }}";
    let error = execute(text, Value::Nil, Limits::default()).expect_err("meets the limit");
    assert_eq!(error.levels.len(), 1 + TRACE_LEVELS_MAX);
}

#[test]
fn recursion_just_below_the_limit_works() {
    let text = "{{ define \"x\" }}{{ if . }}{{ include \"x\" (slice . 1) }}{{ else }}end{{ end }}{{ end }}{{ include \"x\" . }}";
    let written = execute(text, "x".repeat(5_000).into(), Limits::default()).expect("renders");
    assert_eq!(written, b"end");
}

#[test]
fn nesting_stops_at_its_limit_and_works_up_to_it() {
    let parens = |n: usize| format!("{{{{ {}1{} }}}}", "(".repeat(n), ")".repeat(n));
    let blocks = |n: usize| format!("{}x{}", "{{ if true }}".repeat(n), "{{ end }}".repeat(n));
    let ranges = |n: usize| format!("{}x{}", "{{ range 1 }}".repeat(n), "{{ end }}".repeat(n));
    let definitions = |n: usize| {
        (0..n).map(|i| format!("{{{{ block \"b{i}\" . }}}}")).collect::<String>() + "x" + &"{{ end }}".repeat(n)
    };
    for text in [parens(NESTING_MAX), blocks(NESTING_MAX), ranges(NESTING_MAX), definitions(NESTING_MAX)] {
        assert!(execute(&text, Value::Nil, Limits::default()).is_ok());
    }
    for (text, says) in [
        (parens(NESTING_MAX + 1), "max expression depth exceeded"),
        (blocks(NESTING_MAX + 1), "max block depth exceeded"),
        (ranges(NESTING_MAX + 1), "max block depth exceeded"),
        (definitions(NESTING_MAX + 1), "max block depth exceeded"),
        (parens(1_000_000), "max expression depth exceeded"),
    ] {
        let error = parse(&text).expect_err("too deep");
        assert_eq!((error.code, &*error.message), ("limit", says));
    }
}

#[test]
fn an_error_inside_the_deepest_nesting_still_prints_its_node() {
    let n = NESTING_MAX - 1;
    let text = format!("{{{{ $s := \"s\" }}}}{{{{ {}$s.x{} }}}}", "(".repeat(n), ")".repeat(n));
    let error = execute(&text, Value::Nil, Limits::default()).expect_err("no field");
    assert!(error.to_string().ends_with("at <$s.x>: can't evaluate field x in type string"), "{error}");
}

#[test]
fn output_and_steps_are_bounded() {
    let limits = Limits::default();
    assert_eq!((limits.output_bytes, limits.steps, limits.depth), (OUTPUT_BYTES_MAX, STEPS_MAX, EXECUTION_DEPTH_MAX));
    let low = Limits { output_bytes: 1_000, steps: 10_000, ..limits };
    assert_eq!(complaint("{{ range 200 }}123456{{ end }}", low), "output exceeds the limit of 1000 bytes");
    assert_eq!(complaint("{{ range 9999999999 }}{{ end }}", low), "execution exceeds the limit of 10000 steps");
    // What is captured counts, too: doubling by include must not get away.
    let doubling = "{{ define \"x\" }}{{ . }}{{ . }}{{ end }}{{ $s := \"0123456789\" }}{{ range 99 }}{{ $s = include \"x\" $s }}{{ end }}";
    assert_eq!(complaint(doubling, low), "output exceeds the limit of 1000 bytes");
    assert!(execute("{{ range 100 }}123456789{{ end }}", Value::Nil, low).is_ok());
}

#[test]
fn long_texts_cost_steps() {
    let low = Limits { steps: 10_000, ..Limits::default() };
    let long = "{{ range 5 }}{{ $_ := list $ | len }}{{ $_ = print $ }}{{ end }}";
    assert!(execute(long, "x".repeat(1_000).into(), low).is_ok());
    assert_eq!(complaint_over(long, "x".repeat(100_000).into(), low), "execution exceeds the limit of 10000 steps");
}

#[test]
fn a_text_past_the_limit_is_not_parsed() {
    let error = Parsed::new("t", " ".repeat(SOURCE_BYTES_MAX + 1), &FUNCTIONS).expect_err("too long");
    assert_eq!(error.code, "limit");
}

#[test]
fn functions_can_ask_before_they_build() {
    let mut host = ();
    let call = Call::detached(&mut host);
    assert!(call.check_bytes(OUTPUT_BYTES_MAX).is_ok());
    assert_eq!(call.check_bytes(OUTPUT_BYTES_MAX + 1).expect_err("too much").code, "limit");
}

#[test]
fn values_that_contain_themselves_are_errors_not_hangs() {
    let map = Map::new();
    for text in ["{{ . }}", "{{ print . }}", "{{ printf \"%v\" . }}", "{{ html . }}", "{{ .self.self.self }}"] {
        map.insert("self", Value::Map(map.clone()));
        let error = execute(text, Value::Map(map.clone()), Limits::default()).expect_err("a cycle");
        assert!(error.message.contains("contains itself"), "{error}");
    }
    assert_eq!(execute("{{ len .self.self }}", Value::Map(map.clone()), Limits::default()).expect("no walk"), b"1");
    map.remove("self");
    // Not a cycle, but it unfolds to 2^60 elements.
    let wide = "{{ $l := list 1 }}{{ range 60 }}{{ $l = list $l $l }}{{ end }}{{ $l }}";
    assert!(complaint(wide, Limits::default()).contains("unfolds"));
}

#[test]
fn a_value_as_deep_as_the_loop_that_built_it_is_dropped_in_peace() {
    let text = "{{ $l := list }}{{ range 200000 }}{{ $l = list $l }}{{ end }}{{ len $l }}";
    assert_eq!(execute(text, Value::Nil, Limits::default()).expect("renders"), b"1");
}

#[test]
fn executions_do_not_disturb_each_other_after_a_failure() {
    let mut set = TemplateSet::new("gotpl", Arc::clone(&FUNCTIONS));
    set.parse("bad", "{{ range 3 }}{{ with 1 }}{{ include \"deeper\" . }}{{ end }}{{ end }}").expect("a template");
    set.parse("deeper", "x{{ .no }}").expect("a template");
    set.parse("good", "{{ $x := . }}{{ range 2 }}{{ $x }}{{ end }}").expect("a template");
    let mut host = ();
    let mut executor = Executor::new(Arc::new(set), &mut host, Options::default());
    for _ in 0..3 {
        assert!(executor.execute("bad", Value::Nil).is_err());
        let rendered = executor.execute("good", Value::Int(7)).expect("renders");
        assert_eq!(rendered.text.as_bytes(), b"77");
    }
}

#[test]
fn one_set_renders_in_many_threads_at_once() {
    let set = parse("{{ range . }}{{ .a | printf \"%03.0f\" }}{{ end }}").expect("a template");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let set = Arc::clone(&set);
            scope.spawn(move || {
                let data = from_json(&serde_json::json!([{"a": 1}, {"a": 22}]));
                let mut host = ();
                let rendered = Executor::new(set, &mut host, Options::default()).execute("t", data).expect("renders");
                assert_eq!(rendered.text.as_bytes(), b"001022");
            });
        }
    });
}

/// Pieces templates are made of, good and bad.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "text",
        "\n",
        "{{",
        "}}",
        "{{- ",
        " -}}",
        "{{ ",
        " }}",
        " ",
        ".",
        ".a",
        ".a.b",
        "$",
        "$x",
        "$x :=",
        "$x =",
        "$i, $x :=",
        "(",
        ")",
        "|",
        "if",
        "else",
        "else if",
        "end",
        "range",
        "with",
        "define \"x\"",
        "block \"y\" .",
        "template \"x\" .",
        "break",
        "continue",
        "nil",
        "true",
        "1",
        "1.5",
        "'a'",
        "\"s\"",
        "`r`",
        "/*",
        "*/",
        "printf \"%d\"",
        "index",
        "len",
        "and",
        "or",
        "not",
        "eq",
        "lt",
        "include \"x\"",
        "tpl \"{{ . }}\"",
        "list",
        "call",
        "slice",
        "html",
        "é",
        "{{ end }}",
        "{{ if .a }}",
        "{{ range .l }}",
        "{{ . }}",
        "{{ $x := .a }}",
        "{{ else }}",
        "{{ with .a }}",
        "{{ define \"x\" }}",
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_engine_panic_or_hang(pieces in prop::collection::vec(piece(), 0..40)) {
        let text = pieces.concat();
        if parse(&text).is_ok() {
            let data = from_json(&serde_json::json!({"a": {"b": "c"}, "l": [1, "x", null]}));
            let limits = Limits { depth: 200, output_bytes: 100_000, steps: 100_000 };
            // Either way is fine; the error must be printable.
            if let Err(error) = execute(&text, data, limits) {
                prop_assert!(!error.to_string().is_empty());
                prop_assert!(!error.levels.is_empty());
            }
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut text = b"{{ ".to_vec();
        text.extend(bytes);
        let parsed = Parsed::new("t", text, &FUNCTIONS);
        if let Err(error) = parsed {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn text_without_actions_is_copied(text in "[^{]*") {
        prop_assert_eq!(execute(&text, Value::Nil, Limits::default()).expect("renders"), text.as_bytes());
    }
}
