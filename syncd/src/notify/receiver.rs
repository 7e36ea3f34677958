//! How each kind of receiver is told: which request, with which body.
//!
//! Knows no queue. Invariants: a credential goes to the one origin it was given for, no redirect is followed, and no error has an
//! address in it, because addresses of chats are secrets; a receiver that is told the same twice ends as if told once.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hmac::{Hmac, Mac};
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::Sha256;

use super::config::{Entry, Forge, web_address};
use super::news::{Kind, News, Progress};

/// Longest time for one request.
const REQUEST: Duration = Duration::from_secs(10);
/// Longest description of a status, in characters: GitHub takes no more.
const DESCRIPTION_MAX: usize = 140;
/// Longest body of an answer that is read.
const ANSWER_MAX: usize = 1 << 20;

/// Why something could not be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It may work later.
    #[error("{what}")]
    Later {
        /// What happened.
        what: String,
        /// When the receiver wants to be asked again.
        after: Option<Duration>,
    },
    /// It will not work as it is.
    #[error("{0}")]
    Refused(String),
}

impl Failure {
    fn later(what: impl Into<String>) -> Self {
        Failure::Later { what: what.into(), after: None }
    }
}

/// Sends requests.
pub struct Http {
    client: reqwest::Client,
    /// The file that says who may vouch for the other side, and what was in it.
    authorities: Option<(PathBuf, Vec<u8>)>,
}

impl Http {
    /// Prepares.
    ///
    /// # Errors
    /// What is wrong with the file of authorities.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, String> {
        let Some(file) = ca_file else { return Ok(Http { client: client(None)?, authorities: None }) };
        let wrong = |why: String| format!("caFile: {}: {why}", file.display());
        let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
        let client = client(Some(&pem)).map_err(wrong)?;
        Ok(Http { client, authorities: Some((file.to_owned(), pem)) })
    }

    /// Takes over authorities that were changed. As long as their file cannot be used, the ones before are asked.
    pub(super) fn renew(&mut self) {
        let Some((file, known)) = &mut self.authorities else { return };
        let Some(pem) = std::fs::read(&*file).ok().filter(|pem| pem != known) else { return };
        match client(Some(&pem)) {
            Ok(client) => (self.client, *known) = (client, pem),
            Err(why) => tracing::warn!(file = %file.display(), why, "the authorities of a receiver stay as they were"),
        }
    }

    async fn send(&self, method: Method, address: &str, headers: HeaderMap, body: Vec<u8>) -> Result<Value, Failure> {
        let request =
            self.client.request(method, address).headers(headers).header("content-type", "application/json").body(body);
        let response = request.send().await.map_err(|error| {
            let why = if error.is_timeout() { "no answer in time" } else { "no connection" };
            Failure::later(why)
        })?;
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let is_long = response.content_length().is_some_and(|length| length > ANSWER_MAX as u64);
        let text = if is_long { String::new() } else { response.text().await.unwrap_or_default() };
        match status {
            _ if status.is_success() => Ok(serde_json::from_str(&text).unwrap_or_default()),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Err(Failure::Later { what: format!("answered {status}"), after: after.map(Duration::from_secs) })
            }
            _ if status.is_server_error() => {
                Err(Failure::Later { what: format!("answered {status}"), after: after.map(Duration::from_secs) })
            }
            // GitLab, when it is told what it knows.
            StatusCode::BAD_REQUEST if text.contains("Cannot transition status") => Ok(Value::Null),
            _ => Err(Failure::Refused(format!("answered {status}"))),
        }
    }
}

/// Makes a client that believes these authorities, in PEM, and no others; or those that everybody believes.
fn client(authorities: Option<&[u8]>) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .timeout(REQUEST)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("syncd/", env!("CARGO_PKG_VERSION")));
    if let Some(pem) = authorities {
        let authorities = reqwest::Certificate::from_pem_bundle(pem).unwrap_or_default();
        if authorities.is_empty() {
            return Err("no PEM certificate in it".to_owned());
        }
        builder = builder.tls_certs_only(authorities);
    }
    builder.build().map_err(|error| error.to_string())
}

