//! The binary as a child process, with all its output.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

use super::soon;

/// A running `handfast-node`.
pub(crate) struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::UnboundedReceiver<String>,
    said: String,
}

/// A `handfast-node` that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
}

impl Program {
    /// Starts the program with these arguments and an empty standard input.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::spawn(arguments, Stdio::null())
    }

    /// Starts the program and types this input.
    pub(crate) async fn start_typing(arguments: &[&str], input: &str) -> Self {
        let mut program = Self::spawn(arguments, Stdio::piped());
        program.child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        program
    }

    /// Starts the program with a standard input that can be [typed](Self::types) to later.
    pub(crate) fn start_asked(arguments: &[&str]) -> Self {
        let mut program = Self::spawn(arguments, Stdio::piped());
        program.stdin = program.child.stdin.take();
        program
    }

    /// Starts the program with this standard input.
    pub(crate) fn start_at(arguments: &[&str], stdin: std::fs::File) -> Self {
        Self::spawn(arguments, stdin.into())
    }

    /// Types a line.
    pub(crate) async fn types(&mut self, line: &str) {
        self.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// Ends the standard input.
    pub(crate) fn types_no_more(&mut self) {
        self.stdin = None;
    }

    /// Starts a command line in a shell, with a standard input that can be typed to.
    pub(crate) fn start_line(line: &str) -> Self {
        let binary = Path::new(env!("CARGO_BIN_EXE_handfast-node"));
        let mut shell = Command::new("/bin/bash");
        // With `exec` a signal reaches the program and not the shell.
        shell.args(["-c", &format!("exec {line}")]);
        shell.env("PATH", binary.parent().unwrap());
        let mut program = Self::of(shell, Stdio::piped());
        program.stdin = program.child.stdin.take();
        program
    }

    fn spawn(arguments: &[&str], stdin: Stdio) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_handfast-node"));
        command.args(arguments);
        Self::of(command, stdin)
    }

    fn of(mut command: Command, stdin: Stdio) -> Self {
        let mut child = command
            .env("RUST_LOG", "trace")
            .env_remove("STATE_DIRECTORY")
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (lines_in, lines) = mpsc::unbounded_channel();
        listen(child.stdout.take().unwrap(), lines_in.clone());
        listen(child.stderr.take().unwrap(), lines_in);
        Self { child, stdin: None, lines, said: String::new() }
    }

    /// Waits for a line that contains `part`, and returns it.
    pub(crate) async fn says(&mut self, part: &str) -> String {
        loop {
            match soon(part, self.lines.recv()).await {
                Some(line) => {
                    self.said.push_str(&line);
                    self.said.push('\n');
                    if line.contains(part) {
                        return line;
                    }
                }
                None => panic!("it ended without saying {part:?}, but\n{}", self.said),
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id as i32)).expect("it runs");
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end of the program.
    pub(crate) async fn end(mut self) -> Ended {
        while let Some(line) = soon("the end of the program", self.lines.recv()).await {
            self.said.push_str(&line);
            self.said.push('\n');
        }
        let status = soon("its exit code", self.child.wait()).await.unwrap();
        Ended { code: status.code(), said: self.said }
    }
}

fn listen(stream: impl AsyncRead + Unpin + Send + 'static, lines: mpsc::UnboundedSender<String>) {
    tokio::spawn(async move {
        let mut reader = BufReader::new(stream).lines();
        while let Ok(Some(line)) = reader.next_line().await {
            let _ = lines.send(line);
        }
    });
}

/// Runs the program to its end.
pub(crate) async fn outcome(arguments: &[&str]) -> Ended {
    Program::start(arguments).end().await
}

/// A directory for one node: its state, and a place for its token.
pub(crate) struct Home {
    root: tempfile::TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.root.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn state(&self) -> String {
        self.path("state")
    }

    /// Writes the token file with these permissions.
    pub(crate) fn token(&self, token: &str, mode: u32) -> String {
        let path = self.path("token");
        write(&PathBuf::from(&path), token, mode);
        path
    }
}

pub(crate) fn write(path: &Path, content: &str, mode: u32) {
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
