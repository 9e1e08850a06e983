//! Handshakes with `snow` as the peer, an independent implementation over another generation of the
//! primitives: both protocols, both roles, payloads of every size, and messages beyond the first
//! rekeying.

use handfast_core::Entropy;
use handfast_core::crypto::noise::transport::{REKEY_EVERY, TEXT_BYTES};
use handfast_core::crypto::noise::{Established, Prologue, SEALED_BYTES, ik, xx};
use handfast_core::crypto::x25519::KeyPair;
use handfast_core::secret::Secret;
use handfast_host_tests::prng::Prng;
use snow::{Builder, HandshakeState, TransportState};

struct World {
    prng: Prng,
    prologue: Vec<u8>,
    own: KeyPair,
    theirs: Secret<32>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut prng = Prng::new(seed);
        let prologue = prng.bytes::<60>()[..prng.below(61) as usize].to_vec();
        let own = KeyPair::generate(&Entropy::from_recorded(prng.bytes()));
        let theirs = Secret::new(prng.bytes());
        Self { prng, prologue, own, theirs }
    }

    fn entropy(&mut self) -> Entropy<32> {
        Entropy::from_recorded(self.prng.bytes())
    }

    /// Returns a payload that leaves room for the tokens of any message.
    fn payload(&mut self) -> Vec<u8> {
        let size = if self.prng.one_in(4) {
            0
        } else {
            self.prng.below(SEALED_BYTES as u64 - 96 + 1) as usize
        };
        (0..size).map(|_| self.prng.draw() as u8).collect()
    }

    fn snow(&self, protocol: &str, initiates: bool, knows_us: bool) -> HandshakeState {
        let builder = Builder::new(protocol.parse().unwrap());
        let builder = builder
            .prologue(&self.prologue)
            .unwrap()
            .local_private_key(self.theirs.expose())
            .unwrap();
        let ours = self.own.public().as_bytes();
        let builder = if knows_us { builder.remote_public_key(ours).unwrap() } else { builder };
        if initiates {
            builder.build_initiator().unwrap()
        } else {
            builder.build_responder().unwrap()
        }
    }
}

fn written(peer: &mut HandshakeState, payload: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 2048];
    let length = peer.write_message(payload, &mut message).unwrap();
    message.truncate(length);
    message
}

fn read(peer: &mut HandshakeState, message: &[u8]) -> Vec<u8> {
    let mut payload = vec![0; 2048];
    let length = peer.read_message(message, &mut payload).unwrap();
    payload.truncate(length);
    payload
}

/// Checks that both ends agree on hash and keys, then exchanges messages.
fn talk(world: &mut World, ours: Established, peer: HandshakeState, messages: u64) {
    assert_eq!(ours.hash.as_bytes(), peer.get_handshake_hash());
    assert_eq!(peer.get_remote_static().unwrap(), world.own.public().as_bytes());
    assert_eq!(ours.peer, *KeyPair::from_stored(&world.theirs).public());
    let mut peer: TransportState = peer.into_transport_mode().unwrap();
    let Established { mut sending, mut receiving, .. } = ours;
    let (mut buffer, mut text) = ([0; SEALED_BYTES], [0; SEALED_BYTES]);
    for number in 0..messages {
        let size =
            if messages > 100 { 1 } else { world.prng.below(TEXT_BYTES as u64 + 1) as usize };
        buffer.fill(number as u8);
        let sealed = sending.seal(&mut buffer, size).unwrap();
        assert_eq!(peer.read_message(sealed, &mut text), Ok(size), "message {number} of ours");
        assert!(text[..size].iter().all(|byte| *byte == number as u8));
        let length = peer.write_message(&text[..size], &mut buffer).unwrap();
        let opened = receiving
            .open(&mut buffer[..length])
            .unwrap_or_else(|_| panic!("message {number} of theirs"));
        assert_eq!(opened.1, &text[..size]);
        receiving = opened.0;
        if (number + 1) % REKEY_EVERY == 0 {
            peer.rekey_outgoing();
            peer.rekey_incoming();
        }
    }
}

