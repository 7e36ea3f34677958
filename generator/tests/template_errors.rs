//! What people see when a template is wrong: the place in the source, the way there, a hint; and where output came from.

use generator::diagnostic::{Color, Diagnostic};
use generator::gotemplate::{
    Execution, Executor, Function, FunctionError, Functions, Options, Rendered, Run, Stage, TemplateSet,
};
use generator::value::{Type, Value, from_json};
use std::collections::BTreeMap;
use std::sync::Arc;

static TABLE: &[Function] = &[
    Function::template("include", &[Type::String, Type::Any], |_, args| match args {
        [Value::String(name), data] => {
            Ok(Execution { template: Run::Named(name.clone()), data: data.clone(), finish: None, preamble: None })
        }
        _ => Err(FunctionError::shape()),
    }),
    Function::template("tpl", &[Type::String, Type::Any], |_, args| match args {
        [Value::String(text), data] => Ok(Execution {
            template: Run::Text { name: "gotpl".into(), text: text.clone() },
            data: data.clone(),
            finish: None,
            preamble: Some(|_, stage| match stage {
                Stage::Parsing => "cannot parse: ".to_owned(),
                Stage::Executing => "while executing: ".to_owned(),
            }),
        }),
        _ => Err(FunctionError::shape()),
    }),
    Function::new("required", &[Type::String, Type::Any], |_, args| match args {
        [Value::String(message), Value::Nil] => {
            Err(FunctionError::new(message.to_string()).code("required").hint("set the value"))
        }
        _ => Ok(args[1].clone()),
    }),
    Function::new("upper", &[Type::String], |_, args| Ok(args[0].clone())),
];

const FILES: [(&str, &str); 2] = [
    (
        "templates/_helpers.tpl",
        "{{- define \"app.name\" -}}\n{{ .Values.name | upper }}\n{{- end }}\n{{- define \"app.labels\" }}\napp: {{ include \"app.name\" . }}\n{{- end }}\n",
    ),
    ("templates/extra.yaml", "kind: ConfigMap\n"),
];

/// Renders `templates/t.yaml` of this text beside the helpers; the diagnostic where it fails.
fn render(text: &str, data: &serde_json::Value) -> Result<Rendered, Box<Diagnostic>> {
    let file = |name: &str| (name != "gotpl").then(|| format!("charts/app/{name}"));
    let mut set = TemplateSet::new("gotpl", Arc::new(Functions::new(&[TABLE])));
    for (name, text) in FILES.into_iter().chain([("templates/t.yaml", text)]) {
        set.parse(name, text).map_err(|e| Box::new(e.diagnostic(&file)))?;
    }
    let mut host = ();
    let options = Options { origins: true, ..Options::default() };
    let mut executor = Executor::new(Arc::new(set), &mut host, options);
    executor.execute("templates/t.yaml", from_json(data)).map_err(|e| Box::new(e.diagnostic(&file)))
}

fn report(text: &str, data: &serde_json::Value) -> String {
    let diagnostic = render(text, data).expect_err("fails");
    let mut sources: BTreeMap<String, &str> =
        FILES.into_iter().map(|(name, text)| (format!("charts/app/{name}"), text)).collect();
    sources.insert("charts/app/templates/t.yaml".to_owned(), text);
    diagnostic.render(Color::Off, &|file| sources.get(file).copied())
}

