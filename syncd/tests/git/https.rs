//! Over http and https, what lies between: redirects, proxies, servers that refuse.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use syncd::git::{Access, Credentials, GitRepo, GitSettings};
use syncd::repo::{Repo, RepoError, Revision};

use crate::git_repository::Repository;
use crate::{https, over_https, paths, settings};

/// Answers everything on a port of its own; returns its authority.
async fn answering<R: IntoResponse>(answer: impl Fn(Uri) -> R + Clone + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let router = Router::new().fallback(async move |uri: Uri| answer(uri).into_response());
    tokio::spawn(async move { axum::serve(listener, router).await });
    authority
}

fn with_token(url: &str, folder: &tempfile::TempDir) -> GitSettings {
    let secret_file = folder.path().join("token");
    std::fs::write(&secret_file, "very-secret-token").unwrap();
    let credentials = Some(Credentials { username: None, secret_file });
    GitSettings { access: Access { credentials, ..Access::default() }, ..settings(url) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed_and_takes_no_credentials_along() {
    let stolen = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&stolen);
    let thief = answering(move |_| *counted.lock().unwrap() += 1).await;
    let honest = answering(move |uri: Uri| Redirect::temporary(&format!("http://{thief}{uri}"))).await;
    let folder = tempfile::tempdir().unwrap();
    let repo = GitRepo::open(with_token(&format!("http://{honest}/a.git"), &folder)).unwrap();
    let refused = repo.tip().await.unwrap_err();
    assert!(matches!(&refused, RepoError::Unreachable(_)), "{refused:?}");
    assert!(!refused.to_string().contains("secret"), "{refused}");
    assert_eq!(*stolen.lock().unwrap(), 0, "nobody else is asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_refuses_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        (StatusCode::FORBIDDEN, "unauthorized"),
        (StatusCode::NOT_FOUND, "not found"),
        (StatusCode::TOO_MANY_REQUESTS, "unreachable"),
        (StatusCode::SERVICE_UNAVAILABLE, "unreachable"),
        (StatusCode::OK, "unreachable"),
    ];
    for (status, expected) in cases {
        let server =
            answering(move |_| (status, [(header::CONTENT_TYPE, "text/html")], "<h1>very-secret-token</h1>")).await;
        let repo = GitRepo::open(with_token(&format!("http://{server}/a.git"), &folder)).unwrap();
        let error = repo.tip().await.unwrap_err();
        let found = match &error {
            RepoError::Unauthorized(_) => "unauthorized",
            RepoError::NotFound(_) => "not found",
            RepoError::Unreachable(_) => "unreachable",
            _ => "something else",
        };
        assert_eq!(found, expected, "{status}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_is_gone_is_no_empty_one() {
    let origin = Repository::new();
    let first = Revision(origin.commit("first", &[("a", "1")]));
    let Some(server) = https(&origin, None, false).await else { return };
    let repo = GitRepo::open(over_https(&server, None)).unwrap();
    repo.fetch(&first).await.unwrap();
    std::fs::rename(origin.path().join(".git"), origin.path().join("gone")).unwrap();
    assert!(matches!(repo.tip().await, Err(RepoError::NotFound(_))));
    assert_eq!(repo.read(&first, paths(["a"])).await.unwrap(), [Some(b"1".to_vec())], "what was read still is");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_carries_the_connection_and_sees_nothing_of_it() {
    let origin = Repository::new();
    let first = Revision(origin.commit("first", &[("a", "1")]));
    let Some(server) = https(&origin, Some("x-access-token:very-secret-token"), false).await else { return };
    let seen = Arc::new(Mutex::new(Vec::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let heads = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let heads = Arc::clone(&heads);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(client.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let target = head.split(' ').nth(1).unwrap().to_owned();
                heads.lock().unwrap().push(head);
                let mut server = TcpStream::connect(target).await.unwrap();
                client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let with = with_token(&server.url, &folder);
    let access = Access { ca_file: Some(server.ca_file.clone()), proxy: Some(proxy), ..with.access.clone() };
    let repo = GitRepo::open(GitSettings { access, ..with }).unwrap();
    assert_eq!(repo.tip().await.unwrap(), first);
    repo.fetch(&first).await.unwrap();
    let heads = seen.lock().unwrap().clone();
    let authority = server.url.trim_start_matches("https://").trim_end_matches("/.git");
    assert!(!heads.is_empty());
    for head in heads {
        assert!(head.starts_with(&format!("CONNECT {authority} HTTP/1.1\r\n")), "{head}");
        assert!(!head.to_lowercase().contains("\r\nauthorization"), "{head}");
    }
}
