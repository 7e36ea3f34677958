//! What several commands are told: which cluster, which repository, what a plan hangs on; and how values are read.
//!
//! Every flag has a variable. Knows no command. Invariant: a value that gets past here is one that can work.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use manifest::ObjectRef;
use manifest::index::DriftPolicy;
use manifest::object::{Scope, scope};

use super::source::SourceArguments;
use super::{CliError, rules};
use crate::adoption::TOOLS;
use crate::config::{History, Settings};
use crate::kube::{Connection, KubeCluster, OnTraffic, Timeouts};
use crate::logs;
use crate::repo::Revision;

/// Which cluster, and whose state in it.
#[derive(Debug, Args)]
pub(super) struct Reach {
    /// Environment to keep: the folder of _gen, and the owner label of every object
    #[arg(long, env = "SYNCD_ENVIRONMENT", value_name = "NAME", value_parser = dns_label)]
    pub(super) environment: String,
    /// Namespace of syncd's own state
    #[arg(long, env = "SYNCD_NAMESPACE", default_value = "syncd", value_name = "NAME", value_parser = dns_label, help_heading = "Cluster")]
    pub(super) namespace: String,
    /// Kubeconfig of the cluster; the pod's service account if not given
    #[arg(long, env = "SYNCD_KUBECONFIG", value_name = "FILE", help_heading = "Cluster")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; its current one if not given
    #[arg(long, env = "SYNCD_CONTEXT", value_name = "NAME", requires = "kubeconfig", help_heading = "Cluster")]
    pub(super) context: Option<String>,
}

impl Reach {
    /// Prepares the way to the cluster. Sends nothing yet.
    pub(super) async fn connect(&self, on_traffic: OnTraffic) -> Result<KubeCluster, CliError> {
        let connection = Connection { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() };
        Ok(KubeCluster::connect(&connection, &self.namespace, Timeouts::default(), on_traffic).await?)
    }

    /// Prepares the way to the cluster, with nobody who counts.
    pub(super) async fn quietly(&self) -> Result<KubeCluster, CliError> {
        self.connect(Arc::new(|_| {})).await
    }
}

/// All that a plan hangs on.
#[derive(Debug, Args)]
pub(super) struct Planning {
    #[command(flatten)]
    pub(super) reach: Reach,
    #[command(flatten)]
    pub(super) source: SourceArguments,
    /// Follow the ref also to where it does not descend from the revision in force
    #[arg(long, env = "SYNCD_ALLOW_REWRITTEN_HISTORY", help_heading = "Source")]
    pub(super) allow_rewritten_history: bool,
    /// Commit that is followed although it does not descend from the revision in force: its full id
    #[arg(long, env = "SYNCD_ACCEPT_REVISION", value_name = "COMMIT", value_parser = commit_id, help_heading = "Source")]
    pub(super) accept_revision: Option<Revision>,
    /// Requests to the cluster in flight at the same time
    #[arg(long, env = "SYNCD_CONCURRENCY", default_value_t = 32, value_name = "NUMBER", value_parser = at_least_one, help_heading = "Cluster")]
    pub(super) concurrency: usize,
    /// Time between two full syncs, each of which applies every object again
    #[arg(long, env = "SYNCD_FULL_SYNC_INTERVAL", default_value = "12h", value_parser = duration, value_name = "TIME", help_heading = "Cluster")]
    pub(super) full_sync_interval: Duration,
    /// Take over objects of these tools, by commas, without asking; otherwise the manifest must say so by `syncd/adopt`
    #[arg(long, env = "SYNCD_ADOPT", value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(TOOLS), value_name = "TOOLS", help_heading = "Cluster")]
    pub(super) adopt: Vec<String>,
}

impl Planning {
    /// Returns what cycles are told.
    pub(super) fn settings(&self) -> Settings {
        Settings {
            adopt: self.adopt.iter().cloned().collect(),
            concurrency: self.concurrency,
            full_sync_interval: self.full_sync_interval,
            history: match self.allow_rewritten_history {
                true => History::Any,
                false => History::Descendants { accepted: self.accept_revision.iter().cloned().collect() },
            },
            ..Settings::new(&self.reach.environment, &self.reach.namespace)
        }
    }
}

/// What whoever acts is told.
#[derive(Debug, Args)]
pub(super) struct Common {
    #[command(flatten)]
    pub(super) planning: Planning,
    /// What to do about changes that others make to what was applied, between two full syncs, unless a service says otherwise (sync.yaml)
    #[arg(long, env = "SYNCD_DRIFT", default_value = "correct", value_name = "POLICY", help_heading = "Cluster")]
    pub(super) drift: Drift,
    /// YAML file of rules that tell when objects of custom kinds are ready, over the built-in ones
    #[arg(long, env = "SYNCD_READINESS_RULES", value_name = "FILE", help_heading = "Cluster")]
    pub(super) readiness_rules: Option<PathBuf>,
    /// How long a leader that fell silent is left alone before another syncd of the environment takes over; the same for all of them
    #[arg(long, env = "SYNCD_LEASE_DURATION", default_value = "15s", value_parser = lease_duration, value_name = "TIME", help_heading = "Cluster")]
    pub(super) lease_duration: Duration,
    /// Do not ask the Lease who leads. Then somebody else has to see to it that there is one syncd for the environment
    #[arg(long, env = "SYNCD_NO_LEADER_ELECTION", help_heading = "Cluster")]
    pub(super) no_leader_election: bool,
    /// Form of log lines
    #[arg(long, env = "SYNCD_LOG_FORMAT", default_value = "text", value_name = "FORMAT", help_heading = "Logs")]
    pub(super) log_format: logs::Format,
    /// How much is logged
    #[arg(long, env = "SYNCD_LOG_LEVEL", default_value = "info", value_name = "LEVEL", help_heading = "Logs")]
    pub(super) log_level: logs::Level,
}

