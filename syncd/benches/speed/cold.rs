//! An empty cluster becomes a full one: the load generator and `syncd once`, turn about, each from an empty cluster.

use crate::Size;
use crate::fleet::Fleet;
use crate::plane::{Counts, Plane, told};
use crate::process::once;
use crate::table::{head, median, row};

/// What one turn took.
struct Turn {
    /// Seconds in which objects were applied.
    applying: f64,
    /// The same without what comes before the first object.
    applies: f64,
    wall: f64,
    cpu: f64,
    /// Processor time of those that answer requests, until they rest.
    api: f64,
    peak: f64,
    counts: Counts,
}

pub async fn measure(size: Size, concurrency: &[usize]) {
    let plane = Plane::open().await;
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let objects = (4 * size.services) as f64;
    println!(
        "\ncold: {} services, {objects} objects, replicas {}, {}, {} rounds",
        size.services,
        size.replicas,
        plane.name(),
        size.rounds
    );
    let mut best = (0.0, concurrency.first().copied().unwrap_or(32));
    head("load generator, requests a second by requests under way", &["under way", "objects/s", "seconds"]);
    // The first turn of a server is its slowest: it counts for nobody.
    load(&plane, size, "warm", 16).await;
    for under_way in concurrency {
        let turn = load(&plane, size, &format!("c{under_way}"), *under_way).await;
        let rate = objects / turn.wall;
        row(&[under_way.to_string(), format!("{rate:.0}"), format!("{:.2}", turn.wall)]);
        if rate > best.0 {
            best = (rate, *under_way);
        }
    }
    let (mut loads, mut syncs) = (Vec::new(), Vec::new());
    for round in 0..size.rounds {
        loads.push(load(&plane, size, &format!("load{round}"), best.1).await);
        syncs.push(sync(&plane, size, &format!("sync{round}"), &[]).await);
    }
    let columns = [
        "who",
        "objects/s",
        "share",
        "objects/s from the first one on",
        "share",
        "wall s",
        "CPU s",
        "CPU s of the servers until they rest",
        "peak MiB",
    ];
    head("cold, medians", &columns);
    let rate = |turns: &[Turn], seconds: fn(&Turn) -> f64| median(turns.iter().map(|turn| objects / seconds(turn)));
    let limit = rate(&loads, |turn| turn.applying);
    for (who, turns) in [(format!("load generator, {} under way", best.1), &loads), ("syncd once".to_owned(), &syncs)] {
        let of = |get: fn(&Turn) -> f64| median(turns.iter().map(get));
        let (all, applies) = (rate(turns, |turn| turn.applying), rate(turns, |turn| turn.applies));
        row(&[
            who,
            format!("{all:.0}"),
            format!("{:.0} %", 100.0 * all / limit),
            format!("{applies:.0}"),
            format!("{:.0} %", 100.0 * applies / limit),
            format!("{:.2}", of(|turn| turn.wall)),
            format!("{:.2}", of(|turn| turn.cpu)),
            format!("{:.2}", of(|turn| turn.api)),
            format!("{:.0}", of(|turn| turn.peak)),
        ]);
    }
    println!("\nrequests of syncd: {}", syncs.last().map(|turn| told(&turn.counts)).unwrap_or_default());
}

async fn load(plane: &Plane, size: Size, prefix: &str, under_way: usize) -> Turn {
    let fleet = Fleet::new(size.services, size.replicas, prefix);
    plane.prepare(&fleet).await;
    let from = plane.count_from().await;
    let api = plane.cpu_of_api();
    let load = plane.load(&fleet, under_way, false).await;
    assert_eq!(load.failed, 0, "the load generator was refused");
    let counts = plane.counted(&from).await;
    plane.rest().await;
    let api = plane.cpu_of_api() - api;
    plane.clean(&fleet).await;
    Turn { applying: load.wall, applies: load.wall, wall: load.wall, cpu: load.cpu, api, peak: 0.0, counts }
}

async fn sync(plane: &Plane, size: Size, prefix: &str, more: &[&str]) -> Turn {
    let fleet = Fleet::new(size.services, size.replicas, prefix);
    let repository = fleet.commit();
    plane.prepare(&fleet).await;
    let from = plane.count_from().await;
    let api = plane.cpu_of_api();
    let once = once(&repository, &plane.kubeconfig, more).await;
    let counts = plane.counted(&from).await;
    plane.rest().await;
    let api = plane.cpu_of_api() - api;
    plane.clean(&fleet).await;
    Turn {
        applying: once.applying(),
        applies: once.applies(),
        wall: once.wall,
        cpu: once.usage.cpu,
        api,
        peak: once.usage.peak,
        counts,
    }
}
