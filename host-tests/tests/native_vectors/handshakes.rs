//! Handshakes between two of core's peers over a network that changes messages.

use handfast_core::Entropy;
use handfast_core::crypto::noise::transport::{Receiving, TEXT_BYTES};
use handfast_core::crypto::noise::{Error, Established, Prologue, SEALED_BYTES, ik, xx};
use handfast_core::crypto::x25519::{KeyPair, PublicKey};

const OPEN: &[u8] = b"Open, version 1";

pub(super) fn pair(byte: u8) -> KeyPair {
    KeyPair::generate(&Entropy::from_recorded([byte; 32]))
}

/// Returns an unused direction, to replace one that was taken out.
pub(super) fn nowhere() -> Receiving {
    run_xx(3, &mut |_, _| {}).unwrap().0.receiving
}

type Network<'n> = dyn FnMut(usize, &mut Vec<u8>) + 'n;
type Outcome = Result<(Established, Established), Error>;
type Run = fn(u8, &mut Network<'_>) -> Outcome;

/// Runs XX with a payload in each message and with ephemeral keys from the seed. The network sees
/// the number of each message and its bytes.
pub(super) fn run_xx(seed: u8, network: &mut Network<'_>) -> Outcome {
    let (node, gateway) = (pair(1), pair(2));
    let mut buffer = [0; SEALED_BYTES];
    let mut carried = |number, sent: &[u8]| {
        let mut message = sent.to_vec();
        network(number, &mut message);
        message
    };
    let prologue = Prologue::of_open(OPEN);
    let (initiator, sent) =
        xx::Initiator::start(prologue, &Entropy::from_recorded([seed; 32]), b"one", &mut buffer)?;
    let mut message = carried(1, sent);
    let (responder, _) = xx::Responder::read_first(prologue, &mut message)?;
    let (responder, sent) = responder.write_second(
        &gateway,
        &Entropy::from_recorded([seed + 1; 32]),
        b"two",
        &mut buffer,
    )?;
    let mut message = carried(2, sent);
    let (initiator, payload) = initiator.read_second(&mut message)?;
    assert_eq!(payload, b"two");
    let (initiator, sent) = initiator.write_third(&node, b"three", &mut buffer)?;
    let mut message = carried(3, sent);
    let (responder, payload) = responder.read_third(&mut message)?;
    assert_eq!(payload, b"three");
    Ok((initiator, responder))
}

pub(super) fn run_ik(seed: u8, network: &mut Network<'_>) -> Outcome {
    let (node, gateway) = (pair(1), pair(2));
    let mut buffer = [0; SEALED_BYTES];
    let mut carried = |number, sent: &[u8]| {
        let mut message = sent.to_vec();
        network(number, &mut message);
        message
    };
    let prologue = Prologue::of_open(OPEN);
    let entropy = Entropy::from_recorded([seed; 32]);
    let (initiator, sent) =
        ik::Initiator::start(prologue, &node, gateway.public(), &entropy, b"one", &mut buffer)?;
    let mut message = carried(1, sent);
    let (responder, payload) = ik::Responder::read_first(prologue, &gateway, &mut message)?;
    assert_eq!((payload, responder.peer()), (&b"one"[..], node.public()));
    let (responder, sent) =
        responder.write_second(&Entropy::from_recorded([seed + 1; 32]), b"two", &mut buffer)?;
    let mut message = carried(2, sent);
    let (initiator, payload) = initiator.read_second(&node, &mut message)?;
    assert_eq!(payload, b"two");
    Ok((initiator, responder))
}

/// Returns the length of each message.
fn lengths(run: Run) -> Vec<usize> {
    let mut lengths = Vec::new();
    assert!(run(3, &mut |_, message| lengths.push(message.len())).is_ok(), "an honest network");
    lengths
}

/// Applies every change of the network to a message, in every place.
fn every_attack(run: Run, expected: &[usize]) {
    let lengths = lengths(run);
    assert_eq!(lengths, expected);
    for (at, length) in lengths.iter().enumerate() {
        let attack = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut network = |number: usize, message: &mut Vec<u8>| {
                if number == at + 1 {
                    change(message);
                }
            };
            run(3, &mut network).err()
        };
        for bit in 0..8 * length {
            let failed = attack(&|message| message[bit / 8] ^= 1 << (bit % 8));
            assert!(
                matches!(failed, Some(Error::Forged | Error::Key)),
                "message {}, bit {bit}: {failed:?}",
                at + 1
            );
        }
        for end in 0..*length {
            let failed = attack(&|message| message.truncate(end));
            assert!(
                matches!(failed, Some(Error::Forged | Error::Length)),
                "message {} cut at {end}: {failed:?}",
                at + 1
            );
        }
        assert_eq!(attack(&|message| message.push(0)), Some(Error::Forged), "a byte more");
        assert_eq!(attack(&|message| message.resize(SEALED_BYTES + 1, 0)), Some(Error::Length));
    }
}

