//! Closed sets of label values.

use std::fmt::Debug;

/// A value of a label that has no values but those of one enum.
pub(super) trait Word: Copy + Debug + 'static {
    /// Every value, in the order of [`Word::index`].
    const ALL: &'static [Self];

    /// Where it stands in [`Word::ALL`].
    fn index(self) -> usize;

    /// How it is exposed.
    fn word(self) -> &'static str;
}

/// Declares an enum and how each of its values is exposed. The crate's own derive would expose the
/// names of the variants, in camel case.
macro_rules! words {
    ($(#[$of_enum:meta])* $visible:vis enum $name:ident { $($(#[$of_word:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$of_enum])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $visible enum $name {
            $($(#[$of_word])* $variant,)+
        }

        impl $crate::telemetry::label_values::Word for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn index(self) -> usize {
                self as usize
            }

            fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

pub(super) use words;

// The values that the original has are part of the names that are kept: dashboards and alerts are
// written against them. Ours stand beside them.

words! {
    /// What became of an operator's approval of a sender.
    pub enum Approval {
        /// The sender is let in.
        Approved = "ok",
        /// Its time was over.
        Expired = "expired",
        /// No request waits under that code.
        NotFound = "not_found",
        /// The operator rejected the request.
        Rejected = "rejected",
        /// It could not be made durable.
        Error = "error",
    }
}

words! {
    /// What became of a challenge that was due.
    pub enum Challenge {
        /// The channel has sent the code.
        DeliveredViaAdapter = "delivered_via_adapter",
        /// The program that holds the channel itself, and asked the gate, was given the code to
        /// send.
        DeliveredViaBroker = "delivered_via_broker",
        /// The channel could not send it.
        PublishFailed = "publish_failed",
        /// There is nothing that could send it.
        NoWay = "no_adapter_no_broker_topic",
        /// Nothing was sent: the last reply is too recent.
        Throttled = "throttled",
    }
}

words! {
    /// Why a message was dropped.
    pub enum DropReason {
        /// The operator blocked its sender.
        Blocked = "blocked",
        /// The channel says that nobody who could write has sent it.
        NotASender = "not_a_sender",
        /// It names no sender.
        Absent = "absent",
        /// As many senders as may wait do, for its account or in all.
        Full = "full",
        /// What it was allowed would be over only by a jump of the clock, which is in doubt.
        ClockInDoubt = "clock_in_doubt",
    }
}

words! {
    /// How the check of a bootstrap token ended.
    pub enum Verification {
        /// It is good, and now spent.
        Ok = "ok",
        /// It has not the form of a token.
        Malformed = "malformed",
        /// No key of this gateway made it.
        InvalidSignature = "invalid_signature",
        /// Its time is over.
        Expired = "expired",
        /// It was spent before.
        AlreadyUsed = "already_used",
        /// The store failed.
        Error = "error",
    }
}

words! {
    /// What happened to a companion's session.
    pub enum SessionEvent {
        /// A companion paired.
        Opened = "opened",
        /// Its token was renewed.
        Refreshed = "refreshed",
        /// The operator ended it, or the companion itself.
        Revoked = "revoked",
        /// Its time was over.
        Expired = "expired",
        /// A token was shown that opens no session.
        Refused = "refused",
    }
}

words! {
    /// What the gate needed for a decision.
    pub enum AdmitPath {
        /// Its memory alone.
        Cached = "cached",
        /// It read the store.
        Store = "store",
        /// It wrote to the store: the sender waits from now on.
        New = "new",
    }
}

words! {
    /// How a call of an extension ended.
    pub enum ExtensionResult {
        /// It did what it was asked.
        Ok = "ok",
        /// It answered that it did not.
        Refused = "refused",
        /// It did not answer in time.
        TimedOut = "timed_out",
        /// It does not run, has ended, or cannot be reached.
        Unavailable = "unavailable",
        /// Its answer cannot be understood, or is too long.
        Malformed = "malformed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_well_formed<W: Word>() {
        for (index, word) in W::ALL.iter().enumerate() {
            assert_eq!(word.index(), index);
            assert!(
                word.word().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{word:?}"
            );
            assert!(
                W::ALL.iter().skip(index + 1).all(|other| other.word() != word.word()),
                "{word:?} shares its word"
            );
        }
    }

    #[test]
    fn every_word_is_its_own_and_in_snake_case() {
        is_well_formed::<Approval>();
        is_well_formed::<Challenge>();
        is_well_formed::<DropReason>();
        is_well_formed::<Verification>();
        is_well_formed::<SessionEvent>();
        is_well_formed::<AdmitPath>();
        is_well_formed::<ExtensionResult>();
        is_well_formed::<super::super::events::EventKind>();
    }
}
