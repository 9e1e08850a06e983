//! A limit on request bodies that are read at once, in total and per peer, so that no peer blocks
//! the others.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

/// Maximum number of bodies of one peer that are read at once.
pub(super) const MOST_OF_PEER: usize = 8;
/// Maximum number of bodies of all peers that are read at once for one extension.
pub(super) const MOST_AT_ONCE: usize = 64;

/// A counter of the bodies that are read for one extension. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(super) struct BodyReaders {
    reading: Arc<Mutex<HashMap<Option<IpAddr>, usize>>>,
}

/// A body that is being read. Dropping it ends the count.
#[derive(Debug)]
pub(super) struct BodyReading {
    readers: BodyReaders,
    peer: Option<IpAddr>,
}

impl BodyReaders {
    /// Counts a body; `None` if too many are being read. All peers without an address count as one,
    /// and so does each IPv6 /64.
    pub(super) fn begin(&self, peer: Option<IpAddr>) -> Option<BodyReading> {
        let peer = peer.map(|peer| match peer.to_canonical() {
            IpAddr::V6(peer) => IpAddr::V6(Ipv6Addr::from_bits(peer.to_bits() >> 64 << 64)),
            peer @ IpAddr::V4(_) => peer,
        });
        let mut reading = self.reading.lock().expect("no thread panics while it holds the readers");
        let of_peer = reading.get(&peer).copied().unwrap_or_default();
        if of_peer >= MOST_OF_PEER || reading.values().sum::<usize>() >= MOST_AT_ONCE {
            return None;
        }
        reading.insert(peer, of_peer + 1);
        Some(BodyReading { readers: self.clone(), peer })
    }
}

impl Drop for BodyReading {
    fn drop(&mut self) {
        let mut reading =
            self.readers.reading.lock().expect("no thread panics while it holds the readers");
        match reading.get_mut(&self.peer) {
            Some(count) if *count > 1 => *count -= 1,
            // An entry without bodies is removed, so that the table stays small.
            _ => drop(reading.remove(&self.peer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_so_many_bodies_and_all_together_have_a_bound_too() {
        let readers = BodyReaders::default();
        let peer = |n: u16| Some(IpAddr::from([0x2001, 0xdb8, 0, n, 0, 0, 0, 1]));
        let mut first: Vec<_> =
            (0..MOST_OF_PEER).map(|_| readers.begin(peer(0)).unwrap()).collect();
        let beside = Some("2001:db8::ffff".parse().unwrap());
        assert!(
            readers.begin(peer(0)).is_none() && readers.begin(beside).is_none(),
            "the network counts"
        );
        let rest = (MOST_OF_PEER..MOST_AT_ONCE)
            .map(|n| readers.begin(peer(u16::try_from(n).unwrap())).unwrap());
        let rest: Vec<_> = rest.collect();
        assert!(readers.begin(None).is_none());
        first.pop();
        drop(readers.begin(peer(0)).unwrap());
        drop((first, rest));
        assert!(readers.reading.lock().unwrap().is_empty(), "who has gone is not remembered");
    }
}
