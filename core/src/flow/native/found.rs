//! The gateways that a search of the local network has found.
//!
//! Everything here was said by strangers. Its size is bounded whatever they say, and no sender
//! takes all of the room.

use core::net::{IpAddr, SocketAddr};

use heapless::Vec;

use crate::crypto::fingerprint::Fingerprint;
use crate::limits::{FOUND_ADDRESSES, FOUND_GATEWAYS};
use crate::text::{Label, Name};
use crate::wire::announcement::Announcement;
use crate::wire::gateway_address::AddressScheme;

/// Maximum number of gateways that one sender adds to the list.
const GATEWAYS_OF_SENDER: usize = 4;
/// Maximum number of addresses that one sender adds to a gateway.
const ADDRESSES_OF_SENDER: usize = 4;

/// The address of a found gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FoundAddress {
    /// The transport.
    pub scheme: AddressScheme,
    /// Address and port.
    pub at: SocketAddr,
}

impl FoundAddress {
    /// Returns `true` if another machine can have this address, and a text without the name of an
    /// interface holds it.
    fn is_of_use(&self) -> bool {
        let usual = match self.at.ip() {
            IpAddr::V4(ip) => !ip.is_broadcast(),
            IpAddr::V6(ip) => !ip.is_unicast_link_local() && ip.to_ipv4_mapped().is_none(),
        };
        let ip = self.at.ip();
        let special = ip.is_unspecified() || ip.is_multicast() || ip.is_loopback();
        usual && !special && self.at.port() != 0
    }
}

/// A gateway that was found.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FoundGateway {
    fingerprint: Fingerprint,
    name: Name,
    first_from: IpAddr,
    addresses: Vec<(FoundAddress, IpAddr), FOUND_ADDRESSES>,
}

impl FoundGateway {
    /// Returns the fingerprint of the key that the gateway has to prove.
    #[must_use]
    pub const fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// Returns the announced name, which is safe to show.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Iterates over the addresses, in the order in which they came.
    pub fn addresses(&self) -> impl Iterator<Item = FoundAddress> + '_ {
        self.addresses.iter().map(|(address, _)| *address)
    }
}

/// The gateways of one search, one for each fingerprint.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FoundGateways {
    found: Vec<FoundGateway, FOUND_GATEWAYS>,
    /// `true` once a gateway was left out.
    is_full: bool,
}

