//! Every reason to apply, to delete and to withhold, once at least, as people read it.

use insta::assert_snapshot;
use manifest::index::Sync;
use syncd::live::Inside;
use syncd::plan::DeleteReason;
use syncd::report::SuspendedScope;

use crate::world::{Objects, World, id};

const APP: Objects<'static> =
    &[("ServiceAccount a", "v1"), ("ConfigMap a", "v1"), ("Service a", "v1"), ("Deployment.apps a", "v1")];

#[test]
fn a_new_service_is_recorded_first_and_applied_in_stages() {
    assert_snapshot!(World::new().wants("a", APP).printed());
}

#[test]
fn nothing_new_is_nothing_to_do() {
    let world = World::new().wants("a", APP).settled("a", APP);
    assert_snapshot!(world.printed(), @"
    plan for staging at 0123456789ab (changed)
    nothing to do
    ");
}

#[test]
fn one_changed_object_is_one_apply_without_widening() {
    let changed =
        &[("ServiceAccount a", "v1"), ("ConfigMap a", "v2"), ("Service a", "v1"), ("Deployment.apps a", "v1")];
    assert_snapshot!(World::new().wants("a", changed).settled("a", APP).printed());
}

#[test]
fn an_object_that_is_not_generated_any_more_is_deleted_after_the_service_is_ready() {
    let fewer = &[("ServiceAccount a", "v1"), ("ConfigMap a", "v1"), ("Deployment.apps a", "v2")];
    let world = World::new().wants("a", fewer).settled("a", APP).seen("a", "Service a");
    assert_snapshot!(world.printed());
}

#[test]
fn a_service_that_left_the_index_is_deleted_in_reverse_when_the_newcomers_ended() {
    let mut world = World::new().wants("b", &[("Deployment.apps b", "v1")]).settled("a", APP);
    for object in APP {
        world = world.seen("a", object.0);
    }
    assert_snapshot!(world.printed());
}

#[test]
fn an_object_that_moves_is_recorded_there_before_it_is_forgotten_here() {
    let world = World::new()
        .wants("a", &[("ConfigMap x", "v1")])
        .wants("b", &[("ConfigMap y", "v1")])
        .settled("a", &[("ConfigMap x", "v1"), ("ConfigMap y", "v1")]);
    assert_snapshot!(world.printed());
}

#[test]
fn an_object_that_moves_to_a_service_that_is_ahead_is_only_forgotten() {
    let both = &[("ConfigMap x", "v1"), ("ConfigMap y", "v1")];
    let world = World::new()
        .wants("a", &[("ConfigMap x", "v1")])
        .wants("b", &[("ConfigMap y", "v1")])
        .settled("a", both)
        .settled("b", &[("ConfigMap y", "v1")]);
    assert_snapshot!(world.printed());
}

#[test]
fn an_object_that_two_services_held_is_deleted_by_one() {
    let both = &[("ConfigMap x", "v1")];
    let world = World::new().settled("a", both).settled("b", both).seen("a", "ConfigMap x");
    assert_snapshot!(world.printed());
}

#[test]
fn an_object_that_two_services_held_is_the_one_s_who_comes_to_it_last() {
    let (both, at_rest) = (&[("ConfigMap x", "v1")], &[("ConfigMap x", "v1"), ("ConfigMap y", "v1")]);
    // Whose it says to be; and, before that, who is not at work now.
    let world = World::new().settled("a", both).settled("b", both).seen("b", "ConfigMap x");
    assert_snapshot!("named", world.printed());
    let wanted = &[("ConfigMap y", "v2")];
    let world = World::new().settled("a", both).wants("b", wanted).settled("b", at_rest).rests("b");
    assert_snapshot!("at_rest", world.seen("a", "ConfigMap x").printed());
}

#[test]
fn a_suspended_service_is_left_alone_and_what_stands_on_it_waits() {
    let after_a = Sync { depends_on: vec!["a".to_owned()], ..Sync::default() };
    let world = World::new()
        .wants("a", &[("ConfigMap a", "v2")])
        .wants_so("b", &[("ConfigMap b", "v2")], after_a.clone())
        .wants_so("c", &[("ConfigMap c", "v1")], after_a)
        .settled("a", &[("ConfigMap a", "v1")])
        .settled("b", &[("ConfigMap b", "v1")])
        .settled("c", &[("ConfigMap c", "v1")])
        .suspended(SuspendedScope::Service("a".to_owned()));
    assert_snapshot!(world.printed());
}

#[test]
fn what_stands_on_a_suspended_service_that_needs_nothing_goes_on() {
    let after_a = Sync { depends_on: vec!["a".to_owned()], ..Sync::default() };
    let world = World::new()
        .wants("a", &[("ConfigMap a", "v1")])
        .wants_so("b", &[("ConfigMap b", "v2")], after_a)
        .settled("a", &[("ConfigMap a", "v1")])
        .settled("b", &[("ConfigMap b", "v1")])
        .suspended(SuspendedScope::Service("a".to_owned()));
    assert_snapshot!(world.printed());
}

#[test]
fn suspended_objects_are_recorded_ahead_and_left_and_the_rest_goes_on() {
    let world = World::new()
        .wants("a", &[("ConfigMap changed", "v2"), ("ConfigMap new", "v1"), ("ConfigMap rest", "v2")])
        .settled("a", &[("ConfigMap changed", "v1"), ("ConfigMap old", "v1"), ("ConfigMap rest", "v1")])
        .seen("a", "ConfigMap old")
        .suspended(SuspendedScope::Object(id("ConfigMap changed")))
        .suspended(SuspendedScope::Object(id("ConfigMap new")))
        .suspended(SuspendedScope::Object(id("ConfigMap old")));
    assert_snapshot!(world.printed());
}

#[test]
fn a_full_sync_leaves_a_suspended_object_that_is_as_it_should_be() {
    let objects: Objects<'_> = &[("ConfigMap a", "v1"), ("ConfigMap b", "v1")];
    let mut world = World::new().wants("a", objects).settled("a", objects);
    world.scope = syncd::plan::Scope::Full;
    let world = world
        .policy(|policy| policy.trigger = syncd::report::Trigger::Full)
        .suspended(SuspendedScope::Object(id("ConfigMap a")));
    assert_snapshot!(world.printed());
}

#[test]
fn what_a_suspended_service_holds_moves_in_the_records_only() {
    let world = World::new()
        .wants("b", &[("ConfigMap x", "v2"), ("ConfigMap y", "v1")])
        .settled("a", &[("ConfigMap x", "v1")])
        .suspended(SuspendedScope::Service("a".to_owned()));
    assert_snapshot!(world.printed());
}

#[test]
fn what_left_the_index_while_it_is_suspended_stays() {
    let world = World::new()
        .wants("b", &[("ConfigMap y", "v1")])
        .settled("a", &[("ConfigMap x", "v1")])
        .seen("a", "ConfigMap x")
        .suspended(SuspendedScope::Service("a".to_owned()));
    assert_snapshot!(world.printed());
}

#[test]
fn in_a_suspended_environment_there_is_nothing_to_do() {
    let world = World::new()
        .wants("a", &[("ConfigMap a", "v2")])
        .settled("a", &[("ConfigMap a", "v1")])
        .settled("gone", &[("ConfigMap x", "v1")])
        .seen("gone", "ConfigMap x")
        .suspended(SuspendedScope::Environment);
    assert_snapshot!(world.printed());
}

#[test]
fn what_is_there_is_compared_with_what_is_recorded() {
    let objects: Objects<'_> = &[
        ("ConfigMap differs", "v1"),
        ("ConfigMap foreign", "v1"),
        ("ConfigMap going", "v1"),
        ("ConfigMap missing", "v1"),
        ("ConfigMap other", "v1"),
        ("ConfigMap same", "v1"),
        ("ConfigMap unhashed", "v1"),
        ("Job.batch finished", "ttl"),
    ];
    let world = World::new()
        .wants("a", objects)
        .settled("a", objects)
        .lives_as_recorded()
        .live("ConfigMap differs", |live| live.hash = Some("f".repeat(64).into()))
        .live("ConfigMap foreign", |live| live.service = Some("b".into()))
        .live("ConfigMap going", |live| live.terminating = true)
        .live("ConfigMap other", |live| live.uid = "uid-other-2".into())
        .live("ConfigMap unhashed", |live| live.hash = None)
        .dies("ConfigMap missing")
        .dies("Job.batch finished");
    assert_snapshot!(world.printed());
}

