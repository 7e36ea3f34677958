//! Histories by hand, each with its transcript: what a person would tell of a bad night.
//!
//! The mends of what the other two drivers found begin here. Invariant: a history ends well, or its test says what exactly does not.

use std::time::Duration;

use manifest::index::Sync;

use crate::model::services::{Service, service};
use crate::model::without_hashes;
use crate::script::{History, Step};
use crate::weather::{Fault, Weather};
use crate::world::play;

/// Plays a history that must end well. Returns what happened.
#[track_caller]
fn told(history: &History) -> String {
    let outcome = play(history, true);
    let transcript = without_hashes(&outcome.transcript.join("\n"));
    assert_eq!(outcome.violation, None, "\n{transcript}");
    transcript
}

fn with(name: &str, weather: Weather, steps: Vec<Step>) -> History {
    History { weather, ..History::new(name, steps) }
}

fn one() -> Vec<Service> {
    vec![service("a", &[("ConfigMap a", "v1")])]
}

fn two() -> Vec<Service> {
    vec![service("a", &[("ConfigMap a", "v2"), ("ConfigMap b", "v1")])]
}

#[test]
fn a_crash_between_apply_and_record() {
    let weather = Weather::named("apply ConfigMap n/a", 1, Fault::CrashAfter);
    let steps = vec![Step::Commit(one()), Step::Settle, Step::Commit(two()), Step::Settle];
    insta::assert_snapshot!(told(&with("crash", weather, steps)));
}

#[test]
fn a_leader_that_is_paused_in_the_middle_wakes_up_and_changes_nothing() {
    let weather = Weather::named("apply ConfigMap n/b", 0, Fault::Paused(Duration::from_secs(60)));
    let steps = vec![
        Step::Commit(one()),
        Step::Settle,
        Step::Commit(two()),
        Step::Wait(45),
        Step::Commit(one()),
        Step::Wait(40),
    ];
    insta::assert_snapshot!(told(&History { processes: 2, ..with("paused", weather, steps) }));
}

#[test]
fn a_rewritten_history_is_held_until_people_approve_it() {
    let steps = vec![
        Step::Commit(one()),
        Step::Settle,
        Step::Commit(two()),
        Step::Settle,
        Step::Rewrite(one()),
        Step::Wait(17),
    ];
    insta::assert_snapshot!(told(&History::new("rewritten", steps)));
}

#[test]
fn an_api_group_that_is_out_holds_only_who_needs_it() {
    let steps = vec![
        Step::Commit(one()),
        Step::Settle,
        Step::Outage("apps".to_owned(), 30),
        Step::Commit(vec![service("a", &[("ConfigMap a", "v2")]), service("b", &[("Deployment.apps d", "v1")])]),
        Step::Wait(20),
    ];
    insta::assert_snapshot!(told(&History::new("outage", steps)));
}

/// Found by the swarm: it was recorded as left over for ever, and so watched by nobody.
#[test]
fn what_was_left_over_and_is_wanted_again_is_like_any_other() {
    let kept = |objects: &[(&str, &str)]| vec![service("a", objects).sync(Sync { prune: false, ..Sync::default() })];
    let both = kept(&[("ConfigMap a", "v1"), ("ConfigMap b", "v1")]);
    let steps = vec![
        Step::Commit(both.clone()),
        Step::Settle,
        Step::Commit(kept(&[("ConfigMap a", "v1")])),
        Step::Wait(20),
        Step::Commit(both),
    ];
    insta::assert_snapshot!(told(&History::new("left over", steps)));
}

/// Found by the swarm: what could not be looked at for want of its definition was never let go.
#[test]
fn an_instance_whose_definition_never_came_is_forgotten() {
    let weather = Weather::named("apply CustomResourceDefinition", 0, Fault::Denied);
    let with_instance = vec![service(
        "a",
        &[
            ("ConfigMap a", "v1"),
            ("CustomResourceDefinition.apiextensions.k8s.io widgets.example.org", ""),
            ("Widget.example.org w", "v1"),
        ],
    )];
    let steps = vec![Step::Commit(with_instance), Step::Wait(5), Step::Commit(one())];
    insta::assert_snapshot!(told(&with("no definition", weather, steps)));
}

/// Found by the swarm: in the first cycle of a process, one lost record made all services look failed.
#[test]
fn a_record_that_is_lost_says_nothing_of_other_services() {
    let weather = Weather::named("write syncd-staging-a", 1, Fault::LostBefore);
    let both = vec![service("a", &[("ConfigMap a", "v1")]), service("b", &[("ConfigMap b", "v1")])];
    insta::assert_snapshot!(told(&with("lost record", weather, vec![Step::Commit(both), Step::Wait(5)])));
}

