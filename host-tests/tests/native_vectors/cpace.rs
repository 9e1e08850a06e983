//! CPace against the vectors of its draft, and the attacks that it has to withstand.

use handfast_core::Entropy;
use handfast_core::crypto::code::Code;
use handfast_core::crypto::cpace::{
    AwaitingTa, AwaitingTb, CodeOrigin, Element, Error, Initiator, Inputs, Responder, Tag,
};
use handfast_core::crypto::noise::HandshakeHash;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha512};

use super::handshakes::{pair, run_xx};
use super::{array, bytes, entropy, vectors};

const VECTORS: &str = include_str!("../../vectors/cpace-ristretto255.json");
const NAMES: [&[u8]; 2] = [b"ADa", b"ADb"];

fn lv(fields: &[&[u8]]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|field| [&[u8::try_from(field.len()).unwrap()], *field].concat())
        .collect()
}

/// Computes the confirmation that the draft's section 10.4 suggests, independently of core.
fn confirmation(sid: &[u8], isk: &[u8], element: &[u8], name: &[u8]) -> Vec<u8> {
    let key =
        Sha512::new().chain_update(b"CPaceMac").chain_update(sid).chain_update(isk).finalize();
    let mut mac = Hmac::<Sha512>::new_from_slice(&key).unwrap();
    mac.update(&lv(&[element, name]));
    mac.finalize().into_bytes().to_vec()
}

#[test]
fn both_sides_agree_with_the_draft() {
    let all = vectors(VECTORS);
    let vector = &all["G_Coffee25519"];
    let get = |name: &str| bytes(vector, name);
    assert_eq!([get("ADa"), get("ADb")], NAMES.map(<[u8]>::to_vec));
    let (password, channel, sid) = (get("PRS"), get("CI"), get("sid"));
    let inputs = || Inputs::from_recorded(&password, &channel, &sid, NAMES).expect("short enough");
    let (initiator, ya) = Initiator::start(&inputs(), &entropy(&get("ya"))).unwrap();
    assert_eq!(ya[..], get("Ya"));
    let (responder, yb) = Responder::answer(&inputs(), &entropy(&get("yb")), &ya).unwrap();
    assert_eq!(yb[..], get("Yb"));
    let (initiator, ta) = initiator.confirm(&yb).unwrap();
    assert_eq!(ta[..], confirmation(&sid, &get("ISK_IR"), &ya, NAMES[0]));
    let (_confirmed, tb) = responder.verify(&ta).unwrap();
    assert_eq!(tb[..], confirmation(&sid, &get("ISK_IR"), &yb, NAMES[1]));
    assert!(initiator.verify(&tb).is_ok());
}

#[test]
fn the_drafts_invalid_points_end_the_run() {
    let all = vectors(VECTORS);
    let points = &all["G_Coffee25519_points"];
    for name in ["Invalid Y1", "Invalid Y2"] {
        let point = array(&bytes(points, name));
        let channel = Channel::new("847291");
        assert_eq!(channel.initiator().0.confirm(&point).err(), Some(Error::Element), "{name}");
        assert_eq!(channel.answer(&point).err(), Some(Error::Element), "{name}");
    }
    let valid = array(&bytes(&points["Valid"], "X"));
    assert!(Channel::new("847291").initiator().0.confirm(&valid).is_ok());
}

#[test]
fn the_inputs_of_the_native_wire_are_those_that_the_specification_lists() {
    let channel = Channel::new("847-291");
    let identifier =
        lv(&[b"handfast/v1/cpace", pair(1).public().as_bytes(), pair(2).public().as_bytes(), &[1]]);
    let listed = Inputs::from_recorded(
        b"847291",
        &identifier,
        channel.hash.as_bytes(),
        [b"initiator", b"responder"],
    )
    .unwrap();
    let (by_hand, ya) = Initiator::start(&listed, &Entropy::from_recorded([5; 32])).unwrap();
    let (ours, same) = channel.initiator();
    assert_eq!(ya, same);
    let (_, yb) = channel.answer(&ya).unwrap();
    assert_eq!(by_hand.confirm(&yb).unwrap().1, ours.confirm(&yb).unwrap().1);
}

