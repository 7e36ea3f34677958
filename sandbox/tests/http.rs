//! The HTTP face by itself, without any client's help: bodies, streams, limits and the end.

use std::time::Duration;

use sandbox::{Cluster, Settings, http};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn server(cluster: &Cluster) -> http::Server {
    let address = "127.0.0.1:0".parse().expect("an address");
    http::serve(cluster.clone(), address, 0.0).await.expect("served")
}

fn cluster() -> Cluster {
    Cluster::new(Settings { namespaces: vec!["team".into()], ..Settings::default() })
}

async fn send(server: &http::Server, head: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).await.expect("connected");
    let length = body.len();
    let request = format!("{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n");
    // The head may carry headers after its first line.
    let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
    let request = if headers.is_empty() {
        request
    } else {
        format!(
            "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{}\r\n",
            headers.replace('\n', "\r\n")
        )
    };
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream.write_all(b"\r\n").await.expect("sent");
    // A server that refuses early may close before all is sent.
    let _ = stream.write_all(body).await;
    stream
}

async fn ask(server: &http::Server, head: &str, body: &[u8]) -> (u16, String) {
    let mut stream = send(server, head, body).await;
    let mut answer = Vec::new();
    // A reset after the answer is as good as its end.
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (code, body)
}

#[tokio::test]
async fn yaml_and_json_are_applied_and_wrong_bodies_refused() {
    let cluster = cluster();
    let server = server(&cluster).await;
    let path = "/api/v1/namespaces/team/configmaps/a?fieldManager=x";
    let patch = format!("PATCH {path}\nContent-Type: application/apply-patch+yaml");
    let yaml = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {on: 'yes'}\n";
    assert_eq!(ask(&server, &patch, yaml).await.0, 201);
    let stored = cluster.object("", "ConfigMap", "team", "a").expect("stored");
    assert_eq!(stored["data"], serde_json::json!({"true": "yes"}), "read as Kubernetes reads YAML");
    assert_eq!(ask(&server, &patch, b"a: [").await.0, 400);
    assert_eq!(ask(&server, &format!("PATCH {path}\nContent-Type: text/plain"), b"x").await.0, 415);
    assert_eq!(ask(&server, "POST /api/v1/namespaces", b"{").await.0, 400);
    let large = vec![b' '; sandbox::api::BODY_BYTES_MAX + 1];
    assert_eq!(ask(&server, "POST /api/v1/namespaces", &large).await.0, 413);
    server.stop().await;
}

#[tokio::test]
async fn events_stream_as_they_happen_and_end_with_the_server() {
    let cluster = cluster();
    let server = server(&cluster).await;
    let mut stream = send(&server, "GET /api/v1/namespaces/team/configmaps?watch=true", b"").await;
    let body = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let mut seen = String::new();
    let mut buffer = [0_u8; 4096];
    // The headers come first; then the watch is open.
    while !seen.contains("\r\n\r\n") {
        let count = stream.read(&mut buffer).await.expect("read");
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    cluster.handle(&sandbox::Request::create("/api/v1/namespaces/team/configmaps", body));
    while !seen.contains("\"name\":\"a\"") {
        let count = stream.read(&mut buffer).await.expect("read");
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    assert!(seen.contains("\"type\":\"ADDED\""), "{seen}");
    server.stop().await;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("a clean end");
    assert!(rest.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&rest));
}

#[tokio::test]
async fn faults_time_and_the_log_are_reached_over_http() {
    let cluster = cluster();
    let server = server(&cluster).await;
    let faults =
        br#"{"rules": [{"verbs": ["list"], "resources": ["configmaps"], "answer": {"throttled": {"retryAfter": 2}}}]}"#;
    assert_eq!(ask(&server, "PUT /sandbox/faults", faults).await.0, 200);
    assert_eq!(ask(&server, "GET /api/v1/configmaps", b"").await.0, 429);
    assert_eq!(ask(&server, "PUT /sandbox/faults", b"{\"nope\": 1}").await.0, 400);
    assert_eq!(ask(&server, "DELETE /sandbox/faults", b"").await.0, 200);
    assert_eq!(ask(&server, "GET /api/v1/configmaps", b"").await.0, 200);
    let (_, log) = ask(&server, "DELETE /sandbox/requests", b"").await;
    let log: Value = serde_json::from_str(&log).expect("JSON");
    assert_eq!(log["requests"], serde_json::json!(["list configmaps 429", "list configmaps 200"]));
    let before = cluster.now();
    assert_eq!(ask(&server, "POST /sandbox/advance?seconds=2.5", b"").await.0, 200);
    assert_eq!(
        cluster.now().duration_since(before),
        jiff::SignedDuration::try_from(Duration::from_millis(2_500)).expect("small")
    );
    assert_eq!(ask(&server, "POST /sandbox/advance", b"").await.0, 400);
    assert_eq!(ask(&server, "GET /sandbox/nope", b"").await.0, 404);
    server.stop().await;
}
