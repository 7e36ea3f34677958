//! Everything is looked at once more, and nothing has changed: a full sync beside other ways to come to the same conclusion.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;

use crate::Size;
use crate::fleet::Fleet;
use crate::plane::{Plane, told};
use crate::process::{Usage, once};
use crate::table::{head, median, row};

const COLLECTIONS: [&str; 4] = [
    "/api/v1/configmaps",
    "/api/v1/services",
    "/apis/apps/v1/deployments",
    "/apis/autoscaling/v2/horizontalpodautoscalers",
];

/// Seconds of one way.
struct Way {
    wall: f64,
    client: f64,
    api: f64,
}

pub async fn measure(size: Size) {
    let plane = Plane::open().await;
    println!("\nresync: {} services in sync, {}, {} rounds", size.services, plane.name(), size.rounds);
    let fleet = Fleet::new(size.services, size.replicas, "resync");
    let repository = fleet.commit();
    plane.prepare(&fleet).await;
    once(&repository, &plane.kubeconfig, &[]).await;
    plane.rest().await;
    let before = versions(&plane).await;
    let mut ways: BTreeMap<&str, Vec<Way>> = BTreeMap::new();
    let mut counts = None;
    for _ in 0..size.rounds {
        let from = plane.count_from().await;
        let api = plane.cpu_of_api();
        let full = once(&repository, &plane.kubeconfig, &["--full"]).await;
        let way = Way { wall: full.wall, client: full.usage.cpu, api: plane.cpu_of_api() - api };
        ways.entry("syncd once --full").or_default().push(way);
        counts = Some(plane.counted(&from).await);
        let api = plane.cpu_of_api();
        let start = once(&repository, &plane.kubeconfig, &[]).await;
        let way = Way { wall: start.wall, client: start.usage.cpu, api: plane.cpu_of_api() - api };
        ways.entry("syncd once, as after a restart: metadata is listed").or_default().push(way);
    }
    let after = versions(&plane).await;
    let written = before.iter().filter(|(id, version)| after.get(*id) != Some(version)).count();
    // From here on there is another manager.
    plane.load(&fleet, 32, false).await;
    for _ in 0..size.rounds {
        let lists = async |metadata: bool| {
            for collection in COLLECTIONS {
                plane.list(collection, metadata).await;
            }
        };
        let way = timed(&plane, lists(false)).await;
        ways.entry("list of whole objects").or_default().push(way);
        let way = timed(&plane, lists(true)).await;
        ways.entry("list of metadata").or_default().push(way);
        let way = timed(&plane, loaded(&plane, &fleet, true)).await;
        ways.entry("dry run of each").or_default().push(way);
        let way = timed(&plane, loaded(&plane, &fleet, false)).await;
        ways.entry("apply of each").or_default().push(way);
    }
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let objects = (4 * size.services) as f64;
    head("in sync already, medians", &["way", "wall s", "objects/s", "server CPU, ms/object", "client CPU, ms/object"]);
    for (name, ways) in &ways {
        let of = |get: fn(&Way) -> f64| median(ways.iter().map(get));
        let (wall, api, client) = (of(|way| way.wall), of(|way| way.api), of(|way| way.client));
        row(&[
            (*name).to_owned(),
            format!("{wall:.2}"),
            format!("{:.0}", objects / wall),
            format!("{:.3}", 1000.0 * api / objects),
            format!("{:.3}", 1000.0 * client / objects),
        ]);
    }
    println!("\nobjects that a full sync wrote: {written}");
    println!("requests of a full sync: {}", told(&counts.expect("a round")));
    plane.clean(&fleet).await;
}

async fn timed(plane: &Plane, way: impl Future<Output = ()>) -> Way {
    let cpu = || Usage::of(std::process::id()).unwrap_or_default().cpu;
    let (began, api, client) = (Instant::now(), plane.cpu_of_api(), cpu());
    way.await;
    Way { wall: began.elapsed().as_secs_f64(), client: cpu() - client, api: plane.cpu_of_api() - api }
}

async fn loaded(plane: &Plane, fleet: &Fleet, dry_run: bool) {
    assert_eq!(plane.load(fleet, 32, dry_run).await.failed, 0, "the load generator was refused");
}

/// Returns the resource versions of all objects of the fleet.
async fn versions(plane: &Plane) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    for collection in COLLECTIONS {
        let (_, body) = plane.get(&format!("{collection}?labelSelector=syncd/environment%3Dbench")).await;
        let list: Value = serde_json::from_slice(&body).unwrap_or_default();
        for item in
            list["items"].as_array().into_iter().flatten().filter(|item| item["metadata"]["namespace"] != "syncd")
        {
            let metadata = &item["metadata"];
            versions.insert(
                format!("{collection} {}/{}", metadata["namespace"], metadata["name"]),
                metadata["resourceVersion"].to_string(),
            );
        }
    }
    versions
}