#[test]
fn what_an_interrupted_service_reached_is_applied_again_whatever_it_says() {
    let objects: Objects<'_> = &[
        ("ConfigMap absent", "v1"),
        ("ConfigMap applied", "v1"),
        ("ConfigMap older", "v1"),
        ("Deployment.apps applied", "v1"),
    ];
    let world = World::new()
        .wants("a", objects)
        .intended("a", objects)
        .lives("a", "ConfigMap applied", "v1")
        .lives("a", "ConfigMap older", "v0")
        .lives("a", "Deployment.apps applied", "v1");
    assert_snapshot!(world.printed());
}

#[test]
fn what_carries_our_labels_and_is_not_recorded_is_taken_back_or_named() {
    let world = World::new()
        .wants("a", &[("ConfigMap older", "v1"), ("ConfigMap same", "v1")])
        .lives("a", "ConfigMap older", "v0")
        .lives("a", "ConfigMap same", "v1")
        .lives("gone", "ConfigMap stray", "v1")
        .lives("gone", "ConfigMap copy", "v1")
        .live("ConfigMap copy", |live| live.hash = None);
    assert_snapshot!(world.printed());
}

#[test]
fn a_full_sync_applies_everything_with_uids() {
    let world = World::new().wants("a", APP).settled("a", APP).lives_as_recorded().full();
    assert_snapshot!(world.printed());
}

