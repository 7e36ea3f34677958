//! Plans broken by hand, one promise each: the verifier must name it.

use manifest::index::Sync;
use serde_json::json;
use syncd::plan::{
    DeleteReason, DeleteStage, Plan, PlannedDelete, Problem, Reason, ServicePlan, Withheld, WithheldObject,
};

use syncd::report::SuspendedScope;

use crate::world::{Objects, World, id, set};

/// A world with something of everything: two new objects, an update, a deletion, a move, a definition with an instance.
fn world() -> World {
    let definition = ("CustomResourceDefinition.apiextensions.k8s.io widgets.example.org", "v1");
    let a: Objects<'_> = &[
        ("ConfigMap new", "v1"),
        ("ConfigMap update", "v2"),
        ("Widget.example.org w", "v1"),
        ("Deployment.apps d", "v1"),
    ];
    World::new()
        .wants("a", a)
        .wants("b", &[definition, ("ConfigMap moves", "v1")])
        .wants("c", &[("ConfigMap theirs", "v1")])
        .settled(
            "a",
            &[("ConfigMap old", "v1"), ("ConfigMap update", "v1"), ("Secret old", "v1"), ("ConfigMap moves", "v1")],
        )
        .settled("c", &[("ConfigMap theirs", "v1")])
        .seen("a", "ConfigMap old")
        .seen("a", "Secret old")
}

/// Breaks a plan by hand and returns what the verifier says.
fn verdict(mut world: World, damage: impl FnOnce(&mut Plan)) -> Vec<String> {
    let mut plan = world.plan_unverified();
    assert_eq!(world.verify(&plan), Ok(()), "unbroken\n{plan}");
    damage(&mut plan);
    world.verify(&plan).expect_err("broken")
}

fn service<'a>(plan: &'a mut Plan, name: &str) -> &'a mut ServicePlan {
    plan.services.get_mut(name).expect("a service of the plan")
}

#[track_caller]
fn refused(expected: &str, damage: impl FnOnce(&mut Plan)) {
    assert_eq!(verdict(world(), damage), [expected]);
}

#[test]
fn of_another_index_or_environment() {
    refused("the plan is for another environment or index", |plan| plan.index = manifest::Hash::of(b"other"));
    refused("the plan is for another environment or index", |plan| plan.environment = "production".to_owned());
}

#[test]
fn work_for_a_service_with_a_problem() {
    refused("service `a` has a problem, and something is done for it", |plan| {
        service(plan, "a").problem = Some(Problem::Blocked { by: "b".to_owned() });
    });
    let mut world = world();
    let plan = world.plan_unverified();
    let world = world.unreadable("b");
    assert_eq!(world.verify(&plan), Err(vec!["service `b` has a problem, and something is done for it".to_owned()]));
}

#[test]
fn content_that_the_index_does_not_name() {
    refused("ConfigMap n/new of service `a` is applied with content that the index does not name", |plan| {
        service(plan, "a").stages[0].applies[0].hash = manifest::Hash::of(b"other");
    });
}

#[test]
fn a_manifest_that_was_not_read_for_this_service() {
    refused("ConfigMap n/new of service `b` is applied with content that the index does not name", |plan| {
        let apply = service(plan, "a").stages[0].applies.remove(0);
        let widened = service(plan, "a").widen[&apply.id].clone();
        service(plan, "b").widen.insert(apply.id.clone(), widened);
        service(plan, "b").stages[1].applies.push(apply);
    });
}

#[test]
fn one_object_for_two_services() {
    let both = verdict(world(), |plan| {
        let apply = service(plan, "a").stages[0].applies[0].clone();
        let widened = service(plan, "a").widen[&apply.id].clone();
        service(plan, "b").widen.insert(apply.id.clone(), widened);
        service(plan, "b").stages[1].applies.push(apply);
    });
    assert!(both.contains(&"ConfigMap n/new is applied twice, for service `b` too".to_owned()), "{both:?}");
}

#[test]
fn creation_without_a_record() {
    let message = "ConfigMap n/new of service `a` is applied without being recorded before";
    refused(message, |plan| drop(service(plan, "a").widen.remove(&id("ConfigMap new"))));
    refused(message, |plan| {
        service(plan, "a").widen.get_mut(&id("ConfigMap new")).expect("widened").uid = Some("u".into());
    });
    refused("ConfigMap n/update of service `a` is applied without being recorded before", |plan| {
        service(plan, "a").stages[0].applies[1].uid = None;
    });
    refused("ConfigMap n/update of service `a` is applied without being recorded before", |plan| {
        service(plan, "a").stages[0].applies[1].reason = Reason::Terminating { uid: "u".into() };
    });
}

#[test]
fn stages_out_of_order() {
    refused("the stages of service `a` are out of order at ConfigMap n/new", |plan| {
        let stages = &mut service(plan, "a").stages;
        let first = stages.remove(0);
        let apply = first.applies.into_iter().find(|apply| apply.id == id("ConfigMap new")).expect("planned");
        stages[0].applies.push(apply);
    });
    let swapped = verdict(world(), |plan| service(plan, "a").stages.swap(0, 1));
    assert_eq!(swapped.len(), 2, "both objects of the stage that comes too late: {swapped:?}");
}

