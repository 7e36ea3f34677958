//! From `services/` to `_gen/`, through the program, on the example that this project keeps.

#![expect(clippy::disallowed_methods, reason = "tests work on scratch folders")]

mod repository;

use std::collections::BTreeMap;
use std::fs;

use repository::{Repository, Run};

#[test]
fn the_example() {
    let repository = Repository::example();
    assert_eq!(repository.render(), "2 environments, 4 services, 24 objects; 6 files written, 0 unchanged\n");
    for (path, text) in repository.generated() {
        insta::assert_snapshot!(path.replace('/', "-"), text);
    }
}

#[test]
fn every_option_of_the_generic_chart() {
    let repository = Repository::example();
    repository
        .write("generator.yaml", "kubernetesVersion: '1.33'\napiVersions: [monitoring.coreos.com/v1/ServiceMonitor]\n");
    repository.write("services/all/version", "1e3\n").write("services/all/staging/config.yaml", "");
    repository.write(
        "services/all/config.yaml",
        "image: registry.example.com/all\n\
         team: 123\n\
         environment: {BIG: 1000000, FLAG: true, 'ON': 'on', LIST: [1, {a: b}], GONE: null, QUOTE: 'a\"b', LINES: \"a\\nb\"}\n\
         cmdArgs: ['--a=1', 'b c: d', 1000000, '']\n\
         scalability: {replicas: 2, maxReplicas: 20, autoscaleCPUPercent: 60}\n\
         httpService: {internalPort: 9000, public: {enable: true, auth: true, host: all.example.com}}\n\
         metrics: {enable: true, prometheus: {path: /m, instance: main}}\n\
         resources: {memoryMiB: 1048576, cpuMilli: 2500}\n\
         healthCheck: {livePath: /live, readyPath: /ready}\n",
    );
    repository.render();
    insta::assert_snapshot!(repository.read("_gen/staging/all/resources.yaml"));
}

#[test]
fn check_says_what_differs_and_writes_nothing() {
    let repository = Repository::example();
    let ok = |out: &str| Run { code: 0, out: out.to_owned(), err: String::new() };
    let run = repository.run(&["check"]);
    assert_eq!(run.code, 1);
    assert!(run.out.contains("missing  _gen/production/index.json\n"), "{}", run.out);
    assert!(repository.generated().is_empty());

    repository.render();
    assert_eq!(repository.run(&["check"]), ok("2 environments, 4 services, 24 objects; _gen is current\n"));

    repository.edit("_gen/staging/app1/resources.yaml", "val1", "val2");
    repository.write("_gen/staging/app9/resources.yaml", "").write("_gen/README.md", "Do not edit.\n");
    repository.remove("_gen/production/app2/resources.yaml");
    let before = repository.generated();
    let run = repository.run(&["check"]);
    let expected = "missing  _gen/production/app2/resources.yaml\n\
                    changed  _gen/staging/app1/resources.yaml\n\
                    stale    _gen/staging/app9/resources.yaml\n\
                    2 environments, 4 services, 24 objects; 3 files of _gen not current: run `generator render` and commit _gen\n";
    assert_eq!((run.code, run.out.as_str()), (1, expected));
    assert_eq!(repository.generated(), before);

    assert_eq!(
        repository.render(),
        "2 environments, 4 services, 24 objects; 2 files written, 1 removed, 4 unchanged\n"
    );
    assert_eq!(repository.run(&["check"]).code, 0);
    assert_eq!(repository.read("_gen/README.md"), "Do not edit.\n", "what stands directly in _gen is left alone");
    assert!(!repository.path("_gen/staging/app9").exists());
}

#[test]
fn programs_get_one_json_object() {
    let repository = Repository::example();
    repository.edit("services/app1/version", "1.19.2-alpine\n", "");
    let run = repository.run(&["check", "--format", "json"]);
    assert_eq!((run.code, run.err.as_str()), (2, ""));
    insta::assert_snapshot!("json-refused", run.out);
    repository.write("services/app1/version", "1.20\n");
    let run = repository.run(&["render", "--format", "json"]);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    insta::assert_snapshot!("json-rendered", run.out);
}

