//! How fast the generator is: chart by chart against Helm's own engine, and as a whole process over fleets of services.
//!
//!     cargo bench -p generator                          # both tables
//!     cargo bench -p generator -- charts DIR...         # only the charts; DIRs are further charts, rendered with their own values
//!     cargo bench -p generator -- fleet                 # only the fleets
//!     cargo bench -p generator -- make DIR N ENV,ENV    # writes a fleet, to look at or to profile
//!     cargo bench -p generator -- repeat CHART N        # renders one chart of the table so often, to profile
//!
//! Measures and judges nothing: no figure makes it fail. Without Go, Helm's columns are left out and that is said. What the columns mean is
//! in `docs/performance-generator.md`.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark reads clocks and writes scratch folders"
)]

#[path = "speed/charts.rs"]
mod charts;
#[path = "speed/fleet.rs"]
mod fleet;
#[path = "../tests/request/mod.rs"]
mod request;
#[path = "../tests/charts/mod.rs"]
mod sections;

use std::path::{Path, PathBuf};

/// Returns the root of this repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn main() {
    // Cargo adds `--bench`; it says nothing here.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {
            charts::compare(&[]);
            fleet::measure();
        }
        ["charts", folders @ ..] => charts::compare(folders),
        ["fleet"] => fleet::measure(),
        ["make", folder, services, environments] => {
            let services = services.parse().expect("a number of services");
            fleet::make(Path::new(folder), services, &environments.split(',').collect::<Vec<_>>());
        }
        ["repeat", chart, times] => charts::repeat(chart, times.parse().expect("a number of renders")),
        _ => eprintln!(
            "usage: cargo bench -p generator -- [charts DIR... | fleet | make DIR N ENV,ENV | repeat CHART N]"
        ),
    }
}
