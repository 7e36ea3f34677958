//! What goes wrong with which call.
//!
//! Knows of a call its number and its words, and nothing else. Invariant: calm weather touches nothing, planned weather only what it names.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::chance::Chance;

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process ends before the request is sent.
    CrashBefore,
    /// The process ends after the request was carried out, before its answer.
    CrashAfter,
    /// The request never arrived; the connection is gone.
    LostBefore,
    /// The request was carried out; the connection is gone.
    LostAfter,
    /// Nobody answers; the request is carried out so long after it was sent. The process ends, or not, as it likes.
    Late(Duration),
    /// The process ends when the request has left, which is carried out so long after.
    CrashLate(Duration),
    /// The process stands still for so long before it sends the request.
    Paused(Duration),
    /// Half of the time goes by until the request is carried out, the other half until the answer is there: what was read is stale.
    Slow(Duration),
    /// Admission says no.
    Denied,
    /// 429.
    Throttled,
    /// 500, and nothing happened.
    Broken,
    /// 500, and it happened: the server could not be sure.
    BrokenAfter,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::CrashBefore => write!(f, "crash before"),
            Fault::CrashAfter => write!(f, "crash after"),
            Fault::LostBefore => write!(f, "lost before"),
            Fault::LostAfter => write!(f, "lost after"),
            Fault::Late(after) => write!(f, "late by {:.0} s", after.as_secs_f64()),
            Fault::CrashLate(after) => write!(f, "crash, late by {:.0} s", after.as_secs_f64()),
            Fault::Paused(takes) => write!(f, "paused for {:.0} s before", takes.as_secs_f64()),
            Fault::Slow(takes) => write!(f, "slow, {:.1} s", takes.as_secs_f64()),
            Fault::Denied => write!(f, "denied"),
            Fault::Throttled => write!(f, "throttled"),
            Fault::Broken => write!(f, "broken"),
            Fault::BrokenAfter => write!(f, "broken after"),
        }
    }
}

/// Longest time that a request is under way: the API server gives up a request after a minute.
pub const UNDER_WAY_SECONDS: u64 = 60;

/// Where faults come from.
#[derive(Debug, Clone)]
pub enum Weather {
    /// There are none.
    Calm,
    /// These, by number of the call.
    Planned(BTreeMap<usize, Fault>),
    /// These, by words of the call and how often it was made before.
    Named(Vec<(String, usize, Fault)>),
    /// By chance.
    Wild(Wild),
}

/// Faults by chance.
#[derive(Debug, Clone)]
pub struct Wild {
    chance: Chance,
    /// One call in so many goes wrong.
    one_in: u64,
    weights: [u64; 12],
}

impl Weather {
    /// One fault at one call.
    pub fn once(number: usize, fault: Fault) -> Self {
        Weather::Planned([(number, fault)].into())
    }

    /// Draws weather: how bad it is, and which faults there are in it at all.
    pub fn drawn(mut chance: Chance) -> Self {
        let one_in = *chance.pick(&[6, 12, 25, 50, 120, 400]);
        let weights = std::array::from_fn(|_| if chance.one_in(3) { 0 } else { 1 + chance.below(8) });
        Weather::Wild(Wild { chance: chance.branch("faults"), one_in, weights })
    }

    /// One fault at the call after `before` others with the same words.
    pub fn named(call: &str, before: usize, fault: Fault) -> Self {
        Weather::Named(vec![(call.to_owned(), before, fault)])
    }

    /// Returns what goes wrong with a call.
    pub fn at(&mut self, number: usize, text: &str) -> Option<Fault> {
        match self {
            Weather::Named(faults) => {
                let mut now = None;
                for (_, before, fault) in faults.iter_mut().filter(|(call, _, _)| text.contains(call.as_str())) {
                    now = now.or((*before == 0).then_some(*fault));
                    *before = before.wrapping_sub(1);
                }
                now
            }
            Weather::Calm => None,
            Weather::Planned(faults) => faults.get(&number).copied(),
            Weather::Wild(wild) => wild.draw(),
        }
    }
}

impl Wild {
    fn draw(&mut self) -> Option<Fault> {
        let Wild { chance, one_in, weights } = self;
        if !chance.one_in(*one_in) || weights.iter().all(|weight| *weight == 0) {
            return None;
        }
        let mut seconds = |bound: u64| Duration::from_millis(1 + chance.below(bound * 1000));
        let (late, slow, paused) = (seconds(UNDER_WAY_SECONDS), seconds(25), seconds(50));
        Some(match chance.weighed(weights) {
            0 => Fault::CrashBefore,
            1 => Fault::CrashAfter,
            2 => Fault::LostBefore,
            3 => Fault::LostAfter,
            4 => Fault::Late(late),
            5 => Fault::CrashLate(late),
            6 => Fault::Slow(slow),
            7 => Fault::Denied,
            8 => Fault::Throttled,
            9 => Fault::Broken,
            10 => Fault::Paused(paused),
            _ => Fault::BrokenAfter,
        })
    }
}
