//! What `syncd bootstrap` prints, held to the chart, to `deploy/` and to what the repository says of syncd.
//!
//! One truth, `charts/syncd`: the program carries its render, `deploy/` is what the program prints, and `_gen` is what the generator renders.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

mod example;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output};

use example::{copy, project, render};
use manifest::roles::{self, Subject};
use manifest::{Index, Manifest, ObjectRef, yaml};
use serde_json::{Value, json};
use syncd::bootstrap::{Installation, Key, words};

/// Where the example's repository would be.
const REPOSITORY: &str = "https://git.example.com/platform.git";

fn update() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}

fn manifests(text: &str) -> BTreeMap<ObjectRef, Manifest> {
    let documents = yaml::read(text, &yaml::Settings::default()).unwrap();
    let manifests = documents.into_iter().map(|document| Manifest::from_value(document.value).unwrap());
    manifests.map(|manifest| (manifest.id.clone(), manifest)).collect()
}

/// Renders the chart as the generator does, for one environment, with values.
fn rendered(environment: &str, version: &str, values: &Value) -> String {
    let folder = tempfile::tempdir().unwrap();
    copy("charts/syncd", folder.path());
    let service = folder.path().join("services/syncd");
    std::fs::create_dir_all(service.join(environment)).unwrap();
    std::fs::write(folder.path().join("generator.yaml"), "kubernetesVersion: \"1.33\"\n").unwrap();
    for (file, text) in [("chart", "syncd"), ("version", version), ("config.yaml", &values.to_string())] {
        std::fs::write(service.join(file), text).unwrap();
    }
    std::fs::write(service.join(environment).join("config.yaml"), "{}\n").unwrap();
    render(folder.path());
    std::fs::read_to_string(folder.path().join(Index::resources_path(environment, "syncd"))).unwrap()
}

#[test]
fn the_program_carries_the_chart() {
    let values = json!({
        "namespace": words::NAMESPACE, "repository": words::REPOSITORY, "ref": words::REF, "image": words::IMAGE,
        "installation": true, "monitoring": {"prometheusOperator": true},
        "source": {"token": true, "password": true, "ssh": true, "ca": true, "allowedSigners": true, "gpgKeyring": true},
    });
    let text = rendered(words::ENVIRONMENT, words::TAG, &values);
    let path = project("syncd/src/bootstrap/installation.yaml");
    if update() {
        std::fs::write(&path, &text).unwrap();
    }
    let carried = std::fs::read_to_string(path).unwrap();
    assert!(carried == text, "not current: UPDATE_DOCS=1 cargo test -p syncd --test bootstrap, twice");
    for (_, entry, variable) in Key::ALL {
        assert!(
            carried.contains(&format!("name: {variable}\n"))
                && carried.contains(&format!("/etc/syncd/source/{entry}\n"))
        );
    }
}

#[test]
fn an_installation_is_what_the_chart_gives_for_the_same_settings() {
    let plain = Installation {
        environment: "production",
        namespace: "syncd",
        repository: REPOSITORY,
        reference: "refs/heads/main",
        image: "syncd:1.2.3",
        keys: BTreeSet::new(),
        variables: BTreeMap::new(),
        prometheus_operator: false,
    };
    let ssh = Installation {
        environment: "staging",
        namespace: "syncd-staging",
        repository: "ssh://git@git.example.com/platform.git",
        reference: "refs/tags/v*",
        keys: [Key::SshKey, Key::KnownHosts, Key::AllowedSigners, Key::GpgKeyring].into(),
        prometheus_operator: true,
        ..plain.clone()
    };
    let token = Installation {
        image: "mirror/syncd:1.2.3",
        keys: [Key::Token, Key::Authorities].into(),
        variables: [("SYNCD_PROXY", "http://proxy:3128"), ("SYNCD_USERNAME", "bot")].into(),
        ..plain.clone()
    };
    for (installation, values) in [
        (&plain, json!({})),
        (
            &ssh,
            json!({"namespace": "syncd-staging", "repository": ssh.repository, "ref": "refs/tags/v*",
                "source": {"ssh": true, "allowedSigners": true, "gpgKeyring": true}, "monitoring": {"prometheusOperator": true}}),
        ),
        (
            &token,
            json!({"image": "mirror/syncd", "source": {"token": true, "ca": true},
                "settings": {"USERNAME": "bot", "PROXY": "http://proxy:3128"}}),
        ),
    ] {
        let mut all = json!({"repository": REPOSITORY, "installation": true});
        all.as_object_mut().unwrap().extend(values.as_object().unwrap().clone());
        let chart = rendered(installation.environment, "1.2.3", &all);
        let printed = installation.manifests();
        let printed = yaml::write_documents(printed.iter().map(|manifest| &manifest.value));
        assert!(printed == chart, "{installation:?}\n{printed}\n=== the chart\n{chart}");
    }
}

