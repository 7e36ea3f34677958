//! Which repository, with which credentials: from settings to a connection, from gix's errors to ours.
//!
//! Only URLs that can be trusted with credentials are accepted: https, ssh, a local file, plain http on request only. Credentials are
//! read from their files anew for every connection, go into the first request, and are bound to the one configured host: redirects
//! are not followed. Knows no local copy. Invariant: no error, log line or `Debug` shows a credential.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use gix::ObjectId;
use gix::bstr::ByteSlice;
use gix::progress::Discard;
use gix::protocol::handshake::Ref;
use gix::protocol::transport::client::blocking_io::{Transport, http};
use gix::remote::fetch::Tags;
use gix::remote::{Direction, ref_map};

use super::ssh::{self, Destination, Said, SshAccess};
use crate::repo::{RepoError, Revision};

/// Longest time until a connection is there.
const CONNECT: Duration = Duration::from_secs(10);
/// Name of the user that goes with a token where none is given: GitHub and GitLab take any, others document this one.
const TOKEN_USER: &str = "x-access-token";
/// The ref of the local copy that follows the source.
const LOCAL_REF: &str = "refs/syncd/tip";
/// Where many refs would go. They are only looked at.
const LOCAL_REFS: &str = "refs/syncd/tags/*";

/// How to be let in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Who we are over https; `None`: nobody.
    pub credentials: Option<Credentials>,
    /// Who we are over ssh, and whom to talk to.
    pub ssh: Option<SshAccess>,
    /// PEM file of the certificate authorities to trust, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// URL of a proxy for https; `None`: that of the environment variables which all programs read, if there is one.
    pub proxy: Option<String>,
    /// Accept `http://` to hosts other than loopback. Whoever is on the way can then read and change everything.
    pub plain_http: bool,
}

/// Who we are. The secret stays in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Name of the user. `None`: one that goes with tokens.
    pub username: Option<String>,
    /// File with the password or token; white space at its end is not part of it.
    pub secret_file: PathBuf,
}

/// Settings that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Not a URL that we can follow.
    #[error("the repository URL is not acceptable: {0}")]
    Url(&'static str),
    /// Not the name of a ref.
    #[error("`{0}` is not the name of a ref; expected for example `refs/heads/main`, `main` or `refs/tags/v*`")]
    Reference(String),
    /// Credentials for a repository that needs none.
    #[error("{0}")]
    NoUseForCredentials(&'static str),
    /// Not a proxy that we can use.
    #[error("the proxy must be `http://host:port`, without credentials")]
    Proxy,
    /// ssh without a key, or without the server's.
    #[error("ssh needs a key file and a known_hosts file")]
    NoKey,
    /// A path that the program `ssh` cannot be told.
    #[error(
        "ssh cannot be told the path {0:?}; it must be without quotes, `$`, backslashes and a `~` at its beginning"
    )]
    SshPath(PathBuf),
    /// The folder for the local copy cannot be used.
    #[error("the folder for the local copy cannot be used")]
    Cache(#[source] RepoError),
}

/// A connection of any kind.
pub(super) type Connection<'a, 'r> = gix::remote::Connection<'a, 'static, 'r, Box<dyn Transport + Send>>;

/// One ref of one repository.
pub(super) struct Source {
    url: gix::Url,
    wanted: Wanted,
    access: Access,
}

/// What is followed.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// One ref, by its full name.
    Ref(String),
    /// Of all tags that begin like this, full name, the one with the highest version.
    HighestTag(String),
}

impl Wanted {
    /// Reads the name of a ref, or the pattern `refs/tags/…*`.
    fn new(name: &str) -> Result<Self, SourceError> {
        match name.strip_suffix('*') {
            None => checked_reference(name).map(Wanted::Ref),
            Some(prefix) if prefix.starts_with("refs/tags/") => {
                // What a version would make of it has to be a name.
                checked_reference(&format!("{prefix}0.0.0")).map_err(|_| SourceError::Reference(name.to_owned()))?;
                Ok(Wanted::HighestTag(prefix.to_owned()))
            }
            Some(_) => Err(SourceError::Reference(name.to_owned())),
        }
    }

    /// Returns the refs to ask for, as a pattern of git.
    fn pattern(&self) -> String {
        match self {
            Wanted::Ref(name) => name.clone(),
            Wanted::HighestTag(prefix) => format!("{prefix}*"),
        }
    }

