//! Which repository, with which credentials: from settings to a connection, from gix's errors to ours.
//!
//! Only URLs that can be trusted with credentials are accepted: https, a local file, plain http on request only. Credentials are read
//! from their files anew for every connection, go into the first request, and are bound to the one configured host: redirects are
//! not followed. Knows no local copy. Invariant: no error, log line or `Debug` shows a credential.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use gix::bstr::ByteSlice;
use gix::progress::Discard;
use gix::protocol::handshake::Ref;
use gix::protocol::transport::client::blocking_io::{Transport, http};
use gix::remote::fetch::Tags;
use gix::remote::{Direction, ref_map};

use crate::repo::{RepoError, Revision};

/// Longest time until a connection is there.
const CONNECT: Duration = Duration::from_secs(10);
/// Name of the user that goes with a token where none is given: GitHub and GitLab take any, others document this one.
const TOKEN_USER: &str = "x-access-token";
/// The ref of the local copy that follows the source.
pub(super) const LOCAL_REF: &str = "refs/syncd/tip";

/// How to be let in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Who we are; `None`: nobody.
    pub credentials: Option<Credentials>,
    /// PEM file of the certificate authorities to trust, instead of the system's.
    pub ca_file: Option<PathBuf>,
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
    #[error("`{0}` is not the name of a ref; expected for example `refs/heads/main` or `main`")]
    Reference(String),
    /// Credentials for a repository that needs none.
    #[error("credentials can only be used with https")]
    NoUseForCredentials,
    /// The folder for the local copy cannot be used.
    #[error("the folder for the local copy cannot be used")]
    Cache(#[source] RepoError),
}

/// One ref of one repository.
pub(super) struct Source {
    url: gix::Url,
    reference: String,
    access: Access,
}

/// What can be known before anything is fetched. The scheme decides what else is needed.
fn checked_url(text: &str, plain_http: bool) -> Result<gix::Url, SourceError> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(SourceError::Url("expected https://…, file:///… or http://…"));
    };
    if rest.contains(['?', '#']) || rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(SourceError::Url("it contains `?`, `#`, white space or control characters"));
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if scheme != "file" && authority.contains('@') {
        return Err(SourceError::Url("it contains a user or password; give them in files"));
    }
    match scheme {
        "https" => {}
        "file" if rest.starts_with('/') => {}
        "file" => return Err(SourceError::Url("a file URL begins with three slashes")),
        "http" if plain_http || is_loopback(authority) => {}
        "http" => return Err(SourceError::Url("http is neither private nor safe; use https, or allow it explicitly")),
        "ssh" => return Err(SourceError::Url("ssh is not supported yet; use https with a token")),
        _ => return Err(SourceError::Url("its scheme is none of https, file and http")),
    }
    gix::url::parse(text.as_bytes().as_bstr()).map_err(|_| SourceError::Url("it cannot be parsed"))
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
        let reference = checked_reference(reference)?;
        if access.credentials.is_some() && url.scheme == gix::url::Scheme::File {
            return Err(SourceError::NoUseForCredentials);
        }
        Ok(Source { url, reference, access })
    }

    /// Asks which commit the ref points at.
    pub fn tip(&self, repository: &gix::Repository, limit: Duration) -> Result<Revision, RepoError> {
        let remote = self.remote(repository, &self.reference)?;
        let connection = self.connect(&remote, repository, limit)?;
        let (map, _) =
            connection.ref_map(Discard, ref_map::Options::default()).map_err(|error| self.refused(&error))?;
        // Servers of old protocols tell all their refs; those of the new one all that begin alike.
        let found = map.remote_refs.iter().find_map(|reference| self.commit_of(reference));
        found.ok_or_else(|| RepoError::NoRef(self.reference.clone()))
    }

    fn commit_of(&self, reference: &Ref) -> Option<Revision> {
        let (name, object) = match reference {
            Ref::Peeled { full_ref_name, object, .. }
            | Ref::Direct { full_ref_name, object }
            | Ref::Symbolic { full_ref_name, object, .. } => (full_ref_name, object),
            Ref::Unborn { .. } => return None,
        };
        (name == self.reference.as_bytes()).then(|| Revision(object.to_string()))
    }

    /// Names what to fetch: the ref, or one commit of it.
    pub fn wanted(&self, revision: Option<&Revision>) -> String {
        revision.map_or_else(|| self.reference.clone(), |revision| revision.0.clone())
    }

    pub fn remote<'r>(&self, repository: &'r gix::Repository, wanted: &str) -> Result<gix::Remote<'r>, RepoError> {
        let specification = format!("+{wanted}:{LOCAL_REF}");
        let remote = repository.remote_at(self.url.clone()).map_err(|error| local(&error))?.with_fetch_tags(Tags::None);
        remote.with_refspecs([specification.as_str()], Direction::Fetch).map_err(|error| local(&error))
    }

    /// Opens a connection: sends nothing over https, starts `git upload-pack` for a file.
    pub fn connect<'a, 'r>(
        &self,
        remote: &'a gix::Remote<'r>,
        repository: &gix::Repository,
        limit: Duration,
    ) -> Result<gix::remote::Connection<'a, 'static, 'r, Box<dyn Transport + Send>>, RepoError> {
        let mut connection = remote.connect(Direction::Fetch).map_err(|error| self.refused(&error))?;
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
        Ok(connection.with_credentials(|_| Ok(None)))
    }

    fn backend(&self, limit: Duration) -> Result<http::reqwest::Options, RepoError> {
        let authorities = match &self.access.ca_file {
            Some(path) => Some(certificates(path)?),
            None => None,
        };
        let configure = move |builder: reqwest::blocking::ClientBuilder| {
            let builder = builder.timeout(limit).connect_timeout(CONNECT.min(limit));
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

    /// Reads an error of connecting, of the handshake, or of listing refs.
    pub fn refused(&self, error: &gix::Error) -> RepoError {
        if error.is_unauthenticated() {
            let text = match self.access.credentials {
                Some(_) => "the credentials were not accepted",
                None => "it asks for credentials, and none are configured",
            };
            return RepoError::Unauthorized(text.to_owned());
        }
        if error.is_permission_denied() {
            return RepoError::Unauthorized(told(error));
        }
        RepoError::Unreachable(told(error))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("url", &self.url.to_bstring()).field("reference", &self.reference).finish()
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
        ] {
            assert!(checked_url(url, false).is_ok(), "{url}");
        }
        let refused = |url: &str| checked_url(url, false).expect_err(url).to_string();
        assert!(refused("https://me:secret@git.example/a").contains("give them in files"));
        assert!(!refused("https://me:secret@git.example/a").contains("secret"));
        assert!(refused("https://token@git.example/a").contains("give them in files"));
        assert!(refused("http://git.example/a").contains("use https"));
        assert!(refused("http://localhost.example/a").contains("use https"));
        assert!(refused("ssh://git@git.example/a").contains("give them in files"));
        assert!(refused("ssh://git.example/a").contains("not supported yet"));
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
    fn credentials_go_with_https_only() {
        let credentials = Some(Credentials { username: None, secret_file: PathBuf::from("/nowhere") });
        let access = Access { credentials, ..Access::default() };
        assert!(matches!(Source::new("file:///srv/a", "main", access), Err(SourceError::NoUseForCredentials)));
    }
}
