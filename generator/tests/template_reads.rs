//! What can be told from templates about what they read, without executing them.

use std::collections::BTreeMap;
use std::sync::Arc;

use generator::gotemplate::{Functions, Part, TemplateSet, reads};
use generator::sprig::FUNCTIONS;

/// Every read of a template, by line: path, `!` where it goes on as a whole.
fn read(text: &str) -> String {
    let mut set = TemplateSet::new("test", Arc::new(Functions::new(&[FUNCTIONS])));
    set.parse("t", text).expect("a template");
    let mut lines: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for read in reads(&set, ["t"]) {
        let part = |part: &Part| match part {
            Part::Key(key) => key.clone(),
            Part::Any => "*".to_owned(),
        };
        let path = read.path.iter().map(part).collect::<Vec<_>>().join(".");
        lines.entry(read.line).or_default().push(format!("{path}{}", if read.whole { "!" } else { "" }));
    }
    lines.values().map(|reads| reads.join(" ")).collect::<Vec<_>>().join(" / ")
}

#[test]
fn fields_variables_and_dots_are_followed() {
    assert_eq!(read("{{ .a.b }}"), "a.b!");
    assert_eq!(read("{{ $x := .a }}\n{{ $x.b }}"), "a / a.b!");
    assert_eq!(read("{{ with .a }}\n{{ .b }}\n{{ $.c }}{{ end }}"), "a / a.b! / c!");
    assert_eq!(read("{{ range $k, $v := .a }}\n{{ $v.b }}{{ $k }}{{ .c }}{{ end }}"), "a a.* / a.*.b! a.*.c!");
    assert_eq!(read("{{ if .a }}\n{{ else if .b }}\n{{ .c }}{{ else }}\n{{ .d }}{{ end }}"), "a / b / c! / d!");
    assert_eq!(read("{{ (.a).b }}"), "a a.b!");
}

#[test]
fn functions_hand_on_or_take_all() {
    assert_eq!(read("{{ .a | default .b | quote }}"), "a! b!");
    assert_eq!(read("{{ index .a \"k\" .b }}"), "a a.k.*! b");
    assert_eq!(read("{{ get .a \"k\" }}\n{{ dig \"x\" \"y\" .d .a }}"), "a a.k! / a a.x.y! d!");
    assert_eq!(read("{{ toYaml .a }}\n{{ if hasKey .a \"b\" }}{{ end }}"), "a! / a a.b");
    assert_eq!(read("{{ toJson . }}"), "!");
    assert_eq!(read("{{ $d := dict \"x\" .a.b }}\n{{ $d.x.c }}"), "a.b / a.b.c!");
    let several = "{{ $all := list .a . }}\n{{ (index $all 1).c }}{{ with first $all }}{{ .d }}{{ end }}";
    assert_eq!(read(several), "a / a.d! c c!".replace("c c!", "c!"), "what a list holds keeps its place");
    assert_eq!(read("{{ range list .a .b }}\n{{ .c }}{{ end }}"), "a b / a.c! b.c!");
}

#[test]
fn templates_are_looked_into_with_each_dot_they_get() {
    let helper = "{{ define \"h\" }}{{ .x }}{{ end }}\n";
    assert_eq!(read(&format!("{helper}{{{{ include \"h\" .a }}}}{{{{ template \"h\" .b }}}}")), "a.x! b.x! / a b");
    let recursive = "{{ define \"r\" }}{{ with .next }}{{ template \"r\" . }}{{ end }}{{ end }}{{ template \"r\" .a }}";
    assert!(read(recursive).contains("a.next.next"), "and it ends");
    assert_eq!(read("{{ include .name .a }}"), "a! name");
}

#[test]
fn an_assignment_may_or_may_not_be_reached() {
    assert_eq!(read("{{ $x := .a }}{{ if .c }}{{ $x = .b }}{{ end }}\n{{ $x.d }}"), "a b c / a.d! b.d!");
}
