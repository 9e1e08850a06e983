//! The Merkle tree over an audit log (RFC 6962, section 2.1; RFC 9162, section 2.1).
//!
//! The leaves are the entries of a log that is only appended to. A tree of each size has one root,
//! so a root that was noted earlier shows later whether an entry was changed, removed or cut off
//! since. The caller stores the hashes of the complete subtrees, whose leaves are all there; every
//! function here reads and writes O(log n) of them.

use crate::crypto::sha256;

/// A hash of a leaf, a subtree or a tree.
pub type Hash = [u8; 32];

/// Maximum number of hashes in a proof: one for each bit of a size, and one more.
const PROOF_HASHES: usize = 65;

/// A proof: hashes in the order of RFC 6962, from the leaves up.
pub type Proof = heapless::Vec<Hash, PROOF_HASHES>;

/// A complete subtree: the leaves from `index << level` on, `1 << level` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Subtree {
    /// Height of the subtree; 0 for a single leaf.
    pub level: u8,
    /// Number of subtrees of this height to its left.
    pub index: u64,
}

/// The stored hashes of the complete subtrees.
pub trait Subtrees {
    /// The failure of a read or write.
    type Error;

    /// Returns the hash of a complete subtree. It is asked only for those that are in the tree.
    ///
    /// # Errors
    /// The store's error.
    fn hash(&mut self, subtree: Subtree) -> Result<Hash, Self::Error>;
}

/// The reason for which a proof is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NotProven {
    /// The entry or the smaller size is not in a tree of this size.
    OutOfRange,
    /// The number of hashes does not match the sizes.
    WrongLength,
    /// The hashes do not lead to the root.
    OtherRoot,
}

/// Returns the root of the empty tree.
#[must_use]
pub fn empty_root() -> Hash {
    sha256::hash([&[], &[]])
}

/// Returns the hash of a leaf.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256::hash([&[0], entry])
}

/// Returns the hash of a node over its two children.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut children = [0; 1 + 2 * 32];
    let (prefix, rest) = children.split_at_mut(1);
    let (first, second) = rest.split_at_mut(32);
    prefix.copy_from_slice(&[1]);
    first.copy_from_slice(left);
    second.copy_from_slice(right);
    sha256::hash([&children, &[]])
}

/// Appends a leaf to a tree of this size. Passes each subtree above the leaf that it completes to
/// `put`, the lowest first; the leaf itself is stored by the caller.
///
/// # Errors
/// The store's error, or that of `put`.
pub fn append<S: Subtrees>(
    size: u64,
    leaf: Hash,
    subtrees: &mut S,
    mut put: impl FnMut(&mut S, Subtree, Hash) -> Result<(), S::Error>,
) -> Result<(), S::Error> {
    let (mut hash, mut at) = (leaf, Subtree { level: 0, index: size });
    // A right child completes its parent.
    while at.index & 1 == 1 {
        let left = Subtree { level: at.level, index: at.index & !1 };
        hash = node_hash(&subtrees.hash(left)?, &hash);
        at = Subtree { level: at.level.saturating_add(1), index: at.index >> 1 };
        put(subtrees, at, hash)?;
    }
    Ok(())
}

/// Returns the root of the tree with the first `size` leaves.
///
/// # Errors
/// The store's error.
pub fn root<S: Subtrees>(size: u64, subtrees: &mut S) -> Result<Hash, S::Error> {
    range_hash(0, size, subtrees)
}

/// Returns the proof that the tree of this size holds leaf `index`; `None` if it has no such leaf.
///
/// # Errors
/// The store's error.
pub fn inclusion<S: Subtrees>(
    index: u64,
    size: u64,
    subtrees: &mut S,
) -> Result<Option<Proof>, S::Error> {
    if index >= size {
        return Ok(None);
    }
    let mut proof = Proof::new();
    let (mut start, mut end) = (0, size);
    // From the root down; the proof is in the other order.
    while let Some(middle) = split(start, end) {
        let sibling = match index < middle {
            true => (middle, core::mem::replace(&mut end, middle)),
            false => (core::mem::replace(&mut start, middle), middle),
        };
        push(&mut proof, range_hash(sibling.0, sibling.1, subtrees)?);
    }
    proof.reverse();
    Ok(Some(proof))
}

