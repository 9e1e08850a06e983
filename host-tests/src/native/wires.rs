//! Connections that keep frames in order until somebody disturbs them.

use std::collections::VecDeque;

/// Names a connection.
pub type ConnId = u32;

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Who opened it.
    Client = 0,
    /// The gateway.
    Gateway = 1,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Gateway,
            Self::Gateway => Self::Client,
        }
    }
}

/// What travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A frame.
    Frame(Vec<u8>),
    /// The other side is gone.
    End,
}

/// One connection.
#[derive(Debug, Default)]
pub struct Wire {
    /// The node that opened it; a stranger if none.
    pub node: Option<usize>,
    /// What is under way to each side.
    pub to: [VecDeque<Item>; 2],
    /// How many frames were sent to each side.
    pub sent: [usize; 2],
    /// Which sides are gone.
    pub gone: [bool; 2],
}

/// A frame as it passes somebody on the way.
#[derive(Debug)]
pub struct Passing<'f> {
    /// Over which connection.
    pub conn: ConnId,
    /// To whom.
    pub to: Side,
    /// The how many-th frame to that side, from 0.
    pub number: usize,
    /// What is in it.
    pub bytes: &'f [u8],
}

/// Somebody on the way: what arrives instead of a frame.
pub type OnTheWay = Box<dyn FnMut(&Passing<'_>) -> Vec<Vec<u8>>>;
