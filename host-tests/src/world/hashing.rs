//! The real hash, computed once for every pair of node and token: worlds repeat ids and tokens, so
//! thousands of runs share a few hundred hashes.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use handfast_core::NodeId;
use handfast_core::grant::token::{HashJob, Hashed, TokenHash};
use handfast_core::wire::token::Token;

type Hashes = HashMap<(NodeId, String), [u8; 32]>;

static KNOWN: LazyLock<Mutex<Hashes>> = LazyLock::new(Mutex::default);

/// Does a job, or returns its cached result.
#[must_use]
pub fn run(job: HashJob) -> Hashed {
    let key = (job.node_id, job.token.expose().to_owned());
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let remembered = known().get(&key).copied();
    match remembered {
        Some(hash) => Hashed { token: job.token, hash: TokenHash::from_bytes(hash) },
        None => {
            let hashed = job.run();
            known().insert(key, *hashed.hash.as_bytes());
            hashed
        }
    }
}

/// Returns the hash of a token's text.
///
/// # Panics
/// If the text is not a token.
#[must_use]
pub fn hash(node_id: NodeId, token: &str) -> TokenHash {
    run(HashJob { node_id, token: Token::parse(token).expect("a token") }).hash
}
