//! Rendering what changed comes to what rendering everything comes to: the same bytes, the same verdict, the same words.

mod repository;

use generator::diagnostic::Diagnostics;
use generator::{Extent, Generated, SourceTree, generate_over};
use manifest::index::{Index, ROOT};
use proptest::prelude::*;
use repository::Repository;

const SERVICES: [&str; 3] = ["a", "b", "c"];
const ENVIRONMENTS: [&str; 2] = ["one", "two"];
/// What a file of values says. Two services with the third have the same object; the fourth is refused.
const VALUES: [&str; 12] = [
    "image: x\n",
    "image:   x # the same\n",
    "{name: shared, namespace: space}\n",
    "broken: true\n",
    // An object of a custom kind: what is right about it, and whether it gets a warning, depends on others.
    "custom: 1\n",
    "custom: text\n",
    "{custom: 2, namespace: space}\n",
    "crd: integer\n",
    "crd: string\n",
    "tag: no effect\n",
    "image: [\n",
    // Its scope is not known.
    "odd: true\n",
];
const TEMPLATES: [&str; 3] = [
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Values.name | default .Release.Name }}\n\
     data:\n  image: {{ .Values.image | quote }}\n  kube: {{ .Capabilities.KubeVersion.Version }}\n  note: {{ .Files.Get \"note\" | quote }}\n\
     {{ if .Values.broken }}{{ fail \"broken\" }}{{ end }}\n\
     {{ if .Values.custom }}\n---\napiVersion: example.com/v1\nkind: Thing\nmetadata: {name: {{ .Release.Name }}, namespace: space}\nspec: {size: {{ .Values.custom }}}\n{{ end }}\n\
     {{ if .Values.odd }}\n---\napiVersion: example.com/v1\nkind: Odd\nmetadata: {name: {{ .Release.Name }}}\n{{ end }}\n\
     {{ if .Values.crd }}\n---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.com}\n\
     spec:\n  group: example.com\n  scope: Namespaced\n  names: {kind: Thing, plural: things, singular: thing}\n  versions:\n  - name: v1\n    served: true\n    storage: true\n\
     \u{20}   schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: {{ .Values.crd }}}}}}}}\n{{ end }}\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Values.name | default .Release.Name }}\n  namespace: fixed\n",
    "{{ if }}",
];
const SETTINGS: [&str; 6] = [
    "",
    "kubernetesVersion: '1.34'\n",
    "scopes: {Thing.example.com: Namespaced}\n",
    "environments: {one: {}, two: {kubernetesVersion: '1.31'}, three: {}}\n",
    "environments: {one: {}}\n",
    "apiVersions: [example.com/v1]\n",
];
/// A definition that stands in a file.
const DEFINITIONS: [&str; 3] = [
    "",
    "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: things.example.com}\n\
     spec: {group: example.com, scope: Namespaced, names: {kind: Thing, plural: things}, \
     versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: string}}}}}}}]}\n",
    "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: others.example.com}\n\
     spec: {group: example.com, scope: Namespaced, names: {kind: Other, plural: others}, versions: []}\n",
];
const SYNCS: [&str; 4] = ["", "wave: 1\n", "dependsOn: [a]\n", "dependsOn: [b]\n"];

/// Something that happens to a repository.
#[derive(Debug, Clone)]
enum Edit {
    /// A file of values, of a service or of one environment of it.
    Values(usize, Option<usize>, usize),
    Defaults(usize),
    Version(usize, u8),
    Sync(usize, usize),
    Template(usize),
    Note(u8),
    Settings(usize),
    Definition(usize),
    Remove(usize),
    RemoveFrom(usize, usize),
    /// `_gen` is edited by hand.
    Hand(usize, usize, Hand),
    /// One service is again what it was so many states ago, in the sources and in `_gen`: what a merge does.
    Merge(usize, usize),
    Render,
}

#[derive(Debug, Clone, Copy)]
enum Hand {
    Append,
    Empty,
    Delete,
    /// The field of an entry is another.
    Field(&'static str),
    Conflict,
    DeleteIndex,
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let (service, environment) = (0..SERVICES.len(), 0..ENVIRONMENTS.len());
    let fields = prop::sample::select(vec!["content", "inputs", "objects", "version", "chart"]).prop_map(Hand::Field);
    let hand = prop_oneof![
        Just(Hand::Append),
        Just(Hand::Empty),
        Just(Hand::Delete),
        Just(Hand::Conflict),
        Just(Hand::DeleteIndex),
        fields
    ];
    // What is refused keeps everything else from being tried.
    let values = prop_oneof![8 => prop::sample::select(vec![0, 1, 2, 4, 5, 6, 7, 9, 11]), 1 => 0..VALUES.len()];
    let edit = prop_oneof![
        6 => (service.clone(), prop::option::of(environment.clone()), values.clone()).prop_map(|(s, e, v)| Edit::Values(s, e, v)),
        1 => values.prop_map(Edit::Defaults),
        2 => (service.clone(), 0..3u8).prop_map(|(s, v)| Edit::Version(s, v)),
        1 => (service.clone(), 0..SYNCS.len()).prop_map(|(s, v)| Edit::Sync(s, v)),
        1 => (0..TEMPLATES.len()).prop_map(Edit::Template),
        1 => (0..3u8).prop_map(Edit::Note),
        1 => (0..SETTINGS.len()).prop_map(Edit::Settings),
        1 => (0..DEFINITIONS.len()).prop_map(Edit::Definition),
        1 => service.clone().prop_map(Edit::Remove),
        1 => (service.clone(), environment.clone()).prop_map(|(s, e)| Edit::RemoveFrom(s, e)),
        3 => (service.clone(), environment, hand).prop_map(|(s, e, h)| Edit::Hand(s, e, h)),
        3 => (service, 1..8usize).prop_map(|(s, back)| Edit::Merge(s, back)),
        8 => Just(Edit::Render),
    ];
    prop::collection::vec(edit, 1..16)
}

#[derive(Clone)]
struct State {
    sources: SourceTree,
    committed: SourceTree,
}

impl State {
    fn start() -> Self {
        let mut state = State { sources: SourceTree::default(), committed: SourceTree::default() };
        state.sources.insert("charts/generic/Chart.yaml", "apiVersion: v2\nname: generic\nversion: 1.0.0\n");
        state.sources.insert("charts/generic/values.yaml", "image: ''\n");
        state.apply(&Edit::Template(0), &[]);
        for (i, service) in SERVICES.iter().enumerate() {
            state.apply(&Edit::Values(i, None, 0), &[]);
            state.apply(&Edit::Version(i, 1), &[]);
            for environment in ENVIRONMENTS {
                state.sources.insert(format!("services/{service}/{environment}/config.yaml"), "");
            }
        }
        state
    }

    fn apply(&mut self, edit: &Edit, history: &[State]) {
        let mut write = |path: String, text: &str| self.sources.insert(path, text);
        match *edit {
            Edit::Values(service, None, i) => write(format!("services/{}/config.yaml", SERVICES[service]), VALUES[i]),
            Edit::Values(service, Some(environment), i) => {
                write(format!("services/{}/{}/config.yaml", SERVICES[service], ENVIRONMENTS[environment]), VALUES[i]);
            }
            Edit::Defaults(i) => write("services/_defaults/config.yaml".to_owned(), VALUES[i]),
            Edit::Version(service, version) => {
                write(format!("services/{}/version", SERVICES[service]), &format!("{version}\n"));
            }
            Edit::Sync(service, i) => write(format!("services/{}/sync.yaml", SERVICES[service]), SYNCS[i]),
            Edit::Template(i) => write("charts/generic/templates/t.yaml".to_owned(), TEMPLATES[i]),
            Edit::Note(note) => write("charts/generic/note".to_owned(), &note.to_string()),
            Edit::Settings(i) => write("generator.yaml".to_owned(), SETTINGS[i]),
            Edit::Definition(i) => write("crds/definition.yaml".to_owned(), DEFINITIONS[i]),
            Edit::Remove(service) => remove(&mut self.sources, &format!("services/{}/", SERVICES[service])),
            Edit::RemoveFrom(service, environment) => {
                remove(&mut self.sources, &format!("services/{}/{}/", SERVICES[service], ENVIRONMENTS[environment]));
            }
            Edit::Hand(service, environment, hand) => self.by_hand(SERVICES[service], ENVIRONMENTS[environment], hand),
            Edit::Merge(service, back) => {
                if let Some(other) = history.len().checked_sub(back).map(|i| &history[i]) {
                    self.merge(SERVICES[service], other);
                }
            }
            Edit::Render => {
                if let Ok(files) =
                    files(generate_over(&self.sources, &self.committed, Extent::Changes, &|_, _| {}), self)
                {
                    self.committed = files.0;
                }
            }
        }
    }

    fn by_hand(&mut self, service: &str, environment: &str, hand: Hand) {
        let (resources, index) = (Index::resources_path(environment, service), Index::path(environment));
        let text = |path: &str| self.committed.get(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        match hand {
            Hand::Append => {
                let text = text(&resources).unwrap_or_default();
                self.committed.insert(resources, text + "more: true\n");
            }
            Hand::Empty => self.committed.insert(resources, ""),
            Hand::Delete => remove(&mut self.committed, &resources),
            Hand::DeleteIndex => remove(&mut self.committed, &index),
            Hand::Conflict => {
                let text = text(&index).unwrap_or_default();
                self.committed.insert(index, format!("<<<<<<< HEAD\n{text}"));
            }
            Hand::Field(field) => {
                let Some(text) = text(&index) else { return };
                let Some(entry) = text.find(&format!("\n    \"{service}\": {{")) else { return };
                let Some(at) = text[entry..].find(&format!("\"{field}\": ")).map(|at| entry + at + field.len() + 4)
                else {
                    return;
                };
                let at = at + usize::from(text[at..].starts_with('"'));
                let other = if text[at..].starts_with('7') { "8" } else { "7" };
                self.committed.insert(index, format!("{}{other}{}", &text[..at], &text[at + 1..]));
            }
        }
    }

    /// Git merges entries of different services without a conflict.
    fn merge(&mut self, service: &str, other: &State) {
        let take = |tree: &mut SourceTree, from: &SourceTree, folder: &str| {
            remove(tree, folder);
            let files = from.iter().filter(|(path, _)| path.starts_with(folder));
            files.for_each(|(path, content)| tree.insert(path, content));
        };
        take(&mut self.sources, &other.sources, &format!("services/{service}/"));
        for environment in ENVIRONMENTS {
            let index = |state: &State| Index::parse(state.committed.get(&Index::path(environment))?, environment).ok();
            let (Some(mut ours), Some(mut theirs)) = (index(self), index(other)) else { continue };
            take(&mut self.committed, &other.committed, &format!("{ROOT}/{environment}/{service}/"));
            ours.services.remove(service);
            ours.services.extend(theirs.services.remove_entry(service));
            self.committed.insert(Index::path(environment), ours.to_json());
        }
    }
}

fn remove(tree: &mut SourceTree, start: &str) {
    let rest = tree.iter().filter(|(path, _)| !path.starts_with(start));
    *tree = rest.collect();
}

type Files = (SourceTree, Diagnostics, Diagnostics);

/// What a command gets to see.
fn files(generated: Result<Generated, Diagnostics>, state: &State) -> Result<Files, Diagnostics> {
    generated.map(|mut generated| {
        generated.retain(&state.committed);
        (generated.files(), generated.warnings, generated.faults)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_changed_is_everything(edits in edits()) {
        let mut state = State::start();
        let mut history = Vec::new();
        for edit in &edits {
            history.push(state.clone());
            state.apply(edit, &history);
            // Either is right, as long as both are the same.
            drop(compare(&state));
        }
    }
}

/// Both extents come to the same, and the index has told no lie.
fn compare(state: &State) -> Result<Files, Diagnostics> {
    let generate = |extent| files(generate_over(&state.sources, &state.committed, extent, &|_, _| {}), state);
    let (everything, changes) = (generate(Extent::Everything), generate(Extent::Changes));
    assert_eq!(everything, changes);
    match &everything {
        Ok((_, _, faults)) => assert!(faults.is_empty(), "{faults:?}"),
        Err(wrong) => assert!(wrong.iter().all(|one| one.code != "untrue-entry"), "{wrong:?}"),
    }
    everything
}

/// What services have to do with each other, each by itself: the edits, and the codes of what is wrong in the end.
#[test]
fn what_one_service_means_to_another_is_seen() {
    let [one, two] = [Some(0), Some(1)];
    let cases: [(&str, &[Edit], &[&str]); 9] = [
        (
            "a new object is another's",
            &[Edit::Values(0, one, 2), Edit::Render, Edit::Values(1, one, 2)],
            &["duplicate-object"],
        ),
        ("not in another environment", &[Edit::Values(0, one, 2), Edit::Render, Edit::Values(1, two, 2)], &[]),
        (
            "two right branches merge into a collision",
            &[
                Edit::Values(0, one, 2),
                Edit::Render,
                Edit::Values(0, one, 0),
                Edit::Values(1, one, 2),
                Edit::Render,
                Edit::Merge(0, 4),
            ],
            &["duplicate-object"],
        ),
        (
            "a warning is said again",
            &[Edit::Values(0, one, 11), Edit::Render, Edit::Version(1, 2), Edit::Render],
            &["unknown-kind", "unknown-scope"],
        ),
        (
            "a warning of the release alone is said again",
            &[Edit::Settings(5), Edit::Values(0, one, 11), Edit::Render, Edit::Version(1, 2)],
            &["unknown-scope"],
        ),
        (
            "a definition changes",
            &[Edit::Values(0, one, 7), Edit::Values(1, one, 4), Edit::Render, Edit::Values(0, one, 8)],
            &["wrong-type"],
        ),
        (
            "a definition goes",
            &[Edit::Values(0, one, 7), Edit::Values(1, one, 4), Edit::Render, Edit::Remove(0)],
            &["unknown-kind"],
        ),
        (
            "two right branches merge into an object against its definition",
            &[
                Edit::Values(0, one, 8),
                Edit::Values(1, one, 5),
                Edit::Render,
                Edit::Values(0, one, 7),
                Edit::Values(1, one, 4),
                Edit::Render,
                Edit::Merge(0, 4),
            ],
            &["wrong-type"],
        ),
        ("a file defines", &[Edit::Values(1, one, 4), Edit::Render, Edit::Definition(1)], &["wrong-type"]),
    ];
    for (about, edits, codes) in cases {
        let mut state = State::start();
        let mut history = Vec::new();
        let mut last = Err(Diagnostics::new());
        for edit in edits {
            history.push(state.clone());
            state.apply(edit, &history);
            last = compare(&state);
        }
        let said = last.map_or_else(|wrong| wrong, |(_, warnings, _)| warnings);
        let said: Vec<&str> = said.iter().map(|one| one.code).collect();
        assert_eq!(said, codes, "{about}");
    }
}

/// How many services are rendered for a command.
fn rendered(state: &State) -> usize {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let told = |_, _| {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    };
    generate_over(&state.sources, &state.committed, Extent::Changes, &told).expect("nothing is wrong");
    count.into_inner()
}

#[test]
fn what_is_committed_is_not_rendered_again() {
    let mut state = State::start();
    assert_eq!(rendered(&state), 6);
    state.apply(&Edit::Render, &[]);
    assert_eq!(rendered(&state), 0);
    let after = |edits: &[Edit]| {
        let mut state = state.clone();
        edits.iter().for_each(|edit| state.apply(edit, &[]));
        rendered(&state)
    };
    assert_eq!(after(&[Edit::Values(0, None, 1)]), 0, "re-indented");
    assert_eq!(after(&[Edit::Version(0, 2)]), 2);
    assert_eq!(after(&[Edit::Values(0, Some(1), 2)]), 1);
    assert_eq!(after(&[Edit::Sync(1, 1)]), 2);
    assert_eq!(after(&[Edit::Note(1)]), 6);
    assert_eq!(after(&[Edit::Settings(3)]), 3, "one environment runs another Kubernetes");
    assert_eq!(after(&[Edit::Remove(2)]), 0);
    assert_eq!(after(&[Edit::Hand(0, 0, Hand::Append)]), 1);
    assert_eq!(after(&[Edit::Hand(0, 0, Hand::Field("objects"))]), 1);
    assert_eq!(after(&[Edit::Hand(0, 0, Hand::Conflict)]), 3, "of an index in conflict nothing is believed");
    assert_eq!(after(&[Edit::Values(0, Some(0), 4), Edit::Render]), 1, "a warning is said every time");
    let custom = [Edit::Values(0, Some(0), 7), Edit::Values(1, Some(0), 4), Edit::Values(2, Some(0), 4), Edit::Render];
    let mut state = state.clone();
    custom.iter().for_each(|edit| state.apply(edit, &[]));
    assert_eq!(rendered(&state), 0, "a definition is known");
    state.apply(&Edit::Values(0, Some(0), 8), &[]);
    assert!(compare(&state).is_err(), "1 is no text");
    state.apply(&Edit::Values(0, Some(0), 7), &[]);
    state.apply(&Edit::Definition(2), &[]);
    assert_eq!(rendered(&state), 2, "those that depend on definitions");
}

#[test]
fn a_hand_in_gen_is_found_and_a_forged_entry_by_a_full_check() {
    let repository = Repository::example();
    repository.render();
    let path = "_gen/staging/app1/resources.yaml";
    repository.edit(path, "nginx", "caddy");
    let check = repository.run(&["check"]);
    assert!(check.code == 1 && check.out.starts_with(&format!("changed  {path}\n")), "{check:?}");
    assert!(repository.render().contains("1 file written"));

    // Whoever also mends the index is believed, until everything is rendered.
    let honest = manifest::Hash::of(repository.read(path).as_bytes()).to_string();
    repository.edit(path, "nginx", "caddy");
    let forged = manifest::Hash::of(repository.read(path).as_bytes()).to_string();
    repository.edit("_gen/staging/index.json", &honest, &forged);
    assert_eq!(repository.run(&["check"]).code, 0);
    let full = repository.run(&["check", "--full"]);
    assert_eq!(full.code, 1);
    insta::assert_snapshot!(format!("{}{}", full.out, full.err));
    let json = repository.run(&["check", "--full", "--format", "json"]);
    assert!(json.code == 1 && json.out.contains("\"code\": \"untrue-entry\""), "{}", json.out);
    let repaired = repository.run(&["render", "--full"]);
    assert!(repaired.code == 0 && repaired.err.starts_with("warning[untrue-entry]"), "{repaired:?}");
    assert_eq!(repository.run(&["check", "--full"]).err, "");
    assert!(repository.read(path).contains("nginx"));
}