/// Everything of the example's environment.
fn committed(environment: &str) -> BTreeMap<ObjectRef, Manifest> {
    let index = std::fs::read(project(&Index::path(environment))).unwrap();
    let index = Index::parse(&index, environment).unwrap();
    let read =
        |service: &String| std::fs::read_to_string(project(&Index::resources_path(environment, service))).unwrap();
    index.services.keys().flat_map(|service| manifests(&read(service))).collect()
}

/// What `syncd bootstrap --prometheus-operator` prints for the example.
fn installed(environment: &str) -> String {
    let image = format!("syncd:{}", env!("CARGO_PKG_VERSION"));
    let installation = Installation {
        environment,
        namespace: "syncd",
        repository: REPOSITORY,
        reference: "refs/heads/main",
        image: &image,
        keys: BTreeSet::new(),
        variables: BTreeMap::new(),
        prometheus_operator: true,
    };
    let objects: Vec<Manifest> = committed(environment).into_values().collect();
    let subject = Subject { environment, namespace: "syncd", service_account: "syncd" };
    let roles = roles::derive(&objects, &subject);
    assert_eq!(roles.guesses, []);
    let mut manifests = installation.manifests();
    manifests.extend(roles.manifests);
    manifests.sort_by(|a, b| a.order().cmp(&b.order()));
    yaml::write_documents(manifests.iter().map(|manifest| &manifest.value))
}

