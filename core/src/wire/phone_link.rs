//! Links that a phone's camera opens: `https://HOST/p#PAYLOAD`. The payload is an invitation or a
//! setup code, as it is without a link. It stands behind `#`, so no browser sends it with a request,
//! and a program that opens links to preview them spends nothing.

use crate::crypto::{labels, sha256};
use crate::secret::Secret;
use crate::wire::invite::TypedCode;

/// The end of a link's path: the gateway's page for phones.
pub const PAGE: &str = "/p";

/// Length of a [`LinkProof`] as text, in lower-case hex, in characters.
const PROOF_CHARS: usize = 64;

/// Returns the payload of a link. A text that is no link is its own payload. White space around or
/// within the address, which mail programs put there, does not matter.
#[must_use]
pub fn payload(text: &str) -> &str {
    let Some((page, payload)) = text.split_once('#') else { return text };
    let same = |of: &str, expected: &str| {
        let mut of = of.chars().filter(|c| !c.is_whitespace());
        expected.chars().all(|e| of.next().is_some_and(|c| c.eq_ignore_ascii_case(&e)))
    };
    let is_web = same(page, "https://") || same(page, "http://");
    let mut end = page.chars().rev().filter(|c| !c.is_whitespace());
    let is_page = PAGE.chars().rev().all(|expected| end.next() == Some(expected));
    if is_web && is_page { payload } else { text }
}

/// Knowledge of a code, shown to its gateway without the code, by whoever wants to see what it
/// grants. It is for long secrets: a short one could be found by trying.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LinkProof(Secret<32>);

impl LinkProof {
    /// Returns the proof of a code.
    #[must_use]
    pub fn of(code: &TypedCode) -> Self {
        let parts = [code.selector.as_str().as_bytes(), code.code.expose()];
        Self(Secret::new(sha256::hash_parts(labels::LINK_PROOF, &parts)))
    }

    /// Reads a proof; `None` unless the text is 64 lower-case hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: &[u8; PROOF_CHARS] = text.as_bytes().try_into().ok()?;
        // A second form of a proof would be a second name of one code.
        if digits.iter().any(u8::is_ascii_uppercase) {
            return None;
        }
        let mut bytes = [0; PROOF_CHARS / 2];
        for (byte, &[high, low]) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
            let (high, low) = (crate::id::hex_value(high), crate::id::hex_value(low));
            if high > 15 || low > 15 {
                return None;
            }
            *byte = high << 4 | low;
        }
        Some(Self(Secret::new(bytes)))
    }

    /// Returns the proof as text.
    #[must_use]
    pub fn text(&self) -> [u8; PROOF_CHARS] {
        let mut text = [0; PROOF_CHARS];
        let digits = self.0.expose().iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
        for (place, digit) in text.iter_mut().zip(digits) {
            *place = crate::id::hex_digit(digit);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_and_its_payload_alone_are_the_same() {
        for payload_text in ["handfast:1?a=ws://10.0.0.1:8765&g=X", "eyJ1cmwiOiJ3c3M6Ly9"] {
            assert_eq!(payload(payload_text), payload_text);
            for page in [
                "https://gateway.example/p#",
                "HTTPS://gateway.example:8443/p#",
                "http://127.0.0.1:8765/p#",
                "https://gateway.example/house/p#",
                " https://gate\nway.example/p\n#",
            ] {
                let link = std::format!("{page}{payload_text}");
                assert_eq!(payload(&link), payload_text, "{link}");
            }
        }
    }

    #[test]
    fn what_only_looks_like_a_link_is_left_as_it_is() {
        for text in [
            "",
            "#x",
            "https://gateway.example/login#x",
            "ftp://gateway.example/p#x",
            "https:/p#x",
            "gateway.example/p#x",
        ] {
            assert_eq!(payload(text), text);
        }
    }

    #[test]
    fn a_proof_is_read_as_it_was_written_and_differs_for_each_code() {
        let code = |text| TypedCode::parse(text).unwrap();
        let one = LinkProof::of(&code("K7QF-ABCDEFGHJKMNPQ"));
        let text = one.text();
        assert_eq!(LinkProof::parse(core::str::from_utf8(&text).unwrap()).unwrap(), one);
        assert_ne!(LinkProof::of(&code("K7QF-ABCDEFGHJKMNPR")), one);
        assert_ne!(LinkProof::of(&code("K7QG-ABCDEFGHJKMNPQ")), one);
        for wrong in ["", "00", &"g".repeat(64), &"A".repeat(64)] {
            assert!(LinkProof::parse(wrong).is_none(), "{wrong}");
        }
    }
}
