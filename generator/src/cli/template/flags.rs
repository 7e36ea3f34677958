//! Flags of `helm template` that are written in Helm's way, have no effect on a local chart, or ask for what is not here.
//!
//! A command line that worked with Helm either means the same here or is refused with the reason; no flag is unknown.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::diagnostic::{Diagnostic, Diagnostics};

/// Switches that change nothing in what a chart on this disk renders to.
const SWITCHES_WITHOUT_EFFECT: [&str; 21] = [
    "atomic",
    "create-namespace",
    "devel",
    "disable-openapi-validation",
    "force",
    "force-conflicts",
    "force-replace",
    "hide-notes",
    "insecure-skip-tls-verify",
    "kube-insecure-skip-tls-verify",
    "pass-credentials",
    "plain-http",
    "render-subchart-notes",
    "replace",
    "rollback-on-failure",
    "server-side",
    "skip-crds",
    "take-ownership",
    "wait",
    "wait-for-jobs",
    "no-color",
];

/// Flags with a value of which the same is true.
const VALUES_WITHOUT_EFFECT: [&str; 23] = [
    "burst-limit",
    "ca-file",
    "cert-file",
    "content-cache",
    "description",
    "key-file",
    "keyring",
    "kube-apiserver",
    "kube-as-group",
    "kube-as-user",
    "kube-ca-file",
    "kube-context",
    "kube-tls-server-name",
    "kube-token",
    "kubeconfig",
    "labels",
    "password",
    "qps",
    "registry-config",
    "repository-cache",
    "repository-config",
    "timeout",
    "username",
];

/// Flags that ask for what is not here, and what to do instead.
pub(super) const REFUSED: [(&str, bool, &str); 7] = [
    ("validate", false, "there is no cluster: `generator validate` checks a repository offline"),
    ("dependency-update", false, "nothing is downloaded: run `helm dependency build` once, and commit charts/"),
    ("verify", false, "signatures are not checked: run `helm verify` before"),
    ("repo", true, "nothing is downloaded: run `helm pull` once, and name the file"),
    ("enable-dns", false, "no output depends on the network: give the address as a value"),
    ("post-renderer", true, "no other program is run: pipe the output into it"),
    ("post-renderer-args", true, "no other program is run: pipe the output into it"),
];

/// The flags of this file, as a part of a command line.
#[derive(Debug)]
pub(super) struct Elsewhere {
    refused: Vec<(String, &'static str)>,
}

impl Elsewhere {
    /// Returns an error for every flag that asks for what is not here.
    pub(super) fn refused(&self) -> Diagnostics {
        let one = |(flag, hint): &(String, &'static str)| {
            Diagnostic::error("refused-flag", format!("{flag} asks for more than this disk has")).hint(*hint)
        };
        self.refused.iter().map(one).collect()
    }
}

fn switch(name: &'static str) -> Arg {
    let arg = Arg::new(name).long(name).hide(true).action(ArgAction::Append).num_args(0..=1).require_equals(true);
    arg.default_missing_value("true")
}

fn value(name: &'static str) -> Arg {
    Arg::new(name).long(name).hide(true).action(ArgAction::Append).allow_hyphen_values(true)
}

impl Args for Elsewhere {
    fn augment_args(command: Command) -> Command {
        let command = command.args(SWITCHES_WITHOUT_EFFECT.map(switch)).args(VALUES_WITHOUT_EFFECT.map(|name| {
            let arg = value(name);
            if name == "labels" { arg.short('l') } else { arg }
        }));
        let refused = REFUSED.map(|(name, takes, _)| if takes { value(name) } else { switch(name) });
        // --version is ours on the first level only; Helm's picks a version out of a repository.
        command.args(refused).arg(switch("dry-run")).arg(value("version"))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Elsewhere {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let values = |name: &str| matches.get_many::<String>(name).into_iter().flatten().cloned().collect::<Vec<_>>();
        let mut refused = Vec::new();
        for (name, takes, hint) in REFUSED {
            if values(name).last().is_some_and(|given| takes || boolean(given) != Ok(false)) {
                refused.push((format!("--{name}"), hint));
            }
        }
        let dry_run = values("dry-run").pop();
        if dry_run.as_deref().is_some_and(|given| given != "client" && boolean(given) != Ok(true)) {
            refused
                .push((format!("--dry-run={}", dry_run.unwrap_or_default()), "only `--dry-run=client` is done here"));
        }
        Ok(Elsewhere { refused })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Reads a switch's value as Go's flags do.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// Takes apart what stands behind a flag that may be given several times and with commas: a line of CSV, as in Helm.
pub(super) fn separated(flag: &str, lines: &[String], wrong: &mut Diagnostics) -> Vec<String> {
    let mut all = Vec::new();
    for line in lines {
        match fields(line) {
            Ok(fields) => all.extend(fields),
            Err(message) => {
                wrong.push(Diagnostic::error("bad-command-line", format!("invalid argument for {flag}: {message}")));
            }
        }
    }
    all
}

/// Source: Go 1.26 `encoding/csv`, one record.
fn fields(line: &str) -> Result<Vec<String>, &'static str> {
    let mut fields = Vec::new();
    let mut rest = line;
    while !line.is_empty() {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, more) = rest.split_once(',').map_or((rest, None), |(field, more)| (field, Some(more)));
            if field.contains('"') {
                return Err("bare \" in non-quoted field");
            }
            fields.push(field.to_owned());
            let Some(more) = more else { break };
            rest = more;
            continue;
        };
        let mut field = String::new();
        rest = quoted;
        loop {
            let (text, more) = rest.split_once('"').ok_or("extraneous or missing \" in quoted-field")?;
            field.push_str(text);
            rest = more;
            let Some(more) = rest.strip_prefix('"') else { break };
            field.push('"');
            rest = more;
        }
        fields.push(field);
        if rest.is_empty() {
            break;
        }
        rest = rest.strip_prefix(',').ok_or("extraneous or missing \" in quoted-field")?;
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_lines_of_csv() {
        let owned = |items: &[&str]| items.iter().map(|&item| item.to_owned()).collect::<Vec<_>>();
        let cases: [(&str, &[&str]); 6] = [
            ("", &[]),
            ("a", &["a"]),
            ("a,,b,", &["a", "", "b", ""]),
            ("\"a,b\",c", &["a,b", "c"]),
            ("\"a\"\"b\"", &["a\"b"]),
            (" a, b", &[" a", " b"]),
        ];
        for (line, want) in cases {
            assert_eq!(fields(line), Ok(owned(want)), "{line}");
        }
        for line in ["a\"b", "\"a", "\"a\"b"] {
            assert!(fields(line).is_err(), "{line}");
        }
    }
}