/// Someone to tell.
#[derive(Debug, Clone)]
pub struct Receiver {
    entry: Entry,
    /// The deployment of the commit that was last told of.
    deployment: Option<(String, u64)>,
}

/// What every message says beside the news.
pub struct Around<'a> {
    /// Environment.
    pub environment: &'a str,
    /// Address of the status page.
    pub link: Option<&'a str>,
}

impl Receiver {
    /// Takes a receiver of a file, if it can be used.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn new(entry: Entry) -> Result<Self, Vec<String>> {
        let mut wrong = Vec::new();
        match &entry {
            Entry::Webhook { url, url_file, .. } => match (url, url_file) {
                (Some(url), None) => wrong.extend(web_address(url).err().map(|why| format!("url: {why}"))),
                (None, Some(_)) => {}
                _ => wrong.push("expected `url` or `urlFile`".to_owned()),
            },
            Entry::Slack { .. } => {}
            Entry::Github(forge) | Entry::Gitlab(forge) | Entry::Gitea(forge) => {
                if let Some(Err(why)) = forge.api.as_deref().map(web_address) {
                    wrong.push(format!("api: {why}"));
                }
                let parts: Vec<&str> = forge.repository.split('/').collect();
                let is_path = parts.iter().all(|part| {
                    !part.is_empty()
                        && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
                        && ![".", ".."].contains(part)
                });
                if !is_path || parts.len() < 2 || (parts.len() > 2 && !matches!(entry, Entry::Gitlab(_))) {
                    wrong.push(format!("repository: `{}` is not `owner/name`", forge.repository));
                }
                if matches!(entry, Entry::Gitea(_)) && forge.api.is_none() {
                    wrong.push(
                        "api: Gitea has no address of its own; give that of your server, https://…/api/v1".to_owned(),
                    );
                }
                if matches!(entry, Entry::Gitea(_)) && forge.deployments {
                    wrong.push("deployments: Gitea has none".to_owned());
                }
            }
        }
        if wrong.is_empty() { Ok(Receiver { entry, deployment: None }) } else { Err(wrong) }
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        match &self.entry {
            Entry::Webhook { name, .. } | Entry::Slack { name, .. } => name,
            Entry::Github(forge) | Entry::Gitlab(forge) | Entry::Gitea(forge) => &forge.name,
        }
    }

    /// Returns the file of the authorities that may vouch for it.
    pub fn ca_file(&self) -> Option<&Path> {
        match &self.entry {
            Entry::Webhook { ca_file, .. } | Entry::Slack { ca_file, .. } => ca_file.as_deref(),
            Entry::Github(forge) | Entry::Gitlab(forge) | Entry::Gitea(forge) => forge.ca_file.as_deref(),
        }
    }

    /// Tells whether it is to be told of this.
    pub fn wants(&self, news: &News) -> bool {
        let chosen = |about: &Option<Vec<Kind>>, kind| about.as_ref().is_none_or(|about| about.contains(&kind));
        match (&self.entry, news) {
            (Entry::Webhook { about, .. } | Entry::Slack { about, .. }, News::Problem { kind, .. }) => {
                chosen(about, *kind)
            }
            (Entry::Github(_) | Entry::Gitlab(_) | Entry::Gitea(_), News::Commit { .. }) => true,
            _ => false,
        }
    }

    /// Tells it.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn tell(&mut self, http: &Http, news: &News, around: &Around<'_>) -> Result<(), Failure> {
        match (&self.entry, news) {
            (Entry::Webhook { url, url_file, secret_file, .. }, News::Problem { .. }) => {
                let address = url.clone().map_or_else(|| address_of(url_file.as_deref()), Ok)?;
                let body = generic(news, around).to_string().into_bytes();
                let mut headers = HeaderMap::new();
                if let Some(file) = secret_file {
                    let secret = secret_of(file)?;
                    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
                    mac.update(&body);
                    let proof: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
                    headers.insert("x-syncd-signature-256", header(&format!("sha256={proof}"))?);
                }
                http.send(Method::POST, &address, headers, body).await.map(drop)
            }
            (Entry::Slack { url_file, .. }, News::Problem { .. }) => {
                let address = address_of(Some(url_file))?;
                http.send(Method::POST, &address, HeaderMap::new(), chat(news, around).to_string().into_bytes())
                    .await
                    .map(drop)
            }
            (
                Entry::Github(forge) | Entry::Gitlab(forge) | Entry::Gitea(forge),
                News::Commit { revision, progress, text },
            ) => {
                let dialect = match &self.entry {
                    Entry::Gitlab(_) => Dialect::Gitlab,
                    Entry::Gitea(_) => Dialect::Gitea,
                    _ => Dialect::Github,
                };
                let known = self.deployment.as_ref().filter(|(of, _)| of == revision).map(|(_, id)| *id);
                let told = Commit { http, forge, dialect, revision, progress: *progress, text, around };
                told.status().await?;
                if forge.deployments {
                    let id = told.deployment(known).await?;
                    self.deployment = id.map(|id| (revision.clone(), id));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn secret_of(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| Failure::later(format!("{}: {error}", file.display())))?;
    match text.trim() {
        "" => Err(Failure::later(format!("{} is empty", file.display()))),
        text => Ok(text.to_owned()),
    }
}

fn address_of(file: Option<&Path>) -> Result<String, Failure> {
    let file: PathBuf = file.map(Path::to_owned).unwrap_or_default();
    let address = secret_of(&file)?;
    web_address(&address).map_err(|why| Failure::Refused(format!("{}: {why}", file.display())))?;
    Ok(address)
}

fn header(text: &str) -> Result<HeaderValue, Failure> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| Failure::Refused("a secret with line ends in it".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The message of a generic webhook.
fn generic(news: &News, around: &Around<'_>) -> Value {
    let News::Problem { kind, is_solved, title, text, services, revision, subject } = news else { return Value::Null };
    json!({
        "version": "v1", "environment": around.environment, "kind": kind, "state": if *is_solved { "solved" } else { "begun" },
        "title": title, "text": text, "services": services, "revision": revision, "subject": subject, "link": around.link,
    })
}

/// The message of a chat: what Slack shows, and others that read its messages. `<`, `>` and `&` begin what Slack would turn into links and calls.
fn chat(news: &News, around: &Around<'_>) -> Value {
    let News::Problem { is_solved, title, text, revision, subject, .. } = news else { return Value::Null };
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mark = if *is_solved { ":white_check_mark: solved: " } else { ":rotating_light: " };
    let mut lines = vec![format!("{mark}*{}*: {}", escaped(around.environment), escaped(title))];
    if !text.is_empty() {
        lines.push(escaped(text));
    }
    if let Some(revision) = revision {
        let subject = subject.as_deref().map(|subject| format!(" {}", escaped(subject))).unwrap_or_default();
        lines.push(format!("at `{}`{subject}", revision.get(..12).unwrap_or(revision)));
    }
    lines.extend(around.link.map(|link| format!("<{link}>")));
    json!({"text": lines.join("\n")})
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Github,
    Gitlab,
    Gitea,
}

/// A commit to tell a forge of.
struct Commit<'a> {
    http: &'a Http,
    forge: &'a Forge,
    dialect: Dialect,
    revision: &'a str,
    progress: Progress,
    text: &'a str,
    around: &'a Around<'a>,
}

impl Commit<'_> {
    fn project(&self) -> String {
        let default =
            if self.dialect == Dialect::Gitlab { "https://gitlab.com/api/v4" } else { "https://api.github.com" };
        let api = self.forge.api.as_deref().unwrap_or(default).trim_end_matches('/');
        match self.dialect {
            Dialect::Gitlab => format!("{api}/projects/{}", self.forge.repository.replace('/', "%2F")),
            Dialect::Github | Dialect::Gitea => format!("{api}/repos/{}", self.forge.repository),
        }
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value, Failure> {
        let token = secret_of(&self.forge.token_file)?;
        let mut headers = HeaderMap::new();
        match self.dialect {
            Dialect::Gitlab => headers.insert("private-token", header(&token)?),
            Dialect::Github => headers.insert("authorization", header(&format!("Bearer {token}"))?),
            Dialect::Gitea => headers.insert("authorization", header(&format!("token {token}"))?),
        };
        self.http.send(method, &format!("{}{path}", self.project()), headers, body.to_string().into_bytes()).await
    }

    fn description(&self) -> String {
        self.text.chars().take(DESCRIPTION_MAX).collect()
    }

    fn state(&self) -> &'static str {
        match (self.dialect, self.progress) {
            (Dialect::Gitlab, Progress::Pending) => "running",
            (Dialect::Gitlab, Progress::Failure) => "failed",
            (Dialect::Gitlab, Progress::Superseded) => "canceled",
            (_, Progress::Pending) => "pending",
            (_, Progress::Success) => "success",
            (_, Progress::Failure) => "failure",
            (_, Progress::Superseded) => "error",
        }
    }

    async fn status(&self) -> Result<(), Failure> {
        let label = format!("syncd/{}", self.around.environment);
        let name = if self.dialect == Dialect::Gitlab { "name" } else { "context" };
        let mut body = json!({"state": self.state(), name: label, "description": self.description()});
        if let Some(link) = self.around.link {
            body["target_url"] = json!(link);
        }
        self.send(Method::POST, &format!("/statuses/{}", self.revision), &body).await.map(drop)
    }

    /// Tells of the deployment, which is made where none is known, and returns its number.
    async fn deployment(&self, known: Option<u64>) -> Result<Option<u64>, Failure> {
        let environment = self.around.environment;
        match self.dialect {
            Dialect::Gitea => Ok(None),
            Dialect::Gitlab => {
                let state = json!({"status": self.state()});
                if let Some(id) = known {
                    self.send(Method::PUT, &format!("/deployments/{id}"), &state).await?;
                    return Ok(known);
                }
                let branch = self.forge.branch.as_deref().unwrap_or("main");
                let body = json!({"environment": environment, "sha": self.revision, "ref": branch, "tag": false, "status": self.state()});
                Ok(self.send(Method::POST, "/deployments", &body).await?["id"].as_u64())
            }
            Dialect::Github => {
                let id = match known {
                    Some(id) => Some(id),
                    None => {
                        // No merge and no checks: what is told of is happening already.
                        let body = json!({"ref": self.revision, "environment": environment, "auto_merge": false, "required_contexts": [], "description": "syncd"});
                        self.send(Method::POST, "/deployments", &body).await?["id"].as_u64()
                    }
                };
                let Some(id) = id else { return Err(Failure::Refused("no deployment was made".to_owned())) };
                let state = match self.progress {
                    Progress::Pending => "in_progress",
                    Progress::Success => "success",
                    Progress::Failure => "failure",
                    Progress::Superseded => "inactive",
                };
                let mut body = json!({"state": state, "description": self.description()});
                if let Some(link) = self.around.link {
                    body["log_url"] = json!(link);
                }
                self.send(Method::POST, &format!("/deployments/{id}/statuses"), &body).await?;
                Ok(Some(id))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority() -> String {
        let signed = rcgen::generate_simple_self_signed(["example.org".to_owned()]).expect("a certificate");
        signed.cert.pem()
    }

    #[test]
    fn authorities_are_taken_over_when_their_file_changes() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let file = tempfile::NamedTempFile::new().expect("a file");
        let (first, second) = (authority(), authority());
        let write = |text: &str| std::fs::write(file.path(), text).expect("written");
        write(&first);
        let mut http = Http::new(Some(file.path())).expect("authorities");
        for (text, known) in [(&first, &first), (&second, &second), (&"half".to_owned(), &second), (&first, &first)] {
            write(text);
            http.renew();
            let believed = http.authorities.as_ref().map(|(_, pem)| pem.as_slice());
            assert_eq!(believed, Some(known.as_bytes()));
        }
    }
}
