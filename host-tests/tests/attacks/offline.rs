//! A recording of a whole exchange, together with the keys of the Noise channel, tried offline
//! against every PIN.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use handfast_core::Entropy;
use handfast_core::crypto::code::Code;
use handfast_core::crypto::cpace::{self, CodeOrigin, Element, Inputs, Tag};
use handfast_core::crypto::noise::HandshakeHash;
use handfast_host_tests::native::raw::keys;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha512};

const PIN: &str = "847291";
const SESSION: [u8; 32] = [3; 32];
const SCALAR: [u8; 32] = [5; 32];

/// An eavesdropper's recording of everything in clear.
struct Recording {
    channel: Vec<u8>,
    ya: Element,
    yb: Element,
    ta: Tag,
    tb: Tag,
}

fn record() -> Recording {
    let (node, gateway) = (keys(1), keys(2));
    let (node, gateway) = (node.channel.public(), gateway.channel.public());
    let code = Code::parse(PIN).unwrap();
    let inputs =
        Inputs::new(&code, &HandshakeHash::from_recorded(SESSION), node, gateway, CodeOrigin::Pin);
    let (initiator, ya) =
        cpace::Initiator::start(&inputs, &Entropy::from_recorded(SCALAR)).unwrap();
    let (awaiting, yb) =
        cpace::Responder::answer(&inputs, &Entropy::from_recorded([6; 32]), &ya).unwrap();
    let (_, ta) = initiator.confirm(&yb).unwrap();
    let (_, tb) = awaiting.verify(&ta).unwrap();
    let channel = lv(&[b"handfast/v1/cpace", node.as_bytes(), gateway.as_bytes(), &[1]]);
    Recording { channel, ya, yb, ta, tb }
}

fn lv(fields: &[&[u8]]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|field| [&[u8::try_from(field.len()).unwrap()], *field].concat())
        .collect()
}

impl Recording {
    /// Returns the generator of a PIN.
    fn generator(&self, pin: &[u8]) -> RistrettoPoint {
        let zeros = vec![0; 128 - 1 - pin.len() - 1 - 17 - 1];
        let text = lv(&[b"CPaceRistretto255", pin, &zeros, &self.channel, &SESSION]);
        RistrettoPoint::from_uniform_bytes(&Sha512::digest(text).into())
    }

    /// Returns `true` if this shared point yields the recorded tags.
    fn confirms(&self, shared: &Element) -> bool {
        let text = lv(&[b"CPaceRistretto255_ISK", &SESSION, shared]);
        let transcript = lv(&[&self.ya, b"initiator", &self.yb, b"responder"]);
        let isk = Sha512::new().chain_update(text).chain_update(transcript).finalize();
        let key = Sha512::new()
            .chain_update(b"CPaceMac")
            .chain_update(SESSION)
            .chain_update(isk)
            .finalize();
        let tag = |element: &Element, name: &[u8]| -> Tag {
            Hmac::<Sha512>::new_from_slice(&key)
                .unwrap()
                .chain_update(lv(&[element, name]))
                .finalize()
                .into_bytes()
                .into()
        };
        tag(&self.ya, b"initiator") == self.ta && tag(&self.yb, b"responder") == self.tb
    }
}

/// For each PIN, tries the points that can be computed without a scalar of either side: the
/// generator, the elements that were sent, and their sums and differences.
#[test]
fn a_recording_confirms_none_of_a_million_pins() {
    let recording = record();
    let point = |element: &Element| CompressedRistretto(*element).decompress().unwrap();
    let (ya, yb) = (point(&recording.ya), point(&recording.yb));
    // With the scalar, the tags are those of the right PIN, and of no other. An attacker would need
    // it.
    let mut scalar = SCALAR;
    scalar[31] &= 0x0f;
    let scalar = Scalar::from_bytes_mod_order(scalar);
    assert_eq!((recording.generator(PIN.as_bytes()) * scalar).compress().to_bytes(), recording.ya);
    assert!(recording.confirms(&(yb * scalar).compress().to_bytes()));

    for shared in [ya, yb, ya + yb, ya - yb] {
        assert!(!recording.confirms(&shared.compress().to_bytes()));
    }
    let recording = &recording;
    let try_half = |half: u32| {
        (0..1_000_000).filter(|pin| pin % 2 == half).find(|pin| {
            let generator = recording.generator(format!("{pin:06}").as_bytes());
            let shared = [generator, generator + ya, generator + yb];
            shared.iter().any(|shared| recording.confirms(&shared.compress().to_bytes()))
        })
    };
    let found = std::thread::scope(|scope| {
        let other = scope.spawn(move || try_half(1));
        try_half(0).or(other.join().unwrap())
    });
    assert_eq!(found, None);
}
