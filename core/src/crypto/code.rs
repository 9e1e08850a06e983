//! PINs and codes that people carry from one side to the other: one spelling, bounded, secret.

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::entropy::Entropy;

/// Minimum length of a PIN or code, in characters.
pub const CODE_CHARS_MIN: usize = 4;
/// Maximum length of a PIN or code without spaces and dashes, in characters.
pub const CODE_CHARS: usize = 64;
/// Maximum length of a typed PIN or code, in bytes.
pub const TYPED_BYTES: usize = 160;

/// A PIN or code without spaces and dashes, in upper case: the password of [`cpace`](super::cpace).
/// It is wiped on drop and never shown.
pub struct Code {
    chars: [u8; CODE_CHARS],
    len: u8,
}

/// Maximum length of a minted code, in characters: 160 bits of the unambiguous alphabet.
pub const MINTED_CHARS: usize = 32;

/// The unambiguous characters: without `I`, `O`, `0` and `1`, which look alike. Their number is a
/// power of two, so bits become characters without a bias.
const UNAMBIGUOUS: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// The alphabet of a minted code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Alphabet {
    /// `0` to `9`, for devices with only a number pad: 3.3 bits a character.
    Digits,
    /// 32 letters and digits that do not look alike: 5 bits a character.
    Unambiguous,
}

/// Returns the unambiguous character for the low five bits of a random byte.
pub(crate) fn unambiguous(byte: u8) -> u8 {
    // The table has 32 characters, so the fallback is never taken.
    UNAMBIGUOUS.get(usize::from(byte & 31)).copied().unwrap_or(b'A')
}

/// Removes the last decimal digit of a big-endian number and returns it.
fn take_digit(number: &mut [u8; 32]) -> u8 {
    let mut rest = 0u16;
    for byte in number {
        let held = rest << 8 | u16::from(*byte);
        *byte = (held / 10).to_le_bytes()[0];
        rest = held % 10;
    }
    rest.to_le_bytes()[0]
}

/// The text is too short, too long, or has a character that is neither an ASCII letter nor a digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NotACode;

impl Code {
    /// Reads text that was typed, pasted, scanned or stored. Spaces, line breaks and dashes
    /// anywhere are ignored.
    ///
    /// # Errors
    /// [`NotACode`].
    pub fn parse(typed: &str) -> Result<Self, NotACode> {
        // Separators may be typed without limit, so the length is bounded first.
        if typed.len() > TYPED_BYTES {
            return Err(NotACode);
        }
        let mut code = Self { chars: [0; CODE_CHARS], len: 0 };
        for character in typed.chars().filter(|c| *c != '-' && !c.is_whitespace()) {
            let place = code.chars.get_mut(usize::from(code.len)).ok_or(NotACode)?;
            if !character.is_ascii_alphanumeric() {
                return Err(NotACode);
            }
            *place = u8::try_from(character).map_err(|_| NotACode)?.to_ascii_uppercase();
            code.len = code.len.saturating_add(1);
        }
        if usize::from(code.len) < CODE_CHARS_MIN { Err(NotACode) } else { Ok(code) }
    }

    /// Makes a fresh code. Returns `None` only for a length outside 4 to [`MINTED_CHARS`]; the
    /// entropy always suffices.
    ///
    /// Each character of the unambiguous alphabet is five bits of its own byte, so all codes are
    /// equally likely. Digits are those of the entropy as one number of 256 bits, modulo
    /// `10^length`: no code is likelier than another by more than `10^32 / 2^256`, which is less
    /// than 2^-149 of its probability. Unlike rejection sampling, this takes the same time for all
    /// codes and never needs more bytes.
    #[must_use]
    pub fn mint(alphabet: Alphabet, length: usize, entropy: &Entropy<32>) -> Option<Self> {
        if !(CODE_CHARS_MIN..=MINTED_CHARS).contains(&length) {
            return None;
        }
        let mut code = Self { chars: [0; CODE_CHARS], len: u8::try_from(length).ok()? };
        let mut number = *entropy.expose();
        for (place, byte) in code.chars.iter_mut().take(length).zip(entropy.expose()) {
            // The whole number is divided, because a byte modulo ten would favour some digits.
            *place = match alphabet {
                Alphabet::Digits => b'0' | take_digit(&mut number),
                Alphabet::Unambiguous => unambiguous(*byte),
            };
        }
        number.zeroize();
        Some(code)
    }

    /// Makes a stand-in for a code that does not exist: no typed code equals it, and comparing
    /// costs the same.
    #[must_use]
    pub fn nobodys(entropy: &Entropy<32>) -> Self {
        // Random bytes are practically never all upper-case letters and digits.
        let mut code = Self { chars: [0; CODE_CHARS], len: 32 };
        for (place, byte) in code.chars.iter_mut().zip(entropy.expose()) {
            *place = *byte;
        }
        code
    }

    /// Returns the characters: the password of CPace, and the content that a store seals.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.chars.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        self.chars.zeroize();
        self.len.zeroize();
    }
}