/// Returns the proof that the first `earlier` leaves of the tree of this size are those of the tree
/// of that size; `None` if it is larger.
///
/// # Errors
/// The store's error.
pub fn consistency<S: Subtrees>(
    earlier: u64,
    size: u64,
    subtrees: &mut S,
) -> Result<Option<Proof>, S::Error> {
    if earlier > size {
        return Ok(None);
    }
    let mut proof = Proof::new();
    // Nothing to prove about the empty tree, or about the same one.
    if earlier == 0 || earlier == size {
        return Ok(Some(proof));
    }
    let (mut start, mut end) = (0, size);
    while end != earlier {
        let Some(middle) = split(start, end) else { break };
        let sibling = match earlier <= middle {
            true => (middle, core::mem::replace(&mut end, middle)),
            false => (core::mem::replace(&mut start, middle), middle),
        };
        push(&mut proof, range_hash(sibling.0, sibling.1, subtrees)?);
    }
    // The verifier knows the root of the earlier tree, so a subtree that is all of it is left out.
    if start != 0 {
        push(&mut proof, range_hash(start, end, subtrees)?);
    }
    proof.reverse();
    Ok(Some(proof))
}

/// Verifies that the tree with this size and root holds the leaf with this hash at `index`
/// (RFC 9162, section 2.1.3.2).
///
/// # Errors
/// [`NotProven`].
pub fn verify_inclusion(
    index: u64,
    leaf: &Hash,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> Result<(), NotProven> {
    let mut last = size.checked_sub(1).ok_or(NotProven::OutOfRange)?;
    if index > last {
        return Err(NotProven::OutOfRange);
    }
    let (mut at, mut hash) = (index, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(NotProven::WrongLength);
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(sibling, &hash);
            // Levels at which the last node has no sibling are skipped.
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    match (last, hash == *root) {
        (0, true) => Ok(()),
        (0, false) => Err(NotProven::OtherRoot),
        (1.., _) => Err(NotProven::WrongLength),
    }
}

/// Verifies that the tree with the earlier size and root is the beginning of the later one
/// (RFC 9162, section 2.1.4.2).
///
/// # Errors
/// [`NotProven`].
pub fn verify_consistency(
    earlier: (u64, &Hash),
    later: (u64, &Hash),
    proof: &[Hash],
) -> Result<(), NotProven> {
    let ((earlier, earlier_root), (later, later_root)) = (earlier, later);
    let same = |a: &Hash, b: &Hash| if a == b { Ok(()) } else { Err(NotProven::OtherRoot) };
    if earlier > later {
        return Err(NotProven::OutOfRange);
    }
    if earlier == 0 || earlier == later {
        return match (proof, earlier) {
            ([_, ..], _) => Err(NotProven::WrongLength),
            ([], 0) => same(earlier_root, &empty_root()),
            ([], _) => same(earlier_root, later_root),
        };
    }
    let (mut at, mut last) = (earlier.saturating_sub(1), later.saturating_sub(1));
    let mut rest = proof.iter();
    let mut begin = *earlier_root;
    // An earlier tree that is one complete subtree begins with its own root.
    if !earlier.is_power_of_two() {
        begin = *rest.next().ok_or(NotProven::WrongLength)?;
    }
    while at & 1 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    let (mut old, mut new) = (begin, begin);
    for sibling in rest {
        if last == 0 {
            return Err(NotProven::WrongLength);
        }
        if at & 1 == 1 || at == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            new = node_hash(&new, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    if last != 0 {
        return Err(NotProven::WrongLength);
    }
    same(&old, earlier_root)?;
    same(&new, later_root)
}

/// Returns where RFC 6962 divides these leaves: after the largest power of two below their number.
/// `None` for a single leaf, and for none.
#[must_use]
pub fn split(start: u64, end: u64) -> Option<u64> {
    let last = end.checked_sub(start)?.checked_sub(1).filter(|last| *last > 0)?;
    start.checked_add(1 << last.ilog2())
}

/// Returns the hash of the leaves from `start` to `end`. The start is that of a subtree which holds
/// all of them, so they consist of complete subtrees that become smaller from left to right.
fn range_hash<S: Subtrees>(start: u64, end: u64, subtrees: &mut S) -> Result<Hash, S::Error> {
    let (mut hash, mut rest, mut end) = (None, end.saturating_sub(start), end);
    while rest != 0 {
        let level = rest.trailing_zeros();
        let leaves = 1 << level;
        end = end.saturating_sub(leaves);
        rest &= !leaves;
        let subtree = Subtree { level: level.to_le_bytes()[0], index: end >> level };
        let left = subtrees.hash(subtree)?;
        hash = Some(hash.map_or(left, |right| node_hash(&left, &right)));
    }
    Ok(hash.unwrap_or_else(empty_root))
}

/// Adds a hash. The depth of a tree never exceeds the capacity.
fn push(proof: &mut Proof, hash: Hash) {
    let pushed = proof.push(hash);
    debug_assert!(pushed.is_ok());
}

#[cfg(test)]
mod tests;