#[test]
fn a_full_sync_without_sight_still_cannot_create() {
    let world = World::new().wants("a", APP).settled("a", APP).full();
    assert_snapshot!(world.printed());
}

#[test]
fn another_api_version_of_the_same_object_is_an_update() {
    let old: Objects<'_> = &[("Ingress.networking.k8s.io a", "v1")];
    let mut world = World::new().wants("a", &[("Ingress.networking.k8s.io a", "v2")]).settled("a", old);
    world =
        world.held("a", "Ingress.networking.k8s.io a", |held| held.api_version = "networking.k8s.io/v1beta1".into());
    assert_snapshot!(world.printed());
}

#[test]
fn instances_wait_for_definitions_and_objects_for_namespaces_of_other_services() {
    let world = World::new()
        .wants("a", &[("Widget.example.org w", "v1"), ("ConfigMap c", "v1")])
        .wants(
            "b",
            &[("CustomResourceDefinition.apiextensions.k8s.io widgets.example.org", "v1"), ("Namespace n", "v1")],
        )
        .wants("c", &[("ClusterRole.rbac.authorization.k8s.io r", "v1")]);
    assert_snapshot!(world.printed());
}

#[test]
fn what_others_changed_is_applied_again_and_nothing_else() {
    let objects: Objects<'_> = &[("ConfigMap a", "v1"), ("ConfigMap b", "v1")];
    let mut world = World::new().wants("a", objects).settled("a", objects).lives_as_recorded();
    world.live.drifted.insert(id("ConfigMap b"));
    assert_snapshot!(world.printed());
}

#[test]
fn waves_and_dependencies() {
    let sync = |wave: i32, on: &[&str]| Sync {
        wave,
        depends_on: on.iter().map(|on| (*on).to_owned()).collect(),
        ..Sync::default()
    };
    let world = World::new()
        .wants_so("a", &[("ConfigMap a", "v1")], sync(0, &["b", "settled"]))
        .wants_so("b", &[("ConfigMap b", "v1")], sync(0, &[]))
        .wants_so("c", &[("ConfigMap c", "v1")], sync(1, &[]))
        .wants("settled", &[])
        .settled("settled", &[]);
    assert_snapshot!(world.printed());
}

