//! Notifications: what is told, to whom, in which words, and that it is tried again, against servers on loopback.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]
#![expect(clippy::disallowed_methods, reason = "the receivers of the test are tasks of their own")]

#[path = "../examples/page/fleet.rs"]
#[expect(dead_code, reason = "only its services are told of here")]
mod fleet;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use syncd::notify::news::{Progress, Teller};
use syncd::notify::{Config, Kind, News, Notifier, Pace};
use syncd::repo::{CommitInfo, Revision};
use syncd::report::{CycleError, CycleResult, Event, Report, ServiceReport, ServiceState, Services, Stage};
use tokio::net::TcpListener;
use tokio::sync::Notify;

const REVISION: &str = "0123456789abcdef0123456789abcdef01234567";

/// A report without troubles but those that are given.
fn report(services: &[(&str, ServiceReport)]) -> Report {
    let services: Services = services.iter().map(|(name, service)| ((*name).to_owned(), service.clone())).collect();
    let is_fine = services.values().all(|service| service.state == ServiceState::Synced);
    Report {
        services,
        result: if is_fine { CycleResult::Synced } else { CycleResult::Failed },
        commit: Some(CommitInfo { subject: "shop: a new basket".to_owned(), ..CommitInfo::default() }),
        held: None,
        fights: Vec::new(),
        orphans: Vec::new(),
        errors: Vec::new(),
        ..fleet::report(0)
    }
}

fn synced() -> ServiceReport {
    fleet::service("x", ServiceState::Synced)
}

/// A service of which an apply was refused, with its own names in the server's words.
fn refused(name: &str) -> ServiceReport {
    let error = format!("ConfigMap shop/{name}: quota exceeded: 17 of 17 objects in namespace shop");
    ServiceReport { state: ServiceState::Failed, error: Some(error), ..synced() }
}

fn crashing(name: &str) -> ServiceReport {
    fleet::service(name, ServiceState::Failed)
}

/// What is told of problems: kind, whether it ended, title.
fn problems(news: &[News]) -> Vec<(Kind, bool, String)> {
    let one = |news: &News| match news {
        News::Problem { kind, is_solved, title, .. } => Some((*kind, *is_solved, title.clone())),
        News::Commit { .. } => None,
    };
    news.iter().filter_map(one).collect()
}

fn commits(news: &[News]) -> Vec<(Progress, String)> {
    let one = |news: &News| match news {
        News::Commit { progress, text, .. } => Some((*progress, text.clone())),
        News::Problem { .. } => None,
    };
    news.iter().filter_map(one).collect()
}

#[test]
fn one_cause_is_told_once_however_many_have_it_and_once_more_when_it_ends() {
    let mut teller = Teller::default();
    let many: Vec<(String, ServiceReport)> =
        (0..30).map(|n| (format!("app-{n:02}"), refused(&format!("app-{n:02}")))).collect();
    let mut services: Vec<(&str, ServiceReport)> =
        many.iter().map(|(name, service)| (name.as_str(), service.clone())).collect();
    services.push(("web", crashing("web")));
    let news = teller.end(&report(&services));
    let mut told = problems(&news);
    told.sort();
    let names: Vec<String> = (0..10).map(|n| format!("app-{n:02}")).collect();
    assert_eq!(
        told,
        [
            (Kind::Failure, false, "1 service failed: web".to_owned()),
            (Kind::Failure, false, format!("30 services failed: {} and 20 more", names.join(", "))),
        ]
    );
    assert_eq!(teller.end(&report(&services)), [], "nothing is new");
    services.push(("app-99", refused("app-99")));
    assert_eq!(problems(&teller.end(&report(&services))), [], "one more with the same cause is not another cause");
    let mended: Vec<(&str, ServiceReport)> = services.iter().map(|(name, _)| (*name, synced())).collect();
    let news = teller.end(&report(&mended));
    let mut told = problems(&news);
    told.sort();
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|(kind, is_solved, _)| *kind == Kind::Failure && *is_solved), "{told:?}");
    assert_eq!(commits(&news), [(Progress::Success, "32 of 32 services are synced".to_owned())]);
}

#[test]
fn a_hiccup_at_the_repository_is_not_news_but_an_outage_is() {
    let mut teller = Teller::default();
    let fine = report(&[("a", synced())]);
    let errors =
        vec![CycleError { stage: Stage::Source, message: "the repository could not be reached: timed out".to_owned() }];
    let blind = Report { errors, result: CycleResult::Held, ..fine.clone() };
    teller.end(&fine);
    for _ in 0..2 {
        assert_eq!(teller.end(&blind), []);
    }
    assert_eq!(teller.end(&fine), [], "an end is told only of what was told");
    for _ in 0..2 {
        assert_eq!(teller.end(&blind), []);
    }
    assert_eq!(problems(&teller.end(&blind)), [(Kind::Source, false, "the repository cannot be read".to_owned())]);
    assert_eq!(teller.end(&blind), []);
    assert_eq!(problems(&teller.end(&fine)), [(Kind::Source, true, "the repository cannot be read".to_owned())]);
}

