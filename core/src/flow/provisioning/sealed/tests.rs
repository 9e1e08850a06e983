//! A phone and a node, message by message.

use std::vec::Vec;

use super::ExchangeHandle;
use super::node::{self, NoExchange, SealedSetup, SetupSecrets};
use super::phone::{self, SealedPhone};
use crate::crypto::code::Code;
use crate::crypto::x25519::{KeyPair, PublicKey};
use crate::entropy::Entropy;
use crate::id::Source;
use crate::limits::SEALED_SILENCE;
use crate::limits::{PROVISIONING_BODY_BYTES, SEALED_PART_BYTES, SEALED_PROVE_WITHIN};
use crate::step::Machine;
use crate::time::{Instant, Span};
use crate::wire::provisioning::sealed::{Call, PartBytes};

const PROOF: &str = "ABCD-EFGH-JKLM";

struct Node {
    machine: SealedSetup,
    channel: KeyPair,
    /// The key that the next call puts in the place of this one.
    next_channel: Option<KeyPair>,
    proof: Code,
    now: Instant,
    drawn: u16,
    /// The body that the adapter collects, and its answer.
    body: Vec<u8>,
    answer: Vec<u8>,
    called: Vec<(Call, Vec<u8>)>,
    wrong: usize,
    ended: Vec<ExchangeHandle>,
}

#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Bytes(Vec<u8>),
    Refused(NoExchange),
}

impl Node {
    fn new() -> Self {
        Self {
            machine: SealedSetup::default(),
            channel: KeyPair::generate(&Entropy::from_recorded([1; 32])),
            next_channel: None,
            proof: Code::parse(PROOF).unwrap(),
            now: Instant::from_millis(1000),
            drawn: 0,
            body: Vec::new(),
            answer: b"{}".to_vec(),
            called: Vec::new(),
            wrong: 0,
            ended: Vec::new(),
        }
    }

    fn entropy<const N: usize>(&mut self) -> Entropy<N> {
        self.drawn += 1;
        let drawn = self.drawn.to_le_bytes();
        Entropy::from_recorded(core::array::from_fn(|at| drawn[at % 2]))
    }

    fn passes(&mut self, span: Span) {
        self.now = self.now.after(span);
    }

    /// Takes a POST as the adapter does.
    fn post(&mut self, from: u8, handle: Option<ExchangeHandle>, bytes: &[u8]) -> Reply {
        let source = Source::of([192, 168, 4, from].into());
        let (handle_entropy, entropy) = (self.entropy(), self.entropy());
        let (mut bytes, mut scratch) = (bytes.to_vec(), [0; 2048]);
        let secrets = SetupSecrets { channel: &self.channel, proof: &self.proof };
        let input = match handle {
            None => {
                let entropy = (handle_entropy, entropy);
                node::Input::Open { source, bytes: &mut bytes, entropy, secrets }
            }
            Some(handle) => {
                node::Input::Frame { handle, source, bytes: &mut bytes, entropy, secrets }
            }
        };
        let mut asked = None;
        let mut reply = None;
        for effect in self.machine.step(self.now, input, &mut scratch) {
            match effect {
                node::Effect::Opened(handle, frame) => {
                    reply = Some(Reply::Bytes([handle.as_bytes(), frame].concat()));
                }
                node::Effect::Reply(frame) => reply = Some(Reply::Bytes(frame.to_vec())),
                node::Effect::Refuse(why) => reply = Some(Reply::Refused(why)),
                node::Effect::Call { handle, call, bytes, last } => {
                    self.body.extend_from_slice(bytes);
                    if last {
                        self.called.push((call, core::mem::take(&mut self.body)));
                        asked = Some((handle, 0));
                    }
                }
                node::Effect::Rest { handle, from } => asked = Some((handle, from)),
                node::Effect::GuessWrong(_) => self.wrong += 1,
                node::Effect::Ended(handle) => self.ended.push(handle),
            }
        }
        if let Some((handle, from)) = asked {
            let rest = &self.answer[usize::from(from)..];
            let input = node::Input::Answered { handle, status: 200, rest };
            // The call itself is why the key changes.
            if let Some(next) = self.next_channel.take() {
                self.channel = next;
                let changed = self.machine.step(self.now, node::Input::KeyChanged, &mut []);
                for effect in changed {
                    let node::Effect::Ended(handle) = effect else { panic!("{effect:?}") };
                    self.ended.push(handle);
                }
            }
            for effect in self.machine.step(self.now, input, &mut scratch) {
                match effect {
                    node::Effect::Reply(frame) => reply = Some(Reply::Bytes(frame.to_vec())),
                    node::Effect::Ended(handle) => self.ended.push(handle),
                    other => panic!("{other:?}"),
                }
            }
        }
        reply.unwrap()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Proven,
    Wrong(u16),
    Later(u16),
    Lost,
    More,
    Answered(Vec<u8>),
    Refused(NoExchange),
}

struct Phone {
    machine: SealedPhone,
    from: u8,
    answered: Vec<u8>,
    /// The node's key that was proven last.
    key: Option<PublicKey>,
    /// The last message to a handle, and its answer.
    sent: (Option<ExchangeHandle>, Vec<u8>),
}

impl Phone {
    fn at(from: u8) -> Self {
        Self {
            machine: SealedPhone::default(),
            from,
            answered: Vec::new(),
            key: None,
            sent: (None, Vec::new()),
        }
    }

