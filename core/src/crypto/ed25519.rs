//! Ed25519 (RFC 8032), always over a label and the signed parts, verified strictly.

use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::ed25519::signature::MultipartSigner;
use sha2::{Digest, Sha512};

use super::x25519::is_below_prime;
use crate::entropy::Entropy;
use crate::secret::Secret;
use crate::serial::{byte_array, serial_bytes};

/// The public key is not canonical, not a point of the curve, or of small order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BadKey;

/// The signature is not one of this key over this label and these parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BadSignature;

/// A key that signs. It holds its expanded public key, so signing costs one multiplication.
pub struct KeyPair(ed25519_dalek::SigningKey);

impl KeyPair {
    /// Makes a fresh key.
    #[must_use]
    pub fn generate(entropy: &Entropy<32>) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(entropy.expose()))
    }

    /// Restores a key from the seed in a store.
    #[must_use]
    pub fn from_stored(seed: &Secret<32>) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed.expose()))
    }

    /// Returns the seed, for a store.
    #[must_use]
    pub fn to_stored(&self) -> Secret<32> {
        Secret::new(self.0.to_bytes())
    }

    /// Returns the public key.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs a label and the parts in order. The parts carry no lengths: the caller's format must
    /// make them unambiguous.
    #[must_use]
    #[inline(never)]
    pub fn sign(&self, label: &[u8], parts: [&[u8]; 2]) -> Signature {
        let [first, second] = parts;
        // A software key cannot fail to sign. A signature of zeros, which no key verifies, stands
        // for the impossible failure.
        let signature = self.0.try_multipart_sign(&[label, first, second]);
        Signature(signature.map_or([0; 64], |signature| signature.to_bytes()))
    }
}

impl core::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public()).finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for KeyPair {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "KeyPair({})", self.public());
    }
}

/// The bit of the last byte that holds the sign of the other coordinate.
const SIGN: u8 = 0x80;

/// A key that verifies: canonical, on the curve, not of small order. It takes 192 bytes, because it
/// is held decompressed; a record stores [`as_bytes`](PublicKey::as_bytes).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

impl PublicKey {
    /// Checks the bytes from a peer or a store.
    ///
    /// # Errors
    /// [`BadKey`].
    #[inline(never)]
    pub fn parse(bytes: &[u8; 32]) -> Result<Self, BadKey> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| BadKey)?;
        // RFC 8032, section 5.1.3: a coordinate of p or more, or minus zero, does not decode. Minus
        // zero belongs to points of small order alone.
        let mut coordinate = *bytes;
        if let Some(last) = coordinate.last_mut() {
            *last &= !SIGN;
        }
        let canonical = is_below_prime(&coordinate);
        if canonical && !key.is_weak() { Ok(Self(key)) } else { Err(BadKey) }
    }

    /// Returns the encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Verifies a signature of [`KeyPair::sign`] as RFC 8032, section 5.1.7, without a cofactor and
    /// strictly: `s` is reduced, `R` is canonical and not of small order, and neither is the key.
    ///
    /// It multiplies by one scalar after the other. ed25519-dalek multiplies by both at once, with
    /// tables that cost a device 4 KB more of stack.
    ///
    /// # Errors
    /// [`BadSignature`].
    #[inline(never)]
    pub fn verify(
        &self,
        label: &[u8],
        parts: [&[u8]; 2],
        signature: &Signature,
    ) -> Result<(), BadSignature> {
        let Some((r, Some(s))) = signature.0.split_first_chunk::<32>().map(|(r, s)| (r, scalar(s)))
        else {
            return Err(BadSignature);
        };
        let k = challenge(r, self.as_bytes(), label, parts);
        let expected = difference(&s, &k, &self.0.to_edwards());
        // A point has one encoding, so another one of R is no match.
        if expected.compress().as_bytes() == r && !expected.is_small_order() {
            Ok(())
        } else {
            Err(BadSignature)
        }
    }
}

/// Reads a scalar that is reduced.
fn scalar(bytes: &[u8]) -> Option<Scalar> {
    Scalar::from_canonical_bytes(*bytes.first_chunk()?).into_option()
}

