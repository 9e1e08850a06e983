//! The conformance suite for the store in memory, and for held decisions on top of it.

use handfast_store::MemoryStore;

handfast_store::conformance_tests!((MemoryStore::new(), ()));

mod held {
    use std::sync::Arc;

    use handfast_store::{HeldStore, MemoryStore};

    handfast_store::conformance_tests!((HeldStore::new(Arc::new(MemoryStore::new())), ()));
}
