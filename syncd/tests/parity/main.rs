//! The same scenarios on the sandbox and on a real control plane, with the same transcript: what holds the model to the truth.
//!
//! Each scenario is a story of commits and of what happens to a cluster, played through the real stack: `syncd`'s own cycles or processes, over
//! HTTP. What was asked of the API server, what was reported, what is in the cluster and in the records is written down, and one snapshot
//! under `transcripts/` must hold for both. The sandbox is always there; a control plane is named by `SYNCD_TEST_KUBECONFIG`, and where none is
//! the tests say `NOT RUN`. It must be one of `conformance/kubernetes`, whose pods behave, and fresh.
//!
//! A transcript that changes is accepted on the real control plane first (`INSTA_UPDATE=always`), then played on the sandbox.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]
#![expect(clippy::disallowed_methods, reason = "a control plane has a clock of its own")]

#[path = "../model/repo.rs"]
#[expect(dead_code, reason = "not everything that can go wrong does here")]
mod repo;

#[path = "../git_repository/mod.rs"]
mod git_repository;

#[path = "../running_daemon/mod.rs"]
#[expect(dead_code, reason = "scenarios commit to environments of their own")]
mod running_daemon;

mod plane;
mod running;
mod transcript;
mod wire;
mod world;

mod adoption;
mod daemons;
mod drift;
mod guards;
mod immutables;
mod isolation;
mod order;
mod orphans;
mod precision;
mod records;
mod source;
mod supersession;
mod truth;

use plane::Plane;
use world::World;

/// Plays a scenario and compares what happened with what should.
async fn play(name: &str, plane: Plane, scenario: impl AsyncFnOnce(&mut World)) {
    let begun = tokio::time::Instant::now();
    let mut world = World::new(plane, name).await;
    scenario(&mut world).await;
    if world.is_skipped {
        return;
    }
    println!("{name} on the {}: {:.1} s", world.plane.name(), begun.elapsed().as_secs_f64());
    let settings = {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("transcripts");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings
    };
    settings.bind(|| insta::assert_snapshot!(name, world.transcript.text()));
}

/// Makes two tests of each scenario, and a list of them.
macro_rules! scenarios {
    ($($module:ident: $($scenario:ident),+;)+) => {
        $($(
            mod $scenario {
                use crate::plane::Plane;

                #[tokio::test(flavor = "multi_thread")]
                async fn on_the_sandbox() {
                    crate::play(stringify!($scenario), Plane::sandbox().await, crate::$module::$scenario).await;
                }

                #[tokio::test(flavor = "multi_thread")]
                async fn on_a_real_control_plane() {
                    match Plane::real().await {
                        Some(plane) => crate::play(stringify!($scenario), plane, crate::$module::$scenario).await,
                        None => eprintln!("NOT RUN: SYNCD_TEST_KUBECONFIG names no control plane"),
                    }
                }
            }
        )+)+

        /// All scenarios, by what they are about.
        const SCENARIOS: &[(&str, &[&str])] = &[$((stringify!($module), &[$(stringify!($scenario)),+])),+];
    };
}

scenarios! {
    precision: an_unchanged_index_costs_nothing, a_changed_object_is_one_apply, a_moved_object_is_never_deleted, another_api_version_is_an_update, an_autoscaler_changes_its_version;
    orphans: half_an_apply_that_is_reverted_leaves_nothing, a_denied_delete_is_tried_for_ever_and_shown;
    order: waves_and_dependencies_are_kept, what_does_not_become_ready_is_rolled_back;
    isolation: four_bad_services_of_fifty, a_broken_api_group_touches_only_its_objects;
    supersession: a_fix_does_not_wait_for_what_is_stuck;
    drift: what_others_change_is_taken_back;
    truth: failures_are_told_soon;
    guards: many_deletions_wait_until_they_are_approved, what_asks_to_be_kept_is_kept;
    immutables: fields_that_cannot_change;
    adoption: what_is_nobodys_is_taken_over, what_belongs_to_another_tool_is_left_to_it;
    daemons: of_two_one_leads, a_leader_whose_network_is_cut_is_replaced;
    source: a_source_that_fails_holds_the_last_good_revision;
    records: a_large_record_is_split, records_that_were_deleted_are_built_again,
        a_record_that_cannot_be_read_holds_its_service;
}

/// A scenario that nobody can find is played for nobody.
#[test]
fn the_documentation_lists_every_scenario() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../conformance/kubernetes/README.md");
    let text = std::fs::read_to_string(path).unwrap();
    for (module, scenarios) in SCENARIOS {
        for scenario in *scenarios {
            assert!(
                text.contains(&format!("`{scenario}`")),
                "conformance/kubernetes/README.md does not list {scenario} ({module})"
            );
        }
    }
}
