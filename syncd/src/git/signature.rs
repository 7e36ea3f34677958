//! Who signed a commit, and whether that is enough.
//!
//! The programs that git itself asks do the cryptography: `ssh-keygen -Y verify` with a file of allowed signers, `gpgv` with a keyring.
//! They are told everything and read no configuration; the files are read anew each time. Knows no repository. Invariants: without a
//! good signature by an allowed key that is valid now there is an error; a program's exit code alone is never believed.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use base64::Engine;
use gix::bstr::ByteSlice;
use gix::objs::CommitRefIter;
use tokio::time::Instant;

use super::ssh;
use crate::repo::RepoError;

/// Who may sign. A signature is wanted where anybody is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signers {
    /// Keys of ssh that may sign, in the form that `ssh-keygen` calls ALLOWED SIGNERS.
    pub allowed_signers_file: Option<PathBuf>,
    /// OpenPGP keys that may sign: what `gpg --export` writes, with armor or without.
    pub gpg_keyring_file: Option<PathBuf>,
}

impl Signers {
    /// Tells whether commits need a signature.
    pub fn are_named(&self) -> bool {
        self.allowed_signers_file.is_some() || self.gpg_keyring_file.is_some()
    }
}

/// Name of the folder in which the programs find what they are to look at.
const FOLDER: &str = "signature";
/// Largest signature and largest file of keys, in bytes.
const SIGNATURE_BYTES_MAX: usize = 64 << 10;
const KEYS_BYTES_MAX: u64 = 4 << 20;
/// Pause between two looks whether a program that has said all has ended.
const LOOK: Duration = Duration::from_millis(5);
/// Longest words of a program in a reason, in characters.
const WORDS_CHARACTERS_MAX: usize = 200;

/// Checks the signature of a commit, given as the object's bytes. `root`: a folder of ours. Programs that have not ended after `limit` are
/// killed.
///
/// # Errors
/// [`RepoError::Unverified`] when there is none or it is not good enough; [`RepoError::Local`] when that could not be found out.
pub(super) fn verify(
    commit: &[u8],
    hash: gix::hash::Kind,
    signers: &Signers,
    root: &Path,
    limit: Duration,
) -> Result<(), RepoError> {
    let deadline = Instant::now() + limit;
    let unreadable = |_| RepoError::Corrupt("a commit cannot be read".to_owned());
    let signed = CommitRefIter::signature(commit, hash).map_err(unreadable)?;
    let Some((signature, payload)) = signed else { return unverified("it is not signed") };
    if signature.len() > SIGNATURE_BYTES_MAX {
        return unverified("its signature is too large");
    }
    let payload = payload.to_bstring();
    // What is left must not hold another: of two, this program could read the one and people the other.
    if !matches!(CommitRefIter::signature(&payload, hash), Ok(None)) {
        return unverified("it has more than one signature");
    }
    let folder = root.join(FOLDER);
    fs::create_dir_all(&folder).map_err(|error| io(&folder, &error))?;
    let [signature_file, payload_file, keys] = ["signature", "payload", "keys"].map(|name| folder.join(name));
    let files = Files { signature: signature_file, payload: payload_file, keys, deadline };
    write(&files.signature, &signature)?;
    write(&files.payload, &payload)?;
    let signature = signature.trim_start();
    if signature.starts_with(b"-----BEGIN SSH SIGNATURE-----") {
        match &signers.allowed_signers_file {
            Some(allowed) => verify_ssh(&files, allowed),
            None => unverified("it is signed with an ssh key, and none is allowed"),
        }
    } else if signature.starts_with(b"-----BEGIN PGP SIGNATURE-----") {
        match &signers.gpg_keyring_file {
            Some(keyring) => verify_gpg(&files, keyring),
            None => unverified("it is signed with an OpenPGP key, and none is allowed"),
        }
    } else {
        unverified("its signature is neither one of ssh nor of OpenPGP")
    }
}

fn unverified<T>(reason: impl Into<String>) -> Result<T, RepoError> {
    Err(RepoError::Unverified(reason.into()))
}

struct Files {
    signature: PathBuf,
    payload: PathBuf,
    keys: PathBuf,
    /// When the programs that look at them are killed.
    deadline: Instant,
}

