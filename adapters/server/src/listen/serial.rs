//! The native wire over a serial line. A line cannot be closed, and the node at its other end may
//! restart at any time: each `Open` begins a connection and ends the one before it.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use handfast_core::limits::CLEAR_BYTES;
use handfast_core::wire::close::Close;
use handfast_core::wire::native::open::{NotOpened, Open};
use serial2_tokio::SerialPort;
use tokio::time::{sleep, timeout};
use tracing::Instrument;

use crate::connection::framed::FramedTransport;
use crate::connection::slot_state::SlotState;
use crate::connection::transport::CLOSE_WITHIN;
use crate::connection::transport::{FrameTransport, Gone, PeerEvent};
use crate::flows::native::flow;
use crate::gateway::Gateway;
use crate::gateway::common::shut_down;
use crate::telemetry::spans;

/// Address of a peer that has none.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// Delay before a missing line is opened again; doubles up to [`AGAIN_AT_MOST`].
const AGAIN: Duration = Duration::from_millis(250);
const AGAIN_AT_MOST: Duration = Duration::from_secs(10);

/// Serves the native wire on a serial port or pseudo-terminal until `until` completes; then it
/// shuts the gateway down. The port is opened again whenever it disappears. One node at a time is
/// at its other end, with 0.0.0.0 as its address.
///
/// Available with the feature `serial`.
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
                    let mut line =
                        OpenLine { framed: FramedTransport::new(port), open: None, heard: false };
                    line.serve(&gateway).await;
                    // A port that opens but carries only noise keeps its growing delay.
                    if line.heard {
                        (wait, complained) = (AGAIN, false);
                    }
                }
                Err(error) if !complained => {
                    complained = true;
                    tracing::warn!(path = %path.display(), %error, "the serial line cannot be opened; it is tried again and again");
                }
                Err(error) => {
                    tracing::debug!(path = %path.display(), %error, "the serial line cannot be opened");
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
            // A peer that does not read must not hold up the end.
            let _ = timeout(CLOSE_WITHIN, work).await;
        }
    }
}

/// An open line.
struct OpenLine {
    framed: FramedTransport<SerialPort>,
    /// An `Open` that has yet to be answered.
    open: Option<Vec<u8>>,
    /// `true` once a valid `Open` has arrived.
    heard: bool,
}

impl OpenLine {
    /// Serves one connection after the other, until the line disappears or the gateway shuts down.
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
            // A line serves one node at a time anyway, so its connection needs no slot.
            let driver = flow::driver(
                gateway.clone(),
                OneNode { line: self },
                NOWHERE,
                since,
                SlotState::Free,
            );
            let serving = async {
                spans::flow("native");
                driver.run().await;
            };
            serving.instrument(spans::connection(NOWHERE)).await;
        }
    }

    /// Returns the next `Open`. Noise and the rest of an ended connection are skipped. `None` if
    /// the line has disappeared.
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

/// Returns `true` if a frame begins a connection: no sealed message and no other message of a
/// handshake is as short. An `Open` of another version counts, since it is answered, too.
fn is_open(frame: &[u8]) -> bool {
    frame.len() <= CLEAR_BYTES && !matches!(Open::parse(frame), Err(NotOpened::Malformed(_)))
}

/// The line during one connection. Its first frame is the `Open` that began the connection.
struct OneNode<'l> {
    line: &'l mut OpenLine,
}

impl FrameTransport<Vec<u8>> for OneNode<'_> {
    async fn recv(&mut self) -> PeerEvent<Vec<u8>> {
        if let Some(open) = self.line.open.take() {
            return PeerEvent::Frame(open);
        }
        match self.line.framed.frame().await {
            Ok(Some(Ok(frame))) if is_open(&frame) => {
                // The node has restarted. The old connection cannot continue after such a frame,
                // which does not decrypt with its key.
                self.line.open = Some(frame);
                PeerEvent::Gone
            }
            Ok(Some(Ok(frame))) => PeerEvent::Frame(frame),
            Ok(Some(Err(_))) => PeerEvent::Broken(Close::PROTOCOL_VIOLATION),
            Ok(None) | Err(_) => PeerEvent::Gone,
        }
    }

    async fn send(&mut self, frame: Vec<u8>) -> Result<(), Gone> {
        self.line.framed.send_frame(&frame).await
    }

    async fn send_all(&mut self, frames: Vec<Vec<u8>>) -> Result<(), Gone> {
        self.line.framed.send_frames(&frames).await
    }

    /// Does nothing: a line cannot be closed.
    async fn close(&mut self, _: Option<Close>, _: bool) {}
}