impl PartialEq for Code {
    /// Compares in constant time.
    fn eq(&self, other: &Self) -> bool {
        // Both are compared in any case, so the time does not tell which of them differs.
        (self.chars.ct_eq(&other.chars) & self.len.ct_eq(&other.len)).into()
    }
}

impl Eq for Code {}

crate::secret::redacted!(Code);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_dashes_and_case_do_not_matter() {
        for typed in
            ["847291", "847-291", " 84 72 91 ", "8-4-7-2-9-1", "847\r\n  291\n", "84\t72\u{a0}91"]
        {
            assert_eq!(Code::parse(typed).unwrap().expose(), b"847291");
        }
        assert_eq!(Code::parse("ab3d-EF").unwrap().expose(), b"AB3DEF");
    }

    #[test]
    fn what_is_too_short_too_long_or_no_letter_or_digit_is_no_code() {
        let long = "7".repeat(CODE_CHARS + 1);
        let padded = std::format!("1234{}", " ".repeat(TYPED_BYTES));
        for typed in [
            "",
            "123",
            "1-2-3",
            "12_34",
            "12/34",
            "12é4",
            "１２３４",
            "12\u{2011}34",
            &long,
            &padded,
        ] {
            assert_eq!(Code::parse(typed).err(), Some(NotACode), "{typed}");
        }
        assert!(Code::parse(&"7".repeat(CODE_CHARS)).is_ok());
    }

    /// Makes entropy that differs in every byte from one seed to the next.
    fn entropy(seed: u64) -> Entropy<32> {
        let mut bytes = [0; 32];
        for (part, at) in bytes.chunks_exact_mut(8).zip(0u64..) {
            // The generator SplitMix64.
            let mut mixed =
                seed.wrapping_mul(4).wrapping_add(at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            part.copy_from_slice(&(mixed ^ mixed >> 31).to_le_bytes());
        }
        Entropy::from_recorded(bytes)
    }

    #[test]
    fn a_code_of_every_length_is_minted_and_reads_back() {
        for alphabet in [Alphabet::Digits, Alphabet::Unambiguous] {
            for length in 0..=CODE_CHARS + 1 {
                let Some(code) = Code::mint(alphabet, length, &entropy(7)) else {
                    assert!(!(CODE_CHARS_MIN..=MINTED_CHARS).contains(&length), "{length}");
                    continue;
                };
                let shown = core::str::from_utf8(code.expose()).unwrap();
                assert_eq!(shown.len(), length);
                assert_eq!(Code::parse(shown), Ok(code));
            }
        }
    }

    #[test]
    fn digits_are_those_of_the_entropy_as_one_number() {
        // From Python: the last 32 digits of int.from_bytes(range(32), 'big') and of 2^256 - 1,
        // last digit first.
        let minted =
            |bytes| Code::mint(Alphabet::Digits, 32, &Entropy::from_recorded(bytes)).unwrap();
        let counting = core::array::from_fn(|at| u8::try_from(at).unwrap());
        assert_eq!(minted(counting).expose(), b"17604497996389574545799130373692");
        assert_eq!(minted([0xff; 32]).expose(), b"53993692131970048575493046504656");
        assert_eq!(minted([0; 32]).expose(), [b'0'; 32]);
    }

    #[test]
    fn every_character_is_about_as_likely_at_every_place() {
        const CODES: u64 = 20_000;
        for (alphabet, chars) in
            [(Alphabet::Digits, &b"0123456789"[..]), (Alphabet::Unambiguous, UNAMBIGUOUS)]
        {
            let mut seen = [[0u32; 128]; 12];
            for seed in 0..CODES {
                let code = Code::mint(alphabet, 12, &entropy(seed)).unwrap();
                for (place, character) in seen.iter_mut().zip(code.expose()) {
                    place[usize::from(*character)] += 1;
                }
            }
            let expected = CODES as f64 / chars.len() as f64;
            for place in seen {
                let count = |character: &u8| f64::from(place[usize::from(*character)]);
                assert_eq!(
                    chars.iter().map(count).sum::<f64>(),
                    CODES as f64,
                    "no other character"
                );
                let chi: f64 = chars
                    .iter()
                    .map(|character| (count(character) - expected).powi(2) / expected)
                    .sum();
                // 31 or fewer degrees of freedom: chance exceeds this less than once in a million.
                assert!(chi < 85.0, "{alphabet:?}: {chi}");
            }
        }
    }

    #[test]
    fn no_unambiguous_character_looks_like_another() {
        let mut chars = UNAMBIGUOUS.to_vec();
        chars.sort_unstable();
        chars.dedup();
        assert_eq!(chars.len(), 32);
        assert!(!chars.iter().any(|character| b"IO01".contains(character)));
    }

    #[test]
    fn a_code_prints_nothing_of_itself() {
        assert_eq!(std::format!("{:?}", Code::parse("847291").unwrap()), "Code(redacted)");
    }
}
