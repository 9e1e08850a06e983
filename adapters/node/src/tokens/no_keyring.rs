//! Stands in for the keyring in a build without the feature `keyring`: there is none.

use handfast_core::secret::Secret;

use super::error::TokensError;
use super::key::KEY_BYTES;

/// Always fails: the key may be in a keyring that this build cannot ask.
pub(super) fn find(_: &str) -> Result<Option<Secret<KEY_BYTES>>, TokensError> {
    Err(unsupported())
}

/// Always fails.
pub(super) fn keep(_: &str, _: &Secret<KEY_BYTES>) -> Result<(), TokensError> {
    Err(unsupported())
}

/// Returns `false`.
pub(super) const fn is_usable() -> bool {
    false
}

fn unsupported() -> TokensError {
    TokensError::Keyring { why: "is not supported by this build".to_owned() }
}
