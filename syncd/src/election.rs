//! Which of several `syncd`s acts: decisions over a Lease, and the fence that ends with it.
//!
//! A candidate believes no clock but its own: it takes a Lease that it has *seen* unchanged for the whole of its duration, however old the
//! times in it are. A leader gives up earlier than any candidate takes over: after two thirds of the duration, counted from before it
//! sent its last renewal that was accepted. Knows no request ([`crate::leader`] sends them) and nothing of what a leader does. Invariant: the
//! fence is open only while, by the clock of this process, nobody else can have become leader.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Lease;

/// Who takes part, for which Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Election {
    /// Name of the Lease.
    pub lease: String,
    /// Name of this process; no other one ever has it, not even the next one in the same pod.
    pub identity: String,
    /// How long a leader that fell silent stays leader.
    pub duration: Duration,
}

impl Election {
    /// Returns the time between two renewals, or two looks of a candidate.
    pub fn pause(&self) -> Duration {
        self.duration / 5
    }

    /// Returns how long a leader may act after it sent a renewal that was accepted.
    pub fn tenure(&self) -> Duration {
        self.duration * 2 / 3
    }

    /// Returns the Lease as this process takes it, or renews it if it holds it already. `now` is for people.
    pub fn taken(&self, found: Option<&Lease>, now: &str) -> Lease {
        let is_ours = found.is_some_and(|found| found.holder == self.identity);
        let kept = |lease: &Lease| lease.acquired_at.clone();
        Lease {
            name: self.lease.clone(),
            holder: self.identity.clone(),
            duration: self.duration,
            transitions: found.map_or(0, |found| found.transitions + u32::from(!is_ours)),
            acquired_at: found.filter(|_| is_ours).map_or_else(|| now.to_owned(), kept),
            renewed_at: now.to_owned(),
            resource_version: found.and_then(|found| found.resource_version.clone()),
        }
    }
}

/// What a candidate does after a look at the Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// It takes the Lease. Cleanly: its last holder gave it back, after it had stopped.
    Take {
        /// See above.
        cleanly: bool,
    },
    /// It waits so long before the Lease can be free, unless it is given back.
    Wait(Duration),
}

/// What a candidate has seen of the Lease.
#[derive(Debug, Default)]
pub struct Candidate {
    /// As it was, and since when.
    seen: Option<(Lease, Instant)>,
    /// Since when it is not there any more, after it was seen.
    missing: Option<Instant>,
    /// Who renewed it while it was looked at.
    alive: Option<String>,
    /// How it was tried to be taken last: the answer may have been lost.
    tried: Option<bool>,
}

impl Candidate {
    /// Decides about the Lease as it was found at `now`.
    pub fn decide(&mut self, found: Option<&Lease>, election: &Election, now: Instant) -> Move {
        let Some(lease) = found else {
            if self.seen.is_none() {
                return self.take(false);
            }
            // Somebody deleted it, and its holder lives on: it takes it again, or ends its tenure.
            let free = *self.missing.get_or_insert(now) + election.duration;
            return if now >= free { self.take(false) } else { Move::Wait(free - now) };
        };
        self.missing = None;
        if lease.holder == election.identity {
            let cleanly = self.tried.unwrap_or(false);
            return self.take(cleanly);
        }
        if lease.holder.is_empty() {
            return self.take(true);
        }
        let since = match &self.seen {
            Some((seen, since)) if seen == lease => *since,
            Some((seen, _)) => {
                let renewed = seen.holder == lease.holder;
                self.alive = renewed.then(|| lease.holder.clone());
                now
            }
            None => now,
        };
        self.seen = Some((lease.clone(), since));
        let free = since + lease.duration.max(election.duration);
        if now >= free { self.take(false) } else { Move::Wait(free - now) }
    }

    fn take(&mut self, cleanly: bool) -> Move {
        self.tried = Some(cleanly);
        Move::Take { cleanly }
    }

    /// Returns the holder that was seen to renew the Lease.
    pub fn alive(&self) -> Option<&str> {
        self.alive.as_deref()
    }

    /// Returns the holder of the Lease as it was seen last.
    pub fn holder(&self) -> Option<&str> {
        self.seen.as_ref().map(|(lease, _)| lease.holder.as_str())
    }
}

/// Tells whether requests that change something may be sent. Asked last before each one is.
#[derive(Debug, Clone, Default)]
pub struct Fence(Option<Arc<Mutex<Option<Instant>>>>);

impl Fence {
    /// Returns one that is always open: there is one `syncd`, and somebody else sees to that.
    pub fn none() -> Self {
        Fence(None)
    }

    /// Returns one that is shut until it is opened. All clones are the same fence.
    pub fn shut() -> Self {
        Fence(Some(Arc::default()))
    }

    /// Opens it until then.
    pub fn open_until(&self, end: Instant) {
        self.set(Some(end));
    }

    /// Shuts it.
    pub fn close(&self) {
        self.set(None);
    }