#[test]
fn services_with_problems_do_nothing_and_say_why() {
    let on = |on: &[&str]| Sync { depends_on: on.iter().map(|on| (*on).to_owned()).collect(), ..Sync::default() };
    let later = Sync { wave: 1, ..Sync::default() };
    let world = World::new()
        .wants_so("around", &[("ConfigMap around", "v1")], on(&["back"]))
        .wants_so("back", &[("ConfigMap back", "v1")], on(&["around"]))
        .wants_so("blocked", &[("ConfigMap blocked", "v1")], on(&["rests"]))
        .wants_so("later", &[("ConfigMap later", "v1")], later)
        .wants_so("lost", &[("ConfigMap lost", "v1")], on(&["nobody"]))
        .wants("rests", &[("ConfigMap rests", "v1")])
        .wants("unreadable", &[("ConfigMap unreadable", "v1")])
        .refuses("refused", "`_gen/staging/refused/resources.yaml` does not match the index")
        .unreadable("unreadable")
        .rests("rests");
    assert_snapshot!(world.printed());
}

#[test]
fn what_is_not_wanted_and_not_deleted() {
    let held: Objects<'_> = &[
        ("ConfigMap disabled", "v1"),
        ("ConfigMap foreign", "v1"),
        ("ConfigMap gone", "v1"),
        ("ConfigMap replaced", "v1"),
        ("ConfigMap reused", "v1"),
        ("ConfigMap unseen", "v1"),
        ("ConfigMap unsure", "v1"),
        ("ClusterRole.rbac.authorization.k8s.io syncd-staging", "v1"),
        ("Role.rbac.authorization.k8s.io syncd-staging-write", "v1"),
        ("PersistentVolumeClaim data", "v1"),
    ];
    let world = World::new()
        .wants("a", &[])
        .settled("a", held)
        .held("a", "ConfigMap unsure", |held| held.uid = None)
        .seen_so("a", "ConfigMap disabled", |seen| seen.prune_disabled = true)
        .seen_so("a", "ConfigMap foreign", |seen| seen.observed.environment = None)
        .seen_gone("ConfigMap gone")
        .seen_so("a", "ConfigMap replaced", |seen| {
            (seen.observed.uid, seen.observed.environment) = ("uid-2".into(), None);
        })
        .seen_so("a", "ConfigMap reused", |seen| seen.observed.uid = "uid-2".into())
        .seen_so("a", "ConfigMap unsure", |seen| seen.observed.hash = None)
        .seen("a", "ClusterRole.rbac.authorization.k8s.io syncd-staging")
        .seen("a", "Role.rbac.authorization.k8s.io syncd-staging-write")
        .seen("a", "PersistentVolumeClaim data");
    assert_snapshot!(world.printed());
}

#[test]
fn an_object_whose_creation_was_never_confirmed_is_deleted_by_the_uid_it_has() {
    let world = World::new().wants("a", &[]).intended("a", &[("ConfigMap x", "v1")]);
    let world = world.seen_so("a", "ConfigMap x", |seen| seen.observed.hash = Some("f".repeat(64).into()));
    assert_snapshot!(world.printed());
}

#[test]
fn a_deletion_that_has_begun_is_waited_for() {
    let world = World::new().wants("a", &[]).settled("a", &[("ConfigMap x", "v1")]);
    let world = world.seen_so("a", "ConfigMap x", |seen| seen.observed.terminating = true);
    assert_snapshot!(world.printed());
}

#[test]
fn a_service_that_says_so_keeps_everything() {
    let keep = Sync { prune: false, ..Sync::default() };
    let world = World::new().wants_so("a", &[], keep).settled("a", &[("ConfigMap x", "v1")]).seen("a", "ConfigMap x");
    assert_snapshot!(world.printed());
}

#[test]
fn nothing_is_deleted_that_an_unread_service_may_want() {
    let world = World::new()
        .wants("a", &[])
        .refuses("b", "`_gen/staging/b/resources.yaml` is missing although the index names it")
        .settled("a", &[("ConfigMap x", "v1")])
        .seen("a", "ConfigMap x");
    assert_snapshot!(world.printed());
}

