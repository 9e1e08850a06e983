//! Reading of the token: from a file that only its owner can read, or from standard input. Never
//! from the command line or the environment, which other users of the machine can see.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use handfast_core::wire::token::{TOKEN_CHARS, Token};
use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// Default path of the token file.
pub const DEFAULT_PATH: &str = "/etc/handfast/token";

/// Maximum size in bytes: a token and any white space around it. A longer file is not a token file.
const MOST_BYTES: u64 = 1024;

/// The reason for which no token could be read. Never contains any of the read text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file does not exist.
    #[error(
        "the token file {path} does not exist. When the operator has approved this node and was shown its token, keep it with\n  \
         install -D -m 600 /dev/stdin {path}\n(as the user that runs the node; type the token, Enter, Ctrl-D)"
    )]
    Missing {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file is readable by others than its owner.
    #[error(
        "the token file {path} can be read by others (mode {mode:03o}); make it the owner's alone with\n  chmod 600 {path}"
    )]
    TooOpen {
        /// Path of the file.
        path: PathBuf,
        /// Its current permissions.
        mode: u32,
    },
    /// The path is a symbolic link, whose owner would decide which file is read.
    #[error("the token file {path} is a symbolic link; name the file itself with --token-file")]
    Link {
        /// Path of the link.
        path: PathBuf,
    },
    /// The path is a directory, pipe, socket or device.
    #[error(
        "the token file {path} is no regular file; name one that holds the token, or use --token-file - for standard input"
    )]
    Irregular {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file could not be read.
    #[error("the token file {path} cannot be read: {why}; run the node as the owner of that file")]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// The error of the system.
        why: io::Error,
    },
    /// The text is not a token.
    #[error(
        "{place} holds no token: {found}, where a token is exactly {TOKEN_CHARS} of the characters A-Z a-z 0-9 - _"
    )]
    NoToken {
        /// Path of the file, or "standard input".
        place: String,
        /// Description of the text, without any character of it.
        found: String,
    },
}

/// Reads the token from a file.
///
/// # Errors
/// [`TokenError`] if the file is missing, is not a regular file, is readable by others, or holds no
/// token.
pub fn read(path: &Path) -> Result<Token, TokenError> {
    read_with(path, std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).as_deref())
}

fn read_with(path: &Path, credentials: Option<&Path>) -> Result<Token, TokenError> {
    let here = || path.to_owned();
    // The checks use the opened file, so it cannot be exchanged between a check and the reading.
    // Opening does not follow a link, and does not wait for the other end of a pipe.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path)
        .map_err(|why| match (why.kind(), why.raw_os_error()) {
            (io::ErrorKind::NotFound, _) => TokenError::Missing { path: here() },
            (_, Some(code)) if code == rustix::io::Errno::LOOP.raw_os_error() => {
                TokenError::Link { path: here() }
            }
            (_, Some(code)) if code == rustix::io::Errno::NXIO.raw_os_error() => {
                TokenError::Irregular { path: here() }
            }
            _ => TokenError::Unreadable { path: here(), why },
        })?;
    let about = file.metadata().map_err(|why| TokenError::Unreadable { path: here(), why })?;
    if !about.is_file() {
        return Err(TokenError::Irregular { path: here() });
    }
    let mode = about.mode() & 0o777;
    if mode & others(path, credentials) != 0 {
        return Err(TokenError::TooOpen { path: here(), mode });
    }
    parse(&file, path.display().to_string())
        .map_err(|e| e.unwrap_or_else(|why| TokenError::Unreadable { path: here(), why }))
}

/// Returns the permission bits that give others access. In systemd's credentials directory, which
/// only the service can enter, the group's read bit stands for an access list of the service's
/// user, so it is allowed there.
fn others(path: &Path, credentials: Option<&Path>) -> u32 {
    let parent = path.parent().and_then(|p| p.canonicalize().ok());
    let credentials = credentials.and_then(|p| p.canonicalize().ok());
    if parent.is_some() && parent == credentials { 0o037 } else { 0o077 }
}

/// Reads the token from standard input, up to its end.
///
/// # Errors
/// [`TokenError`] if the input is not a token.
pub fn read_stdin(input: impl Read) -> Result<Token, TokenError> {
    let place = || "standard input".to_owned();
    parse(input, place()).map_err(|e| {
        e.unwrap_or_else(|why| TokenError::NoToken {
            place: place(),
            found: format!("reading failed ({why})"),
        })
    })
}

