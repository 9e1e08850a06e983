//! Base64 with the URL-safe alphabet and no padding (RFC 4648, section 5), for secrets: no table
//! look-up depends on the data.

/// Characters per block: two vector registers of them, so that the compiler can vectorise the steps
/// that are alike for each character.
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

fn write(bytes: &[u8], out: &mut [u8]) {
    let (blocks, last) = bytes.as_chunks::<BLOCK_BYTES>();
    let (places, rest) = out.as_chunks_mut::<BLOCK>();
    for (place, block) in places.iter_mut().zip(blocks) {
        *place = characters_of(block);
    }
    // Bytes that are missing from the last three count as zeros.
    for (place, character) in rest.iter_mut().zip(&characters_of(&filled(last, 0))) {
        *place = *character;
    }
}

fn characters_of(block: &[u8; BLOCK_BYTES]) -> [u8; BLOCK] {
    let mut characters = [0; BLOCK];
    let fours = characters.as_chunks_mut::<4>().0.iter_mut();
    for (four, &[a, b, c]) in fours.zip(block.as_chunks::<3>().0) {
        // The 24 bits move apart, to the low six bits of each byte.
        let word = u32::from_be_bytes([0, a, b, c]);
        let word = (word & 0x00ff_f000) << 4 | word & 0x0fff;
        let word = (word & 0x0fc0_0fc0) << 2 | word & 0x003f_003f;
        *four = word.to_be_bytes();
    }
    // In place, because the compiler vectorises this loop and not `map`.
    characters.iter_mut().for_each(|place| *place = character(*place));
    characters
}

/// Decodes a text of [`encode`] into `out`. Any other text is refused, so that the same bytes never
/// have two texts: `None` for a character outside the alphabet, a lone last character, leftover
/// bits that are not zero, and if `out` is too short.
pub fn decode<'o>(text: &str, out: &'o mut [u8]) -> Option<&'o [u8]> {
    let length = text.len().checked_mul(3)? / 4;
    let out = out.get_mut(..length)?;
    let (blocks, last) = text.as_bytes().as_chunks::<BLOCK>();
    let (places, rest) = out.as_chunks_mut::<BLOCK_BYTES>();
    let mut bad = false;
    for (place, block) in places.iter_mut().zip(blocks) {
        bad |= bytes_of(block, place);
    }
    let mut end = [0; BLOCK_BYTES];
    bad |= bytes_of(&filled(last, b'A'), &mut end);
    for (place, byte) in rest.iter_mut().zip(&end) {
        *place = *byte;
    }
    // Leftover bits must be zero. They are in the byte behind the last whole one.
    let left = end.get(rest.len()).copied().unwrap_or(0);
    (!bad && left == 0 && text.len() % 4 != 1).then_some(out)
}

/// Decodes a block into `bytes`. Returns `true` if a character is outside the alphabet.
fn bytes_of(block: &[u8; BLOCK], bytes: &mut [u8; BLOCK_BYTES]) -> bool {
    let mut sextets = *block;
    // In place, because the compiler vectorises this loop and not `map`.
    sextets.iter_mut().for_each(|place| *place = value(*place));
    let mut all = 0;
    let sixes = bytes.as_chunks_mut::<6>().0.iter_mut();
    for (six, eight) in sixes.zip(sextets.as_chunks::<8>().0) {
        let word = u64::from_be_bytes(*eight);
        all |= word;
        // Neighbours join: to 12 bits, to 24, to 48.
        let word = (word & 0x3f00_3f00_3f00_3f00) >> 2 | word & 0x003f_003f_003f_003f;
        let word = (word & 0x0fff_0000_0fff_0000) >> 4 | word & 0x0fff_0000_0fff;
        let word = (word & 0x00ff_ffff_0000_0000) << 8 | (word & 0x00ff_ffff) << 16;
        // Six bytes are written at once: what reads them next would wait for single ones.
        if let Some((front, _)) = word.to_be_bytes().split_first_chunk() {
            *six = *front;
        }
    }
    all & 0xc0c0_c0c0_c0c0_c0c0 != 0
}

/// Returns a block of these bytes, filled up with `zero`.
fn filled<const N: usize>(bytes: &[u8], zero: u8) -> [u8; N] {
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
        let inside = u8::from(sextet.wrapping_sub(low) <= high.wrapping_sub(low));
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
        let above = character.wrapping_sub(low);
        let inside = u8::from(above <= high.wrapping_sub(low));
        inside.wrapping_neg() & above.wrapping_add(value).wrapping_add(1)
    };
    // Each term is one more than the value, so a character that matches none stays zero and becomes
    // 255 below.
    let found = within(b'A', b'Z', 0)
        | within(b'a', b'z', 26)
        | within(b'0', b'9', 52)
        | within(b'-', b'-', 62)
        | within(b'_', b'_', 63);
    found.wrapping_sub(1)
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
    fn a_text_of_any_length_is_that_of_its_bits_and_tells_a_foreign_character_anywhere() {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let bytes: [u8; 100] = core::array::from_fn(|i| u8::try_from(i * 151 % 256).unwrap());
        for length in 0..=bytes.len() {
            let bytes = &bytes[..length];
            let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
            let sextet = |at: usize| (0..6).fold(0, |bits, i| bits << 1 | bit(6 * at + i));
            let text: std::string::String = (0..(length * 4).div_ceil(3))
                .map(|at| char::from(ALPHABET[usize::from(sextet(at))]))
                .collect();
            let (mut characters, mut back) = ([0; 134], [0; 100]);
            assert_eq!(encode(bytes, &mut characters), Some(&*text));
            assert_eq!(decode(&text, &mut back), Some(bytes));
            for at in 0..text.len() {
                for foreign in ["=", "\0", "[", "\u{7f}"] {
                    let mut wrong = text.clone();
                    wrong.replace_range(at..=at, foreign);
                    assert_eq!(decode(&wrong, &mut back), None, "{wrong:?}");
                }
            }
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
