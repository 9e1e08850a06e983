//! Certificates of nodes: their serial numbers, the hash that names their key, and the compact
//! certificate for devices that read no X.509.
//!
//! An X.509 certificate is made by the gateway's certificate authority, outside this crate. The
//! compact certificate says the same in fewer than
//! [`COMPACT_CERTIFICATE_BYTES`](crate::limits::COMPACT_CERTIFICATE_BYTES), signed by the gateway's
//! Ed25519 key. Its bytes have one form: they are written again and compared before the signature
//! is checked.

#[cfg(feature = "identity")]
mod compact;

#[cfg(feature = "identity")]
pub use compact::{
    CompactBytes, CompactCertificate, CompactDefect, CompactFields, issue_compact, verify_compact,
};
#[cfg(feature = "identity")]
pub(crate) use compact::{SignedFields, Unverified};

use crate::crypto::ed25519;
use crate::crypto::sha256;
use crate::entropy::Entropy;
use crate::id::hex_digit;
use crate::serial::{byte_array, serial_bytes};

/// Length of a serial number, in bytes.
pub const SERIAL_BYTES: usize = 20;

/// A certificate's serial number: 158 random bits, positive, and always 20 bytes long as a DER
/// integer (RFC 5280 allows no more).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial([u8; SERIAL_BYTES]);

impl Serial {
    /// Makes a fresh serial number.
    #[must_use]
    pub const fn new(entropy: &Entropy<SERIAL_BYTES>) -> Self {
        let mut bytes = *entropy.expose();
        // The first bit keeps the number positive, and the second one its length.
        bytes[0] = bytes[0] & 0x3f | 0x40;
        Self(bytes)
    }

    /// Reads the content of a DER integer, or the bytes from a store. Returns `None` for a number
    /// that [`new`](Self::new) does not make.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; SERIAL_BYTES] = bytes.try_into().ok()?;
        let [first, ..] = bytes;
        (first & 0xc0 == 0x40).then_some(Self(bytes))
    }

    /// Reads 40 hexadecimal digits, with or without a colon after every second one, in upper or
    /// lower case, as certificate tools write them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; SERIAL_BYTES];
        let mut places = bytes.iter_mut();
        let mut rest = text.as_bytes();
        while let Some(([high, low], after)) = rest.split_first_chunk() {
            *places.next()? = hex_value(*high)? << 4 | hex_value(*low)?;
            rest = match after {
                // A colon stands only between bytes.
                [b':', more @ ..] if !more.is_empty() => more,
                more => more,
            };
        }
        if !rest.is_empty() || places.next().is_some() {
            return None;
        }
        Self::from_bytes(&bytes)
    }

    /// Returns the bytes, which are the content of a DER integer.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; SERIAL_BYTES] {
        &self.0
    }
}

serial_bytes!(Serial, |bytes: &[u8; SERIAL_BYTES]| Self::from_bytes(bytes), as_bytes);

impl core::fmt::Display for Serial {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl core::fmt::Debug for Serial {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Serial({self})")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Serial {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Serial({=[u8]:02x})", self.0);
    }
}

const fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(digit.wrapping_sub(b'a').wrapping_add(10)),
        b'A'..=b'F' => Some(digit.wrapping_sub(b'A').wrapping_add(10)),
        _ => None,
    }
}

/// The SHA-256 hash of a public key's SubjectPublicKeyInfo. A certificate is known by this hash
/// and never by one of its own bytes, because an ECDSA signature has a second valid form.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct KeyHash(#[serde(with = "byte_array")] [u8; 32]);

/// The SubjectPublicKeyInfo of an Ed25519 key up to the key (RFC 8410, section 4).
const ED25519_INFO: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

impl KeyHash {
    /// Hashes the DER form of a SubjectPublicKeyInfo.
    #[must_use]
    pub fn of(info: &[u8]) -> Self {
        Self(sha256::hash([info, &[]]))
    }

    /// Hashes the SubjectPublicKeyInfo of an Ed25519 key, the key of a compact certificate.
    #[must_use]
    pub fn of_ed25519(key: &ed25519::PublicKey) -> Self {
        Self(sha256::hash([&ED25519_INFO, key.as_bytes()]))
    }

    /// Restores a hash from the bytes in a store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes for a store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the 64 hexadecimal digits.
    #[must_use]
    pub fn text(&self) -> [u8; 64] {
        let mut text = [b'0'; 64];
        let digits = self.0.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
        for (place, digit) in text.iter_mut().zip(digits) {
            *place = hex_digit(digit);
        }
        text
    }
}

impl core::fmt::Display for KeyHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(core::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl core::fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "KeyHash({self})")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for KeyHash {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "KeyHash({=[u8]:02x})", self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_serial_number_is_a_positive_der_integer_of_exactly_twenty_bytes() {
        for byte in [0, 0x3f, 0x40, 0x7f, 0x80, 0xff] {
            let serial = Serial::new(&Entropy::from_recorded([byte; 20]));
            let [first, ..] = *serial.as_bytes();
            assert!((0x40..0x80).contains(&first), "{first:x}");
            assert_eq!(Serial::from_bytes(serial.as_bytes()), Some(serial));
        }
        for first in [0x00, 0x3f, 0x80, 0xff] {
            let mut bytes = [1; 20];
            bytes[0] = first;
            assert_eq!(Serial::from_bytes(&bytes), None, "{first:x}");
        }
        assert_eq!(Serial::from_bytes(&[0x41; 19]), None);
        assert_eq!(Serial::from_bytes(&[0x41; 21]), None);
    }

    #[test]
    fn a_serial_number_is_read_as_tools_write_it() {
        let serial = Serial::from_bytes(&core::array::from_fn::<u8, 20, _>(|at| 0x4a + at as u8));
        let serial = serial.unwrap();
        let text = serial.to_string();
        assert_eq!(text, "4a4b4c4d4e4f505152535455565758595a5b5c5d");
        assert_eq!(Serial::parse(&text), Some(serial));
        let colons: std::vec::Vec<_> = (0..20).map(|at| &text[2 * at..2 * at + 2]).collect();
        let colons = colons.join(":").to_uppercase();
        assert_eq!(Serial::parse(&colons), Some(serial));
        for bad in [
            "",
            &text[1..],
            &text[2..],
            &std::format!("{text}4a"),
            &std::format!("{text}:"),
            &std::format!(":{text}"),
            &colons.replace(':', "::"),
            &text.replace('a', "g"),
            &text.replacen('4', "0", 1),
        ] {
            assert_eq!(Serial::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_hash_of_an_ed25519_key_is_that_of_its_subject_public_key_info() {
        // The public key of RFC 8410, section 10.1; its hash comes from OpenSSL:
        // `openssl pkey -pubin -outform DER | sha256sum`.
        let info: std::vec::Vec<u8> = [
            "302a300506032b6570032100",
            "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1",
        ]
        .concat()
        .as_bytes()
        .chunks(2)
        .map(|pair| hex_value(pair[0]).unwrap() << 4 | hex_value(pair[1]).unwrap())
        .collect();
        let key = ed25519::PublicKey::parse(info[12..].try_into().unwrap()).unwrap();
        assert_eq!(KeyHash::of_ed25519(&key), KeyHash::of(&info));
        assert_eq!(KeyHash::of(&info).to_string(), KEY_HASH);
    }

    const KEY_HASH: &str = "a1e9156054e04fac899ae9f275132cdc07a5dbc4ea2c2ad3a1ffc6e0d253681f";
}
