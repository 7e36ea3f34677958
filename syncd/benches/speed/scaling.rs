//! Time, processor time and memory by the number of services, on the sandbox, and a picture of it.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::change::{Change, follow, look};
use crate::fleet::Fleet;
use crate::plane::Plane;
use crate::process::{Syncd, once};
use crate::table::{head, median, row};

/// What is measured of one number of services.
struct Point {
    services: f64,
    /// Seconds of the first sync, and of processor time in it.
    cold: (f64, f64),
    /// MiB: most, and when nothing happens.
    memory: (f64, f64),
    /// Seconds of processor time of a restart that finds everything in sync.
    restart: f64,
    /// Seconds of processor time of a cycle in which one service changes; of it until the plan; of that until the index was read.
    one: (f64, f64, f64),
    /// Seconds of processor time of a poll without a change.
    poll: f64,
}

pub async fn measure(services: &[usize], plot: Option<&Path>) {
    println!("\nscaling: sandbox");
    let columns = [
        "services",
        "objects",
        "first sync, s",
        "CPU s",
        "peak MiB",
        "idle MiB",
        "restart in sync, CPU s",
        "one changes, CPU ms",
        "of it until the plan",
        "of that fetch and index",
        "unchanged poll, CPU ms",
    ];
    head("by the number of services", &columns);
    let mut points = Vec::new();
    for number in services {
        let point = point(*number).await;
        row(&[
            number.to_string(),
            (4 * number).to_string(),
            format!("{:.2}", point.cold.0),
            format!("{:.2}", point.cold.1),
            format!("{:.0}", point.memory.0),
            format!("{:.0}", point.memory.1),
            format!("{:.2}", point.restart),
            format!("{:.1}", 1000.0 * point.one.0),
            format!("{:.1}", 1000.0 * point.one.1),
            format!("{:.1}", 1000.0 * point.one.2),
            format!("{:.1}", 1000.0 * point.poll),
        ]);
        points.push(point);
    }
    if let Some(path) = plot {
        std::fs::write(path, picture(&points)).unwrap();
        println!("\npicture: {}", path.display());
    }
}

async fn point(services: usize) -> Point {
    let plane = Plane::sandbox().await;
    let mut fleet = Fleet::new(services, 0, "scale");
    let repository = fleet.commit();
    plane.prepare(&fleet).await;
    let began = Instant::now();
    let syncd = Syncd::run(&repository, &plane.kubeconfig, "1s", &[]).await;
    let (wall, first) = (began.elapsed().as_secs_f64(), syncd.usage());
    plane.quiet().await;
    let poll = look(&plane, &syncd, Duration::from_secs(10)).await;
    let idle = syncd.usage().resident;
    drop(syncd);
    let restart = once(&repository, &plane.kubeconfig, &[]).await.usage.cpu;
    let syncd = Syncd::run(&repository, &plane.kubeconfig, "1h", &[]).await;
    plane.quiet().await;
    let mut changes = Vec::new();
    for number in 0..5 {
        fleet.change(&repository, [number]);
        changes.push(follow(&plane, &syncd).await);
    }
    let one = |cpu: fn(&Change) -> f64| median(changes.iter().map(cpu));
    let one = (one(|change| change.cpu), one(|change| change.cpu_plan), one(|change| change.cpu_revision));
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let services = services as f64;
    let memory = (first.peak, idle);
    Point { services, cold: (wall, first.cpu), memory, restart, one, poll: poll.cpu }
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 50.0;

/// Colour, name and figure of a line.
type Line = (&'static str, &'static str, fn(&Point) -> f64);

/// Draws it, both axes by powers of ten: what is linear rises by as much as it goes to the right.
fn picture(points: &[Point]) -> String {
    let lines: [Line; 8] = [
        ("#1f77b4", "first sync, CPU ms", |point| 1000.0 * point.cold.1),
        ("#9467bd", "restart in sync, CPU ms", |point| 1000.0 * point.restart),
        ("#d62728", "one changes, CPU ms", |point| 1000.0 * point.one.0),
        ("#e377c2", "until the plan, CPU ms", |point| 1000.0 * point.one.1),
        ("#7f7f7f", "after fetch and index, CPU ms", |point| 1000.0 * (point.one.0 - point.one.2)),
        ("#2ca02c", "unchanged poll, CPU ms", |point| 1000.0 * point.poll),
        ("#ff7f0e", "peak memory, MiB", |point| point.memory.0),
        ("#8c564b", "idle memory, MiB", |point| point.memory.1),
    ];
    let all = || lines.iter().flat_map(|(_, _, of)| points.iter().map(move |point| of(point).max(0.1)));
    let low = all().fold(f64::MAX, f64::min).log10().floor();
    let high = all().fold(f64::MIN, f64::max).log10().ceil();
    let (first, last) =
        (points.first().map_or(1.0, |point| point.services), points.last().map_or(1.0, |point| point.services));
    let across =
        |services: f64| LEFT + (WIDTH - LEFT - RIGHT) * (services / first).ln() / (last / first).ln().max(1e-9);
    let up =
        |value: f64| HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value.max(0.1).log10() - low) / (high - low).max(1.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>Processor time and memory of syncd by the number of services</title>\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    #[expect(clippy::cast_possible_truncation, reason = "a small power")]
    for power in low as i32..=high as i32 {
        let (value, y) = (10_f64.powi(power), up(10_f64.powi(power)));
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>",
            WIDTH - RIGHT
        );
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>", LEFT - 8.0, y + 4.0);
    }
    for point in points {
        let x = across(point.services);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"#ddd\"/>",
            HEIGHT - BOTTOM
        );
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - BOTTOM + 18.0,
            point.services
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">services of 4 objects</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 10.0
    );
    // Labels are kept apart where lines end close together.
    let mut ends: Vec<(f64, &str, &str)> = Vec::new();
    for (colour, name, of) in lines {
        let path: Vec<String> =
            points.iter().map(|point| format!("{:.1},{:.1}", across(point.services), up(of(point)))).collect();
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
            path.join(" ")
        );
        ends.push((points.last().map_or(0.0, |point| up(of(point))), colour, name));
    }
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut y = TOP;
    for (end, colour, name) in ends {
        y = end.max(y + 14.0);
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>",
            WIDTH - RIGHT + 8.0,
            y + 4.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}
