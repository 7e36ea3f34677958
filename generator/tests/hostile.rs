//! Charts that mean harm: each must be answered, by its text or by an error that says which limit was met, without a panic, a hang, an
//! overflow of the stack or memory beyond the named limits.
//!
//! `template_safety` asks the language alone; this asks the whole way from a chart to its text, with every function. The fuzz targets search
//! for what nobody thought of; here is what somebody would try first.

use std::sync::Arc;

use generator::gotemplate::{Executor, Functions, Limits, TemplateSet};
use generator::helm::{self, Capabilities, Layer, Options, Request};
use generator::source::SourceTree;
use generator::sprig::{FUNCTIONS, Host};
use generator::value::Value;

/// Renders a chart of these files with `values`; returns its texts, or what is wrong, one message a line.
fn render(files: &[(&str, &str)], values: &str) -> Result<String, String> {
    let mut tree = SourceTree::default();
    tree.insert("c/Chart.yaml", "apiVersion: v2\nname: c\nversion: 0.1.0\n");
    for (path, content) in files {
        tree.insert(format!("c/{path}"), *content);
    }
    let messages = |wrong: generator::diagnostic::Diagnostics| {
        wrong.iter().map(|diagnostic| diagnostic.message.clone()).collect::<Vec<_>>().join("\n")
    };
    let documents = manifest::yaml::read(values, &manifest::yaml::Settings::default()).expect("values");
    let layers = documents.into_iter().map(|document| {
        Arc::new(Layer { file: "values".to_owned(), value: document.value, marks: document.marks.into() })
    });
    let request = Request {
        release_name: "r".to_owned(),
        namespace: "default".to_owned(),
        layers: layers.collect(),
        set: Vec::new(),
        capabilities: Capabilities::default(),
        is_upgrade: false,
    };
    let chart = helm::load(&tree, "c").map_err(messages)?;
    let rendered = helm::render(&chart, &request, &Options { allow_nondeterministic: true, ..Options::default() });
    Ok(rendered.map_err(messages)?.files.into_iter().map(|file| file.text).collect())
}

/// Executes a template with every function, under limits that are soon met.
fn execute(text: &str) -> Result<String, String> {
    let mut set = TemplateSet::new("gotpl", Arc::new(Functions::new(&[FUNCTIONS])));
    set.parse("t", text).expect("a template");
    let mut host = Host::new(false);
    let limits = Limits { steps: 300_000, output_bytes: 1 << 20, ..Limits::default() };
    let options = generator::gotemplate::Options { limits, ..generator::gotemplate::Options::default() };
    let rendered = Executor::new(Arc::new(set), &mut host, options).execute("t", Value::Nil);
    rendered
        .map(|rendered| String::from_utf8_lossy(rendered.text.as_bytes()).into_owned())
        .map_err(|error| error.message)
}

fn template(text: &str) -> Result<String, String> {
    render(&[("templates/t.yaml", text)], "")
}

#[test]
fn results_that_would_not_fit_are_refused_before_they_are_built() {
    for text in [
        "{{ repeat 2000000000 \"x\" }}",
        "{{ indent 2000000000 \"x\" }}",
        "{{ nindent 2000000000 \"x\" }}",
        "{{ printf \"%2000000000d\" 1 }}",
        "{{ printf \"%.2000000000f\" 1.0 }}",
        "{{ until 2000000000 }}",
        "{{ untilStep 0 2000000000 1 }}",
        "{{ seq 2000000000 }}",
        "{{ randAlpha 2000000000 }}",
        "{{ randBytes 2000000000 }}",
        "{{ range 2000000000 }}{{ range 2000000000 }}{{ end }}{{ end }}",
    ] {
        match execute(text) {
            Ok(text) => assert!(text.len() < 100_000),
            Err(error) => assert!(!error.is_empty(), "{text}"),
        }
    }
}

#[test]
fn texts_that_grow_by_themselves_meet_a_limit() {
    for grow in [
        "quote $x",
        "print $x $x",
        "replace \"x\" \"xx\" $x",
        "toJson $x",
        "toYaml (list $x $x)",
        "b64enc $x",
        "cat $x $x",
        "join $x (list $x $x)",
        "regexReplaceAll \"x\" $x \"$0$0\"",
        "tpl \"{{ . }}{{ . }}\" $x",
        "html (print $x \"<\" $x)",
    ] {
        let text =
            format!("{{{{ $x := \"x\\\"\" }}}}{{{{ range 200 }}}}{{{{ $x = {grow} }}}}{{{{ end }}}}{{{{ len $x }}}}");
        let error = execute(&text).expect_err(grow);
        assert!(error.contains("limit"), "{grow}: {error}");
    }
}

#[test]
fn values_that_grow_by_themselves_meet_a_limit() {
    for grow in ["list $x $x", "dict \"a\" $x \"b\" $x", "concat $x $x"] {
        let text =
            format!("{{{{ $x := list 1 }}}}{{{{ range 200 }}}}{{{{ $x = {grow} }}}}{{{{ end }}}}{{{{ toJson $x }}}}");
        let error = execute(&text).expect_err(grow);
        assert!(error.contains("limit") || error.contains("unfolds to more than"), "{grow}: {error}");
    }
}

