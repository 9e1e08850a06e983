use std::os::unix::fs::symlink;

use super::*;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_has_its_old_content_or_its_new_one_and_leaves_nothing_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    assert_eq!(read(&path, 9).unwrap(), None);
    for content in ["one", "another"] {
        replace(&path, content.as_bytes()).unwrap();
        assert_eq!(read(&path, 9).unwrap().unwrap(), content.as_bytes());
        assert_eq!(mode(&path), 0o600);
    }
    assert_eq!(create_new(&path, b"third").unwrap_err().kind(), Kind::Exists);
    assert_eq!(read(&path, 9).unwrap().unwrap(), b"another");
    drop(Beside::new(&path).unwrap());
    assert_eq!(names(directory.path()), ["a"]);
    create_new(&directory.path().join("b"), b"").unwrap();
    assert_eq!(names(directory.path()), ["a", "b"]);
}

#[test]
fn a_link_is_named_with_its_target_and_neither_read_nor_replaced_nor_locked() {
    let directory = tempfile::tempdir().unwrap();
    let (path, target) = (directory.path().join("link"), directory.path().join("target"));
    replace(&target, b"content").unwrap();
    symlink(&target, &path).unwrap();
    for error in
        [read(&path, 9).unwrap_err(), replace(&path, b"").unwrap_err(), lock(&path).unwrap_err()]
    {
        assert_eq!(error.kind(), Kind::Link);
        assert!(error.to_string().contains(&target.display().to_string()), "{error}");
    }
    assert_eq!(read(&target, 9).unwrap().unwrap(), b"content");
}

#[test]
fn what_others_may_read_what_is_too_long_and_what_is_no_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    replace(&path, b"123").unwrap();
    assert_eq!(read(&path, 2).unwrap_err().kind(), Kind::Content);
    std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let error = read(&path, 9).unwrap_err();
    assert!(error.kind() == Kind::TooOpen && error.to_string().contains("chmod 600"), "{error}");
    assert_eq!(read(directory.path(), 9).unwrap_err().kind(), Kind::Irregular);
}

#[test]
fn one_at_a_time_has_the_lock_and_it_ends_with_its_holder() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lock");
    let held = lock(&path).unwrap().unwrap();
    assert!(lock(&path).unwrap().is_none());
    drop(held);
    assert!(lock(&path).unwrap().is_some());
}
