//! Fernet tokens, the format in which the dialect keeps secrets on the disk: `0x80`, the time as
//! eight bytes, 16 bytes of IV, AES-128-CBC with PKCS 7, and HMAC-SHA256 over all of it, as padded
//! base64url.

use aes::Aes128;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

const VERSION: u8 = 0x80;
const BLOCK: usize = 16;
/// Length of the version, the time and the IV, in bytes.
const HEAD: usize = 1 + 8 + BLOCK;
const TAG: usize = 32;

/// The key K1: 16 bytes to sign, 16 to encrypt.
pub(super) struct FernetKey(Zeroizing<[u8; 32]>);

impl FernetKey {
    /// Returns a key of these bytes.
    pub(super) fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads the 44 characters of a key; `None` if they are none.
    pub(super) fn read(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(URL_SAFE.decode(text.trim_end()).ok()?);
        Some(Self(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
    }

    /// Returns the 44 characters of the key.
    pub(super) fn write(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE.encode(self.0.as_slice()))
    }

    fn signing(&self) -> Hmac<Sha256> {
        let (signing, _) = self.0.split_at(BLOCK);
        Hmac::new_from_slice(signing).unwrap_or_else(|_| unreachable!("HMAC takes every length"))
    }

    fn encryption(&self) -> [u8; BLOCK] {
        let mut key = [0; BLOCK];
        key.copy_from_slice(&self.0[BLOCK..]);
        key
    }

    /// Encrypts a secret with this IV, made at this time in seconds since 1970.
    pub(super) fn seal(&self, secret: &[u8], time: u64, iv: [u8; BLOCK]) -> String {
        let length = HEAD + (secret.len() / BLOCK + 1) * BLOCK;
        let mut token = Vec::with_capacity(length + TAG);
        token.push(VERSION);
        token.extend_from_slice(&time.to_be_bytes());
        token.extend_from_slice(&iv);
        // Encrypted in place, so that the secret is in no other buffer.
        token.extend_from_slice(secret);
        token.resize(length, 0);
        let cipher = cbc::Encryptor::<Aes128>::new(&self.encryption().into(), &iv.into());
        let sealed = cipher.encrypt_padded::<Pkcs7>(&mut token[HEAD..], secret.len()).is_ok();
        assert!(sealed, "the buffer has room for the padding");
        let mut signing = self.signing();
        signing.update(&token);
        token.extend_from_slice(&signing.finalize().into_bytes());
        URL_SAFE.encode(token)
    }

    /// Checks and decrypts a token; `None` if this key did not make it.
    pub(super) fn open(&self, token: &str) -> Option<Zeroizing<Vec<u8>>> {
        let token = URL_SAFE.decode(token.trim_end()).ok()?;
        let (signed, tag) = token.split_at_checked(token.len().checked_sub(TAG)?)?;
        let mut signing = self.signing();
        signing.update(signed);
        signing.verify_slice(tag).ok()?;
        let (head, text) = signed.split_at_checked(HEAD)?;
        let (_, iv) = head.split_at_checked(HEAD - BLOCK)?;
        let iv: [u8; BLOCK] = iv.try_into().ok().filter(|_| head.first() == Some(&VERSION))?;
        let mut text = Zeroizing::new(text.to_vec());
        let cipher = cbc::Decryptor::<Aes128>::new(&self.encryption().into(), &iv.into());
        let length = cipher.decrypt_padded::<Pkcs7>(&mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors `generate.json` and `verify.json` of the format's specification.
    const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
    const TOKEN: &str = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";

    #[test]
    fn the_vectors_of_the_specification_are_made_and_read() {
        let key = FernetKey::read(KEY).unwrap();
        assert_eq!(*key.write(), KEY);
        let iv = core::array::from_fn(|at| at as u8);
        assert_eq!(key.seal(b"hello", 499_162_800, iv), TOKEN);
        assert_eq!(key.open(TOKEN).unwrap().as_slice(), b"hello");
    }

    #[test]
    fn a_token_that_was_changed_anywhere_or_cut_or_made_by_another_key_is_refused() {
        let key = FernetKey::new([7; 32]);
        let token = key.seal(&[9; 32], 1, [3; 16]);
        assert_eq!(key.open(&token).unwrap().as_slice(), [9; 32]);
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(key.open(std::str::from_utf8(&changed).unwrap()).is_none(), "{at}");
            assert!(key.open(&token[..at]).is_none(), "{at}");
        }
        assert!(FernetKey::new([8; 32]).open(&token).is_none());
    }

    #[test]
    fn secrets_of_every_length_read_back() {
        let key = FernetKey::new([1; 32]);
        for length in 0..50 {
            let secret = vec![5; length];
            assert_eq!(key.open(&key.seal(&secret, 0, [0; 16])).unwrap().as_slice(), secret);
        }
    }
}
