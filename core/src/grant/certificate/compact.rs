//! The compact certificate: a node's id and keys for a time, signed by the gateway.

use serde::{Deserialize, Serialize};

use super::{KeyHash, Serial};
use crate::crypto::{ed25519, labels, x25519};
use crate::error::Undecodable;
use crate::id::NodeId;
use crate::limits::COMPACT_CERTIFICATE_BYTES;
use crate::serial::{byte_array, is_form_of};
use crate::time::UnixTime;

/// The content of a compact certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CompactFields {
    /// The node that the certificate is bound to.
    pub node_id: NodeId,
    /// The static key of the node's channels.
    pub channel: x25519::PublicKey,
    /// The key that the node signs with, and the key that the certificate is about.
    pub signing: ed25519::PublicKey,
    /// The node's epoch at the gateway when the certificate was made.
    pub epoch: u32,
    /// The serial number.
    pub serial: Serial,
    /// Start of validity, inclusive.
    pub not_before: UnixTime,
    /// End of validity, inclusive, as in X.509; later than `not_before`.
    pub not_after: UnixTime,
}

/// The signed fields in their order, with the signing key as it is written: decoded it takes 192
/// bytes.
#[derive(Serialize, Deserialize)]
pub(crate) struct SignedFields {
    pub(crate) node_id: NodeId,
    pub(crate) channel: x25519::PublicKey,
    #[serde(with = "byte_array")]
    pub(crate) signing: [u8; 32],
    epoch: u32,
    pub(crate) serial: Serial,
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
}

/// Three ids and keys, a serial number, an epoch and two times as varints, and the signature.
const LONGEST: usize = 16 + 32 + 32 + 5 + super::SERIAL_BYTES + 10 + 10 + 64;
const _: () = assert!(LONGEST <= COMPACT_CERTIFICATE_BYTES);

/// The bytes of a compact certificate.
pub type CompactBytes = heapless::Vec<u8, COMPACT_CERTIFICATE_BYTES>;

/// Signs a compact certificate. Returns `None` for one that ends before it begins.
#[must_use]
pub fn issue_compact(fields: &CompactFields, gateway: &ed25519::KeyPair) -> Option<CompactBytes> {
    if fields.not_after <= fields.not_before {
        return None;
    }
    let signed = SignedFields {
        node_id: fields.node_id,
        channel: fields.channel,
        signing: *fields.signing.as_bytes(),
        epoch: fields.epoch,
        serial: fields.serial,
        not_before: fields.not_before,
        not_after: fields.not_after,
    };
    let mut out = [0; COMPACT_CERTIFICATE_BYTES];
    let body = &*postcard::to_slice(&signed, &mut out).ok()?;
    let signature = gateway.sign(labels::COMPACT_CERTIFICATE, [body, &[]]);
    let mut bytes = CompactBytes::from_slice(body).ok()?;
    bytes.extend_from_slice(signature.as_bytes()).ok()?;
    Some(bytes)
}

/// A compact certificate whose signature was verified. Only [`verify_compact`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CompactCertificate(CompactFields);

impl CompactCertificate {
    /// Returns the verified content.
    #[must_use]
    pub const fn fields(&self) -> &CompactFields {
        &self.0
    }

    /// Returns the hash by which the gateway knows the certificate's key.
    #[must_use]
    pub fn key(&self) -> KeyHash {
        KeyHash::of_ed25519(&self.0.signing)
    }
}

/// The reason for not accepting a compact certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CompactDefect {
    /// The bytes are no compact certificate, or not in its one form.
    Malformed(Undecodable),
    /// The certificate ends before it begins.
    Life,
    /// The gateway did not sign it.
    Signature,
    /// The validity has not begun.
    NotYet,
    /// The validity has ended.
    Expired,
}

/// Verifies a compact certificate by the gateway's public key at a time: first its form, then its
/// signature, then its validity.
///
/// # Errors
/// The first check that fails.
pub fn verify_compact(
    bytes: &[u8],
    gateway: &ed25519::PublicKey,
    now: UnixTime,
) -> Result<CompactCertificate, CompactDefect> {
    let unverified = Unverified::read(bytes)?;
    let signed = unverified.verify(gateway)?;
    // The decompression of the key comes after the signature, so that junk costs little.
    let signing = ed25519::PublicKey::parse(&signed.signing)
        .map_err(|_| CompactDefect::Malformed(Undecodable::Value))?;
    if now < signed.not_before {
        return Err(CompactDefect::NotYet);
    }
    if signed.not_after < now {
        return Err(CompactDefect::Expired);
    }
    Ok(CompactCertificate(CompactFields {
        node_id: signed.node_id,
        channel: signed.channel,
        signing,
        epoch: signed.epoch,
        serial: signed.serial,
        not_before: signed.not_before,
        not_after: signed.not_after,
    }))
}

/// A compact certificate in its one form, whose fields are read after its signature was verified.
pub(crate) struct Unverified<'b> {
    fields: SignedFields,
    body: &'b [u8],
    signature: ed25519::Signature,
}

