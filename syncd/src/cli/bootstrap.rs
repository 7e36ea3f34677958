//! `syncd bootstrap`: from a repository and a few flags to what `kubectl apply` takes.
//!
//! Reads the index of the environment, as the roles follow from it; prints, and changes something only where `--apply` says so. No key is
//! ever printed: the Secret is for people to make. Invariant: what is printed and what is applied is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use manifest::roles::{self, Roles, Subject};
use manifest::{Manifest, yaml};

use super::arguments::dns_label;
use super::source::SourceArguments;
use super::{CliError, Exit};
use crate::bootstrap::{Installation, Key, SECRET};
use crate::cluster::{Apply, Cluster};
use crate::config::{History, Settings};
use crate::desired::{self, Content, SourceError};
use crate::git::GitRepo;
use crate::kube::{Connection, KubeCluster, Timeouts};
use crate::repo::{Repo, RepoError};
use crate::state::State;

pub(super) const HELP: &str = "The roles are what the index of the environment needs, at the tip of the ref, and no more; without an index, what syncd \
needs for itself. Apply them anew when a kind or a namespace is new in the environment. The files that are named \
(tokens, keys) are used to read the repository now; in the cluster they come from the Secret `syncd-source`, which is not printed.

  syncd bootstrap --environment production --repository https://git.example.com/platform.git | kubectl apply -f -

Exit codes:
   0  printed, or applied
   2  wrong usage: the arguments cannot work
   3  the repository or its index cannot be read
   4  the cluster refused something, or does not answer";

#[derive(Debug, Args)]
pub(super) struct Bootstrap {
    /// Environment to keep
    #[arg(long, env = "SYNCD_ENVIRONMENT", value_name = "NAME", value_parser = dns_label)]
    environment: String,
    #[command(flatten)]
    source: SourceArguments,
    /// Namespace of syncd, for itself alone
    #[arg(long, env = "SYNCD_NAMESPACE", default_value = "syncd", value_name = "NAME", value_parser = dns_label)]
    namespace: String,
    /// Image of syncd, with its version or digest
    #[arg(long, env = "SYNCD_IMAGE", default_value = concat!("syncd:", env!("CARGO_PKG_VERSION")), value_name = "IMAGE", value_parser = image)]
    image: String,
    /// With ServiceMonitor and PrometheusRule, for a cluster that has the Prometheus Operator
    #[arg(long, env = "SYNCD_PROMETHEUS_OPERATOR")]
    prometheus_operator: bool,
    /// Apply it instead of printing it, by the rights of the kubeconfig
    #[arg(long, env = "SYNCD_APPLY", requires = "kubeconfig")]
    apply: bool,
    /// Kubeconfig of somebody who may do so
    #[arg(long, env = "SYNCD_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; its current one if not given
    #[arg(long, env = "SYNCD_CONTEXT", value_name = "NAME", requires = "kubeconfig")]
    context: Option<String>,
}

/// An image without a version is another one each day.
fn image(text: &str) -> Result<String, String> {
    let name = text.rsplit('/').next().unwrap_or_default();
    match name.contains(':') && !text.contains(char::is_whitespace) {
        true => Ok(text.to_owned()),
        false => Err("expected an image with its version or digest: `syncd:1.0.0`".to_owned()),
    }
}

pub(super) async fn run(arguments: &Bootstrap) -> Result<Exit, CliError> {
    let Bootstrap { environment, source, namespace, image, prometheus_operator, .. } = arguments;
    let scheme = source.repository.split_once("://").map(|(scheme, _)| scheme);
    if !matches!(scheme, Some("https" | "ssh")) {
        return Err(CliError::OutOfReach { repository: source.repository.clone() });
    }
    let keys = keys(source);
    let repo = source.open()?;
    let objects = objects(&repo, arguments).await.map_err(CliError::Unreadable)?;
    let subject = Subject { environment, namespace, service_account: "syncd" };
    let Roles { manifests: roles, guesses } = roles::derive(&objects, &subject);
    let variables = [("SYNCD_USERNAME", source.username.as_deref()), ("SYNCD_PROXY", source.proxy.as_deref())];
    let installation = Installation {
        environment,
        namespace,
        repository: &source.repository,
        reference: &full_name(&source.reference),
        image,
        keys: keys.keys().copied().collect(),
        variables: variables.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        prometheus_operator: *prometheus_operator,
    };
    let mut manifests = installation.manifests();
    manifests.extend(roles);
    manifests.sort_by(|a, b| a.order().cmp(&b.order()));
    for guess in guesses {
        eprintln!("{guess}: no definition in the environment says so; compare with `kubectl api-resources`");
    }
    if !keys.is_empty() {
        let entries: Vec<String> =
            keys.iter().map(|(key, file)| format!("--from-file={}={}", entry(*key), file.display())).collect();
        let entries = entries.join(" ");
        eprintln!(
            "its keys are for you to give: kubectl create secret generic {SECRET} --namespace {namespace} {entries}"
        );
    }
    if arguments.apply {
        return apply(arguments, &manifests).await;
    }
    let text = yaml::write_documents(manifests.iter().map(|manifest| &manifest.value));
    // Whoever closed our output wants no more of it.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(Exit::Synced)
}