impl Common {
    /// Returns the environment.
    pub(super) fn environment(&self) -> &str {
        &self.planning.reach.environment
    }

    /// Returns what cycles are told.
    pub(super) fn settings(&self) -> Result<Settings, CliError> {
        let rules = rules(self.readiness_rules.as_deref())?;
        Ok(Settings { rules, drift: self.drift.into(), ..self.planning.settings() })
    }
}

/// What is done about drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Drift {
    /// Take them back within seconds
    Correct,
    /// Say them in logs and metrics
    Report,
    /// Do not look
    Ignore,
}

impl From<Drift> for DriftPolicy {
    fn from(drift: Drift) -> Self {
        match drift {
            Drift::Correct => DriftPolicy::Correct,
            Drift::Report => DriftPolicy::Report,
            Drift::Ignore => DriftPolicy::Ignore,
        }
    }
}

/// Reads a time such as `15s`, `12h` or `1m 30s`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration =
        text.parse().map_err(|_| "expected a time such as `15s`, `5m` or `12h`".to_owned())?;
    let duration = Duration::try_from(parsed).map_err(|_| "a time cannot be negative".to_owned())?;
    if duration.is_zero() { Err("a time of zero would never rest".to_owned()) } else { Ok(duration) }
}

/// So many characters of a hash are hardly ever the same by chance.
pub(super) fn plan_id(text: &str) -> Result<String, String> {
    match text.len() >= 8 && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) {
        true => Ok(text.to_owned()),
        false => Err("expected at least 8 characters of the plan's hash".to_owned()),
    }
}

/// Kubernetes counts the duration of a Lease in whole seconds.
pub(super) fn lease_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        time if time.subsec_nanos() == 0 => Ok(time),
        _ => Err("a Lease lasts whole seconds".to_owned()),
    }
}

pub(super) fn dns_label(text: &str) -> Result<String, String> {
    if manifest::object::is_dns_label(text) {
        Ok(text.to_owned())
    } else {
        Err(manifest::object::DNS_LABEL_RULE.to_owned())
    }
}

pub(super) fn commit_id(text: &str) -> Result<Revision, String> {
    let is_id = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_id { Ok(Revision(text.to_owned())) } else { Err("expected the full id of a commit".to_owned()) }
}

pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a number, at least 1".to_owned()),
        Ok(number) => Ok(number),
    }
}

/// Reads an object as everybody writes it; what Kubernetes' own kinds cannot be is refused.
pub(super) fn object(text: &str) -> Result<ObjectRef, String> {
    let id: ObjectRef = text.parse().map_err(|error: manifest::object::ManifestError| error.message)?;
    let kind = text.split_once(' ').map_or(text, |(kind, _)| kind);
    match (scope(&id.group, &id.kind), id.namespace.is_empty()) {
        (Some(Scope::Namespaced), true) => Err(format!("a {kind} is in a namespace: `{kind} NAMESPACE/{}`", id.name)),
        (Some(Scope::Cluster), false) => Err(format!("a {kind} is in no namespace: `{kind} {}`", id.name)),
        _ => match GROUPS.iter().find(|(kind, _)| id.group.is_empty() && *kind == id.kind) {
            Some((kind, group)) => Err(format!("a {kind} has a group: `{kind}.{group} {}/{}`", id.namespace, id.name)),
            None => Ok(id),
        },
    }
}

/// Kinds whose group is easily forgotten.
const GROUPS: [(&str, &str); 12] = [
    ("CronJob", "batch"),
    ("DaemonSet", "apps"),
    ("Deployment", "apps"),
    ("HorizontalPodAutoscaler", "autoscaling"),
    ("Ingress", "networking.k8s.io"),
    ("Job", "batch"),
    ("NetworkPolicy", "networking.k8s.io"),
    ("PodDisruptionBudget", "policy"),
    ("ReplicaSet", "apps"),
    ("Role", "rbac.authorization.k8s.io"),
    ("RoleBinding", "rbac.authorization.k8s.io"),
    ("StatefulSet", "apps"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_read_as_they_are_shown() {
        for text in ["Deployment.apps shop/web", "Namespace shop", "Widget.example.org w", "Widget.example.org n/w"] {
            assert_eq!(object(text).map(|id| id.to_string()), Ok(text.to_owned()));
        }
        let mistakes = [
            ("", "expected `Kind.group namespace/name`"),
            ("shop/web", "expected `Kind.group namespace/name`"),
            ("Deployment.apps", "expected `Kind.group namespace/name`"),
            ("Deployment.apps shop/web more", "expected `Kind.group namespace/name`"),
            ("deployment.apps shop/web", "a kind begins with a capital letter"),
            ("Deployment.apps web", "a Deployment.apps is in a namespace: `Deployment.apps NAMESPACE/web`"),
            ("Namespace shop/web", "a Namespace is in no namespace: `Namespace web`"),
            ("Deployment shop/web", "a Deployment has a group: `Deployment.apps shop/web`"),
            ("ConfigMap SHOP/web", "not a valid namespace"),
            ("ConfigMap shop/a/b", "not a valid object name"),
        ];
        for (text, expected) in mistakes {
            let error = object(text).expect_err(text);
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(duration("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(duration("12h"), Ok(Duration::from_secs(43_200)));
        assert_eq!(duration("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for text in ["", "15", "-3s", "0s", "soon"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