#[test]
fn xx_fails_whichever_bit_of_whichever_message_is_flipped_or_cut_off() {
    every_attack(run_xx, &[32 + 3, 32 + 48 + 16 + 3, 48 + 16 + 5]);
}

#[test]
fn ik_fails_whichever_bit_of_whichever_message_is_flipped_or_cut_off() {
    every_attack(run_ik, &[32 + 48 + 16 + 3, 32 + 16 + 3]);
}

#[test]
fn no_message_of_another_session_or_of_the_other_protocol_fits() {
    let runs: [Run; 2] = [run_xx, run_ik];
    for (ours, theirs) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut recorded = Vec::new();
        assert!(runs[theirs](23, &mut |_, message| recorded.push(message.clone())).is_ok());
        for number in 1..=lengths(runs[ours]).len() {
            for other in &recorded {
                let mut network = |now: usize, message: &mut Vec<u8>| {
                    if now == number {
                        message.clone_from(other);
                    }
                };
                assert!(runs[ours](3, &mut network).is_err(), "message {number}");
            }
        }
    }
}

#[test]
fn who_repeats_a_recorded_first_message_of_ik_cannot_go_on() {
    let mut recorded = Vec::new();
    let (mut node, _) = run_ik(3, &mut |_, message| recorded.push(message.clone())).unwrap();
    let mut first_text = [0; 16];
    node.sending.seal(&mut first_text, 0).unwrap();
    let gateway = pair(2);
    let (responder, _) =
        ik::Responder::read_first(Prologue::of_open(OPEN), &gateway, &mut recorded[0])
            .expect("it reads");
    assert_eq!(responder.peer(), pair(1).public());
    let (established, _) =
        responder.write_second(&Entropy::from_recorded([99; 32]), b"", &mut [0; 100]).unwrap();
    assert_eq!(established.receiving.open(&mut first_text).err(), Some(Error::Forged));
}

#[test]
fn a_changed_byte_of_open_fails_the_handshake() {
    let (mut one, mut two) = ([0; 200], [0; 200]);
    let entropy = || Entropy::from_recorded([3; 32]);
    let (initiator, sent) =
        xx::Initiator::start(Prologue::of_open(OPEN), &entropy(), b"", &mut one).unwrap();
    let mut sent = sent.to_vec();
    let (responder, _) =
        xx::Responder::read_first(Prologue::of_open(b"Open, version 0"), &mut sent).unwrap();
    let (_, sent) = responder.write_second(&pair(2), &entropy(), b"", &mut two).unwrap();
    assert_eq!(initiator.read_second(&mut sent.to_vec()).err(), Some(Error::Forged));
    // Only the label separates this prologue from the same bytes of another protocol.
    let (initiator, sent) =
        xx::Initiator::start(Prologue::of_open(OPEN), &entropy(), b"", &mut one).unwrap();
    let mut sent = sent.to_vec();
    let (responder, _) =
        xx::Responder::read_first(Prologue::from_recorded(OPEN), &mut sent).unwrap();
    let (_, sent) = responder.write_second(&pair(2), &entropy(), b"", &mut two).unwrap();
    assert_eq!(initiator.read_second(&mut sent.to_vec()).err(), Some(Error::Forged));
    let mut out = [0; 200];
    let gateway = pair(2);
    let (_, sent) = ik::Initiator::start(
        Prologue::of_open(OPEN),
        &pair(1),
        gateway.public(),
        &entropy(),
        b"",
        &mut out,
    )
    .unwrap();
    let failed = ik::Responder::read_first(
        Prologue::of_open(b"Open, version 0"),
        &gateway,
        &mut sent.to_vec(),
    )
    .err();
    assert_eq!(failed, Some(Error::Forged));
}

