//! Grants: the results of pairing. A grant is made once and checked at every use; the proof of a
//! successful check is a value that only the check can make.

pub mod capability;
pub mod certificate;
pub mod keyed_secret;
pub mod login_link;
pub mod scope;
pub mod session;
pub mod setup_code;
mod stored_hash;
pub mod token;
