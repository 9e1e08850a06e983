//! Base64 with the URL-safe alphabet and no padding (RFC 4648, section 5), for secrets: no table
//! look-up depends on the data.

/// Characters per block: the bytes of one vector register, so that the compiler can vectorise the
/// identical steps.
const BLOCK: usize = 32;
/// Bytes that a block of characters encodes.
const BLOCK_BYTES: usize = BLOCK / 4 * 3;

/// Encodes 32 bytes to 43 characters.
#[must_use]
pub fn encode_32(bytes: &[u8; 32]) -> [u8; 43] {
    let mut out = [0; 43];
    write(bytes, &mut out);
    out
}

/// Encodes bytes into `out`. Returns `None` if `out` is too short: three bytes take four
/// characters, one byte left over takes two, and two bytes take three.
pub fn encode<'o>(bytes: &[u8], out: &'o mut [u8]) -> Option<&'o str> {
    let length = bytes.len().checked_mul(4)?.div_ceil(3);
    let out = out.get_mut(..length)?;
    write(bytes, out);
    core::str::from_utf8(out).ok()
}

/// Encodes; bytes that are missing from the last three count as zeros.
fn write(bytes: &[u8], out: &mut [u8]) {
    for (places, bytes) in out.chunks_mut(BLOCK).zip(bytes.chunks(BLOCK_BYTES)) {
        let block: [u8; BLOCK_BYTES] = filled(bytes, 0);
        let mut sextets = [0; BLOCK];
        for (four, &[a, b, c]) in
            sextets.as_chunks_mut::<4>().0.iter_mut().zip(block.as_chunks::<3>().0)
        {
            *four = [a >> 2, (a << 4 | b >> 4) & 0x3f, (b << 2 | c >> 6) & 0x3f, c & 0x3f];
        }
        for (place, character) in places.iter_mut().zip(sextets.map(character)) {
            *place = character;
        }
    }
}

/// Decodes a text of [`encode`] into `out`. Any other text is refused, so that the same bytes never
/// have two texts: `None` for a character outside the alphabet, a lone last character, leftover
/// bits that are not zero, and if `out` is too short.
pub fn decode<'o>(text: &str, out: &'o mut [u8]) -> Option<&'o [u8]> {
    let length = text.len().checked_mul(3)? / 4;
    let out = out.get_mut(..length)?;
    let (mut bad, mut left) = (0, 0);
    for (places, characters) in out.chunks_mut(BLOCK_BYTES).zip(text.as_bytes().chunks(BLOCK)) {
        let sextets = filled::<BLOCK>(characters, b'A').map(value);
        bad |= sextets.iter().fold(0, |bad, sextet| bad | sextet & !0x3f);
        let mut block = [0; BLOCK_BYTES];
        for (three, &[a, b, c, d]) in
            block.as_chunks_mut::<3>().0.iter_mut().zip(sextets.as_chunks::<4>().0)
        {
            *three = [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d];
        }
        // Leftover bits beyond the last whole byte must be zero.
        left |= block.iter().skip(places.len()).fold(0, |left, byte| left | byte);
        for (place, byte) in places.iter_mut().zip(block) {
            *place = byte;
        }
    }
    (bad == 0 && left == 0 && text.len() % 4 != 1).then_some(out)
}

/// Returns a block of these bytes, filled up with `zero`.
fn filled<const N: usize>(bytes: &[u8], zero: u8) -> [u8; N] {
    if let Ok(whole) = bytes.try_into() {
        return whole;
    }
    let mut block = [zero; N];
    for (to, from) in block.iter_mut().zip(bytes) {
        *to = *from;
    }
    block
}

/// Returns `true` if a byte belongs to the alphabet.
#[must_use]
pub const fn is_alphabet(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
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

/// Returns the six bits of a character; 255 for one outside the alphabet.
fn value(character: u8) -> u8 {
    let within = |low: u8, high: u8, value: u8| {
        let inside = u8::from(character >= low) & u8::from(character <= high);
        inside.wrapping_neg() & character.wrapping_sub(low).wrapping_add(value).wrapping_add(1)
    };
    // Each term is one more than the value, so a character that matches none stays zero and becomes
    // 255 below.
    let above = within(b'A', b'Z', 0)
        | within(b'a', b'z', 26)
        | within(b'0', b'9', 52)
        | within(b'-', b'-', 62)
        | within(b'_', b'_', 63);
    above.wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_read_back_and_each_has_one_text() {
        // The vectors of RFC 4648, section 10, without their padding.
        let vectors = ["", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"];
        for (length, text) in vectors.into_iter().enumerate() {
            let bytes = &b"foobar"[..length];
            let (mut chars, mut back) = ([0; 8], [0; 6]);
            assert_eq!(encode(bytes, &mut chars), Some(text));
            assert_eq!(decode(text, &mut back), Some(bytes));
            assert_eq!(
                encode(bytes, &mut chars[..text.len().saturating_sub(1)]).is_none(),
                length > 0
            );
            assert_eq!(decode(text, &mut back[..length.saturating_sub(1)]).is_none(), length > 0);
        }
        for wrong in [
            "Z",
            "Zm9vY",
            "Zh",
            "Zm9",
            "Zg==",
            "Zm9v\n",
            "Zm+v",
            "Zm/v",
            "Zm9\u{e9}",
            "Zm 9",
            "Zm9v=",
        ] {
            assert_eq!(decode(wrong, &mut [0; 16]), None, "{wrong:?}");
        }
    }

    #[test]
    fn only_the_alphabet_has_values() {
        for byte in 0..=u8::MAX {
            assert_eq!(value(byte) < 64, is_alphabet(byte), "{byte}");
            assert!(value(byte) < 64 || value(byte) == u8::MAX);
            assert!(value(byte) > 63 || character(value(byte)) == byte);
        }
    }

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
