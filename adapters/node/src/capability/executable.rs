//! A program as a capability: it is given the input on standard input, and its standard output is
//! the result. No shell is involved.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use handfast_core::limits::REASON_BYTES;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::{CapabilityCall, CapabilityHandler, CapabilityOutcome};

/// Time that a program has to end after SIGTERM.
const END_WITHIN: Duration = Duration::from_secs(2);

/// A program as a capability.
#[derive(Clone, Debug)]
pub struct ExecutableHandler {
    name: String,
    path: PathBuf,
}

/// The reason for which a file is not a handler.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path} is no program that this user may run; name one by its whole path")]
pub struct NotExecutable {
    path: PathBuf,
}

impl ExecutableHandler {
    /// Makes a program a capability with this name.
    ///
    /// # Errors
    /// [`NotExecutable`] unless the path is absolute and leads to an executable file.
    pub fn new(name: impl Into<String>, path: &Path) -> Result<Self, NotExecutable> {
        // A relative path would depend on the directory that the node was started in.
        let runs = path.is_absolute()
            && path
                .metadata()
                .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0);
        if runs {
            Ok(Self { name: name.into(), path: path.to_owned() })
        } else {
            Err(NotExecutable { path: path.to_owned() })
        }
    }

    fn start(&self) -> std::io::Result<Child> {
        Command::new(&self.path)
            // The environment of the node may hold secrets of its owner.
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HANDFAST_CAPABILITY", &self.name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that what the program starts ends with it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }
}

#[async_trait::async_trait]
impl CapabilityHandler for ExecutableHandler {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> &str {
        "1"
    }

    fn is_available(&self) -> bool {
        self.path.is_file()
    }

    async fn call(&self, call: CapabilityCall) -> CapabilityOutcome {
        let mut child = match self.start() {
            Ok(child) => child,
            Err(why) => {
                return CapabilityOutcome::Rejected(format!("the program does not start: {why}"));
            }
        };
        let group = ProcessGroup::of(&child);
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let most = call.max_result();
        let output = async {
            let write = async {
                if let Some(mut stdin) = stdin {
                    // A program need not read its input.
                    let _ = stdin.write_all(call.input()).await;
                }
            };
            // All three go on at once, because a full pipe stops the program.
            let ((), result, said) =
                tokio::join!(write, read(stdout, most), read(stderr, REASON_BYTES));
            (result, said)
        };
        let (result, said) = tokio::select! {
            output = output => output,
            () = call.cancelled() => {
                group.end(&mut child).await;
                return CapabilityOutcome::Cancelled;
            }
        };
        let Ok(result) = result else {
            return CapabilityOutcome::Failed(format!(
                "the program wrote more than the {most} bytes that were asked for"
            ));
        };
        match child.wait().await {
            Ok(status) if status.success() => CapabilityOutcome::Succeeded(result),
            Ok(status) => {
                let said = said.unwrap_or_default();
                let said = String::from_utf8_lossy(&said);
                // A reason has one line.
                let line = said.lines().next().unwrap_or_default();
                CapabilityOutcome::Failed(if line.is_empty() {
                    format!("the program ended with {status}")
                } else {
                    format!("the program ended with {status}: {line}")
                })
            }
            Err(why) => CapabilityOutcome::Failed(format!("the program is lost: {why}")),
        }
    }
}

/// Reads to the end, of which at most `most` bytes are kept. `Err` if there was more than that.
async fn read(from: Option<impl AsyncReadExt + Unpin>, most: usize) -> Result<Vec<u8>, Vec<u8>> {
    let Some(mut from) = from else { return Ok(Vec::new()) };
    let (mut kept, mut more, mut room) = (Vec::new(), false, [0; 1024]);
    // A program whose output is not read on would never end.
    while let Ok(length @ 1..) = from.read(&mut room).await {
        let read = room.get(..length).unwrap_or_default();
        let fits = read.len().min(most.saturating_sub(kept.len()));
        more |= fits < read.len();
        kept.extend_from_slice(read.get(..fits).unwrap_or_default());
    }
    if more { Err(kept) } else { Ok(kept) }
}

/// The processes of a program. They are killed when this is dropped.
struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// Asks the processes to end, and kills those that do not.
    async fn end(&self, child: &mut Child) {
        if let Some(group) = self.0 {
            // The group may have ended by itself.
            let _ = kill_process_group(group, Signal::TERM);
        }
        let _ = tokio::time::timeout(END_WITHIN, child.wait()).await;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // None may be left, or a process that the program started.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Capabilities, CapabilityRunner, Task, TaskReport};
    use super::*;
    use handfast_core::wire::native::link::DispatchId;

    async fn outcome(script: &str, max_result: usize, cancel: bool) -> Option<CapabilityOutcome> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let handler = ExecutableHandler::new("program", &path).unwrap();
        let mut runner = CapabilityRunner::new(Capabilities::none().with(handler).unwrap());
        let handler = runner.handler("program").unwrap();
        let id = DispatchId::from_bytes([1; 16]);
        runner.start(
            handler,
            Task {
                id,
                number: 1,
                capability: "program".to_owned(),
                input: b"{\"on\":true}".to_vec(),
                remaining: Duration::from_secs(20),
                max_result,
            },
        );
        if cancel {
            runner.cancel(&id);
        }
        loop {
            if let TaskReport::Ended(outcome) = runner.next().await.report {
                return outcome;
            }
        }
    }

    #[tokio::test]
    async fn a_program_is_given_the_input_and_its_output_is_the_result() {
        let told = outcome("cat; echo $HANDFAST_CAPABILITY $HOME", 100, false).await;
        assert_eq!(
            told,
            Some(CapabilityOutcome::Succeeded(b"{\"on\":true}program\n".to_vec())),
            "and no other variable of the node"
        );
    }

    #[tokio::test]
    async fn a_failure_has_the_first_line_of_what_the_program_said() {
        let Some(CapabilityOutcome::Failed(why)) =
            outcome("echo no lamp >&2; echo more >&2; exit 3", 100, false).await
        else {
            panic!("failed")
        };
        assert!(why.contains("exit status: 3: no lamp") && !why.contains("more"), "{why}");
    }

    #[tokio::test]
    async fn too_long_an_output_is_a_failure_and_blocks_nothing() {
        let Some(CapabilityOutcome::Failed(why)) =
            outcome("head -c 1000000 /dev/zero", 10, false).await
        else {
            panic!("failed")
        };
        assert!(why.contains("more than the 10 bytes"), "{why}");
    }

    #[tokio::test]
    async fn a_program_ends_with_all_that_it_started_when_it_is_cancelled() {
        let told = outcome("sleep 1000 & sleep 1000", 10, true).await;
        assert_eq!(told, Some(CapabilityOutcome::Cancelled));
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let text = tempfile::NamedTempFile::new().unwrap();
        let paths = ["/nowhere", "relative", "/tmp"].map(Path::new);
        for path in paths.into_iter().chain([text.path()]) {
            assert!(ExecutableHandler::new("a", path).is_err(), "{}", path.display());
        }
    }
}
