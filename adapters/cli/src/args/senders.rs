//! `handfast senders …` on the command line.

use std::time::Duration;

use clap::{Args as Arguments, Subcommand};
use handfast_core::registry::inbound::ChallengeCode;

use super::{Common, length_of_time};

#[derive(Debug, Arguments)]
pub(crate) struct SendersArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) verb: SendersVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SendersVerb {
    /// List who waits to be let in, with the codes
    List {
        /// Only those on this channel
        #[arg(long, value_name = "CHANNEL")]
        channel: Option<String>,
        /// Those that were let in and those that are blocked, too
        #[arg(long)]
        all: bool,
        /// All of those, and whose permission was taken back
        #[arg(long)]
        include_revoked: bool,
    },
    /// Let in whoever waits with this code, and tell it so if its channel can
    Approve {
        /// The 8 characters that the sender was told; case, spaces and dashes do not matter
        #[arg(value_name = "CODE", value_parser = code)]
        code: String,
        /// For how long, for instance 30d; without it, without end
        #[arg(long = "for", value_name = "TIME", value_parser = length_of_time)]
        lasts: Option<Duration>,
    },
    /// Turn down a sender that waits; if it writes again, it gets a new code
    Reject(SenderArgs),
    /// Hear nothing more of a sender: what it writes is dropped without an answer
    Block(SenderArgs),
    /// Let a blocked sender ask again
    Unblock(SenderArgs),
    /// Take back that a sender was let in
    Revoke(SenderArgs),
    /// Remove the name of a sender that is out, from the list and from the audit log
    Forget(SenderArgs),
    /// Let in many senders at once, without codes
    Seed {
        /// Over which channel, for instance whatsapp
        #[arg(value_name = "CHANNEL")]
        channel: String,
        /// To which account there
        #[arg(value_name = "ACCOUNT")]
        account: String,
        /// Who, as the channel names them
        #[arg(value_name = "SENDER", required = true, allow_negative_numbers = true)]
        senders: Vec<String>,
    },
}

/// Whom a decision is about.
#[derive(Debug, Arguments)]
pub(crate) struct SenderArgs {
    /// Channel and sender, for instance telegram:@ana; what stands behind the first colon is the
    /// sender
    #[arg(value_name = "CHANNEL:SENDER", value_parser = named)]
    pub(crate) who: NamedSender,
    /// Only for this account; without it, for all
    #[arg(long, value_name = "ACCOUNT")]
    pub(crate) account: Option<String>,
}

/// A sender of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedSender {
    pub(crate) channel: String,
    pub(crate) sender: String,
}

fn named(text: &str) -> Result<NamedSender, String> {
    match text.split_once(':') {
        Some((channel, sender)) if !channel.is_empty() && !sender.is_empty() => {
            Ok(NamedSender { channel: channel.to_owned(), sender: sender.to_owned() })
        }
        _ => Err("a sender is named with its channel and a colon before it, as in telegram:@ana"
            .to_owned()),
    }
}

fn code(text: &str) -> Result<String, String> {
    let wrong = "a code has 8 letters and digits, without I, O, 0 and 1".to_owned();
    ChallengeCode::parse(text).map(|code| code.as_str().to_owned()).ok_or(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_what_stands_behind_the_first_colon() {
        let read = |text| named(text).map(|named| (named.channel, named.sender));
        assert_eq!(
            read("matrix:@ana:example.org"),
            Ok(("matrix".to_owned(), "@ana:example.org".to_owned()))
        );
        for none in ["", "telegram", ":@ana", "telegram:", ":"] {
            assert!(read(none).is_err(), "{none}");
        }
    }

    #[test]
    fn a_code_is_read_as_it_was_typed_and_sent_in_its_one_spelling() {
        assert_eq!(code("abcd-2345"), Ok("ABCD2345".to_owned()));
        for none in ["", "ABCD234", "ABCD2340", "ABCD23456"] {
            assert!(code(none).is_err(), "{none}");
        }
    }
}
