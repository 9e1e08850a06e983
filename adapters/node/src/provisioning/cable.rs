//! Tests on a cable between two interfaces, instead of the air. Each runs again in a network and a
//! `/etc` of its own, so that it touches nothing of this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Longest wait for anything.
pub(super) const WITHIN: Duration = Duration::from_secs(60);
/// Set in the process inside.
const INSIDE: &str = "HANDFAST_TEST_DIRECTORY";
/// Makes a cable with the ends `air0`, here, and `air1`, and a copy of `/etc`.
const PREPARE: &str = "set -e
mkdir \"$HANDFAST_TEST_DIRECTORY/etc\"
cp -a /etc/. \"$HANDFAST_TEST_DIRECTORY/etc/\"
mount --bind \"$HANDFAST_TEST_DIRECTORY/etc\" /etc
ip link set lo up
ip link add air0 type veth peer name air1
ip link set air0 up
ip link set air1 up
exec \"$@\"";

/// A test that has yet to run inside.
pub(super) type Outside = Box<(tempfile::TempDir, tokio::process::Command)>;

/// Returns the test's directory if this is the process inside, else `None` and the process to run.
pub(super) fn inside(test: &str) -> Result<PathBuf, Outside> {
    if let Some(directory) = std::env::var_os(INSIDE) {
        return Ok(directory.into());
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::new("unshare");
    command
        .args(["--net", "--mount", "bash", "-c", PREPARE, "bash"])
        .arg(std::env::current_exe().unwrap())
        .args([&format!("provisioning::{test}"), "--exact"])
        .args(["--include-ignored", "--nocapture"])
        .env(INSIDE, dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    Err(Box::new((dir, command)))
}

/// Runs the test inside to its end.
pub(super) async fn passes(test: Outside) {
    let (_dir, mut command) = *test;
    let ended = tokio::time::timeout(WITHIN, command.output()).await.expect("it ends");
    let ended = ended.unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
}

/// Runs a program and returns what it says.
pub(super) fn says(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Asks for an address at the other end of the cable, as a phone does.
pub(super) fn gets_address(directory: &Path) {
    // The script prints what the phone was given.
    let script = directory.join("script");
    std::fs::write(&script, "#!/bin/sh\necho $1 $ip $subnet $dns $router\n").unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&script).status().unwrap().success());
    let script = script.to_str().unwrap();
    let given = says("udhcpc", &["-f", "-n", "-q", "-i", "air1", "-s", script]);
    let lease = given.lines().find(|line| line.starts_with("bound 192.168.4."));
    let words: Vec<_> = lease.expect("a lease").split(' ').collect();
    let last: u8 = words[1].rsplit('.').next().unwrap().parse().unwrap();
    assert!((10..=50).contains(&last), "{given}");
    assert_eq!(words[2..], ["255.255.255.0", "192.168.4.1", "192.168.4.1"], "{given}");
}
