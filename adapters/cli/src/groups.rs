//! Groups and users of the system, by their names.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use handfast_cli::config::ServeSettings;
use handfast_server::admin::{SOCKET_NAME, SharedSocket, SocketGroup};
use nix::unistd::{Gid, Group, Uid, User};

use crate::End;
use crate::hints::{join_group, make_group};

/// Opens the socket of the operators' group, if the settings name one.
///
/// # Errors
/// [`End`] if there is no such group, or the socket cannot be opened for it.
pub(crate) fn shared_socket(
    data: &Path,
    settings: &ServeSettings,
) -> Result<Option<SharedSocket>, End> {
    let Some(name) = &settings.socket_group else { return Ok(None) };
    let group = Group::from_name(name)
        .map_err(|error| End::Refused(format!("the group {name} cannot be looked up: {error}")))?;
    let Some(group) = group else {
        return Err(End::Usage(format!(
            "there is no group {name}, which socket_group names; make it with: {}",
            make_group(name)
        )));
    };
    let directory = &settings.socket_dir;
    let same = |path: &Path| std::fs::canonicalize(path).ok();
    if same(directory).is_some_and(|place| Some(place) == same(data)) {
        return Err(End::Usage(format!(
            "{}: the data directory stays private, so the group's socket needs another one; name \
             it with --socket-dir",
            directory.display()
        )));
    }
    let group = SocketGroup { id: group.gid.as_raw(), name: name.clone() };
    SharedSocket::bind(directory, group).map(Some).map_err(End::refused)
}

/// Returns what lets this user use a directory's socket, which just refused them.
pub(crate) fn refused_by(directory: &Path) -> String {
    let socket = std::fs::symlink_metadata(directory.join(SOCKET_NAME));
    // Who may not enter the directory sees only the directory's own group.
    let found = match socket.or_else(|_| std::fs::symlink_metadata(directory)) {
        Ok(found) => found,
        Err(error) => return format!("it cannot be looked at: {error}"),
    };
    if found.mode() & 0o070 == 0 {
        let owner = User::from_uid(Uid::from_raw(found.uid())).ok().flatten();
        let owner = owner.map_or_else(|| found.uid().to_string(), |user| user.name);
        return format!("it is for the user {owner} and root alone");
    }
    let group = Group::from_gid(Gid::from_raw(found.gid())).ok().flatten();
    let group = group.map_or_else(|| found.gid().to_string(), |group| group.name);
    let user = User::from_uid(Uid::effective()).ok().flatten();
    let user = user.map_or_else(|| "USER".to_owned(), |user| user.name);
    format!(
        "it is for members of the group {group}; make yourself one, and log in again: {}",
        join_group(&group, &user)
    )
}
