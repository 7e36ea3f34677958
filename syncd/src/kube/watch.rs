//! Watching one kind: kube's watcher, told in the words of the seam.
//!
//! The watcher lists in pages, watches with bookmarks, resumes where it broke and lists again where it cannot; all of that is told only
//! by [`WatchEvent::Restarted`] and [`WatchEvent::Synchronized`]. Errors that pass by themselves are logged; those that need someone
//! (a missing permission) are told, and the watch goes on trying. Invariant: the stream never ends.

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

use ::kube::api::{ApiResource, DynamicObject};
use ::kube::core::{DynamicResourceScope, ObjectMeta, PartialObjectMeta};
use ::kube::runtime::WatchStreamExt;
use ::kube::runtime::watcher::{self, Event};
use ::kube::{Api, Resource};
use futures::StreamExt;
use futures::stream::BoxStream;
use manifest::ObjectRef;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::call::Caller;
use super::connect::Traffic;
use super::discovery::Served;
use super::error::{self, Subject};
use crate::cluster::{ClusterError, ErrorClass, GroupKind, WatchEvent};

/// Which objects of a kind are watched.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Which<'a> {
    /// In one namespace; absent: in all.
    pub namespace: Option<&'a str>,
    /// Label selector; empty: all.
    pub labels: &'a str,
    /// Field selector; empty: all.
    pub fields: &'a str,
}

/// Objects, or their metadata: the client asks the server for what the type holds.
pub(super) trait Told:
    Resource<DynamicType = ApiResource, Scope = DynamicResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static
{
    /// Objects a page of what is there at first. A page is held as a whole.
    const PAGE_OBJECTS: u32;

    /// Returns the object, as far as it was asked for.
    fn into_value(self) -> Value;
}

/// An object as it was told, read once: `DynamicObject` reads each twice, and is written once more to become a value.
#[derive(Debug, Clone)]
pub(super) struct Whole {
    /// What kube's watcher goes by, and nothing else.
    metadata: ObjectMeta,
    value: Value,
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::Object(Map::deserialize(deserializer)?);
        let text = |name: &str| value.get("metadata")?.get(name)?.as_str().map(str::to_owned);
        let (namespace, resource_version) = (text("namespace"), text("resourceVersion"));
        let Some(name) = text("name") else { return Err(D::Error::missing_field("metadata.name")) };
        Ok(Whole {
            metadata: ObjectMeta { name: Some(name), namespace, resource_version, ..ObjectMeta::default() },
            value,
        })
    }
}

impl Resource for Whole {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Told for Whole {
    const PAGE_OBJECTS: u32 = 50;

    fn into_value(self) -> Value {
        self.value
    }
}

impl Told for PartialObjectMeta<DynamicObject> {
    const PAGE_OBJECTS: u32 = 100;

    fn into_value(self) -> Value {
        serde_json::to_value(self).expect("an object that was JSON is JSON")
    }
}

/// Watches objects of a kind, for ever.
pub(super) fn watch<K: Told>(
    caller: &Caller,
    served: Served,
    which: Which<'_>,
) -> BoxStream<'static, Result<WatchEvent, ClusterError>> {
    let resource = ApiResource {
        group: served.group.clone(),
        version: served.version.clone(),
        api_version: served.api_version(),
        kind: served.kind.clone(),
        plural: served.plural.clone(),
    };
    let api: Api<K> = match which.namespace {
        Some(namespace) => Api::namespaced_with(caller.client().clone(), namespace, &resource),
        None => Api::all_with(caller.client().clone(), &resource),
    };
    let mut config = watcher::Config::default().page_size(K::PAGE_OBJECTS);
    if !which.labels.is_empty() {
        config = config.labels(which.labels);
    }
    if !which.fields.is_empty() {
        config = config.fields(which.fields);
    }
    let events = watcher::watcher(api, config).default_backoff();
    let on_traffic = Arc::clone(caller.on_traffic());
    let mut course = Course::default();
    let events = events.inspect(move |event| {
        if course.restarts(event) {
            on_traffic(Traffic::WatchRestarted);
        }
    });
    events.filter_map(move |event| futures::future::ready(told(event, &served))).boxed()
}

/// How a watch has gone so far.
#[derive(Default)]
struct Course {
    begun: bool,
    broke: bool,
}

impl Course {
    /// Tells whether a watch breaks here or begins anew; once where it does both.
    fn restarts<K>(&mut self, event: &Result<Event<K>, watcher::Error>) -> bool {
        match event {
            Ok(Event::Init) => std::mem::replace(&mut self.begun, true) && !std::mem::take(&mut self.broke),
            Ok(Event::Apply(_) | Event::Delete(_) | Event::InitApply(_) | Event::InitDone) => {
                self.broke = false;
                false
            }
            Err(_) => !std::mem::replace(&mut self.broke, true),
        }
    }
}

fn told<K: Told>(event: Result<Event<K>, watcher::Error>, served: &Served) -> Option<Result<WatchEvent, ClusterError>> {
    match event {
        Ok(Event::Init) => Some(Ok(WatchEvent::Restarted)),
        Ok(Event::InitApply(object) | Event::Apply(object)) => {
            Some(Ok(WatchEvent::Present(identity(&object, served), content(object, served))))
        }
        Ok(Event::Delete(object)) => Some(Ok(WatchEvent::Absent(identity(&object, served)))),
        Ok(Event::InitDone) => Some(Ok(WatchEvent::Synchronized)),
        Err(cause) => {
            let error = read(&cause, served);
            let passes = matches!(error.class, ErrorClass::Transient | ErrorClass::Ambiguous | ErrorClass::Conflict);
            tracing::debug!(kind = %served.kind, class = ?error.class, error = %error, "a watch broke and is resumed");
            (!passes).then_some(Err(error))
        }
    }
}

fn identity<K: Told>(object: &K, served: &Served) -> ObjectRef {
    ObjectRef {
        group: served.group.as_str().into(),
        kind: served.kind.as_str().into(),
        namespace: object.meta().namespace.clone().unwrap_or_default().into(),
        name: object.meta().name.clone().unwrap_or_default().into(),
    }
}

/// Returns the object, as far as it was asked for. Items of lists come without their type.
fn content<K: Told>(object: K, served: &Served) -> Value {
    let mut value = object.into_value();
    value["apiVersion"] = Value::String(served.api_version());
    value["kind"] = Value::String(served.kind.clone());
    value
}

fn read(cause: &watcher::Error, served: &Served) -> ClusterError {
    let kind = GroupKind::new(&served.group, &served.kind);
    let subject = Subject { kind: &kind, writes: false };
    match cause {
        watcher::Error::InitialListFailed(cause)
        | watcher::Error::WatchStartFailed(cause)
        | watcher::Error::WatchFailed(cause) => error::from_transport(cause, &subject),
        watcher::Error::WatchError(status) => error::from_status(status.code, status, &subject),
        watcher::Error::NoResourceVersion => error::from_unreadable(200, &subject),
    }
}