    fn prove(&mut self, node: &mut Node, proof: &str) -> Told {
        let entropy = [self.from, self.from + 1].map(|byte| Entropy::from_recorded([byte; 32]));
        let proof = Code::parse(proof).unwrap();
        self.go(node, phone::Input::Start { proof, entropy })
    }

    fn call(&mut self, node: &mut Node, call: Call, body: &[u8]) -> Told {
        let mut parts = body.chunks(SEALED_PART_BYTES).peekable();
        loop {
            let part = parts.next().unwrap_or_default();
            let bytes = PartBytes::new(part).unwrap();
            let last = parts.peek().is_none();
            let told = self.go(node, phone::Input::Part { call, bytes, last });
            if told != Told::More {
                return told;
            }
        }
    }

    /// Steps the machine, and posts what it says, until it tells something.
    fn go(&mut self, node: &mut Node, input: phone::Input<'_>) -> Told {
        let mut scratch = [0; 2048];
        let mut told = None;
        let mut post = None;
        self.note(input, &mut scratch, &mut told, &mut post);
        while let Some((handle, bytes)) = post.take() {
            self.sent = (handle, bytes.clone());
            match node.post(self.from, handle, &bytes) {
                Reply::Refused(why) => return Told::Refused(why),
                Reply::Bytes(mut answer) => {
                    let entropy = node.entropy();
                    let input = phone::Input::Answer(&mut answer, entropy);
                    self.note(input, &mut scratch, &mut told, &mut post);
                }
            }
        }
        told.unwrap()
    }

