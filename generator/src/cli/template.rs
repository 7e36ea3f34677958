//! `generator template`: what `helm template` of Helm 4.2 prints for a chart on this disk.
//!
//! Takes Helm's own flags; where it knowingly differs is written down in `COMPATIBILITY.md`. Needs no repository. Invariant: what is
//! printed or written is a function of the chart, the files named on the command line and the flags: no environment, cluster or clock.

mod flags;
mod values;

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use clap::{ArgAction, Args};
use serde::Serialize;

use self::flags::{Elsewhere, boolean};
use super::{CliError, Shared, written};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::disk::chart::{self, ChartFiles};
use crate::helm::stream::{self, Part, Selection};
use crate::helm::{self, Capabilities, Options, Rendered, Request};
use crate::report::{Answer, Command, Exit};
use crate::source::SourceTree;
use crate::sprig::clean_path;

/// The name of a release that was given none, with and without --generate-name: Helm's own.
const RELEASE_NAME: &str = "release-name";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Name of the release, which may be left out, and the chart: a folder or a packed chart
    #[arg(value_name = "[NAME] CHART", required = true, num_args = 1..)]
    operands: Vec<String>,
    #[command(flatten)]
    values: values::ValueFlags,
    /// Namespace of the release; default: `default`
    #[arg(short, long, default_value = "")]
    namespace: String,
    /// Version of Kubernetes for .Capabilities.KubeVersion
    #[arg(long, value_name = "VERSION", default_value = "")]
    kube_version: String,
    /// API versions for .Capabilities.APIVersions, besides Helm's own; several, or several with commas between them
    #[arg(short, long, value_name = "VERSIONS")]
    api_versions: Vec<String>,
    /// Print the files of crds/ too, first
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, value_parser = boolean, action = ArgAction::Set)]
    include_crds: bool,
    /// Leave hooks out
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, value_parser = boolean, action = ArgAction::Set)]
    no_hooks: bool,
    /// Leave the hooks of `helm test` out
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, value_parser = boolean, action = ArgAction::Set)]
    skip_tests: bool,
    /// Print only what the templates that fit render to: a path below the chart, in which *, ? and [...] stand for characters but /
    #[arg(short, long, value_name = "PATH")]
    show_only: Vec<String>,
    /// Set .Release.IsUpgrade instead of .Release.IsInstall
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, value_parser = boolean, action = ArgAction::Set)]
    is_upgrade: bool,
    /// Write a file for each template below this folder instead of printing
    #[arg(long, value_name = "DIR", default_value = "", hide_default_value = true)]
    output_dir: String,
    /// With --output-dir: write into a folder named after the release
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, value_parser = boolean, action = ArgAction::Set)]
    release_name: bool,
    /// Without NAME: call the release `release-name`, as Helm does here with and without this flag
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, value_parser = boolean, action = ArgAction::Set)]
    generate_name: bool,
    /// Without NAME: a template that renders to the name of the release
    #[arg(long, value_name = "TEMPLATE", default_value = "", hide_default_value = true)]
    name_template: String,
    /// Do not hold values against values.schema.json
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, value_parser = boolean, action = ArgAction::Set)]
    skip_schema_validation: bool,
    /// Print what the templates rendered to even where it is not YAML
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false", hide_default_value = true, value_parser = boolean, action = ArgAction::Set)]
    debug: bool,
    /// Let functions run whose result differs from run to run: random ones and those that ask the clock
    #[arg(long)]
    allow_nondeterministic: bool,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// What to do with the texts.
