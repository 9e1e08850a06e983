//! The conformance suite for the store in a file, and for the one in memory.

use handfast_store::SqliteStore;

fn fresh() -> (SqliteStore, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (SqliteStore::open(&directory.path().join("handfast.db")).unwrap(), directory)
}

handfast_store::conformance_tests!(fresh());

mod in_memory {
    use handfast_store::SqliteStore;

    handfast_store::conformance_tests!((SqliteStore::in_memory().unwrap(), ()));
}
