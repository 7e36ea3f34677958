//! Faults on purpose, and the log of requests.

use std::time::Duration;

use sandbox::{Answer, Cluster, Faults, Request, Rule, Settings};
use serde_json::{Value, json};

fn cluster() -> Cluster {
    let cluster = Cluster::new(Settings { namespaces: vec!["team".into()], ..Settings::default() });
    cluster.settle(Duration::from_secs(1));
    cluster
}

fn apply(name: &str) -> Request {
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}});
    Request::apply(&format!("/api/v1/namespaces/team/configmaps/{name}"), "syncd", body)
}

fn lines(cluster: &Cluster) -> Vec<String> {
    cluster.take_requests().iter().map(ToString::to_string).collect()
}

#[test]
fn each_answer_is_as_the_real_server_words_it() {
    let cases: [(Answer, u16, &str); 9] = [
        (
            Answer::DeniedByWebhook { webhook: "policy.example.com".into(), message: "no".into() },
            400,
            "admission webhook \"policy.example.com\" denied the request: no",
        ),
        (
            Answer::DeniedByPolicy { policy: "p".into(), message: "no".into() },
            403,
            "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: no",
        ),
        (
            Answer::Forbidden { user: "u".into() },
            403,
            "configmaps \"a\" is forbidden: User \"u\" cannot patch resource \"configmaps\" in API group \"\" in the namespace \"team\"",
        ),
        (
            Answer::QuotaExceeded { message: "exceeded quota: q".into() },
            403,
            "configmaps \"a\" is forbidden: exceeded quota: q",
        ),
        (
            Answer::WebhookUnreachable { webhook: "w".into() },
            500,
            "Internal error occurred: failed calling webhook \"w\": failed to call webhook: Post \"https://127.0.0.1:1/?timeout=1s\": dial tcp 127.0.0.1:1: connect: connection refused",
        ),
        (Answer::Throttled { retry_after: 3 }, 429, "too many requests, please try again later"),
        (Answer::InternalError { message: "broken".into() }, 500, "Internal error occurred: broken"),
        (Answer::Unavailable, 503, "the server is currently unable to handle the request"),
        (
            Answer::Timeout,
            504,
            "Timeout: request did not complete within requested timeout - context deadline exceeded",
        ),
    ];
    for (answer, code, message) in cases {
        let cluster = cluster();
        let retry_after = matches!(answer, Answer::Throttled { .. }).then_some(3);
        cluster
            .set_faults(|faults| faults.rules.push(Rule::new(&["patch"], &["configmaps"], answer).named("a").times(1)));
        assert!(cluster.handle(&apply("b")).is_success(), "another name is not met");
        let refused = cluster.handle(&apply("a"));
        assert_eq!((refused.code, refused.body["message"].as_str()), (code, Some(message)));
        assert_eq!(refused.retry_after, retry_after);
        assert!(cluster.object("", "ConfigMap", "team", "a").is_none(), "nothing was stored");
        assert!(cluster.handle(&apply("a")).is_success(), "the rule was for one request");
    }
}

#[test]
fn an_apply_that_creates_must_be_allowed_to_create() {
    let cluster = cluster();
    let denied = Rule::new(&["create"], &["configmaps"], Answer::Forbidden { user: "u".into() });
    assert!(cluster.handle(&apply("old")).is_success());
    cluster.set_faults(|faults| faults.rules.push(denied));
    assert!(cluster.handle(&apply("old")).is_success());
    let refused = cluster.handle(&apply("new"));
    assert_eq!(refused.code, 403);
    assert!(refused.body["message"].as_str().is_some_and(|text| text.contains("cannot create resource")));
}

#[test]
fn an_outage_of_one_group_is_stale_in_discovery_and_leaves_the_others() {
    let cluster = cluster();
    cluster.set_faults(|faults| faults.outages.push("apps".into()));
    assert_eq!(cluster.handle(&Request::get("/apis/apps/v1/deployments")).code, 503);
    assert_eq!(cluster.handle(&Request::get("/apis/apps/v1")).code, 503);
    assert_eq!(cluster.handle(&Request::get("/apis/batch/v1/jobs")).code, 200);
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList".to_owned();
    let groups = cluster.handle(&Request { accept, ..Request::get("/apis") }).body;
    let freshness = |name: &str| -> Value {
        let groups = groups["items"].as_array().into_iter().flatten();
        let group = groups.into_iter().find(|group| group["metadata"]["name"] == name).expect("listed");
        group["versions"][0]["freshness"].clone()
    };
    assert_eq!((freshness("apps"), freshness("batch")), (json!("Stale"), json!("Current")));
    let watch = Request::get("/apis/apps/v1/deployments").query("watch", "true");
    assert_eq!(cluster.watch(&watch).err().map(|refused| refused.code), Some(503));
}

#[test]
fn faults_are_data_that_reads_back() {
    let text = r#"{"rules": [{"verbs": ["apply"], "resources": ["deployments.apps"], "name": "web", "times": 2,
        "answer": {"throttled": {"retryAfter": 1}}}], "outages": [""], "freezeControllers": true}"#;
    let faults: Faults = serde_json::from_str(text).expect("faults");
    assert_eq!(faults.rules[0].answer, Answer::Throttled { retry_after: 1 });
    let again: Faults = serde_json::from_value(json!(faults)).expect("faults");
    assert_eq!(again, faults);
    assert!(serde_json::from_str::<Faults>(r#"{"rule": []}"#).is_err(), "a typing error is not ignored");
}

#[test]
fn the_log_has_exactly_what_was_asked() {
    let cluster = cluster();
    cluster.take_requests();
    cluster.handle(&apply("a"));
    cluster.handle(&apply("a").query("dryRun", "All"));
    cluster.handle(&Request::get("/api/v1/namespaces/team/configmaps/b").agent("syncd/1.0 (x)"));
    cluster.handle(&Request::get("/apis/apps/v1/deployments"));
    cluster.handle(&Request::get("/version"));
    let watch = cluster.watch(&Request::get("/api/v1/namespaces").query("watch", "true"));
    assert!(watch.is_ok());
    cluster.advance(Duration::from_secs(5));
    let entries = cluster.requests();
    assert_eq!((entries[0].manager.as_str(), entries[2].manager.as_str()), ("syncd", "syncd"));
    assert_eq!(entries.iter().filter(|entry| entry.verb.is_write()).count(), 2);
    let expected = [
        "apply configmaps team/a 201",
        "apply configmaps team/a (dry run) 200",
        "get configmaps team/b 404",
        "list deployments.apps 200",
        "get /version 200",
        "watch namespaces 200",
    ];
    assert_eq!(lines(&cluster), expected, "and nothing of what controllers did");
    assert!(lines(&cluster).is_empty());
}
