//! A newer revision does not wait for an older one that is stuck.

use std::time::Duration;

use syncd::daemon::Pace;

use crate::running::{self, Told};
use crate::world::{Behaviour, World, service};

const POLL: Duration = Duration::from_secs(2);

pub async fn a_fix_does_not_wait_for_what_is_stuck(world: &mut World) {
    let pace = Pace { poll: POLL, ..Pace::default() };
    let beside = service("beside", &[world.config_map("beside", "1")]);
    // Ten minutes are waited for it.
    let stuck = service("app1", &[world.deployment("web", Behaviour::NeverReady, "web:1")]);
    let fixed = service("app1", &[world.deployment("web", Behaviour::Run, "web:2")]);
    world.title("a rollout that is never ready");
    world.commit(&[stuck, beside.clone()]);
    running::beside(world, &pace, async |world: &mut World, told: &Told| {
        let web = world.id("apps", "Deployment", "web");
        world.plane.until(&web, "rolled out", |web| web["status"]["unavailableReplicas"] == 2).await;
        // The process has been waiting for a while when the fix comes.
        world.plane.until(&world.id("", "ConfigMap", "beside"), "there", |map| !map.is_null()).await;
        world.title("the fix is pushed");
        world.commit(&[fixed, beside]);
        let image = "/spec/template/spec/containers/0/image";
        let took =
            world.plane.until(&web, "fixed", |web| web.pointer(image).is_some_and(|image| image == "web:2")).await;
        world.plane.measured("from the push of a fix to its first apply", took, POLL + Duration::from_secs(1));
        world
            .plane
            .until(&web, "ready", |web| web["status"]["readyReplicas"] == 2 && web["status"]["updatedReplicas"] == 2)
            .await;
        let mut events = told.until("app1: synced").await;
        events.retain(|line| !line.starts_with("beside"));
        world.transcript.events(&events);
    })
    .await;
    world.look().await;
}
