//! Two processes of one environment: one of them leads, whatever happens to it.

use serde_json::Value;
use syncd::cluster::Leases;

use crate::git_repository::Repository;
use crate::running_daemon::Daemon;
use crate::wire::Wire;
use crate::world::{World, service};

/// Two processes of an environment, and where they read.
struct Pair {
    repository: Repository,
}

impl Pair {
    fn new(world: &mut World) -> Self {
        let pair = Pair { repository: Repository::new() };
        pair.push(world, "1");
        pair
    }

    fn push(&self, world: &mut World, content: &str) {
        let objects = [world.config_map("a", content)];
        world.push(&self.repository, &[service("app1", &objects)]);
    }

    async fn start(&self, world: &World, kubeconfig: &std::path::Path) -> Daemon {
        Daemon::start_for(&self.repository, kubeconfig, (&world.name, &world.settings.namespace)).await
    }
}

/// Tells who leads, and what the cluster is like.
async fn tell(world: &mut World, text: &str) {
    world.transcript.line(text);
    world.look().await;
    let name = format!("syncd-{}", world.name);
    let lease = world.reader.read_lease(&name).await.unwrap().unwrap();
    let holder = if lease.holder.is_empty() { "nobody's" } else { "held" };
    world.transcript.line(&format!("lease: {holder}, changed hands {} times", lease.transitions));
}

async fn content(world: &World) -> Value {
    world.plane.get(&world.id("", "ConfigMap", "a")).await.unwrap()["data"]["content"].clone()
}

pub async fn of_two_one_leads(world: &mut World) {
    let pair = Pair::new(world);
    let kubeconfig = world.plane.kubeconfig().to_owned();
    let mut a = pair.start(world, &kubeconfig).await;
    a.says("leads").await;
    a.synced().await;
    let mut b = pair.start(world, &kubeconfig).await;
    b.says("stands by").await;
    b.page("/readyz", |text| text == "ok\n").await;
    tell(world, "a leads, b stands by").await;

    world.title("a is stopped (SIGSTOP)");
    a.signal("STOP").await;
    pair.push(world, "2");
    b.says("leads: the Lease was not given back").await;
    b.synced().await;
    pair.push(world, "3");
    b.synced().await;
    tell(world, "b leads").await;
    world.title("a goes on, too late (SIGCONT)");
    a.signal("CONT").await;
    a.says("leads no longer").await;
    a.says("stands by").await;
    assert_eq!(content(world).await, "3", "who goes on too late changes nothing");
    tell(world, "a stands by").await;

    world.title("b is asked to end (SIGTERM)");
    b.signal("TERM").await;
    b.says("syncd stopped").await;
    assert_eq!(b.child.wait().await.unwrap().code(), Some(0));
    pair.push(world, "4");
    a.says("leads").await;
    a.synced().await;
    tell(world, "a leads at once").await;

    world.title("a is killed (SIGKILL)");
    a.child.kill().await.unwrap();
    pair.push(world, "5");
    let mut c = pair.start(world, &kubeconfig).await;
    c.says("stands by").await;
    c.says("leads: the Lease was not given back").await;
    c.synced().await;
    tell(world, "c leads when the Lease has rested").await;
    c.signal("TERM").await;
    c.child.wait().await.unwrap();
    tell(world, "c has ended, and given it back").await;
}

pub async fn a_leader_whose_network_is_cut_is_replaced(world: &mut World) {
    let pair = Pair::new(world);
    let kubeconfig = world.plane.kubeconfig().to_owned();
    let wire = Wire::lay(&kubeconfig).await;
    let mut a = pair.start(world, wire.kubeconfig()).await;
    a.says("leads").await;
    a.synced().await;
    let mut b = pair.start(world, &kubeconfig).await;
    b.says("stands by").await;
    tell(world, "a leads, b stands by").await;
    world.title("a reaches the API server no more");
    wire.cut();
    pair.push(world, "2");
    b.says("leads: the Lease was not given back").await;
    b.synced().await;
    a.says("leads no longer").await;
    tell(world, "b leads").await;
    world.title("the network is mended");
    wire.mend();
    pair.push(world, "3");
    b.synced().await;
    a.says("stands by").await;
    tell(world, "b leads").await;
    for mut daemon in [a, b] {
        daemon.signal("TERM").await;
        daemon.child.wait().await.unwrap();
    }
}
