//! The programs that a radio needs. Each ends with this process.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// Limit for a program that was asked to end.
const END_WITHIN: Duration = Duration::from_secs(4);
/// Directories that a user's own search path often lacks.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";

/// Runs the program of its arguments, and ends it when it is itself asked to end. A program that
/// gives up root, as dnsmasq does, loses its parent-death signal; this shell keeps it.
const KEEPER: &str =
    r#"child=; trap 'kill $child' TERM; "$@" & child=$!; wait $child; wait $child"#;

/// A program that runs.
pub(in crate::provisioning) struct Program {
    child: Child,
}

impl Program {
    /// Starts a program. The kernel ends it if this process is killed.
    ///
    /// What it writes is dropped, since it can repeat a passphrase.
    pub(in crate::provisioning) fn start(name: &str, arguments: &[&str]) -> std::io::Result<Self> {
        // `setpriv` sets the signal and then becomes the shell.
        let child = command("setpriv")
            .args(["--pdeathsig", "TERM", "--", "sh", "-c", KEEPER, "sh", name])
            .args(arguments)
            .spawn()?;
        Ok(Self { child })
    }

    /// Returns `true` if the program has ended by itself.
    pub(in crate::provisioning) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends the program, and waits until it has cleaned up.
    pub(in crate::provisioning) async fn stop(mut self) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(END_WITHIN, self.child.wait()).await.is_err() {
            self.signal(Signal::KILL);
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid
            && let Err(why) = kill_process(pid, signal)
        {
            tracing::debug!("the program had ended: {why}");
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Not killed, so that it leaves the radio as it found it.
        self.signal(Signal::TERM);
    }
}

/// Runs a program to its end; `true` if it succeeds.
pub(in crate::provisioning) async fn run(name: &str, arguments: &[&str]) -> bool {
    let ended = command(name).args(arguments).status().await;
    ended.is_ok_and(|status| status.success())
}

/// Returns `true` if a program of this name is installed.
pub(in crate::provisioning) fn is_installed(name: &str) -> bool {
    path().split(':').any(|directory| std::path::Path::new(directory).join(name).is_file())
}

fn path() -> String {
    match std::env::var("PATH") {
        Ok(path) if !path.is_empty() => format!("{path}:{SYSTEM_PATH}"),
        Ok(_) | Err(_) => SYSTEM_PATH.to_owned(),
    }
}

fn command(name: &str) -> Command {
    let mut command = Command::new(name);
    command
        .env_clear()
        .env("PATH", path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}
