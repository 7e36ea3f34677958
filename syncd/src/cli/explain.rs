//! `syncd explain`: who owns an object, where it comes from, what is different about it, and what happens next.

use clap::Args;
use manifest::{Index, ObjectRef};
use serde_json::json;

use super::ahead::{Ahead, Seen, exit_of, told};
use super::arguments::object;
use super::output::{Output, is_colored, print};
use super::{CliError, Exit};
use crate::cluster::{Cluster, ErrorClass};
use crate::cycle::Mode;
use crate::difference::of_object;
use crate::explain::{explain, planned, wanted_by};
use crate::repo::Repo;
use crate::report::{CycleError, Stage};

pub(super) const HELP: &str = "Reads what a cycle reads, by the rights of the kubeconfig, and asks by a dry run what an apply of the object would change. \
Nothing is written. Values of Secrets are never shown.

  syncd explain Deployment.apps shop/web --environment production --repository URL --kubeconfig FILE

Exit codes:
   0  explained
   1  it is in no service, in no record and not in the cluster
   2  wrong usage: the arguments cannot work
   3  the repository, its revision or index was refused
   4  the cluster or the recorded state could not be read
  70  a fault of syncd: the plan was refused by its second opinion";

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The object: `Kind.group namespace/name`, such as `Deployment.apps shop/web` or `Namespace shop`
    #[arg(value_name = "OBJECT", required = true, num_args = 1..=2)]
    object: Vec<String>,
    #[command(flatten)]
    ahead: Ahead,
}

pub(super) async fn run(arguments: &Explain) -> Result<Exit, CliError> {
    let id: ObjectRef = object(&arguments.object.join(" ")).map_err(CliError::Object)?;
    let Seen { repo, cluster, mut foresight, .. } = arguments.ahead.look(Mode::Full).await?;
    let live = match cluster.get(&id).await {
        Ok(live) => live,
        Err(error) if error.class == ErrorClass::NotServed => None,
        Err(error) => {
            let message = format!("{id} could not be read: {error}");
            foresight.errors.push(CycleError { stage: Stage::Live, message });
            None
        }
    };
    let file = match (wanted_by(&id, &foresight), &foresight.source) {
        (Some(service), Some(source)) => {
            let revision = source.kept.get(service).unwrap_or(&source.revision);
            let path = Index::resources_path(&source.index.environment, service);
            let read = repo.read(revision, vec![path]).await.ok().and_then(|mut files| files.pop().flatten());
            read.and_then(|bytes| String::from_utf8(bytes).ok())
        }
        _ => None,
    };
    let difference = match (&foresight.plan, &foresight.desired) {
        (Some(plan), Some(desired)) => match planned(&id, plan) {
            Some((service, apply)) => of_object(&cluster, plan, desired, service, apply).await,
            None => None,
        },
        _ => None,
    };
    let explained = explain(&id, &foresight, live.as_ref(), file.as_deref(), difference);
    let form = arguments.ahead.output;
    let mut value = json!(explained);
    value["errors"] = json!(foresight.errors);
    let text = explained.text(form == Output::Text && is_colored()) + &told(&foresight.errors);
    print(form, &text, &value);
    let is_known = explained.wanted.is_some() || !explained.recorded.is_empty() || explained.live.is_some();
    Ok(exit_of(&foresight.errors).unwrap_or(if is_known { Exit::Synced } else { Exit::Failed }))
}