#[test]
fn entropy_of_zeros_makes_no_element() {
    let code = Code::parse("847291").unwrap();
    let channel = Channel::new("847291");
    let inputs = channel.inputs(&code);
    assert_eq!(
        Initiator::start(&inputs, &Entropy::from_recorded([0; 32])).err(),
        Some(Error::Element)
    );
    // The four bits above 2^252 are ignored.
    let mut top = [0; 32];
    top[31] = 0xf0;
    assert_eq!(Initiator::start(&inputs, &Entropy::from_recorded(top)).err(), Some(Error::Element));
}

#[test]
fn inputs_that_do_not_fit_our_lengths_are_refused() {
    let refused = |password: &[u8], channel: &[u8], sid: &[u8]| {
        Inputs::from_recorded(password, channel, sid, NAMES).is_none()
    };
    assert!(!refused(&[0; 64], &[0; 127], &[0; 32]));
    assert!(
        refused(&[0; 65], &[], &[]) && refused(&[], &[0; 128], &[]) && refused(&[], &[], &[0; 33])
    );
}

/// The view of one side: its code and its channel.
struct Channel {
    code: &'static str,
    hash: HandshakeHash,
    ends: [u8; 2],
    method: CodeOrigin,
}

impl Channel {
    fn new(code: &'static str) -> Self {
        Self {
            code,
            hash: HandshakeHash::from_recorded([9; 32]),
            ends: [1, 2],
            method: CodeOrigin::Pin,
        }
    }

    fn inputs<'a>(&self, code: &'a Code) -> Inputs<'a> {
        let [initiator, responder] = self.ends.map(|end| *pair(end).public());
        Inputs::new(code, &self.hash, &initiator, &responder, self.method)
    }

    fn initiator(&self) -> (Initiator, Element) {
        let code = Code::parse(self.code).unwrap();
        Initiator::start(&self.inputs(&code), &Entropy::from_recorded([5; 32])).unwrap()
    }

    fn answer(&self, ya: &Element) -> Result<(AwaitingTa, Element), Error> {
        let code = Code::parse(self.code).unwrap();
        Responder::answer(&self.inputs(&code), &Entropy::from_recorded([6; 32]), ya)
    }
}

/// Exchanges the elements; both sides then wait for the other's tag.
fn exchange(node: &Channel, gateway: &Channel) -> (AwaitingTb, Tag, AwaitingTa) {
    let (initiator, ya) = node.initiator();
    let (responder, yb) = gateway.answer(&ya).unwrap();
    let (initiator, ta) = initiator.confirm(&yb).unwrap();
    (initiator, ta, responder)
}

/// Checks that the gateway refuses, and that the node does not accept the tag that the gateway
/// would have sent, either.
fn fails_on_both_sides(node: &Channel, gateway: &Channel) {
    let (initiator, ta, responder) = exchange(node, gateway);
    assert_eq!(responder.verify(&ta).err(), Some(Error::WrongCode));
    // This is the gateway's own tag over the same elements, from an exchange in which it does not
    // check.
    let (_, right, responder) = exchange(gateway, gateway);
    let (_confirmed, tb) = responder.verify(&right).unwrap();
    assert_eq!(initiator.verify(&tb).err(), Some(Error::WrongCode));
}

#[test]
fn the_same_code_on_the_same_channel_confirms_both() {
    for (typed, minted) in [("847291", "847291"), ("84-72 91", "847291"), ("abcd-2345", "ABCD2345")]
    {
        let (initiator, ta, responder) = exchange(&Channel::new(typed), &Channel::new(minted));
        let (_confirmed, tb) = responder.verify(&ta).unwrap();
        assert!(initiator.verify(&tb).is_ok());
    }
}

#[test]
fn a_wrong_pin_fails_on_both_sides() {
    fails_on_both_sides(&Channel::new("847292"), &Channel::new("847291"));
    fails_on_both_sides(&Channel::new("0847291"), &Channel::new("847291"));
}

#[test]
fn a_code_that_nobody_minted_fails_like_a_wrong_one() {
    let channel = Channel::new("847291");
    let nobodys = Code::nobodys(&Entropy::from_recorded([8; 32]));
    let (initiator, ya) = channel.initiator();
    let (responder, yb) =
        Responder::answer(&channel.inputs(&nobodys), &Entropy::from_recorded([6; 32]), &ya)
            .unwrap();
    let (_, ta) = initiator.confirm(&yb).unwrap();
    assert_eq!(responder.verify(&ta).err(), Some(Error::WrongCode));
}

