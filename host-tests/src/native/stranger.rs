//! An attacker on the path: sees every frame, can change frames under way, and can connect to the
//! gateway. It has only its own keys, and knows no code.

use handfast_core::wire::native::open::{ClearRefusal, Versions};

use super::World;
use super::wires::{ConnId, Item, Side};

/// A disturbance of frames under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// Drops the next frame.
    Drop,
    /// Delivers the next frame twice.
    Repeat,
    /// Swaps the next two frames.
    Swap,
    /// Truncates the next frame.
    Truncate,
    /// Flips a bit of the next frame.
    Flip,
    /// Inserts an overheard frame before the next one.
    Insert,
    /// Also sends the next frame back to its sender.
    Reflect,
    /// Inserts a forged plaintext refusal.
    ForgeRefusal,
    /// Inserts a forged plaintext message about the version.
    ForgeVersion,
}

/// All disturbances.
pub const DISTURBANCES: [Disturbance; 9] = [
    Disturbance::Drop,
    Disturbance::Repeat,
    Disturbance::Swap,
    Disturbance::Truncate,
    Disturbance::Flip,
    Disturbance::Insert,
    Disturbance::Reflect,
    Disturbance::ForgeRefusal,
    Disturbance::ForgeVersion,
];

/// Encodes a plaintext refusal, as anybody can.
#[must_use]
pub fn clear(refusal: &ClearRefusal<'_>) -> Vec<u8> {
    refusal.write(&mut [0; 16]).map(<[u8]>::to_vec).unwrap_or_default()
}

impl World {
    /// Disturbs the frames under way to a side.
    pub fn disturb(&mut self, conn: ConnId, to: Side, how: Disturbance) {
        let chance = self.prng.draw() as usize;
        let overheard =
            chance.checked_rem(self.overheard.len()).map(|at| self.overheard[at].2.clone());
        // TLS notices every change, which ends the connection.
        if self.exporters.contains_key(&conn) {
            return self.cut(conn);
        }
        let Some(wire) = self.wires.get_mut(&conn) else { return };
        let queue = &mut wire.to[to as usize];
        let Some(Item::Frame(first)) = queue.front_mut() else { return };
        match how {
            Disturbance::Drop => drop(queue.pop_front()),
            Disturbance::Repeat => {
                let first = first.clone();
                queue.push_front(Item::Frame(first));
            }
            Disturbance::Swap => {
                if matches!(queue.get(1), Some(Item::Frame(_))) {
                    queue.swap(0, 1);
                }
            }
            Disturbance::Truncate => first.truncate(chance.checked_rem(first.len()).unwrap_or(0)),
            Disturbance::Flip => {
                if let Some(at) = (chance >> 3).checked_rem(first.len()) {
                    first[at] ^= 1 << (chance & 7);
                }
            }
            Disturbance::Insert => queue.extend_front_with(overheard),
            Disturbance::Reflect => {
                let first = first.clone();
                wire.to[to.other() as usize].push_back(Item::Frame(first));
            }
            Disturbance::ForgeRefusal => {
                queue.push_front(Item::Frame(clear(&ClearRefusal::Refused)));
            }
            Disturbance::ForgeVersion => {
                let versions = Versions::new(&[7]).expect("a version");
                queue.push_front(Item::Frame(clear(&ClearRefusal::Unsupported { versions })));
            }
        }
        self.note(|| format!("stranger: {how:?} on conn {conn} to {to:?}"));
    }

    /// Inserts a frame that nobody sent.
    pub fn inject(&mut self, conn: ConnId, to: Side, bytes: Vec<u8>) {
        if let Some(wire) = self.wires.get_mut(&conn)
            && !wire.gone[to as usize]
        {
            wire.to[to as usize].push_back(Item::Frame(bytes));
        }
    }

    /// Replays the first frames that a client sent over another connection.
    pub fn replay(&mut self, recorded: ConnId, frames: usize) -> ConnId {
        let from_client =
            self.overheard.iter().filter(|(conn, to, _)| *conn == recorded && *to == Side::Gateway);
        let frames: Vec<Vec<u8>> =
            from_client.take(frames).map(|(.., bytes)| bytes.clone()).collect();
        let conn = self.connect(None);
        frames.into_iter().for_each(|frame| self.inject(conn, Side::Gateway, frame));
        conn
    }
}

trait Front {
    fn extend_front_with(&mut self, frame: Option<Vec<u8>>);
}

impl Front for std::collections::VecDeque<Item> {
    fn extend_front_with(&mut self, frame: Option<Vec<u8>>) {
        if let Some(frame) = frame {
            self.push_front(Item::Frame(frame));
        }
    }
}
