//! Sealed tokens as text.

use handfast_core::crypto::base64url;
use handfast_core::secret::Secret;
use zeroize::Zeroizing;

use crate::seal::{self, DoesNotOpen};

/// The prefix of a sealed token. No plain token begins with it, so a reader can distinguish them.
pub(super) const PREFIX: &str = "enc1:";

/// The prefix of the associated data, before the address. It prevents data sealed for another
/// purpose from opening here.
const LABEL: &[u8] = b"handfast/v1/token-store\0";

/// Generates a key.
pub(super) fn new_key() -> Result<Secret<32>, getrandom::Error> {
    seal::random().map(|bytes| Secret::new(*bytes))
}

/// Seals a token for one address: `enc1:` and base64url of nonce, ciphertext and tag. `None` for
/// more than 256 GiB.
pub(super) fn seal(
    key: &Secret<32>,
    router: &str,
    token: &str,
) -> Result<Option<String>, getrandom::Error> {
    let Some(bytes) = seal::seal(key, &associated(router), token.as_bytes())? else {
        return Ok(None);
    };
    let mut chars = vec![0; bytes.len().div_ceil(3) * 4];
    Ok(base64url::encode(&bytes, &mut chars).map(|text| format!("{PREFIX}{text}")))
}

/// Opens the output of [`seal`] for this address.
pub(super) fn open(
    key: &Secret<32>,
    router: &str,
    sealed: &str,
) -> Result<Zeroizing<String>, DoesNotOpen> {
    let text = sealed.strip_prefix(PREFIX).ok_or(DoesNotOpen)?;
    let mut bytes = Zeroizing::new(vec![0; text.len()]);
    let length = base64url::decode(text, &mut bytes).ok_or(DoesNotOpen)?.len();
    bytes.truncate(length);
    let text = seal::open(key, &associated(router), &mut bytes)?;
    std::str::from_utf8(text).map(|text| Zeroizing::new(text.to_owned())).map_err(|_| DoesNotOpen)
}

/// Returns the associated data. The label has a fixed end and only the address follows, so
/// different addresses give different bytes.
fn associated(router: &str) -> Vec<u8> {
    [LABEL, router.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: &str = "192.168.1.100:7330";

    fn sealed(token: &str) -> String {
        seal(&Secret::new([7; 32]), ROUTER, token).unwrap().unwrap()
    }

    #[test]
    fn a_sealed_token_opens_with_its_key_under_its_address() {
        for token in ["", "a", "hf1.AAECAwQ", &"long".repeat(1000)] {
            assert_eq!(*open(&Secret::new([7; 32]), ROUTER, &sealed(token)).unwrap(), token);
        }
    }

    #[test]
    fn sealing_twice_gives_two_texts() {
        assert_ne!(sealed("token"), sealed("token"));
    }

    #[test]
    fn neither_another_key_nor_another_address_opens_it() {
        let text = sealed("token");
        assert!(open(&Secret::new([8; 32]), ROUTER, &text).is_err());
        for other in ["192.168.1.101:7330", "192.168.1.100:733", "192.168.1.100:73300", ""] {
            assert!(open(&Secret::new([7; 32]), other, &text).is_err(), "{other}");
        }
    }

    #[test]
    fn no_flipped_bit_and_no_cut_is_overlooked() {
        let text = sealed("token");
        let body = text.strip_prefix(PREFIX).unwrap();
        let mut bytes = vec![0; body.len()];
        let bytes = base64url::decode(body, &mut bytes).unwrap().to_vec();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let mut chars = vec![0; body.len()];
            let text = format!("{PREFIX}{}", base64url::encode(&flipped, &mut chars).unwrap());
            assert!(open(&Secret::new([7; 32]), ROUTER, &text).is_err(), "bit {bit}");
        }
        for end in 0..text.len() {
            assert!(open(&Secret::new([7; 32]), ROUTER, &text[..end]).is_err(), "{end} characters");
        }
    }

    #[test]
    fn the_form_is_nonce_ciphertext_and_tag() {
        let text = sealed("token");
        let mut bytes = [0; 128];
        let bytes = base64url::decode(text.strip_prefix(PREFIX).unwrap(), &mut bytes).unwrap();
        assert_eq!(bytes.len(), 24 + 5 + 16);
    }
}