#[test]
fn an_instance_that_does_not_wait_for_its_definition() {
    let definition = "CustomResourceDefinition.apiextensions.k8s.io widgets.example.org";
    refused(&format!("Widget.example.org n/w of service `a` does not wait for {definition}"), |plan| {
        service(plan, "a").gates.clear();
    });
}

#[test]
fn a_service_that_waits_for_itself() {
    let waits = ["service `a` waits for itself", "service `b` waits for itself"];
    let around = verdict(world(), |plan| {
        service(plan, "a").after.push("b".to_owned());
        service(plan, "b").after.push("a".to_owned());
    });
    assert_eq!(around, waits);
    let by_wave = verdict(world(), |plan| {
        service(plan, "b").wave = 1;
        service(plan, "a").after.push("b".to_owned());
    });
    assert_eq!(by_wave, waits);
}

#[test]
fn deletion_of_another_uid() {
    let other = verdict(world(), |plan| service(plan, "a").deletes[0].deletes[0].uid = "uid-other".to_owned());
    let expected = [
        "ConfigMap n/old of service `a` is deleted without being recorded with that uid",
        "ConfigMap n/old of service `a` is deleted without having been seen as ours",
    ];
    assert_eq!(other, expected);
}

#[test]
fn deletion_of_what_is_wanted() {
    let theirs = verdict(world(), |plan| {
        let mut delete = service(plan, "a").deletes[0].deletes[0].clone();
        delete.id = id("ConfigMap theirs");
        service(plan, "a").deletes[0].deletes.push(delete);
    });
    let wanted = "ConfigMap n/theirs of service `a` is deleted although service `c` wants it, or may";
    assert!(theirs.contains(&wanted.to_owned()), "{theirs:?}");
}

#[test]
fn deletion_of_what_is_protected_or_ours() {
    let mut guarded = world();
    let plan = guarded.plan_unverified();
    let mut guarded =
        guarded.policy(|policy| policy.protected.extend([syncd::cluster::GroupKind::of(&id("Secret old"))]));
    assert_eq!(guarded.verify(&plan), Err(vec!["Secret n/old of service `a` is deleted without approval".to_owned()]));
    let approved = guarded.plan_unverified().held.expect("held").id;
    assert_eq!(guarded.policy(|policy| policy.approved.extend([approved])).verify(&plan), Ok(()));
    for object in ["ConfigMap syncd-x", "Role.rbac.authorization.k8s.io syncd-staging-write"] {
        let home = format!("{} of service `a` is protected from deletion", id(object));
        let mut world = World::new().wants("a", &[]).settled("a", &[(object, "v1")]).seen("a", object);
        let own = plan_of_deletion(&mut world, object);
        assert_eq!(world.policy(|policy| policy.namespace = "n".to_owned()).verify(&own), Err(vec![home]));
    }
}

/// Returns a plan that deletes the only object of `a`, as if nothing spoke against it.
fn plan_of_deletion(world: &mut World, object: &str) -> Plan {
    let mut plan = world.plan_unverified();
    let service = service(&mut plan, "a");
    service.withheld.clear();
    let delete = PlannedDelete {
        id: id(object),
        api_version: "".into(),
        uid: crate::world::uid(object),
        resource_version: String::new(),
        reason: DeleteReason::Removed,
        terminating: false,
    };
    let stage = syncd::plan::order::stage_of(&syncd::cluster::GroupKind::of(&delete.id));
    service.deletes = vec![DeleteStage { stage, deletes: vec![delete] }];
    plan
}

#[test]
fn deletion_of_a_namespace_or_definition_with_something_in_it() {
    let definition = "CustomResourceDefinition.apiextensions.k8s.io widgets.example.org";
    let world = |shell: &str| {
        let world = World::new().wants("a", &[]).settled("a", &[(shell, "v1")]).seen("a", shell);
        world.policy(|policy| policy.protected.clear())
    };
    for (shell, inside) in [("Namespace n", "ConfigMap theirs"), (definition, "Widget.example.org theirs")] {
        let mut empty = world(shell).holds(shell, &[]);
        let plan = empty.plan_unverified();
        assert_eq!(plan.deletes().count(), 1);
        assert_eq!(empty.verify(&plan), Ok(()));
        let refused = |mut world: World, lost: &str| {
            world.plan_unverified();
            assert_eq!(world.verify(&plan), Err(vec![format!("with {} of service `a` goes {lost}", id(shell))]));
        };
        let object = id(inside).to_string();
        refused(world(shell), "nobody knows what");
        refused(world(shell).holds(shell, &[inside]), &object);
        refused(world(shell).holds(shell, &[]).settled("b", &[(inside, "v1")]), &object);
    }
}

