//! A repository over ssh: the program `ssh`, told everything, and what it says when it fails.
//!
//! There is no implementation of ssh here: keys, host keys and ciphers are what OpenSSH is trusted for everywhere. It reads no
//! configuration, asks nobody, forwards nothing, offers the one key and accepts the pinned host keys only. Knows no protocol of Git.
//! Invariants: the program is gone when the connection is dropped, and at the latest after its limit of time; no shell is involved here.

use std::any::Any;
use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gix::bstr::BStr;
use gix::protocol::transport::client::blocking_io::{RequestWriter, SetServiceResponse, Transport};
use gix::protocol::transport::client::git::ConnectMode;
use gix::protocol::transport::client::git::blocking_io::Connection;
use gix::protocol::transport::client::{self, MessageKind, TransportWithoutIO, WriteMode};
use gix::protocol::transport::{Protocol, Service};

use crate::repo::RepoError;

/// Most bytes that are kept of what ssh and the server say.
const SAID_BYTES_MAX: u64 = 16 << 10;
/// Longest text of it in a reason, in characters.
const REASON_CHARACTERS_MAX: usize = 300;
/// Longest time for ssh to end by itself after the connection failed.
const END: Duration = Duration::from_secs(2);

/// How to be let in over ssh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshAccess {
    /// File with a private key without passphrase.
    pub key_file: PathBuf,
    /// File with the keys that the server may have, in the form of `known_hosts`.
    pub known_hosts_file: PathBuf,
}

/// Where to.
pub(super) struct Destination<'a> {
    pub user: Option<&'a str>,
    pub host: &'a str,
    pub port: Option<u16>,
    pub path: &'a str,
}

/// Starts ssh, which connects and runs `git-upload-pack` there.
pub(super) fn connect(
    access: &SshAccess,
    to: &Destination<'_>,
    url: &BStr,
    limit: Duration,
) -> Result<(SshTransport, Said), RepoError> {
    for path in [&access.key_file, &access.known_hosts_file] {
        let readable = std::fs::File::open(path);
        readable.map_err(|error| RepoError::Local(format!("cannot read {}: {error}", path.display())))?;
    }
    let mut command = Command::new("ssh");
    command.args(arguments(access, to)).env_clear().env("LC_ALL", "C").env("GIT_PROTOCOL", "version=2");
    command.envs(std::env::vars_os().filter(|(name, _)| name == "PATH"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => RepoError::Local("the program `ssh` is not installed here".to_owned()),
        _ => RepoError::Local(format!("cannot start `ssh`: {error}")),
    })?;
    let output = child.stdout.take().expect("it is piped");
    let input = child.stdin.take().expect("it is piped");
    let errors = child.stderr.take().expect("it is piped");
    let child = Arc::new(Mutex::new(child));
    let (text, said) = channel();
    let said = Said { child: Arc::clone(&child), text: said, limit };
    thread("ssh messages", move || {
        let _ = text.send(drained(errors));
    })?;
    let (ended, end) = channel();
    thread("ssh time limit", move || {
        if end.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            kill(&child);
        }
    })?;
    let nobody = None::<(&str, _)>;
    let connection = Connection::new(output, input, Protocol::V2, to.path, nobody, ConnectMode::Process, false);
    Ok((SshTransport { connection: connection.custom_url(Some(url.to_owned())), _ended: ended }, said))
}

pub(super) fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), RepoError> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(|_| ()).map_err(|error| RepoError::Local(format!("cannot start a thread: {error}")))
}

/// Returns the beginning of what comes, at its end. A pipe that nobody reads would stop ssh.
pub(super) fn drained(mut pipe: impl Read) -> String {
    let mut text = Vec::new();
    let _ = pipe.by_ref().take(SAID_BYTES_MAX).read_to_end(&mut text);
    let _ = std::io::copy(&mut pipe, &mut std::io::sink());
    String::from_utf8_lossy(&text).into_owned()
}

fn kill(child: &Mutex<Child>) {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = child.kill();
    let _ = child.wait();
}

/// Returns the arguments of ssh.
fn arguments(access: &SshAccess, to: &Destination<'_>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ["-F", "none", "-T", "-x", "-a"].map(OsString::from).to_vec();
    let settings = [
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "PreferredAuthentications=publickey",
        "StrictHostKeyChecking=yes",
        "GlobalKnownHostsFile=none",
        "UpdateHostKeys=no",
        "CheckHostIP=no",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
        "ControlPath=none",
        "ConnectTimeout=10",
        "ServerAliveInterval=10",
        "ServerAliveCountMax=3",
        "SendEnv=GIT_PROTOCOL",
        "LogLevel=ERROR",
    ];
    let files = [
        format!("IdentityFile={}", quoted(&access.key_file)),
        format!("UserKnownHostsFile={}", quoted(&access.known_hosts_file)),
    ];
    for setting in settings.map(str::to_owned).into_iter().chain(files) {
        arguments.extend(["-o".into(), setting.into()]);
    }
    if let Some(port) = to.port {
        arguments.extend(["-p".into(), port.to_string().into()]);
    }
    if let Some(user) = to.user {
        arguments.extend(["-l".into(), user.into()]);
    }
    // A home folder is the server's business: `/~ada/x` means `~ada/x` there.
    let path = if to.path.starts_with("/~") { &to.path[1..] } else { to.path };
    arguments.extend(["--".into(), to.host.into(), format!("git-upload-pack '{path}'").into()]);
    arguments
}

/// Returns a path as a setting of ssh holds it: in quotes, without the signs that ssh replaces.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}

