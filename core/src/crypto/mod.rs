//! The primitives, one a file, concrete: each wraps one function of a RustCrypto crate behind the types of this crate.

pub mod base64url;
pub mod hmac_sha256;
pub mod labels;
pub mod pbkdf2_sha256;
pub mod sha256;
