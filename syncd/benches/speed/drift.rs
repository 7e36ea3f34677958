//! An object is deleted behind the back of `syncd`: how long until it is there again.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use crate::Size;
use crate::fleet::{Fleet, path};
use crate::plane::{Plane, told};
use crate::process::Syncd;
use crate::table::{head, median, percentile, row};

pub async fn measure(size: Size) {
    let plane = Plane::open().await;
    let deletions = 20 * size.rounds;
    println!("\ndrift: {} services, {deletions} deletions, one after the other, {}", size.services, plane.name());
    let fleet = Fleet::new(size.services, size.replicas, "drift");
    let repository = fleet.commit();
    plane.prepare(&fleet).await;
    let syncd = Syncd::run(&repository, &plane.kubeconfig, "1h", &[]).await;
    plane.rest().await;
    let from = plane.count_from().await;
    let before = syncd.usage();
    let mut times = Vec::new();
    for number in 0..deletions {
        // ConfigMaps, Services, Deployments and autoscalers, in turn.
        let path = path(&fleet.objects(number % size.services)[number % 4], false);
        let uid = uid(&plane, &path).await;
        let began = Instant::now();
        plane.send("DELETE", &path, "application/json", Vec::new()).await;
        loop {
            sleep(Duration::from_millis(3)).await;
            let now = self::uid(&plane, &path).await;
            if now.is_some() && now != uid {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{path} never came back");
        }
        times.push(1000.0 * began.elapsed().as_secs_f64());
        sleep(Duration::from_millis(400)).await;
    }
    let after = syncd.usage();
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let each = 1000.0 * (after.cpu - before.cpu) / deletions as f64;
    head("deleted, and back; in ms", &["half", "p95", "longest", "processor time of syncd, each"]);
    row(&[
        format!("{:.0}", median(times.iter().copied())),
        format!("{:.0}", percentile(times.iter().copied(), 0.95)),
        format!("{:.0}", percentile(times.iter().copied(), 1.0)),
        format!("{each:.1}"),
    ]);
    println!("\nrequests, those of whoever looks included: {}", told(&plane.counted(&from).await));
    drop(syncd);
    plane.clean(&fleet).await;
}

async fn uid(plane: &Plane, path: &str) -> Option<String> {
    let (code, body) = plane.get(path).await;
    let object: Value = serde_json::from_slice(&body).unwrap_or_default();
    object["metadata"]["uid"].as_str().filter(|_| code == 200).map(str::to_owned)
}
