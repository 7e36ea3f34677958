//! What can be asked of a running `syncd` over HTTP: metrics, health, readiness, the status page, and the same for programs. Read-only.
//!
//! Knows no cycle: it shows what it was given, as [`crate::view`] puts it in order. No authentication, therefore loopback unless someone
//! says otherwise, and nothing here that a report may not contain. Invariants: no request changes anything or reaches the cluster or the
//! repository; however many ask, what is shown is put in order, and metrics are written, at most once in [`FRESH`], so that they do not slow a sync down.

mod api;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{self, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::Stream;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep};

use crate::context::Clock;
use crate::daemon::Listener;
use crate::leader::Leadership;
use crate::listening::lasting;
use crate::metrics::{Form, Metrics};
use crate::page;
use crate::report::{Event, Observer, Report, Stage};
use crate::summary;
use crate::view::{Filter, Snapshot, Standing, View};

/// What was put in order is shown for as long, even if more has happened.
const FRESH: Duration = Duration::from_millis(250);
/// Writing metrics takes at most one in so many parts of the time,
const SHARE: u32 = 50;
/// unless they would be older than this.
const STALE: Duration = Duration::from_secs(5);
/// Shortest time between two messages to who wants to hear of changes; longer than [`FRESH`], so that the last one is not missed.
const TELLING: Duration = Duration::from_millis(500);
/// How many can hear of changes at the same time.
const HEARERS_MAX: usize = 100;
/// Longest text that is searched for.
const TEXT_MAX: usize = 200;

/// What is shown.
pub struct Face {
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    /// Longest time without a sign of life.
    silence_max: Duration,
    shown: RwLock<Shown>,
    ordered: Mutex<Option<(Instant, Arc<Snapshot>)>>,
    written: Mutex<BTreeMap<&'static str, Written>>,
    changes: watch::Sender<u64>,
    hearers: Arc<Semaphore>,
}

/// The metrics in one of their forms.
struct Written {
    at: Instant,
    took: Duration,
    text: Bytes,
}

struct Shown {
    beat: Instant,
    event: Option<Instant>,
    ready: bool,
    view: View,
    /// Why there is no report.
    standby: Option<String>,
}

impl Face {
    /// Shows `metrics`, and ill health after `silence_max` without a sign of life.
    pub fn new(metrics: Arc<Metrics>, clock: Arc<dyn Clock>, silence_max: Duration) -> Self {
        let shown = Shown { beat: Instant::now(), event: None, ready: false, view: View::default(), standby: None };
        Face {
            metrics,
            clock,
            silence_max,
            shown: RwLock::new(shown),
            ordered: Mutex::default(),
            written: Mutex::default(),
            changes: watch::Sender::default(),
            hearers: Arc::new(Semaphore::new(HEARERS_MAX)),
        }
    }

    /// Shows how this process stands. One that stands by is ready: it can lead at any time.
    pub fn leadership(&self, leadership: &Leadership) {
        self.metrics.leadership(leadership);
        let standby = match leadership {
            Leadership::Leads { .. } => None,
            Leadership::Standby { holder: Some(holder), .. } => Some(format!("standing by: `{holder}` leads")),
            Leadership::Standby { .. } | Leadership::Lost { .. } => Some("standing by".to_owned()),
        };
        let waits = matches!(leadership, Leadership::Standby { error: None, .. });
        self.change(|shown| {
            if standby.is_some() && shown.view.report().is_some() {
                shown.view.forget();
            }
            shown.ready = if standby.is_some() { waits } else { shown.ready };
            shown.standby = standby;
        });
    }

    fn change(&self, change: impl FnOnce(&mut Shown)) {
        let version = {
            let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
            change(&mut shown);
            shown.view.version()
        };
        self.changes.send_if_modified(|told| std::mem::replace(told, version) != version);
    }

