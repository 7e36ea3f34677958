//! The demo's cluster: the model in this process, or one that a kubeconfig points at.
//!
//! Prepares what a platform team has before the first deploy (namespaces), and reads back what is there at the end. Never applies or
//! deletes an object of a service; that is what is shown. Invariant: what is told of the cluster was read from its API.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DynamicObject, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Api, Client, Config};
use syncd::cluster::{LABEL_ENVIRONMENT, LABEL_SERVICE};

/// Namespace of `syncd`'s own state.
pub const STATE_NAMESPACE: &str = "syncd";
/// Namespace of the example's services.
const NAMESPACE: &str = "kahoy-helm-example";
/// Virtual seconds of the model cluster in a second: its probes and rollouts take minutes, the demo should not.
const SPEED: f64 = 60.0;
/// Kinds that the example's chart can render.
const KINDS: [(&str, &str, &str); 7] = [
    ("", "v1", "ServiceAccount"),
    ("", "v1", "Secret"),
    ("", "v1", "ConfigMap"),
    ("", "v1", "Service"),
    ("apps", "v1", "Deployment"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler"),
    ("networking.k8s.io", "v1", "Ingress"),
];

/// A cluster to sync into.
pub struct Target {
    kubeconfig: PathBuf,
    client: Client,
    address: String,
    model: Option<(sandbox::Cluster, sandbox::http::Server)>,
}

/// An object of a service, as the API gives it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owned {
    /// Environment that owns it.
    pub environment: String,
    /// Service that owns it.
    pub service: String,
    /// Kind.
    pub kind: &'static str,
    /// Name.
    pub name: String,
    /// Ready of wanted replicas; empty for other kinds.
    pub ready: String,
}

impl Target {
    /// Starts the model and writes a kubeconfig for it.
    pub async fn model(kubeconfig: &Path) -> Result<Self> {
        let model = sandbox::Cluster::new(sandbox::Settings::default());
        let server = sandbox::http::serve(model.clone(), SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SPEED).await?;
        sandbox::http::write_kubeconfig(kubeconfig, &server.url())?;
        let mut target = Target::given(kubeconfig.to_owned()).await?;
        target.model = Some((model, server));
        Ok(target)
    }

    /// Takes a cluster that is there.
    pub async fn given(kubeconfig: PathBuf) -> Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let file =
            Kubeconfig::read_from(&kubeconfig).with_context(|| format!("cannot read {}", kubeconfig.display()))?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        let address = config.cluster_url.to_string();
        let target = Target { kubeconfig, client: Client::try_from(config)?, address, model: None };
        for name in [STATE_NAMESPACE, NAMESPACE] {
            target.create_namespace(name).await.with_context(|| format!("cannot create namespace {name}"))?;
        }
        Ok(target)
    }

    /// Returns the file that points at it.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Returns the API's address.
    pub fn address(&self) -> &str {
        self.address.trim_end_matches('/')
    }

    /// Begins to count requests anew.
    pub fn forget_requests(&self) {
        if let Some((model, _)) = &self.model {
            model.take_requests();
        }
    }

    /// Returns the number of reads and of writes since; `None` for a cluster that does not count them.
    pub fn requests(&self) -> Option<(usize, usize)> {
        let (model, _) = self.model.as_ref()?;
        let requests = model.requests();
        let writes = requests.iter().filter(|request| request.verb.is_write()).count();
        Some((requests.len() - writes, writes))
    }

    /// Reads all objects of services, by environment, service, kind and name.
    pub async fn owned(&self) -> Result<Vec<Owned>> {
        let mut owned = Vec::new();
        for (group, version, kind) in KINDS {
            let resource = kube::core::ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), NAMESPACE, &resource);
            let objects = api.list(&ListParams::default().labels(LABEL_SERVICE)).await?;
            owned.extend(objects.items.iter().map(|object| describe(kind, object)));
        }
        owned.sort();
        Ok(owned)
    }

    async fn create_namespace(&self, name: &str) -> Result<()> {
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.to_owned());
        match Api::all(self.client.clone()).create(&PostParams::default(), &namespace).await {
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
            result => result.map(|_: Namespace| ()).map_err(Into::into),
        }
    }
}

fn describe(kind: &'static str, object: &DynamicObject) -> Owned {
    let label =
        |name: &str| object.metadata.labels.as_ref().and_then(|labels| labels.get(name)).cloned().unwrap_or_default();
    let count = |pointer: &str| object.data.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap_or(0);
    let ready = || format!("{}/{}", count("/status/readyReplicas"), count("/spec/replicas"));
    Owned {
        environment: label(LABEL_ENVIRONMENT),
        service: label(LABEL_SERVICE),
        kind,
        name: object.metadata.name.clone().unwrap_or_default(),
        ready: if kind == "Deployment" { ready() } else { String::new() },
    }
}
