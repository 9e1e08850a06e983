//! A second operator's socket, for the members of a group, outside of the data directory.
//!
//! A data directory stays private: who may enter it could read its keys. So the group's socket has
//! a directory of its own, and the gateway's user alone may change what is in there.

use std::fs::{DirBuilder, File, Permissions};
use std::future::Future;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, lchown};
use std::path::{Path, PathBuf};

use handfast_private_file as private_file;
use tokio::net::UnixListener;

use super::socket::{SOCKET_NAME, SocketError, bind, serve_restoring, socket_path};
use crate::gateway::Gateway;

/// Name of the file whose lock says that a gateway serves a socket beside it.
const LOCK_NAME: &str = "handfast.sock.lock";
/// Mode of a directory that is made for the socket: the group may enter it.
const ENTERED: u32 = 0o750;
/// Mode of the socket: the group may connect.
const CONNECTED: u32 = 0o660;

/// A group whose members are operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketGroup {
    /// Number of the group.
    pub id: u32,
    /// Name of the group.
    pub name: String,
}

/// The operators' socket of a group. No other gateway can serve one at the same place.
#[derive(Debug)]
pub struct SharedSocket {
    listener: UnixListener,
    place: Place,
    _lock: File,
}

/// Where a socket is, and for whom.
#[derive(Debug)]
struct Place {
    directory: PathBuf,
    group: SocketGroup,
}

impl SharedSocket {
    /// Opens the socket `handfast.sock` in a directory with mode 0660, for a group. A missing
    /// directory is made for that group; one that is there is only checked.
    ///
    /// # Errors
    /// [`SocketError`] if others than this user could replace the socket, if the group could not
    /// reach it, if another gateway serves it, or if the system refuses.
    pub fn bind(directory: &Path, group: SocketGroup) -> Result<Self, SocketError> {
        socket_path(directory)?;
        let place = Place { directory: directory.to_owned(), group };
        place.prepare()?;
        let wrong =
            |problem: String| SocketError::Directory { directory: directory.to_owned(), problem };
        let lock = private_file::lock(&directory.join(LOCK_NAME))
            .map_err(|error| wrong(error.to_string()))?
            .ok_or_else(|| {
                wrong("another gateway serves it; choose another place with --socket-dir".into())
            })?;
        Ok(Self { listener: place.open()?, place, _lock: lock })
    }

    /// Returns the path of the socket.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.place.socket()
    }
}

impl Place {
    fn socket(&self) -> PathBuf {
        self.directory.join(SOCKET_NAME)
    }

    /// Opens the socket. It is its owner's alone until it belongs to the group.
    fn open(&self) -> Result<UnixListener, SocketError> {
        let (listener, path) = (bind(&self.directory)?, self.socket());
        let given = lchown(&path, None, Some(self.group.id));
        given.map_err(|source| self.not_given(&path, source))?;
        std::fs::set_permissions(&path, Permissions::from_mode(CONNECTED))
            .map_err(|source| SocketError::Io { path, source })?;
        Ok(listener)
    }

    /// Makes the directory, or checks the one that is there.
    fn prepare(&self) -> Result<(), SocketError> {
        let directory = &self.directory;
        let io = |source| SocketError::Io { path: self.socket(), source };
        match DirBuilder::new().mode(0o700).create(directory) {
            Ok(()) => {
                let given = chown(directory, None, Some(self.group.id));
                if let Err(source) = given {
                    // Left as it is, the next start would find it closed to the group.
                    let _ = std::fs::remove_dir(directory);
                    return Err(self.not_given(directory, source));
                }
                std::fs::set_permissions(directory, Permissions::from_mode(ENTERED)).map_err(io)?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io(error)),
        }
        let found = std::fs::symlink_metadata(directory).map_err(io)?;
        let user = rustix::process::geteuid().as_raw();
        match self.problem(&found, user) {
            None => Ok(()),
            Some(problem) => Err(SocketError::Directory { directory: directory.clone(), problem }),
        }
    }