#[test]
fn deletion_twice() {
    refused("Secret n/old is deleted twice, for service `a` too", |plan| {
        let stage = &mut service(plan, "a").deletes[0];
        let delete = stage.deletes.iter().find(|delete| delete.id == id("Secret old")).expect("planned").clone();
        stage.deletes.push(delete);
    });
}

#[test]
fn more_deletions_than_agreed() {
    let mut world = world();
    let plan = world.plan_unverified();
    let world = world.policy(|policy| (policy.fuse.objects, policy.fuse.percent) = (1, 0));
    assert_eq!(world.verify(&plan), Err(vec!["2 deletions are more than the 1 that are let through".to_owned()]));
}

#[test]
fn deletion_stages_out_of_order() {
    let mut world = World::new().wants("a", &[]).settled("a", &[("ConfigMap x", "v1"), ("Service x", "v1")]);
    world = world.seen("a", "ConfigMap x").seen("a", "Service x");
    let swapped = verdict(world, |plan| service(plan, "a").deletes.swap(0, 1));
    assert_eq!(swapped, ["the stages of service `a` are out of order at Service n/x"]);
}

#[test]
fn an_object_that_is_there_is_not_forgotten() {
    let message = "ConfigMap n/old of service `a` would be forgotten although it may exist";
    refused(message, |plan| {
        service(plan, "a").deletes[0].deletes.retain(|delete| delete.id != id("ConfigMap old"));
        service(plan, "a").gone.push(id("ConfigMap old"));
    });
    let by_both = verdict(world(), |plan| {
        let withheld = Withheld::Moved { to: "a".to_owned() };
        service(plan, "b").withheld.push(WithheldObject { id: id("ConfigMap moves"), withheld });
    });
    let forgotten =
        |name: &str| format!("ConfigMap n/moves of service `{name}` would be forgotten although it may exist");
    assert_eq!(by_both, [forgotten("a"), forgotten("b")]);
}

#[test]
fn deletion_by_a_service_that_never_recorded_it() {
    let broken = verdict(world(), |plan| {
        let stage: DeleteStage = service(plan, "a").deletes[0].clone();
        service(plan, "a").deletes.clear();
        service(plan, "b").deletes.push(stage);
    });
    assert!(
        broken.contains(&"ConfigMap n/old of service `b` is deleted without being recorded with that uid".to_owned()),
        "{broken:?}"
    );
}

#[test]
fn a_plan_for_content_that_changed_since() {
    let mut world = world();
    let plan = world.plan_unverified();
    if let Some(syncd::desired::Content::Objects(objects)) = world.desired.services.get_mut("a") {
        let object = objects.get_mut(&id("ConfigMap new")).expect("wanted");
        let mut value = object.value();
        set(&mut value, "/data/v", json!("v9"));
        *object = syncd::desired::Object::new(&manifest::Manifest::from_value(value).expect("a manifest"));
    }
    let message = "ConfigMap n/new of service `a` is applied with content that the index does not name";
    assert_eq!(world.verify(&plan), Err(vec![message.to_owned()]));
}

#[test]
fn waves_without_cycles_pass() {
    let later = Sync { wave: 1, depends_on: vec!["a".to_owned()], ..Sync::default() };
    let mut world = world().wants_so("d", &[("ConfigMap d", "v1")], later);
    let plan = world.plan_unverified();
    assert_eq!(world.verify(&plan), Ok(()));
}

#[test]
fn touching_what_is_suspended() {
    let verdict = |scope: SuspendedScope| {
        let mut world = world();
        let plan = world.plan_unverified();
        world.suspended(scope).verify(&plan).expect_err("the plan knows nothing of it")
    };
    let touched =
        |object: &str, service: &str| format!("{object} of service `{service}` is touched although it is suspended");
    let object = |text: &str| SuspendedScope::Object(id(text));
    assert_eq!(verdict(object("ConfigMap update")), [touched("ConfigMap n/update", "a")], "an apply");
    assert_eq!(verdict(object("Secret old")), [touched("Secret n/old", "a")], "a deletion");
    let of_a = [
        "Widget.example.org n/w",
        "Deployment.apps n/d",
        "ConfigMap n/new",
        "ConfigMap n/old",
        "ConfigMap n/update",
        "Secret n/old",
    ];
    let of_a = of_a.map(|object| touched(object, "a"));
    let all = verdict(SuspendedScope::Service("a".to_owned()));
    for expected in &of_a {
        assert!(all.contains(expected), "{all:?}");
    }
    assert!(all.contains(&touched("ConfigMap n/moves", "b")), "it belongs to the service: {all:?}");
    assert_eq!(all.len(), of_a.len() + 1, "{all:?}");
    let all = verdict(SuspendedScope::Environment);
    assert!(
        all.len() > of_a.len() && all.iter().all(|one| one.ends_with("is touched although it is suspended")),
        "{all:?}"
    );
    let mut world = world();
    let plan = world.plan_unverified();
    assert_eq!(world.suspended(SuspendedScope::Service("c".to_owned())).verify(&plan), Ok(()));
}
