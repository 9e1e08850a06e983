//! Setup codes as they are sent: a token's claims, and the payload of a QR code that carries the
//! token to a companion (the nexo dialect, byte for byte).
//!
//! ```text
//! claims  = {"profile":"…","expires_at":"YYYY-MM-DDTHH:MM:SSZ","nonce":"32 hex digits",
//!            "device_label":"…"}     the label only where there is one;
//!           behind it "bound":true where the code pairs a device by its own key, and opens no
//!           session, and "by":"22 characters of base64" where a session made the code: its id;
//!           "login" in place of "by" where an operator's session made it
//! token   = b64url(claims) "." b64url(HMAC-SHA256(key, claims))
//!                                    made and verified in [`crate::grant::setup_code`]
//! payload = b64url({"url":"…","bootstrap_token":"token","expires_at":"…"})
//!                                    and "fingerprint" where the code binds to a device
//! ```
//! Claims are read with any order of members and any RFC 3339 time; unknown members are ignored,
//! and of a repeated one the last counts.

use crate::crypto::base64url;
use crate::crypto::fingerprint::Fingerprint;
use crate::id::opaque_id;
use crate::limits::{SETUP_CLAIMS_BYTES, SETUP_PAYLOAD_CHARS, SETUP_TOKEN_CHARS, SETUP_URL_BYTES};
use crate::text::Label;
use crate::time::{UnixTime, rfc3339};
use crate::wire::json::{self, Text, Value};
use crate::wire::json_write::ObjectWriter;

opaque_id! {
    /// The unique id of a setup code, by which it is spent once.
    Nonce
}

/// Length of a session's id in base64, in characters.
const BY_CHARS: usize = 22;
/// Length of a [`Nonce`] as text in lower-case hex, in characters.
const NONCE_CHARS: usize = 32;

impl Nonce {
    fn parse(text: &str) -> Option<Self> {
        let digits: &[u8; NONCE_CHARS] = text.as_bytes().try_into().ok()?;
        // All digits are read before any is judged, in steps that the compiler vectorises.
        let mut values = *digits;
        values.iter_mut().for_each(|place| *place = crate::id::hex_value(*place));
        let all = values.iter().fold(0, |all, value| all | value);
        let mut bytes = [0; 16];
        for (byte, &[high, low]) in bytes.iter_mut().zip(values.as_chunks::<2>().0) {
            *byte = high << 4 | low;
        }
        (all < 16).then_some(Self::from_bytes(bytes))
    }

    fn text(&self) -> [u8; NONCE_CHARS] {
        let mut text = [0; NONCE_CHARS];
        let digits = self.as_bytes().iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
        for (place, digit) in text.iter_mut().zip(digits) {
            *place = crate::id::hex_digit(digit);
        }
        text
    }
}

/// The name of a companion's profile, for instance `companion-v1`: 1 to 64 characters, not blank,
/// without any that moves a cursor or reorders a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ProfileName<'b>(Label<'b>);

impl<'b> ProfileName<'b> {
    /// Checks a text; returns `None` if it is blank, too long or holds a forbidden character.
    #[must_use]
    pub fn parse(text: &'b str) -> Option<Self> {
        // A blank text becomes another label than itself.
        Label::parse(text).filter(|label| label.as_str() == text).map(Self)
    }

    /// Returns the name as text.
    #[must_use]
    pub const fn as_str(&self) -> &'b str {
        self.0.as_str()
    }

    /// Returns the name as a label; every profile's name is one.
    #[must_use]
    pub const fn label(&self) -> Label<'b> {
        self.0
    }
}

/// The maker of a setup code, with which the code ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum MadeBy {
    /// A companion's session, by its id.
    Session([u8; 16]),
    /// An operator's session or token, by its id.
    Login([u8; 16]),
}

