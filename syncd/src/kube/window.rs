//! How many requests are under way at the same time: as many as the server takes without complaint.
//!
//! Grows by one each time that [`ROUNDS`] times as many answers as it holds came well, is halved when the server says 429, and loses a quarter
//! when answers take far longer than they did; at most once in [`REST`], as what is under way then does not know yet. Knows no request. Invariants: at least one is let through;
//! one whose sender is gone gives its place back.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// Most that is let through; what is set by `--concurrency` is kept by those who send.
const MOST: usize = 256;
/// Where it begins.
const FIRST: usize = 64;
/// Shortest time between two steps down.
const REST: Duration = Duration::from_millis(100);
/// Rounds of good answers before one more is let through.
const ROUNDS: usize = 8;
/// An answer is late when it took so much longer than the quick ones do,
const LATE_FACTOR: f64 = 8.0;
/// and at least this long.
const LATE: Duration = Duration::from_secs(1);

/// How an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    /// There was one, whatever it says.
    Well,
    /// The server wants less.
    Throttled,
}

/// The places.
#[derive(Debug)]
pub(super) struct Window {
    places: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Places that there should be.
    wanted: usize,
    /// Places that there are, taken ones included.
    there: usize,
    /// Good answers since the last step.
    good: usize,
    /// Seconds that quick answers take; 0: not known yet.
    quick: f64,
    shrunk: Option<Instant>,
}

/// A place that is taken; whoever drops it without an answer gives it back.
pub(super) struct Place<'a> {
    window: &'a Window,
    permit: SemaphorePermit<'a>,
    taken: Instant,
}

impl Window {
    pub fn new() -> Self {
        let state = State { wanted: FIRST, there: FIRST, good: 0, quick: 0.0, shrunk: None };
        Window { places: Semaphore::new(FIRST), state: Mutex::new(state) }
    }

    /// Waits for a place.
    pub async fn place(&self) -> Place<'_> {
        let permit = self.places.acquire().await.expect("it is never closed");
        Place { window: self, permit, taken: Instant::now() }
    }

    #[cfg(test)]
    fn wanted(&self) -> usize {
        self.state.lock().expect("not poisoned").wanted
    }
}

impl Place<'_> {
    /// Gives the place back, and learns from how the answer came.
    pub fn answered(self, how: Answered) {
        let took = self.taken.elapsed().as_secs_f64();
        let mut state = self.window.state.lock().unwrap_or_else(PoisonError::into_inner);
        let busy = state.there - self.window.places.available_permits().min(state.there);
        let before = state.wanted;
        state.learn(how, took, busy);
        if state.wanted < before {
            tracing::info!(places = state.wanted, "the API server is asked for less at the same time");
        }
        // Too many there: this one is not given back. Too few: some are added.
        if state.there > state.wanted {
            state.there -= 1;
            self.permit.forget();
        } else {
            let more = state.wanted - state.there;
            state.there = state.wanted;
            self.window.places.add_permits(more);
            drop(self.permit);
        }
    }
}

impl State {
    fn learn(&mut self, how: Answered, took: f64, busy: usize) {
        let is_late = self.quick > 0.0 && took > LATE.as_secs_f64() && took > self.quick * LATE_FACTOR;
        // Down at once, up by a thousandth: it takes many slow answers to make slowness the rule.
        self.quick = if self.quick == 0.0 || took < self.quick {
            took.max(1e-6)
        } else {
            self.quick + (took - self.quick) / 1000.0
        };
        let left = match how {
            Answered::Throttled => Some(busy / 2),
            // Who is slow with few to answer would be so with fewer.
            Answered::Well if is_late && 2 * busy >= self.wanted => Some(busy * 3 / 4),
            Answered::Well => None,
        };
        let Some(left) = left else {
            self.good += 1;
            // More is asked for only where there is more to ask.
            if self.good >= ROUNDS * self.wanted && busy >= self.wanted && self.wanted < MOST {
                self.wanted += 1;
                self.good = 0;
            }
            return;
        };
        if self.shrunk.is_none_or(|at| at.elapsed() >= REST) {
            self.wanted = left.clamp(1, self.wanted);
            self.good = 0;
            self.shrunk = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::StreamExt;
    use futures::future::join_all;
    use futures::stream;
    use tokio::time::sleep;

    use super::*;

    /// A server that takes `most` at the same time, 10 ms each, and refuses the others at once.
    struct Server {
        most: usize,
        busy: AtomicUsize,
        refused: AtomicUsize,
    }

    async fn ask(server: &Server, window: &Window) {
        loop {
            let place = window.place().await;
            if server.busy.fetch_add(1, Ordering::Relaxed) >= server.most {
                server.busy.fetch_sub(1, Ordering::Relaxed);
                server.refused.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(1)).await;
                place.answered(Answered::Throttled);
                sleep(Duration::from_millis(100)).await;
                continue;
            }
            sleep(Duration::from_millis(10)).await;
            server.busy.fetch_sub(1, Ordering::Relaxed);
            place.answered(Answered::Well);
            return;
        }
    }

    async fn asked(server: &Server, window: &Window, times: usize) {
        // As many send as a `syncd` lets send.
        stream::iter((0..times).map(|_| ask(server, window))).buffer_unordered(64).collect::<()>().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_throttles_is_soon_asked_for_what_it_takes() {
        let server = Server { most: 8, busy: AtomicUsize::new(0), refused: AtomicUsize::new(0) };
        let window = Window::new();
        asked(&server, &window, 4000).await;
        let first = server.refused.swap(0, Ordering::Relaxed);
        asked(&server, &window, 4000).await;
        let then = server.refused.load(Ordering::Relaxed);
        assert!(first > 0 && then < 200, "{first} and {then} of 4,000 were refused");
        assert!(window.wanted() <= 2 * server.most, "{}", window.wanted());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_takes_everything_is_asked_for_more() {
        let server = Server { most: usize::MAX, busy: AtomicUsize::new(0), refused: AtomicUsize::new(0) };
        let window = Window::new();
        let all = (0..20_000).map(|_| ask(&server, &window));
        stream::iter(all).buffer_unordered(1000).collect::<()>().await;
        assert!(window.wanted() > FIRST && window.wanted() <= MOST, "{}", window.wanted());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_grows_slow_is_asked_for_less_and_one_answer_at_least_goes_through() {
        let window = Window::new();
        let slow = async |time: Duration| {
            let place = window.place().await;
            sleep(time).await;
            place.answered(Answered::Well);
        };
        join_all((0..64).map(|_| slow(Duration::from_millis(10)))).await;
        assert_eq!(window.wanted(), FIRST, "nothing was waited for");
        for _ in 0..40 {
            join_all((0..64).map(|_| slow(Duration::from_secs(5)))).await;
        }
        assert!((1..FIRST).contains(&window.wanted()), "{}", window.wanted());
        for _ in 0..100 {
            let place = window.place().await;
            place.answered(Answered::Throttled);
            sleep(REST).await;
        }
        assert_eq!(window.wanted(), 1);
        slow(Duration::from_millis(10)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_while_little_is_asked_changes_nothing() {
        let window = Window::new();
        for time in [10, 10, 5_000, 10, 60_000] {
            let place = window.place().await;
            sleep(Duration::from_millis(time)).await;
            place.answered(Answered::Well);
        }
        assert_eq!(window.wanted(), FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gives_up_gives_the_place_back() {
        let window = Window::new();
        for _ in 0..10 * FIRST {
            drop(window.place().await);
        }
        assert_eq!(window.places.available_permits(), FIRST);
    }
}
