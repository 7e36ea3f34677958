//! What syncd is in a cluster: the objects that have to be there before it can keep anything, itself included.
//!
//! They are the chart `charts/syncd`, rendered beforehand with a word in the place of each setting (`bootstrap/installation.yaml`), so that no
//! template engine is needed here; a test holds the two to each other over every setting. Knows no cluster and no repository. Invariant:
//! the same installation gives the same objects as the chart gives for the same settings.

use std::collections::{BTreeMap, BTreeSet};

use manifest::{Manifest, yaml};
use serde_json::{Value, json};

/// The rendered chart.
const TEXT: &str = include_str!("bootstrap/installation.yaml");
/// The group of what only the Prometheus Operator knows.
const OPERATOR: &str = "monitoring.coreos.com";
/// The Secret with the keys to the repository.
pub const SECRET: &str = "syncd-source";

/// Words of the rendered chart, each in the place of a setting.
pub mod words {
    /// The environment.
    pub const ENVIRONMENT: &str = "bootstrap-environment";
    /// The namespace.
    pub const NAMESPACE: &str = "bootstrap-namespace";
    /// The repository.
    pub const REPOSITORY: &str = "https://bootstrap-repository";
    /// The ref.
    pub const REF: &str = "refs/bootstrap-ref";
    /// The image, without version.
    pub const IMAGE: &str = "bootstrap-image";
    /// Its version.
    pub const TAG: &str = "bootstrap-tag";
}

/// A key to the repository, or of whoever may sign: an entry of the Secret [`SECRET`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A token.
    Token,
    /// A password.
    Password,
    /// A private key for ssh.
    SshKey,
    /// The keys that the ssh server may have.
    KnownHosts,
    /// The authorities that may vouch for the server.
    Authorities,
    /// Ssh keys that may sign.
    AllowedSigners,
    /// OpenPGP keys that may sign.
    GpgKeyring,
}

impl Key {
    /// All of them, each with its entry in the Secret and the variable that names the file.
    pub const ALL: [(Key, &str, &str); 7] = [
        (Key::Token, "token", "SYNCD_TOKEN_FILE"),
        (Key::Password, "password", "SYNCD_PASSWORD_FILE"),
        (Key::SshKey, "ssh-key", "SYNCD_SSH_KEY_FILE"),
        (Key::KnownHosts, "known-hosts", "SYNCD_SSH_KNOWN_HOSTS_FILE"),
        (Key::Authorities, "ca.crt", "SYNCD_CA_FILE"),
        (Key::AllowedSigners, "allowed-signers", "SYNCD_ALLOWED_SIGNERS_FILE"),
        (Key::GpgKeyring, "gpg-keyring", "SYNCD_GPG_KEYRING_FILE"),
    ];
}

/// What can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation<'a> {
    /// The environment; a DNS label.
    pub environment: &'a str,
    /// The namespace of syncd; a DNS label.
    pub namespace: &'a str,
    /// URL of the repository.
    pub repository: &'a str,
    /// The ref, by its full name.
    pub reference: &'a str,
    /// The image, with its version or digest.
    pub image: &'a str,
    /// The keys that it needs.
    pub keys: BTreeSet<Key>,
    /// Other variables.
    pub variables: BTreeMap<&'static str, &'a str>,
    /// Whether the cluster has the Prometheus Operator.
    pub prometheus_operator: bool,
}

impl Installation<'_> {
    /// Returns the objects, sorted as all manifests are. Roles are not among them: they follow from what the environment consists of.
    pub fn manifests(&self) -> Vec<Manifest> {
        let documents = yaml::read(TEXT, &yaml::Settings::default()).expect("a test reads it");
        let mut manifests = Vec::new();
        for document in documents {
            let mut value = document.value;
            self.put(&mut value);
            if value["kind"] == "Deployment" {
                self.set_variables(&mut value);
            }
            let manifest = Manifest::from_value(value).expect("a test reads it");
            if manifest.id.group != OPERATOR || self.prometheus_operator {
                manifests.push(manifest);
            }
        }
        manifests.sort_by(|a, b| a.order().cmp(&b.order()));
        manifests
    }

    /// Puts the settings in the place of their words.
    fn put(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                let image = format!("{}:{}", words::IMAGE, words::TAG);
                for (word, setting) in [
                    (image.as_str(), self.image),
                    (words::ENVIRONMENT, self.environment),
                    (words::NAMESPACE, self.namespace),
                    (words::REPOSITORY, self.repository),
                    (words::REF, self.reference),
                ] {
                    // The dashboard is long: most texts have none of the words.
                    if text.contains(word) {
                        *text = text.replace(word, setting);
                    }
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|item| self.put(item)),
            Value::Object(map) => map.values_mut().for_each(|item| self.put(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Leaves out the keys that it does not need, and adds the other variables.
    fn set_variables(&self, deployment: &mut Value) {
        let variables = deployment.pointer_mut("/spec/template/spec/containers/0/env").and_then(Value::as_array_mut);
        let variables = variables.expect("a test reads it");
        let unneeded = |name: &str| Key::ALL.iter().any(|(key, _, of)| *of == name && !self.keys.contains(key));
        variables.retain(|variable| !variable["name"].as_str().is_some_and(unneeded));
        variables.extend(self.variables.iter().map(|(name, value)| json!({"name": name, "value": value})));
        variables.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    }
}
