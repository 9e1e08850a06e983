//! Senders on messaging channels: allowed, blocked, or waiting for the operator.
//!
//! ```text
//! unknown ──writes──▶ pending ──approve──▶ allowed ──revoke or expiry──▶ unknown
//!    ▲                   │
//!    └─reject or expiry──┘        any state ──block──▶ blocked ──unblock──▶ unknown
//! ```
//! [`flow::inbound`](crate::flow::inbound) decides about a message from the [`Facts`] that a store
//! reads in one transaction.

use crate::crypto::code::unambiguous;
use crate::entropy::Entropy;
use crate::limits::{CHALLENGE_CHARS, SENDER_BYTES};
use crate::text::Label;
use crate::time::{Span, UnixTime};

/// The name of a channel or an account, or a sender in its canonical spelling: 1 to
/// [`SENDER_BYTES`], without white space at its ends, characters that make one text look like
/// another ([`Label::forbids`]), or invisible characters. Letters of different scripts may still look
/// alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ident<'b>(&'b str);

impl<'b> Ident<'b> {
    /// Checks a text; returns `None` if it is not such a name.
    #[must_use]
    pub fn parse(text: &'b str) -> Option<Self> {
        let fine = (1..=SENDER_BYTES).contains(&text.len()) && text.trim().len() == text.len();
        let fine = fine && !text.chars().any(|c| Label::forbids(c) || is_unseen(c));
        fine.then_some(Self(text))
    }

    /// Returns the name as text.
    #[must_use]
    pub const fn as_str(&self) -> &'b str {
        self.0
    }
}

/// Returns `true` for characters that are invisible or look like a space: joiners, fillers,
/// variation selectors. Names of devices may have some of them; identities that carry rights may
/// not.
const fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200c}'..='\u{200d}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}')
}

/// A sender's identity: three texts. They are never joined to one, so a separator inside one of
/// them cannot imitate another sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SenderId<'b> {
    /// The messaging channel.
    pub channel: Ident<'b>,
    /// The own account that receives on the channel.
    pub account: Ident<'b>,
    /// The sender in the channel's canonical spelling.
    pub sender: Ident<'b>,
}

/// The invalid text of a [`SenderId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum BadSenderId {
    /// The channel's name is invalid.
    Channel,
    /// The account is invalid.
    Account,
    /// The sender is invalid.
    Sender,
}

impl<'b> SenderId<'b> {
    /// Checks the three texts.
    ///
    /// # Errors
    /// [`BadSenderId`], for the first invalid text.
    pub fn parse(channel: &'b str, account: &'b str, sender: &'b str) -> Result<Self, BadSenderId> {
        Ok(Self {
            channel: Ident::parse(channel).ok_or(BadSenderId::Channel)?,
            account: Ident::parse(account).ok_or(BadSenderId::Account)?,
            sender: Ident::parse(sender).ok_or(BadSenderId::Sender)?,
        })
    }
}

/// The code that an unknown sender receives and the operator types: 8 of 32 characters that do not
/// look alike, so 40 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ChallengeCode([u8; CHALLENGE_CHARS]);

impl ChallengeCode {
    /// Makes a fresh code from five bits of each byte, so that all codes are equally likely.
    #[must_use]
    pub fn new(entropy: &Entropy<CHALLENGE_CHARS>) -> Self {
        Self(entropy.expose().map(unambiguous))
    }

    /// Reads typed or stored text, whatever its case, spaces and dashes.
    #[must_use]
    pub fn parse(typed: &str) -> Option<Self> {
        // The bound is above every sensible way to write a code.
        if typed.len() > 4 * CHALLENGE_CHARS {
            return None;
        }
        let mut characters = typed
            .chars()
            .filter(|c| *c != '-' && !c.is_whitespace())
            .map(|c| c.to_ascii_uppercase());
        let mut code = [0; CHALLENGE_CHARS];
        for place in &mut code {
            let character = characters
                .next()
                .filter(|c| matches!(c, 'A'..='H' | 'J'..='N' | 'P'..='Z' | '2'..='9'))?;
            *place = u8::try_from(character).ok()?;
        }
        characters.next().is_none().then_some(Self(code))
    }

    /// Returns the 8 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever held; the fallback is never taken.
        core::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl core::fmt::Display for ChallengeCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The facts about a sender at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Facts {
    /// `true` if the operator blocked the sender.
    pub blocked: bool,
    /// The sender's permission, if it ever had one.
    pub allowed: Option<Allowed>,
    /// The sender's pending request, live or expired.
    pub pending: Option<Pending>,
    /// The number of unexpired pending senders of this account on this channel.
    pub pending_of_account: u32,
    /// The number of unexpired pending senders in all.
    pub pending_total: u32,
}

/// A sender's permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Allowed {
    /// The end of the permission, if there is one.
    pub until: Option<UnixTime>,
    /// The time of its revocation.
    pub revoked_at: Option<UnixTime>,
}

