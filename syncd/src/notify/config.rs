//! Whom to tell: a YAML file.
//!
//! Secrets are never in it: tokens and addresses that let whoever knows them post are files, read anew at each message. Invariant: a
//! file that is read can be used; everything that is wrong with it is told at once, by receiver and field.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use super::news::Kind;
use super::receiver::Receiver;
use crate::yaml_file::{self, YamlFileError};

/// Whom to tell.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of the status page, for links; without it there are none.
    pub link: Option<String>,
    /// The receivers, at least one.
    pub receivers: Vec<Receiver>,
}

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] YamlFileError),
    /// Not a list of receivers.
    #[error("{}", .0.join("; "))]
    Wrong(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    link: Option<String>,
    receivers: Vec<Value>,
}

/// A receiver as the file has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", tag = "type", rename_all_fields = "camelCase")]
pub enum Entry {
    /// POST of JSON, signed where there is a secret.
    Webhook {
        /// Name, for logs and metrics.
        name: String,
        /// Where to.
        #[serde(default)]
        url: Option<String>,
        /// File with where to.
        #[serde(default)]
        url_file: Option<PathBuf>,
        /// File with the secret that signs.
        #[serde(default)]
        secret_file: Option<PathBuf>,
        /// PEM file of the authorities that may vouch for it.
        #[serde(default)]
        ca_file: Option<PathBuf>,
        /// Which problems; all if absent.
        #[serde(default)]
        about: Option<Vec<Kind>>,
    },
    /// Slack, Mattermost, Rocket.Chat and others that take `{"text": ...}`.
    Slack {
        /// Name, for logs and metrics.
        name: String,
        /// File with where to.
        url_file: PathBuf,
        /// PEM file of the authorities that may vouch for it.
        #[serde(default)]
        ca_file: Option<PathBuf>,
        /// Which problems; all if absent.
        #[serde(default)]
        about: Option<Vec<Kind>>,
    },
    /// Statuses of commits, and deployments, at GitHub.
    Github(Forge),
    /// The same at GitLab.
    Gitlab(Forge),
    /// Statuses of commits at Gitea and Forgejo.
    Gitea(Forge),
}

/// Where commits have statuses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Forge {
    /// Name, for logs and metrics.
    pub name: String,
    /// `owner/name`; at GitLab the path with all groups.
    pub repository: String,
    /// Address of the API.
    #[serde(default)]
    pub api: Option<String>,
    /// File with a token.
    pub token_file: PathBuf,
    /// Whether deployments are told as well.
    #[serde(default)]
    pub deployments: bool,
    /// The branch that is followed, which GitLab wants for a deployment.
    #[serde(default)]
    pub branch: Option<String>,
    /// PEM file of the authorities that may vouch for it.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let value = yaml_file::read(text, "the file has")?.into_iter().next().unwrap_or_default();
        let file: File = serde_json::from_value(value).map_err(|error| ConfigError::Wrong(vec![error.to_string()]))?;
        let mut wrong = Vec::new();
        if file.receivers.is_empty() {
            wrong.push("receivers: there is none".to_owned());
        }
        if let Some(Err(why)) = file.link.as_deref().map(web_address) {
            wrong.push(format!("link: {why}"));
        }
        let mut receivers: Vec<Receiver> = Vec::new();
        for (number, value) in file.receivers.into_iter().enumerate() {
            let read =
                serde_json::from_value::<Entry>(value).map_err(|error| vec![error.to_string()]).and_then(Receiver::new);
            match read {
                Ok(receiver) if receivers.iter().any(|other| other.name() == receiver.name()) => {
                    wrong.push(format!("receivers[{number}]: there are two of the name `{}`", receiver.name()));
                }
                Ok(receiver) => receivers.push(receiver),
                Err(whys) => wrong.extend(whys.into_iter().map(|why| format!("receivers[{number}]: {why}"))),
            }
        }
        if wrong.is_empty() { Ok(Config { link: file.link, receivers }) } else { Err(ConfigError::Wrong(wrong)) }
    }
}

/// Tells whether messages may be sent to an address: https, or http to this machine.
pub(super) fn web_address(text: &str) -> Result<(), String> {
    let address = reqwest::Url::parse(text).map_err(|_| "not an address".to_owned())?;
    let is_here = address.host_str().is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host));
    match address.scheme() {
        _ if !address.username().is_empty() || address.password().is_some() => {
            Err("an address with credentials in it; use a file".to_owned())
        }
        "https" => Ok(()),
        "http" if is_here => Ok(()),
        _ => Err("expected https://".to_owned()),
    }
}
