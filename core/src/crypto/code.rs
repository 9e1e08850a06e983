//! PINs and codes that people carry from one side to the other: one spelling, bounded, secret.

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::entropy::Entropy;

/// Fewest characters of a PIN or code.
pub const CODE_CHARS_MIN: usize = 4;
/// Most characters of a PIN or code, without spaces and dashes.
pub const CODE_CHARS: usize = 64;
/// Most bytes of a PIN or code as it is typed.
pub const TYPED_BYTES: usize = 160;

/// A PIN or code without spaces and dashes, in upper case: the password of [`cpace`](super::cpace). Wiped on drop, never shown.
pub struct Code {
    chars: [u8; CODE_CHARS],
    len: u8,
}

/// Too short, too long, or with a character that is neither letter nor digit of ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NotACode;

impl Code {
    /// Reads what was typed, scanned or stored.
    ///
    /// # Errors
    /// [`NotACode`].
    pub fn parse(typed: &str) -> Result<Self, NotACode> {
        if typed.len() > TYPED_BYTES {
            return Err(NotACode);
        }
        let mut code = Self { chars: [0; CODE_CHARS], len: 0 };
        for character in typed.bytes().filter(|byte| !matches!(byte, b' ' | b'-')) {
            let place = code.chars.get_mut(usize::from(code.len)).ok_or(NotACode)?;
            if !character.is_ascii_alphanumeric() {
                return Err(NotACode);
            }
            *place = character.to_ascii_uppercase();
            code.len = code.len.saturating_add(1);
        }
        if usize::from(code.len) < CODE_CHARS_MIN { Err(NotACode) } else { Ok(code) }
    }

    /// What a code that nobody minted is compared with: no typed code equals it, and it costs the same.
    #[must_use]
    pub fn nobodys(entropy: &Entropy<32>) -> Self {
        let mut code = Self { chars: [0; CODE_CHARS], len: 32 };
        for (place, byte) in code.chars.iter_mut().zip(entropy.expose()) {
            *place = *byte;
        }
        code
    }

    /// The characters: the password of CPace, and what a store seals.
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
    /// Takes the same time wherever the two differ.
    fn eq(&self, other: &Self) -> bool {
        (self.chars.ct_eq(&other.chars) & self.len.ct_eq(&other.len)).into()
    }
}

impl Eq for Code {}

impl core::fmt::Debug for Code {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Code(redacted)")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Code {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Code(redacted)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spaces_dashes_and_case_do_not_matter() {
        for typed in ["847291", "847-291", " 84 72 91 ", "8-4-7-2-9-1"] {
            assert_eq!(Code::parse(typed).unwrap().expose(), b"847291");
        }
        assert_eq!(Code::parse("ab3d-EF").unwrap().expose(), b"AB3DEF");
    }

    #[test]
    fn what_is_too_short_too_long_or_no_letter_or_digit_is_no_code() {
        let long = "7".repeat(CODE_CHARS + 1);
        let padded = std::format!("1234{}", " ".repeat(TYPED_BYTES));
        for typed in ["", "123", "1-2-3", "12_34", "12\t34", "12é4", "１２３４", "12\u{2011}34", &long, &padded] {
            assert_eq!(Code::parse(typed).err(), Some(NotACode), "{typed}");
        }
        assert!(Code::parse(&"7".repeat(CODE_CHARS)).is_ok());
    }

    #[test]
    fn a_code_prints_nothing_of_itself() {
        assert_eq!(std::format!("{:?}", Code::parse("847291").unwrap()), "Code(redacted)");
    }
}
