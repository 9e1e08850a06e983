//! SHA-256 (FIPS 180-4) over length-prefixed parts.

use sha2::{Digest, Sha256};

/// Hashes two parts one behind the other, for formats of others; our own hashes take a label
/// ([`hash_parts`]).
#[must_use]
pub fn hash(parts: [&[u8]; 2]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// Hashes a label and then each part behind its length (64 bits, big endian), so that no two lists
/// of parts give the same input.
#[must_use]
pub fn hash_parts(label: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(label);
    for part in parts {
        hash.update(len_prefix(part));
        hash.update(part);
    }
    hash.finalize().into()
}

pub(super) fn len_prefix(part: &[u8]) -> [u8; 8] {
    u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_byte_between_parts_changes_the_hash() {
        assert_ne!(hash_parts(b"l", &[b"ab", b"c"]), hash_parts(b"l", &[b"a", b"bc"]));
    }
}
