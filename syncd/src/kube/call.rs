//! One request to the API server: sent, waited for, read, repeated where the server asks for it.
//!
//! Knows no kind. Every request ends: an attempt after [`Timeouts::attempt`], all of them after the repeats below. Only an answer 429 is
//! repeated, because only there the server says that it did nothing and when to come back; every other failure goes up, where it is
//! known what depends on it. Invariant: at most [`ATTEMPTS_MAX`] attempts and [`REPEAT_WAIT_MAX`] between two of them.

use std::sync::Arc;
use std::time::Duration;

use ::kube::Client;
use ::kube::client::Body;
use http::header::RETRY_AFTER;

use super::connect::OnTraffic;
use super::error::{self, Subject};
use super::window::{Answered, Window};
use crate::cluster::ClusterError;
use crate::election::Fence;

/// Attempts at one request, the first included.
const ATTEMPTS_MAX: u32 = 5;
/// Longest wait before an attempt is repeated, whatever the server asks for.
const REPEAT_WAIT_MAX: Duration = Duration::from_secs(10);
/// Wait before the first repeat where the server names none; it doubles.
const REPEAT_WAIT_FIRST: Duration = Duration::from_millis(250);

/// How long one attempt may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From sending to the last byte of the answer.
    pub attempt: Duration,
    /// Until a connection is there.
    pub connect: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts { attempt: Duration::from_secs(30), connect: Duration::from_secs(5) }
    }
}

/// A successful answer.
#[derive(Debug)]
pub(super) struct Reply {
    /// HTTP status.
    pub code: u16,
    /// `Warning` headers: what the server thinks of the request although it took it.
    pub warnings: Vec<String>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Sends requests.
#[derive(Clone)]
pub(super) struct Caller {
    client: Client,
    timeouts: Timeouts,
    fence: Fence,
    on_traffic: OnTraffic,
    /// Absent: it waits for nobody.
    window: Option<Arc<Window>>,
}

impl Caller {
    pub fn new(client: Client, timeouts: Timeouts, on_traffic: OnTraffic) -> Self {
        Caller { client, timeouts, fence: Fence::none(), on_traffic, window: Some(Arc::new(Window::new())) }
    }

    /// Returns one whose requests never wait for a place among the others: who leads must be able to say so whatever else there is to send.
    pub fn unhindered(&self) -> Self {
        Caller { window: None, ..self.clone() }
    }

    /// Returns one that changes something only while the fence is open.
    pub fn fenced(&self, fence: Fence) -> Self {
        Caller { fence, ..self.clone() }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns who is told of what is not a request of this one.
    pub fn on_traffic(&self) -> &OnTraffic {
        &self.on_traffic
    }

    /// Sends one request. `verb` is its name in metrics.
    ///
    /// # Errors
    /// Every answer that is not 2xx, and no answer, as [`error`] reads them.
    pub async fn call(
        &self,
        verb: &'static str,
        mut request: http::Request<Vec<u8>>,
        subject: &Subject<'_>,
    ) -> Result<Reply, ClusterError> {
        request.extensions_mut().insert(verb);
        let mut wait = REPEAT_WAIT_FIRST;
        for attempt in 1.. {
            let (reply, retry_after) = self.placed(request.clone(), subject).await?;
            if (200..300).contains(&reply.code) {
                return Ok(reply);
            }
            if reply.code != 429 || attempt == ATTEMPTS_MAX {
                return Err(error::from_reply(reply.code, &reply.body, subject));
            }
            tokio::time::sleep(retry_after.unwrap_or(wait).min(REPEAT_WAIT_MAX)).await;
            wait *= 2;
        }
        unreachable!("the last attempt returns")
    }

    /// Sends a request when there is a place for it.
    async fn placed(
        &self,
        request: http::Request<Vec<u8>>,
        subject: &Subject<'_>,
    ) -> Result<(Reply, Option<Duration>), ClusterError> {
        let Some(window) = &self.window else { return self.attempt(request, subject).await };
        let place = window.place().await;
        let answer = self.attempt(request, subject).await;
        let is_throttled = answer.as_ref().is_ok_and(|(reply, _)| reply.code == 429);
        place.answered(if is_throttled { Answered::Throttled } else { Answered::Well });
        answer
    }

    async fn attempt(
        &self,
        request: http::Request<Vec<u8>>,
        subject: &Subject<'_>,
    ) -> Result<(Reply, Option<Duration>), ClusterError> {
        // The last thing before it is sent: a process that was paused before this line sends nothing.
        if subject.writes && !self.fence.is_open() {
            return Err(error::from_fence());
        }
        let exchange = async {
            let response = self.client.send(request.map(Body::from)).await?;
            let code = response.status().as_u16();
            let text = |value: &http::HeaderValue| value.to_str().ok().map(str::to_owned);
            let warnings = response.headers().get_all(http::header::WARNING).iter().filter_map(text).collect();
            let retry_after = response.headers().get(RETRY_AFTER).and_then(text);
            let retry_after = retry_after.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
            let body = response.into_body().collect_bytes().await?.to_vec();
            Ok::<_, ::kube::Error>((Reply { code, warnings, body }, retry_after))
        };
        match tokio::time::timeout(self.timeouts.attempt, exchange).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(cause)) => Err(error::from_transport(&cause, subject)),
            Err(_) => Err(error::from_timeout(self.timeouts.attempt, subject)),
        }
    }
}