    /// Chooses among the refs of a server, by their full names.
    fn choose<'a, T>(&self, refs: impl Iterator<Item = (&'a str, T)>) -> Option<T> {
        match self {
            Wanted::Ref(wanted) => refs.into_iter().find(|(name, _)| name == wanted).map(|(_, found)| found),
            Wanted::HighestTag(prefix) => {
                let versions = refs.filter_map(|(name, found)| Some((version(name.strip_prefix(prefix)?)?, found)));
                versions.max_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, found)| found)
            }
        }
    }
}

/// Reads a version as tags have it, with or without `v`. Nothing: it is none, or one before a release.
fn version(text: &str) -> Option<semver::Version> {
    let version = semver::Version::parse(text.strip_prefix('v').unwrap_or(text)).ok()?;
    version.pre.is_empty().then_some(version)
}

/// What can be known before anything is fetched. The scheme decides what else is needed.
fn checked_url(text: &str, plain_http: bool) -> Result<gix::Url, SourceError> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(SourceError::Url(match text.split_once(':') {
            Some((host, _)) if host.contains('@') && !host.contains('/') => {
                "write `git@host:path` as ssh://git@host/path"
            }
            _ => "expected https://…, ssh://…, file:///… or http://…",
        }));
    };
    if rest.contains(['?', '#']) || rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(SourceError::Url("it contains `?`, `#`, white space or control characters"));
    }
    let authority = rest.split('/').next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    if scheme != "file" && user.is_some_and(|user| scheme != "ssh" || user.contains(':')) {
        return Err(SourceError::Url("it contains a user or password; give them in files"));
    }
    match scheme {
        "https" => {}
        "file" if rest.starts_with('/') => {}
        "file" => return Err(SourceError::Url("a file URL begins with three slashes")),
        "http" if plain_http || is_loopback(authority) => {}
        "http" => return Err(SourceError::Url("http is neither private nor safe; use https, or allow it explicitly")),
        "ssh" if rest.contains(['\'', '\\', '!']) || authority.starts_with('-') || authority.contains("@-") => {
            return Err(SourceError::Url(
                "a URL for ssh cannot hold quotes, backslashes, `!`, or a host that begins with `-`",
            ));
        }
        "ssh" => {}
        _ => return Err(SourceError::Url("its scheme is none of https, ssh, file and http")),
    }
    let url = gix::url::parse(text.as_bytes().as_bstr()).map_err(|_| SourceError::Url("it cannot be parsed"))?;
    if scheme == "ssh" && url.host().is_none_or(str::is_empty) {
        return Err(SourceError::Url("it names no host"));
    }
    Ok(url)
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Returns the full name of a ref.
fn checked_reference(name: &str) -> Result<String, SourceError> {
    let full = if name.starts_with("refs/") { name.to_owned() } else { format!("refs/heads/{name}") };
    let valid = gix::validate::reference::name(full.as_bytes().as_bstr()).is_ok() && !full.contains('*');
    if valid { Ok(full) } else { Err(SourceError::Reference(name.to_owned())) }
}

impl Source {
    pub fn new(url: &str, reference: &str, access: Access) -> Result<Self, SourceError> {
        let url = checked_url(url, access.plain_http)?;
        let wanted = Wanted::new(reference)?;
        if let Some(proxy) = &access.proxy {
            let host = proxy.strip_prefix("http://").or_else(|| proxy.strip_prefix("https://"));
            let is_host = host.is_some_and(|host| !host.is_empty() && !host.contains('@'));
            if !is_host || reqwest::Proxy::all(proxy).is_err() {
                return Err(SourceError::Proxy);
            }
        }
        let (https, ssh) = (&access.credentials, &access.ssh);
        match (&url.scheme, https, ssh) {
            (gix::url::Scheme::Ssh, None, Some(ssh)) => {
                let mut paths = [&ssh.key_file, &ssh.known_hosts_file].into_iter();
                if let Some(path) = paths.find(|path| !ssh::is_quotable(path)) {
                    return Err(SourceError::SshPath(path.clone()));
                }
            }
            (gix::url::Scheme::Ssh, _, None) => return Err(SourceError::NoKey),
            (gix::url::Scheme::Ssh, Some(_), _) | (gix::url::Scheme::File, Some(_), _) => {
                return Err(SourceError::NoUseForCredentials("a token or password can only be used with https"));
            }
            (_, _, Some(_)) => return Err(SourceError::NoUseForCredentials("a key can only be used with ssh")),
            (_, _, None) => {}
        }
        Ok(Source { url, wanted, access })
    }

