//! CPace (draft-irtf-cfrg-cpace-21) with ristretto255 and SHA-512, initiator and responder, with
//! key confirmation. Two sides find out whether they have the same code; an eavesdropper learns
//! nothing, and a participant without the code learns the result of one guess. Section numbers are
//! those of the draft.
//!
//! ```text
//! Initiator::start ────────── Ya ─────────▶ Responder::answer
//! Initiator::confirm ◀─────── Yb ────────── (with it)
//! (with it) ───────────────── Ta ─────────▶ AwaitingTa::verify, after the attempt was counted
//! AwaitingTb::verify ◀─────── Tb ────────── (with it)
//! ```
//! Only the two `verify` functions make a [`Confirmed`].
//!
//! # Example
//!
//! A PIN that the gateway shows and its owner types at the node, on a channel that both have made:
//!
//! ```
//! use handfast_core::Entropy;
//! use handfast_core::crypto::code::{Alphabet, Code};
//! use handfast_core::crypto::cpace::{CodeOrigin, Error, Initiator, Inputs, Responder};
//! use handfast_core::crypto::noise::HandshakeHash;
//! use handfast_core::crypto::x25519::KeyPair;
//!
//! let drawn = |byte| Entropy::from_recorded([byte; 32]);
//! let (node, gateway) = (KeyPair::generate(&drawn(1)), KeyPair::generate(&drawn(2)));
//! let channel = HandshakeHash::from_recorded([3; 32]);
//! let keys = (node.public(), gateway.public());
//!
//! let shown = Code::mint(Alphabet::Digits, 6, &drawn(4)).expect("six digits");
//! for typed in [core::str::from_utf8(shown.expose()).unwrap(), "000000"] {
//!     let typed = Code::parse(typed).unwrap();
//!     let inputs = |code| Inputs::new(code, &channel, keys.0, keys.1, CodeOrigin::Pin);
//!     let (initiator, ya) = Initiator::start(&inputs(&typed), &drawn(5)).unwrap();
//!     let (responder, yb) = Responder::answer(&inputs(&shown), &drawn(6), &ya).unwrap();
//!     let (initiator, ta) = initiator.confirm(&yb).unwrap();
//!     // The gateway counts the attempt durably before it looks.
//!     match responder.verify(&ta) {
//!         Ok((_confirmed, tb)) => assert!(initiator.verify(&tb).is_ok()),
//!         Err(error) => assert_eq!((error, typed == shown), (Error::WrongCode, false)),
//!     }
//! }
//! ```

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use heapless::Vec;
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, Zeroizing};

use super::code::{CODE_CHARS, Code};
use super::noise::HandshakeHash;
use super::x25519::PublicKey;
use super::{hmac_sha512, labels};
use crate::entropy::Entropy;
use crate::secret::Secret;

/// `G_ristretto255.DSI` (section 8.3), the domain separator of the generator.
const DSI: &[u8] = b"CPaceRistretto255";
/// The domain separator of the session key (section 7.2).
const DSI_ISK: &[u8] = b"CPaceRistretto255_ISK";
/// `H.s_in_bytes`, the input block of SHA-512 (section 8.1).
const BLOCK: usize = 128;
/// Maximum length of a field behind a length of one byte (section 5.2), in bytes.
const FIELD: usize = 127;
/// Maximum length of a session id, in bytes.
const SID: usize = 32;
const _: () = assert!(
    size_of::<Initiator>() <= 136
        && size_of::<AwaitingTa>() <= 128
        && size_of::<AwaitingTb>() <= 64
);
const _: () = assert!(CODE_CHARS + DSI.len() + 3 <= BLOCK, "a code fits the first block");
const _: () =
    assert!(labels::CPACE.len() + 2 * 32 + 1 + 4 <= FIELD, "our channel identifier fits a field");

/// The reason for ending a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Error {
    /// The peer's element does not decode, gives the neutral element, or equals this side's own.
    /// Nothing was learnt about the code.
    Element,
    /// The peer's tag is not that of the same code on the same channel: a wrong guess.
    WrongCode,
}

/// The origin of the code; it is part of the channel's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CodeOrigin {
    /// A PIN that the gateway showed for this node alone.
    Pin = 1,
    /// A code that was minted beforehand.
    Code = 2,
    /// A node's proof of possession, which its owner reads off its label.
    Possession = 3,
}

/// An encoded element, `Ya` or `Yb`, as sent.
pub type Element = [u8; 32];
/// A confirmation tag, `Ta` or `Tb`, as sent.
pub type Tag = [u8; 64];

/// Proof that both sides have the same code and the same channel. Only verifying the peer's tag
/// makes one.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "it is what issuing or accepting a grant demands"]
pub struct Confirmed(());

/// The common inputs of both sides: code, channel identifier, session id, and the names of the
/// roles.
pub struct Inputs<'a> {
    password: &'a [u8],
    channel: Vec<u8, FIELD>,
    session: Vec<u8, SID>,
    names: Names,
}

