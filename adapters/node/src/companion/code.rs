//! Setup codes as a companion is given them.

use handfast_core::limits::{SETUP_PAYLOAD_CHARS, SETUP_TOKEN_CHARS};
use handfast_core::wire::phone_link;
use handfast_core::wire::setup::Payload;
use zeroize::Zeroizing;

/// Number of characters of a token's signature, after the dot.
const SIGNATURE_CHARS: usize = 43;

/// The content of a setup code.
pub struct CompanionCode {
    pub(super) url: Option<String>,
    pub(super) token: Zeroizing<String>,
}

impl std::fmt::Debug for CompanionCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompanionCode").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The error for a text that is not a setup code. It repeats none of the text, which may be most of
/// a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no setup code")]
pub struct NotACode;

impl CompanionCode {
    /// Parses a payload, alone or in a link for phones, or a bare bootstrap token. White space is left out, because mail programs
    /// wrap long lines. Only a token contains a dot.
    ///
    /// # Errors
    /// [`NotACode`] if the text is neither.
    pub fn parse(text: &str) -> Result<Self, NotACode> {
        let text = phone_link::payload(text);
        if text.contains('.') {
            // The capacity suffices, so that growth leaves no copy of the token behind.
            let mut token = Zeroizing::new(String::with_capacity(text.len()));
            text.split_whitespace().for_each(|part| token.push_str(part));
            if token.len() <= SETUP_TOKEN_CHARS {
                return Ok(Self { url: None, token });
            }
        }
        let mut scratch = Zeroizing::new([0; 2 * SETUP_PAYLOAD_CHARS]);
        let payload = Payload::decode(text, &mut scratch[..]).ok_or(NotACode)?;
        Ok(Self {
            url: Some(payload.url.to_owned()),
            token: Zeroizing::new(payload.bootstrap_token.to_owned()),
        })
    }

    /// Returns `true` if the text is a complete payload, or a token with a complete signature.
    #[must_use]
    pub fn is_whole(text: &str) -> bool {
        let text = phone_link::payload(text);
        let behind_dot = text
            .split_once('.')
            .map(|(_, signature)| signature.chars().filter(|c| !c.is_whitespace()).count());
        behind_dot
            .map_or_else(|| Self::parse(text).is_ok(), |signature| signature >= SIGNATURE_CHARS)
    }

    /// Returns the address of the gateway; `None` for a bare token.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_a_payload_or_a_bare_token() {
        let payload = Payload {
            url: "ws://127.0.0.1:8765",
            bootstrap_token: "e30.AAAA",
            expires_at: handfast_core::UnixTime::from_secs(1),
            fingerprint: None,
        };
        let (mut scratch, mut out) = ([0; SETUP_PAYLOAD_CHARS], [0; SETUP_PAYLOAD_CHARS]);
        let text = payload.encode(&mut scratch, &mut out).unwrap();
        let read = CompanionCode::parse(&format!("  {text}\n")).unwrap();
        assert_eq!((read.url(), read.token.as_str()), (Some("ws://127.0.0.1:8765"), "e30.AAAA"));
        let bare = CompanionCode::parse("e30.AAAA").unwrap();
        assert_eq!((bare.url(), bare.token.as_str()), (None, "e30.AAAA"));
        let wrapped = text
            .as_bytes()
            .chunks(20)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect::<Vec<_>>()
            .join("\r\n  ");
        let read = CompanionCode::parse(&wrapped).unwrap();
        assert_eq!((read.url(), read.token.as_str()), (Some("ws://127.0.0.1:8765"), "e30.AAAA"));
        assert!(CompanionCode::is_whole(&wrapped));
        assert!(!CompanionCode::is_whole(&wrapped[..wrapped.len() - 4]));
        let read = CompanionCode::parse(" e30.\n AA\u{a0}AA\r\n").unwrap();
        assert_eq!(read.token.as_str(), "e30.AAAA");
        for none in ["", "e30", "not a code", &"a.".repeat(SETUP_TOKEN_CHARS)] {
            assert!(CompanionCode::parse(none).is_err(), "{none}");
        }
    }
}
