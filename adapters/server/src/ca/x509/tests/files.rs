//! The files of the authority.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

/// Names the directory for a test that runs in a process of its own.
const FOR_CHILD: &str = "HANDFAST_TEST_CA_DIRECTORY";

fn settings(path: &Path) -> CertificateSettings {
    CertificateSettings { directory: Some(path.to_owned()), ..CertificateSettings::default() }
}

fn open(path: &Path) -> Result<Authority, AuthorityError> {
    Authority::open(settings(path), &store_key(), NOW)
}

fn directory() -> (tempfile::TempDir, PathBuf) {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join(DIRECTORY);
    (outer, path)
}

#[test]
fn the_authority_is_the_same_after_a_restart_and_only_its_owner_reads_its_files() {
    let (_outer, path) = directory();
    let first = open(&path).unwrap();
    let issued = issue(&first, NOW);
    let again = open(&path).unwrap();
    assert_eq!(again.fingerprint(), first.fingerprint());
    assert_eq!(accepts(&again, &issued.certificate, NOW), Ok(()));
    // What the second one signs, the first one accepts: they have the same key.
    assert_eq!(accepts(&first, &issue(&again, NOW).certificate, NOW), Ok(()));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    let files: Vec<_> =
        std::fs::read_dir(&path).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    assert!(files.iter().all(|file| mode(file) == 0o600));
    let published = std::fs::read_to_string(path.join(CERTIFICATES_FILE)).unwrap();
    assert_eq!(published, first.certificates_pem());
}

#[test]
fn the_files_hold_no_key_in_clear() {
    let (_outer, path) = directory();
    let authority = open(&path).unwrap();
    let secret = authority.trust().oldest(NOW).number();
    for file in std::fs::read_dir(&path).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(8).any(|part| secret.windows(8).any(|key| key == part)));
    }
    assert!(!format!("{authority:?}").contains(&format!("{:?}", &secret[..4])));
}

#[test]
fn an_authority_opens_with_its_own_store_key_alone_and_is_not_changed_by_another() {
    let (_outer, path) = directory();
    open(&path).unwrap();
    let sealed = path.join("authority");
    let before = std::fs::read(&sealed).unwrap();
    let refused = Authority::open(settings(&path), &Secret::new([8; 32]), NOW).unwrap_err();
    assert!(matches!(refused, AuthorityError::NotOpened(_)));
    assert!(refused.to_string().contains("restore the store.key"), "{refused}");
    assert_eq!(std::fs::read(&sealed).unwrap(), before);
    for at in (0..before.len()).step_by(7) {
        let mut changed = before.clone();
        changed[at] ^= 1;
        std::fs::write(&sealed, &changed).unwrap();
        assert!(matches!(open(&path), Err(AuthorityError::NotOpened(_))), "byte {at}");
    }
    std::fs::write(&sealed, &before).unwrap();
    open(&path).unwrap();
}

#[test]
fn a_directory_or_file_that_others_may_use_is_refused_and_said_how_to_mend() {
    let (_outer, path) = directory();
    open(&path).unwrap();
    let set = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    set(&path, 0o750);
    let refused = open(&path).unwrap_err().to_string();
    assert!(refused.contains("chmod 700"), "{refused}");
    set(&path, 0o700);
    set(&path.join("authority"), 0o640);
    let refused = open(&path).unwrap_err().to_string();
    assert!(refused.contains("chmod 600"), "{refused}");
}

#[test]
fn two_handles_that_rotate_at_once_lose_no_root() {
    let (_outer, path) = directory();
    let handles = [open(&path).unwrap(), open(&path).unwrap()];
    let leaf = issue(&handles[0], NOW);
    std::thread::scope(|scope| {
        for handle in &handles {
            scope.spawn(|| handle.rotate(Overlap::UntilLeavesEnd, NOW).unwrap());
        }
    });
    for handle in &handles {
        handle.tend(NOW).unwrap();
        assert_eq!(handle.certificates().len(), 3);
        assert_eq!(accepts(handle, &leaf.certificate, NOW), Ok(()));
    }
    assert_eq!(handles[0].certificates(), handles[1].certificates());
    assert_eq!(open(&path).unwrap().certificates(), handles[0].certificates());
}

#[test]
fn processes_that_start_on_one_directory_at_once_have_one_authority() {
    let (_outer, path) = directory();
    let name = "ca::x509::tests::files::a_process_of_its_own_opens_the_directory";
    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--ignored", "--nocapture"])
            .env(FOR_CHILD, &path)
            .output()
            .unwrap()
    };
    let outputs = std::thread::scope(|scope| {
        let started: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
        started.into_iter().map(|each| each.join().unwrap()).collect::<Vec<_>>()
    });
    let print = open(&path).unwrap().fingerprint();
    for output in outputs {
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains(&print), "{said}");
    }
}

#[test]
#[ignore = "runs as a process of another test"]
fn a_process_of_its_own_opens_the_directory() {
    let Some(path) = std::env::var_os(FOR_CHILD) else { return };
    println!("{}", open(Path::new(&path)).unwrap().fingerprint());
}

#[test]
fn a_handle_takes_over_what_another_process_has_rotated() {
    let (_outer, path) = directory();
    let (running, other) = (open(&path).unwrap(), open(&path).unwrap());
    assert!(!running.tend(NOW).unwrap());
    other.rotate(Overlap::UntilLeavesEnd, NOW).unwrap();
    let newer = issue(&other, NOW);
    assert!(accepts(&running, &newer.certificate, NOW).is_err());
    assert!(running.tend(NOW).unwrap());
    assert_eq!(accepts(&running, &newer.certificate, NOW), Ok(()));
}

#[test]
fn a_longer_life_of_earlier_certificates_keeps_their_root_for_as_long() {
    let (_outer, path) = directory();
    let week = CertificateSettings { node_life: Span::from_secs(7 * 86_400), ..settings(&path) };
    let leaf = issue(&Authority::open(week, &store_key(), NOW).unwrap(), NOW);
    let authority = open(&path).unwrap();
    authority.rotate(Overlap::UntilLeavesEnd, later(60)).unwrap();
    authority.tend(later(6 * 86_400)).unwrap();
    assert_eq!(accepts(&authority, &leaf.certificate, later(6 * 86_400)), Ok(()));
    authority.tend(later(8 * 86_400)).unwrap();
    assert_eq!(authority.certificates().len(), 1);
}
