//! The host's calls of a node and a companion. An optional text is empty where it is missing.

use crate::fields::Fields;

/// A call of the host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Call<'b> {
    /// Starts a node: from what was stored, or, if that is empty, with fresh keys.
    Boot {
        /// 64 random bytes, of which the keys are made if nothing was stored.
        entropy: &'b [u8],
        stored: &'b [u8],
        name: &'b str,
        room: &'b str,
        profile: &'b str,
        wants: &'b str,
    },
    /// A deadline has come.
    Tick,
    /// The connection is open.
    Connected { entropy: &'b [u8] },
    /// A message of the gateway came.
    Frame { bytes: &'b [u8], entropy: &'b [u8] },
    /// The connection is closed, or could not be opened.
    Disconnected { entropy: &'b [u8] },
    /// What was to be stored is durable.
    Kept,
    /// The owner chose how to pair.
    Pair {
        method: PairBy<'b>,
        /// The fingerprint of the only acceptable gateway.
        expect: Option<&'b str>,
    },
    /// The owner typed a PIN, or another code after a wrong one.
    Code { text: &'b str, entropy: &'b [u8] },
    /// The application sends a message.
    App { action: &'b str, address: &'b str, bytes: &'b [u8] },
    /// The application subscribes to a pattern.
    Subscribe { pattern: &'b str },
    /// The owner wants the grant renewed.
    Renew,
    /// The application wants a bearer token.
    Bearer,
    /// The owner wants the pairing forgotten.
    Forget,
    /// The readings of the next heartbeats.
    Readings { occupancy: Option<bool>, noise: &'b str, wake_word_fp: Option<bool> },
    /// The host asks for the node's keys, state and rights.
    Describe,
    /// The host asks whether a pattern matches an address.
    Matches { pattern: &'b str, address: &'b str },
    /// The host asks for the parts of an invitation.
    ReadInvite { text: &'b str },
    /// The host asks for the parts of a setup code.
    ReadSetup { text: &'b str },

    /// The host asks whether the host of a URL may be reached without TLS.
    IsNear { host: &'b str },
    /// A companion shows a bootstrap token.
    Companion { token: &'b str },
    /// A text message came for the companion.
    CompanionText { text: &'b str },
    /// A binary message came for the companion.
    CompanionBinary,
    /// The companion's connection is closed.
    CompanionClosed,
}

/// A method of pairing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PairBy<'b> {
    /// The operator compares the node's fingerprint.
    Approval,
    /// The gateway shows a PIN.
    Pin,
    /// A code that was minted beforehand: selector and secret.
    Code(&'b str),
    /// The bootstrap token of a setup code.
    Setup(&'b str),
}

impl<'b> PairBy<'b> {
    fn read(fields: &mut Fields<'b>) -> Option<Self> {
        let method = fields.bytes()?;
        let proof = fields.text()?;
        match method {
            [0] => Some(Self::Approval),
            [1] => Some(Self::Pin),
            [2] => Some(Self::Code(proof)),
            [3] => Some(Self::Setup(proof)),
            _ => None,
        }
    }
}

impl<'b> Call<'b> {
    /// Reads a call; `None` if the bytes are none, or go on behind it.
    pub(crate) fn read(bytes: &'b [u8]) -> Option<Self> {
        let (number, mut fields) = Fields::of(bytes)?;
        let call = match number {
            0 => Self::Boot {
                entropy: fields.bytes()?,
                stored: fields.bytes()?,
                name: fields.text()?,
                room: fields.text()?,
                profile: fields.text()?,
                wants: fields.text()?,
            },
            1 => Self::Tick,
            2 => Self::Connected { entropy: fields.bytes()? },
            3 => Self::Frame { bytes: fields.bytes()?, entropy: fields.bytes()? },
            4 => Self::Disconnected { entropy: fields.bytes()? },
            5 => Self::Kept,
            6 => Self::Pair {
                method: PairBy::read(&mut fields)?,
                expect: Some(fields.text()?).filter(|text| !text.is_empty()),
            },
            7 => Self::Code { text: fields.text()?, entropy: fields.bytes()? },
            8 => Self::App {
                action: fields.text()?,
                address: fields.text()?,
                bytes: fields.bytes()?,
            },
            9 => Self::Subscribe { pattern: fields.text()? },
            10 => Self::Renew,
            11 => Self::Bearer,
            12 => Self::Forget,
            13 => Self::Readings {
                occupancy: fields.boolean()?,
                noise: fields.text()?,
                wake_word_fp: fields.boolean()?,
            },
            14 => Self::Describe,
            15 => Self::Matches { pattern: fields.text()?, address: fields.text()? },
            16 => Self::ReadInvite { text: fields.text()? },
            17 => Self::ReadSetup { text: fields.text()? },
            18 => Self::Companion { token: fields.text()? },
            19 => Self::CompanionText { text: fields.text()? },
            20 => Self::CompanionBinary,
            21 => Self::CompanionClosed,
            22 => Self::IsNear { host: fields.text()? },
            _ => return None,
        };
        fields.is_empty().then_some(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_read_to_its_last_byte_and_no_further() {
        let send = b"\x08\x05\0write\x02\0/a\x01\0x";
        let read = Call::App { action: "write", address: "/a", bytes: b"x" };
        assert_eq!(Call::read(send), Some(read));
        for end in 0..send.len() {
            assert_eq!(Call::read(&send[..end]), None, "{end}");
        }
        assert_eq!(Call::read(b"\x01\0"), None);
        assert_eq!(Call::read(b"\xff"), None);
        assert_eq!(Call::read(b"\x09\x02\0/\xff"), None);
    }

    #[test]
    fn what_is_optional_may_be_empty() {
        let pair = Call::Pair { method: PairBy::Pin, expect: None };
        assert_eq!(Call::read(b"\x06\x01\0\x01\0\0\0\0"), Some(pair));
        let readings = Call::Readings { occupancy: Some(true), noise: "", wake_word_fp: None };
        assert_eq!(Call::read(b"\x0d\x01\0\x01\0\0\0\0"), Some(readings));
    }
}
