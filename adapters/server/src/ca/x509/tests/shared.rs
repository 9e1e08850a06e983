//! The authority of several gateways that share a registry.

use std::path::Path;

use handfast_store::{AUTHORITY, MemoryStore, Store};
use tokio::runtime::Runtime;

use super::*;

/// A registry, with the runtime that its gateways wait on.
struct Registry {
    store: Arc<dyn Store>,
    runtime: Runtime,
}

impl Registry {
    fn new() -> Self {
        Self { store: Arc::new(MemoryStore::default()), runtime: Runtime::new().unwrap() }
    }

    /// Opens the authority, as a gateway with this directory does.
    fn open(&self, directory: Option<&Path>, key: u8) -> Result<Authority, AuthorityError> {
        let directory = directory.map(Path::to_owned);
        let settings = CertificateSettings { directory, ..CertificateSettings::default() };
        let (store, runtime) = (Arc::clone(&self.store), self.runtime.handle().clone());
        Authority::open_shared(settings, &Secret::new([key; 32]), store, runtime, NOW)
    }

    fn sealed(&self) -> Vec<u8> {
        self.runtime.block_on(self.store.vault(AUTHORITY, Vec::new())).unwrap()
    }
}

#[test]
fn gateways_that_open_one_registry_at_once_have_one_authority() {
    let registry = Registry::new();
    let opened = std::thread::scope(|scope| {
        let opening: Vec<_> =
            (0..8).map(|_| scope.spawn(|| registry.open(None, 9).unwrap())).collect();
        opening.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    let leaf = issue(&opened[0], NOW);
    for authority in &opened {
        assert_eq!(authority.fingerprint(), opened[0].fingerprint());
        assert_eq!(accepts(authority, &leaf.certificate, NOW), Ok(()));
    }
}

#[test]
fn a_gateway_takes_over_the_root_that_another_one_has_made() {
    let registry = Registry::new();
    let [one, other] = [(); 2].map(|()| registry.open(None, 9).unwrap());
    one.rotate(Overlap::UntilLeavesEnd, NOW).unwrap();
    let newer = issue(&one, NOW);
    assert!(accepts(&other, &newer.certificate, NOW).is_err());
    assert!(other.read_again().unwrap());
    assert!(!other.read_again().unwrap(), "nothing has changed since");
    assert_eq!(accepts(&other, &newer.certificate, NOW), Ok(()));
    assert_eq!(other.certificates(), one.certificates());
    one.rotate(Overlap::None, NOW).unwrap();
    assert!(other.tend(NOW).unwrap());
    assert!(accepts(&other, &newer.certificate, NOW).is_err());
}

#[test]
fn gateways_that_rotate_at_once_lose_no_root_and_a_due_one_is_made_once() {
    let registry = Registry::new();
    let gateways = [(); 2].map(|()| registry.open(None, 9).unwrap());
    std::thread::scope(|scope| {
        for gateway in &gateways {
            scope.spawn(|| gateway.rotate(Overlap::UntilLeavesEnd, NOW).unwrap());
        }
    });
    for gateway in &gateways {
        gateway.read_again().unwrap();
        assert_eq!(gateway.certificates().len(), 3);
    }
    let due = NOW.after(Span::from_secs(7 * 365 * 86_400));
    std::thread::scope(|scope| {
        for gateway in &gateways {
            scope.spawn(|| gateway.tend(due).unwrap());
        }
    });
    for gateway in &gateways {
        gateway.read_again().unwrap();
    }
    assert_eq!(gateways[0].certificates(), gateways[1].certificates());
    assert_eq!(gateways[0].certificates().len(), 2, "the last root of before, and one new");
}

#[test]
fn what_a_gateway_publishes_is_in_its_own_directory_and_the_roots_are_not() {
    let (registry, outer) = (Registry::new(), tempfile::tempdir().unwrap());
    let directory = outer.path().join(DIRECTORY);
    let authority = registry.open(Some(&directory), 9).unwrap();
    let published = || std::fs::read_to_string(directory.join(CERTIFICATES_FILE)).unwrap();
    assert_eq!(published(), authority.certificates_pem());
    assert!(!directory.join("authority").exists());
    registry.open(None, 9).unwrap().rotate(Overlap::UntilLeavesEnd, NOW).unwrap();
    authority.read_again().unwrap();
    assert_eq!(published().matches("BEGIN").count(), 2);
    assert!(published().contains(&registry.open(None, 9).unwrap().certificates_pem()[..400]));
}

#[test]
fn the_roots_in_a_registry_open_with_its_store_key_alone_and_have_no_key_in_clear() {
    let registry = Registry::new();
    let secret = registry.open(None, 9).unwrap().trust().oldest(NOW).number();
    let sealed = registry.sealed();
    assert!(!sealed.windows(8).any(|part| secret.windows(8).any(|key| key == part)));
    let refused = registry.open(None, 8).unwrap_err();
    assert!(matches!(refused, AuthorityError::Altered), "{refused}");
    assert_eq!(registry.sealed(), sealed, "nothing was changed");
}
