//! Connections that keep frames in order, as WebSocket over TCP does, and delay them; that lose
//! frames under way when they are cut; and that may die silently.

use std::collections::BTreeMap;
use std::net::IpAddr;

use handfast_core::wire::close::Close;

use super::{Event, World};

/// The id of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnId(pub u32);

/// The end that opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// A node of the world, by index.
    Node(usize),
    /// A client that is not a node.
    Stranger,
}

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The end that opened it.
    Client,
    /// The gateway's end.
    Gateway,
}

impl Side {
    const fn index(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Gateway => 1,
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Client => Self::Gateway,
            Self::Gateway => Self::Client,
        }
    }
}

/// An item under way on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The connection is open.
    Opened,
    /// A text frame.
    Text(String),
    /// A binary frame.
    Binary(Vec<u8>),
    /// A WebSocket ping.
    Ping,
    /// The answer to a ping.
    Pong,
    /// The end of the connection.
    Close(Close),
}

/// One simulated connection.
#[derive(Debug)]
pub struct Wire {
    /// The end that opened it.
    pub client: Client,
    /// Address of the client.
    pub address: IpAddr,
    /// Time since which nothing gets through.
    pub dead_since: Option<u64>,
    opened: bool,
    /// For each side, the time after which frames are lost.
    lost_after: [u64; 2],
    /// For each side, the arrival of the latest frame.
    latest: [u64; 2],
    /// For each end, `true` while it uses the connection.
    in_use: [bool; 2],
}

/// All simulated connections.
#[derive(Debug, Default)]
pub struct Network {
    /// The connections that at least one end still uses.
    pub wires: BTreeMap<ConnId, Wire>,
    /// Time until which no connection can be opened.
    pub down_until: u64,
    /// Plaintext messages of nodes.
    pub overheard: Vec<String>,
    opened: u32,
}

/// Milliseconds after which a client's adapter gives up opening a connection.
const OPENS_WITHIN: u64 = 10_000;
/// Milliseconds after which a sender learns of a silent loss: a node soon, while a server's kernel
/// retransmits for a quarter of an hour.
const RETRANSMISSION_GIVES_UP: [u64; 2] = [15_000, 900_000];
const MOST_RECORDINGS: usize = 64;

impl World {
    /// Opens a connection. Its success is reported later.
    pub(super) fn dial(&mut self, client: Client, address: IpAddr) -> ConnId {
        self.network.opened += 1;
        let conn = ConnId(self.network.opened);
        let arrives = self.now + self.delay();
        let wire = Wire {
            client,
            address,
            dead_since: None,
            opened: false,
            lost_after: [u64::MAX; 2],
            latest: [self.now, arrives],
            in_use: [true; 2],
        };
        self.network.wires.insert(conn, wire);
        self.at(arrives, Event::Dialled { conn });
        self.at(self.now + OPENS_WITHIN, Event::DialTimeout { conn });
        conn
    }

    pub(super) fn on_dial_timeout(&mut self, conn: ConnId) {
        if self.network.wires.get(&conn).is_some_and(|wire| !wire.opened) {
            self.on_gone(conn, Side::Client);
        }
    }

    pub(super) fn on_dialled(&mut self, conn: ConnId) {
        if self.now < self.network.down_until || !self.gateway.on {
            self.leave(conn, Side::Gateway);
            let patience = 500 + self.prng.below(2_500);
            self.at(self.now + patience, Event::Gone { conn, side: Side::Client });
        } else {
            self.accept(conn);
        }
    }

    /// Sends a frame. If the connection lives, the other end gets it later, after all earlier
    /// frames.
    pub(super) fn send(&mut self, conn: ConnId, from: Side, frame: Frame) {
        let delay = self.delay();
        let (now, in_clear) = (self.now, self.setup.in_clear);
        let Some(wire) = self.network.wires.get_mut(&conn) else { return };
        if let (Frame::Text(text), Client::Node(_), Side::Client, true) =
            (&frame, wire.client, from, in_clear)
            && self.network.overheard.len() < MOST_RECORDINGS
        {
            self.network.overheard.push(text.clone());
        }
        if wire.dead_since.is_some() {
            self.at(now + RETRANSMISSION_GIVES_UP[from.index()], Event::Gone { conn, side: from });
            return;
        }
        let to = from.other();
        let arrives = wire.latest[to.index()].max(now + delay);
        wire.latest[to.index()] = arrives;
        self.at(arrives, Event::Arrives { conn, to, frame });
    }

    pub(super) fn on_arrival(&mut self, conn: ConnId, to: Side, frame: Frame) {
        let Some(wire) = self.network.wires.get_mut(&conn) else { return };
        if self.now > wire.lost_after[to.index()] || !wire.in_use[to.index()] {
            return;
        }
        wire.opened |= frame == Frame::Opened;
        match (to, wire.client) {
            (Side::Gateway, _) => self.gateway_hears(conn, frame),
            (Side::Client, Client::Node(node)) => self.node_hears(node, conn, frame),
            (Side::Client, Client::Stranger) => match frame {
                Frame::Ping => self.send(conn, Side::Client, Frame::Pong),
                Frame::Close(_) => self.on_gone(conn, Side::Client),
                Frame::Opened | Frame::Text(_) | Frame::Binary(_) | Frame::Pong => {}
            },
        }
    }

    /// Closes an end: it receives nothing more, and the other one learns of it after all earlier
    /// frames.
    pub(super) fn hang_up(&mut self, conn: ConnId, side: Side, close: Close) {
        self.send(conn, side, Frame::Close(close));
        self.leave(conn, side);
    }

    /// Informs an end that the connection is lost.
    pub(super) fn on_gone(&mut self, conn: ConnId, side: Side) {
        let Some(wire) = self.network.wires.get(&conn) else { return };
        let (client, told_already) = (wire.client, !wire.in_use[side.index()]);
        self.leave(conn, side);
        match (side, client) {
            _ if told_already => {}
            (Side::Gateway, _) => self.gateway_lost(conn),
            (Side::Client, Client::Node(node)) => self.node_lost(node, conn),
            (Side::Client, Client::Stranger) => self.strangers.retain(|&other| other != conn),
        }
    }

    /// Loses the connection: each side still gets some of the frames under way. If `silent`,
    /// neither end is informed.
    pub(super) fn cut(&mut self, conn: ConnId, silent: bool) {
        let now = self.now;
        let still = [self.prng.below(60), self.prng.below(60)];
        let Some(wire) = self.network.wires.get_mut(&conn) else { return };
        if wire.dead_since.is_some() {
            return;
        }
        wire.dead_since = Some(now);
        wire.lost_after = still.map(|more| now + more);
        if !silent {
            self.at(now + still[0] + 1, Event::Gone { conn, side: Side::Client });
            self.at(now + still[1] + 1, Event::Gone { conn, side: Side::Gateway });
        }
    }

    /// Removes an end with its power. The other one learns of it at once (the end's host answers
    /// for it again), or only when it next sends.
    pub(super) fn vanish(&mut self, conn: ConnId, side: Side) {
        let silent = self.prng.one_in(3);
        self.leave(conn, side);
        self.cut(conn, silent);
    }

    fn leave(&mut self, conn: ConnId, side: Side) {
        if let Some(wire) = self.network.wires.get_mut(&conn) {
            wire.in_use[side.index()] = false;
            if wire.in_use == [false; 2] {
                self.network.wires.remove(&conn);
            }
        }
    }

    fn delay(&mut self) -> u64 {
        // Most delays are short, some are long.
        if self.prng.one_in(8) { self.prng.below(400) } else { self.prng.below(20) }
    }
}