    /// Asks which commit the ref points at.
    pub fn tip(&self, repository: &gix::Repository, limit: Duration) -> Result<Revision, RepoError> {
        let remote = self.remote(repository, &self.wanted.pattern())?;
        let (connection, said) = self.connect(&remote, repository, limit)?;
        let (map, _) = connection
            .ref_map(Discard, ref_map::Options::default())
            .map_err(|error| self.refused(&error, said.as_ref()))?;
        // Servers of old protocols tell all their refs; those of the new one all that begin alike.
        let found = self.wanted.choose(map.remote_refs.iter().filter_map(named));
        found.map(|id| Revision(id.to_string())).ok_or_else(|| RepoError::NoRef(self.wanted.pattern()))
    }

    /// Names the ref to fetch; nothing where many are looked at, and a commit has to be named.
    pub fn reference(&self) -> Option<&str> {
        match &self.wanted {
            Wanted::Ref(name) => Some(name),
            Wanted::HighestTag(_) => None,
        }
    }

    pub fn remote<'r>(&self, repository: &'r gix::Repository, wanted: &str) -> Result<gix::Remote<'r>, RepoError> {
        let here = if wanted.ends_with('*') { LOCAL_REFS } else { LOCAL_REF };
        let specification = format!("+{wanted}:{here}");
        let remote = repository.remote_at(self.url.clone()).map_err(|error| local(&error))?.with_fetch_tags(Tags::None);
        remote.with_refspecs([specification.as_str()], Direction::Fetch).map_err(|error| local(&error))
    }

    /// Opens a connection: sends nothing over https, starts `git upload-pack` for a file, `ssh` for ssh; what that says comes with it.
    pub fn connect<'a, 'r>(
        &self,
        remote: &'a gix::Remote<'r>,
        repository: &gix::Repository,
        limit: Duration,
    ) -> Result<(Connection<'a, 'r>, Option<Said>), RepoError> {
        if let Some(access) = &self.access.ssh {
            let path = self.url.path.to_str().map_err(|_| RepoError::Local("the path is not UTF-8".to_owned()))?;
            let host = self.url.host().unwrap_or_default();
            let to = Destination { user: self.url.user(), host, port: self.url.port, path };
            let (transport, said) = ssh::connect(access, &to, self.url.to_bstring().as_bstr(), limit)?;
            let transport: Box<dyn Transport + Send> = Box::new(transport);
            return Ok((remote.to_connection_with_transport(transport), Some(said)));
        }
        let mut connection = remote.connect(Direction::Fetch).map_err(|error| self.refused(&error, None))?;
        if self.url.scheme != gix::url::Scheme::File {
            let url = self.url.to_bstring();
            let options = repository.transport_options(url.as_bstr(), None).map_err(|error| local(&error))?;
            let options = options.and_then(|options| options.downcast::<http::Options>().ok());
            let mut options = options.map(|options| *options).unwrap_or_default();
            options.follow_redirects = http::options::FollowRedirects::None;
            options.extra_headers = self.authorization()?.into_iter().collect();
            options.backend = Some(Arc::new(Mutex::new(self.backend(limit)?)));
            connection.set_transport_options(Box::new(options));
        }
        // What we have was in the first request: there is nothing to add when the server asks.
        Ok((connection.with_credentials(|_| Ok(None)), None))
    }

    fn backend(&self, limit: Duration) -> Result<http::reqwest::Options, RepoError> {
        let authorities = match &self.access.ca_file {
            Some(path) => Some(certificates(path)?),
            None => None,
        };
        let proxy = self.access.proxy.as_ref().map(reqwest::Proxy::all).transpose();
        let proxy = proxy.map_err(|error| RepoError::Local(format!("the proxy cannot be used: {error}")))?;
        let configure = move |builder: reqwest::blocking::ClientBuilder| {
            let builder = builder.timeout(limit).connect_timeout(CONNECT.min(limit));
            let builder = match &proxy {
                Some(proxy) => builder.no_proxy().proxy(proxy.clone()),
                None => builder,
            };
            Ok(match &authorities {
                Some(authorities) => builder.tls_certs_only(authorities.clone()),
                None => builder,
            })
        };
        Ok(http::reqwest::Options { configure_client: Some(Box::new(configure)), configure_request: None })
    }

    fn authorization(&self) -> Result<Option<String>, RepoError> {
        let Some(credentials) = &self.access.credentials else { return Ok(None) };
        let secret = read_text(&credentials.secret_file)?;
        let secret = secret.trim_end();
        if secret.is_empty() || secret.contains(['\n', '\r']) {
            let path = credentials.secret_file.display();
            return Err(RepoError::Unauthorized(format!("{path} must hold one line, the password or token")));
        }
        let user = credentials.username.as_deref().unwrap_or(TOKEN_USER);
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{secret}"));
        Ok(Some(format!("Authorization: Basic {pair}")))
    }

    /// Reads an error of connecting, of the handshake, or of listing refs; what ssh said about it comes first.
    pub fn refused(&self, error: &gix::Error, said: Option<&Said>) -> RepoError {
        if let Some(reason) = said.and_then(Said::reason) {
            return reason;
        }
        if error.is_unauthenticated() {
            let text = match self.access.credentials {
                Some(_) => "the credentials were not accepted: they are wrong, expired or revoked",
                None => "it asks for credentials, and none are configured",
            };
            return RepoError::Unauthorized(text.to_owned());
        }
        let text = told(error);
        if error.is_permission_denied() {
            return RepoError::Unauthorized(text);
        }
        if text.contains("HTTP status 404") || text.contains("HTTP status 410") {
            let text = match self.access.credentials {
                Some(_) => "or it is hidden from these credentials",
                None => "or it is hidden from who has no credentials",
            };
            return RepoError::NotFound(text.to_owned());
        }
        if self.url.scheme == gix::url::Scheme::File && text.contains("is a valid git directory") {
            return RepoError::NotFound(text);
        }
        if text.contains("HTTP status 3") {
            return RepoError::Unreachable(format!("it has moved, and redirects are not followed: {text}"));
        }
        if text.contains("invalid peer certificate") {
            return RepoError::Untrusted(text);
        }
        RepoError::Unreachable(text)
    }
}

