//! The socket of the operators' group, used by its members, by others and by other users.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::gateway::{Gateway, private_dir};
use crate::binaries::{program, run, text};

/// Waits until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed().as_secs() < 20, "{what}: not yet");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// Name of this process's own group.
fn own_group() -> String {
    let said = Command::new("id").arg("-gn").output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().mode() & 0o777
}

/// Returns a directory that everybody may enter.
fn open_dir() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

fn serve(data: &Path, more: &[&str]) -> (i32, String, String) {
    let args = ["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
    text(&run("handfast", &[&args[..], more].concat()))
}

#[test]
fn the_groups_socket_stands_beside_a_private_directory_and_goes_with_its_gateway() {
    let above = open_dir();
    let place = above.path().join("operators");
    let named = place.to_str().unwrap().to_owned();
    let group = own_group();
    let more = ["--socket-group", &group, "--socket-dir", &named];
    let mut gateway = Gateway::start_with(&more);
    let socket = place.join("handfast.sock");
    assert_eq!((mode(&place), mode(&socket)), (0o750, 0o660));
    assert_eq!(mode(&gateway.data.path().join("handfast.sock")), 0o600);
    assert_eq!(mode(gateway.data.path()), 0o700);
    assert!(gateway.shown().contains(&format!("operators of the group {group}: {named}")));
    let status = ["status", "--data", &named];
    assert_eq!(text(&run("handfast", &status)).0, 0);
    // One that is removed or replaced comes back for the group, and not for everybody.
    std::fs::remove_file(&socket).unwrap();
    std::fs::write(&socket, "").unwrap();
    until("the group's socket comes back", || text(&run("handfast", &status)).0 == 0);
    assert_eq!(mode(&socket), 0o660);
    // Another gateway does not take its place.
    let other = private_dir();
    let (code, _, err) = serve(other.path(), &more);
    assert!(code == 1 && err.contains("another gateway serves it"), "{err}");
    assert_eq!(text(&run("handfast", &status)).0, 0, "the first one still serves");
    let pid = rustix::process::Pid::from_child(&gateway.running.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(gateway.running.0.wait().unwrap().success());
    assert!(!socket.exists(), "nobody answers there any more");
}

#[test]
fn a_group_that_is_not_there_and_a_place_that_others_could_change_are_refused() {
    let (data, group) = (private_dir(), own_group());
    let (code, _, err) = serve(data.path(), &["--socket-group", "no-such-group"]);
    assert!(code == 2 && err.contains("there is no group no-such-group"), "{err}");
    assert!(err.contains("sudo groupadd --system no-such-group"), "{err}");
    for wrong in ["", "-x", "a b", "$(id)"] {
        assert_eq!(serve(data.path(), &[&format!("--socket-group={wrong}")]).0, 2, "{wrong:?}");
    }
    let place = data.path().to_str().unwrap();
    let (code, _, err) = serve(data.path(), &["--socket-group", &group, "--socket-dir", place]);
    assert!(code == 2 && err.contains("the data directory stays private"), "{err}");
    assert_eq!(mode(data.path()), 0o700);

    let shared = open_dir();
    let place = shared.path().to_str().unwrap();
    for (bits, said) in [(0o777, "chmod go-w"), (0o1777, "chmod go-w"), (0o700, "chmod 750")] {
        std::fs::set_permissions(place, std::fs::Permissions::from_mode(bits)).unwrap();
        let (code, _, err) = serve(data.path(), &["--socket-group", &group, "--socket-dir", place]);
        assert!(code == 1 && err.contains(said) && err.contains(place), "{bits:o}: {err}");
        assert_eq!(mode(shared.path()), bits & 0o777, "a directory that was there is not changed");
    }
}

/// Returns a program that runs as a user, with these groups beside the user's own.
fn as_user(user: &str, group: &str, more: &str, name: &str) -> Command {
    let known = program(name);
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", group]);
    match more {
        "" => command.arg("--clear-groups"),
        more => command.args(["--groups", more]),
    };
    command.arg(known.get_program()).stdin(Stdio::null());
    for name in ["HANDFAST_DATA", "STATE_DIRECTORY", "XDG_DATA_HOME", "RUST_LOG"] {
        command.env_remove(name);
    }
    command
}

/// Returns the command that serves, as the user `daemon`, data of that user.
fn served_by_daemon(above: &Path, groups: &str) -> Command {
    let data = above.join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o700)).unwrap();
    let own = Command::new("chown").args(["daemon:daemon"]).args([above, &data]).status();
    assert!(own.unwrap().success());
    let mut command = as_user("daemon", "daemon", groups, "handfast");
    command.args(["serve", "--listen", "127.0.0.1:0", "--socket-group", "games", "--data"]);
    command.arg(data).arg("--socket-dir").arg(above.join("operators"));
    command
}

