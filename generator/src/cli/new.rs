//! `generator new`: a service or an environment that renders. Writes new files, and never over one that is there.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{CliError, Shared};
use crate::diagnostic::Diagnostics;
use crate::disk::{self, Input};
use crate::report::{Answer, Command, Exit};
use crate::scaffold::{self, NewService, Scaffold};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Asked,
}

#[derive(Debug, Subcommand)]
enum Asked {
    /// Makes a service: its files in services/, with placeholders for what its chart requires
    Service {
        /// Its name
        name: String,
        /// Its chart, a folder in charts/; default: generic
        #[arg(long, value_name = "CHART")]
        chart: Option<String>,
        /// Where it runs, several times for several; default: every environment there is
        #[arg(long, value_name = "ENV")]
        environment: Vec<String>,
        /// Its version
        #[arg(long, value_name = "VERSION", default_value = "0.1.0")]
        version: String,
        /// A value of it: dots between keys, and YAML
        #[arg(long, value_name = "PATH=VALUE", value_parser = assignment)]
        set: Vec<(String, String)>,
    },
    /// Makes an environment, in which everything runs that runs in another, or nothing yet
    Env {
        /// Its name
        name: String,
        /// The environment whose services and settings it gets, file by file
        #[arg(long, value_name = "ENV")]
        from: Option<String>,
    },
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (path, value) = text.split_once('=').ok_or("there is no `=` in it")?;
    Ok((path.to_owned(), value.to_owned()))
}

#[derive(Serialize)]
struct Fields<'f> {
    new: Vec<&'f String>,
    changed: Vec<&'f String>,
    placeholders: &'f [String],
}

pub(super) fn run(arguments: &Arguments, shared: &Shared) -> Result<Exit, CliError> {
    let Input { tree, diagnostics } = disk::read(&shared.root)?;
    let made = shared.on_threads(|| match &arguments.command {
        _ if diagnostics.has_errors() => Err(diagnostics),
        Asked::Env { name, from } => scaffold::environment(&tree, name, from.as_deref()),
        Asked::Service { name, chart, environment, version, set } => {
            let wanted = NewService {
                name: name.clone(),
                chart: chart.clone(),
                environments: environment.clone(),
                version: version.clone(),
                values: set.clone(),
            };
            scaffold::service(&tree, &wanted)
        }
    })?;
    let (exit, scaffold, wrong) = match made {
        Ok(scaffold) => (Exit::Ok, scaffold, Diagnostics::new()),
        Err(wrong) => (Exit::Refused, Scaffold::default(), wrong),
    };
    disk::add(&shared.root, &scaffold.new, &scaffold.changed)?;
    let Scaffold { new, changed, placeholders } = &scaffold;
    let fields = Fields { new: new.keys().collect(), changed: changed.keys().collect(), placeholders };
    let fields = (exit == Exit::Ok).then_some(&fields);
    let text = if exit == Exit::Ok { text(&scaffold) } else { String::new() };
    shared.say(&Answer { command: Command::New, exit, diagnostics: &wrong, text: &text, fields }, &tree)
}

fn text(scaffold: &Scaffold) -> String {
    let mut text: String = scaffold.new.keys().map(|path| format!("new      {path}\n")).collect();
    text.extend(scaffold.changed.keys().map(|path| format!("changed  {path}\n")));
    if !scaffold.placeholders.is_empty() {
        text.push_str(&format!("placeholders to be replaced: {}\n", scaffold.placeholders.join(", ")));
    }
    text.push_str("next: `generator render`, and commit it with _gen\n");
    text
}
