//! Reading of the token: from a file that only its owner can read, or from standard input. Never
//! from the command line or the environment, which other users of the machine can see.

use std::io::Read;
use std::path::{Path, PathBuf};

use handfast_core::wire::token::{TOKEN_CHARS, Token};
use handfast_private_file::{self as private_file, Kind, Options};
use zeroize::Zeroizing;

/// Default path of the token file.
pub const DEFAULT_PATH: &str = "/etc/handfast/token";

/// Maximum size in bytes: a token and any white space around it. A longer file is not a token file.
const MOST_BYTES: u64 = 1024;
const TOO_LONG: &str = "it is longer than any token";

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
    /// The file cannot be read, is no regular file, or can be read by others.
    #[error("the token file {0}")]
    File(private_file::Error),
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

/// Reads the token from a mounted secret: a file that others may read, or a link to one. Others
/// still may not write it.
///
/// # Errors
/// [`TokenError`] if the file is missing, is not a regular file, can be written by others, or holds
/// no token.
pub fn read_mounted(path: &Path) -> Result<Token, TokenError> {
    read_as(path, Options::PRIVATE.mounted())
}

fn read_with(path: &Path, credentials: Option<&Path>) -> Result<Token, TokenError> {
    let options = if is_in(path, credentials) {
        Options::PRIVATE.readable_by_group()
    } else {
        Options::PRIVATE
    };
    read_as(path, options)
}

fn read_as(path: &Path, options: Options) -> Result<Token, TokenError> {
    match options.read(path, MOST_BYTES) {
        Ok(Some(text)) => parse(&Zeroizing::new(text)),
        Ok(None) => return Err(TokenError::Missing { path: path.to_owned() }),
        Err(error) if error.kind() == Kind::Content => Err(TOO_LONG.to_owned()),
        Err(error) => return Err(TokenError::File(error)),
    }
    .map_err(|found| TokenError::NoToken { place: path.display().to_string(), found })
}

/// Returns `true` if the file is in systemd's credentials directory, which only the service can
/// enter. There the group's read bit stands for an access list of the service's user.
fn is_in(path: &Path, credentials: Option<&Path>) -> bool {
    // Both paths may go through links.
    let parent = path.parent().and_then(|p| p.canonicalize().ok());
    let credentials = credentials.and_then(|p| p.canonicalize().ok());
    parent.is_some() && parent == credentials
}

/// Reads the token from standard input, up to its end.
///
/// # Errors
/// [`TokenError`] if the input is not a token.
pub fn read_stdin(input: impl Read) -> Result<Token, TokenError> {
    // All room is there from the beginning: a buffer that grows leaves copies that nobody wipes. The
    // byte beyond the maximum tells a longer text from one that just fits.
    let mut text = Zeroizing::new(Vec::with_capacity(MOST_BYTES as usize + 1));
    let found = match input.take(MOST_BYTES + 1).read_to_end(&mut text) {
        Ok(_) if text.len() as u64 > MOST_BYTES => TOO_LONG.to_owned(),
        Ok(_) => match parse(&text) {
            Ok(token) => return Ok(token),
            Err(found) => found,
        },
        Err(why) => format!("reading failed ({why})"),
    };
    Err(TokenError::NoToken { place: "standard input".to_owned(), found })
}

/// Returns `true` if anything exists at the path, for messages to the owner. It may still be
/// unusable as a token file.
#[must_use]
pub fn is_there(path: &Path) -> bool {
    // A link that leads nowhere is there as well.
    path.symlink_metadata().is_ok()
}

/// Parses the text. The error describes it without any character of it.
fn parse(text: &[u8]) -> Result<Token, String> {
    match std::str::from_utf8(text).map(str::trim) {
        Err(_) => Err("it is not text".to_owned()),
        Ok("") => Err("it is empty".to_owned()),
        Ok(trimmed) => Token::parse(trimmed).ok_or_else(|| {
            let length = trimmed.chars().count();
            if length == TOKEN_CHARS {
                "a character in it belongs to no token".to_owned()
            } else {
                format!("it is {length} characters long")
            }
        }),
    }
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
        assert!(
            matches!(read_with(&path, None), Err(TokenError::File(e)) if e.kind() == Kind::TooOpen)
        );
        assert!(read_with(&path, Some(dir.path())).is_ok());
        fs::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
        assert!(
            matches!(read_with(&path, Some(dir.path())), Err(TokenError::File(e)) if e.kind() == Kind::TooOpen)
        );
    }

    #[test]
    fn a_mounted_secret_may_be_readable_and_a_link_but_not_writable() {
        let (dir, path) = file(TOKEN.as_bytes(), 0o644);
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        for path in [&path, &link] {
            assert!(read_with(path, None).is_err());
            assert_eq!(read_mounted(path).unwrap().expose(), TOKEN);
        }
        fs::set_permissions(&path, Permissions::from_mode(0o646)).unwrap();
        assert!(read_mounted(&path).is_err());
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
        assert!(
            matches!(read_with(&link, None), Err(TokenError::File(e)) if e.kind() == Kind::Link)
        );
        assert!(
            matches!(read_with(dir.path(), None), Err(TokenError::File(e)) if e.kind() == Kind::Irregular)
        );
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(
            matches!(read_with(&socket, None), Err(TokenError::File(e)) if e.kind() == Kind::Irregular)
        );
        assert!(matches!(
            read_with(Path::new("/dev/null"), None),
            Err(TokenError::File(e)) if e.kind() == Kind::Irregular
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
