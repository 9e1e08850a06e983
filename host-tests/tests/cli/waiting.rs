//! The sign that a command waits: a countdown on a terminal, and nothing through a pipe.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use handfast_store::SqliteStore;
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};

use super::gateway::private_dir;
use crate::binaries::program;

/// A pseudo-terminal: its own end, and the end that a program writes to.
pub(super) fn terminal() -> (File, File) {
    let own = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    unlockpt(&own).unwrap();
    let path = ptsname(&own, Vec::new()).unwrap().into_string().unwrap();
    let other = File::options().read(true).write(true).open(path).unwrap();
    (own.into(), other)
}

/// Reads what a program writes to the terminal until it has ended.
pub(super) fn shown(mut own: File) -> String {
    let (mut all, mut some) = (Vec::new(), [0; 1024]);
    // The kernel reports an error once nobody has the other end open.
    while let Ok(read @ 1..) = own.read(&mut some) {
        all.extend(&some[..read]);
    }
    String::from_utf8(all).unwrap()
}

/// Asks a gateway that does not answer, for as long as the command waits for it.
fn asks(data: &Path, kind: &str, stderr: impl Into<Stdio>) -> Command {
    let mut command = program("handfast");
    command.args(["status", "--data"]).arg(data).env("TERM", kind).stderr(stderr);
    command
}

#[test]
fn a_command_that_waits_counts_down_on_a_terminal_and_leaves_no_trace_of_that() {
    let data = private_dir();
    // Who has the registry open is taken for a gateway that is just starting.
    let _store = SqliteStore::open(&data.path().join("handfast.db")).unwrap();
    let (own, other) = terminal();
    let mut child = asks(data.path(), "xterm", other).spawn().unwrap();
    let shown = shown(own);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(shown.contains("waiting for the gateway's socket (0:02 left)"), "{shown:?}");
    assert!(shown.contains("waiting for the gateway's socket (0:01 left)"), "{shown:?}");
    let (_, after) = shown.rsplit_once("\r\u{1b}[K").expect("the line is removed");
    assert!(after.starts_with("handfast: ") && after.contains("has the registry in"), "{after:?}");

    let (own, other) = terminal();
    let mut child = asks(data.path(), "dumb", other).spawn().unwrap();
    let shown = self::shown(own);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(shown.starts_with("handfast: ") && !shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn a_command_that_waits_says_nothing_of_that_through_a_pipe() {
    let data = private_dir();
    let _store = SqliteStore::open(&data.path().join("handfast.db")).unwrap();
    let ended = asks(data.path(), "xterm", Stdio::piped()).output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.starts_with("handfast: ") && !said.contains(['\r', '\u{1b}']), "{said:?}");
}
