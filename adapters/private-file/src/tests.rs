use std::fs::Permissions;
use std::mem::forget;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

fn holding(content: &[u8], mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    std::fs::write(&path, content).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    (directory, path)
}

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

#[test]
fn a_group_may_read_where_that_is_an_access_list_and_others_where_the_file_is_mounted() {
    for (options, fine, refused) in [
        (Options::PRIVATE, &[0o600, 0o400, 0o700][..], &[0o640, 0o604, 0o620, 0o610, 0o601][..]),
        (Options::PRIVATE.readable_by_group(), &[0o440, 0o640], &[0o444, 0o460, 0o450]),
        (Options::PRIVATE.mounted(), &[0o444, 0o644, 0o755], &[0o664, 0o646, 0o622]),
    ] {
        for (modes, expected) in [(fine, true), (refused, false)] {
            for mode in modes {
                let (_directory, path) = holding(b"1", *mode);
                let read = options.read(&path, 9);
                assert_eq!(read.is_ok(), expected, "{mode:o}: {read:?}");
            }
        }
    }
}

#[test]
fn only_a_mounted_file_may_be_a_link() {
    let (directory, path) = holding(b"1", 0o444);
    let link = directory.path().join("link");
    symlink(&path, &link).unwrap();
    let group = Options::PRIVATE.readable_by_group();
    assert_eq!(group.read(&link, 9).unwrap_err().kind(), Kind::Link);
    assert_eq!(Options::PRIVATE.mounted().read(&link, 9).unwrap().unwrap(), b"1");
}

#[test]
fn a_file_that_others_may_read_is_replaced_by_a_private_one_only_where_this_is_wanted() {
    let (_directory, path) = holding(b"old", 0o644);
    assert_eq!(replace(&path, b"new").unwrap_err().kind(), Kind::TooOpen);
    Options::PRIVATE.replacing_open_files().replace(&path, b"new").unwrap();
    assert_eq!((mode(&path), read(&path, 9).unwrap().unwrap()), (0o600, b"new".to_vec()));
}

#[test]
fn a_power_cut_before_any_step_leaves_the_old_or_the_new_whole() {
    let options = Options::PRIVATE.as_only_writer();
    for step in 0..3 {
        let (directory, path) = holding(b"old", 0o600);
        let mut beside = Beside::with(&path, &options).unwrap();
        if step > 0 {
            beside.write(b"new").unwrap();
        }
        if step > 1 {
            beside.replace().unwrap();
        }
        forget(beside);
        let expected: &[u8] = if step > 1 { b"new" } else { b"old" };
        assert_eq!(read(&path, 9).unwrap().unwrap(), expected, "after step {step}");
        // Remains of an interrupted write must not prevent the next one.
        options.replace(&path, b"next").unwrap();
        assert_eq!(read(&path, 9).unwrap().unwrap(), b"next");
        assert_eq!(names(directory.path()), ["a"]);
    }
}

#[test]
fn space_is_reserved_before_the_content_is_known_and_content_that_lost_its_name_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a");
    let mut beside = Beside::new(&path).unwrap();
    beside.reserve(4096).unwrap();
    beside.write(b"content").unwrap();
    replace(&path, b"another's").unwrap();
    assert_eq!(beside.create().unwrap_err().kind(), Kind::Exists);
    let kept = beside.keep().unwrap();
    assert_eq!(read(&kept, 9).unwrap().unwrap(), b"content");
    assert_eq!(read(&path, 9).unwrap().unwrap(), b"another's");
}

#[test]
fn a_directory_that_others_may_use_is_refused_with_the_command_that_mends_it() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a/b");
    assert!(!check_directory(&path, Others::Nothing).unwrap());
    create_directory(&path).unwrap();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o700, 0o700));
    for (bits, others, fine) in [
        (0o700, Others::Nothing, true),
        (0o755, Others::Nothing, false),
        (0o755, Others::List, true),
        (0o775, Others::List, false),
        (0o702, Others::List, false),
    ] {
        std::fs::set_permissions(&path, Permissions::from_mode(bits)).unwrap();
        match check_directory(&path, others) {
            Ok(found) => assert!(found && fine, "{bits:o}"),
            Err(error) => {
                assert!(!fine && error.kind() == Kind::TooOpen, "{bits:o}: {error}");
                assert!(error.to_string().ends_with(&format!("chmod 700 {}", path.display())));
            }
        }
    }
    let (_directory, file) = holding(b"", 0o600);
    assert_eq!(check_directory(&file, Others::List).unwrap_err().kind(), Kind::Irregular);
}

#[test]
fn a_file_is_renamed_with_its_time_and_removed_and_a_missing_one_is_no_error() {
    let (directory, path) = holding(b"1", 0o600);
    let (to, at) = (directory.path().join("b"), SystemTime::UNIX_EPOCH + Duration::from_secs(7));
    assert!(rename(&path, &to, Some(at)).unwrap() && !rename(&path, &to, Some(at)).unwrap());
    assert_eq!(std::fs::metadata(&to).unwrap().modified().unwrap(), at);
    symlink(&to, &path).unwrap();
    assert_eq!(rename(&path, &to, Some(at)).unwrap_err().kind(), Kind::Link);
    assert!(remove(&path).unwrap() && !remove(&path).unwrap());
    assert!(remove(&to).unwrap() && names(directory.path()).is_empty());
}

#[test]
fn root_leaves_its_files_to_the_owner_of_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    // Only root can give a directory away; for others the test has nothing to show.
    if std::os::unix::fs::chown(directory.path(), Some(12345), Some(12346)).is_err() {
        return;
    }
    let options = Options::PRIVATE.for_directory_owner();
    let (path, lock) = (directory.path().join("a"), directory.path().join("lock"));
    options.replace(&path, b"1").unwrap();
    options.lock(&lock, Duration::ZERO).unwrap().unwrap();
    for path in [path, lock] {
        let about = std::fs::metadata(path).unwrap();
        assert_eq!((about.uid(), about.gid(), about.mode() & 0o777), (12345, 12346, 0o600));
    }
}

#[test]
fn a_lock_that_is_released_in_time_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lock");
    let held = lock(&path).unwrap().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| Options::PRIVATE.lock(&path, Duration::from_secs(60)));
        std::thread::sleep(Duration::from_millis(20));
        drop(held);
        assert!(waiting.join().unwrap().unwrap().is_some());
    });
}

#[test]
fn a_copy_of_a_reader_is_private_and_whole_whether_or_not_it_is_flushed() {
    let directory = tempfile::tempdir().unwrap();
    for (name, options) in [("a", Options::PRIVATE), ("b", Options::PRIVATE.without_flush())] {
        let path = directory.path().join(name);
        let mut copy = Beside::with(&path, &options).unwrap();
        copy.write_from(&mut &[7; 100_000][..]).unwrap();
        assert!(!path.exists(), "it has no name before it is whole");
        copy.create().unwrap();
        drop(copy);
        assert_eq!((read(&path, 200_000).unwrap().unwrap().len(), mode(&path)), (100_000, 0o600));
    }
    assert_eq!(names(directory.path()), ["a", "b"]);
}

#[test]
fn the_advice_about_a_file_that_others_may_use_is_a_command_whatever_the_path_is() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("it's the hall's");
    std::fs::create_dir(&place).unwrap();
    let path = place.join("key $HOME");
    std::fs::write(&path, "secret").unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let error = read(&path, 64).unwrap_err().to_string();
    let (_, command) = error.split_once("with: ").unwrap();
    let done = std::process::Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(done.success(), "{command}");
    assert_eq!(read(&path, 64).unwrap().unwrap(), b"secret");
}