/// Parses the input. The outer error is an invalid text; the inner one is a failed read.
fn parse(input: impl Read, place: String) -> Result<Token, Result<TokenError, io::Error>> {
    let mut text = Zeroizing::new(Vec::with_capacity(MOST_BYTES as usize + 1));
    input.take(MOST_BYTES + 1).read_to_end(&mut text).map_err(Err)?;
    let found = match std::str::from_utf8(&text).map(str::trim) {
        _ if text.len() as u64 > MOST_BYTES => "it is longer than any token".to_owned(),
        Err(_) => "it is not text".to_owned(),
        Ok("") => "it is empty".to_owned(),
        Ok(trimmed) => match Token::parse(trimmed) {
            Some(token) => return Ok(token),
            None if trimmed.chars().count() == TOKEN_CHARS => {
                "a character in it belongs to no token".to_owned()
            }
            None => format!("it is {} characters long", trimmed.chars().count()),
        },
    };
    Err(Ok(TokenError::NoToken { place, found }))
}

/// Returns `true` if anything exists at the path, for messages to the owner. It may still be
/// unusable as a token file.
#[must_use]
pub fn is_there(path: &Path) -> bool {
    File::open(path).is_ok() || path.symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    const TOKEN: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[test]
    fn a_token_with_white_space_around_it_is_read() {
        for content in [TOKEN.to_owned(), format!("{TOKEN}\n"), format!("  {TOKEN}\r\n\n")] {
            let (_dir, path) = file(content.as_bytes(), 0o600);
            assert_eq!(read_with(&path, None).unwrap().expose(), TOKEN);
            assert_eq!(read_stdin(content.as_bytes()).unwrap().expose(), TOKEN);
        }
    }

    #[test]
    fn a_file_that_group_or_others_can_touch_is_refused_with_the_command_that_mends_it() {
        for mode in [0o640, 0o604, 0o620, 0o610, 0o601, 0o644, 0o666, 0o777] {
            let (_dir, path) = file(TOKEN.as_bytes(), mode);
            let error = read_with(&path, None).unwrap_err().to_string();
            assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
        }
        for mode in [0o600, 0o400, 0o700] {
            let (_dir, path) = file(TOKEN.as_bytes(), mode);
            assert!(read_with(&path, None).is_ok(), "{mode:o}");
        }
    }

    #[test]
    fn a_systemd_credential_may_show_its_access_list_as_the_groups_read_bit() {
        let (dir, path) = file(TOKEN.as_bytes(), 0o440);
        assert!(matches!(read_with(&path, None), Err(TokenError::TooOpen { .. })));
        assert!(read_with(&path, Some(dir.path())).is_ok());
        fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
        assert!(matches!(read_with(&path, Some(dir.path())), Err(TokenError::TooOpen { .. })));
    }

    #[test]
    fn a_missing_file_says_how_to_make_it() {
        let dir = tempfile::tempdir().unwrap();
        let error = read_with(&dir.path().join("token"), None).unwrap_err().to_string();
        assert!(error.contains("install -D -m 600 /dev/stdin"), "{error}");
    }

    #[test]
    fn links_directories_and_pipes_are_no_token_files() {
        let (dir, path) = file(TOKEN.as_bytes(), 0o600);
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(read_with(&link, None), Err(TokenError::Link { .. })));
        assert!(matches!(read_with(dir.path(), None), Err(TokenError::Irregular { .. })));
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(matches!(read_with(&socket, None), Err(TokenError::Irregular { .. })));
        assert!(matches!(
            read_with(Path::new("/dev/null"), None),
            Err(TokenError::Irregular { .. })
        ));
    }

    #[test]
    fn what_is_no_token_is_told_by_place_and_never_shown() {
        let nearly = "HTrGwLwHno/hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";
        for (content, found) in [
            (Vec::new(), "empty"),
            (b"  \n".to_vec(), "empty"),
            (TOKEN.as_bytes()[1..].to_vec(), "42 characters"),
            (nearly.as_bytes().to_vec(), "belongs to no token"),
            (vec![0xff; 43], "not text"),
            (vec![b'A'; 2000], "longer"),
        ] {
            let (_dir, path) = file(&content, 0o600);
            let error = read_with(&path, None).unwrap_err().to_string();
            assert!(
                error.contains(found) && error.contains(&path.display().to_string()),
                "{error}"
            );
            assert!(!error.contains("hwtsvcz"), "{error}");
        }
    }
}
