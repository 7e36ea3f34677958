//! Objects that were there before: taken over in place, or left to the tool that they belong to.

use serde_json::{Value, json};

use crate::world::{World, service};

/// Creates a ConfigMap as a tool does: with a key that our manifest does not have, and the tool's marks.
async fn create(world: &World, name: &str, manager: &str, annotations: &Value) {
    let mut map = world.config_map(name, "old");
    map["data"]["left"] = json!("over");
    map["metadata"]["annotations"] = annotations.clone();
    world.plane.create(manager, &map).await;
}

pub async fn what_is_nobodys_is_taken_over(world: &mut World) {
    let last_applied = json!({"kubectl.kubernetes.io/last-applied-configuration": "{}"});
    world.title("objects of kubectl and of Kahoy");
    create(world, "of-kubectl", "kubectl-client-side-apply", &last_applied).await;
    create(world, "of-kahoy", "kubectl", &last_applied).await;
    world.tell_object("", "ConfigMap", "of-kubectl").await;
    world.tell_object("", "ConfigMap", "of-kahoy").await;
    let objects = [world.config_map("of-kubectl", "1"), world.config_map("of-kahoy", "1")];
    world.commit(&[service("app1", &objects)]);
    world.cycle().await;
    world.tell_object("", "ConfigMap", "of-kubectl").await;
    world.tell_object("", "ConfigMap", "of-kahoy").await;
    world.title("a new process finds nothing to do");
    world.restart().await;
    world.cycle().await;
    world.title("and they are deleted as everything that is ours");
    world.commit(&[]);
    world.cycle().await;
}

pub async fn what_belongs_to_another_tool_is_left_to_it(world: &mut World) {
    let helm = json!({"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "web"});
    world.title("an object of Helm, and one of another environment");
    create(world, "of-helm", "helm", &helm).await;
    let mut other = world.config_map("of-production", "old");
    other["metadata"]["labels"] = json!({"syncd/environment": "production", "syncd/service": "app1"});
    world.plane.create("syncd", &other).await;
    let (mut wanted, beside) = (world.config_map("of-helm", "1"), world.config_map("beside", "1"));
    let taken = world.config_map("of-production", "1");
    let services = |world: &World, wanted: &Value| {
        [
            service("app1", &[wanted.clone(), beside.clone()]),
            service("app2", std::slice::from_ref(&taken)),
            service("app3", &[world.config_map("fine", "1")]),
        ]
    };
    world.commit(&services(world, &wanted));
    world.cycle().await;
    world.tell_object("", "ConfigMap", "of-helm").await;
    world.tell_object("", "ConfigMap", "of-production").await;
    world.title("Git says that Helm's may be taken over");
    wanted["metadata"]["annotations"] = json!({"syncd/adopt": "helm"});
    world.commit(&services(world, &wanted));
    world.cycle().await;
    world.tell_object("", "ConfigMap", "of-helm").await;
}