const GADGETS: &str = "CustomResourceDefinition.apiextensions.k8s.io gadgets.example.org";
const WIDGETS: &str = "CustomResourceDefinition.apiextensions.k8s.io widgets.example.org";

#[test]
fn namespaces_and_definitions_with_contents_stay_even_unprotected() {
    let held: Objects<'_> = &[
        (GADGETS, "v1"),
        (WIDGETS, "v1"),
        ("CustomResourceDefinition.apiextensions.k8s.io things.example.org", "v1"),
        ("CustomResourceDefinition.apiextensions.k8s.io unseens.example.org", "v1"),
        ("Namespace n", "v1"),
        ("Namespace other", "v1"),
        ("Namespace unread", "v1"),
        ("Namespace syncd", "v1"),
    ];
    let mut world = World::new()
        .wants("a", &[])
        .wants("b", &[("Widget.example.org w", "v1")])
        .settled("a", held)
        .settled("b", &[("Widget.example.org w", "v1")])
        .holds(GADGETS, &[])
        .holds("CustomResourceDefinition.apiextensions.k8s.io things.example.org", &["Thing.example.org somebodys"])
        .holds("Namespace other", &[])
        .policy(|policy| policy.protected.clear());
    let reason = "the API server of group `metrics.k8s.io` does not answer".to_owned();
    world.live.inside.insert(id("Namespace unread"), Inside::Unread { reason });
    for object in held {
        world = world.seen("a", object.0);
    }
    assert_snapshot!(world.printed());
}

/// Everything that takes more along than itself, and an object that does not.
fn protected() -> World {
    let held: Objects<'_> = &[
        ("ConfigMap x", "v1"),
        (GADGETS, "v1"),
        ("Gadget.example.org g", "v1"),
        ("Namespace n", "v1"),
        ("PersistentVolume v", "v1"),
        ("PersistentVolumeClaim data", "v1"),
        ("StatefulSet.apps plain", "v1"),
        ("StatefulSet.apps store", "v1"),
    ];
    let mut world = World::new().wants("a", &[]).settled("a", held);
    for object in held {
        world = world.seen("a", object.0);
    }
    world
        .holds("Namespace n", &["ConfigMap x", "Gadget.example.org g", "PersistentVolumeClaim data"])
        .holds(GADGETS, &["Gadget.example.org g"])
        .seen_so("a", "StatefulSet.apps store", |seen| seen.claims = true)
}

#[test]
fn what_takes_more_along_waits_for_approval_of_exactly_that() {
    assert_snapshot!(protected().printed());
    let held = protected().plan_unverified().held.expect("held");
    assert_eq!((held.deletions, held.limit), (5, 10));
    let mut approved = protected().policy(|policy| policy.approved.extend([held.id]));
    let plan = approved.plan_unverified();
    assert_eq!((plan.deletes().count(), plan.held.clone(), approved.verify(&plan)), (8, None, Ok(())));
    let mut unasked = protected();
    unasked.plan_unverified();
    let unapproved = unasked.verify(&plan).expect_err("not approved");
    assert_eq!(unapproved.len(), 5, "{unapproved:?}");
    assert_eq!(unapproved[4], "StatefulSet.apps n/store of service `a` is deleted without approval");

    // What is let through by approval, and what goes unasked, has no say in the other's id.
    let another = protected().seen_so("a", "PersistentVolume v", |seen| seen.prune_disabled = true);
    let mut another = another.policy(|policy| policy.approved.extend([held.id]));
    assert_ne!(another.plan_unverified().held.expect("another plan").id, held.id);
    let mut fewer = protected().seen_gone("StatefulSet.apps plain").policy(|policy| policy.approved.extend([held.id]));
    assert_eq!(fewer.plan_unverified().held, None, "what needs no approval is not in it");
}