#[test]
fn the_same_pin_with_another_key_session_or_method_fails() {
    let node = || Channel::new("847291");
    fails_on_both_sides(&node(), &Channel { ends: [3, 2], ..node() });
    fails_on_both_sides(&node(), &Channel { ends: [1, 3], ..node() });
    fails_on_both_sides(&node(), &Channel { ends: [2, 1], ..node() });
    fails_on_both_sides(&node(), &Channel { method: CodeOrigin::Code, ..node() });
    fails_on_both_sides(
        &node(),
        &Channel { hash: HandshakeHash::from_recorded([8; 32]), ..node() },
    );
}

#[test]
fn an_element_that_comes_back_and_a_tag_that_comes_back_fail() {
    let channel = Channel::new("847291");
    let (initiator, ya) = channel.initiator();
    assert_eq!(initiator.confirm(&ya).err(), Some(Error::Element), "Ya reflected");
    let (initiator, ta, responder) = exchange(&channel, &channel);
    assert_eq!(initiator.verify(&ta).err(), Some(Error::WrongCode), "Ta reflected");
    let (_, _, other) = exchange(&channel, &channel);
    let (_confirmed, tb) = responder.verify(&ta).unwrap();
    assert_eq!(other.verify(&tb).err(), Some(Error::WrongCode), "Tb reflected");
}

#[test]
fn every_flipped_bit_of_every_message_fails() {
    let channel = Channel::new("847291");
    let flipped = |bytes: &[u8], bit: usize| {
        let mut bytes = bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    };
    let (_, ya) = channel.initiator();
    let (_, yb) = channel.answer(&ya).unwrap();
    let (_, ta, responder) = exchange(&channel, &channel);
    let (_confirmed, tb) = responder.verify(&ta).unwrap();
    for bit in 0..8 * 32 {
        if let Ok((responder, _)) = channel.answer(&array(&flipped(&ya, bit))) {
            assert_eq!(responder.verify(&ta).err(), Some(Error::WrongCode), "bit {bit} of Ya");
        }
        if let Ok((initiator, wrong)) = channel.initiator().0.confirm(&array(&flipped(&yb, bit))) {
            assert_eq!(
                exchange(&channel, &channel).2.verify(&wrong).err(),
                Some(Error::WrongCode),
                "bit {bit} of Yb"
            );
            assert_eq!(initiator.verify(&tb).err(), Some(Error::WrongCode), "bit {bit} of Yb");
        }
    }
    let (mut initiators, mut responders) = (Vec::new(), Vec::new());
    for _ in 0..8 * 64 {
        let (initiator, _, responder) = exchange(&channel, &channel);
        initiators.push(initiator);
        responders.push(responder);
    }
    for (bit, (initiator, responder)) in initiators.into_iter().zip(responders).enumerate() {
        assert_eq!(
            responder.verify(&array(&flipped(&ta, bit))).err(),
            Some(Error::WrongCode),
            "bit {bit} of Ta"
        );
        assert_eq!(
            initiator.verify(&array(&flipped(&tb, bit))).err(),
            Some(Error::WrongCode),
            "bit {bit} of Tb"
        );
    }
}

#[test]
fn a_man_in_the_middle_of_two_channels_is_caught_although_the_pin_is_right() {
    // Mallory has a channel with each side and passes every message of CPace on unchanged. Even if
    // she could show both sides the right keys, the hashes of two handshakes differ.
    let (node, _) = run_xx(3, &mut |_, _| {}).unwrap();
    let (_, gateway) = run_xx(23, &mut |_, _| {}).unwrap();
    assert_eq!((node.peer, gateway.peer), (*pair(2).public(), *pair(1).public()));
    assert_ne!(node.hash, gateway.hash);
    let at_node = Channel { hash: node.hash, ..Channel::new("847291") };
    let at_gateway = Channel { hash: gateway.hash, ..Channel::new("847291") };
    fails_on_both_sides(&at_node, &at_gateway);
    // This is her real position: with her own keys towards either side.
    fails_on_both_sides(
        &Channel { ends: [1, 66], ..at_node },
        &Channel { ends: [66, 2], ..at_gateway },
    );
}
