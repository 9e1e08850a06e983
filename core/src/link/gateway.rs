//! The gateway's end of a link: what every paired connection does after it authenticated, whichever
//! door it came through.

use crate::error::{Field, Malformed};
use crate::id::NodeId;
use crate::limits::{self, Limits};
use crate::link::keepalive::{Due, Keepalive};
use crate::registry::lifecycle::Notice;
use crate::step::{Machine, Step};
use crate::time::{Instant, Reason};
use crate::wire::close::Close;
use crate::wire::missy;
use crate::wire::registration::{AuthFailure, GatewayMessage, Heartbeat, NodeMessage};

/// An open link or what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The node is there.
    Open {
        /// Who; proven.
        node_id: NodeId,
        /// When to ask whether it still is.
        keepalive: Keepalive,
        /// The bounds.
        limits: Limits,
    },
    /// Over; nothing happens any more.
    Ended,
}

/// What may happen to a link.
#[derive(Debug)]
pub enum Input<'b> {
    /// A text frame.
    Text(&'b str),
    /// A binary frame.
    Binary(&'b [u8]),
    /// The peer answered a ping.
    Pong,
    /// The operator decided something about the node, or it came back on another connection.
    Push(Notice),
    /// The deadline has come.
    Tick,
    /// The gateway shuts down.
    Shutdown,
    /// The connection is gone.
    Closed,
}

/// What a link asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect<'b> {
    /// Send a text frame.
    Send(&'b str),
    /// Send a ping.
    Ping,
    /// Close the connection.
    Close(Close),
    /// Keep what the node told, and that it was there.
    Observe(NodeId, Heartbeat<'b>),
    /// Hand a text frame to the application.
    ApplicationText(NodeId, &'b str),
    /// Hand a binary frame to the application.
    ApplicationBinary(NodeId, &'b [u8]),
    /// Take the connection out of the table of live ones, if it is still the node's there; a newer
    /// one stays.
    Detach(NodeId),
}

impl Link {
    /// A link that has just opened.
    #[must_use]
    pub const fn open(node_id: NodeId, now: Instant, limits: Limits) -> Self {
        Self::Open { node_id, keepalive: Keepalive::start(now, &limits), limits }
    }
}

impl Machine for Link {
    type Input<'b> = Input<'b>;
    type Effect<'b> = Effect<'b>;

    fn step<'b>(
        self,
        now: Instant,
        input: Input<'b>,
        scratch: &'b mut [u8],
    ) -> Step<Self, Effect<'b>> {
        let Self::Open { node_id, keepalive, limits } = self else {
            return Step::quiet(Self::Ended);
        };
        match input {
            Input::Text(frame) => {
                let open = Self::Open { node_id, keepalive: keepalive.heard(now, &limits), limits };
                on_text(open, node_id, frame, scratch)
            }
            Input::Binary(frame) => {
                let open = Self::Open { node_id, keepalive: keepalive.heard(now, &limits), limits };
                Step::with(open, [Effect::ApplicationBinary(node_id, frame)])
            }
            Input::Pong => Step::quiet(Self::Open {
                node_id,
                keepalive: keepalive.heard(now, &limits),
                limits,
            }),
            Input::Push(Notice::Muted) => {
                leave(node_id, Some(GatewayMessage::Muted), Close::MUTED, scratch)
            }
            Input::Push(Notice::Unpaired) => {
                let fail = GatewayMessage::AuthFail(AuthFailure::InvalidCredentials);
                leave(node_id, Some(fail), Close::AUTHENTICATION_FAILED, scratch)
            }
            Input::Push(Notice::Replaced) => leave(node_id, None, Close::REPLACED, scratch),
            // Who is muted has no link of this dialect, and who has one waits for no decision.
            Input::Push(Notice::Unmuted | Notice::Decided | Notice::Permissions) => {
                Step::quiet(self)
            }
            Input::Shutdown => leave(node_id, None, Close::SHUTTING_DOWN, scratch),
            Input::Closed => Step::with(Self::Ended, [Effect::Detach(node_id)]),
            Input::Tick => match keepalive.tick(now, &limits) {
                (keepalive, Due::Nothing) => Step::quiet(Self::Open { node_id, keepalive, limits }),
                (keepalive, Due::Ping) => {
                    Step::with(Self::Open { node_id, keepalive, limits }, [Effect::Ping])
                }
                (_, Due::Lost) => leave(node_id, None, Close::PING_TIMEOUT, scratch),
            },
        }
    }

    fn deadline(&self) -> Option<(Instant, Reason)> {
        match self {
            Self::Open { keepalive, .. } => Some(keepalive.deadline()),
            Self::Ended => None,
        }
    }
}

fn on_text<'b>(
    open: Link,
    node_id: NodeId,
    frame: &'b str,
    scratch: &'b mut [u8],
) -> Step<Link, Effect<'b>> {
    let (decoding, encoding) = limits::split(scratch);
    match missy::decode_from_node(frame, decoding) {
        Ok(NodeMessage::Heartbeat(heartbeat)) => {
            Step::with(open, [Effect::Observe(node_id, heartbeat)])
        }
        Ok(NodeMessage::Other) => Step::with(open, [Effect::ApplicationText(node_id, frame)]),
        // Authenticating or asking to pair a second time changes nothing, well formed or not.
        Ok(NodeMessage::PairRequest(_) | NodeMessage::Auth(_)) => Step::quiet(open),
        Err(Malformed::Field(
            Field::FriendlyName
            | Field::Room
            | Field::HardwareProfile
            | Field::NodeId
            | Field::Token,
        )) => Step::quiet(open),
        Err(malformed) => {
            let complaint = GatewayMessage::Error(missy::complaint(malformed));
            match missy::encode_from_gateway(&complaint, encoding) {
                Some(text) => Step::with(open, [Effect::Send(text)]),
                None => Step::quiet(open),
            }
        }
    }
}

/// Ends the link from our side: the last word if there is one, the close, and out of the table.
fn leave<'b>(
    node_id: NodeId,
    last_word: Option<GatewayMessage<'_>>,
    close: Close,
    scratch: &'b mut [u8],
) -> Step<Link, Effect<'b>> {
    match last_word.and_then(|message| missy::encode_from_gateway(&message, scratch)) {
        // Out of the table first: saying goodbye to a slow peer takes a while, and nobody is online
        // meanwhile.
        Some(text) => Step::with(
            Link::Ended,
            [Effect::Detach(node_id), Effect::Send(text), Effect::Close(close)],
        ),
        None => Step::with(Link::Ended, [Effect::Detach(node_id), Effect::Close(close)]),
    }
}
