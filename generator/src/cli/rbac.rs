//! `generator rbac`: the roles that syncd needs for an environment. Writes nothing.

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::{CliError, Shared};
use crate::rbac::{self, Subject};
use crate::report::{Answer, Command, Exit};
use crate::source::SourceTree;
use crate::{disk, git};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The environment whose objects syncd is to apply
    #[arg(long, value_name = "ENV")]
    environment: String,
    /// The namespace of syncd itself
    #[arg(long, value_name = "NAMESPACE", default_value = "syncd")]
    namespace: String,
    /// The service account of syncd in that namespace
    #[arg(long, value_name = "NAME", default_value = "syncd")]
    service_account: String,
    /// Also what _gen held at this revision of git, so that what was removed since can be deleted
    #[arg(long, value_name = "REV")]
    since: Option<String>,
}

#[derive(Serialize)]
struct Fields {
    manifests: Vec<Value>,
}

pub(super) fn run(arguments: &Arguments, shared: &Shared) -> Result<Exit, CliError> {
    let Arguments { environment, namespace, service_account, since } = arguments;
    let now = disk::read_generated(&shared.root)?.files;
    let before = match since {
        Some(revision) => Some((git::generated_at(&shared.root, revision)?, format!("at {revision}"))),
        None => None,
    };
    let mut states: Vec<(&SourceTree, &str)> = vec![(&now, "on the disk")];
    states.extend(before.iter().map(|(tree, which)| (tree, which.as_str())));
    let subject = Subject { environment, namespace, service_account };
    let (exit, text, fields, diagnostics) = match rbac::derive(&states, &subject) {
        Ok((roles, warnings)) => {
            let yaml = roles.to_yaml();
            let manifests = roles.manifests.into_iter().map(|manifest| manifest.value).collect();
            (Exit::Ok, yaml, Some(Fields { manifests }), warnings)
        }
        Err(wrong) => (Exit::Refused, String::new(), None, wrong),
    };
    shared.say(
        &Answer { command: Command::Rbac, exit, diagnostics: &diagnostics, text: &text, fields: fields.as_ref() },
        &now,
    )
}
