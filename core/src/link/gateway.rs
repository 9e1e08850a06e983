//! The gateway's end of a link in the `missy` dialect: the behaviour of a paired connection after
//! authentication.

use crate::error::{Field, Malformed};
use crate::id::NodeId;
use crate::limits::{self, Limits};
use crate::link::keepalive::{Due, Keepalive};
use crate::registry::lifecycle::Notice;
use crate::step::{Effects, Machine};
use crate::time::{DeadlineReason, Instant};
use crate::wire::close::Close;
use crate::wire::missy;
use crate::wire::registration::{AuthFailure, GatewayMessage, Heartbeat, NodeMessage};

/// A gateway's link, open or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Link {
    /// The node is connected and authenticated.
    Open {
        /// The authenticated node.
        node_id: NodeId,
        /// The schedule of pings.
        keepalive: Keepalive,
        /// The bounds on times.
        limits: Limits,
    },
    /// The link has ended; every input is ignored.
    Ended,
}

/// An event on a link.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Input<'b> {
    /// A text frame arrived.
    Text(&'b str),
    /// A binary frame arrived.
    Binary(&'b [u8]),
    /// The peer answered a ping.
    Pong,
    /// The operator decided about the node, or the node authenticated on another connection.
    Push(Notice),
    /// The deadline has come.
    Tick,
    /// The gateway shuts down.
    Shutdown,
    /// The connection is closed.
    Closed,
}

/// A request of a link to the adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Effect<'b> {
    /// Send a text frame.
    Send(&'b str),
    /// Send a ping.
    Ping,
    /// Close the connection.
    Close(Close),
    /// Record the node's values and that it was present.
    Observe(NodeId, Heartbeat<'b>),
    /// Pass a text frame to the application.
    ApplicationText(NodeId, &'b str),
    /// Pass a binary frame to the application.
    ApplicationBinary(NodeId, &'b [u8]),
    /// Remove the connection from the table of live ones if it is still the node's entry; a newer
    /// connection stays.
    Detach(NodeId),
}

impl Link {
    /// Opens a link for an authenticated node.
    #[must_use]
    pub const fn open(node_id: NodeId, now: Instant, limits: Limits) -> Self {
        Self::Open { node_id, keepalive: Keepalive::start(now, &limits), limits }
    }
}

impl Machine for Link {
    type Input<'b> = Input<'b>;
    type Effect<'b> = Effect<'b>;

    fn step<'b>(
        &mut self,
        now: Instant,
        input: Input<'b>,
        scratch: &'b mut [u8],
    ) -> Effects<Effect<'b>> {
        let Self::Open { node_id, keepalive, limits } = self else { return Effects::none() };
        let node_id = *node_id;
        match input {
            Input::Text(frame) => {
                *keepalive = keepalive.heard(now, limits);
                on_text(node_id, frame, scratch)
            }
            Input::Binary(frame) => {
                *keepalive = keepalive.heard(now, limits);
                Effects::of([Effect::ApplicationBinary(node_id, frame)])
            }
            Input::Pong => {
                *keepalive = keepalive.heard(now, limits);
                Effects::none()
            }
            Input::Push(Notice::Muted) => {
                // A muted node has no link in this dialect, so the link ends.
                self.leave(node_id, Some(GatewayMessage::Muted), Close::MUTED, scratch)
            }
            Input::Push(Notice::Unpaired) => {
                let fail = GatewayMessage::AuthFail(AuthFailure::InvalidCredentials);
                self.leave(node_id, Some(fail), Close::AUTHENTICATION_FAILED, scratch)
            }
            Input::Push(Notice::Replaced) => self.leave(node_id, None, Close::REPLACED, scratch),
            Input::Push(Notice::Evicted) => self.leave(node_id, None, Close::GOODBYE, scratch),
            // A muted node has no link in this dialect, a linked node waits for no decision, and
            // one without keys has no marks.
            Input::Push(
                Notice::Unmuted
                | Notice::Decided
                | Notice::Permissions
                | Notice::PinEnded(_)
                | Notice::Quarantined
                | Notice::Released,
            ) => Effects::none(),
            Input::Shutdown => self.leave(node_id, None, Close::SHUTTING_DOWN, scratch),
            Input::Closed => {
                *self = Self::Ended;
                Effects::of([Effect::Detach(node_id)])
            }
            Input::Tick => {
                let (next, due) = keepalive.tick(now, limits);
                *keepalive = next;
                match due {
                    Due::Nothing => Effects::none(),
                    Due::Ping => Effects::of([Effect::Ping]),
                    Due::Lost => self.leave(node_id, None, Close::PING_TIMEOUT, scratch),
                }
            }
        }
    }

    fn deadline(&self) -> Option<(Instant, DeadlineReason)> {
        match self {
            Self::Open { keepalive, .. } => Some(keepalive.deadline()),
            Self::Ended => None,
        }
    }

    fn is_closed(&self) -> bool {
        matches!(self, Self::Ended)
    }

    /// Returns `false`: no effect of a link has an answer.
    fn awaits_answer(&self) -> bool {
        false
    }

    fn state_name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "Open",
            Self::Ended => "Ended",
        }
    }
}

fn on_text<'b>(node_id: NodeId, frame: &'b str, scratch: &'b mut [u8]) -> Effects<Effect<'b>> {
    let (decoding, encoding) = limits::split(scratch);
    match missy::decode_from_node(frame, decoding) {
        Ok(NodeMessage::Heartbeat(heartbeat)) => Effects::of([Effect::Observe(node_id, heartbeat)]),
        Ok(NodeMessage::Other) => Effects::of([Effect::ApplicationText(node_id, frame)]),
        // A repeated pairing request or authentication changes nothing, well formed or not.
        Ok(NodeMessage::PairRequest(_) | NodeMessage::Auth(_)) => Effects::none(),
        Err(Malformed::Field(
            Field::FriendlyName
            | Field::Room
            | Field::HardwareProfile
            | Field::NodeId
            | Field::Token,
        )) => Effects::none(),
        Err(malformed) => {
            let complaint = GatewayMessage::Error(missy::complaint(malformed));
            // A complaint that does not fit is left out, since the frame changes nothing.
            Effects::flatten([missy::encode_from_gateway(&complaint, encoding).map(Effect::Send)])
        }
    }
}

impl Link {
    /// Ends the link from this side: removal from the table, the last message if there is one, and
    /// the close.
    fn leave<'b>(
        &mut self,
        node_id: NodeId,
        last_word: Option<GatewayMessage<'_>>,
        close: Close,
        scratch: &'b mut [u8],
    ) -> Effects<Effect<'b>> {
        *self = Self::Ended;
        let text = last_word.and_then(|message| missy::encode_from_gateway(&message, scratch));
        // The removal comes first: a close handshake with a slow peer takes time, and the node must
        // not count as online meanwhile.
        Effects::flatten([
            Some(Effect::Detach(node_id)),
            text.map(Effect::Send),
            Some(Effect::Close(close)),
        ])
    }
}
