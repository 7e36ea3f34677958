//! Connections that others begin: to the pages, and to the webhook.
//!
//! Knows nothing of what is said on them. Invariant: who is gone without a word is found out, or each of them would keep a descriptor for as
//! long as the process lives.

use std::time::Duration;

use axum::serve::{Listener, ListenerExt};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpListener;

/// Nothing was said for so long: the other side is asked whether it is there.
const SILENCE: Duration = Duration::from_secs(60);
/// Pause between two such questions; the system asks some times.
const QUESTIONS: Duration = Duration::from_secs(15);

/// Returns a listener whose connections end when the other side is not there any more.
pub fn lasting(listener: TcpListener) -> impl Listener<Addr = std::net::SocketAddr, Io = tokio::net::TcpStream> {
    listener.tap_io(|stream| {
        let asked = TcpKeepalive::new().with_time(SILENCE).with_interval(QUESTIONS);
        if let Err(error) = SockRef::from(&*stream).set_tcp_keepalive(&asked) {
            tracing::debug!(%error, "a connection is not asked whether it lasts");
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_connects_is_asked_whether_they_are_still_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut lasting = lasting(listener);
        let (ours, theirs) = tokio::join!(lasting.accept(), tokio::net::TcpStream::connect(address));
        assert!(SockRef::from(&ours.0).keepalive().expect("asked"));
        assert!(!SockRef::from(&theirs.expect("connected")).keepalive().expect("asked"));
    }
}