fn verify_ssh(files: &Files, allowed: &Path) -> Result<(), RepoError> {
    // A copy: whoever changes the file meanwhile does not have one half of the question answered by the other file.
    write(&files.keys, &read(allowed)?)?;
    let keygen = |verb: &str, of: &[&OsStr]| {
        let mut command = program("ssh-keygen");
        command.arg("-Y").arg(verb).args(of).arg("-s").arg(&files.signature);
        run(command, &files.payload, files.deadline)
    };
    let keys = files.keys.as_os_str();
    let found = keygen("find-principals", &["-f".as_ref(), keys])?;
    let mut words = found.words.clone();
    for principal in found.output.lines().filter(|line| found.is_success && !line.is_empty()) {
        let told = ["-f".as_ref(), keys, "-I".as_ref(), principal.as_ref(), "-n".as_ref(), "git".as_ref()];
        let verdict = keygen("verify", &told)?;
        if verdict.is_success && verdict.output.starts_with("Good \"git\" signature for ") {
            return Ok(());
        }
        words = verdict.words;
    }
    let known = keygen("check-novalidate", &["-n".as_ref(), "git".as_ref()])?;
    let key = known.output.split_whitespace().find(|word| word.starts_with("SHA256:"));
    match key {
        Some(key) => unverified(format!("it is signed with the key {key}, which is not allowed to ({words})")),
        None => unverified(format!("its signature does not fit ({})", known.words)),
    }
}

fn verify_gpg(files: &Files, keyring: &Path) -> Result<(), RepoError> {
    write(&files.keys, &without_armor(&read(keyring)?))?;
    let mut command = program("gpgv");
    // A folder without configuration: there is none in it, whatever the user's has.
    command.arg("--homedir").arg(files.keys.with_file_name("none")).arg("--keyring").arg(&files.keys);
    command.args(["--status-fd", "1", "--"]).arg(&files.signature).arg("-");
    let verdict = run(command, &files.payload, files.deadline)?;
    judge_gpg(&verdict.output, verdict.is_success).map_or_else(unverified, Ok)
}

/// Reads the status lines of gpgv. It ends well for keys that have expired or were revoked, too.
fn judge_gpg(status: &str, is_success: bool) -> Result<(), String> {
    const VERDICTS: [&str; 6] = ["GOODSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "BADSIG", "ERRSIG"];
    let lines = status.lines().filter_map(|line| line.strip_prefix("[GNUPG:] "));
    let verdicts = lines.filter_map(|line| {
        let mut words = line.split(' ');
        let word = words.next().filter(|word| VERDICTS.contains(word))?;
        Some((word, words.next().unwrap_or_default()))
    });
    let verdicts: Vec<(&str, &str)> = verdicts.collect();
    let [(verdict, key)] = verdicts[..] else { return Err("it does not hold exactly one signature".to_owned()) };
    let key: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
    match verdict {
        "GOODSIG" if is_success => Ok(()),
        "EXPSIG" => Err(format!("its signature by the key {key} has expired")),
        "EXPKEYSIG" => Err(format!("the key {key} that signed it has expired")),
        "REVKEYSIG" => Err(format!("the key {key} that signed it was revoked")),
        "ERRSIG" => Err(format!("it is signed with the key {key}, which is not in the keyring or cannot be used")),
        _ => Err(format!("its signature by the key {key} does not fit")),
    }
}

/// Returns keys as gpgv reads them: what an armored file holds, any other as it is.
fn without_armor(keys: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(keys) else { return keys.to_vec() };
    if !text.contains("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
        return keys.to_vec();
    }
    let mut bytes = Vec::new();
    for block in text.split("-----BEGIN PGP PUBLIC KEY BLOCK-----").skip(1) {
        let body = block.split("-----END").next().unwrap_or_default();
        // Headers end with an empty line; a checksum begins with `=`.
        let body = body.trim_start_matches(['\r', '\n', ' ']);
        let lines = body.lines().map(str::trim).filter(|line| !line.contains(':') && !line.starts_with('='));
        let packed: String = lines.collect();
        bytes.extend(base64::engine::general_purpose::STANDARD.decode(packed).unwrap_or_default());
    }
    bytes
}

fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env_clear().env("LC_ALL", "C").envs(std::env::vars_os().filter(|(name, _)| name == "PATH"));
    command
}

/// What a program said.
struct Verdict {
    is_success: bool,
    output: String,
    /// What it said beside its output, fit for a reason.
    words: String,
}

/// Runs a program to its end, or to the deadline: then it is killed.
fn run(mut command: Command, input: &Path, deadline: Instant) -> Result<Verdict, RepoError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let input = File::open(input).map_err(|error| io(input, &error))?;
    command.stdin(Stdio::from(input)).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => RepoError::Local(format!("the program `{name}` is not installed here")),
        _ => RepoError::Local(format!("cannot start `{name}`: {error}")),
    })?;
    let mut child = Running(child);
    let output = said(child.0.stdout.take().expect("it is piped"))?;
    let errors = said(child.0.stderr.take().expect("it is piped"))?;
    let left = || deadline.saturating_duration_since(Instant::now());
    let late = |_| RepoError::Local(format!("the program `{name}` did not end in time and was killed"));
    let output = output.recv_timeout(left()).map_err(late)?;
    let words = errors.recv_timeout(left()).map_err(late)?.replace(|c: char| c.is_control(), " ");
    let status = loop {
        match child.0.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if left().is_zero() => return Err(late(RecvTimeoutError::Timeout)),
            Ok(None) => pause(),
            Err(error) => return Err(RepoError::Local(format!("cannot wait for `{name}`: {error}"))),
        }
    };
    Ok(Verdict {
        is_success: status.success(),
        output,
        words: words.trim().chars().take(WORDS_CHARACTERS_MAX).collect(),
    })
}

