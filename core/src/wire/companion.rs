//! The messages between a companion and a gateway on `/pair`, as JSON text frames (the nexo dialect
//! with additions of this system).
//!
//! ```text
//! {"bootstrap_token":"…"} ─▶          a setup code is shown
//!        ◀─ {"session_token":"43 characters"}    or {"error":"…"}; the connection ends
//! {"session_token":"…"} ──▶           a session is shown
//!        ◀─ {"session_id":"…","profile":"…","device_label":"…","expires_at":"…"}
//!                                     frames of the application follow
//! ```

use super::json::{self, Value};
use super::json_write::ObjectWriter;
use super::token::Token;
use crate::text::Label;
use crate::time::{UnixTime, rfc3339};

/// Returns `true` if the first frame on `/pair` is a companion's: anything but an object with a
/// `type`, which every frame of the `missy` dialect has.
#[must_use]
pub fn is_companions(frame: &str) -> bool {
    let mut has_type = false;
    // The dialect's nodes write numbers as Python does, so their frames are no plain JSON.
    let object = json::members_of_python(frame, |key, _| has_type |= key.is("type")).is_ok();
    !(object && has_type)
}

/// A companion's first frame.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum First<'b> {
    /// A setup code's token, not yet checked.
    Bootstrap(&'b str),
    /// A session's token; `None` if its form is not that of a token, so that no session has it.
    Resume(Option<Token>),
    /// Neither token is present, or both are.
    Neither,
}

impl<'b> First<'b> {
    /// Reads a frame; `room` takes a text with escapes.
    #[must_use]
    pub fn parse(frame: &'b str, mut room: &'b mut [u8]) -> Self {
        let (mut bootstrap, mut session) = (None, None);
        // Values are only collected here, so that the last of a repeated member counts.
        let read = json::members(frame, |key, value| {
            if key.is("bootstrap_token") {
                bootstrap = Some(value);
            } else if key.is("session_token") {
                session = Some(value);
            }
        });
        match (read, bootstrap, session) {
            (Ok(()), Some(Value::Text(token)), None) => {
                token.decode(&mut room).map_or(Self::Neither, Self::Bootstrap)
            }
            (Ok(()), None, Some(Value::Text(token))) => {
                Self::Resume(token.decode(&mut room).and_then(Token::parse))
            }
            // A value of another type cannot be a token, but the frame still asks for a session.
            (Ok(()), None, Some(_)) => Self::Resume(None),
            // A frame with both tokens has no single meaning, so neither of them counts.
            (Ok(()) | Err(_), _, _) => Self::Neither,
        }
    }
}

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// The reason for rejecting a companion, as a fixed text on the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        pub enum Word {
            $($(#[$doc])* $name,)*
        }

        impl Word {
            /// All words, in order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the text on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

words! {
    /// The setup code is malformed or unknown.
    UnknownCode = "unknown code";
    /// The code or the session has expired.
    Expired = "expired";
    /// None of the gateway's keys signed the code.
    InvalidSignature = "invalid signature";
    /// A binary frame came instead of a text frame.
    ExpectedText = "expected text frame";
    /// The gateway failed internally.
    Internal = "internal";
    /// The code was spent before.
    AlreadyUsed = "already used";
    /// Too many attempts came from this address.
    RateLimited = "rate limited";
    /// The session does not exist or was revoked.
    UnknownSession = "unknown session";
    /// A web page of another origin opened the connection.
    OriginNotAllowed = "origin not allowed";
    /// The expiry of the code or the session depends on a jump of the gateway's clock that is in
    /// doubt; the companion may try again later.
    ClockInDoubt = "clock in doubt";
}

/// A message from a gateway to a companion.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Saying<'b> {
    /// The token of the session that was just opened.
    Opened(&'b Token),
    /// The session is valid.
    Welcome {
        /// The session's id.
        id: &'b [u8; 16],
        /// The profile of the companion's session.
        profile: Label<'b>,
        /// The device that the session's code was made for.
        device_label: Option<Label<'b>>,
        /// The end of the session.
        expires_at: UnixTime,
    },
    /// The session's new end.
    Prolonged(UnixTime),
    /// A rejection and its reason.
    No(Word),
}

impl Saying<'_> {
    /// Writes the message as JSON. Returns `None` if it does not fit; 1 024 bytes always suffice.
    pub fn write<'o>(&self, out: &'o mut [u8]) -> Option<&'o str> {
        let object = ObjectWriter::new(out);
        match self {
            Self::Opened(token) => object.text("session_token", token.expose()).finish(),
            Self::Welcome { id, profile, device_label, expires_at } => {
                let mut text = [0; 32];
                let digits = id.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
                for (place, digit) in text.iter_mut().zip(digits) {
                    *place = crate::id::hex_digit(digit);
                }
                let object = object
                    .text("session_id", core::str::from_utf8(&text).ok()?)
                    .text("profile", profile.as_str());
                let object = match device_label {
                    Some(label) => object.text("device_label", label.as_str()),
                    None => object,
                };
                object.text("expires_at", rfc3339::write(*expires_at).as_str()).finish()
            }
            Self::Prolonged(until) => {
                object.text("expires_at", rfc3339::write(*until).as_str()).finish()
            }
            Self::No(word) => object.text("error", word.as_str()).finish(),
        }
    }
}

