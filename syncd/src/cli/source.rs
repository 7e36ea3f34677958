//! The flags that say which repository, and how it is reached.

use std::path::PathBuf;

use clap::Args;

use crate::git::{Access, Credentials, GitLimits, GitRepo, GitSettings, Signers, SourceError, SshAccess};

#[derive(Debug, Args)]
pub(super) struct SourceArguments {
    /// URL of the Git repository: https://…, ssh://git@host/…, file:///…, or http:// to loopback; without credentials
    #[arg(long, env = "SYNCD_REPOSITORY", value_name = "URL", help_heading = "Source")]
    pub(super) repository: String,
    /// Ref to follow: a full name, a branch, or `refs/tags/v*` for the tag with the highest version
    #[arg(
        long = "ref",
        env = "SYNCD_REF",
        default_value = "refs/heads/main",
        value_name = "REF",
        help_heading = "Source"
    )]
    pub(super) reference: String,
    /// File with a token for the repository; read anew at each request
    #[arg(
        long,
        env = "SYNCD_TOKEN_FILE",
        value_name = "FILE",
        conflicts_with = "password_file",
        help_heading = "Source"
    )]
    pub(super) token_file: Option<PathBuf>,
    /// User name for the repository; needed with a password, optional with a token
    #[arg(long, env = "SYNCD_USERNAME", value_name = "NAME", help_heading = "Source")]
    pub(super) username: Option<String>,
    /// File with a password for the repository; read anew at each request
    #[arg(long, env = "SYNCD_PASSWORD_FILE", value_name = "FILE", requires = "username", help_heading = "Source")]
    pub(super) password_file: Option<PathBuf>,
    /// File with a private key for the repository over ssh, without passphrase
    #[arg(
        long,
        env = "SYNCD_SSH_KEY_FILE",
        value_name = "FILE",
        requires = "ssh_known_hosts_file",
        help_heading = "Source"
    )]
    pub(super) ssh_key_file: Option<PathBuf>,
    /// File with the keys that the ssh server may have, in the form of known_hosts; others are refused
    #[arg(
        long,
        env = "SYNCD_SSH_KNOWN_HOSTS_FILE",
        value_name = "FILE",
        requires = "ssh_key_file",
        help_heading = "Source"
    )]
    pub(super) ssh_known_hosts_file: Option<PathBuf>,
    /// PEM file of the certificate authorities that may vouch for the repository, instead of the system's
    #[arg(long, env = "SYNCD_CA_FILE", value_name = "FILE", help_heading = "Source")]
    pub(super) ca_file: Option<PathBuf>,
    /// File of the ssh keys that may sign commits, as ssh-keygen reads it (ALLOWED SIGNERS); other commits are refused
    #[arg(long, env = "SYNCD_ALLOWED_SIGNERS_FILE", value_name = "FILE", help_heading = "Source")]
    pub(super) allowed_signers_file: Option<PathBuf>,
    /// File of the OpenPGP keys that may sign commits, as `gpg --export` writes it; other commits are refused
    #[arg(long, env = "SYNCD_GPG_KEYRING_FILE", value_name = "FILE", help_heading = "Source")]
    pub(super) gpg_keyring_file: Option<PathBuf>,
    /// Accept a repository over plain http. Whoever is on the way can then change the cluster
    #[arg(long, env = "SYNCD_ALLOW_PLAIN_HTTP", help_heading = "Source")]
    pub(super) allow_plain_http: bool,
    /// Proxy for the repository over https, http://host:port; that of HTTPS_PROXY if not given
    #[arg(long, env = "SYNCD_PROXY", value_name = "URL", help_heading = "Source")]
    pub(super) proxy: Option<String>,
    /// Folder for the local copy of the repository, for this process alone; a temporary one if not given
    #[arg(long, env = "SYNCD_CACHE_DIR", value_name = "FOLDER", help_heading = "Source")]
    pub(super) cache_dir: Option<PathBuf>,
}

impl SourceArguments {
    /// Prepares the repository. Asks nothing of it yet.
    pub(super) fn open(&self) -> Result<GitRepo, SourceError> {
        let secret_file = self.token_file.as_ref().or(self.password_file.as_ref());
        let credentials = secret_file
            .map(|secret_file| Credentials { username: self.username.clone(), secret_file: secret_file.clone() });
        let ssh = self.ssh_key_file.clone().zip(self.ssh_known_hosts_file.clone());
        let ssh = ssh.map(|(key_file, known_hosts_file)| SshAccess { key_file, known_hosts_file });
        let (ca_file, plain_http) = (self.ca_file.clone(), self.allow_plain_http);
        GitRepo::open(GitSettings {
            url: self.repository.clone(),
            reference: self.reference.clone(),
            access: Access { credentials, ssh, ca_file, proxy: self.proxy.clone(), plain_http },
            signers: Signers {
                allowed_signers_file: self.allowed_signers_file.clone(),
                gpg_keyring_file: self.gpg_keyring_file.clone(),
            },
            cache: self.cache_dir.clone(),
            limits: GitLimits::default(),
        })
    }
}
