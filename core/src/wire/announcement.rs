//! The announcement of a gateway on its local network: the TXT record of its DNS-SD service
//! (RFC 6763), `v=1 fp=AAIS-EM2E-KVTH-PCEZ-VK54-ZXPO s=ws`.
//!
//! Anyone on the network can announce anything. An announcement proves nothing: it says where to
//! try, and which key the peer must prove there.

use core::fmt::Write;

use crate::crypto::fingerprint::{FINGERPRINT_CHARS, Fingerprint};
use crate::wire::gateway_address::AddressScheme;

/// DNS-SD type of the service, in the domain of multicast DNS.
pub const SERVICE: &str = "_handfast._tcp.local";

/// The version of the native wire that is announced.
const VERSION: &str = "1";
const VERSION_KEY: &str = "v";
const FINGERPRINT_KEY: &str = "fp";
const SCHEME_KEY: &str = "s";
/// Maximum number of entries of a TXT record that are read.
const ENTRIES: usize = 16;

/// The value of an entry.
pub type AnnouncedValue = heapless::String<FINGERPRINT_CHARS>;

/// The contents of a gateway's TXT record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Announcement {
    /// Fingerprint of the gateway's key.
    pub fingerprint: Fingerprint,
    /// The transport at the announced port.
    pub scheme: AddressScheme,
}

impl Announcement {
    /// Reads the entries of a TXT record, each a key with its value. Returns `None` unless they name a
    /// fingerprint, a known transport, and this version of the native wire. Unknown entries are
    /// skipped; of several with one key the first counts.
    #[must_use]
    pub fn read<'b>(
        entries: impl IntoIterator<Item = (&'b [u8], Option<&'b [u8]>)>,
    ) -> Option<Self> {
        let (mut version, mut fingerprint, mut scheme) = (None, None, None);
        for (key, value) in entries.into_iter().take(ENTRIES) {
            let named = |name: &str| key.eq_ignore_ascii_case(name.as_bytes());
            let place = match () {
                () if named(VERSION_KEY) => &mut version,
                () if named(FINGERPRINT_KEY) => &mut fingerprint,
                () if named(SCHEME_KEY) => &mut scheme,
                () => continue,
            };
            let value = value.and_then(|value| core::str::from_utf8(value).ok());
            place.get_or_insert(value.unwrap_or_default());
        }
        (version? == VERSION).then_some(())?;
        let fingerprint = Fingerprint::parse(fingerprint?).ok()?;
        Some(Self { fingerprint, scheme: AddressScheme::parse(scheme?)? })
    }

    /// Returns the entries of the TXT record, in their order.
    #[must_use]
    pub fn entries(&self) -> [(&'static str, AnnouncedValue); 3] {
        let text = |value: &dyn core::fmt::Display| {
            let mut text = AnnouncedValue::new();
            // A fingerprint is the longest of the values, and it fits.
            let _ = write!(text, "{value}");
            text
        };
        [
            (VERSION_KEY, text(&VERSION)),
            (FINGERPRINT_KEY, text(&self.fingerprint)),
            (SCHEME_KEY, text(&self.scheme.as_str())),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::vec::Vec;

    const FINGERPRINT: &str = "AAIS-EM2E-KVTH-PCEZ-VK54-ZXPO";

    fn read(entries: &[&str]) -> Option<Announcement> {
        Announcement::read(entries.iter().map(|entry| match entry.split_once('=') {
            Some((key, value)) => (key.as_bytes(), Some(value.as_bytes())),
            None => (entry.as_bytes(), None),
        }))
    }

    #[test]
    fn an_announcement_is_read_as_it_was_written() {
        for scheme in [AddressScheme::WebSocket, AddressScheme::WebSocketTls, AddressScheme::Stream]
        {
            let fingerprint = Fingerprint::parse(FINGERPRINT).unwrap();
            let told = Announcement { fingerprint, scheme };
            let entries = told.entries().map(|(key, value)| format!("{key}={value}"));
            let entries: Vec<&str> = entries.iter().map(|entry| entry.as_str()).collect();
            assert_eq!(read(&entries), Some(told));
        }
    }

    #[test]
    fn keys_have_any_case_and_the_first_of_two_counts() {
        let fp = format!("FP={FINGERPRINT}");
        let other = "fp=BBBB-EM2E-KVTH-PCEZ-VK54-ZXPO";
        let read = read(&["x", "", "other=1", "V=1", &fp, other, "s=ws", "s=tcp"]).unwrap();
        assert_eq!(format!("{}", read.fingerprint), FINGERPRINT);
        assert_eq!(read.scheme, AddressScheme::WebSocket);
    }

    #[test]
    fn what_lacks_a_part_or_is_of_another_version_is_no_announcement() {
        let fp = format!("fp={FINGERPRINT}");
        for entries in [
            &["v=1", "s=ws"][..],
            &["v=1", &fp],
            &[&fp, "s=ws"],
            &["v=2", &fp, "s=ws"],
            &["v=1", "fp=AAIS", "s=ws"],
            &["v=1", &fp, "s=http"],
            &["v", &fp, "s=ws"],
        ] {
            assert_eq!(read(entries), None, "{entries:?}");
        }
        // Those that are read are bounded, whatever comes behind them.
        let mut many: Vec<&str> = std::iter::repeat_n("x=y", ENTRIES).collect();
        many.extend(["v=1", &fp, "s=ws"]);
        assert_eq!(read(&many), None);
        let fp = FINGERPRINT.as_bytes();
        let junk = [(&b"s"[..], Some(&[0xff; 253][..])), (&b"v"[..], Some(&b"1"[..]))];
        assert_eq!(Announcement::read(junk.into_iter().chain([(&b"fp"[..], Some(fp))])), None);
    }
}
