//! The suite, for the registry in memory, and for what holds decisions on top of it.

use handfast_store::MemoryStore;

handfast_store::conformance_tests!((MemoryStore::new(), ()));

mod held {
    use std::sync::Arc;

    use handfast_store::{HeldStore, MemoryStore};

    handfast_store::conformance_tests!((HeldStore::new(Arc::new(MemoryStore::new())), ()));
}
