//! The shipped programs, run as a user runs them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

/// Builds the programs once, in the profile of this test, and returns their folder.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let exe = std::env::current_exe().expect("a test knows where it is");
        let profile = exe
            .parent()
            .and_then(Path::parent)
            .expect("tests live in target/PROFILE/deps")
            .to_owned();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // The same selection as that of the tests: another one would build the dependencies once
        // more, with other features.
        cargo.args(["build", "--quiet", "--workspace", "--bins", "--examples", "--test", "main"]);
        cargo
            .arg("--manifest-path")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"));
        cargo.arg("--target-dir").arg(profile.parent().expect("target/PROFILE has a parent"));
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo runs").success(), "the programs do not build");
        profile
    })
}

/// Returns a command for one of the programs, without the environment variables that would change
/// its behaviour.
pub(crate) fn program(name: &str) -> Command {
    let mut command = Command::new(built().join(name));
    command
        .env_remove("HANDFAST_DATA")
        .env_remove("STATE_DIRECTORY")
        .env_remove("XDG_DATA_HOME")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

/// Runs a program to its end.
pub(crate) fn run(name: &str, args: &[&str]) -> Output {
    program(name).args(args).output().expect("the program starts")
}

/// Returns a program's exit status and its output.
pub(crate) fn text(output: &Output) -> (i32, String, String) {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), lossy(&output.stdout), lossy(&output.stderr))
}

/// A program that runs until the test ends.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Kills the program, as a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