#[test]
#[ignore = "needs root, to be other users"]
fn a_member_of_the_group_operates_the_gateway_of_another_user_and_a_stranger_is_told_how_to() {
    let above = open_dir();
    let mut command = served_by_daemon(above.path(), "games");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let gateway = Gateway::of(child, private_dir(), Path::new("").to_owned());
    let place = above.path().join("operators");
    let verb = |user: &str, group: &str, more: &str, data: &Path| {
        let mut command = as_user(user, group, more, "handfast");
        text(&command.args(["status", "--data"]).arg(data).output().unwrap())
    };
    let (code, _, err) = verb("nobody", "nogroup", "games", &place);
    assert_eq!(code, 0, "a member: {err}");
    assert_eq!(verb("root", "root", "", &place).0, 0, "root");
    let (code, _, err) = verb("nobody", "nogroup", "", &place);
    assert!(code == 1 && err.contains("members of the group games"), "{err}");
    assert!(err.contains("sudo usermod -aG games nobody"), "{err}");
    // A member of the group has no business in the data.
    let (code, _, err) = verb("nobody", "nogroup", "games", &above.path().join("data"));
    assert!(code == 1 && err.contains("for the user daemon and root alone"), "{err}");
    // Nor can a stranger put a socket of their own in the place of the gateway's.
    let mut stranger = Command::new("setpriv");
    stranger.args(["--reuid", "nobody", "--regid", "nogroup", "--groups", "games", "rm", "-f"]);
    let removed = stranger.arg(place.join("handfast.sock")).stderr(Stdio::null()).status();
    assert!(!removed.unwrap().success());
    drop(gateway);
}

#[test]
#[ignore = "needs root, to be another user"]
fn a_gateway_that_may_not_give_its_socket_to_the_group_names_it_and_what_mends_it() {
    let above = open_dir();
    let (code, _, err) = text(&served_by_daemon(above.path(), "").output().unwrap());
    assert!(code == 1 && err.contains("to the group games"), "{err}");
    assert!(err.contains("usermod -aG games"), "{err}");
    assert!(!above.path().join("operators").exists(), "nothing is left half made");
}

/// Two gateways in a mount namespace whose `/run` is empty: one with the usual place of the group's
/// socket, and one of the user's own. It prints whom each way of asking reaches.
const ORDER: &str = r#"
set -eu
mount -t tmpfs tmpfs /run
export HOME="$1/home" RUST_LOG=off
mkdir -m 700 "$HOME" "$1/shared"
handfast=$2
name() { "$handfast" "$@" status --json | sed -n 's/.*"name":"\([a-z]*\)".*/\1/p'; }
wait_for() { for _ in $(seq 200); do [ -S "$1" ] && return; sleep 0.05; done; exit 9; }
"$handfast" serve --listen 127.0.0.1:0 --name own >"$1/own.out" 2>&1 & own=$!
wait_for "$HOME/.local/share/handfast/handfast.sock"
echo "alone: $(name)"
"$handfast" serve --listen 127.0.0.1:0 --name shared --data "$1/shared" --socket-group "$3" >"$1/shared.out" 2>&1 & shared=$!
wait_for /run/handfast/handfast.sock
echo "both: $(name)"
echo "variable: $(HANDFAST_DATA="$HOME/.local/share/handfast" name)"
echo "option: $(HANDFAST_DATA=/nowhere "$handfast" status --data "$HOME/.local/share/handfast" --json | sed -n 's/.*"name":"\([a-z]*\)".*/\1/p')"
for _ in $(seq 200); do grep -q 'approve nodes with' "$1/shared.out" && break; sleep 0.05; done
grep 'approve nodes with' "$1/shared.out"
kill -9 $shared
wait $shared 2>/dev/null || true
echo "killed: $("$handfast" status 2>&1 || true)"
# The user's own gateway runs, so a verb that is answered has asked that one.
for verb in "pending" "nodes list" "operators list" "tokens list" "audit list" "login --no-wait"; do
  if "$handfast" $verb >/dev/null 2>&1; then echo "$verb asked another gateway"; fi
done
rm /run/handfast/handfast.sock
echo "gone: $(name)"
kill $own
wait $own
"#;

#[test]
#[ignore = "needs root, to have a /run of its own"]
fn verbs_ask_the_named_gateway_then_the_packaged_one_then_the_users_own() {
    let place = private_dir();
    let mut command = Command::new("unshare");
    command.args(["--mount", "bash", "-c", ORDER, "order"]).arg(place.path());
    command.arg(program("handfast").get_program()).arg(own_group());
    for name in ["HANDFAST_DATA", "STATE_DIRECTORY", "XDG_DATA_HOME"] {
        command.env_remove(name);
    }
    let (code, out, err) = text(&command.output().unwrap());
    assert_eq!(code, 0, "{out}{err}");
    let lines: Vec<&str> = out.lines().collect();
    let [alone, both, variable, option, hint, killed, gone] = lines[..] else { panic!("{out}") };
    assert_eq!([alone, both, variable], ["alone: own", "both: shared", "variable: own"]);
    assert_eq!([option, gone], ["option: own", "gone: own"]);
    // An operator of the group may not enter the data, so the hint does not name it.
    assert_eq!(hint, "approve nodes with: handfast approve");
    assert!(killed.contains("/run/handfast/handfast.sock") && killed.contains("--data DIR"));
    assert!(killed.contains("sudo systemctl start handfast"), "{killed}");
}
