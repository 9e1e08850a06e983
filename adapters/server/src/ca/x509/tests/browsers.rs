//! The certificate that browsers are shown.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

const DAY: u64 = 86_400;

fn open(path: &Path) -> Arc<Authority> {
    let settings =
        CertificateSettings { directory: Some(path.to_owned()), ..CertificateSettings::default() };
    Arc::new(Authority::open(settings, &store_key(), NOW).unwrap())
}

fn shown(authority: &Arc<Authority>, names: &[&str]) -> ServerCertificate {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    ServerCertificate::for_browsers(Arc::clone(authority), names, || NOW).unwrap()
}

#[test]
fn a_browser_that_was_told_once_meets_the_same_certificate_after_a_restart() {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join(DIRECTORY);
    let first = shown(&open(&path), &["10.0.0.1", "pi.local"]);
    let again = shown(&open(&path), &["10.0.0.1", "pi.local"]);
    assert_eq!(again.fingerprint(), first.fingerprint());
    let roots = open(&path).certificates();
    for name in ["10.0.0.1", "pi.local"] {
        assert_eq!(node_accepts(&roots, &again.pair().cert[0], name, NOW), Ok(()));
    }
    assert!(node_accepts(&roots, &again.pair().cert[0], "10.0.0.2", NOW).is_err());
    // Under a new address the old one would be refused, so there is another one, which is kept.
    let moved = shown(&open(&path), &["10.0.0.2"]);
    assert_ne!(moved.fingerprint(), first.fingerprint());
    assert_eq!(shown(&open(&path), &["10.0.0.2"]).fingerprint(), moved.fingerprint());
    assert_eq!(node_accepts(&roots, &moved.pair().cert[0], "10.0.0.2", NOW), Ok(()));
}

#[test]
fn the_kept_certificate_is_sealed_and_one_that_does_not_open_is_made_anew() {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join(DIRECTORY);
    let first = shown(&open(&path), &["localhost"]);
    let file = path.join("listener");
    let sealed = std::fs::read(&file).unwrap();
    let leaf = &first.pair().cert[0].to_vec()[..];
    assert!(!sealed.windows(32).any(|part| part == &leaf[..32]));
    let mut broken = sealed.clone();
    *broken.last_mut().unwrap() ^= 1;
    // Another authority's sealed file does not open here either: each kind is sealed for itself.
    for other in [broken, std::fs::read(path.join("authority")).unwrap(), Vec::new()] {
        std::fs::write(&file, other).unwrap();
        assert_ne!(shown(&open(&path), &["localhost"]).fingerprint(), first.fingerprint());
    }
}

#[test]
fn it_lives_as_long_as_browsers_accept_and_is_renewed_after_two_thirds_or_with_its_root() {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join(DIRECTORY);
    let authority = open(&path);
    let time = Arc::new(AtomicU64::new(NOW.as_secs()));
    let clock = Arc::clone(&time);
    let clock = move || UnixTime::from_secs(clock.load(Ordering::Relaxed));
    let names = vec!["localhost".to_owned()];
    let certificate =
        ServerCertificate::for_browsers(Arc::clone(&authority), names, clock).unwrap();
    let first = certificate.fingerprint();
    let leaf = certificate.pair().cert[0].clone();
    let roots = authority.certificates();
    assert_eq!(node_accepts(&roots, &leaf, "localhost", later(397 * DAY)), Ok(()));
    assert!(node_accepts(&roots, &leaf, "localhost", later(397 * DAY + 1)).is_err());

    time.store(later(264 * DAY).as_secs(), Ordering::Relaxed);
    assert_eq!(certificate.fingerprint(), first);
    time.store(later(265 * DAY).as_secs(), Ordering::Relaxed);
    let second = certificate.fingerprint();
    assert_ne!(second, first);
    let names = vec!["localhost".to_owned()];
    let again = ServerCertificate::for_browsers(open(&path), names, || later(265 * DAY)).unwrap();
    assert_eq!(again.fingerprint(), second, "the renewed one is kept, too");

    authority.rotate(Overlap::None, later(266 * DAY)).unwrap();
    assert_ne!(certificate.fingerprint(), second, "its root is trusted no more");
    let leaf = &certificate.pair().cert[0];
    let (roots, now) = (authority.certificates(), later(266 * DAY));
    assert_eq!(node_accepts(&roots, leaf, "localhost", now), Ok(()));
    assert!(accepts(&authority, leaf, now).is_err(), "it is no node's");
}
