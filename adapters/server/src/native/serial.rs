//! The native wire over a serial line. A line cannot be closed, and whoever is at its other end may
//! start anew at any time: each `Open` begins a connection, and ends the one before it.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use handfast_core::limits::CLEAR_BYTES;
use handfast_core::wire::close::Close;
use handfast_core::wire::native::open::{NotOpened, Open};
use serial2_tokio::SerialPort;
use tokio::time::{sleep, timeout};

use super::carrier::{Carrier, Gone, Received};
use super::session::{Place, Session};
use super::stream::Framed;
use crate::gateway::Gateway;
use crate::pump::{CLOSE_WITHIN, shut_down};

/// What stands for an address where there is none.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// When a line that is not there is looked for again, first and at most.
const AGAIN: Duration = Duration::from_millis(250);
const AGAIN_AT_MOST: Duration = Duration::from_secs(10);

/// Serves the native wire on a serial port, or on a pseudo-terminal, until `until` ends; then it
/// shuts the gateway down. The port is opened again whenever it goes away. At its other end is one
/// node at a time, whose address counts as 0.0.0.0.
pub async fn serve_serial(
    gateway: Gateway,
    path: impl Into<PathBuf>,
    baud: u32,
    until: impl Future<Output = ()>,
) {
    let path = path.into();
    let work = async {
        let (mut wait, mut complained) = (AGAIN, false);
        while !*gateway.inner.shutdown.borrow() {
            match SerialPort::open(&path, baud) {
                Ok(port) => {
                    tracing::info!(path = %path.display(), baud, "the serial line is open");
                    let mut line = Line { framed: Framed::new(port), open: None, heard: false };
                    line.serve(&gateway).await;
                    if line.heard {
                        (wait, complained) = (AGAIN, false);
                    }
                }
                Err(error) if !complained => {
                    complained = true;
                    tracing::warn!(path = %path.display(), %error, "the serial line cannot be opened; it is tried again and again");
                }
                Err(error) => {
                    tracing::debug!(path = %path.display(), %error, "the serial line cannot be opened")
                }
            }
            tokio::select! {
                () = sleep(wait) => {}
                () = shut_down(&gateway.inner) => {}
            }
            wait = wait.saturating_mul(2).min(AGAIN_AT_MOST);
        }
    };
    tokio::pin!(work);
    tokio::select! {
        () = &mut work => {}
        () = until => {
            gateway.shut_down();
            let _ = timeout(CLOSE_WITHIN, work).await;
        }
    }
}

/// A line that is open.
struct Line {
    framed: Framed<SerialPort>,
    /// An `Open` that is still to be answered.
    open: Option<Vec<u8>>,
    /// Whether anything sensible ever came.
    heard: bool,
}

impl Line {
    /// One connection after the other, until the line goes away or the gateway shuts down.
    async fn serve(&mut self, gateway: &Gateway) {
        loop {
            let open = tokio::select! {
                open = self.next_open() => open,
                () = shut_down(&gateway.inner) => return,
            };
            if open.is_none() {
                return;
            }
            self.open = open;
            let since = gateway.inner.clock.now();
            // Whoever is at the line keeps nobody out, and needs no seat.
            Box::new(Session::new(
                gateway.clone(),
                OneNode { line: self },
                NOWHERE,
                since,
                Place::Free,
            ))
            .run()
            .await;
        }
    }

    /// Skips noise, and what is left of a connection that has ended. `None` if the line is gone.
    async fn next_open(&mut self) -> Option<Vec<u8>> {
        if let Some(open) = self.open.take() {
            return Some(open);
        }
        loop {
            let frame = self.framed.frame().await.ok()??;
            if let Some(open) = frame.ok().filter(|frame| is_open(frame)) {
                self.heard = true;
                return Some(open);
            }
        }
    }
}

/// Whether a frame begins a connection: no sealed message and none of a handshake is as short.
/// Another version is answered, too.
fn is_open(frame: &[u8]) -> bool {
    frame.len() <= CLEAR_BYTES && !matches!(Open::parse(frame), Err(NotOpened::Malformed(_)))
}

/// The line for as long as one connection lasts. The first frame is the `Open` that began it.
struct OneNode<'l> {
    line: &'l mut Line,
}

impl Carrier for OneNode<'_> {
    async fn recv(&mut self) -> Received {
        if let Some(open) = self.line.open.take() {
            return Received::Frame(open);
        }
        match self.line.framed.frame().await {
            Ok(Some(Ok(frame))) if is_open(&frame) => {
                // The node started anew. No connection goes on after such a frame, for it opens
                // under no key.
                self.line.open = Some(frame);
                Received::Gone
            }
            Ok(Some(Ok(frame))) => Received::Frame(frame),
            Ok(Some(Err(_))) => Received::Broken(Close::PROTOCOL_VIOLATION),
            Ok(None) | Err(_) => Received::Gone,
        }
    }

    async fn send(&mut self, frame: Vec<u8>) -> Result<(), Gone> {
        self.line.framed.send_frame(&frame).await
    }

    /// There is nothing to close.
    async fn close(&mut self, _: Option<Close>, _: bool) {}
}
