//! A `syncd` among several: stands for leader, leads, and stops.
//!
//! Sends the requests for the Lease and runs the daemon's loop only while it is held; what they mean is decided in [`crate::election`]. Knows
//! nothing of a cycle but that it can be dropped at any time. Invariants: the fence is open only while the loop runs; a Lease is given back
//! only after the loop has ended, and only when no request of it can land any more that writes the state.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use ulid::Ulid;

use crate::cluster::{Cluster, ClusterError, ErrorClass, Lease, Leases};
use crate::cycle::{Clock, Takeover};
use crate::daemon::{self, Listener, Pace, Reconciler};
use crate::election::{Candidate, Election, Fence, Move};
use crate::repo::Repo;

/// How this process stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leadership {
    /// Another one leads, or it is not known yet who does.
    Standby {
        /// Who holds the Lease, as far as is known.
        holder: Option<String>,
        /// Why the Lease could not be asked for or taken.
        error: Option<String>,
    },
    /// It leads.
    Leads {
        /// How it came to that.
        takeover: Takeover,
    },
    /// It led, and stopped at once.
    Lost {
        /// Why.
        reason: String,
    },
}

/// What surrounds a `syncd` among several.
pub struct Surroundings<'a> {
    /// The election.
    pub election: &'a Election,
    /// What the cluster's requests pass.
    pub fence: &'a Fence,
    /// How fast to go.
    pub pace: &'a Pace,
    /// The time of day, for people.
    pub clock: &'a dyn Clock,
    /// Who hears of the loop.
    pub listener: &'a dyn Listener,
    /// Who hears how this process stands.
    pub tell: &'a (dyn Fn(&Leadership) + Send + Sync),
}

/// Runs the daemon's loop whenever this process leads, until `stop` becomes true (or its sender is gone).
pub async fn lead<R: Repo, C: Cluster + Leases>(
    reconciler: &mut Reconciler<R, C>,
    around: &Surroundings<'_>,
    mut next_id: impl FnMut() -> Ulid,
    mut stop: watch::Receiver<bool>,
) {
    let (cluster, tip) = (reconciler.cluster(), reconciler.tip());
    let office = Office { cluster: &*cluster, around };
    while let Some(mut term) = office.stand(&mut stop).await {
        reconciler.begin(term.takeover);
        (around.tell)(&Leadership::Leads { takeover: term.takeover });
        let lost = {
            let watches = reconciler.watches();
            let work = daemon::run(reconciler, &*tip, around.pace, around.listener, &mut next_id, stop.clone());
            tokio::select! {
                biased;
                reason = office.keep(&mut term) => Some(reason),
                () = work => None,
                never = watches => match never {},
            }
        };
        around.fence.close();
        let Some(reason) = lost else {
            // Otherwise whoever follows waits until the Lease is over, and then writes every record again, which ends what is under way.
            if reconciler.leaves_the_state_at_rest() {
                office.give_back(&term).await;
            }
            return;
        };
        (around.tell)(&Leadership::Lost { reason });
    }
}

/// Returns who leads, if somebody does: waits until the Lease is seen to be renewed, or to be free.
///
/// # Errors
/// Those of reading the Lease.
pub async fn rival<C: Leases>(cluster: &C, election: &Election) -> Result<Option<String>, ClusterError> {
    let mut candidate = Candidate::default();
    loop {
        let found = cluster.read_lease(&election.lease).await?;
        let next = candidate.decide(found.as_ref(), election, Instant::now());
        if let Some(alive) = candidate.alive() {
            return Ok(Some(alive.to_owned()));
        }
        let Move::Wait(wait) = next else { return Ok(None) };
        sleep(wait.min(election.pause())).await;
    }
}

/// A time as leader.
struct Term {
    lease: Lease,
    takeover: Takeover,
    /// Until when it lasts without a renewal.
    end: Instant,
}

struct Office<'a, C> {
    cluster: &'a C,
    around: &'a Surroundings<'a>,
}