#[expect(clippy::disallowed_methods, reason = "this is blocking work, on a thread that is there for it")]
fn pause() {
    std::thread::sleep(LOOK);
}

/// A program that does not outlive whoever waits for it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended is not there to be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads what a program says, aside: it is sent when it has ended.
fn said(pipe: impl Read + Send + 'static) -> Result<Receiver<String>, RepoError> {
    let (text, said) = channel();
    ssh::thread("signature", move || {
        let _ = text.send(ssh::drained(pipe));
    })?;
    Ok(said)
}

fn read(path: &Path) -> Result<Vec<u8>, RepoError> {
    let size = fs::metadata(path).map_err(|error| io(path, &error))?.len();
    if size > KEYS_BYTES_MAX {
        return Err(RepoError::Local(format!("{} has {size} bytes, more than {KEYS_BYTES_MAX}", path.display())));
    }
    fs::read(path).map_err(|error| io(path, &error))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), RepoError> {
    File::create(path).and_then(|mut file| file.write_all(bytes)).map_err(|error| io(path, &error))
}

fn io(path: &Path, error: &std::io::Error) -> RepoError {
    RepoError::Local(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_good_signature_of_openpgp_is_good() {
        let judged = |lines: &[&str], is_success| {
            let status: Vec<String> = lines.iter().map(|line| format!("[GNUPG:] {line}\n")).collect();
            judge_gpg(&status.concat(), is_success)
        };
        assert_eq!(judged(&["NEWSIG", "GOODSIG C3C0 Ada <ada@example.com>", "VALIDSIG A2"], true), Ok(()));
        let refused = |lines: &[&str], is_success, part: &str| {
            let reason = judged(lines, is_success).expect_err(part);
            assert!(reason.contains(part), "{reason}");
        };
        refused(&["EXPKEYSIG C3C0 Old", "VALIDSIG A2"], true, "has expired");
        refused(&["REVKEYSIG C3C0 Ada", "VALIDSIG A2"], true, "was revoked");
        refused(&["EXPSIG C3C0 Ada"], true, "signature by the key C3C0 has expired");
        refused(&["BADSIG C3C0 Ada"], false, "does not fit");
        refused(&["ERRSIG C3C0 22 8 00 1 9", "NO_PUBKEY C3C0"], false, "not in the keyring");
        refused(&["GOODSIG C3C0 Ada"], false, "does not fit");
        refused(&["GOODSIG C3C0 Ada", "GOODSIG C3C1 Eve"], true, "exactly one");
        refused(&[], true, "exactly one");
        // A name cannot pretend to be a line of its own: gpgv escapes it, and a verdict is only read at the beginning.
        refused(&["ERRSIG C3C0 [GNUPG:] GOODSIG"], true, "not in the keyring");
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let folder = tempfile::tempdir().expect("a folder");
        let input = folder.path().join("input");
        write(&input, b"in").expect("written");
        let shell = |script: &str| {
            let mut command = program("sh");
            command.args(["-c", script]);
            command
        };
        let later = Instant::now() + Duration::from_secs(600);
        let verdict = run(shell("cat; echo words >&2; exit 3"), &input, later).expect("it ends");
        assert_eq!((verdict.is_success, verdict.output.as_str(), verdict.words.as_str()), (false, "in", "words"));
        // One that says nothing, and one that has said all: both have told who they are.
        for script in ["exec sleep 600", "exec >&- 2>&-; exec sleep 600"] {
            let told = folder.path().join("pid");
            let script = format!("echo $$ >{}; {script}", told.display());
            let soon = Instant::now() + Duration::from_secs(1);
            let error = run(shell(&script), &input, soon).err().expect("it does not end").to_string();
            assert!(error.contains("the program `sh` did not end in time and was killed"), "{error}");
            let pid = fs::read_to_string(&told).expect("it ran");
            assert!(!Path::new("/proc").join(pid.trim()).exists(), "{pid} still runs");
        }
    }

    #[test]
    fn armor_is_taken_off() {
        let block = |body: &str| {
            format!(
                "-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: 1\n\n{body}\n=njUN\n-----END PGP PUBLIC KEY BLOCK-----\n"
            )
        };
        let two = format!("# keys\n{}{}", block("AQID\nBAUG"), block("Bwg="));
        assert_eq!(without_armor(two.as_bytes()), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(without_armor(&[0x98, 0xff, 1]), [0x98, 0xff, 1]);
    }
}
