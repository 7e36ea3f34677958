//! A Git server for tests: `git http-backend` behind TLS, on loopback.
//!
//! Counts what it serves, so that tests can tell what a poll costs. Knows no commit. Invariant: everybody who asks is counted.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::git_repository::{Repository, git};

/// One answered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// `GET /info/refs`, `POST /git-upload-pack`.
    pub request: String,
    pub status: u16,
    pub body_bytes: usize,
}

/// An https server for one repository.
pub struct HttpsServer {
    pub url: String,
    /// PEM file of the authority that signed its certificate.
    pub ca_file: PathBuf,
    served: Arc<Mutex<Vec<Served>>>,
    _folder: TempDir,
}

#[derive(Clone)]
struct Backend {
    root: PathBuf,
    /// `user:password` that is asked for.
    login: Option<String>,
    /// Speaks the protocol of before 2018, without filters for refs.
    old: bool,
    served: Arc<Mutex<Vec<Served>>>,
}

impl HttpsServer {
    /// Serves a repository to whoever has `login`, or to everybody. Returns nothing where git comes without `http-backend`.
    pub async fn start(repository: &Repository, login: Option<&str>, old: bool) -> Option<Self> {
        let probe = git(repository.path()).args(["--exec-path"]).output().expect("git runs");
        let programs = PathBuf::from(String::from_utf8(probe.stdout).expect("UTF-8").trim());
        if !programs.join("git-http-backend").exists() {
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ca_file = folder.path().join("ca.pem");
        let acceptor = certificate(&ca_file);
        let served = Arc::new(Mutex::new(Vec::new()));
        let login = login.map(|login| format!("Basic {}", base64(login)));
        let backend = Backend { root: repository.path().to_owned(), login, old, served: Arc::clone(&served) };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("https://{}/.git", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(serve).with_state(backend);
        tokio::spawn(async move { axum::serve(TlsListener { listener, acceptor }, router).await });
        Some(HttpsServer { url, ca_file, served, _folder: folder })
    }

    /// Returns what was served since the last call.
    pub fn take_served(&self) -> Vec<Served> {
        std::mem::take(&mut self.served.lock().expect("no panic"))
    }
}

fn certificate(ca_file: &Path) -> TlsAcceptor {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    std::fs::write(ca_file, signed.cert.pem()).expect("a file");
    let key = rustls::pki_types::PrivateKeyDer::try_from(signed.signing_key.serialize_der()).expect("a key");
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![signed.cert.der().clone()], key).expect("they fit");
    TlsAcceptor::from(Arc::new(config))
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

async fn serve(
    State(backend): State<Backend>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let request = format!("{method} {}", uri.path().trim_start_matches("/.git"));
    let authorized = backend.login.as_ref().is_none_or(|login| {
        headers.get(header::AUTHORIZATION).is_some_and(|given| given.as_bytes() == login.as_bytes())
    });
    let served = Arc::clone(&backend.served);
    let answer = if authorized {
        tokio::task::spawn_blocking(move || run_backend(&backend, &method, &uri, &headers, &body))
            .await
            .expect("no panic")
    } else {
        let answer = Response::builder()
            .status(StatusCode::UNAUTHORIZED)
            .header(header::WWW_AUTHENTICATE, "Basic realm=\"git\"");
        answer.body(Bytes::new()).expect("an answer")
    };
    let (status, body_bytes) = (answer.status().as_u16(), answer.body().len());
    served.lock().expect("no panic").push(Served { request, status, body_bytes });
    answer.map(Body::from)
}

/// Runs `git http-backend` as a web server would.
fn run_backend(backend: &Backend, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Response<Bytes> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut command = git(&backend.root);
    command.arg("http-backend").env("GIT_PROJECT_ROOT", &backend.root).env("GIT_HTTP_EXPORT_ALL", "1");
    command.env("REQUEST_METHOD", method.as_str()).env("PATH_INFO", uri.path());
    command.env("QUERY_STRING", uri.query().unwrap_or_default()).env("CONTENT_TYPE", text("content-type"));
    command.env("CONTENT_LENGTH", body.len().to_string()).env("REMOTE_ADDR", "127.0.0.1");
    command.env("HTTP_CONTENT_ENCODING", text("content-encoding"));
    if !backend.old {
        command.env("GIT_PROTOCOL", text("git-protocol"));
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("git runs");
    let mut input = child.stdin.take().expect("a pipe");
    let body = body.clone();
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut input, &body));
    let output = child.wait_with_output().expect("git ends").stdout;
    let _ = writer.join().expect("no panic");
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").expect("an empty line after the headers");
    let mut answer = Response::builder();
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let (name, value) = line.split_once(": ").expect("a header");
        match name {
            "Status" => answer = answer.status(value.split(' ').next().expect("a code")),
            _ => answer = answer.header(name, value),
        }
    }
    answer.body(Bytes::copy_from_slice(&output[end + 4..])).expect("an answer")
}

struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.listener.accept().await.expect("the port stays open");
            // A client that does not trust us goes away.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
