//! Properties of the native wire: every message is written in one form, and parts are put together
//! in one way.

use handfast_core::crypto::ed25519::KeyPair;
use handfast_core::crypto::noise::HandshakeHash;
use handfast_core::limits::{CERTIFICATES_BYTES, PART_BYTES, PLAINTEXT_BYTES};
use handfast_core::wire::native::open::{ClearRefusal, FirstAnswer, Open};
use handfast_core::wire::native::part::{Assembled, Assembly, Object, Part};
use handfast_core::wire::native::{NotWritten, link, pair};
use handfast_core::{Entropy, Undecodable};

/// Checks arbitrary bytes as each kind of message: a message that parses is written again, in no
/// more bytes, and these are read and written as themselves; a signature in it that counts is the
/// one that its key makes. Checks them as a list of parts, too: an object that is put together is within its limit, and
/// cutting it again gives the same parts.
///
/// # Panics
/// If one of these does not hold.
pub fn any_bytes(data: &[u8]) {
    for kind in KINDS {
        if let Ok(written) = kind.again(data) {
            let written = written.expect("what was read fits");
            assert!(written.len() <= data.len(), "{kind:?}");
            assert_eq!(kind.again(&written), Ok(Ok(written.clone())), "{kind:?}");
        }
    }
    if let Ok(open) = Open::parse(data) {
        assert_eq!((open.as_bytes(), Open::new(open.intent())), (data, open));
    }
    if let Ok(FirstAnswer::Handshake(bytes)) = FirstAnswer::parse(data) {
        assert_eq!(bytes, data);
    }
    any_signature(data);
    any_parts(data);
}

/// Checks that a signature of the samples' key over the samples' channel counts for nothing but
/// what that key has signed.
fn any_signature(data: &[u8]) {
    let hash = HandshakeHash::from_recorded([7; 32]);
    let keys = KeyPair::generate(&Entropy::from_recorded([9; 32]));
    match link::FromNode::parse(data) {
        Ok(link::FromNode::Renew(link::Renew::Certificate(renewal))) => {
            if let Ok(verified) = renewal.verify(&keys.public(), &hash) {
                let signed = link::CertificateRenewal::sign(verified.csr().copied(), &keys, &hash);
                assert_eq!(renewal, signed);
            }
        }
        Ok(link::FromNode::Identify(identify)) => {
            if identify.verify(&keys.public(), &hash).is_ok() {
                assert_eq!(identify, link::Identify::sign(identify.node_id, &keys, &hash));
            }
        }
        Ok(_) | Err(_) => {}
    }
}

/// The kinds of messages, for tests that treat all of them alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// [`pair::PairFromNode`]
    PairFromNode,
    /// [`pair::PairFromGateway`]
    PairFromGateway,
    /// [`link::FromNode`]
    LinkFromNode,
    /// [`link::FromGateway`]
    LinkFromGateway,
    /// [`link::Admitted`]
    Admitted,
    /// [`ClearRefusal`]
    Clear,
}

/// All kinds of messages.
pub const KINDS: [Kind; 6] = [
    Kind::PairFromNode,
    Kind::PairFromGateway,
    Kind::LinkFromNode,
    Kind::LinkFromGateway,
    Kind::Admitted,
    Kind::Clear,
];

impl Kind {
    /// Parses a message of this kind and writes it again.
    ///
    /// # Errors
    /// [`Undecodable`] if the bytes do not parse. The inner error is [`NotWritten`] if the message
    /// could not be written.
    pub fn again(self, bytes: &[u8]) -> Result<Result<Vec<u8>, NotWritten>, Undecodable> {
        let mut out = [0; PLAINTEXT_BYTES];
        let written = match self {
            Self::PairFromNode => pair::PairFromNode::parse(bytes)?.write(&mut out),
            Self::PairFromGateway => pair::PairFromGateway::parse(bytes)?.write(&mut out),
            Self::LinkFromNode => link::FromNode::parse(bytes)?.write(&mut out),
            Self::LinkFromGateway => link::FromGateway::parse(bytes)?.write(&mut out),
            Self::Admitted => link::Admitted::parse(bytes)?.write(&mut out),
            Self::Clear => ClearRefusal::parse(bytes)?.write(&mut out),
        };
        Ok(written.map(<[u8]>::to_vec))
    }
}

/// Encodes a part as a link carries it, with fields that may be illegal.
fn part(object: u8, index: u8, last: u8, bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![7, object % 5, index, last % 3];
    let length = u16::try_from(bytes.len()).expect("a part is small");
    if length < 128 {
        message.push(length.to_le_bytes()[0]);
    } else {
        message.extend([(length & 0x7f).to_le_bytes()[0] | 0x80, (length >> 7).to_le_bytes()[0]]);
    }
    message.extend(bytes);
    message
}

/// Checks a list of parts. Each takes four bytes: object, index, last or not, and length.
fn any_parts(data: &[u8]) {
    let mut room = [0; CERTIFICATES_BYTES];
    let mut assembly = Assembly::IDLE;
    let mut came: Vec<Vec<u8>> = Vec::new();
    for (at, four) in data.chunks_exact(4).enumerate() {
        let length = if four[3] < 128 { PART_BYTES } else { usize::from(four[3]) };
        let message = part(four[0], four[1], four[2], &vec![at.to_le_bytes()[0]; length]);
        let Ok(link::FromNode::Part(part)) = link::FromNode::parse(&message) else { continue };
        assembly = match assembly.take(&part, &mut room) {
            Ok(Assembled::More(next)) => {
                assert_eq!(next.object(), Some(part.object()));
                came.push(message);
                next
            }
            Ok(Assembled::Whole { object, bytes }) => {
                assert!(bytes.len() <= object.limit());
                came.push(message);
                assert_eq!(cut(object, bytes), came);
                came.clear();
                Assembly::IDLE
            }
            Err(_) => {
                came.clear();
                Assembly::IDLE
            }
        };
    }
}

/// Cuts an object into the messages that carry it.
///
/// # Panics
/// If the object is empty or too long.
#[must_use]
pub fn cut(object: Object, bytes: &[u8]) -> Vec<Vec<u8>> {
    let parts = Part::cut(object, bytes).expect("it is within its limit");
    let message =
        |part| link::FromNode::Part(part).write(&mut [0; PLAINTEXT_BYTES]).map(<[u8]>::to_vec);
    parts.map(|part| message(part).expect("a part fits")).collect()
}
