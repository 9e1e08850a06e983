//! The process group of an extension. It does not outlive its owner.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// Environment variables that a program inherits. Others may hold secrets of the gateway.
const KEPT: [&str; 12] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];
/// Limit for a killed process to disappear.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Returns the environment of a program: the variables that hold no secrets.
pub(super) fn environment() -> impl Iterator<Item = (&'static str, OsString)> {
    KEPT.iter().filter_map(|key| Some((*key, std::env::var_os(key)?)))
}

/// A running program and its three streams.
pub(super) struct Program {
    pub(super) group: ProcessGroup,
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
}

/// A process group. Dropping it kills the group.
pub(super) struct ProcessGroup {
    child: Child,
    /// The group's leader. It has not been waited for, so its process id cannot be reused yet.
    leader: Option<Pid>,
}

impl Program {
    /// Starts the program in a process group of its own, with an environment that holds no secrets.
    pub(super) fn start(name: &str, command: &[String]) -> Result<Self, String> {
        let (program, arguments) = command.split_first().ok_or("no command is configured")?;
        let spawned = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(environment())
            .env("HANDFAST_EXTENSION", name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // The group is its own, so that what the program starts is killed with it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let mut child = spawned.map_err(|error| {
            if error.kind() == ErrorKind::NotFound {
                format!("there is no program {program:?}; name one that is there, by its full path if need be")
            } else {
                format!("{program:?} cannot be started: {error}")
            }
        })?;
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let group = ProcessGroup::of(child);
        match streams {
            (Some(stdin), Some(stdout), Some(stderr)) => Ok(Self { group, stdin, stdout, stderr }),
            _ => Err(format!("{program:?} has no standard streams")),
        }
    }
}

impl ProcessGroup {
    /// Takes over a child that was started as the leader of a group of its own.
    pub(super) fn of(child: Child) -> Self {
        let leader = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Self { child, leader }
    }

    /// Waits until the leader ends. What it has left behind goes on.
    pub(super) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        // It has been waited for, so its id may belong to another process from now on.
        self.leader = None;
        Ok(status)
    }

    /// Kills the rest of the group, and waits until its leader is gone.
    pub(super) async fn end(mut self) {
        self.kill();
        if tokio::time::timeout(GONE_WITHIN, self.child.wait()).await.is_err() {
            tracing::warn!("a killed extension is still there; the system ends it when it can");
        }
    }

    fn kill(&mut self) {
        // Once the leader is waited for, its id may belong to another process.
        if let Some(leader) = self.leader.take() {
            // Killing a group that is gone already fails, which is harmless.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.kill();
    }
}
