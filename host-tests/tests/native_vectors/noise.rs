//! Both protocols against the vectors of cacophony. Vectors of other patterns (KK, XXpsk3) have no
//! implementation to run on.

use handfast_core::crypto::noise::{Established, Prologue, ik, xx};
use serde_json::Value;

use super::{array, bytes, entropy, key_pair};

struct Vector {
    value: Value,
    messages: Vec<Message>,
}

struct Message {
    payload: Vec<u8>,
    sealed: Vec<u8>,
}

impl Vector {
    fn load(protocol: &str) -> Self {
        let all = super::vectors(include_str!("../../vectors/noise.json"));
        let found = all["vectors"]
            .as_array()
            .unwrap()
            .iter()
            .find(|vector| vector["protocol_name"] == protocol);
        let value = found.expect("the vector").clone();
        let message = |message: &Value| Message {
            payload: bytes(message, "payload"),
            sealed: bytes(message, "ciphertext"),
        };
        let messages = value["messages"].as_array().unwrap().iter().map(message).collect();
        Self { value, messages }
    }

    fn get(&self, name: &str) -> Vec<u8> {
        bytes(&self.value, name)
    }

    /// Checks that both sides have the recorded hash and know each other, then exchanges the
    /// remaining messages, beginning with `from`.
    fn check_transport(
        &self,
        initiator: Established,
        responder: Established,
        from: usize,
        initiator_sends: bool,
    ) {
        assert_eq!(initiator.hash.as_bytes()[..], self.get("handshake_hash"));
        assert_eq!(initiator.hash, responder.hash);
        assert_eq!(initiator.peer, *key_pair(&self.get("resp_static")).public());
        assert_eq!(responder.peer, *key_pair(&self.get("init_static")).public());
        let (mut to_responder, mut to_initiator) =
            ((initiator.sending, responder.receiving), (responder.sending, initiator.receiving));
        let mut initiator_sends = initiator_sends;
        for message in &self.messages[from..] {
            let (sending, receiving) =
                if initiator_sends { &mut to_responder } else { &mut to_initiator };
            let mut buffer = vec![0xee; message.payload.len() + 20];
            buffer[..message.payload.len()].copy_from_slice(&message.payload);
            assert_eq!(sending.seal(&mut buffer, message.payload.len()).unwrap(), message.sealed);
            let mut sealed = message.sealed.clone();
            let kept = std::mem::replace(receiving, super::handshakes::nowhere());
            let (next, text) = kept.open(&mut sealed).unwrap();
            assert_eq!(text, message.payload);
            *receiving = next;
            initiator_sends = !initiator_sends;
        }
    }
}

#[test]
fn xx_agrees_with_cacophony_byte_for_byte() {
    let vector = Vector::load("Noise_XX_25519_ChaChaPoly_SHA256");
    let [first, second, third] = [0, 1, 2].map(|at| &vector.messages[at]);
    let (prologue, theirs) = (vector.get("init_prologue"), vector.get("resp_prologue"));
    let [mut one, mut two, mut three] = [[0; 200]; 3];
    let recorded = entropy(&vector.get("init_ephemeral"));
    let (initiator, sent) = xx::Initiator::start(
        Prologue::from_recorded(&prologue),
        &recorded,
        &first.payload,
        &mut one,
    )
    .unwrap();
    assert_eq!(sent, first.sealed);
    let mut sent = sent.to_vec();
    let (responder, payload) =
        xx::Responder::read_first(Prologue::from_recorded(&theirs), &mut sent).unwrap();
    assert_eq!(payload, first.payload);
    let (own, recorded) =
        (key_pair(&vector.get("resp_static")), entropy(&vector.get("resp_ephemeral")));
    let (responder, sent) =
        responder.write_second(&own, &recorded, &second.payload, &mut two).unwrap();
    assert_eq!(sent, second.sealed);
    let mut sent = sent.to_vec();
    let (initiator, payload) = initiator.read_second(&mut sent).unwrap();
    assert_eq!(payload, second.payload);
    assert_eq!(initiator.peer(), own.public());
    let own = key_pair(&vector.get("init_static"));
    let (initiator, sent) = initiator.write_third(&own, &third.payload, &mut three).unwrap();
    assert_eq!(sent, third.sealed);
    let mut sent = sent.to_vec();
    let (responder, payload) = responder.read_third(&mut sent).unwrap();
    assert_eq!(payload, third.payload);
    vector.check_transport(initiator, responder, 3, false);
}

#[test]
fn ik_agrees_with_cacophony_byte_for_byte() {
    let vector = Vector::load("Noise_IK_25519_ChaChaPoly_SHA256");
    let [first, second] = [0, 1].map(|at| &vector.messages[at]);
    let (prologue, theirs) = (vector.get("init_prologue"), vector.get("resp_prologue"));
    let [mut one, mut two] = [[0; 200]; 2];
    let (node, gateway) =
        (key_pair(&vector.get("init_static")), key_pair(&vector.get("resp_static")));
    assert_eq!(gateway.public().as_bytes(), &array::<32>(&vector.get("init_remote_static")));
    let (prologue, theirs) = (Prologue::from_recorded(&prologue), Prologue::from_recorded(&theirs));
    let recorded = entropy(&vector.get("init_ephemeral"));
    let (initiator, sent) = ik::Initiator::start(
        prologue,
        &node,
        gateway.public(),
        &recorded,
        &first.payload,
        &mut one,
    )
    .unwrap();
    assert_eq!(sent, first.sealed);
    let mut sent = sent.to_vec();
    let (responder, payload) = ik::Responder::read_first(theirs, &gateway, &mut sent).unwrap();
    assert_eq!(payload, first.payload);
    assert_eq!(responder.peer(), node.public());
    let (responder, sent) = responder
        .write_second(&entropy(&vector.get("resp_ephemeral")), &second.payload, &mut two)
        .unwrap();
    assert_eq!(sent, second.sealed);
    let mut sent = sent.to_vec();
    let (initiator, payload) = initiator.read_second(&node, &mut sent).unwrap();
    assert_eq!(payload, second.payload);
    vector.check_transport(initiator, responder, 2, true);
}
