//! The loop in virtual time: scripted cycles, no repository, no cluster, no waiting.

#![expect(clippy::unwrap_used, reason = "a test that fails may panic")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use syncd::cycle::{Clock, Request};
use syncd::daemon::{self, Listener, Pace, Tip, Work, failed_report};
use syncd::report::{CycleError, CycleResult, Report, Stage};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use ulid::Ulid;

struct Epoch;

impl Clock for Epoch {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }
}

/// What a cycle does.
enum Act {
    /// Ends with these errors.
    End(&'static [Stage]),
    Panic,
    /// Runs until it is superseded.
    Wait,
    /// Never ends, whatever is asked of it.
    Hang,
    /// Takes this long, whatever is asked of it.
    Take(Duration),
}

/// Cycles by a script; after its end, the stop is asked for.
struct Script {
    acts: VecDeque<Act>,
    stop: watch::Sender<bool>,
    begun: Arc<Mutex<Vec<Instant>>>,
}

fn report(request: &Request, stages: &[Stage], message: &str) -> Report {
    let error = |stage: &Stage| CycleError { stage: *stage, message: message.to_owned() };
    let result = if stages.is_empty() { CycleResult::Unchanged } else { CycleResult::Failed };
    let blank = failed_report(request, "staging", &Epoch, error(&Stage::Plan));
    Report { errors: stages.iter().map(error).collect(), result, ..blank }
}

impl Work for Script {
    async fn cycle(&mut self, request: Request, mut superseded: watch::Receiver<bool>) -> Report {
        self.begun.lock().unwrap().push(Instant::now());
        assert!(!*superseded.borrow(), "each cycle begins with nothing newer");
        let act = self.acts.pop_front();
        if self.acts.is_empty() && matches!(act, None | Some(Act::End(_) | Act::Panic)) {
            self.stop.send_replace(true);
        }
        match act.unwrap_or(Act::End(&[])) {
            Act::End(stages) => report(&request, stages, "scripted"),
            Act::Panic => panic!("scripted"),
            Act::Wait => {
                superseded.wait_for(|superseded| *superseded).await.unwrap();
                Report { result: CycleResult::Superseded, ..report(&request, &[], "") }
            }
            Act::Hang => std::future::pending().await,
            Act::Take(time) => {
                tokio::time::sleep(time).await;
                report(&request, &[], "")
            }
        }
    }

    fn failed(&mut self, request: &Request, message: String) -> Report {
        report(request, &[Stage::Plan], &message)
    }
}

/// A tip that moves when it is told to.
#[derive(Default)]
struct Moving {
    moved: AtomicBool,
    asked: Mutex<Vec<Instant>>,
    poll_now: Notify,
    drift: Notify,
}

impl Tip for Moving {
    async fn has_moved(&self) -> bool {
        self.asked.lock().unwrap().push(Instant::now());
        self.moved.load(Ordering::SeqCst)
    }

    async fn asked(&self) {
        self.poll_now.notified().await;
    }

    async fn drifted(&self) {
        self.drift.notified().await;
    }
}

#[derive(Default)]
struct Heard {
    reports: Mutex<Vec<Report>>,
    beats: Mutex<usize>,
    event: Mutex<Option<Instant>>,
}

impl Listener for Heard {
    fn beat(&self) {
        *self.beats.lock().unwrap() += 1;
    }

    fn last_event(&self) -> Option<Instant> {
        *self.event.lock().unwrap()
    }

