//! The messages between gateways.

use serde::{Deserialize, Serialize};

/// A message to another gateway. An answer is due to one with a number in `ask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::gateway::sharing) enum BusMessage<'a> {
    /// There may be changes to read.
    Hint,
    /// An application message for a node on the native wire.
    App {
        ask: u64,
        node_id: [u8; 16],
        #[serde(borrow)]
        action: &'a str,
        #[serde(borrow)]
        address: &'a str,
        #[serde(borrow)]
        bytes: &'a [u8],
    },
    /// A frame for a node that has a token.
    Frame {
        ask: u64,
        node_id: [u8; 16],
        is_text: bool,
        #[serde(borrow)]
        bytes: &'a [u8],
    },
    /// An application message for all that have subscribed to its address.
    Publish {
        ask: u64,
        #[serde(borrow)]
        address: &'a str,
        #[serde(borrow)]
        bytes: &'a [u8],
    },
    /// The answer to the question with this number.
    Answer { ask: u64, answer: BusAnswer },
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::gateway::sharing) enum BusAnswer {
    /// So many links have taken it.
    Taken(u32),
    /// The node has no such link here, or its queue is full, or this gateway is cut off.
    Refused,
}
