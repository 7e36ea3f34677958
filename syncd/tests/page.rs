//! The status page and `/api/v1`: what is shown, in which order, and that nothing from outside becomes markup.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

#[path = "../examples/page/fleet.rs"]
mod fleet;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use boon::{Compiler, Schemas};
use futures::StreamExt;
use serde_json::Value;
use syncd::daemon::Listener;
use syncd::http::{Face, router};
use syncd::leader::Leadership;
use syncd::metrics::Metrics;
use syncd::report::{CycleResult, Observer, Report, ServiceState, Trigger};
use tower::ServiceExt;

use fleet::{HOSTILE, Standing};

/// [`HOSTILE`] as a page has it.
const ESCAPED: &str = "&lt;x-hostile onclick=alert(1)&gt;&quot;'&amp;&lt;/x-hostile&gt;&lt;script&gt;document.title='broken'&lt;/script&gt;  ";

fn face() -> Arc<Face> {
    let metrics = Arc::new(Metrics::new("production", Arc::new(Standing)));
    Arc::new(Face::new(metrics, Arc::new(Standing), Duration::from_secs(60)))
}

async fn response(face: &Arc<Face>, address: &str) -> axum::response::Response {
    // What was put in order a moment ago may be shown again: let the moment pass.
    tokio::time::advance(Duration::from_secs(1)).await;
    let request = Request::get(address).body(Body::empty()).unwrap();
    router(Arc::clone(face)).oneshot(request).await.unwrap()
}