#[test]
fn what_only_waits_for_a_failure_is_not_one_and_what_was_not_looked_at_is_not_mended() {
    let mut teller = Teller::default();
    let blocked = fleet::service("b", ServiceState::Blocked);
    let news = teller.end(&report(&[("a", refused("a")), ("b", blocked.clone())]));
    assert_eq!(problems(&news), [(Kind::Failure, false, "1 service failed: a".to_owned())]);
    assert_eq!(commits(&news), [(Progress::Failure, "0 of 2 services are synced; not: a, b".to_owned())]);
    let superseded = Report {
        result: CycleResult::Superseded,
        ..report(&[("a", fleet::service("a", ServiceState::Superseded)), ("b", blocked)])
    };
    let news = teller.end(&superseded);
    assert_eq!(problems(&news), []);
    assert_eq!(commits(&news), [(Progress::Superseded, "a newer revision came".to_owned())]);
    let news = teller.end(&report(&[("a", crashing("a")), ("b", synced())]));
    assert_eq!(
        problems(&news),
        [(Kind::Failure, false, "1 service failed: a".to_owned())],
        "it fails of something else now"
    );
    let news = teller.end(&report(&[("a", synced()), ("b", synced())]));
    assert_eq!(problems(&news), [(Kind::Failure, true, "1 service failed: a".to_owned())]);
}

#[test]
fn held_deletions_and_fights_are_told_with_what_to_do() {
    let mut teller = Teller::default();
    let made_up = fleet::report(1);
    let news = teller.end(&Report { errors: Vec::new(), ..made_up });
    let text = format!("{news:#?}");
    assert!(text.contains("17 deletions wait for an approval") && text.contains("syncd approve "), "{text}");
    assert!(
        text.contains("keeps changing Deployment.apps shop/service-0001") && text.contains("/spec/replicas"),
        "{text}"
    );
    assert!(!text.contains("\\u{202e}"), "{text}");
}

/// A receiver on loopback that answers what it is told to, then 200.
#[derive(Default)]
struct Server {
    answers: Mutex<Vec<Response>>,
    heard: Mutex<Vec<(String, HeaderMap, Vec<u8>)>>,
    news: Notify,
    /// While it is set nobody is answered.
    hangs: bool,
}

impl Server {
    async fn start(self) -> (Arc<Server>, String) {
        let server = Arc::new(self);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(hear).with_state(Arc::clone(&server));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (server, address)
    }

    /// Waits for so many requests and returns them: `METHOD path body`.
    async fn heard(&self, number: usize) -> Vec<String> {
        loop {
            let heard = self
                .heard
                .lock()
                .unwrap()
                .iter()
                .map(|(line, _, body)| format!("{line} {}", String::from_utf8_lossy(body)))
                .collect::<Vec<_>>();
            if heard.len() >= number {
                return heard;
            }
            tokio::time::timeout(Duration::from_secs(20), self.news.notified())
                .await
                .unwrap_or_else(|_| panic!("only {heard:#?}"));
        }
    }
}

async fn hear(
    State(server): State<Arc<Server>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    server.heard.lock().unwrap().push((format!("{method} {}", uri.path()), headers, body.to_vec()));
    server.news.notify_one();
    if server.hangs {
        std::future::pending::<()>().await;
    }
    let mut answers = server.answers.lock().unwrap();
    if answers.is_empty() { axum::Json(json!({"id": 42})).into_response() } else { answers.remove(0) }
}

const QUICK: Pace =
    Pace { first: Duration::from_millis(5), longest: Duration::from_millis(50), patience: Duration::from_secs(10) };

type Counts = Arc<Mutex<BTreeMap<(String, &'static str), u64>>>;

fn notifier(config: &str, pace: Pace) -> (Notifier, Counts) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let counts: Counts = Arc::default();
    let counted = Arc::clone(&counts);
    let count = move |receiver: &str, result: &'static str, number: u64| {
        *counted.lock().unwrap().entry((receiver.to_owned(), result)).or_default() += number;
    };
    let config = Config::read(config).unwrap();
    (Notifier::start(config, "staging", pace, &(Arc::new(count) as _)).unwrap(), counts)
}

