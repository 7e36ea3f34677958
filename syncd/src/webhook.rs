//! A webhook that means one thing: poll now.
//!
//! Whoever knows the secret can save one pause between two polls; what is polled, and what follows from it, does not depend on the
//! request: its body is only hashed. Knows no repository and no cycle. Invariants: without a proof that is compared in constant
//! time nothing happens; requests are bounded in number, time and size; a body is never held in memory.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use futures::StreamExt;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::listening::lasting;

/// Largest body. GitHub sends none that is larger.
const BODY_BYTES_MAX: usize = 25 << 20;
/// Longest time for a request to come.
const REQUEST: Duration = Duration::from_secs(10);
/// Requests that are looked at in one second, proved or not, on average; and at once, after a silence.
const RATE_PER_SECOND: f64 = 5.0;
const BURST: f64 = 20.0;
/// Shortest secret that is taken for one.
const SECRET_BYTES_MIN: usize = 16;

/// The secret and whom to wake.
pub struct Webhook {
    secret_file: PathBuf,
    poll_now: Arc<Notify>,
    rate: Mutex<Rate>,
}

impl Webhook {
    /// Wakes `poll_now` for requests that prove to know the secret in a file, which is read anew for each.
    pub fn new(secret_file: PathBuf, poll_now: Arc<Notify>) -> Self {
        Webhook { secret_file, poll_now, rate: Mutex::new(Rate { left: BURST, at: Instant::now() }) }
    }
}

/// Returns the one page: `POST /webhook`.
pub fn router(webhook: Arc<Webhook>) -> Router {
    Router::new().route("/webhook", post(receive)).with_state(webhook)
}

/// Serves until the process ends.
///
/// # Errors
/// When the port cannot be listened on any more.
pub async fn serve(listener: TcpListener, webhook: Arc<Webhook>) -> std::io::Result<()> {
    axum::serve(lasting(listener), router(webhook)).await
}

async fn receive(State(webhook): State<Arc<Webhook>>, headers: HeaderMap, body: Body) -> (StatusCode, &'static str) {
    let is_let_in = webhook.rate.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
    if !is_let_in {
        return (StatusCode::TOO_MANY_REQUESTS, "too many requests\n");
    }
    let secret = match std::fs::read(&webhook.secret_file) {
        Ok(secret) => secret.trim_ascii_end().to_vec(),
        Err(error) => {
            tracing::warn!(%error, file = %webhook.secret_file.display(), "the secret of the webhook could not be read");
            return (StatusCode::SERVICE_UNAVAILABLE, "not now\n");
        }
    };
    if secret.len() < SECRET_BYTES_MIN {
        tracing::warn!("the secret of the webhook is too short: it needs at least {SECRET_BYTES_MIN} bytes");
        return (StatusCode::SERVICE_UNAVAILABLE, "not now\n");
    }
    let Some(proof) = Proof::of(&headers) else {
        return (StatusCode::UNAUTHORIZED, "no proof that the secret is known\n");
    };
    match timeout(REQUEST, is_valid(&proof, &secret, body)).await {
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "too slow\n"),
        Ok(Err(status)) => (status, "the body cannot be read, or is too large\n"),
        Ok(Ok(false)) => (StatusCode::UNAUTHORIZED, "no proof that the secret is known\n"),
        Ok(Ok(true)) => {
            webhook.poll_now.notify_one();
            (StatusCode::ACCEPTED, "polling\n")
        }
    }
}

/// How a request proves that its sender knows the secret.
#[derive(Debug, PartialEq, Eq)]
enum Proof {
    /// HMAC with SHA-256 over the body, as GitHub, Gitea, Forgejo and Bitbucket send it.
    Signature(Vec<u8>),
    /// The secret itself, as GitLab sends it.
    Token(Vec<u8>),
}

impl Proof {
    /// Reads it from the headers; the first that is there counts, good or bad.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let header = |name: &str| headers.get(name);
        for name in ["x-hub-signature-256", "x-gitea-signature", "x-forgejo-signature", "x-hub-signature"] {
            let Some(value) = header(name) else { continue };
            let digits = value.to_str().ok()?;
            return hex(digits.strip_prefix("sha256=").unwrap_or(digits)).map(Proof::Signature);
        }
        header("x-gitlab-token").map(|value| Proof::Token(value.as_bytes().to_vec()))
    }
}

/// Reads the 64 hexadecimal digits of a hash.
fn hex(digits: &str) -> Option<Vec<u8>> {
    let is_hash = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let byte = |at: usize| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    is_hash.then(|| (0..64).step_by(2).map(byte).collect())?
}

