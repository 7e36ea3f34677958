//! What a server that calls itself a Git server could answer: its refs and what it fetches, over HTTP.
//!
//! An input has up to three parts: the refs (one a line, `<id> <name>`), the answer to the fetch, the greeting. A pack gets its checksum and its
//! frame here, so that the search need not guess them; `raw:` before a part sends it as it is.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use syncd::git::{Access, GitLimits, GitRepo, GitSettings, Signers};
use syncd::repo::{Repo, RepoError};

const LIMITS: GitLimits = GitLimits {
    tip: Duration::from_secs(5),
    fetch: Duration::from_secs(5),
    fetch_bytes: 1 << 20,
    fetch_objects: 1_000,
    unpacked_bytes: 4 << 20,
    file_bytes: 64 << 10,
    generations: 10,
    packs: 5,
    added_bytes: 256 << 20,
};
/// Bytes of a SHA-1, with which a pack ends.
const CHECKSUM_BYTES: usize = 20;
/// Most bytes of one frame.
const FRAME_BYTES_MAX: usize = 60_000;

/// What the server says: greeting, refs, fetch.
static ANSWERS: Mutex<[Vec<u8>; 3]> = Mutex::new([Vec::new(), Vec::new(), Vec::new()]);
/// One search at a time talks to the server.
static TURN: Mutex<()> = Mutex::new(());
static PORT: LazyLock<u16> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || drop(answer(connection)));
        }
    });
    port
});

pub fn git(bytes: &[u8]) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let parts = super::parts(bytes);
    let part = |number: usize| parts.get(number).copied().unwrap_or_default();
    let raw = |part: &[u8]| part.strip_prefix(b"raw:").map(<[u8]>::to_vec);
    let greeting = match part(2) {
        b"" => greeting(),
        given => raw(given).unwrap_or_else(|| given.to_vec()),
    };
    let refs = raw(part(0)).unwrap_or_else(|| {
        let lines = part(0).split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let mut framed: Vec<u8> = lines.flat_map(|line| frame(&[line, b"\n"].concat())).collect();
        framed.extend(b"0000");
        framed
    });
    let fetched = raw(part(1)).unwrap_or_else(|| packed(part(1), part(0)));
    *ANSWERS.lock().unwrap_or_else(PoisonError::into_inner) = [greeting, refs, fetched];

    let settings = GitSettings {
        url: format!("http://127.0.0.1:{}/r", *PORT),
        reference: "main".to_owned(),
        access: Access::default(),
        signers: Signers::default(),
        cache: None,
        limits: LIMITS,
    };
    let repo = GitRepo::open(settings).expect("settings that work");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let Some(tip) = told(repo.tip().await) else { return };
        if let Some(commit) = told(repo.fetch(&tip).await) {
            assert!(commit.subject.len() <= 64 << 10);
        }
        let paths = ["a", "b/c", "link", "_gen/staging/index.json"].map(str::to_owned).to_vec();
        for file in told(repo.read(&tip, paths).await).into_iter().flatten().flatten() {
            assert!(file.len() as u64 <= LIMITS.file_bytes);
        }
        let _ = told(repo.lineage(&tip, &tip).await);
    });
}

/// Neither a panic of the library nor an endless answer is a refusal.
fn told<T>(reply: Result<T, RepoError>) -> Option<T> {
    if let Err(error) = &reply {
        let text = error.to_string();
        assert!(!text.contains("library failed"), "{text}");
        assert!(!text.contains("no answer within"), "{text}");
    }
    reply.ok()
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    [format!("{:04x}", bytes.len() + 4).as_bytes(), bytes].concat()
}

fn greeting() -> Vec<u8> {
    let mut said = [frame(b"# service=git-upload-pack\n"), b"0000".to_vec()].concat();
    for line in ["version 2\n", "agent=git/2\n", "ls-refs=unborn\n", "fetch=shallow\n", "object-format=sha1\n"] {
        said.extend(frame(line.as_bytes()));
    }
    said.extend(b"0000");
    said
}

/// Returns the answer to a fetch that holds a pack, with the checksum that the pack should have. The commit that the first ref names is said to be shallow.
fn packed(pack: &[u8], refs: &[u8]) -> Vec<u8> {
    let mut pack = pack.to_vec();
    if let Some(at) = pack.len().checked_sub(CHECKSUM_BYTES) {
        let mut hasher = gix::hash::hasher(gix::hash::Kind::Sha1);
        hasher.update(&pack[..at]);
        if let Ok(sum) = hasher.try_finalize() {
            pack[at..].copy_from_slice(sum.as_slice());
        }
    }
    let tip = refs.split(|byte| *byte == b' ').next().unwrap_or_default();
    let mut answer = [frame(b"shallow-info\n"), frame(&[b"shallow ", tip, b"\n"].concat()), b"0001".to_vec()].concat();
    answer.extend(frame(b"packfile\n"));
    for chunk in pack.chunks(FRAME_BYTES_MAX) {
        answer.extend(frame(&[b"\x01", chunk].concat()));
    }
    answer.extend(b"0000");
    answer
}

/// Answers one request, and closes the connection.
fn answer(mut connection: TcpStream) -> std::io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !is_whole(&request) {
        let count = connection.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..count]);
    }
    let text = String::from_utf8_lossy(&request);
    let (which, kind) = match (text.starts_with("GET "), text.contains("command=ls-refs")) {
        (true, _) => (0, "advertisement"),
        (false, true) => (1, "result"),
        (false, false) => (2, "result"),
    };
    let body = ANSWERS.lock().unwrap_or_else(PoisonError::into_inner)[which].clone();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-{kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes())?;
    connection.write_all(&body)
}

/// Tells whether all of a request has come.
fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
    let body = &request[end + 4..];
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    match length {
        Some(length) => body.len() >= length,
        None if head.contains("transfer-encoding: chunked") => body.ends_with(b"0\r\n\r\n"),
        None => true,
    }
}
