//! The sealed messages with which a phone provisions a node, after a Noise XX handshake in which
//! the phone is the initiator. Each travels in the body of one POST or of its answer.
//!
//! ```text
//! phone                    node
//! Ya ─────────────────────▶         CPace over the proof of possession
//!    ◀───────────────────── Yb
//! Ta ─────────────────────▶
//!    ◀───────────────────── Tb      or Wrong, or Later
//! Part… ──────────────────▶         a call and its body, in one or more parts
//!    ◀───────────────────── More    each is answered before the next is sent
//!    ◀───────────────────── Answer  to the last part
//! Next ───────────────────▶         while the answer was not the last part of its body
//!    ◀───────────────────── Answer
//! ```

use serde::{Deserialize, Serialize};

use crate::crypto::cpace::{Element, Tag};
use crate::limits::{PLAINTEXT_BYTES, SEALED_PART_BYTES};
use crate::serial::byte_array;
use crate::wire::native::Bounded;
use crate::wire::native::codec::message;

/// A part of a body.
pub type PartBytes<'b> = Bounded<'b, 0, SEALED_PART_BYTES>;

/// A call of the node's API. Bodies and answers are those of the plain mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Call {
    /// What the node tells of itself. No body.
    Info,
    /// The networks in reach. No body.
    Scan,
    /// New settings.
    Provision,
    /// The key K2.
    K2,
    /// How far the node is. No body.
    Status,
    /// The node forgets everything but K1. No body.
    FactoryReset,
    /// Another network for a provisioned node.
    Network,
}

impl Call {
    /// All calls.
    pub const ALL: [Self; 7] = [
        Self::Info,
        Self::Scan,
        Self::Provision,
        Self::K2,
        Self::Status,
        Self::FactoryReset,
        Self::Network,
    ];

    /// Returns the name of the call, for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Scan => "scan",
            Self::Provision => "provision",
            Self::K2 => "k2",
            Self::Status => "status",
            Self::FactoryReset => "factory-reset",
            Self::Network => "network",
        }
    }
}

/// A message from a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FromPhone<'b> {
    /// CPace: the phone's element, not yet checked.
    Ya(#[serde(with = "byte_array")] Element),
    /// CPace: the phone's tag.
    Ta(#[serde(with = "byte_array")] Tag),
    /// A call, with the next part of its body.
    Part {
        /// The call.
        call: Call,
        /// `true` for the last part of the body.
        last: bool,
        /// The part.
        #[serde(borrow)]
        bytes: PartBytes<'b>,
    },
    /// Wants the next part of the answer.
    Next,
}

message!('b FromPhone<'b>);

/// A message from a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FromSetupNode<'b> {
    /// CPace: the node's element.
    Yb(#[serde(with = "byte_array")] Element),
    /// CPace: the node's tag.
    Tb(#[serde(with = "byte_array")] Tag),
    /// The proof is wrong.
    Wrong {
        /// Time before another guess is compared, in seconds.
        retry_in: u16,
    },
    /// The guess was not compared: too many before it were wrong.
    Later {
        /// Time before another guess is compared, in seconds.
        retry_in: u16,
    },
    /// The part has arrived; the next one may follow.
    More,
    /// The answer to a call, or the next part of it.
    Answer {
        /// The status, as HTTP has it.
        status: u16,
        /// `true` for the last part of the body.
        last: bool,
        /// The part.
        #[serde(borrow)]
        bytes: PartBytes<'b>,
    },
}

message!('b FromSetupNode<'b>);

/// The longest message has its number, a call or a status, a flag, and the length of its bytes.
const _: () = assert!(1 + 3 + 1 + 2 + SEALED_PART_BYTES <= PLAINTEXT_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_reads_back_and_none_has_bytes_behind_it() {
        let bytes = PartBytes::new(&[7; SEALED_PART_BYTES]).unwrap();
        let phone = [
            FromPhone::Ya([1; 32]),
            FromPhone::Ta([2; 64]),
            FromPhone::Part { call: Call::FactoryReset, last: true, bytes },
            FromPhone::Next,
        ];
        let mut room = [0; PLAINTEXT_BYTES + 1];
        for message in phone {
            let length = message.write(&mut room).unwrap().len();
            assert_eq!(FromPhone::parse(&room[..length]), Ok(message));
            room[length] = 0;
            assert!(FromPhone::parse(&room[..=length]).is_err());
        }
        let node = [
            FromSetupNode::Yb([1; 32]),
            FromSetupNode::Tb([2; 64]),
            FromSetupNode::Wrong { retry_in: u16::MAX },
            FromSetupNode::Later { retry_in: 1 },
            FromSetupNode::More,
            FromSetupNode::Answer { status: u16::MAX, last: false, bytes },
        ];
        for message in node {
            let length = message.write(&mut room).unwrap().len();
            assert_eq!(FromSetupNode::parse(&room[..length]), Ok(message));
        }
    }

    #[test]
    fn a_part_longer_than_any_is_no_message() {
        let mut bytes = [0; 1004];
        // The number of `Part`, the call, the flag, and a length of 1001.
        bytes[..5].copy_from_slice(&[2, 0, 1, 0xe9, 0x07]);
        assert!(FromPhone::parse(&bytes).is_err());
    }
}
