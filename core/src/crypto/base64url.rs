//! Base64 with the URL-safe alphabet and no padding (RFC 4648, section 5), for secrets: no table look-up depends on the data.

/// Encodes 32 bytes to 43 characters.
#[must_use]
pub fn encode_32(bytes: &[u8; 32]) -> [u8; 43] {
    let mut out = [0; 43];
    let mut sextets = Sextets { bytes: bytes.iter(), held: 0, bits: 0 };
    for place in &mut out {
        *place = character(sextets.next_sextet());
    }
    out
}

/// Whether a byte belongs to the alphabet.
#[must_use]
pub const fn is_alphabet(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

struct Sextets<'b> {
    bytes: core::slice::Iter<'b, u8>,
    held: u16,
    bits: u8,
}

impl Sextets<'_> {
    /// The next six bits, filled up with zeros at the end.
    fn next_sextet(&mut self) -> u8 {
        if self.bits < 6 {
            let byte = self.bytes.next().copied().unwrap_or(0);
            self.held = self.held << 8 | u16::from(byte);
            self.bits = self.bits.wrapping_add(8);
        }
        self.bits = self.bits.wrapping_sub(6);
        (self.held >> self.bits & 0x3f).to_le_bytes()[0]
    }
}

fn character(sextet: u8) -> u8 {
    // Each comparison becomes a mask, so neither a branch nor an address depends on the secret.
    let within = |low: u8, high: u8, offset: u8| {
        let inside = u8::from(sextet >= low) & u8::from(sextet <= high);
        inside.wrapping_neg() & sextet.wrapping_add(offset)
    };
    within(0, 25, b'A')
        | within(26, 51, b'a'.wrapping_sub(26))
        | within(52, 61, b'0'.wrapping_sub(52))
        | within(62, 62, b'-'.wrapping_sub(62))
        | within(63, 63, b'_'.wrapping_sub(63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirty_two_bytes_become_forty_three_characters() {
        assert_eq!(&encode_32(&[0; 32]), &[b'A'; 43]);
        assert_eq!(&encode_32(&[0xff; 32]), b"__________________________________________8");
        let counting: [u8; 32] = core::array::from_fn(|i| u8::try_from(i).unwrap());
        assert_eq!(&encode_32(&counting), b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    }

    #[test]
    fn all_sixty_four_characters_are_of_the_alphabet_and_differ() {
        let mut seen = std::collections::BTreeSet::new();
        for sextet in 0..64 {
            assert!(is_alphabet(character(sextet)));
            assert!(seen.insert(character(sextet)));
        }
    }
}