/// What changed between two trees: per environment, the objects that are new or different, and those that are gone.
fn plan(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> String {
    let objects = |files: &BTreeMap<String, String>, environment: &str| {
        let mut objects = BTreeMap::new();
        let prefix = format!("_gen/{environment}/");
        for text in
            files.iter().filter(|(path, _)| path.starts_with(&prefix) && path.ends_with(".yaml")).map(|(_, text)| text)
        {
            for document in text.split("---\n") {
                let field = |name: &str| {
                    document.lines().find_map(|line| line.trim_start().strip_prefix(name)).unwrap_or_default()
                };
                objects.insert(format!("{} {}", field("kind: "), field("name: ")), document.to_owned());
            }
        }
        objects
    };
    let mut plan = String::new();
    for environment in ["production", "staging"] {
        let (before, after) = (objects(before, environment), objects(after, environment));
        let applied = after.iter().filter(|(id, document)| before.get(*id) != Some(document)).count();
        let deleted = before.keys().filter(|id| !after.contains_key(*id)).count();
        plan.push_str(&format!("{environment} {applied}/{deleted} "));
    }
    plan.trim_end().to_owned()
}

#[test]
fn the_histories_of_the_seed() {
    let repository = Repository::example();
    for service in ["app2", "app4"] {
        repository.remove(&format!("services/{service}"));
    }
    repository.render();
    let mut before = repository.generated();
    let mut step = |change: &dyn Fn()| {
        change();
        repository.render();
        let after = repository.generated();
        let plan = plan(&before, &after);
        before = after;
        plan
    };
    let add = |name: &str, environment: &str, more: &str| {
        let config = format!("image: nginx\nteam: a-team\nnamespace: kahoy-helm-example\n{more}");
        repository.write(&format!("services/{name}/config.yaml"), config);
        repository.write(&format!("services/{name}/{environment}/config.yaml"), "");
        repository.write(&format!("services/{name}/{environment}/version"), "latest");
    };
    let public = "httpService: {public: {enable: true, host: app2.exampl.com}}\n";
    assert_eq!(step(&|| add("app2", "production", public)), "production 7/0 staging 0/0", "a service with an Ingress");

    // The same values in other words change nothing at all, the index included.
    let indexes = || (repository.read("_gen/production/index.json"), repository.read("_gen/staging/index.json"));
    let old = indexes();
    let rewrite = || {
        let text = "# Words.\n---\nteam:   'a-team'\n\nnamespace: kahoy-helm-example\nhttpService:\n    public:\n        \"host\": app2.exampl.com\n        enable: !!bool true\nimage: nginx # and more\n";
        repository
            .write("services/app2/config.yaml", text)
            .write("services/app2/production/config.yaml", "---\n# nothing\n");
        repository.write("services/app2/production/version", "latest\r\n");
    };
    assert_eq!(step(&rewrite), "production 0/0 staging 0/0", "re-indented");
    assert_eq!(indexes(), old, "re-indented");

    assert_eq!(step(&|| add("app3", "staging", "")), "production 0/0 staging 6/0", "a service more");
    let fix = || {
        repository.edit("services/app2/config.yaml", "exampl.com", "example.com");
    };
    assert_eq!(step(&fix), "production 1/0 staging 0/0", "the host of the Ingress");
    let disable = || {
        repository.edit("services/app2/config.yaml", "!!bool true", "false");
    };
    assert_eq!(step(&disable), "production 0/1 staging 0/0", "no Ingress");
    let rename = || fs::rename(repository.path("services/app3"), repository.path("services/app4")).expect("renamed");
    assert_eq!(step(&rename), "production 0/0 staging 6/6", "another name");
    let variable = || {
        repository.write("services/app4/staging/config.yaml", "environment: {KEY: value}\n");
    };
    assert_eq!(
        step(&variable),
        "production 0/0 staging 2/0",
        "a variable: ConfigMap, and Deployment so that pods restart"
    );
    let team = || {
        repository.edit("services/app4/config.yaml", "a-team", "b-team");
    };
    assert_eq!(step(&team), "production 0/0 staging 6/0", "a label of everything");
    assert!(
        repository.read("_gen/staging/app4/resources.yaml").matches("team: b-team").count() == 7,
        "6 objects and the pods: no selector"
    );
}

#[test]
fn inputs_are_all_that_a_render_reads_and_nothing_else() {
    let inputs = |path: &str, content: &str| {
        let repository = Repository::example();
        if !path.is_empty() {
            repository.write(path, content);
        }
        repository.render();
        let index = repository.read("_gen/staging/index.json");
        let app1 = index.split("\"app1\"").nth(1).expect("app1 is there");
        app1.lines().find(|line| line.contains("\"inputs\"")).expect("one field a line").to_owned()
    };
    let old = inputs("", "");
    let read = [
        ("services/app1/version", "2"),
        ("services/app1/staging/version", "2"),
        ("services/app1/staging/config.yaml", "environment: {key1: other}"),
        ("services/app1/staging/sync.yaml", "wave: 1"),
        ("services/app1/staging/sync.yaml", "drift: report"),
        ("services/_defaults/config.yaml", "environment: {key0: val0}"),
        ("services/_defaults/staging/config.yaml", "environment: {key0: val0}"),
        ("charts/generic/templates/_note.tpl", "text"),
        ("charts/generic/values.schema.json", "{}"),
        ("generator.yaml", "kubernetesVersion: 1.34"),
        ("generator.yaml", "{kubernetesVersion: 1.33, apiVersions: [a/v1]}"),
    ];
    for (path, content) in read {
        assert_ne!(inputs(path, content), old, "{path}: {content}");
    }
    let not_read = [
        ("services/app1/production/config.yaml", "environment: {key1: other}"),
        ("services/app1/README.md", "Words."),
        ("services/app1/sync.yaml", "wave: 0"),
        ("services/app4/config.yaml", "{image: caddy, team: t}"),
        ("services/_defaults/production/config.yaml", "environment: {key0: val0}"),
        ("services/_defaults/config.yaml", "# nothing"),
        ("charts/other/Chart.yaml", "{apiVersion: v2, name: other, version: 1.0.0}"),
        (
            "generator.yaml",
            "{kubernetesVersion: v1.33.0, environments: {staging: {}, production: {kubernetesVersion: 1.34}}}",
        ),
    ];
    for (path, content) in not_read {
        assert_eq!(inputs(path, content), old, "{path}: {content}");
    }
}

#[test]
fn an_environment_says_more_exactly_how_a_service_is_synced() {
    let repository = Repository::example();
    repository.write("services/app1/sync.yaml", "drift: correct\nwave: 2\n");
    repository.write("services/app1/staging/sync.yaml", "drift: ignore\n");
    repository.render();
    let said = |environment: &str| {
        let index = repository.read(&format!("_gen/{environment}/index.json"));
        let index: serde_json::Value = serde_json::from_str(&index).expect("an index");
        index["services"]["app1"]["sync"].to_string()
    };
    assert_eq!(said("staging"), r#"{"drift":"ignore","wave":2}"#);
    assert_eq!(said("production"), r#"{"drift":"correct","wave":2}"#);
}

#[test]
fn an_environment_never_vanishes_silently() {
    let repository = Repository::example();
    repository.render();
    repository.remove("services/app1").remove("services/app4");
    assert_eq!(repository.render(), "2 environments, 1 service, 6 objects; 2 files written, 3 removed, 1 unchanged\n");
    let empty = "{\n  \"environment\": \"staging\",\n  \"format\": 1,\n  \"services\": {}\n}\n";
    assert_eq!(repository.read("_gen/staging/index.json"), empty, "generator.yaml lists it");

    repository.write("generator.yaml", "kubernetesVersion: 1.33\n");
    for _ in 0..2 {
        let run = repository.run(&["render"]);
        assert_eq!(
            (run.code, run.out.as_str()),
            (0, "2 environments, 1 service, 6 objects; 0 files written, 3 unchanged\n")
        );
        insta::assert_snapshot!("environment-gone", run.err);
        assert_eq!(repository.read("_gen/staging/index.json"), empty, "it was there before");
    }
    assert_eq!(repository.run(&["check"]).code, 0);

    repository.remove("_gen/staging");
    assert_eq!(repository.render(), "1 environment, 1 service, 6 objects; 0 files written, 2 unchanged\n");
}

#[test]
fn what_a_crash_left_behind_is_put_right() {
    let repository = Repository::example();
    repository.render();
    let good = repository.generated();
    // Dead while the new tree was made, or before the old one was removed.
    repository.write("_gen.new/staging/index.json", "half").write("_gen.old/staging/index.json", "old");
    assert_eq!(repository.render(), "2 environments, 4 services, 24 objects; 0 files written, 6 unchanged\n");
    assert!(!repository.path("_gen.new").exists() && !repository.path("_gen.old").exists());
    // Dead between the two steps that some file systems need.
    fs::rename(repository.path("_gen"), repository.path("_gen.old")).expect("renamed");
    assert_eq!(repository.render(), "2 environments, 4 services, 24 objects; 0 files written, 6 unchanged\n");
    assert_eq!(repository.generated(), good);
    assert!(!repository.path("_gen.old").exists());
}

#[test]
fn values_are_inherited_from_the_widest_to_the_nearest() {
    let repository = Repository::new();
    repository.write("charts/c/Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\nannotations: {generator/version-path: app.version, generator/environment-path: ''}\n");
    repository
        .write("charts/c/values.yaml", "a: chart\nb: chart\nc: chart\nd: chart\ne: chart\nm: {x: chart, z: chart}\n");
    repository.write(
        "charts/c/templates/c.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {values: {{ toJson .Values | quote }}, kube: {{ .Capabilities.KubeVersion.Version | quote }}}\n",
    );
    repository
        .write("generator.yaml", "kubernetesVersion: '1.33'\nenvironments: {staging: {kubernetesVersion: 1.34.2}}\n");
    repository.write("services/_defaults/config.yaml", "b: defaults\nc: defaults\nd: defaults\nm: {z: defaults}\n");
    repository.write("services/_defaults/staging/config.yaml", "c: defaults/staging\nd: defaults/staging\n");
    repository
        .write("services/s/config.yaml", "d: service\ne: null\nnamespace: ns1\n")
        .write("services/s/chart", "c\n");
    repository
        .write("services/s/version", "1.10\n")
        .write("services/s/staging/config.yaml", "m: {x: service/staging}\n");
    repository.render();
    let resources = repository.read("_gen/staging/s/resources.yaml");
    let values = r#"{\"a\":\"chart\",\"app\":{\"version\":\"1.10\"},\"b\":\"defaults\",\"c\":\"defaults/staging\",\"d\":\"service\",\"m\":{\"x\":\"service/staging\",\"z\":\"defaults\"},\"namespace\":\"ns1\"}"#;
    let head = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\n  namespace: ns1\ndata:\n";
    assert_eq!(resources, format!("{head}  kube: v1.34.2\n  values: \"{values}\"\n"));
}