    fn read<T>(&self, read: impl FnOnce(&Shown) -> T) -> T {
        read(&self.shown.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns what is to be shown, at most [`FRESH`] old.
    fn snapshot(&self) -> Arc<Snapshot> {
        let mut ordered = self.ordered.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.read(|shown| shown.view.version());
        if let Some((at, snapshot)) = &*ordered
            && (snapshot.version == version || at.elapsed() < FRESH)
        {
            return Arc::clone(snapshot);
        }
        let snapshot = Arc::new(self.read(|shown| shown.view.snapshot()));
        *ordered = Some((Instant::now(), Arc::clone(&snapshot)));
        snapshot
    }

    /// Returns the metrics, as they were within [`FRESH`]; where there are so many that writing them is work, a little longer ago, so that
    /// it never takes more than its [`SHARE`] of the time.
    fn metrics(&self, form: Form) -> Bytes {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = written.get(form.content_type())
            && last.at.elapsed() < FRESH.max(last.took * SHARE).min(STALE)
        {
            return last.text.clone();
        }
        let began = Instant::now();
        let text = Bytes::from(self.metrics.text(form));
        let at = Instant::now();
        written.insert(form.content_type(), Written { at, took: at - began, text: text.clone() });
        text
    }

    /// Says why there is no report.
    fn absent(&self) -> String {
        self.read(|shown| shown.standby.clone()).unwrap_or_else(|| "no cycle has ended yet".to_owned())
    }
}

impl Listener for Face {
    fn beat(&self) {
        self.metrics.beat();
        self.change(|shown| shown.beat = Instant::now());
    }

    fn last_event(&self) -> Option<Instant> {
        self.read(|shown| shown.event)
    }

    /// Shows a report. The first one that knows what is wanted and what is recorded makes the process ready.
    fn report(&self, report: &Report) {
        self.metrics.cycle(report);
        let knows = report.index.is_some() && !report.errors.iter().any(|error| error.stage == Stage::State);
        let report = Arc::new(report.clone());
        self.change(|shown| {
            shown.ready |= knows;
            shown.view.end(report);
        });
    }
}

impl Observer for Face {
    fn observe(&self, event: &Event) {
        self.metrics.observe(event);
        self.metrics.beat();
        let now = self.clock.now();
        self.change(|shown| {
            shown.beat = Instant::now();
            shown.event = Some(shown.beat);
            shown.view.hear(event, now);
        });
    }
}

/// Returns all pages.
pub fn router(face: Arc<Face>) -> Router {
    Router::new()
        .route("/", get(overview))
        .route("/services/{name}", get(service))
        .route("/history", get(history))
        .route("/drift", get(drift))
        .route("/assets/page.css", get(async || typed("text/css; charset=utf-8", page::STYLE)))
        .route("/assets/page.js", get(async || typed("text/javascript; charset=utf-8", page::SCRIPT)))
        .route("/assets/icon.svg", get(async || typed("image/svg+xml", page::ICON)))
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/status", get(status_text))
        .route("/api/v1/events", get(events))
        .nest("/api/v1", api::router())
        .fallback(nothing)
        .layer(axum::middleware::map_response(guarded))
        .with_state(face)
}

/// Serves until the process ends.
///
/// # Errors
/// When the port cannot be listened on any more.
pub async fn serve(listener: TcpListener, face: Arc<Face>) -> std::io::Result<()> {
    axum::serve(lasting(listener), router(face)).await
}

/// Tells browsers to load and run nothing but what is served here, to show it in no frame, and to keep nothing.
async fn guarded(mut response: Response) -> Response {
    let all = [
        (header::CONTENT_SECURITY_POLICY, page::POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in all {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// What a list is asked for with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    q: String,
    state: String,
    page: String,
}

impl Asked {
    /// Reads it.
    ///
    /// # Errors
    /// What cannot be understood, and what could be.
    fn filter(self) -> Result<Filter, String> {
        let state = match self.state.as_str() {
            "" => None,
            word => Some(Standing::parse(word).ok_or_else(|| {
                let words: Vec<&str> = Standing::ALL.iter().map(|state| state.as_str()).collect();
                format!("state: `{word}` is not one of {}", words.join(", "))
            })?),
        };
        let page = match self.page.as_str() {
            "" => 1,
            number => number.parse().map_err(|_| format!("page: `{number}` is not a number from 1"))?,
        };
        if self.q.len() > TEXT_MAX {
            return Err(format!("q: longer than {TEXT_MAX} bytes"));
        }
        Ok(Filter { text: self.q, state, page })
    }
}

fn html(status: StatusCode, text: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response()
}

fn typed(content_type: &'static str, text: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}

async fn overview(State(face): State<Arc<Face>>, Query(asked): Query<Asked>) -> Response {
    match asked.filter() {
        Ok(filter) => html(StatusCode::OK, page::overview(&face.snapshot(), &filter, &face.absent())),
        Err(what) => html(StatusCode::BAD_REQUEST, page::nothing(&face.snapshot(), &what)),
    }
}

async fn service(State(face): State<Arc<Face>>, Path(name): Path<String>) -> Response {
    let snapshot = face.snapshot();
    match page::service(&snapshot, &name) {
        Some(text) => html(StatusCode::OK, text),
        None => html(StatusCode::NOT_FOUND, page::nothing(&snapshot, &format!("There is no service `{name}`."))),
    }
}

async fn history(State(face): State<Arc<Face>>) -> Response {
    html(StatusCode::OK, page::history(&face.snapshot()))
}

async fn drift(State(face): State<Arc<Face>>) -> Response {
    html(StatusCode::OK, page::drift(&face.snapshot()))
}

async fn metrics(State(face): State<Arc<Face>>, headers: HeaderMap) -> Response {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let form = Form::accepted(&accept.collect::<Vec<_>>().join(","));
    typed(form.content_type(), face.metrics(form))
}

async fn healthz(State(face): State<Arc<Face>>) -> Response {
    let silence = face.read(|shown| shown.beat.elapsed());
    if silence <= face.silence_max {
        return (StatusCode::OK, "ok\n").into_response();
    }
    let text = format!("the loop gave no sign of life for {} s\n", silence.as_secs());
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn readyz(State(face): State<Arc<Face>>) -> Response {
    if face.read(|shown| shown.ready) {
        return (StatusCode::OK, "ok\n").into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "no cycle has read the repository and the state yet\n").into_response()
}

async fn status_text(State(face): State<Arc<Face>>) -> Response {
    match face.read(|shown| shown.view.report().cloned()) {
        Some(report) => typed("text/plain; charset=utf-8", summary::text(&report)),
        None => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", face.absent())).into_response(),
    }
}

/// Tells that something changed, never what: who hears it asks again.
async fn events(State(face): State<Arc<Face>>) -> Response {
    let Ok(place) = Arc::clone(&face.hearers).try_acquire_owned() else {
        let text = format!("{HEARERS_MAX} are listening already\n");
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "10")], text).into_response();
    };
    let mut changes = face.changes.subscribe();
    changes.mark_changed();
    Sse::new(changed(changes, place)).keep_alive(sse::KeepAlive::default()).into_response()
}

fn changed(
    changes: watch::Receiver<u64>,
    place: tokio::sync::OwnedSemaphorePermit,
) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    futures::stream::unfold((changes, place), async |(mut changes, place)| {
        changes.changed().await.ok()?;
        sleep(TELLING).await;
        let version = *changes.borrow_and_update();
        let event = sse::Event::default().event("changed").id(version.to_string()).data(version.to_string());
        Some((Ok(event), (changes, place)))
    })
}

async fn nothing(State(face): State<Arc<Face>>) -> Response {
    html(
        StatusCode::NOT_FOUND,
        page::nothing(
            &face.snapshot(),
            "There are /, /history, /drift, /metrics, /healthz, /readyz, /status and /api/v1.",
        ),
    )
}