#[inline(never)]
fn challenge(r: &[u8; 32], key: &[u8; 32], label: &[u8], [first, second]: [&[u8]; 2]) -> Scalar {
    let hash = Sha512::new().chain_update(r).chain_update(key).chain_update(label);
    let hash = hash.chain_update(first).chain_update(second);
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

/// Returns `[s]B - [k]A`.
#[inline(never)]
#[expect(clippy::arithmetic_side_effects, reason = "points and scalars have no overflow")]
fn difference(s: &Scalar, k: &Scalar, key: &EdwardsPoint) -> EdwardsPoint {
    EdwardsPoint::mul_base(s) - key * k
}

serial_bytes!(PublicKey, |bytes| Self::parse(bytes).ok(), as_bytes);

impl core::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("PublicKey").field(self.as_bytes()).finish()
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for PublicKey {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "PublicKey({})", self.as_bytes());
    }
}

/// 64 bytes that claim to be a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Signature(#[serde(with = "byte_array")] [u8; 64]);

impl Signature {
    /// Wraps received bytes; only verification tells whether they are a signature.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// Returns the encoding.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> KeyPair {
        KeyPair::generate(&Entropy::from_recorded([9; 32]))
    }

    #[test]
    fn a_signature_counts_for_its_label_its_parts_and_its_key_alone() {
        let key = pair();
        let signature = key.sign(b"label\0", [b"one", b"two"]);
        let public = PublicKey::parse(key.public().as_bytes()).unwrap();
        assert_eq!(public.verify(b"label\0", [b"one", b"two"], &signature), Ok(()));
        assert_eq!(public.verify(b"other\0", [b"one", b"two"], &signature), Err(BadSignature));
        assert_eq!(public.verify(b"label\0", [b"one", b"2"], &signature), Err(BadSignature));
        let other = KeyPair::from_stored(&Secret::new([8; 32])).public();
        assert_eq!(other.verify(b"label\0", [b"one", b"two"], &signature), Err(BadSignature));
    }

    #[test]
    fn every_flipped_bit_of_a_signature_fails() {
        let key = pair();
        let signature = key.sign(b"l", [b"m", b""]);
        for at in 0..512 {
            let mut bytes = *signature.as_bytes();
            bytes[at / 8] ^= 1 << (at % 8);
            assert_eq!(
                key.public().verify(b"l", [b"m", b""], &Signature::from_bytes(bytes)),
                Err(BadSignature),
                "bit {at}"
            );
        }
    }

    #[test]
    fn keys_of_small_order_and_keys_with_a_second_encoding_do_not_parse() {
        let one: [u8; 32] = core::array::from_fn(|i| u8::from(i == 0));
        let mut minus_zero = one;
        minus_zero[31] = 0x80;
        let mut minus_one = [0xff; 32];
        (minus_one[0], minus_one[31]) = (0xec, 0x7f);
        let order_eight = [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef,
            0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88,
            0x6d, 0x53, 0xfc, 0x05,
        ];
        // p + 3 is a second name for the coordinate 3, which lies on the curve.
        let mut second_name = [0xff; 32];
        (second_name[0], second_name[31]) = (0xed + 3, 0x7f);
        for bytes in [[0; 32], one, minus_zero, minus_one, order_eight, second_name] {
            assert_eq!(PublicKey::parse(&bytes).err(), Some(BadKey), "{bytes:x?}");
        }
        assert!(PublicKey::parse(&core::array::from_fn(|i| if i == 0 { 3 } else { 0 })).is_ok());
    }

    #[test]
    fn a_signature_of_small_order_is_refused_even_where_the_equation_holds() {
        // With the private key one can make R the neutral element: s = k·a. Deterministic signing
        // never does.
        use curve25519_dalek::scalar::clamp_integer;
        use ed25519_dalek::ed25519::signature::MultipartVerifier;
        let key = pair();
        let neutral: [u8; 32] = core::array::from_fn(|i| u8::from(i == 0));
        let hash: [u8; 64] = Sha512::digest([9; 32]).into();
        let a = Scalar::from_bytes_mod_order(clamp_integer(*hash.first_chunk().unwrap()));
        let challenge = Sha512::new()
            .chain_update(neutral)
            .chain_update(key.public().as_bytes())
            .chain_update(b"lm");
        let k = Scalar::from_bytes_mod_order_wide(&challenge.finalize().into());
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&neutral);
        bytes[32..].copy_from_slice((k * a).as_bytes());
        let loose = key
            .public()
            .0
            .multipart_verify(&[b"lm"], &ed25519_dalek::Signature::from_bytes(&bytes));
        assert!(loose.is_ok(), "the equation holds");
        assert_eq!(
            key.public().verify(b"l", [b"m", b""], &Signature::from_bytes(bytes)),
            Err(BadSignature)
        );
    }
}
