//! The tree of an audit log, computed from its lines.

use std::ops::Range;
use std::path::Path;

use handfast_core::registry::audit_tree::{Hash, empty_root, leaf_hash, node_hash, split};
use handfast_server::admin::AuditProofView;
use handfast_server::checkpoint::read_hash;
use hyper::Method;

use crate::End;
use crate::client::{LineStream, ask, read};

/// The roots of the complete subtrees over the lines so far, the largest first. It grows with the
/// logarithm of their number.
#[derive(Default)]
pub(super) struct Peaks {
    size: u64,
    peaks: Vec<(u32, Hash)>,
}

impl Peaks {
    /// Returns the number of lines.
    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// Adds the next line.
    ///
    /// # Errors
    /// [`End`] if it is another entry than the next one.
    pub(super) fn add(&mut self, line: &str) -> Result<(), End> {
        let size = self.size;
        if !line.starts_with(&format!("{{\"entry\":{size},")) {
            return Err(End::Refused(format!(
                "entry {size} is missing: another one stands in its place"
            )));
        }
        let (mut level, mut hash) = (0, leaf_hash(line.as_bytes()));
        while let Some((_, left)) = self.peaks.pop_if(|(before, _)| *before == level) {
            (level, hash) = (level + 1, node_hash(&left, &hash));
        }
        self.peaks.push((level, hash));
        self.size += 1;
        Ok(())
    }

    /// Returns the root over the lines so far.
    pub(super) fn root(&self) -> Hash {
        let hashes = self.peaks.iter().rev().map(|(_, hash)| *hash);
        hashes.reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(empty_root)
    }
}

/// Finds the entries of which one is not what the gateway has appended, by the hashes that the
/// gateway has stored: in O(log n) questions, and down to a single entry if only its line was
/// changed.
pub(super) async fn changed_entries(data: &Path, size: u64) -> Result<Range<u64>, End> {
    let mut lines = LineStream::follow(data, "/api/v1/audit/export").await?;
    let mut leaves = Vec::new();
    while let Some(line) = lines.next().await? {
        leaves.push(leaf_hash(line.as_bytes()));
    }
    let mut changed = 0..size;
    while let Some(middle) = split(changed.start, changed.end) {
        let halves = [changed.start..middle, middle..changed.end];
        let mut other = None;
        for (half, within) in halves.iter().zip([middle, changed.start]) {
            // The proof of an entry in one half has the hash of the other one.
            let stored = stored_hash(data, within, size, half).await?;
            if stored != Some(range_root(&leaves, half.start, half.end)) {
                other = Some(half.clone());
                break;
            }
        }
        match other {
            Some(half) => changed = half,
            // Both halves are as stored, and what is stored above them is not made of them.
            None => break,
        }
    }
    Ok(changed)
}

/// Returns the stored hash of a subtree beside the path from the root to an entry.
async fn stored_hash(
    data: &Path,
    entry: u64,
    size: u64,
    subtree: &Range<u64>,
) -> Result<Option<Hash>, End> {
    let path = format!("/api/v1/audit/{entry}/proof?size={size}");
    let view: AuditProofView = read(&ask(data, Method::GET, &path, None).await?)?;
    let mut around = 0..size;
    for sibling in view.proof.iter().rev() {
        let Some(middle) = split(around.start, around.end) else { break };
        let (beside, below) = match entry < middle {
            true => (middle..around.end, around.start..middle),
            false => (around.start..middle, middle..around.end),
        };
        if beside == *subtree {
            return Ok(read_hash(sibling));
        }
        around = below;
    }
    Ok(None)
}

/// Returns the hash of the lines from `start` to `end`, as far as they are there.
fn range_root(leaves: &[Hash], start: u64, end: u64) -> Hash {
    match split(start, end) {
        Some(middle) => {
            node_hash(&range_root(leaves, start, middle), &range_root(leaves, middle, end))
        }
        None => usize::try_from(start)
            .ok()
            .and_then(|start| leaves.get(start))
            .copied()
            .unwrap_or_else(empty_root),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_of_lines_is_that_of_the_definition_and_a_gap_is_named() {
        let mut peaks = Peaks::default();
        let mut leaves = Vec::new();
        assert_eq!(peaks.root(), empty_root());
        for number in 0..33 {
            let line = format!("{{\"entry\":{number},\"what\":\"mute\"}}");
            leaves.push(leaf_hash(line.as_bytes()));
            peaks.add(&line).unwrap();
            assert_eq!(peaks.root(), range_root(&leaves, 0, peaks.size()), "{number}");
        }
        let Err(End::Refused(why)) = peaks.add("{\"entry\":34,\"what\":\"mute\"}") else {
            panic!("a gap was accepted")
        };
        assert!(why.contains("entry 33 is missing"), "{why}");
    }
}
