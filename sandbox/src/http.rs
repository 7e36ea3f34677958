//! The HTTP face: the model on a loopback socket, for `kubectl`, kube-rs and the demo.
//!
//! Turns HTTP into [`Request`]s and back, streams watches, moves virtual time with the wall clock, and serves `/sandbox/...` for faults and
//! the request log. Knows no objects. Bearer tokens and client certificates are ignored. Invariant: it never listens on anything but loopback.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::Response as HttpResponse;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch as signal;
use tokio::task::JoinHandle;

use crate::api::{BODY_BYTES_MAX, Request, Response, Status};
use crate::cluster::Cluster;
use crate::faults::Faults;
use crate::route::{Route, route};
use crate::watch::Watch;

/// How often virtual time follows the wall clock.
const TICK: Duration = Duration::from_millis(5);

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is not loopback; the sandbox has no authentication.
    #[error("{0} is not a loopback address; the sandbox is never a production target and listens on loopback only")]
    NotLoopback(SocketAddr),
    /// The socket failed.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The kubeconfig could not be written.
    #[error("cannot write {path}")]
    Kubeconfig {
        /// Where.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// A running server. Dropping it stops it without waiting.
pub struct Server {
    address: SocketAddr,
    stop: signal::Sender<bool>,
    task: Option<JoinHandle<()>>,
    clock: JoinHandle<()>,
}

#[derive(Clone)]
struct Face {
    cluster: Cluster,
    stop: signal::Receiver<bool>,
}

/// Serves `cluster` on `address`, port 0 for any. Time runs `speed` times as fast as the wall clock; 0 leaves it to [`Cluster::advance`].
///
/// Must be called inside a tokio runtime.
pub async fn serve(cluster: Cluster, address: SocketAddr, speed: f64) -> Result<Server, ServeError> {
    if !address.ip().is_loopback() {
        return Err(ServeError::NotLoopback(address));
    }
    let failed = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let (stop, stopped) = signal::channel(false);
    let face = Face { cluster: cluster.clone(), stop: stopped.clone() };
    let router = Router::new().fallback(answer).with_state(face);
    let mut until = stopped;
    let shutdown = async move {
        // An error means the server value is gone, which is a reason to stop as well.
        let _ = until.wait_for(|stop| *stop).await;
    };
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(shutdown).await {
            tracing::error!(%error, "the server failed");
        }
    });
    let clock = tokio::spawn(run_clock(cluster, speed));
    Ok(Server { address, stop, task: Some(task), clock })
}

impl Server {
    /// Returns where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns a kubeconfig that points at the server.
    pub fn kubeconfig(&self) -> String {
        kubeconfig(&self.url())
    }

    /// Stops listening, ends watches, and waits for open requests.
    pub async fn stop(mut self) {
        self.clock.abort();
        // Nobody listening any more is as good as stopped.
        let _ = self.stop.send(true);
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.clock.abort();
        // A receiver that is gone has stopped already.
        let _ = self.stop.send(true);
    }
}

/// Returns a kubeconfig for a base URL.
pub fn kubeconfig(url: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: sandbox\nclusters:\n- name: sandbox\n  cluster:\n    server: {url}\ncontexts:\n- name: sandbox\n  context:\n    cluster: sandbox\n    user: sandbox\nusers:\n- name: sandbox\n  user:\n    token: ignored\n"
    )
}

/// Writes a kubeconfig for a base URL to a file.
pub fn write_kubeconfig(path: &Path, url: &str) -> Result<(), ServeError> {
    let failed = |source| ServeError::Kubeconfig { path: path.display().to_string(), source };
    std::fs::write(path, kubeconfig(url)).map_err(failed)
}

