//! Watches and lists: order, selection, bookmarks, pages, and what history no longer holds.

use std::time::Duration;

use sandbox::{Cluster, EventKind, Request, Settings, Watch};
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/team/configmaps";

fn cluster(history_max: usize) -> Cluster {
    let cluster = Cluster::new(Settings { namespaces: vec!["team".into()], history_max, ..Settings::default() });
    cluster.settle(Duration::from_secs(1));
    cluster
}

fn map(name: &str, label: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"l": label}}, "data": {"k": value}})
}

fn put(cluster: &Cluster, name: &str, label: &str, value: &str) {
    let request = Request::apply(&format!("{MAPS}/{name}"), "test", map(name, label, value));
    assert!(cluster.handle(&request).is_success(), "{name}");
}

fn open(cluster: &Cluster, query: &[(&str, &str)]) -> Watch {
    let mut request = Request::get(MAPS).query("watch", "true");
    for (name, value) in query {
        request = request.query(name, value);
    }
    cluster.watch(&request).unwrap_or_else(|refused| panic!("{}", refused.body))
}

/// Writes what a watch has to say as `ADDED a=1`, bookmarks as `BOOKMARK`.
fn drain(watch: &mut Watch) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(event) = watch.try_next() {
        let (name, value) = (&event.object["metadata"]["name"], &event.object["data"]["k"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let line = match event.kind {
            EventKind::Bookmark => "BOOKMARK".to_owned(),
            EventKind::Error => format!("ERROR {}", event.object["code"]),
            kind => format!("{} {}={}", kind.as_str(), text(name), text(value)),
        };
        lines.push(line);
    }
    lines
}

#[test]
fn a_selected_watch_sees_objects_come_and_go() {
    let cluster = cluster(100);
    let version = cluster.version().to_string();
    let mut watch = open(&cluster, &[("resourceVersion", &version), ("labelSelector", "l=x")]);
    put(&cluster, "a", "x", "1");
    put(&cluster, "b", "y", "1");
    put(&cluster, "a", "x", "2");
    put(&cluster, "a", "y", "3");
    put(&cluster, "b", "x", "2");
    cluster.handle(&Request::delete(&format!("{MAPS}/b")));
    assert_eq!(drain(&mut watch), ["ADDED a=1", "MODIFIED a=2", "DELETED a=2", "ADDED b=2", "DELETED b=2"]);
    put(&cluster, "a", "y", "3");
    assert!(drain(&mut watch).is_empty(), "nothing changed");
}

#[test]
fn a_streamed_list_ends_with_a_bookmark_and_goes_on() {
    let cluster = cluster(100);
    put(&cluster, "a", "x", "1");
    let query =
        [("sendInitialEvents", "true"), ("resourceVersionMatch", "NotOlderThan"), ("allowWatchBookmarks", "true")];
    let mut watch = open(&cluster, &[&query[..], &[("labelSelector", "l")]].concat());
    let first = watch.try_next().expect("the object");
    assert_eq!(first.object["metadata"]["name"], "a");
    let mark = watch.try_next().expect("the end of the list");
    assert_eq!(mark.kind, EventKind::Bookmark);
    assert_eq!(mark.object["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(mark.object["metadata"]["resourceVersion"], cluster.version().to_string());
    put(&cluster, "b", "x", "1");
    assert_eq!(drain(&mut watch), ["ADDED b=1"]);
}

#[test]
fn bookmarks_come_with_time_and_before_the_end() {
    let cluster = cluster(100);
    let version = cluster.version().to_string();
    let query = [("resourceVersion", version.as_str()), ("allowWatchBookmarks", "true"), ("timeoutSeconds", "90")];
    let mut watch = open(&cluster, &query);
    cluster.advance(Duration::from_secs(59));
    assert!(drain(&mut watch).is_empty());
    cluster.advance(Duration::from_secs(2));
    assert_eq!(drain(&mut watch), ["BOOKMARK"]);
    assert!(!watch.is_over());
    cluster.advance(Duration::from_secs(30));
    assert_eq!(drain(&mut watch), ["BOOKMARK"]);
    assert!(watch.is_over());
}

#[test]
fn a_forgotten_version_is_gone_and_a_slow_reader_finds_out() {
    let cluster = cluster(5);
    let old = cluster.version().to_string();
    let mut slow = open(&cluster, &[("resourceVersion", &old)]);
    for number in 0..10 {
        put(&cluster, "a", "x", &number.to_string());
    }
    assert_eq!(drain(&mut slow), ["ERROR 410"]);
    assert!(slow.is_over());
    assert_eq!(drain(&mut open(&cluster, &[("resourceVersion", &old)])), ["ERROR 410"]);
    let exact = Request::get(MAPS).query("resourceVersion", &old).query("resourceVersionMatch", "Exact");
    assert_eq!(cluster.handle(&exact).code, 410);
    let now = cluster.version().to_string();
    let mut fresh = open(&cluster, &[("resourceVersion", &now)]);
    cluster.compact();
    put(&cluster, "a", "x", "last");
    assert_eq!(drain(&mut fresh), ["MODIFIED a=last"], "an open watch that kept up does not notice");
}

#[test]
fn dropped_watches_end_without_an_error() {
    let cluster = cluster(100);
    let version = cluster.version().to_string();
    let mut watch = open(&cluster, &[("resourceVersion", &version)]);
    cluster.drop_watches();
    assert!(drain(&mut watch).is_empty());
    assert!(watch.is_over());
    put(&cluster, "a", "x", "1");
    assert_eq!(drain(&mut open(&cluster, &[("resourceVersion", &version)])), ["ADDED a=1"], "nothing is missed");
}

#[test]
fn pages_are_of_one_version_whatever_happens_between_them() {
    let cluster = cluster(100);
    for name in ["a", "b", "c", "d"] {
        put(&cluster, name, "x", "1");
    }
    let page = |token: &str| {
        let request = Request::get(MAPS).query("limit", "2").query("labelSelector", "l").query("continue", token);
        cluster.handle(&request).body
    };
    let names = |body: &Value| -> Vec<String> {
        let items = body["items"].as_array().into_iter().flatten();
        items.map(|item| item["metadata"]["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let first = page("");
    assert_eq!(names(&first), ["a", "b"]);
    cluster.handle(&Request::delete(&format!("{MAPS}/c")));
    put(&cluster, "cc", "x", "1");
    let second = page(first["metadata"]["continue"].as_str().expect("more"));
    assert_eq!(names(&second), ["c", "d"], "as it was at the first page");
    assert_eq!(first["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"]);
    cluster.compact();
    put(&cluster, "e", "x", "1");
    let token = first["metadata"]["continue"].as_str().expect("more").to_owned();
    let gone = page(&token);
    assert_eq!(gone["code"], 410);
    let rest = page(gone["metadata"]["continue"].as_str().expect("a way to go on"));
    assert_eq!(names(&rest), ["cc", "d"], "what is there now, after the first page");
}

#[tokio::test]
async fn waiting_for_an_event_wakes_up() {
    let cluster = cluster(100);
    let version = cluster.version().to_string();
    let mut watch = open(&cluster, &[("resourceVersion", &version), ("timeoutSeconds", "5")]);
    let other = cluster.clone();
    let writer = tokio::spawn(async move { put(&other, "a", "x", "1") });
    let event = watch.next().await.expect("the write");
    assert_eq!(event.kind, EventKind::Added);
    writer.await.expect("written");
    let other = cluster.clone();
    let clock = tokio::spawn(async move { other.advance(Duration::from_secs(6)) });
    assert!(watch.next().await.is_none(), "its time is over");
    clock.await.expect("moved");
}

#[test]
fn watches_are_bounded_and_closed_ones_make_room() {
    let cluster = cluster(10);
    let request = Request::get(MAPS).query("watch", "true");
    let mut open: Vec<Watch> = Vec::new();
    while let Ok(watch) = cluster.watch(&request) {
        open.push(watch);
        assert!(open.len() <= sandbox::watch::WATCHES_MAX);
    }
    assert_eq!(open.len(), sandbox::watch::WATCHES_MAX);
    assert_eq!(cluster.watch(&request).err().map(|refused| refused.code), Some(429));
    open.pop();
    assert!(cluster.watch(&request).is_ok());
}

#[test]
fn an_empty_list_of_metadata_has_null_items_and_a_whole_one_none() {
    let cluster = cluster(100);
    let list = |accept: &str| {
        let mut request = Request::get(MAPS).query("labelSelector", "l=nobody");
        request.accept = accept.to_owned();
        cluster.handle(&request).body["items"].clone()
    };
    assert_eq!(list("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"), Value::Null);
    assert_eq!(list("application/json"), json!([]));
}
