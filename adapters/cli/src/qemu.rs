//! The firmware image under QEMU: a microcontroller with a console, a network and flash, without
//! the hardware.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use handfast_cli::qemu::{Image, RunningBoard};
//!
//! let image = Image::build().await?;
//! let dir = tempfile::tempdir()?; // the flash file is here, so the same folder is the same board
//! let mut machine = RunningBoard::start(&image, dir.path()).await?;
//! machine.line("gateway 10.0.2.2 8765").await?; // the host's loopback, seen from inside
//! machine.expect("settings kept").await?;
//! machine.kill().await; // a power cut
//! # Ok(()) }
//! ```
//!
//! The console is QEMU's own standard input and output, so no other program can reach it; what the
//! image says as its last words (a panic, a fault, its peak of stack) is in
//! [`RunningBoard::last_words`]. The board's second UART, for a gateway on a serial line, is a
//! pseudo-terminal if the machine was started with [`RunningBoard::start_with_serial`].

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

const QEMU: &str = "qemu-system-arm";
const TARGET: &str = "thumbv7em-none-eabihf";
const BOARD: &str = "boards/qemu-mps2-an386";
const BINARY: &str = "handfast-board-mps2-an386";

/// Name of the flash file in the machine's directory.
pub const FLASH_FILE: &str = "handfast-flash.bin";

/// Name of the file of the image's last words in the machine's directory.
const LAST_WORDS_FILE: &str = "last-words.txt";

/// Limit for [`RunningBoard::expect`]. No action of a board takes this long, even on a busy
/// machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The reason for which a machine could not be started, or did not behave as expected.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// A required program or file is not installed.
    #[error("{what} is missing: {mend}")]
    Missing {
        /// Name of the missing requirement.
        what: &'static str,
        /// The command that installs it.
        mend: &'static str,
    },
    /// The firmware's source is not at this path.
    #[error("the firmware's source is not here ({}): run this in the repository", .0.display())]
    NoSource(PathBuf),
    /// The firmware does not build; the text is the compiler's output.
    #[error("the firmware does not build:\n{0}")]
    Build(String),
    /// A program could not be run, or its streams failed.
    #[error("{program}: {error}")]
    Program {
        /// Name of the program.
        program: &'static str,
        /// The error of the system.
        error: std::io::Error,
    },
    /// The machine did not print the expected line.
    #[error("the machine should have said {expected:?}; it {ended} after saying:\n{said}")]
    Unexpected {
        /// The expected part of a line.
        expected: String,
        /// The machine's state instead.
        ended: &'static str,
        /// The whole console output, and the last words.
        said: String,
    },
}

/// Checks that everything that building and running the image needs is installed.
///
/// # Errors
/// [`QemuError::Missing`] with the first missing requirement and the command that installs it;
/// [`QemuError::NoSource`] if the firmware's source is missing.
pub async fn check() -> Result<(), QemuError> {
    let missing = |what, mend| QemuError::Missing { what, mend };
    let qemu = Command::new(QEMU).arg("--version").stdin(Stdio::null()).output().await;
    if !qemu.is_ok_and(|output| output.status.success()) {
        return Err(missing("QEMU for Arm", "`sudo apt-get install qemu-system-arm`"));
    }
    let folder = source()?;
    let mut rustc = Command::new("rustc");
    rustc
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(folder)
        .stdin(Stdio::null());
    let Ok(Output { stdout, .. }) = rustc.output().await else {
        return Err(missing("Rust", "see https://rustup.rs"));
    };
    let libraries = String::from_utf8_lossy(&stdout);
    match tokio::fs::try_exists(libraries.trim()).await {
        Ok(true) if !libraries.trim().is_empty() => Ok(()),
        Ok(_) | Err(_) => Err(missing(
            "Rust's target thumbv7em-none-eabihf",
            "`rustup target add thumbv7em-none-eabihf`",
        )),
    }
}

