//! Setup codes: an operator issues one, and a companion opens a session with it, once.
//!
//! The token is `b64url(claims) "." b64url(HMAC-SHA256(key, claims))`, the form of the nexo
//! dialect. It carries all that is needed to check it, so checking is pure: no store, no
//! allocation, and the same on a gateway and on a microcontroller. The check tells neither whether
//! the code has expired nor whether it was spent before:
//! [`registry::sessions`](crate::registry::sessions) judges both in the step that spends it, by the
//! clock that counts for this code, and opens a session only for a [`VerifiedSetupCode`].
//!
//! # Example
//!
//! ```
//! use handfast_core::grant::setup_code::{NotValid, SetupKey, Terms, VERIFY_SCRATCH, issue, verify};
//! use handfast_core::limits::SETUP_TOKEN_CHARS;
//! use handfast_core::registry::sessions::{NotRedeemed, redeem};
//! use handfast_core::secret::Secret;
//! use handfast_core::wire::setup::ProfileName;
//! use handfast_core::{Entropy, Span, UnixTime};
//!
//! let key = SetupKey::new(&Secret::new([7; 32])).expect("a key that was filled");
//! let now = UnixTime::from_secs(1_800_000_000);
//! let profile = ProfileName::parse("companion-v1").unwrap();
//! let terms = Terms { profile, device_label: None, ttl: Span::from_secs(600), bound: false };
//! let mut out = [0; SETUP_TOKEN_CHARS];
//! let issued = issue(&key, &terms, now, &Entropy::from_recorded([1; 16]), &mut out).unwrap();
//!
//! // A companion shows the token: form and signature are checked without a store.
//! let mut scratch = [0; VERIFY_SCRATCH];
//! let verified = verify(&[key], issued.token, &mut scratch).expect("we signed it");
//! // Its time, and that it is spent once, are judged where the session is written.
//! let (ends, mark) = (verified.claims().expires_at, UnixTime::from_secs(0));
//! assert_eq!(redeem(ends, mark, false, now), Ok(()));
//! assert_eq!(redeem(ends, mark, true, now), Err(NotRedeemed::AlreadyUsed));
//! assert_eq!(verify(&[], issued.token, &mut scratch), Err(NotValid::Signature));
//! ```

use crate::crypto::x25519::PublicKey;
use crate::crypto::{base64url, hmac_sha256, labels};
use crate::entropy::Entropy;
use crate::limits::{SETUP_CLAIMS_BYTES, SETUP_TOKEN_CHARS, SETUP_TTL_MAX, SETUP_TTL_MIN};
use crate::secret::Secret;
use crate::text::Label;
use crate::time::{Span, UnixTime};
use crate::wire::setup::{Claims, MadeBy, Nonce, ProfileName};

/// A key that signs setup codes.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SetupKey(hmac_sha256::Key);

/// The bytes are all zero, like a file that was created and never filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NotAKey;

impl SetupKey {
    /// Accepts a key of 32 bytes.
    ///
    /// # Errors
    /// [`NotAKey`], if all bytes are zero.
    pub fn new(key: &Secret<32>) -> Result<Self, NotAKey> {
        if *key == Secret::new([0; 32]) {
            Err(NotAKey)
        } else {
            Ok(Self(hmac_sha256::Key::new(key)))
        }
    }

    /// Returns the key for codes that are bound to this static key of the gateway: once the gateway
    /// has another one, they are not valid any more.
    #[must_use]
    pub fn bound_to(&self, gateway: &PublicKey) -> Self {
        // Claims begin with a brace, so no code has this text.
        let mut text = [0; labels::BOUND_SETUP_CODE.len() + 32];
        for (to, from) in
            text.iter_mut().zip(labels::BOUND_SETUP_CODE.iter().chain(gateway.as_bytes()))
        {
            *to = *from;
        }
        Self(hmac_sha256::Key::new(&self.0.tag(&text)))
    }
}

/// The properties of a setup code to issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Terms<'b> {
    /// The profile that the companion's session gets.
    pub profile: ProfileName<'b>,
    /// The device that the code is for, as a label for people.
    pub device_label: Option<Label<'b>>,
    /// The code's lifetime, from [`SETUP_TTL_MIN`] to [`SETUP_TTL_MAX`].
    pub ttl: Span,
    /// `true` if the code pairs a device by its own key and opens no session.
    pub bound: bool,
}