async fn counted(counts: &Counts, receiver: &str, result: &'static str, number: u64) {
    for _ in 0..2000 {
        if counts.lock().unwrap().get(&(receiver.to_owned(), result)) == Some(&number) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{receiver} {result}: not {number}: {counts:?}");
}

fn secret(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, format!("{text}\n")).unwrap();
    file.display().to_string()
}

fn new_revision() -> Event {
    Event::Revision { revision: Revision(REVISION.to_owned()), commit: CommitInfo::default() }
}

#[tokio::test]
async fn a_webhook_is_told_in_json_and_can_prove_who_tells() {
    let folder = tempfile::tempdir().unwrap();
    let (server, address) = Server::default().start().await;
    let key = secret(folder.path(), "key", "a secret of some length");
    let (notifier, counts) = notifier(
        &format!(
            "link: https://syncd.example.org/\nreceivers:\n- {{type: webhook, name: ops, url: '{address}/hook?a=b', secretFile: '{key}', about: [failure]}}\n"
        ),
        QUICK,
    );
    let errors = vec![CycleError { stage: Stage::Plan, message: "not chosen".to_owned() }; 1];
    let failed = Report { errors, ..report(&[("a", refused("a")), ("b", synced())]) };
    for _ in 0..5 {
        notifier.end(&failed);
    }
    notifier.end(&report(&[("a", synced()), ("b", synced())]));
    server.heard(2).await;
    counted(&counts, "ops", "told", 2).await;
    let heard = server.heard.lock().unwrap();
    let bodies: Vec<Value> = heard.iter().map(|(_, _, body)| serde_json::from_slice(body).unwrap()).collect();
    assert_eq!(
        bodies[0],
        json!({
            "version": "v1", "environment": "staging", "kind": "failure", "state": "begun", "title": "1 service failed: a",
            "text": "ConfigMap shop/a: quota exceeded: 17 of 17 objects in namespace shop", "services": ["a"],
            "revision": REVISION, "subject": "shop: a new basket", "link": "https://syncd.example.org/",
        })
    );
    assert_eq!((bodies[1]["state"].as_str(), bodies.len()), (Some("solved"), 2));
    let (line, headers, body) = &heard[0];
    assert_eq!(line, "POST /hook");
    let mut mac = Hmac::<Sha256>::new_from_slice(b"a secret of some length").unwrap();
    mac.update(body);
    let proof: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(headers["x-syncd-signature-256"], format!("sha256={proof}"));
}

#[tokio::test]
async fn a_chat_is_told_in_words_that_call_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (server, address) = Server::default().start().await;
    let url = secret(folder.path(), "url", &format!("{address}/services/T0/B0/x"));
    let (notifier, _) = notifier(&format!("receivers:\n- {{type: slack, name: chat, urlFile: '{url}'}}\n"), QUICK);
    let loud = ServiceReport { error: Some("<!channel> & <http://evil>".to_owned()), ..refused("a") };
    notifier.end(&report(&[("a", loud)]));
    let heard = server.heard(1).await;
    let body: Value = serde_json::from_str(heard[0].strip_prefix("POST /services/T0/B0/x ").unwrap()).unwrap();
    assert_eq!(
        body["text"],
        ":rotating_light: *staging*: 1 service failed: a\n&lt;!channel&gt; &amp; &lt;http://evil&gt;\nat `0123456789ab` shop: a new basket"
    );
}

#[tokio::test]
async fn forges_are_told_how_far_a_commit_is() {
    let folder = tempfile::tempdir().unwrap();
    let token = secret(folder.path(), "token", "t0ken");
    let cases = [
        (
            "github",
            format!("repository: a/b, deployments: true, tokenFile: '{token}'"),
            "authorization",
            "Bearer t0ken",
        ),
        (
            "gitlab",
            format!("repository: g/h/b, deployments: true, branch: main, tokenFile: '{token}'"),
            "private-token",
            "t0ken",
        ),
        ("gitea", format!("repository: a/b, tokenFile: '{token}'"), "authorization", "token t0ken"),
    ];
    let mut story = String::new();
    for (forge, settings, header, value) in cases {
        let (server, address) = Server::default().start().await;
        let config = format!(
            "link: https://s.example/\nreceivers:\n- {{type: {forge}, name: forge, api: '{address}/api', {settings}}}\n"
        );
        let (notifier, counts) = notifier(&config, QUICK);
        let steps: [(&str, &dyn Fn()); 4] = [
            ("a revision", &|| notifier.hear(&new_revision())),
            ("it fails", &|| notifier.end(&report(&[("a", refused("a")), ("b", synced())]))),
            ("nothing new", &|| notifier.end(&report(&[("a", refused("a")), ("b", synced())]))),
            ("it is mended", &|| notifier.end(&report(&[("a", synced()), ("b", synced())]))),
        ];
        let mut told = 0;
        for (step, act) in steps {
            let before = server.heard.lock().unwrap().len();
            act();
            told += u64::from(step != "nothing new");
            counted(&counts, "forge", "told", told).await;
            story += &format!("{forge}: {step}\n");
            for line in &server.heard(before).await[before..] {
                story += &format!("  {line}\n");
            }
        }
        assert!(server.heard.lock().unwrap().iter().all(|(_, headers, _)| headers[header] == value), "{forge}");
    }
    insta::assert_snapshot!(story);
}