#[test]
fn a_misspelt_function_is_shown_with_what_was_meant() {
    insta::assert_snapshot!(report("kind: Service\nname: {{ .Values.name | uper }}\n", &serde_json::json!({})), @r#"
    error[unknown-function]: function "uper" not defined
     --> charts/app/templates/t.yaml:2:25
      |
    2 | name: {{ .Values.name | uper }}
      |                         ^^^^
      |
      = help: did you mean `upper`?
    "#);
}

#[test]
fn a_failure_deep_in_includes_shows_the_way_there() {
    let text = "metadata:\n  labels: {{- include \"app.labels\" . }}\n";
    insta::assert_snapshot!(report(text, &serde_json::json!({"Values": {}})), @r#"
    error[nil-value]: invalid value; expected string
     --> charts/app/templates/_helpers.tpl:2:19
      |
    2 | {{ .Values.name | upper }}
      |                   ^^^^^
      |
     ::: charts/app/templates/_helpers.tpl:5:9
      |
    5 | app: {{ include "app.name" . }}
      |         -------------------- called by include
      |
     ::: charts/app/templates/t.yaml:2:15
      |
    2 |   labels: {{- include "app.labels" . }}
      |               ---------------------- called by include
      |
      = help: the value is not set: set it, or guard its use with `if` or `default`
    "#);
}

#[test]
fn a_failure_in_a_text_of_the_values_is_shown_where_it_was_used() {
    let text = "a: 1\nb: {{ tpl .Values.text . }}\n";
    insta::assert_snapshot!(report(text, &serde_json::json!({"Values": {"text": "x {{ .Values.no.where }}"}})), @r#"
    error[nil-pointer]: nil pointer evaluating interface {}.where, at `.Values.no.where` in line 1 of the text given to tpl
     --> charts/app/templates/t.yaml:2:7
      |
    2 | b: {{ tpl .Values.text . }}
      |       ^^^^^^^^^^^^^^^^^^
      |
      = help: `.Values.no` is not set
    "#);
    insta::assert_snapshot!(report(text, &serde_json::json!({"Values": {"text": "x {{ if }}"}})), @r#"
    error[template-syntax]: tpl: cannot parse: template: gotpl:1: missing value for if
     --> charts/app/templates/t.yaml:2:7
      |
    2 | b: {{ tpl .Values.text . }}
      |       ^^^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn a_required_value_names_its_message_and_hint() {
    let text = "image: {{ required \"image is needed\" .Values.image }}\n";
    insta::assert_snapshot!(report(text, &serde_json::json!({"Values": {}})), @r#"
    error[required]: image is needed
     --> charts/app/templates/t.yaml:1:11
      |
    1 | image: {{ required "image is needed" .Values.image }}
      |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: set the value
    "#);
}

#[test]
fn an_unknown_template_suggests_a_known_one() {
    insta::assert_snapshot!(report("{{ include \"app.labls\" . }}", &serde_json::json!({})), @r#"
    error[unknown-template]: include: template: no template "app.labls" associated with template "gotpl"
     --> charts/app/templates/t.yaml:1:4
      |
    1 | {{ include "app.labls" . }}
      |    ^^^^^^^^^^^^^^^^^^^^^
      |
      = help: did you mean `app.labels`?
    "#);
    insta::assert_snapshot!(report("{{ template \"app.nme\" . }}", &serde_json::json!({})), @r#"
    error[unknown-template]: template "app.nme" not defined
     --> charts/app/templates/t.yaml:1:13
      |
    1 | {{ template "app.nme" . }}
      |             ^^^^^^^^^
      |
      = help: did you mean `app.name`?
    "#);
}

#[test]
fn a_misspelt_variable_and_a_field_of_a_string() {
    insta::assert_snapshot!(report("{{ $name := 1 }}\n{{ $nmae }}", &serde_json::json!({})), @r#"
    error[undefined-variable]: undefined variable "$nmae"
     --> charts/app/templates/t.yaml:2:4
      |
    2 | {{ $nmae }}
      |    ^^^^^
      |
      = help: did you mean `$name`?
    "#);
    insta::assert_snapshot!(report("é: {{ .Values.name.first }}", &serde_json::json!({"Values": {"name": "x"}})), @r#"
    error[no-field]: can't evaluate field first in type interface {}
     --> charts/app/templates/t.yaml:1:7
      |
    1 | é: {{ .Values.name.first }}
      |       ^^^^^^^^^^^^^^^^^^
      |
      = help: the value is of type string, which has no fields
    "#);
}

#[test]
fn numbers_of_two_kinds_get_a_hint() {
    insta::assert_snapshot!(report("{{ if eq .Values.n 3 }}{{ end }}", &serde_json::json!({"Values": {"n": 3}})), @r#"
    error[function-failed]: eq: incompatible types for comparison: float64 and int
     --> charts/app/templates/t.yaml:1:7
      |
    1 | {{ if eq .Values.n 3 }}{{ end }}
      |       ^^^^^^^^^^^^^^
      |
      = help: numbers from values are float64: convert one side with `int`
    "#);
}

#[test]
fn every_output_line_knows_the_template_line_that_wrote_it() {
    let text = "first: 1\n{{- range .l }}\n- {{ . }}\n{{- end }}\n{{ template \"app.labels\" . }}\nend: {{ .none }}x\n";
    let mut rendered =
        render(text, &serde_json::json!({"l": ["a", "b\nc"], "Values": {"name": "app"}})).expect("renders");
    rendered.remove("<no value>");
    let output = String::from_utf8(rendered.text.as_bytes().to_vec()).expect("text");
    let mut lines = String::new();
    let mut offset = 0;
    for line in output.split_inclusive('\n') {
        let at = offset + line.len() - line.trim_start().len();
        let (source, pos) = rendered.origins.locate(at).expect("an origin");
        let source_line = 1 + source.text.as_bytes()[..pos].iter().filter(|&&b| b == b'\n').count();
        lines.push_str(&format!("{:<12} {}:{source_line}\n", line.trim_end(), source.name));
        offset += line.len();
    }
    insta::assert_snapshot!(lines, @r#"
    first: 1     templates/t.yaml:1
    - a          templates/t.yaml:3
    - b          templates/t.yaml:3
    c            templates/t.yaml:3
                 templates/_helpers.tpl:5
    app: app     templates/_helpers.tpl:5
    end: x       templates/t.yaml:6
    "#);
}

#[test]
fn origins_are_recorded_only_when_asked_for() {
    let mut set = TemplateSet::new("gotpl", Arc::new(Functions::new(&[])));
    set.parse("t", "text").expect("a template");
    let mut host = ();
    let rendered =
        Executor::new(Arc::new(set), &mut host, Options::default()).execute("t", Value::Nil).expect("renders");
    assert!(rendered.origins.locate(0).is_none());
}