    /// Returns what is wrong with a directory, for a gateway that runs as this user.
    fn problem(&self, found: &std::fs::Metadata, user: u32) -> Option<String> {
        let (mode, shown) = (found.mode(), self.directory.display());
        if !found.is_dir() {
            return Some("this is no directory; name one with --socket-dir".into());
        }
        // Who may change the directory could put a socket of their own in its place, and be asked
        // in the gateway's stead.
        if found.uid() != user && found.uid() != 0 {
            let owner = found.uid();
            return Some(format!(
                "it belongs to user {owner}, who could replace it; chown {user} {shown}"
            ));
        }
        if mode & 0o022 != 0 {
            return Some(format!("others could replace it; chmod go-w {shown}"));
        }
        let entered = if found.gid() == self.group.id { 0o010 } else { 0o001 };
        (mode & entered == 0).then(|| {
            let group = &self.group.name;
            format!(
                "the group {group} cannot enter the directory; chgrp {group} {shown} && \
                 chmod 750 {shown}"
            )
        })
    }

    fn not_given(&self, path: &Path, source: std::io::Error) -> SocketError {
        SocketError::Group { path: path.to_owned(), group: self.group.name.clone(), source }
    }
}

/// Serves the operator's routes to a group until `until` ends, as
/// [`serve_admin`](super::serve_admin) does, and then removes the socket.
pub async fn serve_shared_admin(
    gateway: Gateway,
    socket: SharedSocket,
    until: impl Future<Output = ()>,
) {
    let SharedSocket { listener, place, _lock } = socket;
    let path = place.socket();
    serve_restoring(gateway, listener, Some(&path), || place.open(), until).await;
    // The commands would ask here and find nobody, before they look for another gateway.
    let _ = std::fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(directory: &Path, id: u32) -> Place {
        let group = SocketGroup { id, name: "operators".into() };
        Place { directory: directory.to_owned(), group }
    }

    fn problem(mode: u32, group: fn(u32) -> u32, user: fn(u32) -> u32) -> Option<String> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), Permissions::from_mode(mode)).unwrap();
        let found = std::fs::symlink_metadata(directory.path()).unwrap();
        place(directory.path(), group(found.gid())).problem(&found, user(found.uid()))
    }

    #[test]
    fn a_directory_that_others_could_change_or_that_the_group_cannot_enter_is_no_place() {
        let own: fn(u32) -> u32 = |id| id;
        let other: fn(u32) -> u32 = |id| id + 1;
        assert_eq!(problem(0o750, own, own), None);
        assert_eq!(problem(0o755, other, own), None);
        for (mode, group, user, said) in [
            (0o700, own, own, "chmod 750"),
            // The group's own bits count for its members, whatever everybody may do.
            (0o701, own, own, "chmod 750"),
            (0o750, other, own, "the group operators cannot enter"),
            (0o770, own, own, "chmod go-w"),
            (0o757, own, own, "chmod go-w"),
            (0o1777, own, own, "chmod go-w"),
        ] {
            let problem = problem(mode, group, user).expect(said);
            assert!(problem.contains(said), "{mode:o}: {problem}");
        }
    }

    #[tokio::test]
    async fn a_second_gateway_does_not_take_the_socket_of_the_first() {
        let above = tempfile::tempdir().unwrap();
        let directory = above.path().join("shared");
        let id = std::fs::metadata(above.path()).unwrap().gid();
        let group = SocketGroup { id, name: "operators".into() };
        let first = SharedSocket::bind(&directory, group.clone()).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&directory), mode(&first.path())), (0o750, 0o660));
        let second = SharedSocket::bind(&directory, group.clone()).unwrap_err().to_string();
        assert!(second.contains("another gateway serves it"), "{second}");
        drop(first);
        assert!(SharedSocket::bind(&directory, group).is_ok(), "its lock ends with it");
    }

    #[test]
    fn a_link_is_no_place() {
        let above = tempfile::tempdir().unwrap();
        let link = above.path().join("link");
        std::os::unix::fs::symlink(above.path(), &link).unwrap();
        let group = SocketGroup { id: 0, name: "operators".into() };
        let refused = SharedSocket::bind(&link, group).unwrap_err().to_string();
        assert!(refused.contains("no directory"), "{refused}");
    }
}