/// Moves virtual time with the wall clock.
#[expect(clippy::disallowed_methods, reason = "the one place where virtual time follows the wall clock")]
async fn run_clock(cluster: Cluster, speed: f64) {
    if speed <= 0.0 {
        return;
    }
    let mut tick = tokio::time::interval(TICK);
    let mut last = tokio::time::Instant::now();
    loop {
        let now = tick.tick().await.max(tokio::time::Instant::now());
        let elapsed = now.duration_since(last).mul_f64(speed);
        last = now;
        cluster.advance(elapsed);
    }
}

async fn answer(Shared(face): Shared<Face>, method: Method, uri: Uri, headers: HeaderMap, body: Body) -> HttpResponse {
    let bytes = match axum::body::to_bytes(body, BODY_BYTES_MAX).await {
        Ok(bytes) => bytes,
        Err(_) => return plain(&Response::from(Status::too_large())),
    };
    if uri.path().starts_with("/sandbox/") {
        return plain(&admin(&face.cluster, &method, &uri, &bytes));
    }
    let request = match read(&method, &uri, &headers, &bytes) {
        Ok(request) => request,
        Err(status) => return plain(&Response::from(status)),
    };
    let is_watch = method == Method::GET && request.flag("watch") && matches!(route(&request.path), Route::Objects(_));
    if !is_watch {
        return plain(&face.cluster.handle(&request));
    }
    match face.cluster.watch(&request) {
        Ok(watch) => stream(watch, face.stop.clone()),
        Err(refused) => plain(&refused),
    }
}

/// Reads an HTTP request.
fn read(method: &Method, uri: &Uri, headers: &HeaderMap, bytes: &Bytes) -> Result<Request, Status> {
    let header = |name: header::HeaderName| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let mut request = Request {
        method: method.as_str().to_owned(),
        path: decoded(uri.path(), false),
        query: query(uri.query().unwrap_or_default()),
        content_type: header(header::CONTENT_TYPE),
        accept: header(header::ACCEPT),
        user_agent: header(header::USER_AGENT),
        // Stands for a body whose type is yet to be looked at.
        body: if bytes.is_empty() { Value::Null } else { Value::String(String::new()) },
    };
    request.check_content_type()?;
    request.body = read_body(&request.content_type, bytes)?;
    Ok(request)
}

fn read_body(content_type: &str, bytes: &Bytes) -> Result<Value, Status> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let media = content_type.split(';').next().unwrap_or_default().trim();
    match media {
        "application/apply-patch+yaml" | "application/yaml" => {
            if let Ok(value) = serde_json::from_slice(bytes) {
                return Ok(value);
            }
            read_yaml(bytes).map_err(|why| Status::bad_request(format!("error decoding YAML: {why}")))
        }
        _ => serde_json::from_slice(bytes)
            .map_err(|error| Status::bad_request(format!("couldn't get version/kind; json parse error: {error}"))),
    }
}

fn read_yaml(bytes: &Bytes) -> Result<Value, String> {
    let text = manifest::yaml::decode(bytes).map_err(|error| error.to_string())?;
    let documents =
        manifest::yaml::read(&text, &manifest::yaml::Settings::default()).map_err(|error| error.to_string())?;
    match documents.len() {
        1 => Ok(documents.into_iter().next().map(|document| document.value).unwrap_or(Value::Null)),
        count => Err(format!("expected one document, found {count}")),
    }
}

fn query(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name, true), decoded(value, true))
        })
        .collect()
}

/// Decodes percent escapes, and `+` in queries; what is no escape stays.
fn decoded(text: &str, plus: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(byte) = bytes.get(index) {
        let hex =
            bytes.get(index + 1..index + 3).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (byte, hex) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                index += 3;
                continue;
            }
            (b'+', _) if plus => out.push(b' '),
            (byte, _) => out.push(*byte),
        }
        index += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn plain(response: &Response) -> HttpResponse {
    let body = match &response.body {
        Value::String(text) => text.clone().into_bytes(),
        body => {
            let mut bytes = serde_json::to_vec(body).unwrap_or_default();
            bytes.push(b'\n');
            bytes
        }
    };
    let status = StatusCode::from_u16(response.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut builder = HttpResponse::builder().status(status).header(header::CONTENT_TYPE, &response.content_type);
    if let Some(seconds) = response.retry_after {
        builder = builder.header(header::RETRY_AFTER, seconds);
    }
    for warning in &response.warnings {
        let text: String = warning.chars().filter(|c| !c.is_control()).collect();
        builder =
            builder.header(header::WARNING, format!("299 - \"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")));
    }
    builder.body(Body::from(body)).unwrap_or_else(|_| HttpResponse::new(Body::empty()))
}