    fn set(&self, end: Option<Instant>) {
        if let Some(shared) = &self.0 {
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = end;
        }
    }

    /// Tells whether it is open.
    pub fn is_open(&self) -> bool {
        let Some(shared) = &self.0 else { return true };
        shared.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|end| Instant::now() < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn election() -> Election {
        let (lease, identity) = ("syncd-staging".to_owned(), "b".to_owned());
        Election { lease, identity, duration: Duration::from_secs(15) }
    }

    fn lease(holder: &str, version: &str) -> Lease {
        Lease {
            name: "syncd-staging".to_owned(),
            holder: holder.to_owned(),
            duration: Duration::from_secs(15),
            transitions: 3,
            acquired_at: "1970-01-01T00:00:00Z".to_owned(),
            renewed_at: "1970-01-01T00:00:00Z".to_owned(),
            resource_version: Some(version.to_owned()),
        }
    }

    #[test]
    fn only_a_lease_that_was_seen_to_rest_is_taken() {
        let (election, start) = (election(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut candidate = Candidate::default();
        let wait = |seconds| Move::Wait(Duration::from_secs(seconds));
        assert_eq!(candidate.decide(Some(&lease("a", "1")), &election, at(0)), wait(15), "however old its times are");
        assert_eq!(candidate.decide(Some(&lease("a", "1")), &election, at(14)), wait(1));
        assert_eq!(candidate.alive(), None);
        assert_eq!(candidate.decide(Some(&lease("a", "2")), &election, at(16)), wait(15), "it was renewed");
        assert_eq!(candidate.alive(), Some("a"));
        assert_eq!(candidate.decide(Some(&lease("c", "3")), &election, at(30)), wait(15), "another one was faster");
        assert_eq!(candidate.decide(Some(&lease("c", "3")), &election, at(45)), Move::Take { cleanly: false });
    }

    #[test]
    fn the_holder_may_ask_for_more_time_than_the_candidate() {
        let (election, start) = (election(), Instant::now());
        let longer = Lease { duration: Duration::from_secs(60), ..lease("a", "1") };
        let mut candidate = Candidate::default();
        candidate.decide(Some(&longer), &election, start);
        let now = start + Duration::from_secs(20);
        assert_eq!(candidate.decide(Some(&longer), &election, now), Move::Wait(Duration::from_secs(40)));
    }

    #[test]
    fn a_lease_that_was_given_back_is_taken_cleanly_and_others_are_not() {
        let (election, now) = (election(), Instant::now());
        let decide = |found: Option<&Lease>| Candidate::default().decide(found, &election, now);
        assert_eq!(decide(Some(&lease("", "1"))), Move::Take { cleanly: true });
        assert_eq!(decide(None), Move::Take { cleanly: false }, "its holder may live");
        assert_eq!(decide(Some(&lease("b", "1"))), Move::Take { cleanly: false }, "it was lost, and nobody took it");
    }

    #[test]
    fn a_lease_that_was_deleted_is_left_to_its_holder_for_a_while() {
        let (election, start) = (election(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut candidate = Candidate::default();
        candidate.decide(Some(&lease("a", "1")), &election, at(0));
        assert_eq!(candidate.decide(None, &election, at(10)), Move::Wait(Duration::from_secs(15)));
        assert_eq!(candidate.decide(Some(&lease("a", "9")), &election, at(13)), Move::Wait(Duration::from_secs(15)));
        assert_eq!(candidate.decide(None, &election, at(20)), Move::Wait(Duration::from_secs(15)));
        assert_eq!(candidate.decide(None, &election, at(35)), Move::Take { cleanly: false });
    }

    #[test]
    fn a_lost_answer_does_not_change_how_it_was_taken() {
        let (election, now) = (election(), Instant::now());
        let mut candidate = Candidate::default();
        candidate.decide(Some(&lease("", "1")), &election, now);
        assert_eq!(candidate.decide(Some(&lease("b", "2")), &election, now), Move::Take { cleanly: true });
    }

    #[test]
    fn a_lease_changes_hands_or_is_renewed() {
        let election = election();
        let taken = election.taken(Some(&lease("a", "7")), "now");
        assert_eq!((taken.transitions, taken.acquired_at.as_str(), taken.holder.as_str()), (4, "now", "b"));
        assert_eq!(taken.resource_version.as_deref(), Some("7"));
        let renewed = election.taken(Some(&taken), "later");
        assert_eq!((renewed.transitions, renewed.acquired_at.as_str()), (4, "now"));
        assert_eq!(renewed.renewed_at, "later");
    }

    #[test]
    fn a_fence_shuts_by_itself() {
        assert!(Fence::none().is_open());
        let fence = Fence::shut();
        let same = fence.clone();
        assert!(!same.is_open());
        fence.open_until(Instant::now() + Duration::from_secs(3600));
        assert!(same.is_open());
        fence.open_until(Instant::now());
        assert!(!same.is_open());
    }
}