impl Allowed {
    /// Returns `true` if the permission is neither revoked nor expired.
    #[must_use]
    pub fn is_active(&self, now: UnixTime) -> bool {
        self.revoked_at.is_none() && self.until.is_none_or(|until| now < until)
    }
}

/// A sender's pending request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Pending {
    /// The code with which the operator allows the sender.
    pub code: ChallengeCode,
    /// The time of the request.
    pub created_at: UnixTime,
    /// The time at which the sender was last told its code.
    pub told_at: UnixTime,
}

impl Pending {
    /// Returns `true` if the request has not expired. A request that lies in the future because the
    /// clock was set back lives no longer for it.
    #[must_use]
    pub fn is_live(&self, limits: &InboundLimits, now: UnixTime) -> bool {
        now < self.created_at.after(limits.pending_for)
            && self.created_at <= now.after(limits.pending_for)
    }

    /// Returns `true` if the sender may be told its code again. A clock that was set back does not
    /// silence it.
    #[must_use]
    pub fn may_be_told(&self, limits: &InboundLimits, now: UnixTime) -> bool {
        // A `told_at` in the future comes from a clock that was set back.
        now >= self.told_at.after(limits.told_every) || now < self.told_at
    }
}

/// The bounds of pending senders, which an operator may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct InboundLimits {
    /// Time that an unknown sender waits for the operator.
    pub pending_for: Span,
    /// Maximum number of pending senders of one account on one channel.
    pub pending_of_account: u32,
    /// Maximum number of pending senders in all.
    pub pending_total: u32,
    /// Minimum time between two messages that tell a sender its code.
    pub told_every: Span,
}

impl InboundLimits {
    /// The documented default values.
    pub const DEFAULT: Self = Self {
        pending_for: Span::from_secs(3600),
        pending_of_account: 3,
        pending_total: 1024,
        told_every: Span::from_secs(60),
    };
}

impl Default for InboundLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_whatever_its_case_spaces_and_dashes() {
        let code = ChallengeCode::parse("ABCD2345").unwrap();
        for typed in ["abcd2345", "ABCD-2345", " a b c d - 2 3 4 5 "] {
            assert_eq!(ChallengeCode::parse(typed), Some(code), "{typed}");
        }
        for other in [
            "",
            "ABCD234",
            "ABCD23456",
            "ABCD234O",
            "ABCD2341",
            "ABCD2340",
            "ABCD234I",
            "ABCD234é",
            "ABCD_2345",
        ] {
            assert_eq!(ChallengeCode::parse(other), None, "{other}");
        }
        let long: std::string::String =
            core::iter::repeat_n(' ', 25).chain("ABCD2345".chars()).collect();
        assert_eq!(ChallengeCode::parse(&long), None);
    }

    #[test]
    fn every_character_of_a_fresh_code_is_equally_likely() {
        let mut seen = std::collections::HashMap::new();
        for byte in 0..=255 {
            let code = ChallengeCode::new(&Entropy::from_recorded([byte; CHALLENGE_CHARS]));
            assert_eq!(ChallengeCode::parse(code.as_str()), Some(code));
            *seen.entry(code).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 32);
        assert!(seen.values().all(|times| *times == 8));
    }

    #[test]
    fn names_that_could_be_taken_for_others_are_none() {
        for bad in [
            "",
            " a",
            "a ",
            "a\u{a0}",
            "a\u{200b}b",
            "a\u{202e}b",
            "a\u{200d}b",
            "a\u{fe0f}",
            "\u{2800}",
            "\u{3164}",
            "a\nb",
            "a\0",
        ] {
            assert_eq!(Ident::parse(bad), None, "{bad:?}");
        }
        let longest: std::string::String = core::iter::repeat_n('a', SENDER_BYTES).collect();
        assert!(Ident::parse(&longest).is_some());
        assert_eq!(Ident::parse(&std::format!("{longest}a")), None);
        assert_ne!(SenderId::parse("c", "a|b", "c"), SenderId::parse("c", "a", "b|c"));
        assert_eq!(SenderId::parse("c", "", "s"), Err(BadSenderId::Account));
    }

    #[test]
    fn a_clock_that_jumps_neither_keeps_an_entry_alive_for_ever_nor_silences_it() {
        let limits = InboundLimits::DEFAULT;
        let code = ChallengeCode::parse("ABCD2345").unwrap();
        let at = UnixTime::from_secs;
        let pending = Pending { code, created_at: at(10_000), told_at: at(10_000) };
        assert!(pending.is_live(&limits, at(13_599)) && !pending.is_live(&limits, at(13_600)));
        assert!(pending.is_live(&limits, at(9_000)) && !pending.is_live(&limits, at(6_399)));
        assert!(
            !pending.may_be_told(&limits, at(10_059)) && pending.may_be_told(&limits, at(10_060))
        );
        assert!(pending.may_be_told(&limits, at(9_999)));
    }
}