/// Returns the firmware's directory: beside the source that this program was built from, or in the
/// current directory or one above it.
fn source() -> Result<PathBuf, QemuError> {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../firmware");
    let here = std::env::current_dir().unwrap_or_default();
    let candidates = std::iter::once(built_from.clone())
        .chain(here.ancestors().map(|folder| folder.join("firmware")));
    candidates
        .filter(|folder| folder.join(BOARD).join("Cargo.toml").is_file())
        .find_map(|folder| folder.canonicalize().ok())
        .ok_or(QemuError::NoSource(built_from))
}

/// A built firmware image.
#[derive(Clone, Debug)]
pub struct Image {
    elf: PathBuf,
}

impl Image {
    /// Builds the image from the source tree; quick if it is built already.
    ///
    /// # Errors
    /// As [`check`], and [`QemuError::Build`] with the compiler's output.
    pub async fn build() -> Result<Self, QemuError> {
        check().await?;
        let firmware = source()?;
        let target_dir = firmware.join("target");
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--release", "--quiet", "--target-dir"]).arg(&target_dir);
        // The board's own configuration counts, not that of the build that this program may be part
        // of.
        for name in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_BUILD_RUSTFLAGS",
            "RUSTC_WRAPPER",
        ] {
            cargo.env_remove(name);
        }
        cargo.current_dir(firmware.join(BOARD)).stdin(Stdio::null()).kill_on_drop(true);
        let built =
            cargo.output().await.map_err(|error| QemuError::Program { program: "cargo", error })?;
        match built.status.success() {
            true => Ok(Self { elf: target_dir.join(TARGET).join("release").join(BINARY) }),
            false => Err(QemuError::Build(String::from_utf8_lossy(&built.stderr).into_owned())),
        }
    }
}

/// A running board. Dropping it kills it.
#[derive(Debug)]
pub struct RunningBoard {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    last_words: PathBuf,
    serial: Option<PathBuf>,
    /// The whole console output, and the position up to which [`RunningBoard::expect`] has searched
    /// it.
    said: String,
    looked: usize,
    /// The first bytes of a character that is not complete yet.
    partial: Vec<u8>,
}

impl RunningBoard {
    /// Powers a board on. Its flash is a file in `dir`: the same directory is the same board after
    /// a power cut, an empty one is a new board.
    ///
    /// # Errors
    /// [`QemuError::Program`] if QEMU does not start.
    pub async fn start(image: &Image, dir: &Path) -> Result<Self, QemuError> {
        Self::start_on(image, dir, "null").await
    }

    /// Powers a board on as [`RunningBoard::start`] does, with its second UART on a
    /// pseudo-terminal: [`RunningBoard::serial`].
    ///
    /// # Errors
    /// As [`RunningBoard::start`], and [`QemuError::Unexpected`] if QEMU does not name the
    /// terminal.
    pub async fn start_with_serial(image: &Image, dir: &Path) -> Result<Self, QemuError> {
        let mut machine = Self::start_on(image, dir, "pty").await?;
        let line = machine.expect("char device redirected to ").await?;
        let path = line.split_once("redirected to ").and_then(|(_, rest)| rest.split(' ').next());
        machine.serial = path.map(PathBuf::from);
        Ok(machine)
    }

