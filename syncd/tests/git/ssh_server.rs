//! An ssh server for tests: the real `sshd`, on loopback, one process a connection.
//!
//! The test holds the port and hands every connection to `sshd -i`, so that nothing is left behind. Keys are made by `ssh-keygen`. Knows
//! no commit. Invariant: it lets in the current user with the keys that are in `authorized`, and nobody else.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tokio::net::TcpListener;

use syncd::git::SshAccess;

/// Where `sshd` may be. It wants to be started by its full path.
const PROGRAMS: [&str; 3] = ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd"];

pub struct SshServer {
    user: String,
    port: u16,
    folder: TempDir,
}

impl SshServer {
    /// Serves everything that the current user can read. Returns nothing where a program is missing.
    pub async fn start() -> Option<Self> {
        let program = PROGRAMS.into_iter().find(|program| Path::new(program).exists())?;
        let has = |program: &str| Command::new(program).arg("-V").stderr(Stdio::null()).status().is_ok();
        if !has("ssh") || !has("ssh-keygen") {
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let user = Command::new("id").arg("-un").output().expect("id runs").stdout;
        let user = String::from_utf8(user).expect("UTF-8").trim().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let server = SshServer { user, port, folder };
        let host_key = server.new_key("host");
        let authorized = server.path("authorized");
        fs::write(&authorized, "").expect("a file");
        let settings = [
            format!("HostKey {}", host_key.display()),
            format!("AuthorizedKeysFile {}", authorized.display()),
            "StrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\nAcceptEnv GIT_PROTOCOL".to_owned(),
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nLogLevel QUIET\n".to_owned(),
        ];
        let config = server.path("config");
        fs::write(&config, settings.join("\n")).expect("a file");
        // Where the service was never started, its folder is missing; only root needs and may make it.
        let _ = fs::create_dir("/run/sshd");
        if !Command::new(program).arg("-t").arg("-f").arg(&config).status().expect("sshd runs").success() {
            return None;
        }
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("the port stays open");
                let stream = stream.into_std().expect("a stream");
                stream.set_nonblocking(false).expect("a stream");
                let output = stream.try_clone().expect("a stream");
                let mut sshd = Command::new(program);
                sshd.args(["-i", "-f"]).arg(&config).stderr(Stdio::null());
                sshd.stdin(Stdio::from(OwnedFd::from(stream))).stdout(Stdio::from(OwnedFd::from(output)));
                let mut child = sshd.spawn().expect("sshd runs");
                tokio::task::spawn_blocking(move || child.wait());
            }
        });
        Some(server)
    }

    pub fn url(&self, repository: &Path) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", self.user, self.port, repository.display())
    }

    /// Makes a key pair; returns the file of the private one.
    pub fn new_key(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&path);
        assert!(keygen.status().expect("ssh-keygen runs").success());
        path
    }

    /// Lets in whoever has one of these keys, from now on.
    pub fn authorize(&self, keys: &[&Path]) {
        let lines: Vec<String> = keys.iter().map(|key| public(key)).collect();
        fs::write(self.path("authorized"), lines.concat()).expect("a file");
    }

    /// Writes a file of known hosts in which this server has `key`.
    pub fn known_hosts(&self, key: &Path) -> PathBuf {
        let path = self.path("known_hosts");
        fs::write(&path, format!("[127.0.0.1]:{} {}", self.port, public(key))).expect("a file");
        path
    }

    /// Returns what lets in: a key that the server accepts, and its own.
    pub fn access(&self) -> SshAccess {
        let key_file = self.new_key("right");
        self.authorize(&[&key_file]);
        // ssh believes a public key beside the private one; mounted keys have none.
        fs::remove_file(key_file.with_extension("pub")).expect("it was just made");
        SshAccess { key_file, known_hosts_file: self.known_hosts(&self.path("host")) }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn public(key: &Path) -> String {
    fs::read_to_string(key.with_extension("pub")).expect("a public key beside the private one")
}

/// Changes who may read a file.
pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our file");
}
