//! `/api/v1`: what the status page shows, for programs.
//!
//! Every answer is JSON and is described by `schema.json`, which is served too. Errors are `{"error": ...}` with a status that fits.
//! Contract: within `v1` fields are added, never removed or given another meaning.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;
use serde_json::json;

use super::{Asked, Face};

/// What each answer looks like, as JSON Schema: `$defs` has a definition for each address.
const SCHEMA: &str = include_str!("schema.json");

pub(super) fn router() -> Router<Arc<Face>> {
    Router::new()
        .route("/status", get(status))
        .route("/overview", get(overview))
        .route("/services", get(services))
        .route("/services/{name}", get(service))
        .route("/history", get(history))
        .route("/drift", get(drift))
        .route("/schema", get(async || ([(header::CONTENT_TYPE, "application/schema+json")], SCHEMA)))
        .fallback(async || {
            error(
                StatusCode::NOT_FOUND,
                "there are status, overview, services, services/NAME, history, drift, events and schema",
            )
        })
}

fn error(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"error": message}))).into_response()
}

fn answer(value: &impl Serialize) -> Response {
    Json(value).into_response()
}

/// The last report, whole.
async fn status(State(face): State<Arc<Face>>) -> Response {
    // Not what was put in order: whoever asks after a cycle is told of that cycle.
    match face.read(|shown| shown.view.report().cloned()) {
        Some(report) => answer(&*report),
        None => error(StatusCode::SERVICE_UNAVAILABLE, &face.absent()),
    }
}

async fn overview(State(face): State<Arc<Face>>) -> Response {
    match face.snapshot().overview() {
        Some(overview) => answer(&overview),
        None => error(StatusCode::SERVICE_UNAVAILABLE, &face.absent()),
    }
}

async fn services(State(face): State<Arc<Face>>, Query(asked): Query<Asked>) -> Response {
    match asked.filter() {
        Ok(filter) => answer(&face.snapshot().services(&filter)),
        Err(what) => error(StatusCode::BAD_REQUEST, &what),
    }
}

async fn service(State(face): State<Arc<Face>>, Path(name): Path<String>) -> Response {
    match face.snapshot().service(&name) {
        Some(service) => answer(&service),
        None => error(StatusCode::NOT_FOUND, &format!("there is no service `{name}`")),
    }
}

async fn history(State(face): State<Arc<Face>>) -> Response {
    let snapshot = face.snapshot();
    let cycles: Vec<_> = snapshot.history.iter().map(AsRef::as_ref).collect();
    answer(&json!({"cycles": cycles}))
}

async fn drift(State(face): State<Arc<Face>>) -> Response {
    let snapshot = face.snapshot();
    let seen: Vec<_> = snapshot.drift.iter().map(AsRef::as_ref).collect();
    let fights = snapshot.report.as_ref().map_or(&[][..], |report| &report.fights);
    answer(&json!({"changes": seen, "fights": fights}))
}
