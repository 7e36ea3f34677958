//! A source that cannot be followed: the last good revision stays in force, and the reason is told.

use syncd::approval;
use syncd::config::History;
use syncd::cycle::Memory;
use syncd::repo::{Lineage, RepoError, Revision};
use syncd::report::{CycleResult, ServiceState, Stage};
use syncd::state::{self, Root};

use crate::cluster::HOME;
use crate::model::repo::Files;
use crate::world::{ENVIRONMENT, World, files, service, states};

const INDEX: &str = "_gen/staging/index.json";
const APP1: &str = "_gen/staging/app1/resources.yaml";

fn good() -> Files {
    files(&[service("app1", &[("ConfigMap a", "v1")]), service("app2", &[("ConfigMap b", "v1")])])
}

fn replaced(path: &str, change: impl FnOnce(String) -> String) -> Files {
    let mut files = files(&[service("app1", &[("ConfigMap a", "v2")]), service("app2", &[("ConfigMap b", "v2")])]);
    let text = String::from_utf8(files.remove(path).expect("a file")).expect("a text");
    files.insert(path.to_owned(), change(text).into_bytes());
    files
}

#[tokio::test(start_paused = true)]
async fn a_hostile_index_is_refused_and_the_last_good_one_stays_in_force() {
    let mut missing = good();
    missing.remove(INDEX);
    let cases = [
        (missing, "has no `_gen/staging/index.json`"),
        (
            replaced(INDEX, |text| text.replace("\"staging\"", "\"production\"")),
            "the index is of environment `production`",
        ),
        (replaced(INDEX, |text| text.replace("\"format\": 1", "\"format\": 2")), "index format 2 is unknown"),
        (replaced(INDEX, |text| text.replace("\"app1\"", "\"app2\"")), "service `app2` is listed twice"),
        (replaced(INDEX, |text| text.replace("\"app1\"", "\"../app1\"")), "is not a valid service name"),
        (replaced(INDEX, |text| text.replace("\"chart\"", "\"surprise\"")), "unknown field `surprise`"),
        (replaced(INDEX, |_| "<<<<<<< HEAD".to_owned()), "is refused: not an index"),
        (replaced(INDEX, |text| format!("{text}{}", " ".repeat(20_000))), "the limit is 10000"),
    ];
    for (files, expected) in cases {
        let mut world = World::new();
        world.settings.limits.index_bytes = 10_000;
        let first = world.repo.commit(good());
        world.synced().await;
        world.cluster.take_calls();
        world.repo.commit(files);
        let report = world.cycle().await;
        assert_eq!((report.result, report.revision.as_ref()), (CycleResult::Held, Some(&first)), "{expected}");
        assert_eq!(report.errors.len(), 1);
        assert_eq!(report.errors[0].stage, Stage::Index);
        let message = &report.errors[0].message;
        assert!(message.contains(expected), "{message}");
        assert!(message.contains(&format!("{} stays in force", first.short())), "{message}");
        assert_eq!(states(&report), [("app1", ServiceState::Synced), ("app2", ServiceState::Synced)].into());
        assert_eq!(world.cluster.take_calls(), Vec::<String>::new(), "{expected}");

        // The revision in force is known after a restart too.
        world.memory = Memory::default();
        let report = world.cycle().await;
        assert_eq!((report.result, report.revision.as_ref()), (CycleResult::Held, Some(&first)), "{expected}");
        assert_eq!(world.writes(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_file_fails_its_service_only() {
    let twice = |text: String| format!("{text}---\n{text}");
    let cases: [(&str, Files, &str); 4] = [
        ("tampered", replaced(APP1, |text| text.replace("v2", "v3")), "does not match the index: its hash is "),
        (
            "missing",
            {
                let mut files = replaced(APP1, |text| text);
                files.remove(APP1);
                files
            },
            "is missing although the index names it",
        ),
        ("duplicate", rehashed(twice), "has ConfigMap n/a twice"),
        ("yaml", rehashed(|_| "a: [".to_owned()), "is not canonical YAML at line 1, column "),
    ];
    for (name, files, expected) in cases {
        let mut world = World::new();
        world.repo.commit(good());
        world.synced().await;
        world.cluster.take_calls();
        world.repo.commit(files);
        let report = world.cycle().await;
        assert_eq!(states(&report), [("app1", ServiceState::Failed), ("app2", ServiceState::Synced)].into(), "{name}");
        let error = report.services["app1"].error.clone().expect("an error");
        assert!(error.contains(expected), "{name}: {error}");
        assert_eq!(world.writes(), ["apply ConfigMap n/b"], "{name}");
    }
}

/// A commit in which the file of `app1` is changed and the index says so.
fn rehashed(change: impl FnOnce(String) -> String) -> Files {
    let mut files = replaced(APP1, change);
    let mut index = manifest::Index::parse(&files[INDEX], "staging").expect("an index");
    index.services.get_mut("app1").expect("app1").content = manifest::Hash::of(&files[APP1]);
    files.insert(INDEX.to_owned(), index.to_json().into_bytes());
    files
}

#[tokio::test(start_paused = true)]
async fn more_bad_files() {
    let document = |metadata: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n{metadata}");
    let cases = [
        (document("  name: a\n  namespace: other\n  uid: x\n"), "sets `metadata.uid`"),
        (
            document("  name: a\n  namespace: other\n  labels: []\n"),
            "`metadata.labels` of ConfigMap other/a is not a mapping",
        ),
        (document("  name: syncd-staging-x\n  namespace: syncd\n"), "is part of syncd's own state"),
        (document("  name: a/b\n"), "`a/b` is not a valid object name"),
        (
            document("  name: a\n").replace("ConfigMap", "Namespace").replace("name: a", "name: a\n  namespace: other"),
            "has a namespace, but its kind is in none",
        ),
        (String::new(), "has 0 objects; the index says 1"),
    ];
    for (text, expected) in cases {
        let mut world = World::new();
        world.repo.commit(rehashed(|_| text));
        let error = world.cycle().await.services["app1"].error.clone().expect("an error");
        assert!(error.contains(expected), "{error}");
        assert_eq!(world.owned(), ["app2: ConfigMap n/b"]);
    }
    // As for kubectl, an object without namespace is in `default`.
    let mut world = World::new();
    world.repo.commit(rehashed(|_| document("  name: a\n")));
    world.synced().await;
    assert_eq!(world.owned(), ["app1: ConfigMap default/a", "app2: ConfigMap n/b"]);
}

#[tokio::test(start_paused = true)]
async fn an_object_in_two_services_fails_those_that_are_new_to_it() {
    let mut world = World::new();
    let shared = ("ConfigMap shared", "v1");
    world.commit(&[service("app1", &[shared]), service("app3", &[("ConfigMap c", "v1")])]);
    world.synced().await;
    world.commit(&[service("app1", &[shared]), service("app2", &[shared]), service("app3", &[("ConfigMap c", "v2")])]);
    let report = world.cycle().await;
    let expected = [("app1", ServiceState::Synced), ("app2", ServiceState::Failed), ("app3", ServiceState::Synced)];
    assert_eq!(states(&report), expected.into());
    let error = report.services["app2"].error.as_ref().expect("an error");
    assert_eq!(error, "ConfigMap n/shared is also in service `app1`; remove it from one of them");
    assert_eq!(world.owned(), ["app3: ConfigMap n/c", "app1: ConfigMap n/shared"]);
}

#[tokio::test(start_paused = true)]
async fn a_path_that_is_not_acceptable_fails_its_service_only() {
    let mut world = World::new();
    world.repo.refuse(APP1);
    world.repo.commit(good());
    let report = world.cycle().await;
    assert_eq!(states(&report), [("app1", ServiceState::Failed), ("app2", ServiceState::Synced)].into());
    assert!(report.services["app1"].error.as_ref().expect("an error").contains("it is a symbolic link"));
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_does_not_answer_is_not_an_empty_one() {
    for error in [RepoError::Unreachable("timed out".to_owned()), RepoError::NoRef("refs/heads/main".to_owned())] {
        let mut world = World::new();
        let first = world.repo.commit(good());
        world.synced().await;
        world.cluster.take_calls();
        world.repo.break_with(Some(error.clone()));
        let report = world.cycle().await;
        assert_eq!((report.result, report.revision.as_ref()), (CycleResult::Held, Some(&first)));
        assert_eq!(report.errors[0].stage, Stage::Source);
        assert_eq!(world.cluster.take_calls(), Vec::<String>::new());

        // The last revision in force is kept up all the same.
        world.memory = Memory::default();
        world.somebody(sandbox::Request::delete(&world.path("ConfigMap a")));
        let report = world.cycle().await;
        assert_eq!((report.result, report.revision.as_ref()), (CycleResult::Held, Some(&first)));
        assert_eq!(world.writes(), ["apply ConfigMap n/a"]);
        world.repo.break_with(None);
        assert_eq!(world.synced().await.result, CycleResult::Unchanged);
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_start_without_a_source_does_nothing_and_says_why() {
    let mut world = World::new();
    world.repo.break_with(Some(RepoError::Unauthorized("no token".to_owned())));
    let report = world.cycle().await;
    assert_eq!((report.result, report.revision.clone()), (CycleResult::Failed, None));
    assert_eq!(report.errors[0].message, "the repository refused access: no token");
    assert_eq!(world.cluster.take_calls(), ["list state"]);
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_tip_is_not_fetched_again() {
    let mut world = World::new();
    world.repo.commit(good());
    world.synced().await;
    let (tips, fetches) = world.repo.counts();
    world.synced().await;
    world.synced().await;
    assert_eq!(world.repo.counts(), (tips + 2, fetches));
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_nobody_vouches_for_is_held() {
    let mut world = World::new();
    let first = world.repo.commit(good());
    world.synced().await;
    world.cluster.take_calls();
    let second = world.repo.commit(replaced(INDEX, |text| text));
    world.repo.refuse_signature(&second, "it is not signed");
    for restarted in [false, true] {
        if restarted {
            world.memory = Memory::default();
        }
        let report = world.cycle().await;
        assert_eq!((report.result, report.revision.as_ref()), (CycleResult::Held, Some(&first)));
        let [error] = &report.errors[..] else { panic!("{:?}", report.errors) };
        assert_eq!(error.stage, Stage::Revision);
        let expected = format!("revision {second} is refused: the commit is not vouched for: it is not signed");
        assert!(error.message.starts_with(&expected), "{}", error.message);
        assert!(error.message.ends_with(&format!("revision {} stays in force", first.short())), "{}", error.message);
        assert_eq!(world.writes(), Vec::<String>::new());
    }
    // Nothing but a later signed commit releases it.
    let third = world.repo.commit(replaced(INDEX, |text| text));
    assert_eq!(world.synced().await.revision, Some(third));
}

#[tokio::test(start_paused = true)]
async fn a_rewritten_history_is_held_until_its_revision_is_accepted_by_name() {
    for (lineage, why) in [
        (Lineage::Rewritten, "the history was rewritten"),
        (Lineage::Unproven { generations: 7 }, "within 7 generations"),
    ] {
        let mut world = World::new();
        let first = world.repo.commit(good());
        world.synced().await;
        assert_eq!(world.repo.take_asked(), [], "there is nothing that the first revision could descend from");
        world.cluster.take_calls();
        let second = world.repo.commit(replaced(INDEX, |text| text));
        world.repo.set_lineage(&second, lineage);
        for restarted in [false, true] {
            if restarted {
                world.memory = Memory::default();
            }
            let report = world.cycle().await;
            assert_eq!((report.result, report.revision.as_ref()), (CycleResult::Held, Some(&first)));
            let [error] = &report.errors[..] else { panic!("{:?}", report.errors) };
            assert_eq!(error.stage, Stage::History);
            assert!(error.message.contains(why) && error.message.contains(&format!("syncd approve {second}")));
            assert!(error.message.contains(&second.0) && error.message.contains(&first.0), "{}", error.message);
            assert_eq!(world.repo.take_asked(), [(second.clone(), first.clone())]);
            assert_eq!(world.writes(), Vec::<String>::new());
        }
        world.settings.history = History::Descendants { accepted: [first.clone()].into() };
        assert_eq!(world.cycle().await.revision, Some(first.clone()), "another name is not this one");
        world.settings.history = History::Descendants { accepted: [second.clone()].into() };
        assert_eq!(world.synced().await.revision, Some(second));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rewritten_history_is_followed_where_that_is_allowed() {
    let mut world = World::new();
    world.repo.commit(good());
    world.synced().await;
    world.settings.history = History::Any;
    let second = world.repo.commit(replaced(INDEX, |text| text));
    world.repo.set_lineage(&second, Lineage::Rewritten);
    assert_eq!(world.synced().await.revision, Some(second));
    assert_eq!(world.repo.take_asked(), []);
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_another_process_recorded_late_does_not_stay_recorded() {
    let mut world = World::new();
    world.repo.commit(good());
    world.synced().await;
    let root = world.state().root.expect("recorded");
    let late = Root { commit: Revision("a".repeat(40)), ..root.root.clone() };
    state::write_root(&world.cluster, Some(&root), late).await.expect("written");

    // It is found when the next change is to be recorded, which is not wanted any more by then: there is nothing to do.
    world.repo.commit(replaced(INDEX, |text| text));
    assert_eq!(world.cycle().await.result, CycleResult::Failed);
    let tip = world.repo.commit(good());
    world.cluster.take_calls();
    world.synced().await;
    assert_eq!(world.state().root.expect("recorded").root.commit, tip);
}

async fn approve(world: &World, revision: &Revision) {
    let approvals = approval::read(&world.cluster, ENVIRONMENT, HOME).await.expect("readable");
    approval::add(&world.cluster, ENVIRONMENT, approvals, approval::of_revision(revision)).await.expect("written");
}

#[tokio::test(start_paused = true)]
async fn a_rewritten_history_is_followed_once_exactly_its_revision_is_approved() {
    // With another index, and with the same one: then nothing but the root says what is in force.
    for files in [replaced(INDEX, |text| text), good()] {
        let mut world = World::new();
        world.repo.commit(good());
        world.synced().await;
        let second = world.repo.commit(files);
        world.repo.set_lineage(&second, Lineage::Rewritten);
        assert_eq!(world.cycle().await.result, CycleResult::Held);
        approve(&world, &Revision("a".repeat(40))).await;
        assert_eq!(world.cycle().await.result, CycleResult::Held, "another revision is not this one");
        approve(&world, &second).await;
        assert_eq!(world.synced().await.revision, Some(second.clone()));

        // From now on this is the history, whatever becomes of the approval.
        let approvals = approval::read(&world.cluster, ENVIRONMENT, HOME).await.expect("readable");
        approval::forget(&world.cluster, ENVIRONMENT, &approvals).await;
        world.memory = Memory::default();
        world.repo.take_asked();
        let report = world.synced().await;
        assert_eq!((report.result, report.revision), (CycleResult::Unchanged, Some(second.clone())));
        assert_eq!(world.repo.take_asked(), []);
    }
}
