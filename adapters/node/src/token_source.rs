//! A token file that is read again whenever it changes, so that a node that runs takes the token
//! that its owner puts there.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use handfast_core::wire::token::Token;

use crate::token_file;

/// How often a node that is not linked looks whether the file is another one.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The file, and what it held when it was read last.
#[derive(Debug)]
pub(crate) struct TokenSource {
    path: PathBuf,
    seen: Option<Seen>,
    token: Token,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl Seen {
    fn of(path: &Path) -> Option<Self> {
        let about = path.symlink_metadata().ok()?;
        Some(Self {
            inode: about.ino(),
            length: about.len(),
            changed: (about.ctime(), about.ctime_nsec()),
        })
    }
}

impl TokenSource {
    /// The file from which this token was read just now.
    pub(crate) fn new(path: PathBuf, token: Token) -> Self {
        Self { seen: Seen::of(&path), path, token }
    }

    /// Another token than before, if the file was changed and holds one. What is wrong with it is
    /// said once, and the node goes on with what it has.
    pub(crate) fn other(&mut self) -> Option<Token> {
        let seen = Seen::of(&self.path);
        if seen == self.seen {
            return None;
        }
        self.seen = seen;
        match token_file::read(&self.path) {
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