/// Branches are named in full where `syncd run` takes short names, as the chart does.
fn full_name(reference: &str) -> String {
    if reference.starts_with("refs/") { reference.to_owned() } else { format!("refs/heads/{reference}") }
}

/// Returns the keys that are used, each with its file here.
fn keys(source: &SourceArguments) -> BTreeMap<Key, &PathBuf> {
    let keys = [
        (Key::Token, &source.token_file),
        (Key::Password, &source.password_file),
        (Key::SshKey, &source.ssh_key_file),
        (Key::KnownHosts, &source.ssh_known_hosts_file),
        (Key::Authorities, &source.ca_file),
        (Key::AllowedSigners, &source.allowed_signers_file),
        (Key::GpgKeyring, &source.gpg_keyring_file),
    ];
    keys.into_iter().filter_map(|(key, file)| Some((key, file.as_ref()?))).collect()
}

fn entry(key: Key) -> &'static str {
    Key::ALL.iter().find(|(other, _, _)| *other == key).map_or("", |(_, entry, _)| entry)
}

/// Reads what the environment consists of; nothing where the repository has no such environment yet.
async fn objects(repo: &GitRepo, arguments: &Bootstrap) -> Result<Vec<Manifest>, SourceError> {
    let Bootstrap { environment, namespace, .. } = arguments;
    let settings = Settings::new(environment, namespace);
    let none = |why: &dyn std::fmt::Display| {
        eprintln!("{why}: syncd gets the rights for itself alone; apply the roles anew when there is something");
        Vec::new()
    };
    let tip = match repo.tip().await {
        Err(error @ RepoError::NoRef(_)) => return Ok(none(&error)),
        tip => tip?,
    };
    let commit = repo.fetch(&tip).await?;
    desired::check_revision(repo, &tip, None, &History::default()).await?;
    let source = match desired::read_index(repo, &tip, commit, (environment, None), &settings.limits).await {
        Err(error @ SourceError::NoIndex { .. }) => return Ok(none(&error)),
        source => source?,
    };
    let names: BTreeSet<String> = source.index.services.keys().cloned().collect();
    let desired = desired::read_services(repo, &source, &names, &State::default(), &settings).await?;
    if !names.contains("syncd") {
        eprintln!("no service `syncd` in {environment}: it will not keep itself up to date (docs/install.md)");
    }
    let mut manifests = Vec::new();
    for (name, content) in desired.services {
        match content {
            Content::Objects(objects) => {
                // They were manifests when they were read.
                manifests.extend(objects.values().filter_map(|object| Manifest::from_value(object.value()).ok()));
            }
            Content::Refused { reason, .. } => {
                eprintln!("service `{name}` is left out of the roles, as syncd will leave it alone: {reason}");
            }
        }
    }
    Ok(manifests)
}

/// Applies all of it, and goes on where something is refused: a second try does the rest.
async fn apply(arguments: &Bootstrap, manifests: &[Manifest]) -> Result<Exit, CliError> {
    let connection = Connection { kubeconfig: arguments.kubeconfig.clone(), context: arguments.context.clone() };
    let cluster =
        KubeCluster::connect(&connection, &arguments.namespace, Timeouts::default(), Arc::new(|_| {})).await?;
    let mut exit = Exit::Synced;
    for manifest in manifests {
        let apply = Apply {
            id: manifest.id.clone(),
            api_version: manifest.api_version.clone(),
            body: manifest.value.clone(),
            uid: None,
            dry_run: false,
        };
        match cluster.apply(apply).await {
            Ok(_) => println!("{} applied", manifest.id),
            Err(error) => {
                eprintln!("{}: {error}", manifest.id);
                exit = Exit::Cluster;
            }
        }
    }
    Ok(exit)
}
