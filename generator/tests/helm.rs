//! Whole charts against what the real Helm made of them.
//!
//! A file in `tests/helm` is a chart of ours with its renders and, recorded by `conformance/helm`, what Helm 4.2.3 gave for each: the stream
//! of `helm template` and the texts of templates that the stream does not show, byte for byte, or an error, which must be one here too and
//! for the same reason. The form of the files is described in `conformance/helm/cmd/charts`.
#![expect(clippy::disallowed_methods, reason = "a test reads its data")]

mod charts;
mod request;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use charts::{pack, sections};
use flate2::Compression;
use flate2::write::GzEncoder;
use generator::diagnostic::Diagnostics;
use generator::helm::stream::{self, Selection};
use generator::helm::{self, Options, Request, Setter, Setting, strvals};
use generator::source::SourceTree;
use regex::Regex;
use request::{flag, strings};
use serde_json::Value;

/// One chart, its values files and its renders.
struct Case {
    name: String,
    tree: SourceTree,
    layers: BTreeMap<String, String>,
    renders: Vec<Render>,
    commands: Vec<Render>,
}

struct Render {
    name: String,
    options: Value,
    /// By name: `stream`, `error`, or the path of a template; of a command `stdout`, `error`, `file PATH`.
    wants: BTreeMap<String, String>,
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/helm");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder of the charts")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let name = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    files.iter().map(|path| case(name(path), &std::fs::read_to_string(path).expect("a case"))).collect()
}

fn case(name: String, text: &str) -> Case {
    let mut case =
        Case { name, tree: SourceTree::default(), layers: BTreeMap::new(), renders: Vec::new(), commands: Vec::new() };
    let mut archives: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for (name, text) in sections(text) {
        if let Some(layer) = name.strip_prefix("layer ") {
            case.layers.insert(layer.to_owned(), text);
        } else if let Some(render) = name.strip_prefix("render ") {
            let options = serde_json::from_str(&text).expect("options are JSON");
            case.renders.push(Render { name: render.to_owned(), options, wants: BTreeMap::new() });
        } else if let Some(command) = name.strip_prefix("command ") {
            let options = serde_json::from_str(&text).expect("a command is JSON");
            case.commands.push(Render { name: command.to_owned(), options, wants: BTreeMap::new() });
        } else if let Some(want) = name.strip_prefix("want ") {
            let (of, what) = want.split_once(": ").expect("what is wanted");
            let mut asked = case.renders.iter_mut().chain(&mut case.commands);
            asked.find(|one| one.name == of).expect("asked before").wants.insert(what.to_owned(), text);
        } else if let Some((archive, inner)) = name.split_once(".tgz/") {
            archives.entry(format!("{archive}.tgz")).or_default().push((inner.to_owned(), text));
        } else {
            case.tree.insert(format!("chart/{name}"), text.into_bytes());
        }
    }
    for (path, files) in archives {
        case.tree.insert(format!("chart/{path}"), pack(&files));
    }
    case
}

fn request(case: &Case, options: &Value) -> Result<Request, String> {
    let layers = strings(options, "layers").into_iter().map(|file| (file.clone(), case.layers[&file].clone()));
    request::request(options, &layers.collect::<Vec<_>>())
}

fn messages(wrong: &Diagnostics) -> String {
    wrong.iter().map(|diagnostic| diagnostic.message.as_str()).collect::<Vec<_>>().join("\n")
}

/// Returns the stream, and every text by its path.
fn render(case: &Case, options: &Value) -> Result<(String, BTreeMap<String, String>), String> {
    let request = request(case, options)?;
    let chart = helm::load(&case.tree, "chart").map_err(|wrong| messages(&wrong))?;
    let rendered = helm::render(&chart, &request, &Options::default()).map_err(|wrong| messages(&wrong))?;
    let flag = |key: &str| flag(options, key);
    let selection =
        Selection { include_crds: flag("includeCRDs"), no_hooks: flag("noHooks"), skip_tests: flag("skipTests") };
    let mut stream = stream::template_output(&rendered, &selection).map_err(|wrong| wrong.to_string())?;
    let only = strings(options, "showOnly");
    if !only.is_empty() {
        stream = stream::show_only(&stream, &only).map_err(|wrong| wrong.to_string())?;
    }
    let mut texts: BTreeMap<String, String> =
        rendered.files.iter().map(|file| (file.path.clone(), file.text.clone())).collect();
    if let Some(notes) = rendered.notes {
        texts.insert(format!("{}/templates/NOTES.txt", chart.name()), notes);
    }
    Ok((stream, texts))
}