/// A request that creates leaves its process, which ends; its successor is told that nobody wants the object, and finds that it is not there.
/// It stays recorded until the request has had its time.
#[test]
fn what_may_still_be_created_is_not_forgotten() {
    let late = Fault::CrashLate(Duration::from_secs(45));
    let weather = Weather::named("apply ConfigMap n/b", 0, late);
    let steps = vec![Step::Commit(one()), Step::Settle, Step::Commit(two()), Step::Wait(14), Step::Commit(one())];
    insta::assert_snapshot!(told(&with("late creation", weather, steps)));
}

/// An update leaves its process, which ends; its successor applies what the next commit says; then the update lands. The second look, a
/// minute after the start, sees it.
#[test]
fn an_update_that_lands_late_is_seen_by_the_second_look() {
    let late = Fault::CrashLate(Duration::from_secs(45));
    let weather = Weather::named("apply ConfigMap n/a", 1, late);
    let steps = vec![Step::Commit(one()), Step::Settle, Step::Commit(two()), Step::Wait(14), Step::Commit(one())];
    insta::assert_snapshot!(told(&with("late update", weather, steps)));
}

/// What remains: a delete leaves, and is wanted again before it lands. It names a uid, and that is the object's: it goes, and comes again.
#[test]
fn a_deletion_that_lands_after_the_object_is_wanted_again_takes_it_and_it_comes_back() {
    let late = Fault::CrashLate(Duration::from_secs(45));
    let weather = Weather::named("delete ConfigMap n/b", 0, late);
    let steps = vec![Step::Commit(two()), Step::Settle, Step::Commit(one()), Step::Wait(14), Step::Commit(two())];
    insta::assert_snapshot!(told(&with("late deletion", weather, steps)));
}

/// Found by the swarm: an object that others took away was forgotten where it could not be asked for just then.
#[test]
fn what_others_took_away_and_could_not_be_read_comes_back() {
    let weather = Weather::named("get ConfigMap n/a", 1, Fault::Broken);
    let steps = vec![Step::Commit(one()), Step::Settle, Step::Remove("ConfigMap a".to_owned()), Step::Wait(20)];
    insta::assert_snapshot!(told(&with("unread", weather, steps)));
}

/// Found by the swarm: what others changed of a service that waited for another one was forgotten meanwhile.
#[test]
fn what_others_changed_is_mended_when_its_service_can_be_come_to() {
    let waits = Sync { depends_on: vec!["a".to_owned()], ..Sync::default() };
    let with_content = |content: &str| {
        let b = service("b", &[("ConfigMap b", "v1")]).sync(waits.clone());
        vec![service("a", &[("ConfigMap a", content)]), b]
    };
    let steps = vec![
        Step::Commit(with_content("v1")),
        Step::Settle,
        Step::Deny("ConfigMap a".to_owned()),
        Step::Commit(with_content("v2")),
        Step::Wait(20),
        Step::Edit("ConfigMap b".to_owned()),
        Step::Wait(20),
    ];
    insta::assert_snapshot!(told(&History::new("blocked drift", steps)));
}

/// Found by the swarm: the first root that ever was landed late, in an environment that wanted nothing by then, and held the tip for ever.
#[test]
fn a_first_root_that_lands_late_is_not_what_is_in_force() {
    let late = Fault::CrashLate(Duration::from_secs(30));
    let weather = Weather::named("write syncd-staging", 0, late);
    let steps = vec![Step::Commit(Vec::new()), Step::Wait(1), Step::Commit(one()), Step::Wait(14), Step::Back];
    insta::assert_snapshot!(told(&with("late root", weather, steps)));
}

/// Found by the swarm: who had to give its cycle up gave the Lease back as if nothing of it were under way, and its record landed while its
/// successor acted.
#[test]
fn a_cycle_that_is_given_up_leaves_its_successor_to_wait() {
    insta::assert_snapshot!(told(&stopped_with_a_late_record(1)));
}

/// The answer to a record does not come, and then the stop: there is no cycle to give up, and the record may still land.
#[test]
fn a_record_without_an_answer_leaves_the_successor_to_wait() {
    insta::assert_snapshot!(told(&stopped_with_a_late_record(40)));
}

/// One of two processes leads; a record of it lands after 57 s, and it is asked to stop after so many.
fn stopped_with_a_late_record(seconds: u64) -> History {
    let weather = Weather::named("write syncd-staging-a", 1, Fault::Late(Duration::from_secs(57)));
    let steps = vec![Step::Commit(one()), Step::Wait(seconds), Step::Stop(0), Step::Wait(60)];
    History { processes: 2, ..with("a late record", weather, steps) }
}

