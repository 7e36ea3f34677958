//! Watches: changes of a collection as they come, with bookmarks, initial events and an end.
//!
//! A watch reads the history of its collection from where it stopped; it holds no queue of its own beyond the initial events, so a slow
//! reader costs nothing and finds 410 when history moved on. Knows no sockets. Invariant: events of one object come in the order of its
//! versions, none twice, none left out.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::api::{GroupResource, Request, Status};
use crate::cluster::{Call, Cluster, Refused, State};
use crate::kinds::Kind;
use crate::log::Verb;
use crate::read::{self, Selection};
use crate::represent::{self, Form};
use crate::route::{Route, route};
use crate::store::{Change, ChangeKind};
use crate::validate;
use crate::write::present;

/// Open watches at one time.
pub const WATCHES_MAX: usize = 4096;
/// Virtual seconds between bookmarks of a watch that has nothing else to say.
const BOOKMARK_SECONDS: i64 = 60;
/// Virtual seconds after which a watch ends that names no timeout; the real server's are between 30 and 60 minutes.
const TIMEOUT_SECONDS: i64 = 1_800;

/// What a watch tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The object is new, or newly selected.
    Added,
    /// The object changed.
    Modified,
    /// The object is gone, or no longer selected.
    Deleted,
    /// Nothing but how far the watch has come.
    Bookmark,
    /// The watch cannot go on; the object is a `Status`.
    Error,
}

/// One event of a watch.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchEvent {
    /// What happened.
    pub kind: EventKind,
    /// To which object, in the form the request asked for.
    pub object: Value,
}

impl EventKind {
    /// Returns the word of the wire form.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Added => "ADDED",
            EventKind::Modified => "MODIFIED",
            EventKind::Deleted => "DELETED",
            EventKind::Bookmark => "BOOKMARK",
            EventKind::Error => "ERROR",
        }
    }
}

impl WatchEvent {
    /// Returns the wire form.
    pub fn to_json(&self) -> Value {
        json!({"type": self.kind.as_str(), "object": self.object})
    }
}

/// Counts of a cluster's watches.
#[derive(Debug, Default)]
pub(crate) struct WatchLimits {
    open: usize,
    /// Watches opened before this number of drops are over.
    drops: u64,
}

impl WatchLimits {
    /// Ends every open watch.
    pub fn drop_all(&mut self) {
        self.drops += 1;
    }
}

/// All that an open watch knows, but the cluster.
pub(crate) struct Opened {
    kind: Arc<Kind>,
    selection: Selection,
    form: Form,
    cursor: u64,
    initial: VecDeque<WatchEvent>,
    bookmarks: bool,
    deadline: Timestamp,
    last_bookmark: Timestamp,
    drops: u64,
    over: bool,
    /// A table's columns are sent with the first event only.
    columns_sent: bool,
}

/// An open watch. Dropping it closes it.
pub struct Watch {
    cluster: Cluster,
    opened: Opened,
}

impl State {
    /// Opens a watch on what the request names.
    pub fn open_watch(&mut self, request: &Request) -> Result<Opened, Status> {
        let Route::Objects(target) = route(&request.path) else { return Err(Status::no_resource()) };
        let kind = self.resolve(&target).map_err(|refused| match refused {
            Refused::PageNotFound => Status::no_resource(),
            Refused::Status(status) => status,
        })?;
        if let Some(status) = self.faults.check(Verb::Watch, &target) {
            return Err(status);
        }
        if self.watches.open >= WATCHES_MAX {
            return Err(Status::too_many_requests(1));
        }
        let call = Call { kind: kind.clone(), target: &target, request };
        let selection = Selection::of(&call)?;
        let form = Form::of(&request.accept)?;
        let seconds = match request.parameter("timeoutSeconds") {
            None | Some("") => TIMEOUT_SECONDS,
            Some(text) => text.parse().map_err(|_| Status::bad_request("timeoutSeconds must be a number"))?,
        };
        let current = self.store.version();
        let asked = read::version_of(request).map_err(Status::unclassified)?;
        let streams_list = request.flag("sendInitialEvents");
        if streams_list && request.parameter("resourceVersionMatch") != Some("NotOlderThan") {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            let of = GroupResource { group: "meta.k8s.io", resource: "ListOptions" };
            return Err(Status::invalid(of, "", vec![validate::forbidden("resourceVersionMatch", why)]));
        }
        let from_now = matches!(asked, None | Some(0)) || streams_list;
        let mut opened = Opened {
            kind,
            selection,
            form,
            cursor: if from_now { current } else { asked.unwrap_or(current) },
            initial: VecDeque::new(),
            bookmarks: request.flag("allowWatchBookmarks"),
            deadline: self.now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX),
            last_bookmark: self.now,
            drops: self.watches.drops,
            over: form == Form::PartialList,
            columns_sent: false,
        };
        let wants_state = from_now && request.parameter("sendInitialEvents") != Some("false");
        if wants_state {
            self.fill_initial(&mut opened);
        }
        if streams_list && opened.bookmarks {
            let mut mark = opened.bookmark(current);
            mark.object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
            opened.initial.push_back(mark);
        }
        self.watches.open += 1;
        Ok(opened)
    }

    fn fill_initial(&self, opened: &mut Opened) {
        let Some(collection) = self.store.collection(opened.kind.id) else { return };
        let namespace = opened.selection.namespace.clone();
        let selected: Vec<Arc<Value>> =
            collection.list(&namespace).filter(|object| opened.selection.matches(object)).cloned().collect();
        for object in selected {
            let event = opened.event(self, EventKind::Added, &object);
            opened.initial.push_back(event);
        }
    }
}

