//! Cache of tokens that this process has verified: recognising one takes microseconds, hashing it
//! again some 15 ms.

use std::collections::HashMap;
use std::sync::Mutex;

use handfast_core::NodeId;
use handfast_core::grant::token::{ProofKey, ProofTag};

use crate::entropy;

/// Maximum number of nodes in the cache; tokens of others are hashed again.
const MOST_NODES: usize = 200_000;

/// Tags of verified tokens by node, and the key of the tags, which never leaves this process.
#[derive(Debug)]
pub(crate) struct Proven {
    pub(crate) key: ProofKey,
    tags: Mutex<HashMap<NodeId, ProofTag>>,
}

impl Proven {
    pub(crate) fn new() -> Self {
        Self { key: ProofKey::new(&entropy::draw()), tags: Mutex::default() }
    }

    pub(crate) fn of(&self, node_id: NodeId) -> Option<ProofTag> {
        self.tags
            .lock()
            .expect("no thread panics while it holds the tags")
            .get(&node_id)
            .map(ProofTag::copy)
    }

    pub(crate) fn remember(&self, node_id: NodeId, tag: ProofTag) {
        let mut tags = self.tags.lock().expect("no thread panics while it holds the tags");
        if tags.len() >= MOST_NODES && !tags.contains_key(&node_id) {
            // Any entry may go: its node's next token is hashed again, no more.
            let any = tags.keys().next().copied();
            if let Some(any) = any {
                tags.remove(&any);
            }
        }
        tags.insert(node_id, tag);
    }

    /// Forgets all tokens; they are hashed again.
    pub(crate) fn clear(&self) {
        self.tags.lock().expect("no thread panics while it holds the tags").clear();
    }

    pub(crate) fn forget(&self, node_id: NodeId) {
        self.tags.lock().expect("no thread panics while it holds the tags").remove(&node_id);
    }
}
