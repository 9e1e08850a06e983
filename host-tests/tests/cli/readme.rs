//! The README's commands, run as they are printed, and its list of verbs.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::gateway::private_dir;
use super::output::verbs;
use crate::binaries::{Running, program};

/// Limit for every step; only a defect takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

fn readme() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap()
}

/// Returns the commands of a chapter's blocks in order; a continued line is one command.
fn commands(chapter: &str) -> Vec<String> {
    let readme = readme();
    let chapter = readme.split(&format!("\n## {chapter}\n")).nth(1).expect("the chapter is there");
    let chapter = chapter.split("\n## ").next().unwrap();
    let blocks = chapter.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let joined: String = blocks.collect::<Vec<_>>().concat().replace("\\\n", " ");
    joined.lines().map(str::to_owned).filter(|line| !line.trim().is_empty()).collect()
}

/// A shell's environment: an empty home, the built programs, and a folder in place of `/tmp`.
struct Shell {
    home: tempfile::TempDir,
    ports: [u16; 2],
}

impl Shell {
    fn new() -> Self {
        let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (one, other) = (free(), free());
        let ports = [one.local_addr().unwrap().port(), other.local_addr().unwrap().port()];
        Self { home: private_dir(), ports }
    }

    /// Starts a printed command. Only its folder and its ports differ, so that it meets no other.
    fn start(&self, line: &str) -> Child {
        let home = self.home.path().to_str().unwrap();
        let line = line
            .replace("/tmp/", &format!("{home}/"))
            .replace(":8765", &format!(":{}", self.ports[0]))
            .replace(":7331", &format!(":{}", self.ports[1]));
        let line = match line.contains("handfast serve") {
            // The README's gateway listens on the usual port.
            true => format!("{line} --listen 127.0.0.1:{}", self.ports[0]),
            false => line,
        };
        let bin = program("handfast");
        let bin = Path::new(bin.get_program()).parent().unwrap().to_owned();
        Command::new("bash")
            .args(["-c", &format!("exec {}", line.trim())])
            .env_clear()
            .env("HOME", home)
            .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs a printed command with this input, and returns its output.
    fn run(&self, line: &str, input: &str) -> String {
        let mut child = self.start(line);
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let ended = child.wait_with_output().unwrap();
        let out = String::from_utf8_lossy(&ended.stdout).into_owned();
        let err = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{line}\n{out}{err}");
        out
    }
}

/// Passes on the lines of a stream.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (send, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Waits for a line that begins so, and returns the rest of it.
fn awaited(lines: &Receiver<String>, beginning: &str) -> String {
    loop {
        let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {beginning:?}"));
        if let Some(rest) = line.strip_prefix(beginning) {
            return rest.to_owned();
        }
    }
}

/// Waits until a running node is linked, and interrupts it.
fn interrupted_once_linked(shell: &Shell, mut node: Child) {
    let begun = std::time::Instant::now();
    while !shell.run("handfast nodes list --data /tmp/hf", "").contains("online") {
        let ended = node.try_wait().unwrap();
        assert!(ended.is_none() && begun.elapsed() < PATIENCE, "the node does not link: {ended:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let pid = node.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let ended = node.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "Ctrl-C ends a node in order: {err}");
}

#[test]
fn the_chapter_to_try_by_hand_works_as_printed_in_an_empty_home() {
    let shell = Shell::new();
    let mut commands = commands("Try it by hand").into_iter();
    let built: Vec<String> = commands.by_ref().take(2).collect();
    assert!(built[0].starts_with("cargo build") && built[1].starts_with("export PATH"));
    let serve = commands.next().unwrap();
    assert!(serve.starts_with("handfast serve"), "{serve}");
    let mut gateway = Running(shell.start(&serve));
    let shown = lines(gateway.0.stdout.take().unwrap());
    let logged = lines(gateway.0.stderr.take().unwrap());
    awaited(&shown, "approve nodes with");
    let (mut ran, mut paste, mut waiting) = (0, String::new(), None);
    for command in commands {
        let said = if command.contains("--approval") {
            // It waits in a terminal of its own until a later command approves it.
            // Others have asked before.
            waiting = Some(shell.start(&command));
            awaited(&shown, "Pairing request from \"Lathe\"");
            awaited(&shown, "Approve it with: ");
            String::new()
        } else if command.contains("--pin") {
            let mut node = shell.start(&command);
            let pin = awaited(&shown, "PIN: ");
            node.stdin.take().unwrap().write_all(format!("{pin}\n").as_bytes()).unwrap();
            let ended = node.wait_with_output().unwrap();
            let err = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert!(ended.status.success(), "{command}\n{err}");
            err
        } else if command.starts_with("handfast-node run") {
            if let Some(approved) = waiting.take() {
                let ended = approved.wait_with_output().unwrap();
                let err = String::from_utf8_lossy(&ended.stderr);
                assert!(ended.status.success(), "a node that is approved is paired: {err}");
            }
            let mut node = shell.start(&command);
            node.stdin.take().unwrap().write_all(paste.as_bytes()).unwrap();
            interrupted_once_linked(&shell, node);
            String::new()
        } else {
            shell.run(&command, &format!("{paste}\n"))
        };
        // What is shown once is pasted into the next command: a token, a code or a payload, which
        // are the only long words that begin a line.
        let secret = said.lines().find(|line| line.len() > 40 && !line.contains([' ', '█']));
        paste = secret.unwrap_or_default().to_owned();
        ran += 1;
    }
    assert!(ran > 15, "the chapter has {ran} commands");
    drop((gateway, logged));
}

#[test]
fn the_readme_lists_every_verb_and_no_other() {
    let readme = readme();
    let table = readme.split("| verb of `handfast` |").nth(1).expect("the table is there");
    let table = table.split("\n\n").next().unwrap();
    let first_cells = table.lines().skip(2).filter_map(|line| line.split('|').nth(1));
    let listed: BTreeSet<String> = first_cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let known: BTreeSet<String> =
        verbs("handfast").into_iter().map(|path| path.join(" ")).collect();
    assert_eq!(listed, known);
}
