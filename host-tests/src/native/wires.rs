//! Connections that keep frames in order unless they are disturbed.

use std::collections::VecDeque;

/// The id of a connection.
pub type ConnId = u32;

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The end that opened the connection.
    Client = 0,
    /// The gateway's end.
    Gateway = 1,
}

impl Side {
    /// Returns the other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Gateway,
            Self::Gateway => Self::Client,
        }
    }
}

/// An item under way on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// The bytes of a frame.
    Frame(Vec<u8>),
    /// The sender has disconnected.
    End,
}

/// One simulated connection.
#[derive(Debug, Default)]
pub struct Wire {
    /// The node that opened it; `None` for a stranger.
    pub node: Option<usize>,
    /// Items under way to each side.
    pub to: [VecDeque<Item>; 2],
    /// Number of frames that were sent to each side.
    pub sent: [usize; 2],
    /// `true` if the gateway hears nothing any more, not even that its peer is gone.
    pub vanished: bool,
    /// Sides that have disconnected.
    pub gone: [bool; 2],
}

/// A frame that passes the attacker.
#[derive(Debug)]
pub struct Passing<'f> {
    /// Connection of the frame.
    pub conn: ConnId,
    /// Receiver of the frame.
    pub to: Side,
    /// Number of the frame to that side, from 0.
    pub number: usize,
    /// Content of the frame.
    pub bytes: &'f [u8],
}

/// The attacker: returns the frames that arrive instead of one.
pub type OnTheWay = Box<dyn FnMut(&Passing<'_>) -> Vec<Vec<u8>>>;
