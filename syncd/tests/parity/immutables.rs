//! Fields that cannot change: what the table in `docs/operations.md` says, happens.

use serde_json::{Value, json};

use crate::world::{Behaviour, Service, World, service, template};

fn object(world: &World, api_version: &str, kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": world.name}, "spec": spec})
}

/// What changes, from its first form to its second.
type Case = (&'static str, fn(&World, &str) -> (Value, Value));

const CASES: [Case; 8] = [
    ("selector", |world, name| {
        let deployment = |app: &str| {
            let mut value = world.deployment(name, Behaviour::Run, "a:1");
            value["spec"]["selector"]["matchLabels"]["app"] = json!(app);
            value["spec"]["template"]["metadata"]["labels"]["app"] = json!(app);
            value
        };
        (deployment("a"), deployment("b"))
    }),
    ("job", |world, name| {
        let job = |image: &str| {
            let mut template = template(name, Behaviour::Run, image);
            template["spec"]["restartPolicy"] = json!("Never");
            template["metadata"].as_object_mut().unwrap().remove("annotations");
            object(world, "batch/v1", "Job", name, &json!({"template": template}))
        };
        (job("a:1"), job("a:2"))
    }),
    ("address", |world, name| {
        let address = |ip: Option<&str>| {
            let mut value = world.service_object(name);
            if let Some(ip) = ip {
                value["spec"]["clusterIP"] = json!(ip);
            }
            value
        };
        (address(None), address(Some("None")))
    }),
    ("claims", |world, name| {
        let set = |storage: &str| {
            let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}}});
            // No replicas: nobody waits for a volume.
            let spec = json!({"serviceName": name, "replicas": 0, "selector": {"matchLabels": {"app": name}},
                "template": template(name, Behaviour::Run, "a:1"), "volumeClaimTemplates": [claim]});
            object(world, "apps/v1", "StatefulSet", name, &spec)
        };
        (set("1Gi"), set("2Gi"))
    }),
    ("claim", |world, name| {
        let claim = |storage: &str| {
            let spec = json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "none", "resources": {"requests": {"storage": storage}}});
            object(world, "v1", "PersistentVolumeClaim", name, &spec)
        };
        (claim("2Gi"), claim("1Gi"))
    }),
    ("role", |world, name| {
        let binding = |role: &str| {
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name, "namespace": world.name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": world.name}]})
        };
        (binding("view"), binding("edit"))
    }),
    ("frozen", |world, name| {
        let map = |content: &str| {
            let mut value = world.config_map(name, content);
            value["immutable"] = json!(true);
            value
        };
        (map("1"), map("2"))
    }),
    ("invalid", |world, name| {
        let mut wrong = world.deployment(name, Behaviour::Run, "a:1");
        wrong["spec"]["template"]["spec"]["containers"][0]["name"] = json!("Not A Name");
        (world.deployment(name, Behaviour::Run, "a:1"), wrong)
    }),
];

/// Returns one service for each case and annotation, in its first form or its second.
fn services(world: &World, second: bool) -> Vec<Service> {
    let mut services = Vec::new();
    for (case, values) in CASES {
        for annotation in [None, Some("enabled"), Some("disabled")] {
            let name = annotation.map_or_else(|| case.to_owned(), |text| format!("{case}-{text}"));
            let (before, after) = values(world, &name);
            let mut value = if second { after } else { before };
            // No claim of these is ever bound, on either cluster.
            value["metadata"]["annotations"] = json!({"sandbox/behaviour": "pending"});
            if let Some(text) = annotation {
                value["metadata"]["annotations"]["syncd/replace"] = json!(text);
            }
            services.push(service(&name, &[value]));
        }
    }
    services
}

pub async fn fields_that_cannot_change(world: &mut World) {
    world.title("before");
    world.commit(&services(world, false));
    world.cycle().await;
    world.title("a field that cannot change does; and once a manifest is wrong");
    world.commit(&services(world, true));
    world.cycle().await;
}
