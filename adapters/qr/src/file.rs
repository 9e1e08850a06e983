//! QR codes as image files. The code is a secret, so only the file's owner may read it.

use std::path::{Path, PathBuf};

use handfast_private_file::{self as private_file, Options};

use super::{NoQrCode, SCALE, image};

/// The reason for which no image file was written.
#[derive(Debug, thiserror::Error)]
pub enum ImageNotWritten {
    /// The extension is neither `png` nor `svg`.
    #[error(
        "{path}: what kind of image this is to be is not known; give it a name that ends in .png or .svg"
    )]
    Extension {
        /// Path of the file.
        path: PathBuf,
    },
    /// The text does not fit a QR code.
    #[error(transparent)]
    NoQrCode(#[from] NoQrCode),
    /// The file cannot be written.
    #[error("{0}")]
    File(#[from] private_file::Error),
}

/// Writes a text as a PNG or SVG image with mode 0600. The extension selects the format, in upper
/// or lower case. An existing regular file is replaced atomically, and stays unchanged after an
/// error. Blocks.
///
/// # Errors
/// [`ImageNotWritten`] with the cause.
pub fn write_file(path: &Path, text: &str) -> Result<(), ImageNotWritten> {
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    let image = match ending.as_deref() {
        Some("png") => image::png(text, SCALE)?,
        Some("svg") => image::svg(text)?.into_bytes(),
        _ => return Err(ImageNotWritten::Extension { path: path.to_owned() }),
    };
    // An image that others may read is no secret any more, so a private one takes its place.
    Ok(Options::PRIVATE.replacing_open_files().replace(path, &image)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use handfast_private_file::Kind;
    use std::fs::{self, Permissions};
    use std::io;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::sync::atomic::{AtomicBool, Ordering};

    const TEXT: &str = "a-code-that-is-a-secret";

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_ending_of_the_name_tells_the_kind_of_image_and_only_its_owner_reads_it() {
        let home = tempfile::tempdir().unwrap();
        for name in ["a.png", "b.PNG", "c.svg", "d.x.Svg"] {
            let path = home.path().join(name);
            write_file(&path, TEXT).unwrap();
            let expected = match name.to_ascii_lowercase().ends_with("png") {
                true => image::png(TEXT, SCALE).unwrap(),
                false => image::svg(TEXT).unwrap().into_bytes(),
            };
            assert!(fs::read(&path).unwrap() == expected, "{name}");
            assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600, "{name}");
        }
        assert_eq!(names(home.path()), ["a.png", "b.PNG", "c.svg", "d.x.Svg"]);
    }

    #[test]
    fn another_ending_is_refused_before_anything_is_written() {
        let home = tempfile::tempdir().unwrap();
        for name in ["code", "code.jpg", "code.png.txt", ".png", "png", "code.", ".."] {
            let error = write_file(&home.path().join(name), TEXT).unwrap_err();
            assert!(matches!(error, ImageNotWritten::Extension { .. }), "{name}: {error}");
            assert!(
                error.to_string().contains(".png or .svg") && error.to_string().contains(name),
                "{error}"
            );
        }
        assert!(names(home.path()).is_empty());
    }

    #[test]
    fn a_file_that_others_could_read_is_replaced_by_one_that_they_cannot() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("code.svg");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        // A process that has the old file open keeps the old content.
        let (mut open, old) = (fs::File::open(&path).unwrap(), path.metadata().unwrap().ino());
        write_file(&path, TEXT).unwrap();
        let new = path.metadata().unwrap();
        assert_eq!(new.mode() & 0o7777, 0o600);
        assert_ne!(new.ino(), old);
        assert_eq!(io::read_to_string(&mut open).unwrap(), "old");
    }

    #[test]
    fn a_link_is_not_followed_and_what_is_no_file_is_not_replaced() {
        let home = tempfile::tempdir().unwrap();
        let (target, at) = (home.path().join("target"), |name: &str| home.path().join(name));
        fs::write(&target, "mine").unwrap();
        symlink(&target, at("link.png")).unwrap();
        symlink(at("nowhere"), at("dangling.svg")).unwrap();
        fs::create_dir(at("directory.png")).unwrap();
        for name in ["link.png", "dangling.svg"] {
            let error = write_file(&at(name), TEXT).unwrap_err();
            assert!(
                matches!(&error, ImageNotWritten::File(e) if e.kind() == Kind::Link)
                    && error.to_string().contains(name),
                "{error}"
            );
        }
        assert!(matches!(
            write_file(&at("directory.png"), TEXT),
            Err(ImageNotWritten::File(e)) if e.kind() == Kind::Irregular
        ));
        assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
        assert_eq!(names(home.path()), ["dangling.svg", "directory.png", "link.png", "target"]);
    }

    #[test]
    fn a_failure_changes_nothing_and_leaves_nothing_behind() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("code.png");
        fs::write(&path, "old").unwrap();
        let error = write_file(&path, &"x".repeat(3000)).unwrap_err();
        assert!(matches!(error, ImageNotWritten::NoQrCode(NoQrCode::TooLong)), "{error}");
        assert_eq!(
            (fs::read_to_string(&path).unwrap().as_str(), names(home.path())),
            ("old", vec!["code.png".to_owned()])
        );
        let error = write_file(&home.path().join("missing/code.png"), TEXT).unwrap_err();
        assert!(
            matches!(error, ImageNotWritten::File(_))
                && error.to_string().contains("missing/code.png"),
            "{error}"
        );
        assert!(!error.to_string().contains(TEXT));
    }

    #[test]
    fn whoever_looks_while_it_is_replaced_sees_all_of_one_image() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("code.svg");
        let texts = ["a".to_owned(), "b".repeat(2000)];
        let images = [0, 1].map(|at| image::svg(&texts[at]).unwrap());
        write_file(&path, &texts[0]).unwrap();
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let looked = scope.spawn(|| {
                let mut seen = fs::read_to_string(&path).unwrap();
                while !ended.load(Ordering::Relaxed) {
                    assert!(images.contains(&seen));
                    seen = fs::read_to_string(&path).unwrap();
                }
                seen
            });
            (0..20).for_each(|turn| write_file(&path, &texts[turn % 2]).unwrap());
            ended.store(true, Ordering::Relaxed);
            assert!(images.contains(&looked.join().unwrap()));
        });
    }
}
