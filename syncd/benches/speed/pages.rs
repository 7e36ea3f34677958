//! A sync while many ask for the page and for the metrics, beside one while nobody does.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::Size;
use crate::fleet::Fleet;
use crate::plane::Plane;
use crate::process::{Syncd, nudge};
use crate::table::{head, median, row};

/// What one sync took.
struct Sync {
    seconds: f64,
    cpu: f64,
    answered: f64,
}

pub async fn measure(size: Size, rate: u32) {
    let plane = Plane::open().await;
    println!(
        "\npages: all {} services change, {rate} requests a second, {}, {} rounds",
        size.services,
        plane.name(),
        size.rounds
    );
    let mut fleet = Fleet::new(size.services, size.replicas, "pages");
    let repository = fleet.commit();
    plane.prepare(&fleet).await;
    let syncd = Syncd::run(&repository, &plane.kubeconfig, "1h", &[]).await;
    plane.rest().await;
    let (mut alone, mut asked) = (Vec::new(), Vec::new());
    for _ in 0..size.rounds {
        for (rate, syncs) in [(0, &mut alone), (rate, &mut asked)] {
            fleet.change(&repository, 0..size.services);
            syncs.push(sync(&syncd, rate).await);
        }
    }
    head("a sync of everything, medians", &["asked", "seconds", "ratio", "CPU s of syncd", "answers a second"]);
    let seconds = |syncs: &[Sync]| median(syncs.iter().map(|sync| sync.seconds));
    for (who, syncs) in [("nothing", &alone), ("page and /metrics in turn", &asked)] {
        row(&[
            who.to_owned(),
            format!("{:.2}", seconds(syncs)),
            format!("{:.3}", seconds(syncs) / seconds(&alone)),
            format!("{:.2}", median(syncs.iter().map(|sync| sync.cpu))),
            format!("{:.0}", median(syncs.iter().map(|sync| sync.answered))),
        ]);
    }
    drop(syncd);
    plane.clean(&fleet).await;
}

async fn sync(syncd: &Syncd, rate: u32) -> Sync {
    sleep(Duration::from_millis(1200)).await;
    syncd.forget();
    let (webhook, address) = (syncd.webhook(), syncd.address());
    let id = syncd.report().await["id"].clone();
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let before = syncd.usage();
    let asking = async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let began = Instant::now();
        let ask = |number: u32| {
            let (client, answered) = (&client, &answered);
            let url = format!("http://{address}{}", if number.is_multiple_of(2) { "/" } else { "/metrics" });
            async move {
                if let Ok(answer) = client.get(url).send().await
                    && answer.bytes().await.is_ok()
                {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        // As many lines of people as it takes: each asks, waits for the answer, and asks again when it is its turn.
        let lines = (0..rate.min(20)).map(|line| {
            let (stop, ask) = (&stop, &ask);
            async move {
                let mut number = line;
                while !stop.load(Ordering::Relaxed) {
                    let due = Duration::from_secs(1) * number / rate;
                    sleep(due.saturating_sub(began.elapsed())).await;
                    ask(number / 20).await;
                    number += rate.min(20);
                }
            }
        });
        futures::future::join_all(lines).await;
        began.elapsed().as_secs_f64()
    };
    let following = async {
        nudge(&webhook).await;
        syncd.until("planned", |_| true).await;
        loop {
            let report = syncd.report().await;
            if report["id"] != id && !report["id"].is_null() {
                stop.store(true, Ordering::Relaxed);
                return report["seconds"].as_f64().unwrap_or_default();
            }
            sleep(Duration::from_millis(200)).await;
        }
    };
    let (asked, seconds) = tokio::join!(asking, following);
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let answered = answered.into_inner() as f64 / asked.max(0.001);
    Sync { seconds, cpu: syncd.usage().cpu - before.cpu, answered }
}
