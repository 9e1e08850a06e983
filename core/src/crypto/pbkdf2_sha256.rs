//! PBKDF2-HMAC-SHA256 (RFC 8018), only for dialects that demand it.

use sha2::Sha256;

use crate::secret::Secret;

/// Derives 32 bytes. With 100 000 iterations this takes milliseconds on a server; it belongs in a
/// bounded pool, and never on a device.
#[must_use]
pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Secret<32> {
    let mut out = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut out);
    let derived = Secret::new(out);
    zeroize::Zeroize::zeroize(&mut out);
    derived
}