/// The claims of a token. They prove nothing by themselves: see
/// [`Verified`](crate::grant::setup_code::VerifiedSetupCode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Claims<'b> {
    /// The profile that the companion's session gets.
    pub profile: ProfileName<'b>,
    /// The end of the token's validity.
    pub expires_at: UnixTime,
    /// The unique id of the token.
    pub nonce: Nonce,
    /// The device that the code is for, as a label for people.
    pub device_label: Option<Label<'b>>,
    /// `true` if the code pairs a device by its own key, on the native wire, and opens no session;
    /// otherwise it opens a session and pairs no device.
    pub bound: bool,
    /// The session that made the code, with which the code ends; `None` if an operator made it at
    /// the gateway.
    pub by: Option<MadeBy>,
}

impl<'b> Claims<'b> {
    /// Writes the claims as JSON. Returns `None` if they do not fit; the claims of an operator's
    /// code always fit in [`SETUP_CLAIMS_BYTES`].
    pub fn write<'o>(&self, out: &'o mut [u8]) -> Option<&'o str> {
        let nonce = self.nonce.text();
        let object = ObjectWriter::new(out)
            .text("profile", self.profile.as_str())
            .text("expires_at", rfc3339::write(self.expires_at).as_str())
            .text("nonce", core::str::from_utf8(&nonce).ok()?);
        let object = match self.device_label {
            Some(label) => object.text("device_label", label.as_str()),
            None => object,
        };
        let object = if self.bound { object.boolean("bound", Some(true)) } else { object };
        let (key, id) = match self.by {
            Some(MadeBy::Session(id)) => ("by", id),
            Some(MadeBy::Login(id)) => ("login", id),
            None => return object.finish(),
        };
        let mut text = [0; BY_CHARS];
        object.text(key, base64url::encode(&id, &mut text)?).finish()
    }

    /// Reads claims; texts with escapes are decoded into `room`. Returns `None` if the text is not
    /// valid claims.
    #[must_use]
    pub fn parse(text: &'b str, mut room: &'b mut [u8]) -> Option<Self> {
        let (mut profile, mut expires_at, mut nonce, mut label, mut bound) =
            (None, None, None, None, None);
        let (mut by, mut login) = (None, None);
        json::members(text, |key, value| {
            if key.is("profile") {
                profile = Some(value);
            } else if key.is("expires_at") {
                expires_at = Some(value);
            } else if key.is("nonce") {
                nonce = Some(value);
            } else if key.is("device_label") {
                label = Some(value);
            } else if key.is("bound") {
                bound = Some(value);
            } else if key.is("by") {
                by = Some(value);
            } else if key.is("login") {
                login = Some(value);
            }
        })
        .ok()?;
        Some(Self {
            profile: ProfileName::parse(as_text(profile?)?.decode(&mut room)?)?,
            expires_at: rfc3339::read(as_text(expires_at?)?.decode(&mut room)?)?,
            nonce: Nonce::parse(as_text(nonce?)?.decode(&mut room)?)?,
            device_label: match label {
                None | Some(Value::Null) => None,
                // The label is only shown to people, so a longer one, as the original issues them,
                // must not invalidate the code. A deceptive one does.
                Some(value) => match as_text(value)?.decode(&mut room)? {
                    text if text.chars().any(Label::forbids) => return None,
                    text => Label::beginning(text),
                },
            },
            bound: match bound {
                None | Some(Value::Null | Value::Bool(false)) => false,
                Some(Value::Bool(true)) => true,
                // A claim of another type must not pass for one that is absent.
                Some(Value::Number(_) | Value::Text(_) | Value::Array(_) | Value::Object(_)) => {
                    return None;
                }
            },
            // The session that made the code must be known: an unreadable id must not pass for an
            // operator's code.
            by: match (by, login) {
                (None, None) => None,
                (Some(value), None) => Some(MadeBy::Session(maker_id(value, &mut room)?)),
                (None, Some(value)) => Some(MadeBy::Login(maker_id(value, &mut room)?)),
                // No code has two makers, and neither may be left out.
                (Some(_), Some(_)) => return None,
            },
        })
    }
}

fn maker_id<'b>(value: Value<'b>, room: &mut &'b mut [u8]) -> Option<[u8; 16]> {
    let mut id = [0; 16];
    let decoded = base64url::decode(as_text(value)?.decode(room)?, &mut id)?.len();
    (decoded == 16).then_some(id)
}

