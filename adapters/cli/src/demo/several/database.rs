//! A PostgreSQL server of the demo's own.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::End;

/// Serves until its input ends, which it does however the demo ends, and removes its folder. An
/// interrupt at the terminal reaches it, too, and must not end it before that.
const SCRIPT: &str = r#"
set -u
folder=$(mktemp -d /tmp/handfast-demo-postgres.XXXXXX) || exit 1
cd "$folder" || exit 1
trap '' HUP INT TERM
trap 'pg_ctl -D data -m immediate stop >/dev/null 2>&1; rm -rf "$folder"' EXIT
initdb -D data -U handfast -A trust -E UTF8 --locale=C --no-sync >log 2>&1 || { cat log >&2; exit 1; }
pg_ctl -D data -l log -w -o "-k $folder -c listen_addresses= -c unix_socket_permissions=0700" start >/dev/null \
    || { cat log >&2; exit 1; }
chmod 755 "$folder"
echo "$folder"
cat >/dev/null
"#;

/// A server that stops with this value, or with the demo.
pub(super) struct Database {
    /// Its address, as `--store` takes it.
    pub(super) address: String,
    /// The version of the server.
    pub(super) version: String,
    shell: Child,
}

impl Database {
    pub(super) async fn start() -> Result<Self, End> {
        let programs = programs().ok_or_else(|| {
            End::Refused(
                "the programs of PostgreSQL are missing: apt-get install postgresql; its service is not needed"
                    .to_owned(),
            )
        })?;
        let told = Command::new(programs.join("postgres")).arg("--version").output().await;
        let told = told.map_err(End::refused)?.stdout;
        let version = String::from_utf8_lossy(&told).split_whitespace().nth(2).map(str::to_owned);
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = as_somebody();
        command.args(["sh", "-c", SCRIPT]).env("PATH", format!("{}:{path}", programs.display()));
        let mut shell =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(End::refused)?;
        let mut folder = String::new();
        if let Some(out) = shell.stdout.take() {
            BufReader::new(out).read_line(&mut folder).await.map_err(End::refused)?;
        }
        let folder = folder.trim();
        if folder.is_empty() {
            return Err(End::Refused(
                "PostgreSQL does not start; what it said is above".to_owned(),
            ));
        }
        let address = format!("postgres://handfast@{}/postgres", folder.replace('/', "%2F"));
        Ok(Self { address, version: version.unwrap_or_default(), shell })
    }

    /// Stops the server, and waits until its folder is gone.
    pub(super) async fn stop(mut self) {
        drop(self.shell.stdin.take());
        // It has ended, or ends later by itself; nothing else is to be done about it here.
        let _ = self.shell.wait().await;
    }
}

/// Returns the folder with the server's programs, the newest. Debian keeps them out of the search
/// path.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    versions.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |folder: &Path, program| folder.join(program).is_file();
    versions
        .into_iter()
        .rev()
        .chain(std::env::split_paths(&path))
        .find(|folder| has(folder, "initdb") && has(folder, "pg_ctl"))
}

/// Returns a command that runs another as somebody who may own a server, which root may not.
fn as_somebody() -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new("env");
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    command
}