impl FoundGateways {
    /// Creates an empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self { found: Vec::new(), is_full: false }
    }

    /// Returns the gateways, in the order in which they were found.
    #[must_use]
    pub fn all(&self) -> &[FoundGateway] {
        &self.found
    }

    /// Returns `true` if more gateways were announced than the list holds, or than one sender adds
    /// to it.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.is_full
    }

    /// Returns the gateway with this key, if it was found.
    #[must_use]
    pub fn with(&self, fingerprint: &Fingerprint) -> Option<&FoundGateway> {
        self.found.iter().find(|gateway| gateway.fingerprint == *fingerprint)
    }

    /// Takes an answer of `sender`. The gateway's name is cut before the first character that is
    /// not safe to show. An answer over a bound, or with an address of no use, is left out.
    pub fn add(&mut self, told: &Announcement, name: &str, at: SocketAddr, sender: IpAddr) {
        let address = FoundAddress { scheme: told.scheme, at };
        if !address.is_of_use() {
            return;
        }
        let known = self.found.iter_mut().find(|known| known.fingerprint == told.fingerprint);
        if let Some(known) = known {
            let of_sender = known.addresses.iter().filter(|(_, from)| *from == sender).count();
            if of_sender < ADDRESSES_OF_SENDER && known.addresses().all(|other| other != address) {
                // A gateway with more addresses is reached at those that it has.
                let _ = known.addresses.push((address, sender));
            }
            return;
        }
        let of_sender = self.found.iter().filter(|other| other.first_from == sender).count();
        let mut gateway = FoundGateway {
            fingerprint: told.fingerprint,
            name: Label::beginning(name).unwrap_or(Label::UNKNOWN).into(),
            first_from: sender,
            addresses: Vec::new(),
        };
        // The first of several addresses fits.
        let _ = gateway.addresses.push((address, sender));
        self.is_full |= of_sender >= GATEWAYS_OF_SENDER || self.found.push(gateway).is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::x25519::PublicKey;
    use core::net::Ipv4Addr;

    fn told(number: u8) -> Announcement {
        let mut key = [9; 32];
        key[0] = number;
        let fingerprint = Fingerprint::of(&PublicKey::parse(&key).unwrap());
        Announcement { fingerprint, scheme: AddressScheme::WebSocket }
    }

    fn at(last: u8, port: u16) -> SocketAddr {
        (Ipv4Addr::new(192, 0, 2, last), port).into()
    }

    #[test]
    fn equal_fingerprints_at_several_addresses_are_one_gateway() {
        let mut found = FoundGateways::new();
        found.add(&told(1), "Hall", at(1, 8765), at(1, 0).ip());
        found.add(&told(1), "Hall (2)", at(1, 8765), at(1, 0).ip());
        found.add(&told(1), "other", at(2, 8765), at(2, 0).ip());
        found.add(&told(2), "Shed", at(3, 8765), at(3, 0).ip());
        assert_eq!(found.all().len(), 2);
        let hall = found.with(&told(1).fingerprint).unwrap();
        assert_eq!(hall.name().as_str(), "Hall");
        assert!(hall.addresses().map(|address| address.at).eq([at(1, 8765), at(2, 8765)]));
        assert!(!found.is_full());
    }

    #[test]
    fn a_sender_that_floods_leaves_room_for_the_others() {
        let mut found = FoundGateways::new();
        for number in 0..=255 {
            found.add(&told(number), "x", at(number, 1), at(66, 0).ip());
            found.add(&told(0), "x", at(number, 2), at(66, 0).ip());
        }
        assert_eq!(found.all().len(), GATEWAYS_OF_SENDER);
        assert!(found.is_full());
        assert_eq!(found.all()[0].addresses().count(), ADDRESSES_OF_SENDER);
        found.add(&told(77), "Hall", at(7, 8765), at(7, 0).ip());
        found.add(&told(0), "x", at(8, 8765), at(8, 0).ip());
        assert!(found.with(&told(77).fingerprint).is_some());
        assert_eq!(found.all()[0].addresses().count(), ADDRESSES_OF_SENDER + 1);
    }

    #[test]
    fn however_many_answer_the_list_is_bounded() {
        let mut found = FoundGateways::new();
        for number in 0..=255 {
            found.add(&told(number), "x", at(number, 1), at(number, 0).ip());
            found.add(&told(0), "x", at(number, 2), at(number, 0).ip());
        }
        assert_eq!(found.all().len(), FOUND_GATEWAYS);
        assert_eq!(found.all()[0].addresses().count(), FOUND_ADDRESSES);
        assert!(found.is_full());
    }

    #[test]
    fn a_name_is_cut_before_what_would_move_a_cursor() {
        let mut found = FoundGateways::new();
        let names = ["Hall\u{1b}[2J", "Hall\u{202e}x", "\u{7}", ""];
        for (number, name) in names.into_iter().enumerate() {
            let last = u8::try_from(number).unwrap();
            found.add(&told(last), name, at(last, 1), at(last, 0).ip());
        }
        let names = found.all().iter().map(|gateway| gateway.name().as_str());
        assert!(names.eq(["Hall", "Hall", "unknown", "unknown"]));
    }

    #[test]
    fn addresses_that_no_other_machine_has_are_left_out() {
        let mut found = FoundGateways::new();
        for of_no_use in [
            "0.0.0.0:1",
            "127.0.0.1:1",
            "224.0.0.251:1",
            "255.255.255.255:1",
            "192.0.2.1:0",
            "[::]:1",
            "[::1]:1",
            "[fe80::1]:1",
            "[ff02::fb]:1",
            "[::ffff:192.0.2.1]:1",
        ] {
            found.add(&told(1), "x", of_no_use.parse().unwrap(), at(1, 0).ip());
        }
        assert!(found.all().is_empty());
        found.add(&told(1), "x", "[fd00::1]:1".parse().unwrap(), at(1, 0).ip());
        assert_eq!(found.all().len(), 1);
    }
}
