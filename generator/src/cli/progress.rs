//! How far a render is, in one line of a terminal.
//!
//! The line appears when a render takes more than a moment, is written over ten times a second at most, and is gone when the render is done: what a
//! command says is the same with it and without it. Knows nothing of services. Invariant: nothing is written where nobody watches.

#![expect(clippy::disallowed_types, reason = "when a line is shown depends on the clock, and nothing else does")]

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Until then nothing is shown.
const MOMENT: Duration = Duration::from_millis(500);
/// Time between two lines.
const PAUSE: Duration = Duration::from_millis(100);
/// Columns of the bar.
const WIDTH: usize = 30;
/// Back to the start of the line, and the line is empty.
const CLEAR: &str = "\r\x1b[K";

/// The line.
pub(super) struct Progress {
    watched: bool,
    start: Instant,
    /// When it was written last.
    shown: Mutex<Option<Instant>>,
}

impl Progress {
    /// Begins; nothing is ever shown where nobody watches.
    pub(super) fn on(watched: bool) -> Self {
        Progress { watched, start: Instant::now(), shown: Mutex::new(None) }
    }

    /// Shows how far it is, if it is time to.
    pub(super) fn show(&self, done: usize, all: usize) {
        if !self.watched || self.start.elapsed() < MOMENT {
            return;
        }
        // Whoever comes while another thread writes has nothing newer to say.
        let Ok(mut shown) = self.shown.try_lock() else { return };
        if shown.is_none_or(|last| last.elapsed() >= PAUSE) {
            write(&format!("{CLEAR}{}", line(done, all)));
            *shown = Some(Instant::now());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.get_mut().unwrap_or_else(PoisonError::into_inner).is_some() {
            write(CLEAR);
        }
    }
}

/// A terminal that is gone is no reason to stop.
fn write(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

fn line(done: usize, all: usize) -> String {
    let filled = (WIDTH * done).checked_div(all).unwrap_or(WIDTH);
    format!("rendering [{:<WIDTH$}] {done} of {all} services", "#".repeat(filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_grows_from_nothing_to_full() {
        assert_eq!(line(0, 8), format!("rendering [{}] 0 of 8 services", " ".repeat(30)));
        assert_eq!(line(4, 8), format!("rendering [{}{}] 4 of 8 services", "#".repeat(15), " ".repeat(15)));
        assert_eq!(line(8, 8), format!("rendering [{}] 8 of 8 services", "#".repeat(30)));
        assert_eq!(line(0, 0), format!("rendering [{}] 0 of 0 services", "#".repeat(30)));
    }

    #[test]
    fn who_is_not_watched_shows_nothing() {
        let progress = Progress { watched: false, start: Instant::now() - 2 * MOMENT, shown: Mutex::new(None) };
        progress.show(1, 2);
        assert!(progress.shown.lock().is_ok_and(|shown| shown.is_none()));
    }
}