/// The claims with a profile and a label of 64 four-byte characters each, and everything else at
/// its greatest length.
const _: () = assert!(
    r#"{"profile":"","expires_at":"2026-11-22T06:17:50Z","nonce":"","device_label":"","bound":true}"#.len()
        + NONCE_CHARS
        + 2 * 256
        <= SETUP_CLAIMS_BYTES + 1
);

/// The content of a setup code's QR code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Payload<'b> {
    /// The gateway's URL. The client that connects decides on the parsed URL whether it may.
    pub url: &'b str,
    /// The token that opens the session. It is a secret until it is spent.
    pub bootstrap_token: &'b str,
    /// The end of the token's validity.
    pub expires_at: UnixTime,
    /// The gateway's fingerprint, for a companion that binds the code to its own key: it shows the
    /// token only to the gateway with this key.
    pub fingerprint: Option<Fingerprint>,
}

impl<'b> Payload<'b> {
    /// Encodes the payload; `scratch` holds the JSON. Returns `None` if a part is too long: the
    /// limits are [`SETUP_URL_BYTES`] for the URL and [`SETUP_TOKEN_CHARS`] for the token, and
    /// [`SETUP_PAYLOAD_CHARS`] suffice for `out` and `scratch`.
    pub fn encode<'o>(&self, scratch: &mut [u8], out: &'o mut [u8]) -> Option<&'o str> {
        if self.url.len() > SETUP_URL_BYTES || self.bootstrap_token.len() > SETUP_TOKEN_CHARS {
            return None;
        }
        let object = ObjectWriter::new(scratch)
            .text("url", self.url)
            .text("bootstrap_token", self.bootstrap_token)
            .text("expires_at", rfc3339::write(self.expires_at).as_str());
        let object = match self.fingerprint {
            Some(fingerprint) => object
                .text("fingerprint", core::str::from_utf8(&fingerprint.text()).ok()?)
                .finish()?,
            None => object.finish()?,
        };
        base64url::encode(object.as_bytes(), out)
    }

    /// Decodes a payload of [`encode`](Self::encode) or of the original. White space around and
    /// within it, which copying and wrapping add, is ignored. Returns `None` if the text is not a
    /// payload.
    #[must_use]
    pub fn decode(text: &str, scratch: &'b mut [u8]) -> Option<Self> {
        let length =
            text.split_whitespace().fold(0usize, |length, part| length.saturating_add(part.len()));
        if length > SETUP_PAYLOAD_CHARS {
            return None;
        }
        // Four characters decode to three bytes.
        let (here, mut room) =
            scratch.split_at_mut_checked(length.checked_mul(3)?.checked_div(4)?)?;
        let object = if text.trim().len() == length {
            base64url::decode(text.trim(), here)?
        } else {
            // The pieces are joined in `room`, which the decoded texts need only afterwards.
            let mut at = 0usize;
            for part in text.split_whitespace() {
                let end = at.checked_add(part.len())?;
                room.get_mut(at..end)?.copy_from_slice(part.as_bytes());
                at = end;
            }
            base64url::decode(core::str::from_utf8(room.get(..length)?).ok()?, here)?
        };
        let object = core::str::from_utf8(object).ok()?;
        let (mut url, mut token, mut expires_at, mut fingerprint) = (None, None, None, None);
        json::members(object, |key, value| {
            if key.is("url") {
                url = Some(value);
            } else if key.is("bootstrap_token") {
                token = Some(value);
            } else if key.is("expires_at") {
                expires_at = Some(value);
            } else if key.is("fingerprint") {
                fingerprint = Some(value);
            }
        })
        .ok()?;
        let url = as_text(url?)?.decode(&mut room)?;
        let bootstrap_token = as_text(token?)?.decode(&mut room)?;
        let expires_at = rfc3339::read(as_text(expires_at?)?.decode(&mut room)?)?;
        let fingerprint = match fingerprint {
            None | Some(Value::Null) => None,
            Some(value) => Some(Fingerprint::parse(as_text(value)?.decode(&mut room)?).ok()?),
        };
        let fits = !url.is_empty()
            && url.len() <= SETUP_URL_BYTES
            && bootstrap_token.len() <= SETUP_TOKEN_CHARS;
        fits.then_some(Self { url, bootstrap_token, expires_at, fingerprint })
    }
}

