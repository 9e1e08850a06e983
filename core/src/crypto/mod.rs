//! The primitives, one per file: each wraps one function of a RustCrypto crate in this crate's
//! types. [`noise`] and [`cpace`] are composed of them.

pub mod aead;
pub mod base64url;
pub mod code;
pub mod cpace;
pub mod ed25519;
pub mod fingerprint;
pub mod hkdf_sha256;
pub mod hmac_sha256;
pub mod hmac_sha512;
pub mod keys;
pub mod labels;
pub mod noise;
pub mod pbkdf2_sha256;
pub mod sha256;
pub mod x25519;