/// Found by the swarm: what others took away was forgotten when it could not be read for the second time, in the cycle that planned for it.
#[test]
fn what_others_took_away_and_could_not_be_read_twice_comes_back() {
    let broken = |before: usize| ("get ConfigMap n/a".to_owned(), before, Fault::Broken);
    let weather = Weather::Named(vec![broken(1), broken(2)]);
    let steps = vec![Step::Commit(one()), Step::Settle, Step::Remove("ConfigMap a".to_owned()), Step::Wait(45)];
    insta::assert_snapshot!(told(&with("unread twice", weather, steps)));
}

/// Found by the swarm: what the watch had seen before it was interrupted was taken for the object that took its place since, and recorded.
#[test]
fn what_was_seen_before_the_watch_was_interrupted_is_asked_about() {
    let steps = vec![
        Step::Commit(one()),
        Step::Settle,
        Step::Suspend("environment".to_owned()),
        Step::Edit("ConfigMap a".to_owned()),
        Step::Wait(20),
        Step::Remove("ConfigMap a".to_owned()),
        Step::Cut(0, 12),
        Step::Wait(8),
    ];
    insta::assert_snapshot!(told(&History::new("seen before", steps)));
}

/// Found by the swarm: an object that had moved to a service that leaves went before what takes its place where it came from.
#[test]
fn what_moved_to_a_service_that_leaves_goes_last() {
    let steps = vec![
        Step::Commit(vec![service("b", &[("Service v", "v1")]), service("c", &[("ConfigMap b", "v1")])]),
        Step::Settle,
        Step::Commit(vec![service("a", &[("Service v", "v1")]), service("b", &[("ConfigMap b", "v2")])]),
        Step::Wait(15),
        Step::Commit(vec![service("b", &[("ConfigMap b", "v2")])]),
        Step::Wait(20),
    ];
    let weather = Weather::named("apply Service n/v", 1, Fault::CrashAfter);
    insta::assert_snapshot!(told(&with("moved", weather, steps)));
}

/// Found by the swarm: what two services have recorded, as it was moved and not come to, went when one of them was up and the other not.
#[test]
fn what_two_services_hold_goes_when_both_are_up() {
    let steps = vec![
        Step::Commit(vec![service("b", &[("Service v", "v2"), ("ConfigMap b", "v1")])]),
        Step::Settle,
        Step::Commit(vec![
            service("b", &[("ConfigMap e", "v0")]),
            service("c", &[("ConfigMap b", "v1"), ("Service v", "v0")]),
        ]),
        Step::Wait(15),
        Step::Commit(vec![
            service("b", &[("ConfigMap e", "v0")]),
            service("c", &[("Service v", "v0"), ("Secret s", "v2")]),
        ]),
        Step::Wait(20),
    ];
    let weather = Weather::named("apply ConfigMap n/e", 0, Fault::CrashBefore);
    insta::assert_snapshot!(told(&with("held twice", weather, steps)));
}

/// Found by the swarm: a process began while a root that its predecessor had sent was under way, and acted by the one it had read after the
/// other had landed.
#[test]
fn a_root_that_is_under_way_at_the_start_does_not_land_afterwards() {
    let weather = Weather::Named(vec![
        ("write syncd-staging".to_owned(), 0, Fault::CrashAfter),
        ("write syncd-staging".to_owned(), 1, Fault::CrashLate(Duration::from_secs(20))),
        ("tip".to_owned(), 2, Fault::Denied),
        ("write syncd-staging-a".to_owned(), 0, Fault::Slow(Duration::from_secs(40))),
    ]);
    let newer = vec![service("a", &[("ConfigMap a", "v2")])];
    let steps = vec![Step::Commit(one()), Step::Wait(1), Step::Commit(newer), Step::Wait(60)];
    insta::assert_snapshot!(told(&with("root under way", weather, steps)));
}

/// Found by the swarm: the part of a record that was written late was removed by who had read all of it before, in time for another look.
#[test]
fn a_part_is_removed_only_when_all_was_read_again() {
    let late = Fault::CrashLate(Duration::from_secs(60));
    let weather = Weather::named("write syncd-staging-a", 1, late);
    let many = vec![service("a", &[("ConfigMap a", "v1"), ("ConfigMap b", "v1"), ("ServiceAccount u", "v1")])];
    let steps = vec![Step::Commit(many), Step::Wait(8), Step::Commit(Vec::new()), Step::Wait(80)];
    insta::assert_snapshot!(told(&History { state_bytes: 600, ..with("late parts", weather, steps) }));
}
