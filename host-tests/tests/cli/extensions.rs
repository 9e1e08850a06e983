//! `handfast extensions`, with the example of the documentation, and the end of extensions.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::gateway::{Gateway, private_dir};
use super::output::{OUTS, ran, to};
use super::output_alone::is_said;

/// Limit for every step; only a defect takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Starts a gateway whose configuration is this text, with the example extension beside it.
pub(super) fn with_extension(text: &str) -> Gateway {
    let data = private_dir();
    let server = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/server");
    let program = data.path().join("extension.py");
    std::fs::copy(server.join("examples/extension.py"), &program).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let file = data.path().join("gateway.toml");
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap().to_owned();
    Gateway::start_in(data, "127.0.0.1:0", &["--config", &file])
}

/// Returns the first block of TOML in the documentation of extensions.
pub(super) fn documented() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/server/EXTENSIONS.md");
    let text = std::fs::read_to_string(file).unwrap();
    let block = text.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    block.expect("there is an example").to_owned()
}

#[test]
fn the_documented_extension_is_listed_and_called() {
    let gateway = with_extension(&documented());
    let list = gateway.answer(&["extensions", "list"]);
    assert_eq!(list["items"][0]["name"], "echo");
    assert_eq!(list["items"][0]["alive"], true);
    let (code, out, _) = gateway.verb(&["extensions", "list"]);
    assert!(code == 0 && out.starts_with("NAME") && out.contains("\necho  yes"), "{out}");

    let (code, out, err) = gateway.verb(&["extensions", "call", "echo.stats"]);
    assert_eq!((code, out.as_str()), (0, "{\"sent\":0}\n"), "{err}");
    let answer = gateway.answer(&["extensions", "call", "echo.stats", "{\"all\":true}"]);
    assert_eq!(answer["result"]["sent"], 0);
    let (code, out, err) = gateway.verb(&["extensions", "call", "nobody.has.it"]);
    assert!(code == 1 && out.is_empty() && err.contains("nobody.has.it"), "{err}");
    assert_eq!(gateway.verb(&["extensions", "call", "echo.stats", "{"]).0, 2);
    for out in OUTS {
        let args = ["extensions", "call", "echo.stats", "--data", gateway.data()];
        is_said(out, &args, &ran(to(out, "handfast", &args)));
    }
}

/// Returns the process with these words as its command line, if it is there.
fn process(words: &[&str]) -> Option<u32> {
    let wanted = words.join("\0") + "\0";
    std::fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        (std::fs::read_to_string(entry.path().join("cmdline")).ok()? == wanted).then_some(pid)
    })
}

#[test]
fn an_extension_that_does_not_listen_ends_with_a_gateway_that_is_killed() {
    // Nobody else sleeps for as long.
    let seconds = format!("{}", 1_000_000 + u64::from(std::process::id()));
    let words = ["sleep", seconds.as_str()];
    let text = format!(
        "[[extension]]\nname = \"deaf\"\nprefix = \"deaf\"\ncommand = [\"sleep\", \"{seconds}\"]\n"
    );
    let mut gateway = with_extension(&text);
    until("the extension runs", || process(&words).is_some());
    gateway.running.kill();
    until("the extension has ended", || process(&words).is_none());
}

#[test]
fn a_program_is_told_what_waits_and_ends_with_the_gateway_however_that_ends() {
    let place = private_dir();
    let (script, heard) = (place.path().join("tell"), place.path().join("heard"));
    // It goes on living, so that only its gateway's end can end it in time.
    std::fs::write(&script, "#!/bin/sh\ncat > \"$1\"\necho $$ > \"$1.pid\"\nexec sleep 9\n")
        .unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    let [script, told] = [&script, &heard].map(|path| path.to_str().unwrap());
    let mut gateway = Gateway::start_with(&["--on-pending", script, "--on-pending", told]);
    let _node = gateway.node("Lamp; touch /tmp/never", &["--approval"]);
    let pid = heard.with_extension("pid");
    until("the program is told", || {
        std::fs::read_to_string(&pid).is_ok_and(|it| it.ends_with('\n'))
    });
    let line: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&heard).unwrap()).unwrap();
    assert_eq!((&line["kind"], &line["left_out"]), (&"node".into(), &0.into()), "{line}");
    assert_eq!(line["name"], "Lamp; touch /tmp/never");
    let pid = std::fs::read_to_string(&pid).unwrap();
    let process = Path::new("/proc").join(pid.trim());
    assert!(process.exists());
    gateway.running.kill();
    until("the program has ended", || !process.exists());
}
