//! The suite, for the registry in memory.

use handfast_store::MemoryStore;

handfast_store::conformance_tests!((MemoryStore::new(), ()));
