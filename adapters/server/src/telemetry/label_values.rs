//! Closed sets of label values.

use std::fmt::Debug;

use handfast_core::registry::sessions::NotRedeemed;

/// A label value from the closed set of one enum.
pub(super) trait LabelValue: Copy + Debug + 'static {
    /// All values, in the order of [`LabelValue::index`].
    const ALL: &'static [Self];

    /// Returns the position in [`LabelValue::ALL`].
    fn index(self) -> usize;

    /// Returns the exposed text.
    fn word(self) -> &'static str;
}

/// Declares an enum and the exposed text of each value. The crate's own derive would expose the
/// names of the variants, in camel case.
macro_rules! words {
    ($(#[$of_enum:meta])* $visible:vis enum $name:ident { $($(#[$of_word:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$of_enum])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $visible enum $name {
            $($(#[$of_word])* $variant,)+
        }

        impl $crate::telemetry::label_values::LabelValue for $name {
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

// Existing dashboards and alerts use the values of the original system, so these stay as they are;
// Handfast's own stand beside them.

words! {
    /// The outcome of an operator's approval of a sender.
    pub enum ApprovalResult {
        /// The sender is allowed.
        Approved = "ok",
        /// The request had expired.
        Expired = "expired",
        /// No request waits under this code.
        NotFound = "not_found",
        /// The operator rejected the request.
        Rejected = "rejected",
        /// The decision could not be stored.
        Error = "error",
    }
}

words! {
    /// The outcome of a challenge that was due.
    pub enum ChallengeResult {
        /// The channel has sent the code.
        DeliveredViaAdapter = "delivered_via_adapter",
        /// The program that holds the channel itself got the code, to send it.
        DeliveredViaBroker = "delivered_via_broker",
        /// The channel could not send the code.
        PublishFailed = "publish_failed",
        /// No adapter or program could send the code.
        NoWay = "no_adapter_no_broker_topic",
        /// The code was not sent, because the last reply is too recent.
        Throttled = "throttled",
    }
}

words! {
    /// The reason for dropping a message.
    pub enum DropReason {
        /// The operator has blocked the sender.
        Blocked = "blocked",
        /// The channel says that no possible sender has sent it.
        NotASender = "not_a_sender",
        /// The message names no sender.
        Absent = "absent",
        /// The limit of waiting senders is reached, for the account or in total.
        Full = "full",
        /// Only a jump of the clock, which is in doubt, would end the sender's allowance.
        ClockInDoubt = "clock_in_doubt",
    }
}

words! {
    /// The result of the check of a bootstrap token.
    pub enum Verification {
        /// The token is valid, and now spent.
        Ok = "ok",
        /// The text has not the form of a token.
        Malformed = "malformed",
        /// No key of this gateway signed the token.
        InvalidSignature = "invalid_signature",
        /// The token has expired.
        Expired = "expired",
        /// The token was spent before.
        AlreadyUsed = "already_used",
        /// The store failed.
        Error = "error",
    }
}

impl Verification {
    /// Returns the outcome for a token that could not be redeemed.
    pub(crate) const fn of(reason: NotRedeemed) -> Self {
        match reason {
            NotRedeemed::AlreadyUsed => Self::AlreadyUsed,
            NotRedeemed::Expired | NotRedeemed::ClockInDoubt => Self::Expired,
        }
    }
}

words! {
    /// An event in the life of a companion's session.
    pub enum SessionEvent {
        /// A companion redeemed a setup code.
        Opened = "opened",
        /// The session was prolonged.
        Refreshed = "refreshed",
        /// The operator or the companion ended the session.
        Revoked = "revoked",
        /// The session has expired.
        Expired = "expired",
        /// A companion showed a token that opens no session.
        Refused = "refused",
    }
}

words! {
    /// The part of the gate that a decision needed.
    pub enum AdmitPath {
        /// The memory of recent decisions alone.
        Cached = "cached",
        /// A read of the store.
        Store = "store",
        /// A write to the store: the sender waits from now on.
        New = "new",
    }
}

words! {
    /// The outcome of a call of an extension.
    pub enum ExtensionResult {
        /// The extension did what was asked.
        Ok = "ok",
        /// The extension answered that it refused.
        Refused = "refused",
        /// The extension did not answer in time.
        TimedOut = "timed_out",
        /// The extension does not run, has ended, or cannot be reached.
        Unavailable = "unavailable",
        /// The answer is malformed or too long.
        Malformed = "malformed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_well_formed<W: LabelValue>() {
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
        is_well_formed::<ApprovalResult>();
        is_well_formed::<ChallengeResult>();
        is_well_formed::<DropReason>();
        is_well_formed::<Verification>();
        is_well_formed::<SessionEvent>();
        is_well_formed::<AdmitPath>();
        is_well_formed::<ExtensionResult>();
        is_well_formed::<super::super::events::EventKind>();
    }
}