/// Returns what Helm's message says went wrong, without its nesting and places.
fn cause(message: &str) -> &str {
    if let Some(head) = message.strip_prefix("YAML parse error on ") {
        let end = head.find(": ").expect("a path");
        return &message[..message.len() - head.len() + end];
    }
    if let Some((_, cause)) = message.strip_prefix("failed parsing --set").and_then(|rest| rest.split_once("data: ")) {
        return cause.trim();
    }
    let last = message.trim_end().rsplit("\n    ").next().unwrap_or(message);
    let last = last.rsplit_once("):").filter(|(head, _)| head.contains(" error at (")).map_or(last, |(_, cause)| cause);
    let last =
        if last.starts_with("template: ") { last.rsplit_once(">: ").map_or(last, |(_, cause)| cause) } else { last };
    match last.rsplit_once("error calling ") {
        Some((_, called)) => called.split_once(": ").map_or(called, |(_, cause)| cause).trim(),
        None => last.trim(),
    }
}

/// Compares what a schema finds wrong: the same places and words, in any order. Go sets thousands apart by commas.
fn violations(ours: &str, helm: &str) -> Result<(), String> {
    let helm = helm.lines().filter_map(|line| line.trim_start().strip_prefix("- at '")?.split_once("': "));
    let apart = Regex::new(r"([0-9]),([0-9])").expect("a pattern");
    let mut helm: Vec<(String, String)> = helm
        .map(|(at, what)| (at.trim_start_matches('/').replace('/', "."), apart.replace_all(what, "$1$2").into_owned()))
        .collect();
    let place = |at: &str| if at == "the values" { String::new() } else { at.trim_matches('`').to_owned() };
    let mut ours: Vec<(String, String)> =
        ours.lines().filter_map(|line| line.split_once(": ")).map(|(at, what)| (place(at), what.to_owned())).collect();
    helm.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
    ours.sort_by(|a, b| (&a.1, &a.0).cmp(&(&b.1, &b.0)));
    let below = |ours: &str, helm: &str| ours == helm || ours.ends_with(&format!(".{helm}")) || helm.is_empty();
    let same = |(a, b): (&(String, String), &(String, String))| below(&a.0, &b.0) && a.1 == b.1;
    if ours.len() == helm.len() && ours.iter().zip(&helm).all(same) {
        return Ok(());
    }
    Err(format!("we find {ours:#?}\nHelm finds {helm:#?}"))
}

fn compare(case: &Case, render: &Render) -> Result<(), String> {
    let ours = self::render(case, &render.options);
    match (ours, render.wants.get("error")) {
        (Ok((stream, _)), Some(error)) => Err(format!("Helm fails, and we do not: {error}\n{stream}")),
        (Err(message), None) => Err(format!("we fail, and Helm does not: {message}")),
        (Err(message), Some(error)) if error.contains("\n- at '") => violations(&message, error),
        (Err(message), Some(error)) => {
            let known = render.options.get("ours").and_then(Value::as_str);
            let cause = known.unwrap_or_else(|| cause(error));
            if message.contains(cause) { Ok(()) } else { Err(format!("we say: {message}\nHelm says: {error}")) }
        }
        (Ok((stream, texts)), None) => {
            let ours = |name: &str| if name == "stream" { Some(&stream) } else { texts.get(name) };
            // Notes other than the chart's own are executed and not kept.
            let is_kept = |name: &str| !name.ends_with("/NOTES.txt") || name.matches('/').count() == 2;
            for (name, want) in render.wants.iter().filter(|(name, _)| is_kept(name)) {
                if ours(name) != Some(want) {
                    let ours = ours(name).map_or("nothing", String::as_str);
                    return Err(format!("{name} is {}", difference(ours, want)));
                }
            }
            Ok(())
        }
    }
}

/// Returns the first lines that differ.
fn difference(ours: &str, helm: &str) -> String {
    let at = ours.lines().zip(helm.lines()).take_while(|(a, b)| a == b).count();
    let some = |text: &str| text.lines().skip(at).take(6).map(|line| format!("    {line:?}\n")).collect::<String>();
    format!("different from line {}:\n  ours\n{}  Helm\n{}", at + 1, some(ours), some(helm))
}