impl Opened {
    fn event(&mut self, state: &State, kind: EventKind, object: &Value) -> WatchEvent {
        let object = present(&self.kind, object);
        let columns = !std::mem::replace(&mut self.columns_sent, true);
        WatchEvent { kind, object: represent::event_object(state, &self.kind, self.form, &object, columns) }
    }

    fn bookmark(&self, version: u64) -> WatchEvent {
        let (api_version, kind) = match self.form {
            Form::Plain => (self.kind.api_version(), self.kind.kind.clone()),
            Form::Partial | Form::PartialList => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadata".to_owned()),
            Form::Table(_) => ("meta.k8s.io/v1".to_owned(), "Table".to_owned()),
        };
        let metadata = json!({"resourceVersion": version.to_string()});
        let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
        if let Form::Table(_) = self.form {
            object["rows"] = Value::Null;
            object["columnDefinitions"] = Value::Null;
        }
        WatchEvent { kind: EventKind::Bookmark, object }
    }

    /// Returns what a change is to this watch; `None` where it does not concern it.
    fn seen(&mut self, state: &State, change: &Change) -> Option<WatchEvent> {
        let before = change.previous.as_ref().is_some_and(|previous| self.selection.matches(previous));
        let after = change.kind != ChangeKind::Deleted && self.selection.matches(&change.object);
        match (before, after) {
            (false, false) => None,
            (false, true) => Some(self.event(state, EventKind::Added, &change.object)),
            (true, true) => Some(self.event(state, EventKind::Modified, &change.object)),
            (true, false) => {
                let mut last = change.previous.as_deref().cloned().unwrap_or(Value::Null);
                last["metadata"]["resourceVersion"] = change.version.to_string().into();
                Some(self.event(state, EventKind::Deleted, &last))
            }
        }
    }

    fn next(&mut self, state: &State) -> Option<WatchEvent> {
        if self.over {
            return None;
        }
        if let Some(event) = self.initial.pop_front() {
            return Some(event);
        }
        if self.drops != state.watches.drops {
            self.over = true;
            return None;
        }
        if let Some(event) = self.next_change(state) {
            return Some(event);
        }
        let is_due = state.now.duration_since(self.last_bookmark).as_secs() >= BOOKMARK_SECONDS;
        let is_over = state.now >= self.deadline;
        if self.bookmarks && (is_due || is_over) && !self.over {
            self.last_bookmark = state.now;
            self.over = is_over;
            return Some(self.bookmark(self.cursor));
        }
        self.over = self.over || is_over;
        None
    }

    fn next_change(&mut self, state: &State) -> Option<WatchEvent> {
        let Some(collection) = state.store.collection(self.kind.id) else {
            self.cursor = self.cursor.max(state.store.version());
            return None;
        };
        let changes: Vec<Change> = match collection.since(self.cursor) {
            Ok(changes) => changes.take(BATCH).cloned().collect(),
            Err(gone) => {
                self.over = true;
                let status = read::expired(self.cursor, gone.oldest);
                return Some(WatchEvent { kind: EventKind::Error, object: status.to_json() });
            }
        };
        let is_all = changes.len() < BATCH;
        for change in &changes {
            self.cursor = change.version;
            if let Some(event) = self.seen(state, change) {
                return Some(event);
            }
        }
        if is_all {
            self.cursor = self.cursor.max(state.store.version());
            return None;
        }
        self.next_change(state)
    }
}

/// Changes that are looked at in one go.
const BATCH: usize = 64;

impl Watch {
    pub(crate) fn new(cluster: Cluster, opened: Opened) -> Watch {
        Watch { cluster, opened }
    }

    /// Returns the next event that is there; `None` where there is none now, or never again ([`Watch::is_over`]).
    pub fn try_next(&mut self) -> Option<WatchEvent> {
        let state = self.cluster.lock();
        self.opened.next(&state)
    }

    /// Waits for the next event; `None` once the watch is over. Virtual time must move for timeouts and bookmarks to come.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        let cluster = self.cluster.clone();
        loop {
            let changed = cluster.changed().notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(event) = self.try_next() {
                return Some(event);
            }
            if self.is_over() {
                return None;
            }
            changed.await;
        }
    }

    /// Whether no event will come any more.
    pub fn is_over(&self) -> bool {
        self.opened.over
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = self.cluster.lock();
        state.watches.open = state.watches.open.saturating_sub(1);
    }
}
