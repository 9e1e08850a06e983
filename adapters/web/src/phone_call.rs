//! The host's calls of a phone that provisions a node.

use handfast_core::wire::provisioning::sealed;

use crate::fields::Fields;

/// A call of the host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PhoneCall<'b> {
    /// The phone's owner typed the proof: open an exchange. An earlier one is given up.
    Start {
        proof: &'b str,
        /// 64 random bytes.
        entropy: &'b [u8],
    },
    /// The node's answer to the last message, and 32 random bytes.
    Answer { bytes: &'b [u8], entropy: &'b [u8] },
    /// The next part of the body of a call of the node.
    Part { call: sealed::Call, last: bool, bytes: &'b [u8] },
    /// The exchange is given up.
    Stop,
}

impl<'b> PhoneCall<'b> {
    /// Reads a call; `None` if the bytes are none, or go on behind it.
    pub(crate) fn read(bytes: &'b [u8]) -> Option<Self> {
        let (number, mut fields) = Fields::of(bytes)?;
        let call = match number {
            32 => Self::Start { proof: fields.text()?, entropy: fields.bytes()? },
            33 => Self::Answer { bytes: fields.bytes()?, entropy: fields.bytes()? },
            34 => {
                let &[call] = fields.bytes()? else { return None };
                Self::Part {
                    call: *sealed::Call::ALL.get(usize::from(call))?,
                    last: fields.boolean()??,
                    bytes: fields.bytes()?,
                }
            }
            35 => Self::Stop,
            _ => return None,
        };
        fields.is_empty().then_some(call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_of_a_phone_is_read_to_its_last_byte_and_no_further() {
        let part = b"\x22\x01\0\x02\x01\0\x01\x01\0x";
        let read = PhoneCall::Part { call: sealed::Call::Provision, last: true, bytes: b"x" };
        assert_eq!(PhoneCall::read(part), Some(read));
        for end in 0..part.len() {
            assert_eq!(PhoneCall::read(&part[..end]), None, "{end}");
        }
        assert_eq!(PhoneCall::read(b"\x23"), Some(PhoneCall::Stop));
        assert_eq!(PhoneCall::read(b"\x23\0"), None);
    }

    #[test]
    fn a_part_names_a_call_of_the_node_and_says_whether_it_is_the_last() {
        assert_eq!(PhoneCall::read(b"\x22\x01\0\x07\x01\0\x01\0\0"), None, "there is no call 7");
        assert_eq!(PhoneCall::read(b"\x22\x01\0\x00\0\0\0\0"), None, "neither last nor not");
        for number in 0..7 {
            let Some(PhoneCall::Part { call, .. }) =
                PhoneCall::read(&[34, 1, 0, number, 1, 0, 0, 0, 0])
            else {
                panic!("{number}");
            };
            assert_eq!(call as u8, number);
        }
    }
}