#[test]
fn deploy_is_what_bootstrap_prints() {
    for environment in ["production", "staging"] {
        let path = project(&format!("deploy/{environment}/syncd.yaml"));
        let text = installed(environment);
        if update() {
            std::fs::write(&path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == text,
            "deploy/{environment} is not current: UPDATE_DOCS=1 cargo test -p syncd --test bootstrap"
        );
        let kustomization =
            std::fs::read_to_string(project(&format!("deploy/{environment}/kustomization.yaml"))).unwrap();
        assert!(kustomization.ends_with("\nresources:\n  - syncd.yaml\n"), "{kustomization}");
    }
}

#[test]
fn what_the_repository_says_of_syncd_is_what_was_installed() {
    for environment in ["production", "staging"] {
        let installed = manifests(&installed(environment));
        let text = std::fs::read_to_string(project(&Index::resources_path(environment, "syncd"))).unwrap();
        let kept = manifests(&text);
        assert!(kept.keys().any(|id| id.kind == "Deployment") && kept.len() >= 5, "{kept:#?}");
        for (id, manifest) in &kept {
            assert_eq!(installed.get(id), Some(manifest), "{id}");
            // It is told by its name and namespace that it is syncd itself, which is never deleted.
            assert!(id.namespace == "syncd" && id.name.starts_with("syncd"), "{id}");
        }
        // What it is and what it may do is nobody's but a person's to change.
        for kind in ["Namespace", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"] {
            assert!(installed.keys().any(|id| id.kind == kind), "{kind} is installed");
            assert!(kept.keys().all(|id| id.kind != kind), "{kind} is not its own to change");
        }
    }
}

#[test]
fn the_pods_can_do_no_more_than_they_must() {
    let installed = manifests(&installed("production"));
    let of = |kind: &str| installed.values().find(|manifest| manifest.id.kind == kind).unwrap().value.clone();
    let deployment = of("Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    for (found, expected) in [
        (&deployment["spec"]["replicas"], json!(2)),
        (&pod["securityContext"]["runAsNonRoot"], json!(true)),
        (&pod["securityContext"]["seccompProfile"]["type"], json!("RuntimeDefault")),
        (&container["securityContext"]["readOnlyRootFilesystem"], json!(true)),
        (&container["securityContext"]["allowPrivilegeEscalation"], json!(false)),
        (&container["securityContext"]["capabilities"], json!({"drop": ["ALL"]})),
        (&container["livenessProbe"]["httpGet"]["path"], json!("/healthz")),
        (&container["readinessProbe"]["httpGet"]["path"], json!("/readyz")),
        (&pod["volumes"][1]["secret"], json!({"secretName": "syncd-source", "optional": true, "defaultMode": 0o440})),
        (&of("ServiceAccount")["automountServiceAccountToken"], json!(false)),
        (&of("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], json!("restricted")),
        (&of("PodDisruptionBudget")["spec"]["maxUnavailable"], json!(1)),
        (&of("NetworkPolicy")["spec"]["policyTypes"], json!(["Ingress", "Egress"])),
        (&of("ServiceMonitor")["spec"]["endpoints"][0]["honorLabels"], json!(true)),
    ] {
        assert_eq!(found, &expected);
    }
    assert!(container["resources"]["limits"]["memory"].is_string() && container["resources"]["requests"].is_object());
    for role in installed.values().filter(|manifest| manifest.id.kind.ends_with("Role")) {
        for rule in role.value["rules"].as_array().unwrap() {
            let text = rule.to_string();
            for word in ["\"*\"", "escalate", "bind", "impersonate"] {
                assert!(!text.contains(word), "{}: {text}", role.id);
            }
        }
    }
}

#[test]
fn the_image_is_what_the_pods_expect() {
    let text = std::fs::read_to_string(project("deploy/Dockerfile")).unwrap();
    let words: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    let of = |instruction: &str| -> Vec<String> {
        words.iter().filter(|words| words[0] == instruction).map(|words| words[1..].join(" ")).collect()
    };
    let installed = manifests(&installed("production"));
    let deployment = &installed.values().find(|manifest| manifest.id.kind == "Deployment").unwrap().value;
    let pod = &deployment["spec"]["template"]["spec"]["securityContext"];
    let user = format!("{}:{}", pod["runAsUser"], pod["runAsGroup"]);
    assert_eq!(BTreeSet::from_iter(of("USER")), [user.clone()].into());
    let known = std::fs::read_to_string(project("deploy/passwd")).unwrap();
    assert_eq!(known, format!("syncd:x:{user}:syncd:/tmp:/sbin/nologin\n"), "OpenSSH wants to know who it is");
    assert_eq!(BTreeSet::from_iter(of("ENTRYPOINT")), ["[\"/syncd\"]".to_owned()].into());
    assert_eq!(of("FROM").last().unwrap(), "scratch AS syncd", "what is built where no target is named");
    assert!(of("FROM").iter().all(|from| from.starts_with("${DEBIAN} AS ") || from == "scratch AS syncd"), "{text}");
    assert!(of("ARG").iter().any(|argument| argument.starts_with("DEBIAN=debian:") && !argument.ends_with("latest")));
    assert_eq!(of("ADD"), Vec::<String>::new());
    for run in text.split("\nRUN ").skip(1) {
        let run = run.split("\n\n").next().unwrap();
        assert!(run.contains("--no-install-recommends") && run.contains("rm -rf /var/lib/apt/lists/*"), "{run}");
    }
}

#[test]
fn the_rules_and_the_dashboard_are_installed_as_they_are() {
    let installed = manifests(&installed("production"));
    let of = |kind: &str, name: &str| {
        let found = installed.values().find(|manifest| manifest.id.kind == kind && manifest.id.name == name);
        found.unwrap().value.clone()
    };
    let rules = std::fs::read_to_string(project("charts/syncd/alerts.yaml")).unwrap();
    let rules = yaml::read_first(&rules, &yaml::Settings::default()).unwrap().unwrap().value;
    assert_eq!(of("PrometheusRule", "syncd")["spec"], rules);
    let dashboard: Value =
        serde_json::from_str(&std::fs::read_to_string(project("charts/syncd/dashboard.json")).unwrap()).unwrap();
    let map = of("ConfigMap", "syncd-dashboard");
    let shown: Value = serde_json::from_str(map["data"]["syncd.json"].as_str().unwrap()).unwrap();
    assert_eq!(shown, dashboard);
}

fn bootstrap(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncd"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.arg("bootstrap").args(arguments).output().unwrap()
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_asked() {
    let with = |more: &[&str]| {
        let output = bootstrap(&[&["--environment", "production"], more].concat());
        assert!(output.stdout.is_empty());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = with(&["--repository", "file:///srv/git"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("a cluster cannot reach the repository \"file:///srv/git\"; expected https://"), "{said}");
    for (arguments, expected) in [
        (["--image", "syncd"], "expected an image with its version or digest"),
        (["--namespace", "Syncd"], "--namespace"),
        (["--ref", "a..b"], "the source cannot be used"),
    ] {
        let (code, said) = with(&[&["--repository", REPOSITORY], &arguments[..]].concat());
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    let (code, said) = with(&["--repository", REPOSITORY, "--apply"]);
    assert!(code == Some(2) && said.contains("--kubeconfig"), "{said}");
    // Nobody listens there: said as such, and nothing is printed that would be less than what is needed.
    let (code, said) = with(&["--repository", "https://127.0.0.1:1/a.git"]);
    assert!(code == Some(3) && said.contains("the repository cannot be read"), "{said}");
}