/// Helm itself dies of this one, so there is nothing to record.
#[test]
fn an_import_into_itself_is_an_error() {
    let text = "-- Chart.yaml --\nname: c\nversion: 0.1.0\ndependencies:\n- name: sub\n  import-values: [data, \
        {child: exports.data, parent: imported}]\n-- charts/sub/Chart.yaml --\nname: sub\nversion: 0.1.0\n\
        -- charts/sub/values.yaml --\nexports: {data: {imported: {}}}\n";
    let wrong = render(&case("endless".to_owned(), text), &Value::Null).expect_err("an error");
    assert_eq!(wrong, "`import-values` puts `exports.data` of subchart sub into itself, at `imported`");
}

#[test]
fn every_chart_renders_as_in_helm() {
    let cases = cases();
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in &cases {
        assert!(!case.renders.is_empty() || !case.commands.is_empty(), "{} renders nothing", case.name);
        for render in &case.renders {
            assert!(!render.wants.is_empty(), "{}: {} is not recorded", case.name, render.name);
            count += 1;
            if let Err(difference) = compare(case, render) {
                wrong.push(format!("{}: {}: {difference}", case.name, render.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} renders differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases.len() >= 40, "only {} charts", cases.len());
}

/// Takes a line of a flag apart, as `sync.yaml` gives values one by one; nothing for a line that cannot be read.
fn singles_of(setting: &Setting) -> Option<Vec<Setting>> {
    let Setting::Line { notation, line, .. } = setting else { return Some(vec![setting.clone()]) };
    let found = strvals::parse(line, *notation).ok()?;
    Some(found.into_iter().map(|(path, value)| Setting::Value { path, value }).collect())
}

/// Whatever a template can read out of values was set somewhere, and there it says the same.
#[test]
fn every_value_is_found_where_it_was_set() {
    let (mut leaves, mut singles, mut files) = (0, 0, BTreeSet::new());
    for case in &cases() {
        let Ok(chart) = helm::load(&case.tree, "chart") else { continue };
        for render in &case.renders {
            let Ok(mut request) = request(case, &render.options) else { continue };
            let Some(single) = request.set.iter().map(singles_of).collect::<Option<Vec<_>>>() else { continue };
            request.set = single.concat();
            let Ok(provenance) = chart.provenance(&request) else { continue };
            for (path, value) in leaves_of(provenance.values()) {
                let about = format!("{}: {}: {path:?} is {value}", case.name, render.name);
                let set = provenance.of(&path).unwrap_or_else(|| panic!("{about}, and nobody set it"));
                leaves += 1;
                match set.setter {
                    Setter::Single(_) => singles += 1,
                    Setter::File(place) => {
                        assert!(place.file == "--set-json" || (place.line > 0 && place.column > 0), "{about}: {place}");
                        files.insert(place.file);
                    }
                }
            }
        }
    }
    assert!(leaves > 500 && singles > 30 && files.len() > 30, "{leaves} values, {singles} single, {files:?}");
}

/// Returns every value that is no map and not null, by its path: Helm makes empty maps of its own, and moves nulls about.
fn leaves_of(value: &Value) -> Vec<(Vec<&str>, &Value)> {
    match value.as_object() {
        None if value.is_null() => Vec::new(),
        None => vec![(Vec::new(), value)],
        Some(fields) => {
            let below =
                |(key, value)| leaves_of(value).into_iter().map(move |(path, leaf)| ([vec![key], path].concat(), leaf));
            fields.iter().map(|(key, value)| (key.as_str(), value)).flat_map(below).collect()
        }
    }
}

/// Puts a case on the disk as `conformance/helm/cmd/charts` does.
fn unfold(case: &Case, folder: &Path) {
    let put = |path: &str, content: &[u8]| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("made");
        std::fs::write(path, content).expect("written");
    };
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in case.tree.iter() {
        put(path, content);
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        let name = path.replacen("chart/", "packed/", 1);
        archive.append_data(&mut header, name, content).expect("a file in an archive");
    }
    put("chart.tgz", &archive.into_inner().and_then(GzEncoder::finish).expect("an archive"));
    for (name, text) in &case.layers {
        put(&format!("values/{name}"), text.as_bytes());
    }
}

/// Runs `generator template` in a folder.
fn template(folder: &Path, args: &[String], stdin: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_generator"));
    command.arg("template").args(args).current_dir(folder).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("started");
    // Whoever does not read it has closed it.
    let _ = child.stdin.take().expect("a pipe").write_all(stdin.as_bytes());
    child.wait_with_output().expect("ended")
}

/// Returns the arguments that mean the same as the options of a render.
fn arguments(options: &Value) -> Vec<String> {
    let mut args =
        vec![options.get("name").and_then(Value::as_str).unwrap_or("release-name").to_owned(), "chart".to_owned()];
    for (key, flag) in [
        ("setJSON", "--set-json"),
        ("set", "--set"),
        ("setString", "--set-string"),
        ("setLiteral", "--set-literal"),
        ("apiVersions", "--api-versions"),
        ("showOnly", "--show-only"),
    ] {
        args.extend(strings(options, key).into_iter().flat_map(|value| [flag.to_owned(), value]));
    }
    args.extend(strings(options, "layers").into_iter().flat_map(|layer| ["-f".to_owned(), format!("values/{layer}")]));
    for (key, flag) in [("namespace", "-n"), ("kubeVersion", "--kube-version")] {
        let value = options.get(key).and_then(Value::as_str);
        args.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value.to_owned()]));
    }
    for (key, flag) in [
        ("isUpgrade", "--is-upgrade"),
        ("includeCRDs", "--include-crds"),
        ("noHooks", "--no-hooks"),
        ("skipTests", "--skip-tests"),
    ] {
        args.extend(options.get(key).and_then(Value::as_bool).unwrap_or_default().then(|| flag.to_owned()));
    }
    args
}