/// Tells whether [`quoted`] can hold a path.
pub(super) fn is_quotable(path: &Path) -> bool {
    path.to_str().is_some_and(|path| !path.contains(['"', '\\', '$', '\n', '\r']) && !path.starts_with('~'))
}

/// What ssh and the server say beside the protocol. The program does not outlive it.
pub(super) struct Said {
    child: Arc<Mutex<Child>>,
    /// All of it, once the program has ended.
    text: Receiver<String>,
    limit: Duration,
}

impl Said {
    /// Reads why a connection failed. Ends the program.
    pub fn reason(&self) -> Option<RepoError> {
        if let Ok(text) = self.text.recv_timeout(END) {
            return reason(&text);
        }
        kill(&self.child);
        let text = self.text.recv().unwrap_or_default();
        let late = || RepoError::Unreachable(format!("ssh had not ended after {} s", self.limit.as_secs()));
        Some(reason(&text).unwrap_or_else(late))
    }
}

impl Drop for Said {
    fn drop(&mut self) {
        kill(&self.child);
    }
}

/// Reads what ssh said. Nothing: it said nothing.
fn reason(said: &str) -> Option<RepoError> {
    let has = |text: &str| said.contains(text);
    let text = one_line(said);
    if has("REMOTE HOST IDENTIFICATION HAS CHANGED") || has("differs from the key for the IP address") {
        return Some(RepoError::Untrusted("its host key is not the one in the known_hosts file".to_owned()));
    }
    if has("host key is known for") || has("Host key verification failed") {
        return Some(RepoError::Untrusted("its host key is not in the known_hosts file".to_owned()));
    }
    if has("bad permissions") {
        let advice = "ssh refuses a key file that others may read; mount it with mode 0400";
        return Some(RepoError::Unauthorized(advice.to_owned()));
    }
    if has("Load key") {
        return Some(RepoError::Unauthorized("the key file holds no private key that ssh can use".to_owned()));
    }
    if has("Permission denied (") {
        let advice = "the key was not accepted; a key with a passphrase cannot be used";
        return Some(RepoError::Unauthorized(advice.to_owned()));
    }
    if has("does not appear to be a git repository") || has("epository not found") || has("could not be found") {
        return Some(RepoError::NotFound(text));
    }
    (!text.is_empty()).then_some(RepoError::Unreachable(text))
}

/// Returns the words of a program or a server as they may stand in a reason.
fn one_line(said: &str) -> String {
    let words = said.split(|c: char| c.is_control() || c.is_whitespace()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").chars().take(REASON_CHARACTERS_MAX).collect()
}

/// A connection through ssh.
pub(super) struct SshTransport {
    connection: Connection<ChildStdout, ChildStdin>,
    /// Its end tells the watch over the time.
    _ended: Sender<()>,
}

impl TransportWithoutIO for SshTransport {
    fn to_url(&self) -> Cow<'_, BStr> {
        self.connection.to_url()
    }

    fn connection_persists_across_multiple_requests(&self) -> bool {
        true
    }

    fn configure(&mut self, config: &dyn Any) -> gix::error::Result {
        self.connection.configure(config)
    }
}

impl Transport for SshTransport {
    fn handshake<'a>(
        &mut self,
        service: Service,
        extra_parameters: &'a [(&'a str, Option<&'a str>)],
    ) -> Result<SetServiceResponse<'_>, client::Error> {
        self.connection.handshake(service, extra_parameters)
    }

    fn request(
        &mut self,
        write_mode: WriteMode,
        on_into_read: MessageKind,
        trace: bool,
    ) -> Result<RequestWriter<'_>, client::Error> {
        self.connection.request(write_mode, on_into_read, trace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_told_everything_and_nothing_is_left_to_its_configuration() {
        let access = SshAccess { key_file: "/keys/100% mine".into(), known_hosts_file: "/keys/known".into() };
        let to = Destination { user: Some("git"), host: "git.example", port: Some(2222), path: "/~ada/app.git" };
        let arguments: Vec<String> =
            arguments(&access, &to).into_iter().map(|argument| argument.into_string().expect("UTF-8")).collect();
        let has = |wanted: &[&str]| arguments.windows(wanted.len()).any(|found| found == wanted);
        assert!(has(&["-F", "none"]) && has(&["-o", "BatchMode=yes"]) && has(&["-o", "StrictHostKeyChecking=yes"]));
        assert!(has(&["-o", "IdentityFile=\"/keys/100%% mine\""]), "{arguments:?}");
        assert!(has(&["-p", "2222", "-l", "git", "--", "git.example", "git-upload-pack '~ada/app.git'"]));
    }

    #[test]
    fn what_ssh_says_becomes_a_reason() {
        let is = |said: &str| reason(said).expect("a reason").to_string();
        let changed =
            "@@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n@@@@\nHost key verification failed.\r\n";
        assert!(is(changed).contains("is not the one in the known_hosts file"));
        assert!(is("No ED25519 host key is known for h and you have requested strict checking.").contains("not in"));
        let open =
            "Permissions 0644 for 'k' are too open.\nLoad key \"k\": bad permissions\nPermission denied (publickey).";
        assert!(is(open).contains("mode 0400"));
        assert!(is("Load key \"k\": error in libcrypto\nPermission denied (publickey).").contains("no private key"));
        assert!(is("git@h: Permission denied (publickey).").contains("was not accepted"));
        assert!(is("ERROR: Repository not found.\n\u{1b}[0m").ends_with("ERROR: Repository not found. [0m"));
        assert!(is("ssh: connect to host h port 22: Connection refused").contains("Connection refused"));
        assert_eq!(reason(" \n"), None);
    }
}
