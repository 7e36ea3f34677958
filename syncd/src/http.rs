//! What can be asked of a running `syncd` over HTTP: metrics, health, readiness, the last report, for programs and for people. Read-only.
//!
//! Knows no cycle: it shows what it was given. No authentication, therefore loopback unless someone says otherwise, and nothing here
//! that a report may not contain. Invariant: no request changes anything or reaches the cluster or the repository.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::daemon::Listener;
use crate::leader::Leadership;
use crate::metrics::{Form, Metrics};
use crate::report::{Event, Observer, Report, Stage};
use crate::summary;

/// What is shown.
pub struct Face {
    metrics: Arc<Metrics>,
    /// Longest time without a sign of life.
    silence_max: Duration,
    shown: RwLock<Shown>,
}

struct Shown {
    beat: Instant,
    event: Option<Instant>,
    ready: bool,
    status: Option<Arc<Status>>,
    /// Why there is no status.
    standby: Option<String>,
}

/// The last report.
struct Status {
    json: String,
    /// For people.
    text: String,
}

impl Face {
    /// Shows `metrics`, and ill health after `silence_max` without a sign of life.
    pub fn new(metrics: Arc<Metrics>, silence_max: Duration) -> Self {
        let shown = Shown { beat: Instant::now(), event: None, ready: false, status: None, standby: None };
        Face { metrics, silence_max, shown: RwLock::new(shown) }
    }

    /// Shows how this process stands. One that stands by is ready: it can lead at any time.
    pub fn leadership(&self, leadership: &Leadership) {
        self.metrics.leadership(leadership);
        let standby = match leadership {
            Leadership::Leads { .. } => None,
            Leadership::Standby { holder: Some(holder), .. } => Some(format!("standing by: `{holder}` leads\n")),
            Leadership::Standby { .. } | Leadership::Lost { .. } => Some("standing by\n".to_owned()),
        };
        let waits = matches!(leadership, Leadership::Standby { error: None, .. });
        self.change(|shown| {
            if standby.is_some() {
                shown.status = None;
            }
            shown.ready = if standby.is_some() { waits } else { shown.ready };
            shown.standby = standby;
        });
    }

    fn change(&self, change: impl FnOnce(&mut Shown)) {
        change(&mut self.shown.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn read<T>(&self, read: impl FnOnce(&Shown) -> T) -> T {
        read(&self.shown.read().unwrap_or_else(PoisonError::into_inner))
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
        let json = serde_json::to_string(report).expect("a report has string keys only");
        let status = Arc::new(Status { json, text: summary::text(report) });
        self.change(|shown| {
            shown.ready |= knows;
            shown.status = Some(status);
        });
    }
}

impl Observer for Face {
    fn observe(&self, event: &Event) {
        self.metrics.observe(event);
        self.beat();
        self.change(|shown| shown.event = Some(shown.beat));
    }
}

/// Returns all pages.
pub fn router(face: Arc<Face>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/status", get(status_text))
        .route("/api/v1/status", get(status_json))
        .fallback(nothing)
        .with_state(face)
}

/// Serves until the process ends.
///
/// # Errors
/// When the port cannot be listened on any more.
pub async fn serve(listener: TcpListener, face: Arc<Face>) -> std::io::Result<()> {
    axum::serve(listener, router(face)).await
}

async fn metrics(State(face): State<Arc<Face>>, headers: HeaderMap) -> Response {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let form = Form::accepted(&accept.collect::<Vec<_>>().join(","));
    ([(header::CONTENT_TYPE, form.content_type())], face.metrics.text(form)).into_response()
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
    shown(&face, "text/plain; charset=utf-8", |status| status.text.clone())
}

async fn status_json(State(face): State<Arc<Face>>) -> Response {
    shown(&face, "application/json", |status| status.json.clone())
}

fn shown(face: &Face, content_type: &'static str, form: impl FnOnce(&Status) -> String) -> Response {
    match face.read(|shown| shown.status.clone()) {
        Some(status) => ([(header::CONTENT_TYPE, content_type)], form(&status)).into_response(),
        None => {
            let standby = face.read(|shown| shown.standby.clone());
            let text = standby.unwrap_or_else(|| "no cycle has ended yet\n".to_owned());
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

async fn nothing() -> Response {
    (StatusCode::NOT_FOUND, "nothing here; there are /metrics, /healthz, /readyz, /status and /api/v1/status\n")
        .into_response()
}