    async fn start_on(image: &Image, dir: &Path, serial: &str) -> Result<Self, QemuError> {
        let failed = |error| QemuError::Program { program: QEMU, error };
        let last_words = dir.join(LAST_WORDS_FILE);
        let stderr = tokio::fs::File::create(&last_words).await.map_err(failed)?.into_std().await;
        let mut qemu = Command::new(QEMU);
        qemu.args(["-M", "mps2-an386", "-display", "none", "-monitor", "none", "-serial", "stdio"])
            .args(["-serial", serial])
            .args([
                "-netdev",
                "user,id=n0",
                "-net",
                "nic,netdev=n0,model=lan9118,macaddr=02:00:00:00:00:07",
            ])
            .args(["-semihosting-config", "enable=on,target=native", "-kernel"])
            .arg(&image.elf)
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true);
        let mut child = qemu.spawn().map_err(failed)?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(std::io::ErrorKind::BrokenPipe.into()));
        };
        Ok(Self {
            child,
            input,
            output,
            last_words,
            serial: None,
            said: String::new(),
            looked: 0,
            partial: Vec::new(),
        })
    }

    /// Types a line at the console.
    ///
    /// # Errors
    /// [`QemuError::Program`] if the machine has ended.
    pub async fn line(&mut self, text: &str) -> Result<(), QemuError> {
        self.bytes(text.as_bytes()).await?;
        self.bytes(b"\n").await
    }

    /// Types bytes unchanged.
    ///
    /// # Errors
    /// As [`RunningBoard::line`].
    pub async fn bytes(&mut self, bytes: &[u8]) -> Result<(), QemuError> {
        let failed = |error| QemuError::Program { program: QEMU, error };
        self.input.write_all(bytes).await.map_err(failed)?;
        self.input.flush().await.map_err(failed)
    }

    /// Waits for a line that contains `part` and returns it. Earlier lines are skipped; later ones
    /// stay for the next call.
    ///
    /// # Errors
    /// [`QemuError::Unexpected`] if the machine ends first, or no such line comes within 30 s.
    pub async fn expect(&mut self, part: &str) -> Result<String, QemuError> {
        let ended = match tokio::time::timeout(PATIENCE, self.until(part)).await {
            Ok(Some(line)) => return Ok(line),
            Ok(None) => "ended",
            Err(_) => "went on",
        };
        let said = format!("{}\n{}", self.said, self.last_words().await);
        Err(QemuError::Unexpected { expected: part.to_owned(), ended, said })
    }

    /// Returns the next whole line that contains `part`; `None` if the console ends first.
    async fn until(&mut self, part: &str) -> Option<String> {
        loop {
            while let Some((line, _)) = self.said[self.looked..].split_once('\n') {
                let line = line.to_owned();
                self.looked += line.len() + 1;
                if line.contains(part) {
                    return Some(line.trim_end().to_owned());
                }
            }
            self.read().await?;
        }
    }

    /// Reads the available output; `None` at its end.
    async fn read(&mut self) -> Option<()> {
        let mut chunk = [0; 1024];
        let length = self.output.read(&mut chunk).await.ok().filter(|&length| length > 0)?;
        self.partial.extend_from_slice(&chunk[..length]);
        // Only whole characters are decoded, because the end of the chunk may cut one. Invalid
        // bytes are replaced.
        let whole = match std::str::from_utf8(&self.partial) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Ok(_) | Err(_) => self.partial.len(),
        };
        let bytes: Vec<u8> = self.partial.drain(..whole).collect();
        self.said.push_str(&String::from_utf8_lossy(&bytes));
        Some(())
    }

    /// Returns the path of the board's second UART, if it has one.
    #[must_use]
    pub fn serial(&self) -> Option<&Path> {
        self.serial.as_deref()
    }

    /// Returns the whole console output so far.
    #[must_use]
    pub fn transcript(&self) -> &str {
        &self.said
    }

    /// Reads the image's output besides its console: a panic, a fault, its peak of stack.
    pub async fn last_words(&self) -> String {
        tokio::fs::read_to_string(&self.last_words).await.unwrap_or_default()
    }

    /// Waits for the image to end by itself.
    ///
    /// # Errors
    /// [`QemuError::Unexpected`] if it still runs after 30 s.
    pub async fn exit(&mut self) -> Result<ExitStatus, QemuError> {
        let all = async {
            while self.read().await.is_some() {}
            self.child.wait().await
        };
        match tokio::time::timeout(PATIENCE, all).await {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(error)) => Err(QemuError::Program { program: QEMU, error }),
            Err(_) => Err(QemuError::Unexpected {
                expected: "its end".to_owned(),
                ended: "went on",
                said: self.said.clone(),
            }),
        }
    }

    /// Cuts the power with SIGKILL, at any point of the program. Data that is in flash stays.
    pub async fn kill(mut self) {
        // An error means that it has ended by itself, which is the same.
        let _ = self.child.kill().await;
    }
}