#[tokio::test]
async fn what_failed_is_tried_again_and_what_is_refused_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let later = |status: StatusCode| status.into_response();
    let throttled = (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "0")]).into_response();
    let answers = vec![later(StatusCode::BAD_GATEWAY), throttled, later(StatusCode::OK), later(StatusCode::NOT_FOUND)];
    let (server, address) = Server { answers: Mutex::new(answers), ..Server::default() }.start().await;
    let url = secret(folder.path(), "url", &format!("{address}/x"));
    let (notifier, counts) = notifier(&format!("receivers:\n- {{type: slack, name: chat, urlFile: '{url}'}}\n"), QUICK);
    notifier.end(&report(&[("a", refused("a"))]));
    counted(&counts, "chat", "told", 1).await;
    assert_eq!(server.heard.lock().unwrap().len(), 3);
    counted(&counts, "chat", "retried", 2).await;
    notifier.end(&report(&[("a", synced())]));
    counted(&counts, "chat", "dropped", 1).await;
    notifier.end(&report(&[("a", refused("a"))]));
    counted(&counts, "chat", "told", 2).await;
}

#[tokio::test]
async fn who_does_not_answer_delays_nobody_else_and_no_sync() {
    let folder = tempfile::tempdir().unwrap();
    let (_, silent) = Server { hangs: true, ..Server::default() }.start().await;
    let (heard, address) = Server::default().start().await;
    let url = secret(folder.path(), "url", &format!("{silent}/x"));
    let config = format!(
        "receivers:\n- {{type: slack, name: silent, urlFile: '{url}'}}\n- {{type: webhook, name: ops, url: '{address}/'}}\n"
    );
    let (notifier, counts) = notifier(&config, Pace { patience: Duration::from_secs(3600), ..QUICK });
    // Far more than a queue holds: each of these returns at once, or the test would never end.
    for number in 0..500 {
        let name = format!("service-{}", ["a", "b"][number % 2]);
        notifier.end(&report(&[(&name, crashing(&name))]));
        notifier.end(&report(&[(&name, synced())]));
    }
    assert!(!heard.heard(1).await.is_empty());
    let counts = counts.lock().unwrap();
    assert!(counts[&("silent".to_owned(), "dropped")] > 0, "the oldest give way: {counts:?}");
}

#[tokio::test]
async fn no_secret_is_in_what_is_said_about_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens on the port of a listener that is gone.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = secret(folder.path(), "url", &format!("http://{gone}/services/SECRETPATH"));
    let receiver = Config::read(&format!("receivers:\n- {{type: slack, name: chat, urlFile: '{url}'}}\n"))
        .unwrap()
        .receivers
        .remove(0);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = syncd::notify::receiver::Http::new(None).unwrap();
    let news = Teller::default().end(&report(&[("a", refused("a"))])).remove(0);
    let around = syncd::notify::receiver::Around { environment: "staging", link: None };
    let failure = receiver.clone().tell(&http, &news, &around).await.unwrap_err();
    let said = format!("{failure} {failure:?} {receiver:?}");
    assert!(said.contains("no connection") && !said.contains("SECRETPATH"), "{said}");
}

#[test]
fn what_is_wrong_with_the_file_is_told_at_once() {
    let files = [
        "receivers: []",
        "receivers: [a, b",
        "receivers:\n- {type: slack, name: a, urlFile: f}\n- {type: slack, name: a, urlFile: f}",
        "link: example.org\nreceivers:\n- {type: webhook, name: a}\n- {type: webhook, name: a, url: 'http://example.org'}\n- {type: slack, name: a, urlFile: f, x: 1}\n- {type: pigeon, name: a}\n- {type: github, name: b, repository: a, tokenFile: t}\n- {type: gitea, name: c, repository: a/b, tokenFile: t, deployments: true}\n- {type: webhook, name: d, url: 'https://user:pass@example.org'}",
    ];
    let wrong = |text: &&str| Config::read(text).unwrap_err().to_string().replace("; ", "\n");
    insta::assert_snapshot!(files.iter().map(wrong).collect::<Vec<_>>().join("\n\n"));
}
