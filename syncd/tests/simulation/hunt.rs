//! The simulation against a `syncd` with a bug: which checker sees it, and how soon.
//!
//! Does nothing unless `SYNCD_SIMULATION_HUNT` names a checker (`.ci/mutations`). Then everything is played until that checker is not
//! content. Invariant: a bug that only another checker sees is not caught.

use crate::exhaustive::{cases, histories, play_all};
use crate::swarm::drawn;
use crate::world::play;

/// Histories by chance after which a bug has escaped.
const SEEDS: usize = 3_000;

#[test]
fn hunt() {
    #[expect(clippy::disallowed_methods, reason = "a test is told by its caller what to look for")]
    let Ok(wanted) = std::env::var("SYNCD_SIMULATION_HUNT") else { return };
    let found = |what: &str, message: &str| println!("caught by `{wanted}`, {what}: {message}");
    for history in histories() {
        let violation = play(&history, false).violation.filter(|violation| violation.checker == wanted);
        if let Some(violation) = violation {
            return found(&format!("in calm weather in `{}`", history.name), &violation.message);
        }
    }
    let is_it = |checker: &str| checker == wanted;
    let ends = |_: usize, outcome: &crate::world::Outcome| {
        outcome.violation.as_ref().is_some_and(|violation| is_it(violation.checker))
    };
    let totals = play_all(SEEDS, |number| drawn(number as u64), ends);
    if let Some((seed, _, message)) = totals.violations.iter().find(|(_, checker, _)| is_it(checker)) {
        return found(&format!("in seed {seed}, after {} histories", totals.runs), message);
    }
    let cases = cases();
    let totals = play_all(cases.len(), |number| cases[number].history.clone(), ends);
    let seen = totals.violations.iter().find(|(_, checker, _)| is_it(checker));
    let (number, _, message) = seen.unwrap_or_else(|| panic!("`{wanted}` has not seen it; others: {totals}"));
    found(
        &format!("in `{}`, {} at call {}", cases[*number].history.name, cases[*number].fault, cases[*number].call),
        message,
    );
}
