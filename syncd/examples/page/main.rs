//! Serves the status page of a made-up environment, to look at it, to test it in a browser, and to load it.
//!
//!     cargo run -p syncd --example page -- [SERVICES] [ADDRESS]
//!
//! Prints the address. On each line that it reads from standard input another cycle begins or ends, so that a page that is open changes.

use std::io::BufRead;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use syncd::cycle::Clock;
use syncd::daemon::Listener;
use syncd::http::{Face, serve};
use syncd::metrics::Metrics;
use syncd::report::{CycleResult, Observer};
use tokio::net::TcpListener;

mod fleet;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let count = arguments.next().map_or(Ok(5000), |count| count.parse()).context("SERVICES is a number")?;
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let clock: Arc<dyn Clock> = Arc::new(fleet::Standing);
    let metrics = Arc::new(Metrics::new("production", Arc::clone(&clock)));
    let face = Arc::new(Face::new(metrics, clock, Duration::from_secs(3600)));
    let report = fleet::report(count);
    face.report(&report);
    let listener = TcpListener::bind(&address).await.with_context(|| format!("cannot listen on {address}"))?;
    println!("http://{}/", listener.local_addr()?);
    let shown = Arc::clone(&face);
    tokio::task::spawn_blocking(move || {
        for (number, line) in std::io::stdin().lock().lines().enumerate() {
            if line.is_err() {
                return;
            }
            if number % 2 == 0 {
                fleet::events().iter().for_each(|event| shown.observe(event));
            } else {
                let mut next = report.clone();
                next.result = CycleResult::Synced;
                next.errors.clear();
                next.held = None;
                shown.report(&next);
            }
        }
    });
    serve(listener, face).await?;
    Ok(())
}
