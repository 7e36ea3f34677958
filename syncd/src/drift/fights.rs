//! How fast to answer who changes the same field again and again.
//!
//! Corrects at once, but a field that had to be corrected [`CORRECTIONS_MAX`] times within [`WINDOW`] is fought over: then pauses grow
//! from [`PAUSE_FIRST`] to [`PAUSE_LONGEST`] until nobody has changed it for two of them. Invariant: pauses never shrink during a fight.

use std::time::Duration;

use tokio::time::Instant;

/// How long events are gathered before they are answered.
pub(super) const DEBOUNCE: Duration = Duration::from_millis(200);
/// Corrections of one field within [`WINDOW`] that are no fight yet.
pub(super) const CORRECTIONS_MAX: usize = 5;
/// See [`CORRECTIONS_MAX`].
pub(super) const WINDOW: Duration = Duration::from_secs(60);
/// First pause of a fight.
pub(super) const PAUSE_FIRST: Duration = Duration::from_secs(10);
/// Longest pause of a fight.
pub(super) const PAUSE_LONGEST: Duration = Duration::from_secs(600);

/// The corrections of one object.
#[derive(Debug, Default)]
pub(super) struct History {
    /// When, and which fields; those of the last [`WINDOW`].
    corrections: Vec<(Instant, Vec<u64>)>,
    /// How often the pause has grown; 0: no fight.
    level: u32,
    last: Option<Instant>,
}

impl History {
    /// Returns when to answer a change of `fields` that was seen now.
    pub(super) fn answer_at(&mut self, now: Instant, fields: &[u64]) -> Instant {
        let soon = now + DEBOUNCE;
        if self.is_over(now) {
            self.level = 0;
        } else if self.level > 0 {
            self.level += 1;
        }
        self.corrections.retain(|(at, _)| *at + WINDOW > now);
        let shares = |corrected: &[u64]| corrected.iter().any(|field| fields.contains(field));
        let same = self.corrections.iter().filter(|(_, corrected)| shares(corrected)).count();
        if self.level == 0 && same >= CORRECTIONS_MAX {
            self.level = 1;
        }
        match self.last {
            Some(last) if self.level > 0 => soon.max(last + self.pause()),
            _ => soon,
        }
    }

    /// Notes a correction.
    pub(super) fn corrected(&mut self, now: Instant, fields: &[u64]) {
        self.last = Some(now);
        self.corrections.push((now, fields.to_vec()));
    }

    /// Returns how often the pause has grown; 0: no fight.
    pub(super) fn level(&self) -> u32 {
        self.level
    }

    /// Returns the pause of the fight.
    pub(super) fn pause(&self) -> Duration {
        let doubled = 2_u32.saturating_pow(self.level.saturating_sub(1));
        PAUSE_FIRST.saturating_mul(doubled).min(PAUSE_LONGEST)
    }

    /// Tells whether nothing has happened for so long that there is nothing to remember.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let quiet = if self.level > 0 { self.pause() * 2 } else { WINDOW };
        self.last.is_none_or(|last| last + quiet <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds between corrections of a field that somebody changes back at once.
    fn pauses(history: &mut History, mut now: Instant, count: usize) -> Vec<f32> {
        let mut pauses = Vec::new();
        for _ in 0..count {
            let at = history.answer_at(now, &[1]);
            pauses.push(at.duration_since(now).as_secs_f32());
            history.corrected(at, &[1]);
            now = at;
        }
        pauses
    }

    #[test]
    fn the_same_field_is_answered_less_and_less_often() {
        let (mut history, start) = (History::default(), Instant::now());
        let got = pauses(&mut history, start, 14);
        assert_eq!(got[..5], [DEBOUNCE.as_secs_f32(); 5]);
        assert_eq!(got[5..], [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0, 600.0, 600.0]);
        let last = history.last.expect("corrected");
        assert!(!history.is_over(last + PAUSE_LONGEST) && history.is_over(last + PAUSE_LONGEST * 2));
        assert_eq!(pauses(&mut history, last + PAUSE_LONGEST * 2, 1), [DEBOUNCE.as_secs_f32()], "it is over");
        assert_eq!(history.level(), 0);
    }

    #[test]
    fn other_fields_and_slow_changes_are_no_fight() {
        let (mut history, mut now) = (History::default(), Instant::now());
        for field in 0..20 {
            assert_eq!(history.answer_at(now, &[field]), now + DEBOUNCE);
            history.corrected(now, &[field]);
        }
        let mut slow = History::default();
        for _ in 0..20 {
            assert_eq!(slow.answer_at(now, &[1]), now + DEBOUNCE);
            slow.corrected(now, &[1]);
            now += WINDOW / 4;
        }
    }
}