/// The reason for not issuing a setup code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotIssued {
    /// The lifetime is shorter than [`SETUP_TTL_MIN`] or longer than [`SETUP_TTL_MAX`].
    Ttl,
    /// The buffers are smaller than [`SETUP_CLAIMS_BYTES`] and [`SETUP_TOKEN_CHARS`].
    BufferTooSmall,
}

/// A setup code that was just issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Issued<'o> {
    /// The token that opens a session. It is a secret until it is spent.
    pub token: &'o str,
    /// The code's id.
    pub nonce: Nonce,
    /// The end of the code's validity.
    pub expires_at: UnixTime,
}

/// Issues a setup code for an operator.
///
/// # Errors
/// [`NotIssued`], as for [`issue_by`].
pub fn issue<'o>(
    key: &SetupKey,
    terms: &Terms<'_>,
    now: UnixTime,
    entropy: &Entropy<16>,
    out: &'o mut [u8],
) -> Result<Issued<'o>, NotIssued> {
    issue_by(key, terms, None, now, entropy, out)
}

/// Issues a setup code for the session `by`, with which the code ends, or for an operator at the
/// gateway if `by` is `None`.
///
/// # Errors
/// [`NotIssued::Ttl`], or [`NotIssued::BufferTooSmall`], which also covers names and a session id
/// that are too long together.
pub fn issue_by<'o>(
    key: &SetupKey,
    terms: &Terms<'_>,
    by: Option<MadeBy>,
    now: UnixTime,
    entropy: &Entropy<16>,
    out: &'o mut [u8],
) -> Result<Issued<'o>, NotIssued> {
    if !(SETUP_TTL_MIN..=SETUP_TTL_MAX).contains(&terms.ttl) {
        return Err(NotIssued::Ttl);
    }
    let nonce = Nonce::new(entropy);
    let expires_at = now.after(terms.ttl);
    let claims = Claims {
        profile: terms.profile,
        expires_at,
        nonce,
        device_label: terms.device_label,
        bound: terms.bound,
        by,
    };
    let mut buffer = [0; SETUP_CLAIMS_BYTES];
    let claims = claims.write(&mut buffer).ok_or(NotIssued::BufferTooSmall)?;
    let token = sign(key, claims, out).ok_or(NotIssued::BufferTooSmall)?;
    Ok(Issued { token, nonce, expires_at })
}

fn sign<'o>(key: &SetupKey, claims: &str, out: &'o mut [u8]) -> Option<&'o str> {
    let tag = base64url::encode_32(key.0.tag(claims.as_bytes()).expose());
    let length = base64url::encode(claims.as_bytes(), out)?.len();
    let behind = out.get_mut(length..)?.iter_mut();
    let mut written = length;
    for (place, character) in behind.zip(b".".iter().chain(&tag)) {
        *place = *character;
        written = written.checked_add(1)?;
    }
    // The token is complete only if every character found a place.
    let whole = length.checked_add(1)?.checked_add(tag.len())? == written;
    core::str::from_utf8(out.get(..written)?).ok().filter(|_| whole)
}

/// Proof that one of our keys signed a token. Only [`verify`] makes it. It says nothing of whether
/// the token has expired or was spent: [`redeem`](crate::registry::sessions::redeem) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct VerifiedSetupCode<'b>(Claims<'b>);

impl<'b> VerifiedSetupCode<'b> {
    /// Returns the token's claims.
    #[must_use]
    pub const fn claims(&self) -> &Claims<'b> {
        &self.0
    }
}

/// The reason for rejecting a token, in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotValid {
    /// The token is not two parts with a dot between them, or is longer than [`SETUP_TOKEN_CHARS`].
    Form,
    /// The first part is not base64url.
    ClaimsEncoding,
    /// The second part is not base64url of 32 bytes.
    SignatureEncoding,
    /// None of the gateway's keys signed the token.
    Signature,
    /// The signature is right, but this version cannot read the claims.
    Claims,
}

/// Scratch that suffices for [`verify`], in bytes.
pub const VERIFY_SCRATCH: usize = 2 * SETUP_CLAIMS_BYTES;