    fn report(&self, report: &Report) {
        self.reports.lock().unwrap().push(report.clone());
    }
}

struct Played {
    reports: Vec<Report>,
    /// Seconds from the start to the begin of each cycle.
    begun: Vec<u64>,
    /// Seconds from the start to the end of the loop.
    ended: u64,
    asked: usize,
}

/// Half of what a random part can be: no jitter.
fn even() -> Ulid {
    Ulid::from_parts(0, 1 << (Ulid::RAND_BITS - 1))
}

async fn play(acts: Vec<Act>, tip: &Moving, stop_after: Option<Duration>) -> Played {
    let (stop, stopped) = watch::channel(false);
    let begun: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let mut script = Script { acts: acts.into(), stop: stop.clone(), begun: Arc::clone(&begun) };
    let heard = Heard::default();
    let pace = Pace::default();
    let start = Instant::now();
    let asked_for = async {
        match stop_after {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
        stop.send_replace(true);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = daemon::run(&mut script, tip, &pace, &heard, even, stopped) => {}
        () = asked_for => {}
    }
    let seconds = |instant: &Instant| instant.duration_since(start).as_secs();
    let begun = begun.lock().unwrap().iter().map(seconds).collect();
    let reports = heard.reports.into_inner().unwrap();
    assert!(*heard.beats.lock().unwrap() >= 2 * reports.len(), "each cycle is a sign of life");
    Played { reports, begun, ended: start.elapsed().as_secs(), asked: tip.asked.lock().unwrap().len() }
}

#[tokio::test(start_paused = true)]
async fn polls_come_at_an_even_pace() {
    let played = play((0..4).map(|_| Act::End(&[])).collect(), &Moving::default(), None).await;
    assert_eq!(played.begun, [0, 15, 30, 45]);
    assert_eq!(played.ended, 45, "the stop is not waited for");
    assert_eq!(played.asked, 0, "a short cycle asks for nothing more");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_asked_for_less_and_less_often() {
    let failing = || Act::End(&[Stage::Source]);
    let mut acts: Vec<Act> = (0..8).map(|_| failing()).collect();
    acts.extend([Act::End(&[]), Act::End(&[])]);
    let played = play(acts, &Moving::default(), None).await;
    let pauses: Vec<u64> = played.begun.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses, [30, 60, 120, 240, 300, 300, 300, 300, 15], "and at the even pace again once it can");
}

#[tokio::test(start_paused = true)]
async fn the_mending_of_a_refused_index_is_not_noticed_late() {
    let refused = || Act::End(&[Stage::Index]);
    let played = play(vec![refused(), refused(), refused(), Act::End(&[])], &Moving::default(), None).await;
    assert_eq!(played.begun, [0, 15, 30, 45]);
}

/// Asks for a poll at these seconds.
async fn nudge(tip: &Moving, seconds: &[u64]) {
    let start = Instant::now();
    for second in seconds {
        tokio::time::sleep_until(start + Duration::from_secs(*second)).await;
        tip.poll_now.notify_one();
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_a_poll_gets_one_at_once_but_no_more_than_one_a_second() {
    let tip = Moving::default();
    let acts = (0..4).map(|_| Act::End(&[])).collect();
    let (played, ()) = tokio::join!(play(acts, &tip, None), nudge(&tip, &[5, 5, 5, 12]));
    assert_eq!(played.begun, [0, 5, 6, 12], "what is asked for while a poll runs is a poll after it");

    let tip = Moving::default();
    let failing = || Act::End(&[Stage::Source]);
    let (played, ()) = tokio::join!(play(vec![failing(), failing(), Act::End(&[])], &tip, None), nudge(&tip, &[7]));
    assert_eq!(played.begun, [0, 7, 67], "also where polls have become rare, which they stay");

    let tip = Moving::default();
    tip.moved.store(true, Ordering::SeqCst);
    let (played, ()) = tokio::join!(play(vec![Act::Wait, Act::End(&[])], &tip, None), nudge(&tip, &[3]));
    assert_eq!(played.reports[0].result, CycleResult::Superseded, "and while a cycle waits");
    assert_eq!(played.asked, 1);
}

#[tokio::test(start_paused = true)]
async fn repairs_come_at_once_and_polls_keep_their_pace() {
    let drift = async |tip: &Moving, seconds: &[u64]| {
        let start = Instant::now();
        for second in seconds {
            tokio::time::sleep_until(start + Duration::from_secs(*second)).await;
            tip.drift.notify_one();
        }
    };
    let tip = Moving::default();
    let acts = (0..5).map(|_| Act::End(&[])).collect();
    let (played, ()) = tokio::join!(play(acts, &tip, None), drift(&tip, &[4, 9]));
    assert_eq!(played.begun, [0, 4, 9, 15, 30]);

    let tip = Moving::default();
    let (played, ()) = tokio::join!(play(vec![Act::Wait, Act::End(&[]), Act::End(&[])], &tip, None), drift(&tip, &[3]));
    assert_eq!(played.reports[0].result, CycleResult::Superseded, "a cycle that waits is interrupted");
    assert_eq!(played.begun, [0, 3, 15], "and the poll is due when it was");
    assert_eq!(played.asked, 0, "nobody asks the repository for that");
}

#[test]
fn pauses_differ_by_a_fifth_at_most() {
    let pace = Pace::default();
    assert_eq!(pace.pause(0, 0.0), Duration::from_secs(12));
    assert_eq!(pace.pause(0, 1.0), Duration::from_secs(18));
    assert_eq!(pace.pause(u32::MAX, 0.5), Duration::from_secs(300));
    let slow = Pace { poll: Duration::from_secs(900), ..Pace::default() };
    assert_eq!(slow.pause(3, 0.5), Duration::from_secs(900), "a failure never makes it faster");
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failed_cycle() {
    let played = play(vec![Act::Panic, Act::Panic, Act::End(&[])], &Moving::default(), None).await;
    assert_eq!(played.begun, [0, 30, 90]);
    assert_eq!(played.reports.len(), 3);
    assert_eq!(played.reports[0].errors[0].message, "the cycle panicked: a fault of syncd");
    assert_eq!(played.reports[2].errors, []);
}

#[tokio::test(start_paused = true)]
async fn a_newer_revision_ends_the_waits_of_a_cycle() {
    let tip = Moving::default();
    tip.moved.store(true, Ordering::SeqCst);
    let played = play(vec![Act::Wait, Act::End(&[])], &tip, None).await;
    assert_eq!(played.reports[0].result, CycleResult::Superseded);
    assert_eq!(played.begun, [0, 15], "asked after 15 s, and followed at once");
    assert_eq!(played.asked, 1);
}

#[tokio::test(start_paused = true)]
async fn a_long_cycle_is_not_disturbed_by_a_tip_that_stays() {
    let played = play(vec![Act::Take(Duration::from_secs(100)), Act::End(&[])], &Moving::default(), None).await;
    assert_eq!(played.begun, [0, 105], "the last question was after 90 s");
    assert_eq!(played.asked, 6);
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_heard_in_a_pause_and_in_a_cycle() {
    let stop = Some(Duration::from_secs(20));
    let idle = play(vec![Act::End(&[]), Act::End(&[]), Act::End(&[])], &Moving::default(), stop).await;
    assert_eq!((idle.begun, idle.ended), (vec![0, 15], 20));
    let waiting = play(vec![Act::Wait, Act::Wait], &Moving::default(), stop).await;
    assert_eq!((waiting.begun, waiting.ended), (vec![0], 20));
    assert_eq!(waiting.reports[0].result, CycleResult::Superseded);
}

#[tokio::test(start_paused = true)]
async fn a_cycle_that_does_not_stop_is_left_behind() {
    let stop = Some(Duration::from_secs(20));
    let slow = play(vec![Act::Take(Duration::from_secs(40)), Act::Wait], &Moving::default(), stop).await;
    assert_eq!(slow.ended, 40, "a running request may finish");
    assert_eq!(slow.reports[0].errors, []);
    let stuck = play(vec![Act::Hang, Act::Wait], &Moving::default(), stop).await;
    assert_eq!(stuck.ended, 45);
    assert_eq!(stuck.reports[0].errors[0].message, "the cycle was given up: it did not stop within 25 s");
}

#[tokio::test(start_paused = true)]
async fn a_cycle_in_which_nothing_happens_is_given_up() {
    let played = play(vec![Act::Hang, Act::End(&[])], &Moving::default(), None).await;
    assert_eq!(played.begun, [0, 3600 + 30]);
    assert_eq!(played.reports[0].errors[0].message, "the cycle was given up: nothing happened for 3600 s");
    let tip = Moving::default();
    tip.moved.store(true, Ordering::SeqCst);
    let played = play(vec![Act::Hang, Act::End(&[])], &tip, None).await;
    assert_eq!(played.reports.len(), 2, "also when it was superseded and did not listen");
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_nobody_can_stop_stops() {
    let (stop, stopped) = watch::channel(false);
    let (other, _) = watch::channel(false);
    let begun = Arc::default();
    let mut script = Script { acts: VecDeque::from([Act::Wait, Act::Wait]), stop: other, begun };
    drop(stop);
    daemon::run(&mut script, &Moving::default(), &Pace::default(), &Heard::default(), even, stopped).await;
}
