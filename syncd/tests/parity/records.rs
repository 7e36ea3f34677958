//! Records: split where they are large, built again where they were deleted, held where they cannot be read.

use serde_json::json;
use syncd::report::CycleResult;

use crate::world::{Service, World, service};

pub async fn a_large_record_is_split(world: &mut World) {
    world.settings.limits.state_bytes = 4096;
    world.settings.fuse.objects = 100;
    let many = |world: &World, count: usize| -> Service {
        let objects: Vec<_> = (0..count).map(|number| world.config_map(&format!("c{number:02}"), "1")).collect();
        service("app1", &objects)
    };
    world.title("forty objects, in records of 4 KiB");
    world.commit(&[many(world, 40)]);
    world.cycle().await;
    world.title("a new process puts it together and finds nothing to do");
    world.restart().await;
    assert_eq!(world.cycle().await.result, CycleResult::Unchanged);
    world.title("three objects are left");
    world.commit(&[many(world, 3)]);
    world.cycle().await;
}

pub async fn records_that_were_deleted_are_built_again(world: &mut World) {
    let stays = service("stays", &[world.config_map("a", "1"), world.config_map("b", "1")]);
    world.title("before");
    world.commit(&[stays.clone(), service("goes", &[world.config_map("g", "1")])]);
    world.cycle().await;
    world.title("somebody deletes all of it, while a service leaves");
    for record in ["", "-stays", "-goes"] {
        let mut id = world.id("", "ConfigMap", &format!("syncd-{}{record}", world.name));
        id.namespace = world.settings.namespace.as_str().into();
        world.plane.delete(&id).await;
    }
    world.commit(std::slice::from_ref(&stays));
    world.restart().await;
    world.cycle().await;
    world.title("and stays so");
    world.restart().await;
    world.cycle().await;
}

pub async fn a_record_that_cannot_be_read_holds_its_service(world: &mut World) {
    let services = |world: &World, content: &str| {
        [service("app1", &[world.config_map("a", content)]), service("app2", &[world.config_map("b", content)])]
    };
    world.title("before");
    world.commit(&services(world, "1"));
    world.cycle().await;
    world.title("the record of one was written by a newer syncd");
    let mut id = world.id("", "ConfigMap", &format!("syncd-{}-app1", world.name));
    id.namespace = world.settings.namespace.as_str().into();
    world.plane.patch("somebody", &id, &json!({"data": {"record.json": "{\"format\": 99}"}})).await;
    world.restart().await;
    world.commit(&services(world, "2"));
    world.cycle().await;
}