enum Output {
    Stream(String),
    /// Files by path, and the path of every text that goes into one, in order.
    Files(BTreeMap<PathBuf, String>, Vec<String>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'f> {
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<&'f str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    wrote: &'f [String],
}

pub(super) fn run(arguments: &Arguments, shared: &Shared) -> Result<Exit, CliError> {
    let mut tree = SourceTree::default();
    let prepared = prepare(arguments, shared, &mut tree);
    let outcome = match prepared {
        Err(wrong) => Err((wrong, String::new())),
        Ok((files, request)) => shared.on_threads(|| render(arguments, shared, &files, &request, &tree))?,
    };
    let (exit, diagnostics, text, wrote) = match outcome {
        Err((wrong, text)) => (Exit::Refused, wrong, text, Vec::new()),
        Ok(Output::Stream(text)) => (Exit::Ok, Diagnostics::new(), text, Vec::new()),
        Ok(Output::Files(files, wrote)) => {
            chart::write_files(&files)?;
            let lines: String = wrote.iter().map(|path| format!("wrote {path}\n")).collect();
            (Exit::Ok, Diagnostics::new(), lines + "\n", wrote)
        }
    };
    let fields = Fields { manifest: (exit == Exit::Ok && wrote.is_empty()).then_some(&text), wrote: &wrote };
    let answer =
        Answer { command: Command::Template, exit, diagnostics: &diagnostics, text: &text, fields: Some(&fields) };
    written(answer.write(shared.format(), &tree, (&mut io::stdout().lock(), &mut io::stderr().lock())))?;
    Ok(exit)
}

/// Reads all that the command line names; `tree` gets it too, for the lines that messages show.
fn prepare(
    arguments: &Arguments,
    shared: &Shared,
    tree: &mut SourceTree,
) -> Result<(ChartFiles, Request), Diagnostics> {
    let mut wrong: Diagnostics = arguments.elsewhere.refused();
    let (name, chart) = name_and_chart(arguments).map_err(|one| Diagnostics::from(*one))?;
    if let Err(message) = helm::check_release_name(&name) {
        let message = format!("release name check failed: release name {name:?}: {message}");
        wrong.push(Diagnostic::error("bad-release-name", message));
    }
    let api_versions = flags::separated("--api-versions", &arguments.api_versions, &mut wrong);
    let (layers, set) = arguments.values.read(&shared.root, tree, &mut wrong);
    let files = match chart::read_chart(&shared.beside_root(chart), &shown(Path::new(chart), &shared.root)) {
        Ok(files) => files,
        Err(more) => {
            wrong.extend(more);
            return Err(wrong);
        }
    };
    for (path, content) in files.tree.iter() {
        tree.insert(path, content);
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let default = Capabilities::default().kube_version;
    let or = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
    let capabilities = Capabilities { kube_version: or(&arguments.kube_version, &default), api_versions };
    let namespace = or(&arguments.namespace, "default");
    let is_upgrade = arguments.is_upgrade;
    Ok((
        files,
        Request {
            release_name: name,
            namespace,
            layers: layers.into_iter().map(Arc::new).collect(),
            set,
            capabilities,
            is_upgrade,
        },
    ))
}

/// Returns the name of the release and the chart.
fn name_and_chart(arguments: &Arguments) -> Result<(String, &str), Box<Diagnostic>> {
    let refuse = |message: String| Err(Box::new(Diagnostic::error("bad-command-line", message)));
    match arguments.operands.as_slice() {
        [_, _] if arguments.generate_name => refuse("cannot set --generate-name and also specify a name".to_owned()),
        [_, _] if !arguments.name_template.is_empty() => {
            refuse("cannot set --name-template and also specify a name".to_owned())
        }
        [name, chart] => Ok((name.clone(), chart.trim())),
        [chart] if arguments.name_template.is_empty() => Ok((RELEASE_NAME.to_owned(), chart.trim())),
        [chart] => match helm::release_name(&arguments.name_template) {
            Ok(name) => Ok((name, chart.trim())),
            Err(diagnostic) => Err(diagnostic),
        },
        [_, _, more @ ..] => {
            refuse(format!("expected at most two arguments, unexpected arguments: {}", more.join(", ")))
        }
        [] => refuse("a chart is missing".to_owned()),
    }
}

/// Returns what a path is called in messages: as it was typed where that leads down, otherwise its last name.
fn shown(path: &Path, root: &Path) -> String {
    let parts: Vec<String> = path
        .components()
        .filter(|part| *part != Component::CurDir)
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    if !parts.is_empty() && path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return parts.join("/");
    }
    let real = chart::real_name(&root.join(path));
    real.unwrap_or_else(|| "chart".to_owned())
}

fn render(
    arguments: &Arguments,
    shared: &Shared,
    files: &ChartFiles,
    request: &Request,
    tree: &SourceTree,
) -> Result<Output, (Diagnostics, String)> {
    let silent = |wrong: Diagnostics| (wrong, String::new());
    let load = if files.packed { helm::load_unpacked } else { helm::load };
    let chart = load(tree, &files.folder).map_err(silent)?;
    let options = Options {
        allow_nondeterministic: arguments.allow_nondeterministic,
        skip_schema_validation: arguments.skip_schema_validation,
        follow: false,
    };
    let rendered = helm::render(&chart, request, &options).map_err(silent)?;
    let selection = Selection {
        include_crds: arguments.include_crds,
        no_hooks: arguments.no_hooks,
        skip_tests: arguments.skip_tests,
    };
    let not_yaml = |error: stream::NotYaml, rendered: &Rendered| {
        let text = if arguments.debug { stream::unsorted(rendered) } else { String::new() };
        (Diagnostics::from(error.diagnostic(rendered)), text)
    };
    if !arguments.output_dir.is_empty() && arguments.show_only.is_empty() {
        let selected = stream::select(&rendered, &selection).map_err(|error| not_yaml(error, &rendered))?;
        return Ok(file_output(arguments, shared, &request.release_name, &selected));
    }
    let mut text = stream::template_output(&rendered, &selection).map_err(|error| not_yaml(error, &rendered))?;
    if !arguments.show_only.is_empty() {
        // With --output-dir nothing is left to be shown, in Helm too.
        let from = if arguments.output_dir.is_empty() { text.as_str() } else { "" };
        text = stream::show_only(from, &arguments.show_only)
            .map_err(|error| silent(Diagnostic::error("no-such-template", error.to_string()).into()))?;
    }
    Ok(Output::Stream(text))
}

/// Returns the files of `--output-dir`. Files of crds/ know no release, in Helm too.
fn file_output(arguments: &Arguments, shared: &Shared, release: &str, selected: &[(Part, String, String)]) -> Output {
    let (mut files, mut wrote) = (BTreeMap::<PathBuf, String>::new(), Vec::new());
    for (part, path, text) in selected {
        let mut folder = arguments.output_dir.clone();
        if arguments.release_name && *part != Part::Crd {
            folder = clean_path(&format!("{folder}/{release}"));
        }
        let named = format!("{folder}/{path}");
        files.entry(shared.beside_root(&named)).or_default().push_str(&stream::entry(path, text));
        wrote.push(named);
    }
    Output::Files(files, wrote)
}