impl<'b> Unverified<'b> {
    /// Reads the one form of a compact certificate. What the form is compared with is off the stack
    /// before anything is verified.
    ///
    /// # Errors
    /// [`CompactDefect::Malformed`] or [`CompactDefect::Life`].
    #[inline(never)]
    pub(crate) fn read(bytes: &'b [u8]) -> Result<Self, CompactDefect> {
        use CompactDefect::{Life, Malformed};

        if bytes.len() > COMPACT_CERTIFICATE_BYTES {
            return Err(Malformed(Undecodable::TooLong));
        }
        let (signed, rest) = postcard::take_from_bytes::<SignedFields>(bytes)
            .map_err(|error| Malformed(error.into()))?;
        let length = bytes.len().saturating_sub(rest.len());
        let body = bytes.get(..length).ok_or(Malformed(Undecodable::Truncated))?;
        let (signature, rest) =
            rest.split_first_chunk().ok_or(Malformed(Undecodable::Truncated))?;
        if !rest.is_empty() {
            return Err(Malformed(Undecodable::Trailing));
        }
        // Postcard accepts a number that is longer than it needs to be.
        if !is_form_of(&signed, body) {
            return Err(Malformed(Undecodable::Number));
        }
        if signed.not_after <= signed.not_before {
            return Err(Life);
        }
        let signature = ed25519::Signature::from_bytes(*signature);
        Ok(Self { fields: signed, body, signature })
    }

    /// Verifies the signature and returns what was signed, whatever the time. The caller still has
    /// to decode the node's signing key, or to compare it with one.
    ///
    /// # Errors
    /// [`CompactDefect::Signature`].
    pub(crate) fn verify(
        &self,
        gateway: &ed25519::PublicKey,
    ) -> Result<&SignedFields, CompactDefect> {
        gateway
            .verify(labels::COMPACT_CERTIFICATE, [self.body, &[]], &self.signature)
            .map_err(|_| CompactDefect::Signature)?;
        Ok(&self.fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::ed25519::KeyPair;
    use crate::entropy::Entropy;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    fn key(byte: u8) -> KeyPair {
        KeyPair::generate(&Entropy::from_recorded([byte; 32]))
    }

    fn fields() -> CompactFields {
        CompactFields {
            node_id: NodeId::from_bytes([1; 16]),
            channel: x25519::PublicKey::parse(&[2; 32]).unwrap(),
            signing: key(3).public(),
            epoch: 4,
            serial: Serial::new(&Entropy::from_recorded([5; 20])),
            not_before: NOW,
            not_after: UnixTime::from_secs(NOW.as_secs() + 86_400),
        }
    }

    fn verify(bytes: &[u8]) -> Result<CompactCertificate, CompactDefect> {
        verify_compact(bytes, &key(9).public(), NOW)
    }

    #[test]
    fn what_the_gateway_signed_verifies_and_holds_what_was_signed() {
        let bytes = issue_compact(&fields(), &key(9)).unwrap();
        let verified = verify(&bytes).unwrap();
        assert_eq!(*verified.fields(), fields());
        assert_eq!(verified.key(), KeyHash::of_ed25519(&key(3).public()));
    }

    #[test]
    fn the_longest_one_fits() {
        let longest = CompactFields {
            epoch: u32::MAX,
            not_before: UnixTime::from_secs(u64::MAX - 1),
            not_after: UnixTime::from_secs(u64::MAX),
            ..fields()
        };
        let bytes = issue_compact(&longest, &key(9)).unwrap();
        assert_eq!(bytes.len(), LONGEST);
        let at_its_end = UnixTime::from_secs(u64::MAX);
        let verified = verify_compact(&bytes, &key(9).public(), at_its_end).unwrap();
        assert_eq!(*verified.fields(), longest);
    }

    #[test]
    fn one_bit_more_or_less_and_it_is_worth_nothing() {
        let bytes = issue_compact(&fields(), &key(9)).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&changed).is_err(), "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert!(verify(&bytes[..end]).is_err(), "cut off at {end}");
        }
        let mut longer = bytes.clone();
        longer.push(0).unwrap();
        assert_eq!(verify(&longer), Err(CompactDefect::Malformed(Undecodable::Trailing)));
    }

    #[test]
    fn a_number_in_a_longer_form_is_refused_before_its_signature() {
        // The epoch 4 as two bytes, signed as it stands.
        let bytes = issue_compact(&fields(), &key(9)).unwrap();
        let body = &bytes[..bytes.len() - 64];
        let overlong = [&body[..80], &[0x84, 0x00], &body[81..]].concat();
        let signature = key(9).sign(labels::COMPACT_CERTIFICATE, [&overlong, &[]]);
        let forged = [&overlong[..], signature.as_bytes()].concat();
        assert_eq!(verify(&forged), Err(CompactDefect::Malformed(Undecodable::Number)));
    }

    #[test]
    fn another_gateway_cannot_sign_it_and_the_signature_serves_no_other_purpose() {
        let bytes = issue_compact(&fields(), &key(8)).unwrap();
        assert_eq!(verify(&bytes), Err(CompactDefect::Signature));
        let body = &bytes[..bytes.len() - 64];
        let signature = key(9).sign(labels::CAPABILITY, [body, &[]]);
        let forged = [body, signature.as_bytes()].concat();
        assert_eq!(verify(&forged), Err(CompactDefect::Signature));
    }

    #[test]
    fn it_counts_from_its_first_to_its_last_second() {
        let bytes = issue_compact(&fields(), &key(9)).unwrap();
        let at = |secs: u64| verify_compact(&bytes, &key(9).public(), UnixTime::from_secs(secs));
        assert_eq!(at(NOW.as_secs() - 1), Err(CompactDefect::NotYet));
        assert!(at(NOW.as_secs()).is_ok() && at(NOW.as_secs() + 86_400).is_ok());
        assert_eq!(at(NOW.as_secs() + 86_401), Err(CompactDefect::Expired));
        let never = CompactFields { not_after: NOW, ..fields() };
        assert_eq!(issue_compact(&never, &key(9)), None);
    }
}
