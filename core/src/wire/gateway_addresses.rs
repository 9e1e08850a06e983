//! The addresses of a gateway as it tells them to its nodes, one space between two:
//! `tcp://10.0.0.5:7331 ws://gateway.local:8765`.
//!
//! An address says where to look, never whom to trust: the handshake proves the gateway's key at
//! each of them.

use super::gateway_address::GatewayAddress;
use crate::limits::{GATEWAY_ADDRESS_BYTES, TOLD_ADDRESSES, TOLD_ADDRESSES_BYTES};

/// One to [`TOLD_ADDRESSES`] different addresses in the spelling of [`GatewayAddress`].
///
/// A reader checks the form of the list at once, and each address when it is iterated: an entry
/// that is none is passed over, so that a later version may tell addresses of a new kind to nodes
/// that do not know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct GatewayAddresses<'b>(&'b str);

impl<'b> GatewayAddresses<'b> {
    /// Reads a list. Returns `None` for a list that is empty, too long or has duplicates, and for
    /// entries that are too long or hold anything but visible ASCII.
    #[must_use]
    pub fn parse(text: &'b str) -> Option<Self> {
        // The form is checked by bytes; a search for text would take a device some KB of flash.
        let visible = |entry: &[u8]| {
            (1..=GATEWAY_ADDRESS_BYTES).contains(&entry.len())
                && entry.iter().all(u8::is_ascii_graphic)
        };
        if text.len() > TOLD_ADDRESSES_BYTES {
            return None;
        }
        let entries = || text.as_bytes().split(|byte| *byte == b' ');
        let mut count = 0_usize;
        for entry in entries() {
            // Equal entries before this one; a list is short.
            let repeats = entries().take(count).any(|earlier| earlier.eq_ignore_ascii_case(entry));
            if repeats || !visible(entry) || count >= TOLD_ADDRESSES {
                return None;
            }
            count = count.checked_add(1)?;
        }
        Some(Self(text))
    }

    /// Returns the list as text.
    #[must_use]
    pub const fn as_str(&self) -> &'b str {
        self.0
    }

    /// Iterates over the addresses; entries that are none are passed over.
    pub fn iter(&self) -> impl Iterator<Item = GatewayAddress<'b>> + use<'b> {
        self.0.split(' ').filter_map(GatewayAddress::parse)
    }
}

crate::serial::serial_text!(GatewayAddresses, GatewayAddresses::parse, as_str);

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn many(count: usize) -> String {
        (0..count).map(|at| format!("ws://gateway{at}:80")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_list_reads_back_as_it_was_written() {
        for text in ["tcp://10.0.0.5:7331", "ws://a:1 wss://b:443 tcp://[2001:db8::1]:7331"] {
            let list = GatewayAddresses::parse(text).unwrap();
            assert_eq!(list.as_str(), text);
            let each: Vec<_> = list.iter().map(|address| address.to_string()).collect();
            assert_eq!(each.join(" "), text);
        }
        assert!(GatewayAddresses::parse(&many(TOLD_ADDRESSES)).is_some());
    }

    #[test]
    fn a_list_that_is_empty_too_long_or_repeats_itself_is_none() {
        let long = format!("ws://{}:80", "a".repeat(GATEWAY_ADDRESS_BYTES));
        for text in [
            "",
            " ",
            "ws://a:1 ",
            " ws://a:1",
            "ws://a:1  ws://b:1",
            "ws://a:1\tws://b:1",
            "ws://a:1\nws://b:1",
            "ws://a:1 ws://a:1",
            "ws://a:1 ws://b:1 WS://A:1",
            "ws://\u{fc}:1",
            "ws://a:1\u{0}",
            &many(TOLD_ADDRESSES + 1),
            &long,
        ] {
            assert_eq!(GatewayAddresses::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_address_of_one_host_is_passed_over() {
        let list = GatewayAddresses::parse(
            "ws://0.0.0.0:80 ws://224.0.0.1:80 ws://255.255.255.255:80 ws://[::]:80 \
             ws://[ff02::1]:80 quic://a:1 ws://u:p@a:1 tcp://10.0.0.5:7331",
        )
        .unwrap();
        let each: Vec<_> = list.iter().map(|address| address.to_string()).collect();
        assert_eq!(each, ["tcp://10.0.0.5:7331"]);
    }
}
