//! The canonical spelling of senders on well-known channels. An origin without one is not a sender
//! and is never admitted.

use crate::limits::SENDER_BYTES;
use crate::registry::inbound::Ident;

/// A sender in its canonical spelling.
#[derive(Clone, PartialEq, Eq)]
pub struct Sender(heapless::String<SENDER_BYTES>);

impl Sender {
    fn collect(prefix: &str, characters: impl Iterator<Item = char>) -> Option<Self> {
        let mut text = heapless::String::new();
        text.push_str(prefix).ok()?;
        for character in characters {
            // A sender that does not fit is refused, because cut off it could be somebody else's.
            text.push(character).ok()?;
        }
        Some(Self(text))
    }

    /// Returns the sender as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl core::fmt::Debug for Sender {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Sender {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=str}", self.as_str());
    }
}

/// Normalises a WhatsApp sender: the number with exactly one `+` before it, added where it is
/// missing. White space around it is removed, and so are `@c.us` and `@s.whatsapp.net`. Groups
/// (`…@g.us`), broadcasts and everything else that is not 1 to 20 digits are not senders.
#[must_use]
pub fn whatsapp(raw: &str) -> Option<Sender> {
    let trimmed = raw.trim();
    let bare = trimmed
        .strip_suffix("@c.us")
        .or_else(|| trimmed.strip_suffix("@s.whatsapp.net"))
        .unwrap_or(trimmed);
    let number = bare.strip_prefix('+').unwrap_or(bare);
    // The length counts bytes, which are characters here, because only digits pass.
    let is_number =
        (1..=20).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Sender::collect("+", number.chars())).flatten()
}

/// Normalises a Telegram sender: a numeric id as it is (a negative one is a group's and not a
/// sender), or `@name` in lower case, because names there have no case. A name without `@` is not a
/// sender: it is a display name, which anyone may choose.
#[must_use]
pub fn telegram(raw: &str) -> Option<Sender> {
    let trimmed = raw.trim();
    if let Some(name) = trimmed.strip_prefix('@') {
        let is_name = (1..=32).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        return is_name
            .then(|| Sender::collect("@", name.chars().map(|c| c.to_ascii_lowercase())))
            .flatten();
    }
    let is_number =
        (1..=20).contains(&trimmed.len()) && trimmed.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Sender::collect("", trimmed.chars())).flatten()
}

/// Normalises a sender of any other channel: white space around it is removed, and the rest must be
/// an [`Ident`].
#[must_use]
pub fn verbatim(raw: &str) -> Option<Sender> {
    Sender::collect("", Ident::parse(raw.trim())?.as_str().chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(normalise: fn(&str) -> Option<Sender>, cases: &[(&str, Option<&str>)]) {
        for (raw, expected) in cases {
            let normalised = normalise(raw);
            assert_eq!(normalised.as_ref().map(Sender::as_str), *expected, "{raw:?}");
            if let Some(sender) = normalised {
                assert_eq!(
                    normalise(sender.as_str()),
                    Some(sender.clone()),
                    "once more changes nothing: {raw:?}"
                );
            }
        }
    }

    #[test]
    fn a_whatsapp_number_has_one_spelling() {
        all(
            whatsapp,
            &[
                ("573001234567", Some("+573001234567")),
                (" +573001234567\n", Some("+573001234567")),
                ("573001234567@c.us", Some("+573001234567")),
                ("+573001234567@s.whatsapp.net", Some("+573001234567")),
                ("573001234567@c.us@c.us", None),
                ("++573001234567", None),
                ("573001234567@evil.example", None),
                ("1203630@g.us", None),
                ("status@broadcast", None),
                ("57300١234567", None),
                ("57 300", None),
                ("+", None),
                ("", None),
                ("123456789012345678901", None),
            ],
        );
    }

    #[test]
    fn a_telegram_name_has_no_case_and_a_number_is_kept() {
        all(
            telegram,
            &[
                ("@User_1", Some("@user_1")),
                (" @USER ", Some("@user")),
                ("12345", Some("12345")),
                ("-100123", None),
                ("User", None),
                ("@Ａna", None),
                ("@a b", None),
                ("@", None),
                ("@@a", None),
                ("@abcdefghijklmnopqrstuvwxyzabcdefg", None),
                ("", None),
            ],
        );
    }

    #[test]
    fn elsewhere_a_sender_is_what_it_is_unless_it_could_pass_for_another() {
        all(
            verbatim,
            &[
                (" Ana ", Some("Ana")),
                ("ana", Some("ana")),
                ("a|b", Some("a|b")),
                ("a\u{200b}na", None),
                ("a\nb", None),
                ("", None),
            ],
        );
        assert_eq!(
            verbatim(&std::string::String::from_iter(core::iter::repeat_n('a', SENDER_BYTES + 1))),
            None
        );
    }
}
