//! The gauges of every service, in the classic text form.
//!
//! Written from what is known when somebody asks, and kept nowhere: as series of the library the sixteen lines of a service would hold six
//! kilobytes. Invariant: a service that is not known has no line.

use std::fmt::Write;

use super::table::{ENVIRONMENT, Families, OfServices, PREFIX, states};
use super::{Known, OBJECT_BYTES_MAX, number};

/// Returns the families with their names; none that would be empty. Times are seconds since 1970.
pub(super) fn families(all: &Families, known: &Known, environment: &str, now: f64) -> Vec<(String, String)> {
    let since = |since: Option<f64>| since.map_or(0.0, |since| (now - since).max(0.0));
    let lines = Lines { environment, known };
    let mut families = vec![
        lines.states(&all.state),
        lines.each(&all.lag, |name| known.services.get(name).map(|service| since(service.behind_since))),
        lines.each(&all.intent, |name| known.services.get(name).map(|service| since(service.open_since))),
        lines.each(&all.failures, |name| known.told.get(name).map(|report| f64::from(report.failures))),
        lines.each(&all.withheld, |name| known.told.get(name).map(|report| number(report.withheld))),
        lines.each(&all.inventory, |name| known.told.get(name).map(|report| number(report.state_bytes))),
        lines.each(&all.inventory_ratio, |name| {
            known.told.get(name).map(|report| number(report.state_bytes) / OBJECT_BYTES_MAX)
        }),
    ];
    families.retain(|(_, text)| !text.is_empty());
    families
}

struct Lines<'a> {
    environment: &'a str,
    known: &'a Known,
}

impl Lines<'_> {
    fn each(&self, family: &OfServices, value: impl Fn(&String) -> Option<f64>) -> (String, String) {
        self.family(family, |out, (head, tail), name| {
            if let Some(value) = value(name) {
                let _ = writeln!(out, "{head},{tail} {value}");
            }
        })
    }

    fn states(&self, family: &OfServices) -> (String, String) {
        let mut states = states();
        states.sort_unstable();
        self.family(family, |out, (head, tail), name| {
            let now = self.known.services.get(name).and_then(|service| service.state);
            for state in now.iter().flat_map(|_| &states) {
                let _ = writeln!(out, "{head},state=\"{state}\",{tail} {}", u8::from(now == Some(state)));
            }
        })
    }

    /// Writes one family; `lines` writes those of a service between the given beginning and end. Names are DNS labels: nothing in them is to be
    /// escaped.
    fn family(&self, family: &OfServices, lines: impl Fn(&mut String, (&str, &str), &String)) -> (String, String) {
        let name = format!("{PREFIX}_{}", family.0.name);
        let mut out = format!("# HELP {name} {}\n# TYPE {name} gauge\n", family.0.help);
        let (head_only, tail) = (out.len(), format!("{ENVIRONMENT}=\"{}\"}}", self.environment));
        for service in self.known.services.keys() {
            lines(&mut out, (&format!("{name}{{service=\"{service}\""), &tail), service);
        }
        if out.len() == head_only {
            out.clear();
        }
        (name, out)
    }
}