/// Compares a proof with the secret, in a time that does not depend on how much of it is right.
async fn is_valid(proof: &Proof, secret: &[u8], body: Body) -> Result<bool, StatusCode> {
    match proof {
        Proof::Signature(signature) => {
            let mut mac = keyed(secret);
            let mut bytes = 0_usize;
            let mut chunks = body.into_data_stream();
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk.map_err(|_| StatusCode::BAD_REQUEST)?;
                bytes = bytes.saturating_add(chunk.len());
                if bytes > BODY_BYTES_MAX {
                    return Err(StatusCode::PAYLOAD_TOO_LARGE);
                }
                mac.update(&chunk);
            }
            Ok(mac.verify_slice(signature).is_ok())
        }
        // Two texts of any length, by their hashes under one key.
        Proof::Token(token) => {
            let of = |text: &[u8]| keyed(secret).chain_update(text);
            Ok(of(secret).verify_slice(&of(token).finalize().into_bytes()).is_ok())
        }
    }
}

fn keyed(secret: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(secret).expect("a key of any length is one")
}

/// A bucket of requests that fills again with time.
struct Rate {
    left: f64,
    at: Instant,
}

impl Rate {
    fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + elapsed * RATE_PER_SECOND).min(BURST);
        self.at = now;
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_are_read_as_the_hosts_send_them() {
        let of = |name: &'static str, value: &str| Proof::of(&[(name, value)].into_iter().map(header).collect());
        fn header((name, value): (&'static str, &str)) -> (axum::http::HeaderName, axum::http::HeaderValue) {
            (axum::http::HeaderName::from_static(name), value.parse().expect("a value"))
        }
        let digits = "0f".repeat(32);
        let signature = || Some(Proof::Signature(vec![0x0f; 32]));
        assert_eq!(of("x-hub-signature-256", &format!("sha256={digits}")), signature());
        assert_eq!(of("x-hub-signature", &format!("sha256={digits}")), signature());
        assert_eq!(of("x-gitea-signature", &digits), signature());
        assert_eq!(of("x-forgejo-signature", &digits.to_uppercase()), signature());
        assert_eq!(of("x-gitlab-token", "secret"), Some(Proof::Token(b"secret".to_vec())));
        // The old signature of GitHub is of SHA-1; a token in the wrong header is none.
        assert_eq!(of("x-hub-signature", &format!("sha1={}", "0f".repeat(20))), None);
        assert_eq!(of("x-hub-signature-256", "sha256="), None);
        assert_eq!(of("x-hub-signature-256", &"zz".repeat(32)), None);
        assert_eq!(of("authorization", "secret"), None);
    }

    #[tokio::test]
    async fn only_who_knows_the_secret_is_believed() {
        // The example of GitHub's documentation.
        let secret = b"It's a Secret to Everybody";
        let good = hex("757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17").expect("64 digits");
        let valid = async |proof: Proof, secret: &[u8], body: &'static str| {
            is_valid(&proof, secret, Body::from(body)).await.expect("a body")
        };
        assert!(valid(Proof::Signature(good.clone()), secret, "Hello, World!").await);
        assert!(!valid(Proof::Signature(good.clone()), secret, "Hello, World?").await);
        assert!(!valid(Proof::Signature(good), b"another secret", "Hello, World!").await);
        assert!(valid(Proof::Token(secret.to_vec()), secret, "").await);
        assert!(!valid(Proof::Token(b"It's a Secret to Everybod".to_vec()), secret, "").await);
        assert!(!valid(Proof::Token(Vec::new()), secret, "").await);
    }

    #[tokio::test]
    async fn a_body_without_end_is_given_up() {
        let chunk = vec![0_u8; 1 << 20];
        let endless = futures::stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone()));
        let proof = Proof::Signature(vec![0; 32]);
        let end = is_valid(&proof, b"secret", Body::from_stream(endless)).await;
        assert_eq!(end, Err(StatusCode::PAYLOAD_TOO_LARGE));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_beyond_the_rate_are_turned_away() {
        let mut rate = Rate { left: BURST, at: Instant::now() };
        let taken = |rate: &mut Rate| (0..100).filter(|_| rate.take(Instant::now())).count();
        assert_eq!(taken(&mut rate), 20);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(taken(&mut rate), 5);
        tokio::time::advance(Duration::from_secs(3_600)).await;
        assert_eq!(taken(&mut rate), 20);
    }
}
