//! The webhook over a real port, with requests as Git hosts send them.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]
#![expect(clippy::disallowed_methods, reason = "tests run their servers beside them")]

use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use syncd::webhook::{self, Webhook};
use tokio::net::TcpListener;
use tokio::sync::Notify;

struct Server {
    url: String,
    secret_file: PathBuf,
    poll_now: Arc<Notify>,
    client: reqwest::Client,
    _folder: tempfile::TempDir,
}

const SECRET: &str = "a secret that is long enough";

impl Server {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let secret_file = folder.path().join("secret");
        std::fs::write(&secret_file, format!("{SECRET}\n")).unwrap();
        let poll_now = Arc::new(Notify::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhook", listener.local_addr().unwrap());
        let webhook = Arc::new(Webhook::new(secret_file.clone(), Arc::clone(&poll_now)));
        tokio::spawn(webhook::serve(listener, webhook));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Server { url, secret_file, poll_now, client, _folder: folder }
    }

    async fn post(&self, headers: &[(&str, &str)], body: &'static str) -> u16 {
        let mut request = self.client.post(&self.url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap().status().as_u16()
    }

    /// Tells whether a poll was asked for since the last call.
    fn take_asked(&self) -> bool {
        self.poll_now.notified().now_or_never().is_some()
    }
}

fn signature(secret: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Headers, body, and what is answered.
type Case<'a> = (&'a [(&'a str, &'a str)], &'static str, u16);

#[tokio::test(flavor = "multi_thread")]
async fn who_knows_the_secret_asks_for_a_poll_and_nobody_else() {
    let server = Server::start().await;
    let push = r#"{"ref":"refs/heads/main","after":"0000000000000000000000000000000000000000"}"#;
    let signed = signature(SECRET, push);
    let hub = format!("sha256={signed}");
    let other = format!("sha256={}", signature("another secret, also long", push));
    let cases: [Case<'_>; 9] = [
        (&[("X-Hub-Signature-256", &hub), ("X-GitHub-Event", "push")], push, 202),
        (&[("X-Gitea-Signature", &signed)], push, 202),
        (&[("X-Hub-Signature", &hub)], push, 202),
        (&[("X-Gitlab-Token", SECRET)], "{}", 202),
        (&[], push, 401),
        (&[("X-Hub-Signature-256", &other)], push, 401),
        (&[("X-Hub-Signature-256", &hub)], "another body", 401),
        (&[("X-Gitlab-Token", "a secret that is long enougH")], "{}", 401),
        // The signature counts, also where a token stands beside it.
        (&[("X-Hub-Signature-256", &other), ("X-Gitlab-Token", SECRET)], push, 401),
    ];
    for (headers, body, expected) in cases {
        assert_eq!(server.post(headers, body).await, expected, "{headers:?}");
        assert_eq!(server.take_asked(), expected == 202, "{headers:?}");
    }
    let get = server.client.get(&server.url).send().await.unwrap().status().as_u16();
    let elsewhere =
        server.client.post(server.url.replace("/webhook", "/metrics")).send().await.unwrap().status().as_u16();
    assert_eq!((get, elsewhere), (405, 404), "there is nothing else");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_read_anew_and_a_bad_one_closes_the_door() {
    let server = Server::start().await;
    let token = |secret| [("X-Gitlab-Token", secret)];
    std::fs::write(&server.secret_file, "the next secret, rotated").unwrap();
    assert_eq!(server.post(&token(SECRET), "").await, 401);
    assert_eq!(server.post(&token("the next secret, rotated"), "").await, 202);
    assert!(server.take_asked());
    for bad in ["", "short"] {
        std::fs::write(&server.secret_file, bad).unwrap();
        assert_eq!(server.post(&token(bad), "").await, 503, "{bad:?} is no secret");
    }
    std::fs::remove_file(&server.secret_file).unwrap();
    assert_eq!(server.post(&token(""), "").await, 503);
    assert!(!server.take_asked());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_turned_away() {
    let server = Server::start().await;
    let mut turned_away = 0;
    for _ in 0..60 {
        turned_away += usize::from(server.post(&[("X-Gitlab-Token", "wrong")], "").await == 429);
    }
    assert!(turned_away > 0);
    assert!(!server.take_asked());
}
