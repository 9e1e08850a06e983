//! The data directory of a gateway, and the directory of its operators' socket.

use std::ops::Deref;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use handfast_private_file::{self as private_file, Others};
use handfast_server::admin::{SOCKET_NAME, socket_path};

use crate::End;
use crate::args::DataDir;

/// Name of the registry's file in the data directory.
pub(crate) const DATABASE: &str = "handfast.db";

/// Directory of the operators' socket of a packaged gateway.
pub(crate) const SHARED: &str = "/run/handfast";

/// The directory that a command works on: a gateway's data, or the place of its operators' socket.
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

    /// Returns `true` if this is only the place of a packaged gateway's socket, without its data.
    pub(crate) fn is_shared(&self) -> bool {
        self.path == Path::new(SHARED)
    }

    /// Returns this place for the hints of the gateway that serves the socket in [`SHARED`].
    pub(crate) fn served_there(self) -> Self {
        Self { usual: true, ..self }
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

    /// Returns the named data directory, or the default one, and how other commands name it.
    pub(crate) fn place(&self) -> Result<DataPlace, End> {
        if let Some(named) = self.named() {
            return Ok(named);
        }
        // Where a packaged gateway has its socket, commands without `--data` go there.
        let usual = !is_served(Path::new(SHARED));
        set("XDG_DATA_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".local/share")))
            .map(|base| DataPlace { path: base.join("handfast"), usual })
            .ok_or_else(|| {
                End::Usage(
                    "there is no home directory to keep data in: name a directory with --data DIR"
                        .to_owned(),
                )
            })
    }

    /// Returns the directory whose socket the operator's verbs ask: the named one, that of a
    /// packaged gateway, or the default data directory.
    pub(crate) fn gateway(&self) -> Result<DataPlace, End> {
        match self.named() {
            Some(named) => Ok(named),
            None if is_served(Path::new(SHARED)) => {
                Ok(DataPlace { path: SHARED.into(), usual: true })
            }
            None => self.place(),
        }
    }

    /// Returns the directory that the option or the environment names.
    fn named(&self) -> Option<DataPlace> {
        if let Some(path) = &self.data {
            return Some(DataPlace::named(path));
        }
        if let Some(given) = set("HANDFAST_DATA") {
            return Some(DataPlace::named(&given));
        }
        // systemd separates several directories by colons; the first is the gateway's. The
        // operator's shell does not have this variable, so the directory is named there.
        let given = set("STATE_DIRECTORY")?;
        let first = std::env::split_paths(&given).next();
        Some(DataPlace::named(&first.unwrap_or(given)))
    }
}

/// Returns a path from the environment; an empty one is none.
fn set(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Returns `true` if a directory has a socket, or may not be looked into: whoever may not is told
/// so, and not that no gateway runs somewhere else.
fn is_served(directory: &Path) -> bool {
    match std::fs::symlink_metadata(directory.join(SOCKET_NAME)) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
    }
}

/// Returns `true` if a gateway answers at the socket of a data directory, and the registry there is
/// not the one that it serves: it has another one, in a database.
pub(crate) fn serves_database(data: &Path) -> bool {
    let answers = socket_path(data).is_ok_and(|socket| UnixStream::connect(socket).is_ok());
    answers && handfast_store::holder(&data.join(DATABASE)).is_none()
}

/// Creates the directory, usable only by its owner, or checks that an existing one is.
pub(crate) fn prepare(path: &Path) -> Result<(), End> {
    if !private_file::check_directory(path, Others::Nothing).map_err(End::refused)? {
        private_file::create_directory(path).map_err(End::refused)?;
    }
    Ok(())
}
