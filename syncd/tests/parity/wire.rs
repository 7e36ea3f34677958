//! A connection to the API server that can be cut: bytes pass, or they do not.
//!
//! Knows neither TLS nor HTTP. Invariant: after a cut, nothing that was sent before it is delivered any more, in either direction.

use std::path::Path;

use tempfile::NamedTempFile;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A wire.
pub struct Wire {
    kubeconfig: NamedTempFile,
    whole: watch::Sender<bool>,
}

impl Wire {
    /// Lays a wire to the API server of a kubeconfig.
    pub async fn lay(kubeconfig: &Path) -> Self {
        let text = std::fs::read_to_string(kubeconfig).unwrap();
        let server = text.lines().find_map(|line| line.trim().strip_prefix("server: ")).unwrap();
        let server = server.trim_matches('"').split_once("://").unwrap().1.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let copy = NamedTempFile::new().unwrap();
        std::fs::write(copy.path(), text.replace(&server, &listener.local_addr().unwrap().to_string())).unwrap();
        let (whole, is_whole) = watch::channel(true);
        tokio::spawn(carry(listener, server, is_whole));
        Wire { kubeconfig: copy, whole }
    }

    /// Returns the kubeconfig of whoever is at the other end.
    pub fn kubeconfig(&self) -> &Path {
        self.kubeconfig.path()
    }

    /// Cuts it.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Mends it.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn carry(listener: TcpListener, server: String, whole: watch::Receiver<bool>) {
    while let Ok((mut here, _)) = listener.accept().await {
        let (mut whole, server) = (whole.clone(), server.clone());
        tokio::spawn(async move {
            let is_whole = *whole.borrow_and_update();
            if let (true, Ok(mut there)) = (is_whole, TcpStream::connect(&server).await) {
                tokio::select! {
                    _ = copy_bidirectional(&mut here, &mut there) => {}
                    _ = whole.wait_for(|whole| !whole) => {}
                }
            }
        });
    }
}