    fn note(
        &mut self,
        input: phone::Input<'_>,
        scratch: &mut [u8],
        told: &mut Option<Told>,
        post: &mut Option<(Option<ExchangeHandle>, Vec<u8>)>,
    ) {
        for effect in self.machine.step(Instant::from_millis(0), input, scratch) {
            match effect {
                phone::Effect::Post(handle, bytes) => *post = Some((handle, bytes.to_vec())),
                phone::Effect::Proven(key) => {
                    self.key = Some(key);
                    *told = Some(Told::Proven);
                }
                phone::Effect::Wrong(retry_in) => *told = Some(Told::Wrong(retry_in)),
                phone::Effect::Later(retry_in) => *told = Some(Told::Later(retry_in)),
                phone::Effect::Lost => *told = Some(Told::Lost),
                phone::Effect::More => *told = Some(Told::More),
                phone::Effect::Answer { status, bytes, last } => {
                    assert_eq!(status, 200);
                    self.answered.extend_from_slice(bytes);
                    if last {
                        *told = Some(Told::Answered(core::mem::take(&mut self.answered)));
                    }
                }
            }
        }
    }
}

#[test]
fn a_phone_that_has_the_proof_calls_with_bodies_and_answers_of_any_length() {
    let (mut node, mut phone) = (Node::new(), Phone::at(10));
    assert_eq!(phone.prove(&mut node, "abcd efgh jklm"), Told::Proven);
    for length in [0, 1, SEALED_PART_BYTES, SEALED_PART_BYTES + 1, PROVISIONING_BODY_BYTES] {
        let body: Vec<u8> = (0..length).map(|at| at.to_le_bytes()[0]).collect();
        node.answer = body.iter().rev().copied().collect();
        let answered = phone.call(&mut node, Call::Provision, &body);
        assert_eq!(answered, Told::Answered(node.answer.clone()));
        assert_eq!(node.called.pop(), Some((Call::Provision, body)));
    }
}

#[test]
fn a_new_static_key_ends_all_exchanges_and_who_waits_for_an_answer_gets_it_first() {
    let (mut node, mut owner, mut other) = (Node::new(), Phone::at(10), Phone::at(20));
    assert_eq!(owner.prove(&mut node, PROOF), Told::Proven);
    assert_eq!(other.prove(&mut node, PROOF), Told::Proven);
    let first = owner.key;
    node.answer = [7; 2 * SEALED_PART_BYTES + 1].to_vec();
    node.next_channel = Some(KeyPair::generate(&Entropy::from_recorded([2; 32])));
    let answered = owner.call(&mut node, Call::FactoryReset, b"");
    assert_eq!(answered, Told::Answered(node.answer.clone()), "in all its parts");
    assert_eq!(node.ended.len(), 2);
    for phone in [&mut owner, &mut other] {
        let told = phone.call(&mut node, Call::Status, b"");
        assert_eq!(told, Told::Refused(NoExchange::Unknown));
    }
    assert_eq!(node.called.len(), 1);
    assert_eq!(owner.prove(&mut node, PROOF), Told::Proven);
    assert!(owner.key.is_some() && owner.key != first);
    // A handshake that the change has interrupted does not go on, either.
    let first = other_first(&mut node);
    let half = node.post(30, None, &first);
    let Reply::Bytes(opened) = half else { panic!("{half:?}") };
    let handle = ExchangeHandle::from_bytes(opened[..16].try_into().unwrap());
    let _ = node.machine.step(node.now, node::Input::KeyChanged, &mut []);
    let third = node.post(30, Some(handle), &[0; 64]);
    assert_eq!(third, Reply::Refused(NoExchange::Unknown));
}

/// Returns the first message of a phone.
fn other_first(node: &mut Node) -> Vec<u8> {
    let (entropy, mut scratch) = ([node.entropy(), node.entropy()], [0; 2048]);
    let input = phone::Input::Start { proof: Code::parse(PROOF).unwrap(), entropy };
    let mut phone = SealedPhone::default();
    let effects = phone.step(Instant::from_millis(0), input, &mut scratch);
    let post = effects.into_iter().find_map(|effect| match effect {
        phone::Effect::Post(None, bytes) => Some(bytes.to_vec()),
        _ => None,
    });
    post.unwrap()
}

#[test]
fn a_body_longer_than_any_ends_the_exchange() {
    let (mut node, mut phone) = (Node::new(), Phone::at(10));
    phone.prove(&mut node, PROOF);
    let told = phone.call(&mut node, Call::Provision, &[b' '; PROVISIONING_BODY_BYTES + 1]);
    assert_eq!(told, Told::Refused(NoExchange::Broken));
    assert!(node.called.is_empty());
    assert_eq!(node.ended.len(), 1);
}

#[test]
fn a_wrong_proof_is_told_with_a_wait_in_which_even_the_right_one_is_not_compared() {
    let (mut node, mut phone) = (Node::new(), Phone::at(10));
    assert_eq!(phone.prove(&mut node, "ABCD-EFGH-JKLN"), Told::Wrong(1));
    assert_eq!(phone.prove(&mut node, PROOF), Told::Later(1));
    // Another phone is not kept waiting by this one.
    assert_eq!(Phone::at(11).prove(&mut node, PROOF), Told::Proven);
    node.passes(Span::from_secs(1));
    assert_eq!(phone.prove(&mut node, "ABCD-EFGH-JKLN"), Told::Wrong(2));
    node.passes(Span::from_secs(2));
    assert_eq!(phone.prove(&mut node, PROOF), Told::Proven);
    assert_eq!(node.wrong, 2);
}

#[test]
fn nothing_is_called_before_the_proof_and_no_message_counts_twice() {
    let (mut node, mut phone) = (Node::new(), Phone::at(10));
    assert_eq!(phone.prove(&mut node, PROOF), Told::Proven);
    let answered = phone.call(&mut node, Call::FactoryReset, b"");
    assert_eq!(answered, Told::Answered(b"{}".to_vec()));
    // The same bytes once more end the exchange, and nothing is called again.
    let (handle, bytes) = phone.sent.clone();
    assert_eq!(node.post(10, handle, &bytes), Reply::Refused(NoExchange::Broken));
    assert_eq!(node.post(10, handle, &bytes), Reply::Refused(NoExchange::Unknown));
    assert_eq!(node.called.len(), 1);
}

#[test]
fn every_changed_byte_of_every_message_ends_the_exchange_and_calls_nothing() {
    // The messages of one exchange, as they are sent: two of Noise, two of CPace, and a call.
    for message in 0..5 {
        for byte in [0, 1, 31, 40] {
            let mut node = Node::new();
            let mut phone = Phone::at(10);
            let entropy = [10, 11].map(|byte| Entropy::from_recorded([byte; 32]));
            let input = phone::Input::Start { proof: Code::parse(PROOF).unwrap(), entropy };
            let (mut told, mut post, mut scratch) = (None, None, [0; 2048]);
            phone.note(input, &mut scratch, &mut told, &mut post);
            let mut at = 0;
            let refused = loop {
                let Some((handle, mut bytes)) = post.take() else {
                    let (call, last) = (Call::FactoryReset, true);
                    let bytes = PartBytes::new(b"").unwrap();
                    let input = phone::Input::Part { call, bytes, last };
                    phone.note(input, &mut scratch, &mut told, &mut post);
                    continue;
                };
                if at == message {
                    let byte = byte % bytes.len();
                    bytes[byte] ^= 1;
                }
                at += 1;
                match node.post(10, handle, &bytes) {
                    Reply::Refused(why) => break Some(why),
                    Reply::Bytes(mut answer) => {
                        let input = phone::Input::Answer(&mut answer, node.entropy());
                        phone.note(input, &mut scratch, &mut told, &mut post);
                    }
                }
                if matches!(told, Some(Told::Lost | Told::Answered(_))) {
                    break None;
                }
            };
            assert!(refused == Some(NoExchange::Broken) || told == Some(Told::Lost));
            assert!(node.called.is_empty(), "message {message}, byte {byte}");
        }
    }
}

#[test]
fn a_third_phone_waits_until_one_that_has_not_proven_itself_is_slow() {
    let mut node = Node::new();
    let first = [3; 32];
    let opened = |reply: &Reply| matches!(reply, Reply::Bytes(_));
    assert!(opened(&node.post(1, None, &first)));
    node.passes(Span::from_secs(1));
    assert!(opened(&node.post(2, None, &first)));
    let wait = Span::from_secs(SEALED_PROVE_WITHIN.as_secs() - 1);
    assert_eq!(node.post(3, None, &first), Reply::Refused(NoExchange::Full(wait)));
    // The same phone takes its own place anew.
    assert!(opened(&node.post(1, None, &first)));
    assert_eq!(node.ended.len(), 1);
    node.passes(SEALED_PROVE_WITHIN);
    assert!(opened(&node.post(3, None, &first)));
    assert_eq!(node.ended.len(), 2);
    // Nonsense displaces nobody.
    assert_eq!(node.post(4, None, b"no key"), Reply::Refused(NoExchange::Broken));
    assert_eq!(node.ended.len(), 2);
}

#[test]
fn strangers_take_no_place_of_a_phone_that_has_proven_itself_while_it_goes_on() {
    let (mut node, mut phone) = (Node::new(), Phone::at(10));
    assert_eq!(phone.prove(&mut node, PROOF), Told::Proven);
    for second in 0..120 {
        node.passes(Span::from_secs(1));
        let _ = node.post(20 + second % 100, None, &[3; 32]);
        let _ = node.post(20 + (second + 50) % 100, None, &[3; 32]);
        if second % 30 == 0 {
            let answered = phone.call(&mut node, Call::Status, b"");
            assert_eq!(answered, Told::Answered(b"{}".to_vec()), "after {second} s");
        }
    }
    node.passes(SEALED_SILENCE);
    let answered = phone.call(&mut node, Call::Status, b"");
    assert_eq!(answered, Told::Refused(NoExchange::Unknown));
}

#[test]
fn a_node_that_does_not_know_the_proof_learns_nothing_of_it_and_is_left() {
    let (mut twin, mut phone) = (Node::new(), Phone::at(10));
    twin.proof = Code::parse("ZZZZ-ZZZZ-ZZZZ").unwrap();
    assert_eq!(phone.prove(&mut twin, PROOF), Told::Wrong(1));
    assert!(twin.called.is_empty());
}
