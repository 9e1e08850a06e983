//! A gateway that is started on a full disk, or on one that fills up during the start.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::gateway::private_dir;
use crate::binaries::{program, text};

/// Limit for every step; only a defect takes this long.
const PATIENCE: Duration = Duration::from_secs(30);
/// Maximum file sizes in bytes: as on a disk that is full, nearly full, or has just enough space
/// for a registry.
const ROOMS: [u32; 9] = [0, 512, 4_096, 32_768, 65_536, 131_072, 294_912, 380_928, 4_194_304];

/// Starts a gateway that can write no file longer than this. The writes really fail, with "file too
/// large".
fn starts(data: &Path, room: u32) -> Child {
    let path = program("handfast").get_program().to_owned();
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -f "$0" && exec "$@""#, &(room / 512).to_string()]).arg(path);
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
    command.env_remove("STATE_DIRECTORY").env_remove("XDG_DATA_HOME").env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Returns the exit of a gateway. One that serves is told to stop in order, and does.
fn ends(mut child: Child) -> (i32, String, String) {
    use std::io::Read;
    let mut first = [0; 8];
    let served = child.stdout.as_mut().unwrap().read(&mut first).unwrap() > 0;
    let begun = Instant::now();
    if served {
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    }
    while child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < PATIENCE, "it neither serves nor ends");
        std::thread::sleep(Duration::from_millis(5));
    }
    text(&child.wait_with_output().unwrap())
}

#[test]
fn a_gateway_that_has_no_room_to_start_says_what_to_do_and_starts_once_there_is_some() {
    let mut refused = 0;
    for is_new in [true, false] {
        for room in ROOMS {
            let data = private_dir();
            if !is_new {
                assert_eq!(ends(starts(data.path(), 4_194_304)).0, 0);
            }
            for _ in 0..2 {
                let (code, out, err) = ends(starts(data.path(), room));
                if code != 0 {
                    refused += 1;
                    assert!(code == 1 && out.is_empty(), "{room}: {code} {out}");
                    let is_clear = err.contains("free disk space and start again")
                        || err.contains("File too large");
                    assert!(
                        is_clear && !err.contains("panicked") && !err.contains("malformed"),
                        "{room}: {err}"
                    );
                }
            }
            let (code, _, err) = ends(starts(data.path(), 4_194_304));
            assert_eq!(code, 0, "{is_new} {room}: nothing is damaged: {err}");
        }
    }
    assert!(refused > 8, "{refused}");
}