/// Sends the events of a watch, one JSON document a line, until it is over or the server stops.
fn stream(watch: Watch, stop: signal::Receiver<bool>) -> HttpResponse {
    let events = futures::stream::unfold((watch, stop), |(mut watch, mut stop)| async move {
        let event = tokio::select! {
            event = watch.next() => event,
            _ = stop.wait_for(|stop| *stop) => None,
        };
        let mut line = serde_json::to_vec(&event?.to_json()).unwrap_or_default();
        line.push(b'\n');
        Some((Ok::<Bytes, Infallible>(Bytes::from(line)), (watch, stop)))
    });
    let builder = HttpResponse::builder().header(header::CONTENT_TYPE, "application/json");
    builder.body(Body::from_stream(events)).unwrap_or_else(|_| HttpResponse::new(Body::empty()))
}

/// Answers `/sandbox/...`: `faults` (GET, PUT, DELETE), `requests` (GET, DELETE), `advance?seconds=` , `compact`, `drop-watches` (POST).
fn admin(cluster: &Cluster, method: &Method, uri: &Uri, bytes: &Bytes) -> Response {
    match (method.as_str(), uri.path()) {
        ("GET", "/sandbox/faults") => Response::json(200, json!(cluster.faults())),
        ("PUT", "/sandbox/faults") => match serde_json::from_slice::<Faults>(bytes) {
            Ok(faults) => {
                cluster.set_faults(|all| *all = faults);
                Response::json(200, json!(cluster.faults()))
            }
            Err(error) => Response::from(Status::bad_request(format!("no faults: {error}"))),
        },
        ("DELETE", "/sandbox/faults") => {
            cluster.set_faults(|all| *all = Faults::default());
            Response::json(200, json!(cluster.faults()))
        }
        ("GET", "/sandbox/requests") => {
            let lines: Vec<String> = cluster.requests().iter().map(ToString::to_string).collect();
            Response::json(200, json!({"requests": lines}))
        }
        ("DELETE", "/sandbox/requests") => {
            let lines: Vec<String> = cluster.take_requests().iter().map(ToString::to_string).collect();
            Response::json(200, json!({"requests": lines}))
        }
        ("POST", "/sandbox/advance") => {
            let all = query(uri.query().unwrap_or_default());
            let seconds =
                all.iter().find(|(name, _)| name == "seconds").and_then(|(_, value)| value.parse::<f64>().ok());
            match seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
                Some(by) => {
                    cluster.advance(by);
                    Response::json(200, json!({"now": cluster.now().to_string()}))
                }
                None => Response::from(Status::bad_request("advance needs ?seconds=NUMBER")),
            }
        }
        ("POST", "/sandbox/compact") => {
            cluster.compact();
            Response::json(200, json!({}))
        }
        ("POST", "/sandbox/drop-watches") => {
            cluster.drop_watches();
            Response::json(200, json!({}))
        }
        _ => Response::from(Status::no_resource()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded_and_odd_escapes_stay() {
        let pairs = query("labelSelector=a%3Db%2Cc&x=1+2&y=%zz&flag");
        let expected = [("labelSelector", "a=b,c"), ("x", "1 2"), ("y", "%zz"), ("flag", "")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[tokio::test]
    async fn nothing_but_loopback_is_listened_on() {
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        let refused = serve(Cluster::default(), address, 0.0).await;
        assert!(matches!(refused, Err(ServeError::NotLoopback(_))));
    }
}
