//! Output on a terminal of eighty columns, and the same through a pipe.

use std::process::Stdio;

use rustix::termios::{Winsize, tcsetwinsize};

use super::gateway::{Gateway, private_dir};
use super::waiting::{shown, terminal};
use crate::binaries::program;

/// Runs a verb on a terminal of eighty columns, and returns all that it shows there.
fn on_terminal(args: &[&str], data: &str) -> String {
    let (own, other) = terminal();
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&own, size).unwrap();
    let mut command = program("handfast");
    command.args(args).args(["--data", data]).env("TERM", "dumb").stdin(Stdio::null());
    let error = other.try_clone().unwrap();
    let mut child = command.stdout(other).stderr(error).spawn().unwrap();
    // The command keeps its ends of the terminal open otherwise.
    drop(command);
    let all = shown(own).replace('\r', "");
    child.wait().unwrap();
    all
}

#[test]
fn nothing_is_wider_than_a_terminal_but_a_command_to_copy_on_a_line_of_its_own() {
    let gateway =
        Gateway::start_with(&["--name", "The gateway of the house at the end of the lane"]);
    let _node = super::nodes::paired(&gateway);
    let nobody = private_dir();
    let nobody = nobody.path().join("a directory with a long name and no gateway in it");
    let nobody = nobody.to_str().unwrap();
    for (args, data) in [
        (&["status"][..], gateway.data()),
        (&["certs", "list"], gateway.data()),
        (&["login", "--no-wait", "--no-qr"], gateway.data()),
        (&["doctor"], nobody),
        (&["status"], nobody),
    ] {
        let all = on_terminal(args, data);
        assert!(all.lines().count() > 1, "{args:?}: {all}");
        for line in all.lines() {
            let is_whole = ["handfast ", "(`handfast ", "http://"]
                .iter()
                .any(|it| line.trim().starts_with(it));
            assert!(line.chars().count() <= 80 || is_whole, "{args:?}: {line:?} in\n{all}");
        }
    }
    // Through a pipe, each thing is one line as ever.
    let (_, out, _) = gateway.verb(&["status"]);
    let line = out.lines().find(|line| line.starts_with("pairing:")).unwrap();
    assert!(line.ends_with(gateway.data()), "{line}");
}