#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Names {
    a: &'static [u8],
    b: &'static [u8],
}

impl<'a> Inputs<'a> {
    /// Makes the inputs of the native wire: CI = lv_cat("handfast/v1/cpace", initiator static,
    /// responder static, method), sid = handshake hash, ADa = "initiator", ADb = "responder".
    #[must_use]
    pub fn new(
        code: &'a Code,
        hash: &HandshakeHash,
        initiator: &PublicKey,
        responder: &PublicKey,
        method: CodeOrigin,
    ) -> Self {
        let mut channel = Vec::new();
        for part in [labels::CPACE, initiator.as_bytes(), responder.as_bytes(), &[method as u8]] {
            // All parts fit, as the assertion above checks.
            let _ = channel.push(prefix(part));
            let _ = channel.extend_from_slice(part);
        }
        let session = Vec::from_slice(hash.as_bytes()).unwrap_or_default();
        Self {
            password: code.expose(),
            channel,
            session,
            names: Names { a: b"initiator", b: b"responder" },
        }
    }

    /// Takes other inputs, for test vectors. Returns `None` if one exceeds this implementation's
    /// bounds.
    #[must_use]
    pub fn from_recorded(
        password: &'a [u8],
        channel: &[u8],
        session: &[u8],
        [a, b]: [&'static [u8]; 2],
    ) -> Option<Self> {
        let bounded = password.len() <= CODE_CHARS && a.len() <= FIELD && b.len() <= FIELD;
        // Only the project's own inputs are known to fit; recorded ones of others may be longer.
        let (channel, session) = (Vec::from_slice(channel).ok()?, Vec::from_slice(session).ok()?);
        bounded.then_some(Self { password, channel, session, names: Names { a, b } })
    }

    /// Computes `calculate_generator` (section 7.1) over `generator_string` (section 5.3).
    fn generator(&self) -> Zeroizing<RistrettoPoint> {
        let padding =
            BLOCK.saturating_sub(3).saturating_sub(self.password.len()).saturating_sub(DSI.len());
        // The draft fills up the first hash block, which holds the password, with zeros.
        let zeros = [0; BLOCK];
        let zeros = zeros.get(..padding).unwrap_or_default();
        let uniform =
            Secret::new(lv_hash(&[DSI, self.password, zeros, &self.channel, &self.session]));
        Zeroizing::new(RistrettoPoint::from_uniform_bytes(uniform.expose()))
    }
}

/// The side that speaks first, after making its element.
pub struct Initiator {
    scalar: Secret<32>,
    ours: Element,
    session: Vec<u8, SID>,
    names: Names,
}

impl Initiator {
    /// Makes `Ya`, to send.
    ///
    /// # Errors
    /// [`Error::Element`], for entropy that is all zeros.
    pub fn start(inputs: &Inputs<'_>, entropy: &Entropy<32>) -> Result<(Self, Element), Error> {
        let scalar = sample(entropy);
        let ours = encode(multiply(&inputs.generator(), &scalar))?;
        Ok((Self { scalar, ours, session: inputs.session.clone(), names: inputs.names }, ours))
    }

