//! Output that cannot be written, of verbs that need no gateway or bring their own.

use std::io::Write;
use std::process::Stdio;

use handfast_store::SqliteStore;

use super::gateway::{Gateway, private_dir};
use super::output::{OUTS, Out, ran, to};

/// Checks the exit of a verb whose only work is to print.
pub(super) fn is_said(out: Out, args: &[&str], (code, err): &(i32, String)) {
    let told = err.contains("standard output cannot be written");
    match out {
        Out::Unread => assert!(*code == 0 && !told, "{args:?}: {code} {err}"),
        Out::Full | Out::Closed => assert!(*code == 1 && told, "{args:?} {out:?}: {code} {err}"),
    }
    assert!(!err.contains("panicked"), "{args:?} {out:?}: {err}");
}

#[test]
fn a_demo_that_cannot_be_shown_is_played_to_its_end_and_says_so() {
    for out in OUTS {
        let args = ["demo", "--no-firmware"];
        let ended = ran(to(out, "handfast", &args));
        is_said(out, &args, &ended);
        assert!(!ended.1.contains("the demo failed"), "all of it held: {}", ended.1);
    }
}

#[test]
fn completions_and_man_pages_that_cannot_be_told_of_are_said_so() {
    let folder = private_dir();
    for out in OUTS {
        for args in [["completions", "bash"], ["man", folder.path().to_str().unwrap()]] {
            is_said(out, &args, &ran(to(out, "handfast", &args)));
        }
    }
}

#[test]
fn a_restore_is_made_although_what_is_lost_by_it_cannot_be_printed() {
    let gateway = Gateway::start();
    let folder = private_dir();
    let file = folder.path().join("backup.db");
    let file = file.to_str().unwrap();
    assert_eq!(gateway.verb(&["backup", file]).0, 0);
    for out in OUTS {
        for json in [&[][..], &["--json"]] {
            let data = private_dir();
            let args = [&["restore", file, "--data", data.path().to_str().unwrap()], json].concat();
            is_said(out, &args, &ran(to(out, "handfast", &args)));
            SqliteStore::open(&data.path().join("handfast.db")).unwrap();
        }
    }
}

#[test]
fn a_hash_that_cannot_be_printed_is_no_success() {
    for out in OUTS {
        let args = ["token", "hash", "--node-id", "00000000-0000-4000-8000-000000000001"];
        let mut child = to(out, "handfast", &args).stdin(Stdio::piped()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{}", "A".repeat(43)).unwrap();
        let ended = child.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&ended.stderr).into_owned();
        is_said(out, &args, &(ended.status.code().unwrap(), err));
    }
}