/// Returns the full name of a ref and the commit that it leads to.
fn named(reference: &Ref) -> Option<(&str, ObjectId)> {
    let (name, object) = match reference {
        Ref::Peeled { full_ref_name, object, .. }
        | Ref::Direct { full_ref_name, object }
        | Ref::Symbolic { full_ref_name, object, .. } => (full_ref_name, object),
        Ref::Unborn { .. } => return None,
    };
    Some((name.to_str().ok()?, *object))
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("url", &self.url.to_bstring()).field("wanted", &self.wanted).finish()
    }
}

fn certificates(path: &Path) -> Result<Vec<reqwest::Certificate>, RepoError> {
    let text = read_text(path)?;
    let certificates = reqwest::Certificate::from_pem_bundle(text.as_bytes()).unwrap_or_default();
    if certificates.is_empty() {
        return Err(RepoError::Local(format!("{} holds no PEM certificate", path.display())));
    }
    Ok(certificates)
}

fn read_text(path: &Path) -> Result<String, RepoError> {
    std::fs::read_to_string(path).map_err(|error| RepoError::Local(format!("cannot read {}: {error}", path.display())))
}

/// Returns an error with its causes, on one line, each told once.
pub(super) fn told(error: &gix::Error) -> String {
    let mut causes: Vec<String> = Vec::new();
    for cause in error.iter_errors() {
        let cause = cause.to_string().replace(['\n', '\r'], " ");
        if !causes.iter().any(|known| known.contains(&cause)) {
            causes.push(cause);
        }
    }
    causes.join(": ")
}

