//! A token file that is read again whenever it changes, so that a running node uses the token that
//! its owner puts there.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handfast_core::wire::token::Token;

use crate::token_file::TokenError;

/// Interval at which a node that is not linked checks the file.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Reads a token file with the checks that its owner chose.
pub(crate) type TokenReader = fn(&Path) -> Result<Token, TokenError>;

/// The file, and its content at the last reading.
#[derive(Debug)]
pub(crate) struct TokenSource {
    path: PathBuf,
    read: TokenReader,
    seen: Option<FileVersion>,
    token: Token,
}

/// Metadata that distinguishes two versions of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileVersion {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl FileVersion {
    fn of(path: &Path) -> Option<Self> {
        // A link that is mounted changes with its target.
        let about = path.metadata().ok()?;
        Some(Self {
            inode: about.ino(),
            length: about.len(),
            // The change time also notices corrected permissions.
            changed: (about.ctime(), about.ctime_nsec()),
        })
    }
}

impl TokenSource {
    /// Creates a source from the file that this token was just read from.
    pub(crate) fn new(path: PathBuf, read: TokenReader, token: Token) -> Self {
        Self { seen: FileVersion::of(&path), path, read, token }
    }

    /// Returns the token if the file was changed and holds another one. An error in the file is
    /// logged once, and the node continues with its token.
    pub(crate) fn other(&mut self) -> Option<Token> {
        let seen = FileVersion::of(&self.path);
        if seen == self.seen {
            return None;
        }
        // Recorded before the file is read, so that an invalid one is reported once.
        self.seen = seen;
        match (self.read)(&self.path) {
            Ok(token) if token == self.token => None,
            Ok(token) => {
                tracing::info!(
                    "the token file {} holds another token now; it is used from now on",
                    self.path.display()
                );
                self.token = Token::parse(token.expose())?;
                Some(token)
            }
            Err(error) => {
                tracing::warn!(
                    "the token file was changed, and the token from before stays in use: {error}"
                );
                None
            }
        }
    }
}