fn xx_as_initiator(world: &mut World, messages: u64) {
    let mut peer = world.snow("Noise_XX_25519_ChaChaPoly_SHA256", false, false);
    let mut buffer = [0; SEALED_BYTES];
    let (payload, entropy) = (world.payload(), world.entropy());
    let (ours, sent) = xx::Initiator::start(
        Prologue::from_recorded(&world.prologue),
        &entropy,
        &payload,
        &mut buffer,
    )
    .unwrap();
    assert_eq!(read(&mut peer, sent), payload);
    let payload = world.payload();
    let mut message = written(&mut peer, &payload);
    let (ours, received) = ours.read_second(&mut message).unwrap();
    assert_eq!(received, payload);
    let payload = world.payload();
    let (ours, sent) = ours.write_third(&world.own, &payload, &mut buffer).unwrap();
    assert_eq!(read(&mut peer, sent), payload);
    talk(world, ours, peer, messages);
}

fn xx_as_responder(world: &mut World, messages: u64) {
    let mut peer = world.snow("Noise_XX_25519_ChaChaPoly_SHA256", true, false);
    let mut buffer = [0; SEALED_BYTES];
    let payload = world.payload();
    let mut message = written(&mut peer, &payload);
    let (ours, received) =
        xx::Responder::read_first(Prologue::from_recorded(&world.prologue), &mut message).unwrap();
    assert_eq!(received, payload);
    let (payload, entropy) = (world.payload(), world.entropy());
    let (ours, sent) = ours.write_second(&world.own, &entropy, &payload, &mut buffer).unwrap();
    assert_eq!(read(&mut peer, sent), payload);
    let payload = world.payload();
    let mut message = written(&mut peer, &payload);
    let (ours, received) = ours.read_third(&mut message).unwrap();
    assert_eq!(received, payload);
    talk(world, ours, peer, messages);
}

fn ik_as_initiator(world: &mut World, messages: u64) {
    let mut peer = world.snow("Noise_IK_25519_ChaChaPoly_SHA256", false, false);
    let mut buffer = [0; SEALED_BYTES];
    let (payload, entropy) = (world.payload(), world.entropy());
    let gateway = KeyPair::from_stored(&world.theirs);
    let prologue = Prologue::from_recorded(&world.prologue);
    let (ours, sent) = ik::Initiator::start(
        prologue,
        &world.own,
        gateway.public(),
        &entropy,
        &payload,
        &mut buffer,
    )
    .unwrap();
    assert_eq!(read(&mut peer, sent), payload);
    let payload = world.payload();
    let mut message = written(&mut peer, &payload);
    let (ours, received) = ours.read_second(&world.own, &mut message).unwrap();
    assert_eq!(received, payload);
    talk(world, ours, peer, messages);
}

fn ik_as_responder(world: &mut World, messages: u64) {
    let mut peer = world.snow("Noise_IK_25519_ChaChaPoly_SHA256", true, true);
    let mut buffer = [0; SEALED_BYTES];
    let payload = world.payload();
    let mut message = written(&mut peer, &payload);
    let prologue = Prologue::from_recorded(&world.prologue);
    let (ours, received) = ik::Responder::read_first(prologue, &world.own, &mut message).unwrap();
    assert_eq!(received, payload);
    assert_eq!(ours.peer(), KeyPair::from_stored(&world.theirs).public());
    let (payload, entropy) = (world.payload(), world.entropy());
    let (ours, sent) = ours.write_second(&entropy, &payload, &mut buffer).unwrap();
    assert_eq!(read(&mut peer, sent), payload);
    talk(world, ours, peer, messages);
}

#[test]
fn snow_understands_us_and_we_understand_snow_in_both_protocols_and_both_roles() {
    for seed in 0..100 {
        for run in [xx_as_initiator, xx_as_responder, ik_as_initiator, ik_as_responder] {
            run(&mut World::new(seed), 6);
        }
    }
}

#[test]
fn snow_follows_our_rekeying() {
    xx_as_responder(&mut World::new(7), 2 * REKEY_EVERY + 3);
    ik_as_initiator(&mut World::new(8), REKEY_EVERY + 3);
}
