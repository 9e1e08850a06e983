//! Errors of private files.

use std::io;
use std::path::{Path, PathBuf};

/// The error of a private file that could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    path: PathBuf,
    kind: Kind,
    problem: String,
}

/// The kinds of [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// No file has the name.
    NotFound,
    /// Another file has the name.
    Exists,
    /// The path is a symbolic link.
    Link,
    /// The path is neither a regular file nor a link.
    Irregular,
    /// Others may read or write the file.
    TooOpen,
    /// The content is not as expected.
    Content,
    /// No space is left, or a limit of the file's size is reached.
    Full,
    /// The system refused for another reason.
    System,
}

impl Error {
    pub(crate) const fn new(path: PathBuf, kind: Kind, problem: String) -> Self {
        Self { path, kind, problem }
    }

    pub(crate) fn link(path: &Path) -> Self {
        let target = std::fs::read_link(path)
            .map_or_else(|_| "another".to_owned(), |target| target.display().to_string());
        let problem = format!(
            "this is a symbolic link to {target}, and no link is followed here; name the file \
             itself, or put it in its place"
        );
        Self::new(path.to_owned(), Kind::Link, problem)
    }

    pub(crate) fn irregular(path: &Path) -> Self {
        let problem = "this is no regular file; name one, or move it away".to_owned();
        Self::new(path.to_owned(), Kind::Irregular, problem)
    }

    pub(crate) fn too_open(path: &Path, mode: u32, mend: u32) -> Self {
        let shown = path.to_string_lossy();
        // A path has no NUL, which is all that cannot be quoted.
        let word = shlex::try_quote(&shown).unwrap_or_default();
        let problem = format!(
            "group or others may use this (mode {mode:03o}); make it the owner's alone with: \
             chmod {mend:03o} {word}"
        );
        Self::new(path.to_owned(), Kind::TooOpen, problem)
    }

    /// Describes a failure of the system with advice. `what` is the failed operation as a
    /// predicate of the path, as in "cannot be read".
    #[must_use]
    pub fn io(path: &Path, what: &str, source: &io::Error) -> Self {
        let (kind, mend) = match source.kind() {
            io::ErrorKind::NotFound => (Kind::NotFound, ""),
            io::ErrorKind::AlreadyExists => (Kind::Exists, ""),
            io::ErrorKind::StorageFull
            | io::ErrorKind::FileTooLarge
            | io::ErrorKind::QuotaExceeded => (Kind::Full, "; free disk space and try again"),
            io::ErrorKind::PermissionDenied => {
                (Kind::System, "; run this as the owner, or name another path")
            }
            io::ErrorKind::ReadOnlyFilesystem => (Kind::System, "; name another path"),
            _ => (Kind::System, ""),
        };
        Self::new(path.to_owned(), kind, format!("{what}: {source}{mend}"))
    }

    /// Returns the kind of the error.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the path of the file or directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns a description of the problem with advice, without the path.
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.problem)
    }
}

impl std::error::Error for Error {}
