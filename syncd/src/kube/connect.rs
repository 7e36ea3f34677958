//! From settings to a client: where the API server is, who we are, and what is told about every request.
//!
//! Uses the service account of the pod, or a kubeconfig that is named; never guesses between the two, so that a kubeconfig that
//! happens to lie around is not written to. Knows no object. Invariant: every request, watches included, passes [`Told`].

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::kube::client::{Body, ClientBuilder};
use ::kube::config::{KubeConfigOptions, Kubeconfig};
use ::kube::{Client, Config};
use http::{Request, Response};
use tokio::time::Instant;
use tower::{Layer, Service};

use super::call::Timeouts;

/// Longest silence on a connection. Watches are renewed by the server before (290 s) and have bookmarks every minute.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// Which API server to use, and as whom.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Connection {
    /// A kubeconfig file. `None`: the service account of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig. `None`: its current one.
    pub context: Option<String>,
}

/// What is told about one request that was answered, or failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestFact {
    /// `apply`, `get`, `list`, `watch`, `create`, `update`, `delete`, `discover`.
    pub verb: &'static str,
    /// What was asked: path and query.
    pub uri: http::Uri,
    /// HTTP status; 0 where no answer came.
    pub code: u16,
    /// Until the head of the answer.
    pub duration: Duration,
}

/// What goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Traffic {
    /// A request was sent.
    Begun,
    /// The head of its answer is there, or it was given up.
    Ended,
    /// It was answered, or failed.
    Answered(RequestFact),
    /// A watch broke, or had to begin anew.
    WatchRestarted,
}

/// Is told about every request.
pub type OnTraffic = Arc<dyn Fn(Traffic) + Send + Sync>;

/// Why there is no client. Nothing was sent to an API server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// `--context` without `--kubeconfig`.
    #[error("a context was named without a kubeconfig")]
    ContextWithoutKubeconfig,
    /// Not in a pod, or without a service account.
    #[error("there is no service account here; outside a cluster name a kubeconfig")]
    NoServiceAccount(#[source] ::kube::config::InClusterError),
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig {path:?} cannot be used")]
    Kubeconfig {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: ::kube::config::KubeconfigError,
    },
    /// Certificates or credentials cannot be used.
    #[error("the connection to the API server cannot be prepared")]
    Client(#[source] ::kube::Error),
}

/// Prepares a client. Sends nothing.
pub(super) async fn client(
    connection: &Connection,
    timeouts: Timeouts,
    on_traffic: OnTraffic,
) -> Result<Client, ConnectError> {
    // Without a provider TLS panics; one that is there already stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = config(connection).await?;
    config.connect_timeout = Some(timeouts.connect);
    config.write_timeout = Some(timeouts.attempt);
    config.read_timeout = Some(SILENCE_MAX);
    config.reset_reader_on_write = true;
    // Repeats are ours (see `call`): kube's would hide up to 15 of them, up to 1000 s apart.
    config.default_retry = false;
    let builder = ClientBuilder::try_from(config).map_err(ConnectError::Client)?;
    Ok(builder.with_layer(&TellLayer { on_traffic }).build())
}

async fn config(connection: &Connection) -> Result<Config, ConnectError> {
    let Some(path) = &connection.kubeconfig else {
        if connection.context.is_some() {
            return Err(ConnectError::ContextWithoutKubeconfig);
        }
        return Config::incluster().map_err(ConnectError::NoServiceAccount);
    };
    let fail = |source| ConnectError::Kubeconfig { path: path.clone(), source };
    let file = Kubeconfig::read_from(path).map_err(fail)?;
    let options = KubeConfigOptions { context: connection.context.clone(), ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(file, &options).await.map_err(fail)
}

#[derive(Clone)]
struct TellLayer {
    on_traffic: OnTraffic,
}

impl<S> Layer<S> for TellLayer {
    type Service = Told<S>;

    fn layer(&self, inner: S) -> Told<S> {
        Told { inner, on_traffic: Arc::clone(&self.on_traffic) }
    }
}

/// A service whose requests are told to [`OnTraffic`].
struct Told<S> {
    inner: S,
    on_traffic: OnTraffic,
}

impl<S, B> Service<Request<Body>> for Told<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // kube marks the requests of its own API the same way.
        let verb = request.extensions().get::<&'static str>().copied().unwrap_or("other");
        let uri = request.uri().clone();
        let flight = Flight::begin(&self.on_traffic);
        let begun = Instant::now();
        let exchange = self.inner.call(request);
        Box::pin(async move {
            let result = exchange.await;
            let code = result.as_ref().map_or(0, |response| response.status().as_u16());
            (flight.0)(Traffic::Answered(RequestFact { verb, uri, code, duration: begun.elapsed() }));
            result
        })
    }
}

/// A request under way; ends when it is dropped, whoever drops it.
struct Flight(OnTraffic);

impl Flight {
    fn begin(on_traffic: &OnTraffic) -> Flight {
        on_traffic(Traffic::Begun);
        Flight(Arc::clone(on_traffic))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        (self.0)(Traffic::Ended);
    }
}
