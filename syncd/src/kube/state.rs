//! `syncd`'s own ConfigMaps: typed, compare-and-set on resourceVersion.
//!
//! Knows no meaning of their data. Invariant: a ConfigMap is written only over the version it was read at; one that is not there is
//! only created, never replaced.

use ::kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use ::kube::core::Request;
use k8s_openapi::List;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::call::Caller;
use super::error::{self, Subject};
use crate::cluster::{ClusterError, ErrorClass, FIELD_MANAGER, GroupKind, StateObject};
use crate::election::Fence;

/// Objects a page: each may have a quarter of a MiB.
const PAGE_OBJECTS: u32 = 50;

/// The ConfigMaps of one namespace.
#[derive(Clone)]
pub(super) struct StateStore {
    caller: Caller,
    namespace: String,
    kind: GroupKind,
}

impl StateStore {
    pub fn new(caller: Caller, namespace: String) -> Self {
        StateStore { caller, namespace, kind: GroupKind::new("", "ConfigMap") }
    }

    /// Returns one that writes only while the fence is open.
    pub fn fenced(&self, fence: &Fence) -> Self {
        StateStore { caller: self.caller.fenced(fence.clone()), ..self.clone() }
    }

    /// Returns their namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    fn request(&self) -> Request {
        Request::new(format!("/api/v1/namespaces/{}/configmaps", self.namespace))
    }

    fn subject(&self, writes: bool) -> Subject<'_> {
        Subject { kind: &self.kind, writes }
    }

    /// Lists the ConfigMaps that match a label selector, in the server's order.
    pub async fn list(&self, selector: &str) -> Result<Vec<StateObject>, ClusterError> {
        let subject = self.subject(false);
        let mut objects = Vec::new();
        let mut parameters = ListParams::default().labels(selector).limit(PAGE_OBJECTS);
        loop {
            let request = self.request().list(&parameters).map_err(|cause| unbuildable(&cause))?;
            let reply = self.caller.call("list", request, &subject).await?;
            let page: List<ConfigMap> =
                serde_json::from_slice(&reply.body).map_err(|_| error::from_unreadable(reply.code, &subject))?;
            objects.extend(page.items.into_iter().map(from_config_map));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => return Ok(objects),
            }
        }
    }

    /// Creates or replaces one; returns its new resourceVersion.
    pub async fn write(&self, object: StateObject) -> Result<String, ClusterError> {
        let subject = self.subject(true);
        let name = object.name.clone();
        let is_new = object.resource_version.is_none();
        let body = serde_json::to_vec(&self.to_config_map(object)).expect("a ConfigMap is JSON");
        let parameters = PostParams { dry_run: false, field_manager: Some(FIELD_MANAGER.to_owned()) };
        let (verb, request) = if is_new {
            ("create", self.request().create(&parameters, body))
        } else {
            ("update", self.request().replace(&name, &parameters, body))
        };
        let request = request.map_err(|cause| unbuildable(&cause))?;
        let reply = match self.caller.call(verb, request, &subject).await {
            // It was there when it was read: somebody else deleted it.
            Err(cause) if cause.class == ErrorClass::Gone => {
                return Err(ClusterError { class: ErrorClass::Conflict, ..cause });
            }
            other => other?,
        };
        let written: ConfigMap =
            serde_json::from_slice(&reply.body).map_err(|_| error::from_unreadable(reply.code, &subject))?;
        written.metadata.resource_version.ok_or_else(|| error::from_unreadable(reply.code, &subject))
    }

    /// Deletes one if it still has this resourceVersion.
    pub async fn delete(&self, name: &str, resource_version: &str) -> Result<(), ClusterError> {
        let preconditions = Preconditions { resource_version: Some(resource_version.to_owned()), uid: None };
        let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        let request = self.request().delete(name, &parameters).map_err(|cause| unbuildable(&cause))?;
        self.caller.call("delete", request, &self.subject(true)).await.map(|_| ())
    }

    fn to_config_map(&self, object: StateObject) -> ConfigMap {
        let metadata = ObjectMeta {
            name: Some(object.name),
            namespace: Some(self.namespace.clone()),
            labels: Some(object.labels),
            resource_version: object.resource_version,
            ..ObjectMeta::default()
        };
        ConfigMap { metadata, data: Some(object.data), ..ConfigMap::default() }
    }
}

fn from_config_map(map: ConfigMap) -> StateObject {
    StateObject {
        name: map.metadata.name.unwrap_or_default(),
        labels: map.metadata.labels.unwrap_or_default(),
        data: map.data.unwrap_or_default(),
        resource_version: map.metadata.resource_version,
    }
}

fn unbuildable(cause: &::kube::core::request::Error) -> ClusterError {
    ClusterError { class: ErrorClass::Rejected, code: 0, message: cause.to_string() }
}
