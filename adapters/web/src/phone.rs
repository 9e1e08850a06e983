//! A phone that provisions a node over sealed exchanges: core's machine, with its effects as records.

use handfast_core::crypto::code::Code;
use handfast_core::crypto::fingerprint::Fingerprint;
use handfast_core::flow::provisioning::sealed::phone::{Effect, Input, SealedPhone};
use handfast_core::limits::{MESSAGE_BYTES, SCRATCH};
use handfast_core::wire::provisioning::sealed::PartBytes;
use handfast_core::{Entropy, Instant, Machine};
use zeroize::Zeroizing;

use crate::phone_call::PhoneCall;
use crate::reply::{Kind, Reply, number, with_fingerprint};

/// The phone; `None` until it is used.
#[derive(Default)]
pub(crate) struct WebPhone(Option<SealedPhone>);

/// An answer that is longer than any message. Its end is left out, so that it cannot be opened.
const ANSWER_BYTES: usize = MESSAGE_BYTES + 1;

impl WebPhone {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Carries out a call. One whose fields cannot be used is refused, and changes nothing.
    pub(crate) fn call(&mut self, call: PhoneCall<'_>, now: Instant, reply: &mut Reply<'_>) {
        let mut answer = Zeroizing::new([0; ANSWER_BYTES]);
        match input(call, &mut answer) {
            Ok(input) => step(self.0.get_or_insert_default(), now, input, reply),
            Err(code) => reply.refuse(code, ""),
        }
    }
}

/// Makes an input of a call, or the code of a refusal. An answer is opened in place: in `room`.
fn input<'b>(
    call: PhoneCall<'b>,
    room: &'b mut [u8; ANSWER_BYTES],
) -> Result<Input<'b>, &'static str> {
    Ok(match call {
        PhoneCall::Start { proof, entropy } => {
            let (own, ephemeral) = entropy.split_at_checked(32).ok_or("entropy")?;
            Input::Start {
                proof: Code::parse(proof).map_err(|_| "proof")?,
                entropy: [drawn(own)?, drawn(ephemeral)?],
            }
        }
        PhoneCall::Answer { bytes, entropy } => {
            let entropy = drawn(entropy)?;
            // One byte over the limit is enough for core to refuse the message.
            let length = bytes.len().min(ANSWER_BYTES);
            let room = room.get_mut(..length).unwrap_or_default();
            for (place, byte) in room.iter_mut().zip(bytes) {
                *place = *byte;
            }
            Input::Answer(room, entropy)
        }
        PhoneCall::Part { call, last, bytes } => {
            Input::Part { call, last, bytes: PartBytes::new(bytes).ok_or("part")? }
        }
        PhoneCall::Stop => Input::Stop,
    })
}

fn drawn(bytes: &[u8]) -> Result<Entropy<32>, &'static str> {
    let bytes: &[u8; 32] = bytes.try_into().map_err(|_| "entropy")?;
    Ok(Entropy::from_recorded(*bytes))
}

fn step(phone: &mut SealedPhone, now: Instant, input: Input<'_>, reply: &mut Reply<'_>) {
    let mut scratch = Zeroizing::new([0; SCRATCH]);
    for effect in phone.step(now, input, &mut *scratch) {
        match effect {
            Effect::Post(None, bytes) => reply.bytes(Kind::Open, &[bytes]),
            Effect::Post(Some(handle), bytes) => {
                reply.bytes(Kind::Post, &[handle.as_bytes(), bytes]);
            }
            Effect::Answer { status, bytes, last } => {
                reply.bytes(Kind::Answer, &[&status.to_le_bytes(), &[u8::from(last)], bytes]);
            }
            Effect::Proven(key) => reply.object(Kind::Event, |object| {
                let object = object.text("event", "proven");
                with_fingerprint(object, "fingerprint", &Fingerprint::of(&key))
            }),
            Effect::Wrong(retry_in) => wait("wrong", retry_in, reply),
            Effect::Later(retry_in) => wait("later", retry_in, reply),
            Effect::More => reply.event("more"),
            Effect::Lost => reply.event("lost"),
        }
    }
}

fn wait(event: &str, retry_in: u16, reply: &mut Reply<'_>) {
    reply.object(Kind::Event, |object| {
        number(object.text("event", event), "retry_in", retry_in.into())
    });
}

#[cfg(test)]
mod tests {
    use handfast_core::Source;
    use handfast_core::crypto::x25519::KeyPair;
    use handfast_core::flow::provisioning::sealed::ExchangeHandle;
    use handfast_core::flow::provisioning::sealed::node::{self, SealedSetup, SetupSecrets};
    use handfast_core::wire::provisioning::sealed::Call;

    use super::*;
    use crate::OUTPUT_BYTES;

    const NOW: Instant = Instant::from_millis(1000);

    /// Carries out a call, and returns the records.
    fn call(phone: &mut WebPhone, call: PhoneCall<'_>) -> Vec<(u8, Vec<u8>)> {
        let mut output = vec![0; OUTPUT_BYTES];
        let mut reply = Reply::new(&mut output);
        phone.call(call, NOW, &mut reply);
        let length = reply.finish(f64::INFINITY);
        let (mut rest, mut records) = (&output[8..length], Vec::new());
        while let Some((&[kind, a, b, c, d], behind)) = rest.split_first_chunk() {
            let (bytes, behind) = behind.split_at(u32::from_le_bytes([a, b, c, d]) as usize);
            records.push((kind, bytes.to_vec()));
            rest = behind;
        }
        records
    }

    /// A node with the proof `ABCD-EFGH-JKLM`.
    struct Peer(SealedSetup, KeyPair, Code);

