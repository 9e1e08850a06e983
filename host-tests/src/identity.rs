//! Compact certificates and clone marks against whatever bytes a peer sends.

use handfast_core::Entropy;
use handfast_core::UnixTime;
use handfast_core::crypto::{ed25519, labels, x25519};
use handfast_core::flow::identity::clone_counter::{MarkKey, Shown};
use handfast_core::grant::certificate::{issue_compact, verify_compact};
use handfast_core::wire::native::link::{CLONE_MARK_BYTES, CloneMark};

use crate::models;

fn gateway() -> ed25519::KeyPair {
    ed25519::KeyPair::generate(&Entropy::from_recorded([7; 32]))
}

/// Checks that a compact certificate has one form: whatever verifies is, byte for byte, what is
/// issued for its content. The bytes are read as they are, and as a body that the gateway signed.
///
/// # Panics
/// If another form verifies.
pub fn any_compact(data: &[u8]) {
    let gateway = gateway();
    let signature = gateway.sign(labels::COMPACT_CERTIFICATE, [data, &[]]);
    let signed = [data, signature.as_bytes()].concat();
    for bytes in [data, &signed] {
        // A certificate counts at its own beginning, which is read from it.
        for now in [UnixTime::from_secs(0), UnixTime::from_secs(1_800_000_000)] {
            let Ok(verified) = verify_compact(bytes, &gateway.public(), now) else { continue };
            let fields = verified.fields();
            assert!(fields.not_before <= now && now <= fields.not_after);
            let issued = issue_compact(fields, &gateway).expect("what verifies can be issued");
            assert_eq!(issued, bytes, "another form of the same certificate");
        }
    }
}

/// Checks that only marks that were made are read, whatever else is shown, and that a node is told
/// from its copies in any run of [`models::copies`].
///
/// # Panics
/// If a mark is read that was not made, or an invariant does not hold.
pub fn clone_marks(data: &[u8]) {
    models::copies(data);
    let key = |byte| MarkKey::new(&Entropy::from_recorded([byte; 32]));
    let keys = [key(1), key(2)];
    let node = x25519::PublicKey::parse(&[9; 32]).expect("a key");
    for chunk in data.chunks(CLONE_MARK_BYTES + 1) {
        let (value, change) = (u64::from(chunk[0]), &chunk[1..]);
        let made = CloneMark::make(&keys[usize::from(chunk[0] % 2)], &node, value);
        let mut bytes = *made.as_bytes();
        for (place, byte) in bytes.iter_mut().zip(change) {
            *place ^= byte;
        }
        let shown = CloneMark::from_bytes(bytes);
        let expected = if shown == made { Shown::Value(value) } else { Shown::Foreign };
        assert_eq!(Shown::of(Some(&shown), &keys, &node), expected, "{shown:?}");
    }
}