async fn get(face: &Arc<Face>, address: &str) -> (StatusCode, String) {
    let response = response(face, address).await;
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 64 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn json(face: &Arc<Face>, address: &str) -> Value {
    serde_json::from_str(&get(face, address).await.1).unwrap()
}

async fn names(face: &Arc<Face>, query: &str) -> Vec<String> {
    let list = json(face, &format!("/api/v1/services{query}")).await;
    list["services"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

/// Returns the text of a page, tags taken out, without blank lines.
fn text(html: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => {
                inside = true;
                out.push('\n');
            }
            '>' => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

const PAGES: [&str; 6] =
    ["/", "/?q=service-0&page=2", "/?state=failed", "/history", "/drift", "/services/service-0003"];

fn hostile_service() -> String {
    let name: String = form_urlencoded::byte_serialize(format!("odd-{HOSTILE}").as_bytes()).collect();
    name.replace('+', "%20")
}

#[tokio::test(start_paused = true)]
async fn every_answer_is_as_the_schema_says() {
    let face = face();
    let schema = json(&face, "/api/v1/schema").await;
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("http://syncd/schema.json", schema.clone()).unwrap();
    let mut check = |name: &str, answer: &Value| {
        let index = compiler.compile(&format!("http://syncd/schema.json#/$defs/{name}"), &mut schemas).unwrap();
        schemas.validate(answer, index).unwrap_or_else(|error| panic!("{name}: {error}\n{answer:#}"));
    };
    for address in ["status", "overview", "services/none", "none", "services?state=odd", "services?page=x"] {
        check("refused", &json(&face, &format!("/api/v1/{address}")).await);
    }
    for address in ["services", "history", "drift"] {
        check(address, &json(&face, &format!("/api/v1/{address}")).await);
    }
    face.report(&fleet::report(300));
    fleet::events().iter().for_each(|event| face.observe(event));
    for address in ["status", "overview", "services", "history", "drift"] {
        check(address, &json(&face, &format!("/api/v1/{address}")).await);
    }
    check("services", &json(&face, "/api/v1/services?q=service-00&state=synced&page=9").await);
    let odd = hostile_service();
    for name in ["service-0002", "service-0003", "service-0023", "service-0100", odd.as_str()] {
        check("service", &json(&face, &format!("/api/v1/services/{name}")).await);
    }
    // The addresses that the schema speaks of are all there are.
    let described: Vec<&str> = ["overview", "services", "service", "history", "drift", "status"].into();
    let definitions = schema["$defs"].as_object().unwrap();
    let told =
        definitions.values().filter(|definition| definition["description"].as_str().unwrap().starts_with("GET "));
    assert_eq!(told.count(), described.len());
}

#[tokio::test(start_paused = true)]
async fn the_most_urgent_come_first_and_a_filter_finds_by_name_version_message_and_state() {
    let face = face();
    face.report(&fleet::report(300));
    let list = json(&face, "/api/v1/services").await;
    assert_eq!(
        (list["total"].as_u64(), list["matching"].as_u64(), list["pages"].as_u64()),
        (Some(300), Some(300), Some(3))
    );
    let states: Vec<&str> =
        list["services"].as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap()).collect();
    let expected = ["failed", "rolled_back", "held", "blocked"].map(|state| [state; 3]).concat();
    assert_eq!(states[..12], expected);
    assert!(states[12..].iter().all(|state| *state == "synced"));

    assert_eq!(names(&face, "?q=SERVICE-0123").await, ["service-0123"]);
    assert_eq!(names(&face, "?q=crashloop").await.len(), 3, "by what its message says");
    assert_eq!(names(&face, "?state=held&q=service-02").await, ["service-0223"]);
    assert_eq!(names(&face, "?q=nothing-like-it").await, [""; 0]);
    let first = names(&face, "?page=1").await;
    let last = names(&face, "?page=3").await;
    assert_eq!((first.len(), last.len(), last.last().map(String::as_str)), (100, 100, Some("service-0299")));
    assert_eq!(names(&face, "?page=99").await, last, "a page that is not there is the last one");
    let (code, text) = get(&face, "/?state=odd").await;
    assert_eq!(code, StatusCode::BAD_REQUEST);
    assert!(text.contains("state: `odd` is not one of failed, rolled_back"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn while_a_cycle_runs_it_shows_what_is_applied_and_what_is_waited_for() {
    let face = face();
    face.report(&fleet::report(10));
    fleet::events().iter().for_each(|event| face.observe(event));
    let overview = json(&face, "/api/v1/overview").await;
    assert_eq!((overview["states"]["applying"].as_u64(), overview["states"]["waiting"].as_u64()), (Some(1), Some(1)));
    let waiting = json(&face, "/api/v1/services/service-0003").await;
    assert_eq!(waiting["state"], "waiting");
    assert_eq!(waiting["message"], "Deployment.apps shop/service-0003: 1 of 3 replicas");
    assert_eq!(json(&face, "/api/v1/drift").await["changes"][0]["action"], "corrected");
    face.observe(&syncd::report::Event::ServiceFinished {
        service: "service-0003".to_owned(),
        report: fleet::service("service-0003", ServiceState::Failed),
    });
    let failed = json(&face, "/api/v1/services/service-0003").await;
    assert_eq!((failed["state"].as_str(), failed["causes"][0]["exit_code"].as_u64()), (Some("failed"), Some(1)));
    face.report(&fleet::report(10));
    assert_eq!(json(&face, "/api/v1/services/service-0003").await["state"], "synced", "what the report says counts");
}

#[tokio::test(start_paused = true)]
async fn history_holds_what_did_something_and_forgets_the_oldest() {
    let face = face();
    let first = fleet::report(10);
    face.report(&first);
    let quiet = Report { trigger: Trigger::None, ..first.clone() };
    for _ in 0..3 {
        face.report(&quiet);
    }
    let count = async || json(&face, "/api/v1/history").await["cycles"].as_array().unwrap().len();
    assert_eq!(count().await, 1, "nothing was done and nothing is otherwise");
    let retry = Report { trigger: Trigger::Retry, ended_at: "2026-11-01T10:00:00Z".to_owned(), ..first.clone() };
    face.report(&retry);
    let cycles = json(&face, "/api/v1/history").await["cycles"].clone();
    assert_eq!(cycles[0]["trigger"], "retry");
    assert_eq!(cycles[0]["changed"].as_array().unwrap().len(), 0, "what was told before is not a change");
    assert_eq!(cycles[1]["changed"].as_array().unwrap().len(), 1);
    let service = json(&face, &format!("/api/v1/services/{}", hostile_service())).await;
    assert_eq!(service["last_change"]["at"], first.ended_at, "it was changed by the first cycle");
    for _ in 0..120 {
        face.report(&retry);
    }
    assert_eq!(count().await, 100);
    let mended = Report { result: CycleResult::Synced, trigger: Trigger::None, ..first };
    face.report(&mended);
    assert_eq!(json(&face, "/api/v1/history").await["cycles"][0]["result"], "synced");
}

#[tokio::test(start_paused = true)]
async fn text_from_outside_never_becomes_markup_nor_turns_the_rest_around() {
    let face = face();
    face.report(&fleet::report(300));
    fleet::events().iter().for_each(|event| face.observe(event));
    let odd = format!("/services/{}", hostile_service());
    let missing = format!("/services/none-{}", hostile_service());
    let asked = format!("/?q={}", hostile_service());
    for address in PAGES.into_iter().chain([odd.as_str(), missing.as_str(), asked.as_str()]) {
        let (_, html) = get(&face, address).await;
        assert!(!html.contains("<x-hostile"), "{address}");
        assert!(!html.contains("<script>"), "{address}");
        assert!(!html.contains(['\u{202e}', '\u{7}']), "{address}");
    }
    for address in ["/", "/history", "/drift", odd.as_str(), missing.as_str(), asked.as_str()] {
        let (_, html) = get(&face, address).await;
        assert!(html.contains("&lt;x-hostile"), "{address} shows it as text");
    }
}

#[tokio::test(start_paused = true)]
async fn every_answer_forbids_browsers_what_it_does_not_need() {
    let face = face();
    face.report(&fleet::report(10));
    for address in PAGES.into_iter().chain(["/assets/page.js", "/api/v1/services", "/metrics", "/none", "/api/v1/none"])
    {
        let response = response(&face, address).await;
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let policy = header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{address}: {policy}");
        assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"), "{address}");
    }
    for address in PAGES {
        let html = get(&face, address).await.1;
        for inline in [" style=", "<style", " onclick=\"", " onload=\"", "http://", "https://"] {
            assert!(!html.contains(inline), "{address}: `{inline}`");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_listens_hears_that_something_changed() {
    let face = face();
    let mut stream = response(&face, "/api/v1/events").await.into_body().into_data_stream();
    let mut next = async || String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert_eq!(next().await, "event: changed\nid: 0\ndata: 0\n\n", "at once, for who comes back");
    face.report(&fleet::report(1));
    fleet::events().iter().for_each(|event| face.observe(event));
    assert_eq!(next().await, "event: changed\nid: 6\ndata: 6\n\n", "once for many changes");
}

#[tokio::test(start_paused = true)]
async fn only_so_many_listen_at_the_same_time() {
    let face = face();
    let mut listening = Vec::new();
    for _ in 0..100 {
        listening.push(response(&face, "/api/v1/events").await);
    }
    assert!(listening.iter().all(|response| response.status() == StatusCode::OK));
    assert_eq!(response(&face, "/api/v1/events").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(listening);
    assert_eq!(response(&face, "/api/v1/events").await.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn who_stands_by_says_so_and_shows_nothing_old() {
    let face = face();
    face.report(&fleet::report(3));
    face.leadership(&Leadership::Standby { holder: Some("other-0".to_owned()), error: None });
    let (code, html) = get(&face, "/").await;
    assert_eq!(code, StatusCode::OK);
    assert!(html.contains("standing by: `other-0` leads") && !html.contains("service-0001"), "{html}");
    assert_eq!(get(&face, "/api/v1/overview").await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn the_pages_as_they_read() {
    let face = face();
    let plain = |text: String| text.replace(ESCAPED.trim_end(), "HOSTILE");
    let mut report = fleet::report(8);
    let hostile: Vec<_> = report.services.keys().filter(|name| name.contains(HOSTILE)).cloned().collect();
    hostile.iter().for_each(|name| report.services.remove(name));
    report.services.insert("basket", fleet::service("basket", ServiceState::Failed));
    face.report(&report);
    fleet::events().iter().for_each(|event| face.observe(event));
    for (name, address) in
        [("overview", "/"), ("service", "/services/basket"), ("history", "/history"), ("drift", "/drift")]
    {
        insta::assert_snapshot!(name, plain(text(&get(&face, address).await.1)));
    }
}

#[tokio::test(start_paused = true)]
async fn metrics_are_written_once_for_all_who_ask_at_the_same_moment() {
    let face = face();
    let ask = async |accept: &str| {
        let request = Request::get("/metrics").header("accept", accept).body(Body::empty()).unwrap();
        let response = router(Arc::clone(&face)).oneshot(request).await.unwrap();
        axum::body::to_bytes(response.into_body(), 64 << 20).await.unwrap()
    };
    face.report(&fleet::report(8));
    let first = ask("text/plain").await;
    face.report(&fleet::report(9));
    assert_eq!(ask("text/plain").await, first);
    assert_ne!(ask("application/openmetrics-text").await, first, "another form is another text");
    tokio::time::advance(Duration::from_millis(300)).await;
    assert_ne!(ask("text/plain").await, first);
}