    impl Peer {
        fn new() -> Self {
            let channel = KeyPair::generate(&Entropy::from_recorded([4; 32]));
            Self(SealedSetup::default(), channel, Code::parse("ABCDEFGHJKLM").unwrap())
        }

        fn answers(&mut self, (kind, message): &(u8, Vec<u8>)) -> Vec<u8> {
            let secrets = SetupSecrets { channel: &self.1, proof: &self.2 };
            let (source, mut bytes) = (Source::from_bytes([1; 16]), message.clone());
            let input = if *kind == Kind::Open as u8 {
                let entropy = (Entropy::from_recorded([5; 16]), Entropy::from_recorded([6; 32]));
                node::Input::Open { source, bytes: &mut bytes, entropy, secrets }
            } else {
                let (handle, bytes) = bytes.split_first_chunk_mut().unwrap();
                let handle = ExchangeHandle::from_bytes(*handle);
                let entropy = Entropy::from_recorded([7; 32]);
                node::Input::Frame { handle, source, bytes, entropy, secrets }
            };
            let mut scratch = [0; SCRATCH];
            let mut called = None;
            for effect in self.0.step(NOW, input, &mut scratch) {
                match effect {
                    node::Effect::Opened(handle, frame) => {
                        return [handle.as_bytes(), frame].concat();
                    }
                    node::Effect::Reply(frame) => return frame.to_vec(),
                    node::Effect::Call { handle, .. } => called = Some(handle),
                    node::Effect::GuessWrong(_) | node::Effect::Ended(_) => {}
                    node::Effect::Refuse(_) | node::Effect::Rest { .. } => panic!("{effect:?}"),
                }
            }
            let handle = called.expect("an answer or a call");
            let input = node::Input::Answered { handle, status: 200, rest: b"{}" };
            let mut scratch = [0; SCRATCH];
            match self.0.step(NOW, input, &mut scratch).into_iter().next() {
                Some(node::Effect::Reply(frame)) => frame.to_vec(),
                other => panic!("{other:?}"),
            }
        }

        /// Answers the phone until it has nothing to send, and returns its last records.
        fn talk(&mut self, phone: &mut WebPhone, first: PhoneCall<'_>) -> Vec<(u8, Vec<u8>)> {
            let mut records = call(phone, first);
            while let Some(message) =
                records.iter().find(|(kind, _)| [Kind::Open as u8, Kind::Post as u8].contains(kind))
            {
                let bytes = self.answers(message);
                records = call(phone, PhoneCall::Answer { bytes: &bytes, entropy: &[8; 32] });
            }
            records
        }
    }

    fn start(proof: &str) -> PhoneCall<'_> {
        PhoneCall::Start { proof, entropy: &[9; 64] }
    }

    fn event(records: &[(u8, Vec<u8>)]) -> String {
        let [(5, bytes)] = records else { panic!("{records:?}") };
        String::from_utf8(bytes.clone()).unwrap()
    }

    #[test]
    fn a_phone_proves_itself_calls_the_node_and_hears_its_answer() {
        let (mut node, mut phone) = (Peer::new(), WebPhone::new());
        let proven = event(&node.talk(&mut phone, start("abcd efgh jklm")));
        assert!(proven.starts_with(r#"{"event":"proven","fingerprint":""#), "{proven}");
        let part = PhoneCall::Part { call: Call::Info, last: true, bytes: b"" };
        let answer = (Kind::Answer as u8, b"\xc8\0\x01{}".to_vec());
        assert_eq!(node.talk(&mut phone, part), [answer]);
    }

    #[test]
    fn a_wrong_proof_is_told_with_the_time_until_the_next_guess() {
        let (mut node, mut phone) = (Peer::new(), WebPhone::new());
        let told = event(&node.talk(&mut phone, start("ABCD-EFGH-JKLN")));
        assert_eq!(told, r#"{"event":"wrong","retry_in":1}"#);
        let told = event(&node.talk(&mut phone, start("ABCD-EFGH-JKLM")));
        assert_eq!(told, r#"{"event":"later","retry_in":1}"#);
    }

    #[test]
    fn an_answer_that_is_not_the_nodes_next_message_loses_the_exchange() {
        for bytes in [&[0; 112][..], &[0; 5000], b""] {
            let mut phone = WebPhone::new();
            assert_eq!(call(&mut phone, start("ABCD-EFGH-JKLM"))[0].0, Kind::Open as u8);
            let answer = PhoneCall::Answer { bytes, entropy: &[8; 32] };
            assert_eq!(event(&call(&mut phone, answer)), r#"{"event":"lost"}"#);
        }
    }

    #[test]
    fn fields_that_cannot_be_used_are_refused_and_change_nothing() {
        let mut phone = WebPhone::new();
        let refused = [
            (start("A?"), "proof"),
            (PhoneCall::Start { proof: "ABCDEFGHJKLM", entropy: &[1; 63] }, "entropy"),
            (PhoneCall::Answer { bytes: b"", entropy: b"" }, "entropy"),
            (PhoneCall::Part { call: Call::Info, last: true, bytes: &[0; 1001] }, "part"),
        ];
        for (given, code) in refused {
            let [(7, bytes)] = &call(&mut phone, given)[..] else { panic!("{code}") };
            assert_eq!(bytes, format!(r#"{{"code":"{code}","reason":""}}"#).as_bytes());
        }
        assert!(phone.0.is_none());
    }

    #[test]
    fn an_exchange_that_is_given_up_hears_nothing_more() {
        let mut phone = WebPhone::new();
        call(&mut phone, start("ABCD-EFGH-JKLM"));
        assert_eq!(call(&mut phone, PhoneCall::Stop), []);
        let answer = PhoneCall::Answer { bytes: &[0; 112], entropy: &[8; 32] };
        assert_eq!(call(&mut phone, answer), []);
    }
}