/// A gateway's answer to a setup code, as the companion reads it.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Answer<'b> {
    /// The token of the new session.
    Opened(Token),
    /// A rejection with the gateway's reason.
    Error(&'b str),
    /// Any other frame.
    Other,
}

impl<'b> Answer<'b> {
    /// Reads a frame; `room` takes a text with escapes.
    #[must_use]
    pub fn parse(frame: &'b str, mut room: &'b mut [u8]) -> Self {
        let (mut token, mut error) = (None, None);
        let read = json::members(frame, |key, value| {
            if key.is("session_token") {
                token = Some(value);
            } else if key.is("error") {
                error = Some(value);
            }
        });
        match (read, token, error) {
            (Ok(()), Some(Value::Text(text)), None) => {
                text.decode(&mut room).and_then(Token::parse).map_or(Self::Other, Self::Opened)
            }
            (Ok(()), None, Some(Value::Text(text))) => {
                text.decode(&mut room).map_or(Self::Other, Self::Error)
            }
            // An answer with both members has no single meaning.
            (Ok(()) | Err(_), _, _) => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";

    #[test]
    fn only_an_object_that_says_its_type_is_a_nodes() {
        for nodes in [
            r#"{"type":"auth"}"#,
            r#"{"bootstrap_token":"x","type":"pair_request"}"#,
            r#"{"type":1}"#,
        ] {
            assert!(!is_companions(nodes), "{nodes}");
        }
        for companions in [r#"{"bootstrap_token":"x"}"#, "{}", "", "[]", "nonsense", r#"{"type":"#]
        {
            assert!(is_companions(companions), "{companions}");
        }
    }

    #[test]
    fn a_first_frame_shows_a_code_or_a_session_and_not_both() {
        let first = |frame: &'static str| {
            First::parse(frame, std::boxed::Box::leak(std::boxed::Box::new([0; 64])))
        };
        assert_eq!(first(r#"{"bootstrap_token":"a.b"}"#), First::Bootstrap("a.b"));
        assert_eq!(first(r#"{"x":1,"bootstrap_token":"a\u002eb"}"#), First::Bootstrap("a.b"));
        assert_eq!(
            first(r#"{"session_token":"HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ"}"#),
            First::Resume(Token::parse(TOKEN))
        );
        for nobodys in [r#"{"session_token":"short"}"#, r#"{"session_token":7}"#] {
            assert_eq!(first(nobodys), First::Resume(None), "{nobodys}");
        }
        for neither in [
            "",
            "{}",
            "[]",
            r#"{"bootstrap_token":1}"#,
            r#"{"bootstrap_token":"a","session_token":"b"}"#,
            r#"{"bootstrap_token":"a"} x"#,
        ] {
            assert_eq!(first(neither), First::Neither, "{neither}");
        }
    }

    #[test]
    fn what_a_gateway_says_is_as_the_original_says_it() {
        let mut out = [0; 1024];
        assert_eq!(
            Saying::No(Word::AlreadyUsed).write(&mut out),
            Some(r#"{"error":"already used"}"#)
        );
        let token = Token::parse(TOKEN).unwrap();
        let opened = Saying::Opened(&token).write(&mut out).unwrap();
        assert_eq!(opened, r#"{"session_token":"HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ"}"#);
        assert_eq!(Answer::parse(opened, &mut [0; 64]), Answer::Opened(token));
        assert_eq!(Answer::parse(r#"{"error":"expired"}"#, &mut [0; 64]), Answer::Error("expired"));
        for other in ["{}", r#"{"session_token":"short"}"#, r#"{"error":1}"#, "x"] {
            assert_eq!(Answer::parse(other, &mut [0; 64]), Answer::Other, "{other}");
        }
    }

    #[test]
    fn the_longest_welcome_fits() {
        let wide: std::string::String = core::iter::repeat_n('"', 64).collect();
        let name = Label::parse(&wide).unwrap();
        let welcome = Saying::Welcome {
            id: &[0xab; 16],
            profile: name,
            device_label: Some(name),
            expires_at: UnixTime::from_secs(0),
        };
        let mut out = [0; 1024];
        let welcome = welcome.write(&mut out).unwrap();
        assert!(
            welcome.starts_with(r#"{"session_id":"abababababababababababababababab","profile":"#)
                && welcome.ends_with(r#""expires_at":"1970-01-01T00:00:00Z"}"#)
        );
    }
}
