//! A phone that provisions a node over sealed exchanges: core's machine over real HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;

use handfast_core::crypto::code::Code;
use handfast_core::crypto::x25519::PublicKey;
use handfast_core::flow::provisioning::sealed::ExchangeHandle;
use handfast_core::flow::provisioning::sealed::phone::{Effect, Input, SealedPhone};
use handfast_core::limits::{SCRATCH, SEALED_PART_BYTES};
use handfast_core::wire::provisioning::sealed::{Call, PartBytes};
use handfast_core::{Entropy, Instant, Machine};
use serde_json::Value;

/// A phone, with the address of the node's API.
pub(super) struct Phone {
    address: String,
    machine: SealedPhone,
    answer: Vec<u8>,
    key: Option<PublicKey>,
}

/// What the phone's owner is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    Proven,
    Wrong(u16),
    Later(u16),
    Lost,
    /// The node answered with this HTTP status in place of the next message.
    Refused(u16),
    More,
    Answered(u16, Value),
}

fn draw<const N: usize>() -> Entropy<N> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    Entropy::from_recorded(bytes)
}

impl Phone {
    pub(super) fn at(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            machine: SealedPhone::default(),
            answer: Vec::new(),
            key: None,
        }
    }

    /// Returns the node's key that was proven last.
    pub(super) fn key(&self) -> PublicKey {
        self.key.expect("the node is proven")
    }

    pub(super) fn prove(&mut self, proof: &str) -> Told {
        let proof = Code::parse(proof).unwrap();
        self.go(Input::Start { proof, entropy: [draw(), draw()] })
    }

    /// Calls with JSON, or without a body.
    pub(super) fn call(&mut self, call: Call, body: &str) -> Told {
        let mut parts = body.as_bytes().chunks(SEALED_PART_BYTES).peekable();
        loop {
            let bytes = PartBytes::new(parts.next().unwrap_or_default()).unwrap();
            let told = self.go(Input::Part { call, bytes, last: parts.peek().is_none() });
            if told != Told::More {
                return told;
            }
        }
    }

    fn go(&mut self, input: Input<'_>) -> Told {
        let mut scratch = [0; SCRATCH];
        let (mut told, mut post) = self.step(input, &mut scratch);
        while let Some((handle, bytes)) = post.take() {
            match exchange(&self.address, handle, &bytes) {
                (200, mut answer) => {
                    let input = Input::Answer(&mut answer, draw());
                    let (news, next) = self.step(input, &mut scratch);
                    told = news.or(told);
                    post = next;
                }
                (status, _) => return Told::Refused(status),
            }
        }
        told.unwrap()
    }

    #[allow(clippy::type_complexity, reason = "what is told, and what is posted next")]
    fn step(
        &mut self,
        input: Input<'_>,
        scratch: &mut [u8],
    ) -> (Option<Told>, Option<(Option<ExchangeHandle>, Vec<u8>)>) {
        let (mut told, mut post) = (None, None);
        for effect in self.machine.step(Instant::from_millis(0), input, scratch) {
            match effect {
                Effect::Post(handle, bytes) => post = Some((handle, bytes.to_vec())),
                Effect::Proven(key) => {
                    self.key = Some(key);
                    told = Some(Told::Proven);
                }
                Effect::Wrong(retry_in) => told = Some(Told::Wrong(retry_in)),
                Effect::Later(retry_in) => told = Some(Told::Later(retry_in)),
                Effect::Lost => told = Some(Told::Lost),
                Effect::More => told = Some(Told::More),
                Effect::Answer { status, bytes, last } => {
                    self.answer.extend_from_slice(bytes);
                    if last {
                        let body = std::mem::take(&mut self.answer);
                        told = Some(Told::Answered(status, serde_json::from_slice(&body).unwrap()));
                    }
                }
            }
        }
        (told, post)
    }
}

/// Sends one message. Returns the status and the body of the answer.
pub(super) fn exchange(
    address: &str,
    handle: Option<ExchangeHandle>,
    bytes: &[u8],
) -> (u16, Vec<u8>) {
    let handle: String = handle.map_or_else(String::new, |handle| {
        let digits: String = handle.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("/{digits}")
    });
    let head = format!(
        "POST /api/v1/sealed{handle} HTTP/1.1\r\nHost: node\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    );
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(&[head.as_bytes(), bytes].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer[end + 4..].to_vec())
}