/// The payload with a URL of which every byte is escaped, the longest token, and everything else at
/// its greatest length, in base64.
const _: () =
    assert!((110 + 6 * SETUP_URL_BYTES + SETUP_TOKEN_CHARS).div_ceil(3) * 4 <= SETUP_PAYLOAD_CHARS);

fn as_text(value: Value<'_>) -> Option<Text<'_>> {
    match value {
        Value::Text(text) => Some(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::ToOwned;

    fn claims(label: Option<&'static str>) -> Claims<'static> {
        Claims {
            profile: ProfileName::parse("companion-v1").unwrap(),
            expires_at: UnixTime::from_secs(1_705_314_600),
            nonce: Nonce::from_bytes([0xab; 16]),
            device_label: label.map(|label| Label::parse(label).unwrap()),
            bound: false,
            by: None,
        }
    }

    fn parsed(text: &str) -> bool {
        Claims::parse(text, &mut [0; 64]).is_some()
    }

    #[test]
    fn claims_are_written_in_the_order_of_the_original_and_an_absent_label_is_left_out() {
        let mut out = [0; SETUP_CLAIMS_BYTES];
        assert_eq!(
            claims(None).write(&mut out),
            Some(
                r#"{"profile":"companion-v1","expires_at":"2024-01-15T10:30:00Z","nonce":"abababababababababababababababab"}"#
            )
        );
        let written = claims(Some("Ana's \"phone\"")).write(&mut out).unwrap();
        assert!(written.ends_with(r#","device_label":"Ana's \"phone\""}"#), "{written}");
        assert_eq!(Claims::parse(written, &mut [0; 64]), Some(claims(Some("Ana's \"phone\""))));
        let bound = Claims { bound: true, ..claims(None) };
        let written = bound.write(&mut out).unwrap();
        assert!(written.ends_with(r#"ababab","bound":true}"#), "{written}");
        assert_eq!(Claims::parse(written, &mut [0; 64]), Some(bound));
        let login = Claims { by: Some(MadeBy::Login([7; 16])), ..claims(None) };
        let written = login.write(&mut out).unwrap();
        assert!(written.ends_with(r#","login":"BwcHBwcHBwcHBwcHBwcHBw"}"#), "{written}");
        assert_eq!(Claims::parse(written, &mut [0; 64]), Some(login));
        let made = Claims { by: Some(MadeBy::Session([0xff; 16])), ..claims(None) };
        let written = made.write(&mut out).unwrap();
        assert!(written.ends_with(r#"ababab","by":"_____________________w"}"#), "{written}");
        assert_eq!(Claims::parse(written, &mut [0; 64]), Some(made));
    }

    #[test]
    fn a_label_longer_than_ours_shortens_what_is_shown_and_not_what_the_code_is_good_for() {
        let with = |label: &str| {
            std::format!(
                r#"{{"profile":"p","expires_at":"2024-01-15T10:30:00Z","nonce":"{}","device_label":"{label}"}}"#,
                "ab".repeat(16)
            )
        };
        for (label, shown) in [
            ("x".repeat(65), Some("x".repeat(64))),
            ("ü".repeat(200), Some("ü".repeat(64))),
            (std::string::String::new(), None),
        ] {
            let text = with(&label);
            let mut room = [0; SETUP_CLAIMS_BYTES];
            let claims = Claims::parse(&text, &mut room).expect(&text);
            assert_eq!(claims.device_label.map(|label| label.as_str().to_owned()), shown);
        }
        for deceiving in ["Ana\\u0007", "\\n", "Ana\\u202e"] {
            assert_eq!(
                Claims::parse(&with(deceiving), &mut [0; SETUP_CLAIMS_BYTES]),
                None,
                "{deceiving}"
            );
        }
    }

    #[test]
    fn claims_of_any_order_and_any_form_of_time_are_read() {
        let text = r#" {"x":[1],"nonce":"ABABABABABABABABABABABABABABABAB","device_label":null,
            "expires_at":"2024-01-15T10:30:00.25+00:00","profile":"companion\u002dv1"} "#;
        assert_eq!(Claims::parse(text, &mut [0; 64]), Some(claims(None)));
    }

    #[test]
    fn what_lacks_a_member_or_has_a_wrong_one_is_no_claims() {
        let good = r#"{"profile":"p","expires_at":"2024-01-15T10:30:00Z","nonce":"abababababababababababababababab"}"#;
        assert!(parsed(good));
        for (from, to) in [
            ("profile", "profil"),
            (r#""p""#, r#"" ""#),
            (r#""p""#, "1"),
            (r#""p""#, "\"a\u{202e}b\""),
            ("10:30:00Z", "10:30:00"),
            ("abab", "abag"),
            ("abab", "ababab"),
            ("abab", "ab"),
            ("}", r#","device_label":7}"#),
            ("}", r#","bound":1}"#),
            ("}", r#","by":null}"#),
            ("}", r#","by":7}"#),
            ("}", r#","by":""}"#),
            ("}", r#","by":"____________________w"}"#),
            ("}", r#","by":"______________________w"}"#),
            ("}", ""),
        ] {
            assert!(!parsed(&good.replacen(from, to, 1)), "{from} {to}");
        }
    }

    #[test]
    fn a_payload_reads_back_and_is_what_the_original_makes_of_it() {
        let payload = Payload {
            url: "wss://gateway.example/",
            bootstrap_token: "e30.AAAA",
            expires_at: UnixTime::from_secs(1_705_314_600),
            fingerprint: None,
        };
        let (mut scratch, mut out) = ([0; SETUP_PAYLOAD_CHARS], [0; SETUP_PAYLOAD_CHARS]);
        let text = payload.encode(&mut scratch, &mut out).unwrap();
        // base64.urlsafe_b64encode of the object, without its padding.
        let object = r#"{"url":"wss://gateway.example/","bootstrap_token":"e30.AAAA","expires_at":"2024-01-15T10:30:00Z"}"#;
        let mut decoded = [0; 128];
        assert_eq!(base64url::decode(text, &mut decoded).unwrap(), object.as_bytes());
        assert_eq!(Payload::decode(&std::format!(" {text}\n"), &mut [0; 256]), Some(payload));
        for width in [1, 7, 76] {
            let lines: std::vec::Vec<&str> = text
                .as_bytes()
                .chunks(width)
                .map(|line| core::str::from_utf8(line).unwrap())
                .collect();
            for between in ["\n", "\r\n", " ", "\r\n  \t", "\u{a0}"] {
                assert_eq!(
                    Payload::decode(&lines.join(between), &mut [0; 512]),
                    Some(payload),
                    "{width} {between:?}"
                );
            }
        }
        assert_eq!(Payload::decode(&text.replacen('e', "e>", 1), &mut [0; 512]), None);
    }

    #[test]
    fn the_longest_claims_and_the_longest_payload_fit() {
        let wide: std::string::String = core::iter::repeat_n('𐍈', 64).collect();
        let longest = Claims {
            profile: ProfileName::parse(&wide).unwrap(),
            device_label: Label::parse(&wide),
            ..claims(None)
        };
        let mut out = [0; SETUP_CLAIMS_BYTES];
        assert!(longest.write(&mut out).is_some());
        let url: std::string::String = core::iter::repeat_n('\u{1}', SETUP_URL_BYTES).collect();
        let token: std::string::String = core::iter::repeat_n('a', SETUP_TOKEN_CHARS).collect();
        let payload = Payload {
            url: &url,
            bootstrap_token: &token,
            expires_at: UnixTime::from_secs(0),
            fingerprint: Some(Fingerprint::of(
                &crate::crypto::x25519::PublicKey::parse(&[9; 32]).unwrap(),
            )),
        };
        let (mut scratch, mut out) = ([0; SETUP_PAYLOAD_CHARS], [0; SETUP_PAYLOAD_CHARS]);
        let text = payload.encode(&mut scratch, &mut out).unwrap();
        assert_eq!(Payload::decode(text, &mut [0; 2 * SETUP_PAYLOAD_CHARS]), Some(payload));
    }
}