    /// Takes `Yb` and makes `Ta`. The recipient of `Ta` can test one guess with it, so the attempt
    /// is stored as failed before `Ta` is sent.
    ///
    /// # Errors
    /// [`Error::Element`], for an invalid `Yb`.
    pub fn confirm(self, theirs: &Element) -> Result<(AwaitingTb, Tag), Error> {
        let tags = tags(
            &self.scalar,
            theirs,
            Transcript { ya: &self.ours, yb: theirs, names: self.names },
            &self.session,
        )?;
        Ok((AwaitingTb { expected: tags.b }, *tags.a.expose()))
    }
}

/// An initiator that has sent its tag.
pub struct AwaitingTb {
    expected: Secret<64>,
}

impl AwaitingTb {
    /// Compares `Tb` in constant time.
    ///
    /// # Errors
    /// [`Error::WrongCode`].
    pub fn verify(self, tag: &Tag) -> Result<Confirmed, Error> {
        // The tags are compared in constant time.
        if self.expected == Secret::new(*tag) { Ok(Confirmed(())) } else { Err(Error::WrongCode) }
    }
}

/// The side that answers.
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Responder;

impl Responder {
    /// Takes `Ya` and makes `Yb`, to send. It costs no attempt yet.
    ///
    /// # Errors
    /// [`Error::Element`], for an invalid `Ya`.
    pub fn answer(
        inputs: &Inputs<'_>,
        entropy: &Entropy<32>,
        theirs: &Element,
    ) -> Result<(AwaitingTa, Element), Error> {
        let scalar = sample(entropy);
        let ours = encode(multiply(&inputs.generator(), &scalar))?;
        let tags = tags(
            &scalar,
            theirs,
            Transcript { ya: theirs, yb: &ours, names: inputs.names },
            &inputs.session,
        )?;
        Ok((AwaitingTa { expected: tags.a, answer: tags.b }, ours))
    }
}

/// A responder that waits for the initiator's tag.
pub struct AwaitingTa {
    expected: Secret<64>,
    answer: Secret<64>,
}

impl AwaitingTa {
    /// Compares `Ta` in constant time, and returns `Tb` only if it is right. The caller has durably
    /// reserved the attempt before.
    ///
    /// # Errors
    /// [`Error::WrongCode`].
    pub fn verify(self, tag: &Tag) -> Result<(Confirmed, Tag), Error> {
        // The tags are compared in constant time.
        if self.expected == Secret::new(*tag) {
            Ok((Confirmed(()), *self.answer.expose()))
        } else {
            Err(Error::WrongCode)
        }
    }
}

crate::secret::redacted!(Inputs<'_>, Initiator, AwaitingTb, AwaitingTa);

#[derive(Clone, Copy)]
struct Transcript<'a> {
    ya: &'a Element,
    yb: &'a Element,
    names: Names,
}

struct Tags {
    a: Secret<64>,
    b: Secret<64>,
}

/// Computes both tags from the peer's element: `scalar_mult_vfy` (section 8.3), `ISK` over
/// `transcript_ir` (sections 7.2 and 5.4), key confirmation (section 10.4).
fn tags(
    scalar: &Secret<32>,
    theirs: &Element,
    transcript: Transcript<'_>,
    session: &[u8],
) -> Result<Tags, Error> {
    let Transcript { ya, yb, names } = transcript;
    // Equal elements are a reflection of this side's own message.
    if ya == yb {
        return Err(Error::Element);
    }
    let key = mac_key(&share(scalar, theirs)?, transcript, session);
    let tag = |element: &Element, name: &[u8]| {
        hmac_sha512::tag(&key, &[&[prefix(element)], element, &[prefix(name)], name])
    };
    Ok(Tags { a: tag(ya, names.a), b: tag(yb, names.b) })
}

/// Computes the shared point. It is separate from the hashing, so that the two do not add up on the
/// stack.
#[inline(never)]
fn share(scalar: &Secret<32>, theirs: &Element) -> Result<Secret<32>, Error> {
    let point = CompressedRistretto(*theirs).decompress().ok_or(Error::Element)?;
    Ok(Secret::new(encode(multiply(&point, scalar))?))
}

/// Computes the key of both tags from the shared point.
#[inline(never)]
fn mac_key(
    shared: &Secret<32>,
    Transcript { ya, yb, names }: Transcript<'_>,
    session: &[u8],
) -> Secret<64> {
    let isk = Secret::new(lv_hash(&[DSI_ISK, session, shared.expose(), ya, names.a, yb, names.b]));
    let hash =
        Sha512::new().chain_update(b"CPaceMac").chain_update(session).chain_update(isk.expose());
    Secret::new(hash.finalize().into())
}

/// Draws a scalar by `sample_scalar` (section 8.3): 252 random bits.
fn sample(entropy: &Entropy<32>) -> Secret<32> {
    let mut bytes = *entropy.expose();
    // Four bits are cleared, so the value is below 2^252 and needs no reduction.
    if let Some(top) = bytes.last_mut() {
        *top &= 0x0f;
    }
    let scalar = Secret::new(bytes);
    // An array is copied into its new owner, so this one is wiped.
    bytes.zeroize();
    scalar
}

#[inline(never)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "multiplying a point by a scalar always gives a point"
)]
fn multiply(point: &RistrettoPoint, scalar: &Secret<32>) -> RistrettoPoint {
    // `from_bits` reduces nothing, and `sample` leaves nothing to reduce: the value is below 2^252,
    // and so below the order of the group. A reduced scalar is the same bytes. Scalars that are not
    // reduced would be safe here, too, because the scalar is only multiplied with a point, which is
    // defined for each value below 2^255; sums and products of scalars are what needs reduced ones.
    let mut scalar = Scalar::from_bits(*scalar.expose());
    let product = point * scalar;
    scalar.zeroize();
    product
}

/// Encodes a point, unless it is the neutral element.
fn encode(mut point: RistrettoPoint) -> Result<Element, Error> {
    // The identity would be a share that anybody knows.
    let encoded =
        if point.is_identity() { Err(Error::Element) } else { Ok(point.compress().to_bytes()) };
    point.zeroize();
    encoded
}

/// Hashes `lv_cat` of the fields (section 5.2): each behind its length.
#[inline(never)]
fn lv_hash(fields: &[&[u8]]) -> [u8; 64] {
    let mut hash = Sha512::new();
    for field in fields {
        // Each field stands behind its length, so that no two lists of fields give one text.
        hash.update([prefix(field)]);
        hash.update(field);
    }
    hash.finalize().into()
}

/// Returns the length of a field as one byte: `prepend_len` of a field of at most [`FIELD`] bytes,
/// as all of these are.
fn prefix(field: &[u8]) -> u8 {
    debug_assert!(field.len() <= FIELD, "a length is one byte");
    u8::try_from(field.len()).unwrap_or(u8::MAX)
}