/// Compares what the program did in `folder` with what Helm did.
fn obey(folder: &Path, command: &Render, mut args: Vec<String>) -> Result<(), String> {
    let stdin = command.options.get("stdin").and_then(Value::as_str).unwrap_or_default();
    let output = template(folder, &args, stdin);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if let Some(error) = command.wants.get("error") {
        if output.status.code() != Some(2) || !stdout.is_empty() {
            return Err(format!("Helm fails, and we do not: {error}\n{stdout}{stderr}"));
        }
        if error.contains("\n- at '") {
            return Ok(());
        }
        args.extend(["--format", "json"].map(str::to_owned));
        let report: Value = serde_json::from_slice(&template(folder, &args, stdin).stdout).expect("JSON");
        let ours: String =
            report["diagnostics"].as_array().into_iter().flatten().map(|one| one["message"].to_string()).collect();
        let known = command.options.get("ours").and_then(Value::as_str);
        let cause = Value::from(known.unwrap_or_else(|| cause(error))).to_string();
        let cause = cause.trim_matches('"');
        return if ours.contains(cause) { Ok(()) } else { Err(format!("we say: {ours}\nHelm says: {error}")) };
    }
    let mut ours = BTreeMap::from([("stdout".to_owned(), stdout.clone().into_owned())]);
    if !output.status.success() {
        return Err(format!("we fail, and Helm does not: {stderr}"));
    }
    let mut folders = vec![folder.join("out")];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).expect("below it").to_string_lossy().into_owned();
            ours.insert(format!("file {name}"), std::fs::read_to_string(&path).expect("text"));
        }
    }
    let wants = match command.wants.get("stream") {
        Some(stream) => &BTreeMap::from([("stdout".to_owned(), stream.clone())]),
        None => &command.wants,
    };
    match ours.iter().zip(wants).find(|(ours, wants)| ours != wants) {
        Some(((name, ours), (_, want))) => Err(format!("{name} is {}", difference(ours, want))),
        None if ours.len() != wants.len() => Err(format!("we write {:?}", ours.keys())),
        None => Ok(()),
    }
}

#[test]
fn the_program_does_what_helm_does() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in &cases() {
        let folder = tempfile::TempDir::new().expect("a scratch folder");
        unfold(case, folder.path());
        let renders = case.renders.iter().map(|render| (render, arguments(&render.options)));
        let commands = case.commands.iter().map(|command| (command, strings(&command.options, "args")));
        for (command, args) in renders.chain(commands) {
            assert!(!command.wants.is_empty(), "{}: {} is not recorded", case.name, command.name);
            count += 1;
            if let Err(difference) = obey(folder.path(), command, args) {
                wrong.push(format!("{}: {}: {difference}", case.name, command.name));
            }
            let _ = std::fs::remove_dir_all(folder.path().join("out"));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} runs differ:\n{}", wrong.len(), wrong.join("\n"));
}
