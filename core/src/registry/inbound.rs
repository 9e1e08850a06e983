//! Who may write to us over a channel, and who waits to be let in.
//!
//! ```text
//! unknown ──writes──▶ pending ──approve──▶ allowed ──revoke, or its time is over──▶ unknown
//!    ▲                   │ reject, or its time is over        block: from everywhere ──▶ blocked ──unblock──▶ unknown
//!    └───────────────────┘
//! ```
//! What becomes of a message is decided in [`flow::inbound`](crate::flow::inbound) from the
//! [`Facts`] that a store reads in one transaction.

use crate::crypto::code::unambiguous;
use crate::entropy::Entropy;
use crate::limits::{CHALLENGE_CHARS, SENDER_BYTES};
use crate::text::is_forbidden;
use crate::time::{Span, UnixTime};

/// The name of a channel or an account, or a sender in its one spelling: 1 to [`SENDER_BYTES`], no
/// white space at its ends, none of the characters that make one text look like another
/// ([`is_forbidden`]), and nothing that is not seen. Letters of different scripts may still look
/// alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ident<'b>(&'b str);

impl<'b> Ident<'b> {
    /// Checks a text.
    #[must_use]
    pub fn parse(text: &'b str) -> Option<Self> {
        let fine = (1..=SENDER_BYTES).contains(&text.len()) && text.trim().len() == text.len();
        let fine = fine && !text.chars().any(|c| is_forbidden(c) || is_unseen(c));
        fine.then_some(Self(text))
    }

    /// As text.
    #[must_use]
    pub const fn as_str(&self) -> &'b str {
        self.0
    }
}

/// What is not seen, or is seen as nothing but a space: joiners, fillers, variation selectors.
/// Names of people's devices may have some of them; what rights hang on may not.
const fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200c}'..='\u{200d}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0100}'..='\u{e01ef}')
}

/// A sender: three texts, never joined to one, so that no separator inside one of them makes it
/// another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SenderId<'b> {
    /// Over which channel.
    pub channel: Ident<'b>,
    /// To which of our accounts there.
    pub account: Ident<'b>,
    /// Who, in the channel's one spelling.
    pub sender: Ident<'b>,
}

/// Which text of a [`SenderId`] is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum BadSenderId {
    /// The channel.
    Channel,
    /// The account.
    Account,
    /// The sender.
    Sender,
}

impl<'b> SenderId<'b> {
    /// Checks the texts.
    ///
    /// # Errors
    /// [`BadSenderId`].
    pub fn parse(channel: &'b str, account: &'b str, sender: &'b str) -> Result<Self, BadSenderId> {
        Ok(Self {
            channel: Ident::parse(channel).ok_or(BadSenderId::Channel)?,
            account: Ident::parse(account).ok_or(BadSenderId::Account)?,
            sender: Ident::parse(sender).ok_or(BadSenderId::Sender)?,
        })
    }
}

/// What a stranger is told and the operator types: 8 of 32 characters that do not look alike, so 40
/// bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChallengeCode([u8; CHALLENGE_CHARS]);

impl ChallengeCode {
    /// A fresh one: five bits of each byte, so all are equally likely.
    #[must_use]
    pub fn new(entropy: &Entropy<CHALLENGE_CHARS>) -> Self {
        Self(entropy.expose().map(unambiguous))
    }

    /// Reads what was typed or stored, whatever its case, spaces and dashes.
    #[must_use]
    pub fn parse(typed: &str) -> Option<Self> {
        // Much longer than any way to write one.
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

    /// The 8 characters.
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

/// What is known of a sender at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Facts {
    /// The operator wants to hear nothing of it any more.
    pub blocked: bool,
    /// It was let in once.
    pub allowed: Option<Allowed>,
    /// It waits to be let in, or did when its time was over.
    pub pending: Option<Pending>,
    /// How many senders wait for this account on this channel, without those whose time is over.
    pub pending_of_account: u32,
    /// How many wait in all.
    pub pending_total: u32,
}

/// Somebody who was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// Until when, if there is an end.
    pub until: Option<UnixTime>,
    /// When that was taken back.
    pub revoked_at: Option<UnixTime>,
}

impl Allowed {
    /// Whether it still counts.
    #[must_use]
    pub fn is_active(&self, now: UnixTime) -> bool {
        self.revoked_at.is_none() && self.until.is_none_or(|until| now < until)
    }
}

/// Somebody who waits to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// With what the operator lets it in.
    pub code: ChallengeCode,
    /// Since when.
    pub created_at: UnixTime,
    /// When it was last told its code.
    pub told_at: UnixTime,
}

impl Pending {
    /// Whether its time is not over. An entry that a clock which was set back has put into the
    /// future lives no longer for it.
    #[must_use]
    pub fn is_live(&self, limits: &Limits, now: UnixTime) -> bool {
        now < self.created_at.after(limits.pending_for)
            && self.created_at <= now.after(limits.pending_for)
    }

    /// Whether it may be told its code once more.
    #[must_use]
    pub fn may_be_told(&self, limits: &Limits, now: UnixTime) -> bool {
        now >= self.told_at.after(limits.told_every) || now < self.told_at
    }
}

/// The bounds of what waits. An operator may set them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a stranger waits to be let in.
    pub pending_for: Span,
    /// How many wait for one account on one channel.
    pub pending_of_account: u32,
    /// How many wait in all.
    pub pending_total: u32,
    /// How often one is told its code again.
    pub told_every: Span,
}

impl Limits {
    /// The documented values.
    pub const DEFAULT: Self = Self {
        pending_for: Span::from_secs(3600),
        pending_of_account: 3,
        pending_total: 1024,
        told_every: Span::from_secs(60),
    };
}

impl Default for Limits {
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
        let limits = Limits::DEFAULT;
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
