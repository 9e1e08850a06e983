//! The data directory of a gateway.

use std::ops::Deref;
use std::path::{Path, PathBuf};

use handfast_private_file::{self as private_file, Others};

use crate::End;
use crate::args::DataDir;

/// Name of the registry's file in the data directory.
pub(crate) const DATABASE: &str = "handfast.db";

/// The data directory that a command works on.
#[derive(Clone, Debug)]
pub(crate) struct DataPlace {
    path: PathBuf,
    /// `true` for the directory that a command without `--data` finds by itself.
    usual: bool,
}

impl DataPlace {
    /// Returns a directory that is named by its path.
    pub(crate) fn named(path: &Path) -> Self {
        Self { path: path.to_owned(), usual: false }
    }

    /// Returns the value of `--data` with which another command finds this directory from any
    /// working directory; `None` if it needs none.
    pub(crate) fn option(&self) -> Option<PathBuf> {
        (!self.usual).then(|| std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone()))
    }
}

impl Deref for DataPlace {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl DataDir {
    /// Returns the named directory, or the default one.
    pub(crate) fn path(&self) -> Result<PathBuf, End> {
        Ok(self.place()?.path)
    }

    /// Returns the named directory, or the default one, and how other commands name it.
    pub(crate) fn place(&self) -> Result<DataPlace, End> {
        if let Some(path) = &self.data {
            return Ok(DataPlace::named(path));
        }
        let set =
            |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(given) = set("HANDFAST_DATA") {
            return Ok(DataPlace::named(&given));
        }
        if let Some(given) = set("STATE_DIRECTORY") {
            // systemd separates several directories by colons; the first is the gateway's. The
            // operator's shell does not have this variable, so the directory is named there.
            let first = std::env::split_paths(&given).next();
            return Ok(DataPlace::named(&first.unwrap_or(given)));
        }
        set("XDG_DATA_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".local/share")))
            .map(|base| DataPlace { path: base.join("handfast"), usual: true })
            .ok_or_else(|| {
                End::Usage(
                    "there is no home directory to keep data in: name a directory with --data DIR"
                        .to_owned(),
                )
            })
    }
}

/// Creates the directory, usable only by its owner, or checks that an existing one is.
pub(crate) fn prepare(path: &Path) -> Result<(), End> {
    if !private_file::check_directory(path, Others::Nothing).map_err(End::refused)? {
        private_file::create_directory(path).map_err(End::refused)?;
    }
    Ok(())
}