#[test]
fn patterns_are_matched_in_linear_time_or_refused() {
    let long = "a".repeat(50_000);
    let values = format!("long: {long}\n");
    for pattern in ["^(a+)+$", "(a|a)*b", "(a*)*c", "(.*a){12}x"] {
        let text = format!("{{{{ regexMatch \"{pattern}\" (print .Values.long \"!\") }}}}");
        assert_eq!(render(&[("templates/t.yaml", &text)], &values), Ok("false".to_owned()), "{pattern}");
    }
    let error = template("{{ regexFind \"((a{100}){100}){100}\" \"a\" }}").expect_err("too large");
    assert!(error.contains("invalid repeat count"), "{error}");
    let globs = "{{ range $p, $_ := .Files.Glob \"{a,*}{a,*}{a,*}{a,*}{a,*}{a,*}{a,*}{a,*}{a,*}{a,*}{a,*}{a,*}b\" }}{{ $p }}{{ end }}";
    let name = "a".repeat(200);
    assert_eq!(render(&[("templates/t.yaml", globs), (&name, "")], ""), Ok(String::new()));
    let deep = format!("{}x", "a/".repeat(20));
    let globs = format!("{{{{ range $p, $_ := .Files.Glob \"{}b\" }}}}{{{{ $p }}}}{{{{ end }}}}", "**/".repeat(20));
    assert_eq!(render(&[("templates/t.yaml", &globs), (&deep, "")], ""), Ok(String::new()));
    let ignored = format!("{}b\n", "*a".repeat(30));
    assert!(render(&[("templates/t.yaml", "x"), (".helmignore", &ignored), (&name, "")], "").is_ok());
}

#[test]
fn schemas_that_turn_in_circles_are_answered() {
    let say = |schema: &str, values: &str| render(&[("templates/t.yaml", "x"), ("values.schema.json", schema)], values);
    let deep = format!("a: {}1{}\n", "[".repeat(90), "]".repeat(90));
    for schema in [
        r##"{"$ref": "#"}"##,
        r##"{"$ref": "#/definitions/a", "definitions": {"a": {"$ref": "#/definitions/b"}, "b": {"$ref": "#/definitions/a"}}}"##,
        r##"{"allOf": [{"$ref": "#"}, {"$ref": "#"}]}"##,
        r##"{"additionalProperties": {"$ref": "#/definitions/a"}, "definitions": {"a": {"items": {"$ref": "#/definitions/a"}}}}"##,
        r##"{"$ref": "file:///etc/passwd"}"##,
        r##"{"$ref": "https://example.com/schema.json"}"##,
        r##"{"properties": {"a": {"pattern": "((a{100}){100}){100}"}}}"##,
        r##"{"properties": {"a": {"pattern": "^(a+)+$"}}}"##,
        r##"{"properties": {"a": {"uniqueItems": true}}}"##,
    ] {
        for values in [deep.as_str(), "a: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\n"] {
            if let Err(error) = say(schema, values) {
                assert!(!error.is_empty() && !error.contains("root:"), "{schema}: {error}");
            }
        }
    }
    let twice = r##"{"$defs": {"a": {"anyOf": [{"items": {"$ref": "#/$defs/a"}}, {"items": {"$ref": "#/$defs/a"}, "maxItems": 1}]}}, "properties": {"a": {"$ref": "#/$defs/a"}}}"##;
    assert!(say(twice, "a: [[[[[[[[[[1]]]]]]]]]]\n").is_ok());
}

#[test]
fn slow_hashes_have_bounded_costs() {
    // What these cost is part of what they are; none takes its cost from the template.
    assert!(template("{{ derivePassword 1 \"long\" \"a\" \"b\" \"c\" | len }}").is_ok());
    assert!(template("{{ derivePassword 4294967295 \"maximum\" \"a\" \"b\" \"c\" | len }}").is_ok());
    assert!(template("{{ bcrypt \"x\" | len }}").is_ok());
}

#[test]
fn numbers_at_the_edges_are_answered() {
    for text in [
        "{{ addf 1e308 1e308 }}",
        "{{ mulf 1e308 1e308 1e308 }}",
        "{{ divf 1e-308 1e308 }}",
        "{{ mulf 1e-308 1e-308 1e-308 1e-308 }}",
        "{{ subf 1e308 1e-308 }}",
        "{{ round 1e308 2000000000 }}",
        "{{ round 1.5 -2000000000 }}",
        "{{ mul 9223372036854775807 2 }}",
        "{{ sub -9223372036854775808 1 }}",
        "{{ div -9223372036854775808 -1 }}",
        "{{ mod -9223372036854775808 -1 }}",
        "{{ add1 9223372036854775807 }}",
        "{{ int \"1e400\" }}",
        "{{ float64 \"1e400\" }}",
        "{{ toDecimal \"77777777777777777777777\" }}",
        "{{ semver (repeat 5000 \"1\") }}",
        "{{ semverCompare (repeat 3000 \">=1.0.0,\") \"1.0.0\" }}",
        "{{ duration 9223372036854775807 }}",
        "{{ dateModify \"99999999h\" (toDate \"2006\" \"9999\") }}",
        "{{ trunc -9223372036854775808 \"x\" }}",
        "{{ substr -5 99999999999 \"x\" }}",
        "{{ abbrev 4 \"abcdefgh\" }}",
        "{{ wrap 0 \"a b\" }}",
        "{{ wrap -1 \"a b\" }}",
        "{{ splitn \"\" -1 \"abc\" }}",
        "{{ chunk 0 (list 1) }}",
        "{{ chunk -1 (list 1) }}",
        "{{ slice (list 1) 5 2 }}",
        "{{ initials (repeat 10000 \"a \") | len }}",
        "{{ index (list 1) 9223372036854775807 }}",
    ] {
        if let Err(error) = template(text) {
            assert!(!error.is_empty(), "{text}");
        }
    }
}