#[test]
fn keys_of_small_order_and_keys_that_are_not_canonical_end_the_handshake() {
    let zero = [0; 32];
    let mut two = [0; 200];
    let mut first = zero.to_vec();
    let (responder, _) = xx::Responder::read_first(Prologue::of_open(OPEN), &mut first).unwrap();
    assert_eq!(
        responder.write_second(&pair(2), &Entropy::from_recorded([4; 32]), b"", &mut two).err(),
        Some(Error::Key)
    );
    let peer = PublicKey::parse(&zero).unwrap();
    let started = ik::Initiator::start(
        Prologue::of_open(OPEN),
        &pair(1),
        &peer,
        &Entropy::from_recorded([3; 32]),
        b"",
        &mut two,
    );
    assert_eq!(started.err(), Some(Error::Key));
    let put = |number: usize, key: [u8; 32]| {
        move |now: usize, message: &mut Vec<u8>| {
            if now == number {
                message[..32].copy_from_slice(&key);
            }
        }
    };
    for key in [zero, [0xff; 32]] {
        assert_eq!(run_xx(3, &mut put(1, key)).err(), Some(Error::Key));
        assert_eq!(run_xx(3, &mut put(2, key)).err(), Some(Error::Key));
        assert_eq!(run_ik(3, &mut put(1, key)).err(), Some(Error::Key));
        assert_eq!(run_ik(3, &mut put(2, key)).err(), Some(Error::Key));
    }
}

#[test]
fn a_gateway_with_another_static_key_cannot_read_the_first_message_of_ik() {
    let mut out = [0; 200];
    let meant = pair(2);
    let (_, sent) = ik::Initiator::start(
        Prologue::of_open(OPEN),
        &pair(1),
        meant.public(),
        &Entropy::from_recorded([3; 32]),
        b"",
        &mut out,
    )
    .unwrap();
    let failed =
        ik::Responder::read_first(Prologue::of_open(OPEN), &pair(7), &mut sent.to_vec()).err();
    assert_eq!(failed, Some(Error::Forged));
}

#[test]
fn a_buffer_that_is_too_small_is_the_callers_mistake() {
    let start = |payload: &[u8], size: usize| {
        let mut out = vec![0; size];
        let entropy = Entropy::from_recorded([3; 32]);
        ik::Initiator::start(
            Prologue::of_open(OPEN),
            &pair(1),
            pair(2).public(),
            &entropy,
            payload,
            &mut out,
        )
        .map(|(_, sent)| sent.len())
    };
    assert_eq!(start(b"payload", 96 + 7), Ok(96 + 7));
    for size in 0..96 + 7 {
        assert_eq!(start(b"payload", size), Err(Error::Buffer));
    }
    assert_eq!(start(&[0; SEALED_BYTES - 96], 5000), Ok(SEALED_BYTES));
    assert_eq!(start(&[0; SEALED_BYTES - 95], 5000), Err(Error::Buffer));
}

#[test]
fn a_message_is_opened_only_by_the_other_end_and_only_in_its_direction() {
    let (mut initiator, responder) = run_xx(3, &mut |_, _| {}).unwrap();
    let mut buffer = [9; TEXT_BYTES + 16];
    initiator.sending.seal(&mut buffer, TEXT_BYTES).unwrap();
    assert_eq!(
        initiator.receiving.open(&mut buffer.clone()).err(),
        Some(Error::Forged),
        "reflected"
    );
    assert_eq!(nowhere().open(&mut buffer.clone()).err(), Some(Error::Forged));
    assert_eq!(responder.receiving.open(&mut buffer).unwrap().1, [9; TEXT_BYTES]);
}
