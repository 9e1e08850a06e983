//! The tree of an audit log, computed from its lines.

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

/// Finds an entry whose line is not the one that the gateway has appended, by the hashes that the
/// gateway has stored: in O(log n) questions. `None` if these are the lines' own.
pub(super) async fn changed_entry(data: &Path, size: u64) -> Result<Option<u64>, End> {
    let mut lines = LineStream::follow(data, "/api/v1/audit/export").await?;
    let mut leaves = Vec::new();
    while let Some(line) = lines.next().await? {
        leaves.push(leaf_hash(line.as_bytes()));
    }
    let (mut start, mut end, mut found) = (0, size, false);
    'narrower: while start < end {
        let path = format!("/api/v1/audit/{start}/proof?size={size}");
        let view: AuditProofView = read(&ask(data, Method::GET, &path, None).await?)?;
        let (mut from, mut to) = (0, size);
        for sibling in view.proof.iter().rev() {
            let Some(middle) = split(from, to) else { break };
            if start >= middle {
                from = middle;
                continue;
            }
            // To the right of what is looked at nothing is of interest.
            if middle < end && read_hash(sibling) != Some(range_root(&leaves, middle, to)) {
                (start, end, found) = (middle, to, true);
                continue 'narrower;
            }
            to = middle;
        }
        let leaf = usize::try_from(start).ok().and_then(|start| leaves.get(start));
        return Ok((found || leaf.copied() != read_hash(&view.leaf)).then_some(start));
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
