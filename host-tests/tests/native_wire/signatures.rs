//! The coverage of the signatures in messages.

use handfast_core::crypto::noise::HandshakeHash;
use handfast_core::wire::native::link::{CertificateRenewal, Identify};
use handfast_core::wire::native::pair::{self, Ask};
use handfast_core::wire::native::{Bounded, link};
use sha2::Digest as _;

use super::samples::{HASH, keys, request};

#[test]
fn the_signature_covers_every_byte_of_an_ask_and_its_channel() {
    let ask = Ask::sign(request(), &keys(), &HASH);
    let mut out = [0; 1008];
    let written = pair::PairFromNode::Ask(ask).write(&mut out).unwrap();
    let rest = &written[1..written.len() - 64];
    assert_eq!(
        ask.covered(&HASH).unwrap().parts(),
        [&HASH.as_bytes()[..], &sha2::Sha256::digest(rest)[..]],
        "all but number and signature"
    );
    let asked = ask.verify(&HASH).unwrap();
    assert_eq!((*asked.request(), asked.key().copied()), (request(), Some(keys().public())));
    assert!(ask.verify(&HandshakeHash::from_recorded([8; 32])).is_err(), "another channel");
    for at in 1..written.len() {
        let mut changed = written.to_vec();
        changed[at] ^= 1;
        if let Ok(pair::PairFromNode::Ask(other)) = pair::PairFromNode::parse(&changed) {
            assert!(other.verify(&HASH).is_err(), "byte {at} counts for nothing");
        }
    }
}

#[test]
fn the_signature_of_a_renewal_covers_the_request_its_absence_and_the_channel() {
    let other = HandshakeHash::from_recorded([8; 32]);
    let stranger = handfast_core::crypto::ed25519::KeyPair::generate(
        &handfast_core::Entropy::from_recorded([8; 32]),
    );
    for csr in [None, Bounded::new(&[0x30; 200])] {
        let renewal = CertificateRenewal::sign(csr, &keys(), &HASH);
        let verified = renewal.verify(&keys().public(), &HASH).unwrap();
        assert_eq!(verified.csr(), csr.as_ref());
        assert!(renewal.verify(&keys().public(), &other).is_err(), "another channel");
        assert!(renewal.verify(&stranger.public(), &HASH).is_err(), "another key");
        let mut out = [0; 1008];
        let written =
            link::FromNode::Renew(link::Renew::Certificate(renewal)).write(&mut out).unwrap();
        for at in 2..written.len() {
            let mut changed = written.to_vec();
            changed[at] ^= 1;
            if let Ok(link::FromNode::Renew(link::Renew::Certificate(other))) =
                link::FromNode::parse(&changed)
            {
                let verified = other.verify(&keys().public(), &HASH);
                assert!(verified.is_err(), "byte {at} counts for nothing");
            }
        }
    }
    // A request that is dropped on the way, with the signature left as it was.
    let renewal = CertificateRenewal::sign(Bounded::new(&[0x30; 200]), &keys(), &HASH);
    let mut out = [0; 1008];
    let message = link::FromNode::Renew(link::Renew::Certificate(renewal));
    let written = message.write(&mut out).unwrap();
    let without = [&[3, 2, 0], &written[written.len() - 64..]].concat();
    let Ok(link::FromNode::Renew(link::Renew::Certificate(without))) =
        link::FromNode::parse(&without)
    else {
        panic!("it is well formed")
    };
    assert!(without.verify(&keys().public(), &HASH).is_err());
}

#[test]
fn an_identity_counts_for_its_node_its_key_and_its_channel_alone() {
    let node_id = handfast_core::NodeId::from_bytes([2; 16]);
    let identify = Identify::sign(node_id, &keys(), &HASH);
    assert_eq!(identify.verify(&keys().public(), &HASH), Ok(()));
    let other = HandshakeHash::from_recorded([8; 32]);
    assert!(identify.verify(&keys().public(), &other).is_err(), "another channel");
    let mut out = [0; 1008];
    let written = link::FromNode::Identify(identify).write(&mut out).unwrap();
    for at in 1..written.len() {
        let mut changed = written.to_vec();
        changed[at] ^= 1;
        let Ok(link::FromNode::Identify(other)) = link::FromNode::parse(&changed) else {
            panic!("every value is well formed")
        };
        assert!(other.verify(&keys().public(), &HASH).is_err(), "byte {at} counts for nothing");
    }
    // A signature for another purpose of the same key over the same channel.
    let renewal = CertificateRenewal::sign(None, &keys(), &HASH);
    let written = link::FromNode::Renew(link::Renew::Certificate(renewal)).write(&mut out).unwrap();
    let theirs = [&[15][..], &[2; 16], &written[written.len() - 64..]].concat();
    let Ok(link::FromNode::Identify(theirs)) = link::FromNode::parse(&theirs) else {
        panic!("it is well formed")
    };
    assert!(theirs.verify(&keys().public(), &HASH).is_err());
}
