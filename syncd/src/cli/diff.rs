//! `syncd diff`: what the cluster would have that it has not, by asking the server and writing nothing.

use std::collections::BTreeSet;

use clap::Args;
use serde_json::json;

use super::ahead::{Ahead, Seen, exit_of, told};
use super::output::{Output, is_colored, print};
use super::{CliError, Exit};
use crate::cycle::Mode;
use crate::difference::{Difference, differences};

pub(super) const HELP: &str = "Each object is applied with dryRun=All, as syncd and with the force that the real apply has, and the answer is compared \
with the live object: by the rights of the kubeconfig, which needs get, and patch (create for what is not there). Fields that `syncd/ignore` or an \
autoscaler leaves to others are left out, and what only the server writes. Values of Secrets are never shown.

Exit codes:
   0  the cluster is as the repository says
   1  the server would refuse an object, or a service cannot be planned for
   2  wrong usage: the arguments cannot work, or there is no such service
   3  the repository, its revision or index was refused
   4  the cluster or the recorded state could not be read
   7  something differs
  70  a fault of syncd: the plan was refused by its second opinion";

#[derive(Debug, Args)]
pub(super) struct Diff {
    #[command(flatten)]
    ahead: Ahead,
    /// Only this service; can be given more than once
    #[arg(long = "service", env = "SYNCD_SERVICE", value_delimiter = ',', value_name = "NAME")]
    services: Vec<String>,
}

pub(super) async fn run(arguments: &Diff) -> Result<Exit, CliError> {
    let Seen { cluster, settings, foresight, .. } = arguments.ahead.look(Mode::Full).await?;
    let only: BTreeSet<String> = arguments.services.iter().cloned().collect();
    let known = |name: &&String| {
        let indexed = foresight.source.iter().any(|source| source.index.services.contains_key(*name));
        indexed || foresight.state.iter().any(|state| state.services.contains_key(*name))
    };
    if let Some(unknown) = only.iter().find(|name| foresight.source.is_some() && !known(name)) {
        return Err(CliError::NoService {
            service: unknown.clone(),
            environment: arguments.ahead.environment().to_owned(),
        });
    }
    let difference = match (&foresight.plan, &foresight.desired) {
        (Some(plan), Some(desired)) => Some(differences(&cluster, plan, desired, &settings, &only).await),
        _ => None,
    };
    let errors = &foresight.errors;
    let mut value = difference.as_ref().map_or_else(|| json!({}), |found| json!(found));
    value["errors"] = json!(errors);
    let colored = arguments.ahead.output == Output::Text && is_colored();
    let mut text = difference.as_ref().map(|found| found.text(colored)).unwrap_or_default();
    if difference.is_none() && errors.is_empty() {
        text.push_str("nothing is wanted and nothing is recorded\n");
    }
    text.push_str(&told(errors));
    print(arguments.ahead.output, &text, &value);
    Ok(match exit_of(errors) {
        Some(exit) => exit,
        None if difference.as_ref().is_some_and(Difference::is_refused) => Exit::Failed,
        None if difference.as_ref().is_some_and(Difference::is_some) => Exit::Differs,
        None => Exit::Synced,
    })
}