#[test]
fn a_deletion_that_has_begun_needs_no_approval() {
    let world = World::new().wants("a", &[]).settled("a", &[("Namespace n", "v1")]);
    let world = world.seen_so("a", "Namespace n", |seen| seen.observed.terminating = true);
    assert_snapshot!(world.printed(), @"
    plan for staging at 0123456789ab (changed)
    service a 1.0
      delete foundations
        Namespace n (uid uid-n), which has begun: it is not generated any more
    ");
}

#[test]
fn what_is_nobodys_any_more_keeps_a_namespace_no_longer() {
    let held: Objects<'_> = &[("ConfigMap gone", "v1"), ("Namespace n", "v1")];
    let world = World::new().wants("a", &[]).settled("a", held).seen("a", "Namespace n").seen_gone("ConfigMap gone");
    let mut world = world.holds("Namespace n", &[]).policy(|policy| policy.protected.clear());
    let plan = world.plan_unverified();
    assert_eq!((plan.deletes().count(), world.verify(&plan)), (1, Ok(())));
}

#[test]
fn what_a_namespace_holds_is_asked_for_where_only_that_is_missing() {
    let held: Objects<'_> = &[("ConfigMap x", "v1"), ("Namespace n", "v1"), ("Namespace own", "v1")];
    let world = || World::new().wants("a", &[]).settled("a", held).seen("a", "ConfigMap x").seen("a", "Namespace own");
    let unexplored = |mut world: World| world.plan_unverified().unexplored(&world.live);
    let both = [id("Namespace n"), id("Namespace own")];
    assert_eq!(unexplored(world().seen("a", "Namespace n")).into_iter().collect::<Vec<_>>(), both);
    // A left-over in it keeps it, whatever else there is.
    let left = world().seen("a", "Namespace n").seen_so("a", "ConfigMap x", |seen| seen.prune_disabled = true);
    assert_eq!(unexplored(left).into_iter().collect::<Vec<_>>(), [id("Namespace own")]);
    let known = world().seen("a", "Namespace n").holds("Namespace n", &[]).holds("Namespace own", &[]);
    assert_eq!(unexplored(known).len(), 0);
}

fn many(count: usize) -> World {
    let names: Vec<String> = (0..count).map(|number| format!("ConfigMap c{number:02}")).collect();
    let objects: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v1")).collect();
    let mut world = World::new().wants("a", &[("ConfigMap stays", "v2")]);
    let mut held = objects.clone();
    held.push(("ConfigMap stays", "v1"));
    world = world.settled("a", &held);
    for name in &names {
        world = world.seen("a", name);
    }
    world
}

#[test]
fn too_many_deletions_at_once_wait_for_approval_of_exactly_them() {
    assert_snapshot!(many(11).printed());
    assert_eq!(many(10).plan_unverified().deletes().count(), 10);

    let held = many(11).plan_unverified().held.expect("held");
    let mut approved = many(11).policy(|policy| policy.approved.extend([held.id]));
    let plan = approved.plan_unverified();
    assert_eq!((plan.deletes().count(), approved.verify(&plan)), (11, Ok(())));
    assert_eq!(plan.deletions_id(|_| true), held.id);

    let mut others = many(12).policy(|policy| policy.approved.extend([held.id]));
    assert_eq!(others.plan_unverified().deletes().count(), 0, "an approval is for exactly these deletions");
}

#[test]
fn the_id_of_a_plan_is_over_all_of_it() {
    let plan = |content| World::new().wants("a", &[("ConfigMap x", content)]).plan_unverified();
    assert_ne!(plan("v1").id(), plan("v2").id());
    let mut changed = plan("v1");
    changed.services.get_mut("a").expect("planned").timeout_seconds = 1;
    assert_ne!(changed.id(), plan("v1").id());
}

#[test]
fn deletions_say_why() {
    let mut world = World::new().wants("a", &[]).settled("a", &[("ConfigMap x", "v1")]).seen("a", "ConfigMap x");
    let plan = world.plan_unverified();
    let reasons: Vec<_> = plan.deletes().map(|(_, delete)| (delete.id.clone(), delete.reason)).collect();
    assert_eq!(reasons, [(id("ConfigMap x"), DeleteReason::Removed)]);
}