impl<C: Leases> Office<'_, C> {
    fn now(&self) -> String {
        // As Kubernetes' MicroTime wants it.
        format!("{:.6}", self.around.clock.now())
    }

    /// Stands until this process leads. Nothing: the stop was asked for.
    async fn stand(&self, stop: &mut watch::Receiver<bool>) -> Option<Term> {
        let mut candidate = Candidate::default();
        let mut told = None;
        loop {
            self.around.listener.beat();
            let tried = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return None,
                tried = self.attempt(&mut candidate) => tried,
            };
            let (wait, error) = match tried {
                Attempt::Leads(term) => {
                    self.around.fence.open_until(term.end);
                    return Some(term);
                }
                Attempt::Waits(wait) => (wait, None),
                Attempt::Failed(error) => (self.around.election.pause(), Some(error)),
            };
            let standby = Leadership::Standby { holder: candidate.holder().map(str::to_owned), error };
            if told.as_ref() != Some(&standby) {
                (self.around.tell)(&standby);
                told = Some(standby);
            }
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return None,
                () = sleep(wait.min(self.around.election.pause())) => {}
            }
        }
    }

    /// Looks at the Lease once and takes it if it is free.
    async fn attempt(&self, candidate: &mut Candidate) -> Attempt {
        let election = self.around.election;
        let found = match self.in_time(self.cluster.read_lease(&election.lease)).await {
            Ok(found) => found,
            Err(error) => return Attempt::Failed(error.message),
        };
        let cleanly = match candidate.decide(found.as_ref(), election, Instant::now()) {
            Move::Take { cleanly } => cleanly,
            Move::Wait(wait) => return Attempt::Waits(wait),
        };
        let mut lease = election.taken(found.as_ref(), &self.now());
        let sent = Instant::now();
        match self.in_time(self.cluster.write_lease(lease.clone())).await {
            Ok(version) => {
                lease.resource_version = Some(version);
                let takeover = if cleanly { Takeover::Clean } else { Takeover::Forced };
                Attempt::Leads(Term { lease, takeover, end: sent + election.tenure() })
            }
            // Another one was faster; or it is ours, and the answer was lost: the next look tells.
            Err(error) if error.class == ErrorClass::Conflict => Attempt::Waits(election.pause()),
            Err(error) => Attempt::Failed(error.message),
        }
    }

    /// Renews the Lease for as long as that goes well. Returns why it does not any more.
    async fn keep(&self, term: &mut Term) -> String {
        let election = self.around.election;
        let mut due = Instant::now() + election.pause();
        loop {
            sleep_until(due.min(term.end)).await;
            let sent = Instant::now();
            if sent >= term.end {
                return "the Lease could not be renewed in time".to_owned();
            }
            due = sent + election.pause();
            let lease = election.taken(Some(&term.lease), &self.now());
            let reply = timeout_at(term.end, self.in_time(self.cluster.write_lease(lease.clone()))).await;
            match reply {
                Ok(Ok(version)) => {
                    term.lease = Lease { resource_version: Some(version), ..lease };
                    term.end = sent + election.tenure();
                    self.around.fence.open_until(term.end);
                }
                Ok(Err(error)) if matches!(error.class, ErrorClass::Conflict | ErrorClass::Gone) => {
                    match self.look_again(term).await {
                        Ok(()) => due = Instant::now(),
                        Err(Some(reason)) => return reason,
                        Err(None) => {}
                    }
                }
                Ok(Err(_)) | Err(_) => {}
            }
        }
    }

    /// Finds out who wrote the Lease: it was this process itself if an answer was lost. `Err(None)`: it could not be read.
    async fn look_again(&self, term: &mut Term) -> Result<(), Option<String>> {
        let election = self.around.election;
        let reply = timeout_at(term.end, self.in_time(self.cluster.read_lease(&election.lease))).await;
        match reply {
            Ok(Ok(Some(lease))) if lease.holder == election.identity => {
                term.lease = lease;
                Ok(())
            }
            Ok(Ok(Some(lease))) if lease.holder.is_empty() => Err(Some("somebody took the Lease away".to_owned())),
            Ok(Ok(Some(lease))) => Err(Some(format!("`{}` took the Lease", lease.holder))),
            Ok(Ok(None)) => Err(Some("somebody deleted the Lease".to_owned())),
            Ok(Err(_)) | Err(_) => Err(None),
        }
    }

    /// Tells the others that this process has stopped. If that does not arrive, they wait until the Lease is over.
    async fn give_back(&self, term: &Term) {
        let lease = Lease { holder: String::new(), renewed_at: self.now(), ..term.lease.clone() };
        let _ = self.in_time(self.cluster.write_lease(lease)).await;
    }

    /// Gives a request up after a while that leaves time for another one.
    async fn in_time<T>(&self, request: impl Future<Output = Result<T, ClusterError>>) -> Result<T, ClusterError> {
        let limit: Duration = self.around.election.pause();
        match timeout(limit, request).await {
            Ok(reply) => reply,
            Err(_) => {
                let message = format!("the API server did not answer within {:.1} s", limit.as_secs_f64());
                Err(ClusterError { class: ErrorClass::Ambiguous, code: 0, message })
            }
        }
    }
}

/// What came of a look at the Lease.
enum Attempt {
    Leads(Term),
    Waits(Duration),
    Failed(String),
}