pub(super) fn local(error: &gix::Error) -> RepoError {
    RepoError::Local(told(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_that_can_be_trusted_are_accepted() {
        for url in [
            "https://git.example/a/b.git",
            "https://git.example:8443/a",
            "file:///srv/git/a",
            "http://127.0.0.1:8080/a",
            "http://[::1]:8080/a",
            "http://localhost/a",
            "ssh://git@git.example/a",
            "ssh://git.example:2222/~ada/a",
        ] {
            assert!(checked_url(url, false).is_ok(), "{url}");
        }
        let refused = |url: &str| checked_url(url, false).expect_err(url).to_string();
        assert!(refused("https://me:secret@git.example/a").contains("give them in files"));
        assert!(!refused("https://me:secret@git.example/a").contains("secret"));
        assert!(refused("https://token@git.example/a").contains("give them in files"));
        assert!(refused("http://git.example/a").contains("use https"));
        assert!(refused("http://localhost.example/a").contains("use https"));
        assert!(refused("ssh://git:secret@git.example/a").contains("give them in files"));
        assert!(refused("ssh:///a").contains("not acceptable"));
        assert!(refused("ssh://-oProxyCommand=x/a").contains("begins with `-`"));
        assert!(refused("ssh://git@-oProxyCommand=x/a").contains("begins with `-`"));
        assert!(refused("ssh://git.example/a'b").contains("quotes"));
        assert!(refused("git@git.example:a/b").contains("ssh://git@host/path"));
        assert!(refused("git.example:a/b").contains("expected https"));
        assert!(refused("--upload-pack=x").contains("expected https"));
        assert!(refused("ext://sh -c x").contains("white space"));
        assert!(refused("git://git.example/a").contains("scheme"));
        assert!(refused("file://host/a").contains("three slashes"));
        assert!(refused("https://git.example/a?token=b").contains("`?`"));
        assert!(checked_url("http://git.example/a", true).is_ok());
    }

    #[test]
    fn a_branch_is_named_shortly_or_in_full() {
        assert_eq!(checked_reference("main").expect("valid"), "refs/heads/main");
        assert_eq!(checked_reference("release/1").expect("valid"), "refs/heads/release/1");
        assert_eq!(checked_reference("refs/tags/v1").expect("valid"), "refs/tags/v1");
        for name in ["", "a b", "a..b", "-x:y", "refs/heads/*", "a:b", "a~1", "refs/heads/.a"] {
            assert!(checked_reference(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn of_many_tags_the_highest_version_is_followed() {
        let chosen = |pattern: &str, names: &[&'static str]| {
            Wanted::new(pattern).expect(pattern).choose(names.iter().map(|name| (*name, *name)))
        };
        let tags = ["refs/tags/v1.9.0", "refs/tags/v1.10.0", "refs/tags/v2.0.0-rc.1", "refs/tags/v1", "refs/tags/vx"];
        assert_eq!(chosen("refs/tags/v*", &tags), Some("refs/tags/v1.10.0"));
        assert_eq!(chosen("refs/tags/*", &tags), Some("refs/tags/v1.10.0"));
        assert_eq!(chosen("refs/tags/v1.9*", &tags), None, "what follows has to be a whole version");
        let tags = ["refs/tags/staging/1.2.3", "refs/tags/production/1.2.2", "refs/heads/production/9.0.0"];
        assert_eq!(chosen("refs/tags/production/*", &tags), Some("refs/tags/production/1.2.2"));
        assert_eq!(chosen("refs/tags/v1.9.0", &["refs/tags/v1.9.01", "refs/tags/v1.9.0"]), Some("refs/tags/v1.9.0"));
        for pattern in ["refs/heads/*", "*", "v*", "refs/tags/v*.0", "refs/tags/**", "refs/tags/a b*"] {
            assert!(Wanted::new(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_proxy_is_named_without_credentials() {
        let with = |proxy: &str| {
            let access = Access { proxy: Some(proxy.to_owned()), ..Access::default() };
            Source::new("https://git.example/a", "main", access)
        };
        assert!(with("http://proxy.example:3128").is_ok());
        for proxy in ["", "proxy.example:3128", "http://", "http://me:secret@proxy.example", "socks5://proxy.example"] {
            assert!(matches!(with(proxy), Err(SourceError::Proxy)), "{proxy}");
        }
    }

    #[test]
    fn credentials_go_where_they_belong_only() {
        let credentials = Some(Credentials { username: None, secret_file: PathBuf::from("/nowhere") });
        let ssh = |key: &str| Some(SshAccess { key_file: key.into(), known_hosts_file: "/hosts".into() });
        let refused = |url: &str, credentials: &Option<Credentials>, ssh: Option<SshAccess>| {
            let access = Access { credentials: credentials.clone(), ssh, ..Access::default() };
            Source::new(url, "main", access).expect_err(url).to_string()
        };
        assert!(refused("file:///srv/a", &credentials, None).contains("only be used with https"));
        assert!(refused("ssh://git@h/a", &credentials, ssh("/key")).contains("only be used with https"));
        assert!(refused("https://h/a", &None, ssh("/key")).contains("only be used with ssh"));
        assert!(refused("ssh://git@h/a", &None, None).contains("needs a key file"));
        assert!(refused("ssh://git@h/a", &None, ssh("/a\"b")).contains("without quotes"));
        let access = Access { ssh: ssh("/key"), ..Access::default() };
        assert!(Source::new("ssh://git@h/a", "main", access).is_ok());
    }
}
