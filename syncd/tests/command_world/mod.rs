//! A repository, a sandbox, and `syncd` as a process between them.
//!
//! Knows no command but `once`, which makes the world that the others look at. Invariant: nothing is shared between two worlds.

#![allow(dead_code, reason = "each test that has this module needs another part of it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;

use manifest::index::{Entry, Sync};
use manifest::{Hash, Index, yaml};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::git_repository::Repository;

/// A repository, a sandbox, and where the report goes.
pub struct World {
    pub repository: Repository,
    pub sandbox: sandbox::Cluster,
    server: Option<sandbox::http::Server>,
    pub folder: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        let namespaces = ["shop", "syncd"].map(str::to_owned).to_vec();
        let sandbox = sandbox::Cluster::new(sandbox::Settings { namespaces, ..sandbox::Settings::default() });
        let server = sandbox::http::serve(sandbox.clone(), "127.0.0.1:0".parse().unwrap(), 100.0).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kubeconfig"), server.kubeconfig()).unwrap();
        World { repository: Repository::new(), sandbox, server: Some(server), folder }
    }

    /// Commits services with one object each, and an index that says what it likes.
    pub fn commit(&self, objects: &[(&str, Value)], change: impl FnOnce(&mut Index)) -> String {
        let services = objects.iter().map(|(service, object)| (*service, vec![object.clone()]));
        self.commit_services(services.collect(), change)
    }

    /// Commits services with their objects, and an index that says what it likes. Returns the commit.
    pub fn commit_services(&self, services: BTreeMap<&str, Vec<Value>>, change: impl FnOnce(&mut Index)) -> String {
        let mut index = Index { environment: "staging".to_owned(), services: BTreeMap::new() };
        let mut files = Vec::new();
        for (service, objects) in services {
            let text = yaml::write_documents(&objects);
            let hash = Hash::of(text.as_bytes());
            let (chart, version, objects) = ("none".into(), "1".into(), objects.len());
            let entry = Entry { chart, content: hash, inputs: hash, objects, sync: Sync::default(), version };
            index.services.insert(service.to_owned(), entry);
            files.push((Index::resources_path("staging", service), text));
        }
        change(&mut index);
        files.push((Index::path("staging"), index.to_json()));
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        self.repository.commit("change", &files)
    }

    pub async fn stop(&mut self) {
        self.server.take().unwrap().stop().await;
    }

    pub fn report(&self) -> PathBuf {
        self.folder.path().join("report.json")
    }

    /// Prepares a command with nothing but its name.
    pub fn bare(name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncd"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).kill_on_drop(true);
        command.arg(name);
        command
    }

    /// Prepares a command that needs the cluster.
    pub fn inside(&self, name: &str) -> Command {
        let mut command = World::bare(name);
        command.args(["--environment", "staging", "--kubeconfig"]).arg(self.folder.path().join("kubeconfig"));
        command
    }

    /// Prepares a command that needs the cluster and the repository.
    pub fn between(&self, name: &str) -> Command {
        let mut command = self.inside(name);
        command.args(["--repository", &self.repository.url()]);
        command
    }

    pub fn command(&self) -> Command {
        self.between("once")
    }

    /// Runs it; returns the exit code and the report, which is there whatever happened.
    pub async fn once(&self, arguments: &[&str]) -> (i32, Value) {
        let _ = std::fs::remove_file(self.report());
        let output = self.command().arg("--report").arg(self.report()).args(arguments).output().await.unwrap();
        (code(&output), read(&self.report()))
    }
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("killed: {}", String::from_utf8_lossy(&output.stderr)))
}

pub fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": {"key": "1"}})
}

pub fn stage(report: &Value) -> &Value {
    &report["errors"][0]["stage"]
}