/// Verifies form and signature of a token with the keys in force: the current one, and the previous
/// one during its overlap. `scratch` holds the claims and their unescaped texts; [`VERIFY_SCRATCH`] suffices.
///
/// # Errors
/// [`NotValid`], the first check that fails.
pub fn verify<'b>(
    keys: &[SetupKey],
    token: &str,
    scratch: &'b mut [u8],
) -> Result<VerifiedSetupCode<'b>, NotValid> {
    verify_by(|claims, tag| keys.iter().any(|key| key.0.tag(claims) == *tag), token, scratch)
}

/// Verifies a token that is [bound](SetupKey::bound_to) to this static key of the gateway.
///
/// # Errors
/// [`NotValid`], as for [`verify`].
pub fn verify_bound<'b>(
    keys: &[SetupKey],
    gateway: &PublicKey,
    token: &str,
    scratch: &'b mut [u8],
) -> Result<VerifiedSetupCode<'b>, NotValid> {
    let signed = |claims: &[u8], tag: &Secret<32>| {
        keys.iter().any(|key| key.bound_to(gateway).0.tag(claims) == *tag)
    };
    verify_by(signed, token, scratch)
}

fn verify_by<'b>(
    signed: impl Fn(&[u8], &Secret<32>) -> bool,
    token: &str,
    scratch: &'b mut [u8],
) -> Result<VerifiedSetupCode<'b>, NotValid> {
    if token.len() > SETUP_TOKEN_CHARS {
        return Err(NotValid::Form);
    }
    // From the end, because the signature is the shorter part.
    let (encoded, signature) = token.rsplit_once('.').ok_or(NotValid::Form)?;
    if encoded.is_empty() || signature.is_empty() {
        return Err(NotValid::Form);
    }
    // Four characters decode to three bytes; the rest of the scratch takes unescaped texts.
    let length = encoded.len().saturating_mul(3) / 4;
    let (here, room) = scratch.split_at_mut_checked(length).ok_or(NotValid::Form)?;
    let claims: &[u8] = match base64url::decode(encoded, here) {
        Some(claims) => claims,
        // A further dot makes the form wrong, and not the encoding.
        None if encoded.contains('.') => return Err(NotValid::Form),
        None => return Err(NotValid::ClaimsEncoding),
    };
    let mut tag = [0; 32];
    let whole = base64url::decode(signature, &mut tag).is_some_and(|tag| tag.len() == 32);
    if !whole {
        return Err(NotValid::SignatureEncoding);
    }
    let tag = Secret::new(tag);
    // Each comparison takes constant time; the number of keys is not secret.
    if !signed(claims, &tag) {
        return Err(NotValid::Signature);
    }
    // The claims are read only now, so that no stranger's JSON reaches the parser.
    let text = core::str::from_utf8(claims).map_err(|_| NotValid::Claims)?;
    Claims::parse(text, room).ok_or(NotValid::Claims).map(VerifiedSetupCode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::x25519::KeyPair;
    use std::format;
    use std::string::{String, ToString};

    const NOW: UnixTime = UnixTime::from_secs(1_705_314_000);

    fn key(byte: u8) -> SetupKey {
        SetupKey::new(&Secret::new([byte; 32])).unwrap()
    }

    fn terms() -> Terms<'static> {
        Terms {
            profile: ProfileName::parse("companion-v1").unwrap(),
            device_label: None,
            ttl: Span::from_secs(600),
            bound: false,
        }
    }

    fn token(key: &SetupKey) -> String {
        let mut out = [0; SETUP_TOKEN_CHARS];
        issue(key, &terms(), NOW, &Entropy::from_recorded([0xab; 16]), &mut out)
            .unwrap()
            .token
            .to_string()
    }

    fn check(keys: &[SetupKey], token: &str) -> Result<UnixTime, NotValid> {
        let mut scratch = [0; VERIFY_SCRATCH];
        verify(keys, token, &mut scratch).map(|verified| verified.claims().expires_at)
    }

    #[test]
    fn a_token_is_the_one_that_pythons_hmac_makes_of_the_same_claims() {
        // python3: c =
        // b'{"profile":"companion-v1","expires_at":"2024-01-15T10:30:00Z","nonce":"abababababababababababababababab"}';
        // b64(c) + b"." + b64(hmac.new(bytes([7] * 32), c, "sha256").digest()), both urlsafe and
        // without padding
        assert_eq!(token(&key(7)), include_str!("setup_code.token").trim_end());
    }

    #[test]
    fn an_issued_token_says_when_its_time_is_over() {
        let end = UnixTime::from_secs(1_705_314_600);
        assert_eq!(check(&[key(7)], &token(&key(7))), Ok(end));
    }

    #[test]
    fn either_of_two_keys_will_do_and_one_that_was_taken_out_will_not() {
        assert!(check(&[key(8), key(7)], &token(&key(7))).is_ok());
        assert_eq!(check(&[key(8)], &token(&key(7))), Err(NotValid::Signature));
        assert_eq!(check(&[], &token(&key(7))), Err(NotValid::Signature));
    }

    #[test]
    fn a_bound_code_ends_with_the_gateways_key_and_is_no_code_of_the_plain_kind() {
        let gateway = |byte| *KeyPair::generate(&Entropy::from_recorded([byte; 32])).public();
        let (own, newer) = (gateway(1), gateway(2));
        let bound = token(&key(7).bound_to(&own));
        let check_bound = |keys: &[SetupKey], gateway: &PublicKey, token: &str| {
            let mut scratch = [0; VERIFY_SCRATCH];
            verify_bound(keys, gateway, token, &mut scratch).map(|_| ())
        };
        assert_eq!(check_bound(&[key(8), key(7)], &own, &bound), Ok(()));
        for (keys, gateway) in [([key(7)], &newer), ([key(8)], &own)] {
            assert_eq!(check_bound(&keys, gateway, &bound), Err(NotValid::Signature));
        }
        assert_eq!(check(&[key(7)], &bound), Err(NotValid::Signature));
        assert_eq!(check_bound(&[key(7)], &own, &token(&key(7))), Err(NotValid::Signature));
    }

    #[test]
    fn any_flipped_bit_makes_it_invalid() {
        let good = token(&key(7));
        for at in 0..good.len() {
            for bit in 0..7 {
                let mut bytes = good.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let changed = String::from_utf8(bytes).unwrap();
                assert!(check(&[key(7)], &changed).is_err(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn it_is_checked_in_order_so_that_each_fault_has_its_name() {
        let good = token(&key(7));
        let (claims, tag) = good.split_once('.').unwrap();
        for (bad, why) in [
            (String::new(), NotValid::Form),
            ("nodot".to_string(), NotValid::Form),
            (format!(".{tag}"), NotValid::Form),
            (format!("{claims}."), NotValid::Form),
            (format!("{good}."), NotValid::Form),
            (format!("{claims}..{tag}"), NotValid::Form),
            (format!("{good}.{tag}"), NotValid::Form),
            (format!("{claims}=.{tag}.{tag}="), NotValid::Form),
            ("a".repeat(SETUP_TOKEN_CHARS + 1), NotValid::Form),
            (format!("{claims}=.{tag}"), NotValid::ClaimsEncoding),
            (format!("{claims}.{tag}="), NotValid::SignatureEncoding),
            (format!("{claims}.AAAA"), NotValid::SignatureEncoding),
            (format!("e30.{tag}"), NotValid::Signature),
        ] {
            assert_eq!(check(&[key(7)], &bad), Err(why), "{bad}");
        }
        let mut out = [0; 100];
        let signed = sign(&key(7), "{}", &mut out).unwrap();
        assert_eq!(check(&[key(7)], signed), Err(NotValid::Claims));
    }

    #[test]
    fn only_a_time_within_bounds_and_room_enough_yield_a_token() {
        let mut out = [0; SETUP_TOKEN_CHARS];
        for ttl in [0, 29, 86_401, u64::MAX] {
            let terms = Terms { ttl: Span::from_secs(ttl), ..terms() };
            let issued = issue(&key(7), &terms, NOW, &Entropy::from_recorded([1; 16]), &mut out);
            assert_eq!(issued.map(|_| ()), Err(NotIssued::Ttl));
        }
        for room in 0..token(&key(7)).len() {
            let issued =
                issue(&key(7), &terms(), NOW, &Entropy::from_recorded([1; 16]), &mut out[..room]);
            assert_eq!(issued.map(|_| ()), Err(NotIssued::BufferTooSmall), "{room}");
        }
    }

    #[test]
    fn zeros_are_no_key() {
        assert_eq!(SetupKey::new(&Secret::new([0; 32])).map(|_| ()), Err(NotAKey));
    }
}
