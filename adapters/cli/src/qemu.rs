//! The firmware image under QEMU: a microcontroller with a console, a network and flash, without
//! the hardware.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use handfast_cli::qemu::{Image, Machine};
//!
//! let image = Image::build().await?;
//! let dir = tempfile::tempdir()?; // the flash file is here, so the same folder is the same board
//! let mut machine = Machine::start(&image, dir.path()).await?;
//! machine.line("gateway 10.0.2.2 8765").await?; // the host's loopback, seen from inside
//! machine.expect("settings kept").await?;
//! machine.kill().await; // a power cut
//! # Ok(()) }
//! ```
//!
//! The console is QEMU's own standard input and output, so no other program can reach it; what the
//! image says as its last words (a panic, a fault, its peak of stack) is in
//! [`Machine::last_words`]. The board's second UART, for a gateway on a serial line, is a
//! pseudo-terminal if the machine was started with [`Machine::start_with_serial`].

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

const QEMU: &str = "qemu-system-arm";
const TARGET: &str = "thumbv7em-none-eabihf";
const BOARD: &str = "boards/qemu-mps2-an386";
const BINARY: &str = "handfast-board-mps2-an386";

/// Where the image's own program finds its flash, in the machine's folder.
pub const FLASH_FILE: &str = "handfast-flash.bin";

/// Where the image's last words go, in the machine's folder.
const LAST_WORDS_FILE: &str = "last-words.txt";

/// How long [`Machine::expect`] waits. Nothing that a board does takes this long, even on a busy
/// machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no machine, or it did not do as expected.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// Something that has to be installed is not.
    #[error("{what} is missing: {mend}")]
    Missing {
        /// What.
        what: &'static str,
        /// The command that mends it.
        mend: &'static str,
    },
    /// The firmware's source is not here.
    #[error("the firmware's source is not here ({}): run this in the repository", .0.display())]
    NoSource(PathBuf),
    /// The firmware does not build; here is what the compiler says.
    #[error("the firmware does not build:\n{0}")]
    Build(String),
    /// A program could not be run, or not be talked to.
    #[error("{program}: {error}")]
    Program {
        /// Which.
        program: &'static str,
        /// What happened.
        error: std::io::Error,
    },
    /// The machine did not say what it should have.
    #[error("the machine should have said {expected:?}; it {ended} after saying:\n{said}")]
    Unexpected {
        /// What was waited for.
        expected: String,
        /// What it did instead.
        ended: &'static str,
        /// Everything on its console, and its last words.
        said: String,
    },
}

/// Whether everything is installed that building and running the image takes.
///
/// # Errors
/// [`QemuError::Missing`] names the first thing that is not, with the command that installs it;
/// [`QemuError::NoSource`].
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

/// The firmware's folder: beside the source that this program was built from, or in the current
/// folder or one above it.
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

/// A built image.
#[derive(Clone, Debug)]
pub struct Image {
    elf: PathBuf,
}

impl Image {
    /// Builds the image from the source tree; quick if it is built already.
    ///
    /// # Errors
    /// As [`check`], and [`QemuError::Build`] with what the compiler said.
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
pub struct Machine {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    last_words: PathBuf,
    serial: Option<PathBuf>,
    /// Everything on the console, and how far [`Machine::expect`] has looked.
    said: String,
    looked: usize,
    /// The beginning of a character whose end has not come yet.
    partial: Vec<u8>,
}

impl Machine {
    /// Powers a board on. Its flash is a file in `dir`: the same folder is the same board after a
    /// power cut, an empty one is a new board.
    ///
    /// # Errors
    /// [`QemuError::Program`] if QEMU does not start.
    pub async fn start(image: &Image, dir: &Path) -> Result<Self, QemuError> {
        Self::start_on(image, dir, "null").await
    }

    /// The same, with the board's second UART on a pseudo-terminal: [`Machine::serial`].
    ///
    /// # Errors
    /// As [`Machine::start`], and [`QemuError::Unexpected`] if QEMU does not say which terminal it
    /// is.
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

    /// Types bytes as they are.
    ///
    /// # Errors
    /// As [`Machine::line`].
    pub async fn bytes(&mut self, bytes: &[u8]) -> Result<(), QemuError> {
        let failed = |error| QemuError::Program { program: QEMU, error };
        self.input.write_all(bytes).await.map_err(failed)?;
        self.input.flush().await.map_err(failed)
    }

    /// Waits for a line that contains `part` and gives it. Lines before it are passed over; those
    /// after it are for the next call.
    ///
    /// # Errors
    /// [`QemuError::Unexpected`] if the machine ends first, or nothing of the kind comes for half a
    /// minute.
    pub async fn expect(&mut self, part: &str) -> Result<String, QemuError> {
        let ended = match tokio::time::timeout(PATIENCE, self.until(part)).await {
            Ok(Some(line)) => return Ok(line),
            Ok(None) => "ended",
            Err(_) => "went on",
        };
        let said = format!("{}\n{}", self.said, self.last_words().await);
        Err(QemuError::Unexpected { expected: part.to_owned(), ended, said })
    }

    /// The next whole line that contains `part`; `None` if the console ends first.
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

    /// Reads what there is; `None` if nothing more can come.
    async fn read(&mut self) -> Option<()> {
        let mut chunk = [0; 1024];
        let length = self.output.read(&mut chunk).await.ok().filter(|&length| length > 0)?;
        self.partial.extend_from_slice(&chunk[..length]);
        // Whole characters only: one may be cut by the end of the chunk. What can never become one
        // is replaced.
        let whole = match std::str::from_utf8(&self.partial) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Ok(_) | Err(_) => self.partial.len(),
        };
        let bytes: Vec<u8> = self.partial.drain(..whole).collect();
        self.said.push_str(&String::from_utf8_lossy(&bytes));
        Some(())
    }

    /// The other end of the board's second UART, if it has one.
    #[must_use]
    pub fn serial(&self) -> Option<&Path> {
        self.serial.as_deref()
    }

    /// Everything read from the console so far.
    #[must_use]
    pub fn transcript(&self) -> &str {
        &self.said
    }

    /// What the image said besides its console: a panic, a fault, its peak of stack.
    pub async fn last_words(&self) -> String {
        tokio::fs::read_to_string(&self.last_words).await.unwrap_or_default()
    }

    /// Waits for the image to end by itself.
    ///
    /// # Errors
    /// [`QemuError::Unexpected`] if it goes on for half a minute.
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

    /// Cuts the power: SIGKILL, wherever the program is. What it has written to flash stays.
    pub async fn kill(mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill().await;
    }
}
