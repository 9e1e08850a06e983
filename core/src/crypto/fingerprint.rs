//! Fingerprints, which people compare instead of keys: 120 bits of a hash of the X25519 static key,
//! in six groups of four letters and digits.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::labels;
use super::x25519::PublicKey;

/// Length of a written fingerprint, in characters: six groups of four and the dashes between them.
pub const FINGERPRINT_CHARS: usize = 29;

/// The first 120 bits of SHA-256 over a label and a static key. Nothing compares or accepts a part
/// of one.
#[derive(Clone, Copy)]
pub struct Fingerprint([u8; 15]);

/// The text is not exactly a fingerprint in the written form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NotAFingerprint;

impl Fingerprint {
    /// Computes the fingerprint of a static key.
    #[must_use]
    pub fn of(key: &PublicKey) -> Self {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(labels::FINGERPRINT)
            .chain_update(key.as_bytes())
            .finalize()
            .into();
        // A hash has more than 15 bytes, so the other branch only satisfies the types.
        let (first, _) = hash.split_first_chunk().unwrap_or((&[0; 15], &[]));
        Self(*first)
    }

    /// Reads all 29 characters of the written form: upper case, with a dash after each fourth.
    ///
    /// # Errors
    /// [`NotAFingerprint`].
    pub fn parse(text: &str) -> Result<Self, NotAFingerprint> {
        if text.len() != FINGERPRINT_CHARS {
            return Err(NotAFingerprint);
        }
        let mut bytes = [0; 15];
        let mut places = bytes.iter_mut();
        let (mut held, mut bits) = (0u16, 0u8);
        for (at, &character) in text.as_bytes().iter().enumerate() {
            // Every fifth character is a dash.
            if at % 5 == 4 {
                if character != b'-' {
                    return Err(NotAFingerprint);
                }
                continue;
            }
            held = held << 5 | u16::from(value(character).ok_or(NotAFingerprint)?);
            bits = bits.saturating_add(5);
            if let Some(rest) = bits.checked_sub(8) {
                bits = rest;
                if let Some(place) = places.next() {
                    *place = (held >> rest).to_le_bytes()[0];
                }
            }
        }
        Ok(Self(bytes))
    }

    /// Returns the fifteen bytes, the key of a pending entry.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 15] {
        &self.0
    }

    /// Returns the characters in their groups.
    #[must_use]
    pub fn text(&self) -> [u8; FINGERPRINT_CHARS] {
        let mut text = [b'-'; FINGERPRINT_CHARS];
        let mut bytes = self.0.iter();
        let (mut held, mut bits) = (0u16, 0u8);
        for (_, place) in text.iter_mut().enumerate().filter(|(at, _)| at % 5 != 4) {
            // A character takes five bits; a byte is added when fewer are left.
            if bits < 5 {
                held = held << 8 | u16::from(bytes.next().copied().unwrap_or(0));
                bits = bits.saturating_add(8);
            }
            bits = bits.saturating_sub(5);
            *place = character(held.checked_shr(bits.into()).unwrap_or(0).to_le_bytes()[0] & 31);
        }
        text
    }
}

/// Returns a character of the base32 alphabet of RFC 4648, section 6.
const fn character(value: u8) -> u8 {
    if value < 26 { b'A'.wrapping_add(value) } else { b'2'.wrapping_add(value.wrapping_sub(26)) }
}

const fn value(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character.wrapping_sub(b'A')),
        b'2'..=b'7' => Some(character.wrapping_sub(b'2').wrapping_add(26)),
        _ => None,
    }
}

impl PartialEq for Fingerprint {
    /// Compares in constant time.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Fingerprint {}

impl core::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(core::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl core::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Fingerprint {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=str}", core::str::from_utf8(&self.text()).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    /// Bytes and text from Python: `base64.b32encode(bytes(range(0, 255, 17))[:15])`.
    const BYTES: [u8; 15] = [0, 17, 34, 51, 68, 85, 102, 119, 136, 153, 170, 187, 204, 221, 238];
    const TEXT: &str = "AAIS-EM2E-KVTH-PCEZ-VK54-ZXPO";

    #[test]
    fn it_is_written_in_six_groups_and_read_back() {
        assert_eq!(Fingerprint(BYTES).to_string(), TEXT);
        assert_eq!(Fingerprint::parse(TEXT), Ok(Fingerprint(BYTES)));
    }

    #[test]
    fn nothing_shorter_longer_or_otherwise_written_is_read() {
        for end in 0..TEXT.len() {
            assert_eq!(Fingerprint::parse(&TEXT[..end]), Err(NotAFingerprint), "a prefix");
        }
        let spaced = TEXT.replace('-', " ");
        let bare = TEXT.replace('-', "");
        let shifted = "AAI-SEM2E-KVTH-PCEZ-VK54-ZXPO";
        for wrong in [
            &TEXT.to_lowercase(),
            &spaced,
            &bare,
            &std::format!("{TEXT}A"),
            &TEXT.replace('2', "1"),
            shifted,
        ] {
            assert_eq!(Fingerprint::parse(wrong), Err(NotAFingerprint), "{wrong}");
        }
    }

    #[test]
    fn one_bit_of_the_key_changes_it() {
        let key = |byte| PublicKey::parse(&[byte; 32]).unwrap();
        assert_eq!(Fingerprint::of(&key(1)), Fingerprint::of(&key(1)));
        assert_ne!(Fingerprint::of(&key(1)), Fingerprint::of(&key(2)));
    }
}
