//! What `syncd run` holds: while everything is new, while nothing happens, after many cycles, after many commits, and when everything changes.

use std::time::Duration;

use tokio::time::sleep;

use crate::Size;
use crate::fleet::Fleet;
use crate::plane::Plane;
use crate::process::Syncd;
use crate::table::{head, row};

pub async fn measure(size: Size, cycles: u64, changes: usize) {
    let plane = Plane::open().await;
    println!("\nmemory: {} services, {} objects, {}", size.services, 4 * size.services, plane.name());
    let mut fleet = Fleet::new(size.services, size.replicas, "memory");
    let repository = fleet.commit();
    plane.prepare(&fleet).await;
    head("resident memory in MiB", &["when", "now", "most so far"]);
    let told = |when: &str, syncd: &Syncd| {
        let usage = syncd.usage();
        row(&[when.to_owned(), format!("{:.0}", usage.resident), format!("{:.0}", usage.peak)]);
    };
    let syncd = Syncd::run(&repository, &plane.kubeconfig, "2s", &[]).await;
    told("the first sync has ended", &syncd);
    sleep(Duration::from_secs(15)).await;
    told("nothing happens", &syncd);
    // Connections that are not used are closed after a while, and with them what they were read into.
    sleep(Duration::from_secs(105)).await;
    told("nothing happened for two minutes", &syncd);
    drop(syncd);
    // The same once more, with everything there: the state is read, metadata is listed and watched.
    let poll = if cycles > 0 || changes > 0 { "10ms" } else { "2s" };
    let syncd = Syncd::run(&repository, &plane.kubeconfig, poll, &[]).await;
    told("started over, all is in sync", &syncd);
    sleep(Duration::from_secs(15)).await;
    told("nothing happens", &syncd);
    for step in 1..=10 {
        let until = cycles * step / 10;
        if until == 0 {
            break;
        }
        loop {
            #[expect(clippy::cast_precision_loss, reason = "a count")]
            if syncd.metric("syncd_cycles_total").await >= until as f64 {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
        told(&format!("after {until} cycles"), &syncd);
    }
    for change in 1..=changes {
        syncd.forget();
        fleet.change(&repository, [change % size.services]);
        syncd.until("the service ended", |line| line.fields["state"] == "synced").await;
        if change % changes.div_ceil(10) == 0 {
            told(&format!("after {change} commits of one change each"), &syncd);
        }
    }
    syncd.forget();
    fleet.change(&repository, 0..size.services);
    syncd.until_synced(size.services).await;
    told("a commit has changed all services", &syncd);
    sleep(Duration::from_secs(15)).await;
    told("nothing happens", &syncd);
    drop(syncd);
    plane.clean(&fleet).await;
}
