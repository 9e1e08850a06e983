//! Invocations of Cargo and QEMU.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A board, its image and its emulator.
pub struct EmulatedBoard {
    /// Name of the folder under `boards/`.
    pub folder: &'static str,
    pub target: &'static str,
    /// Name of the program that measures itself.
    pub image: &'static str,
    pub qemu: &'static [&'static str],
}

/// Feature of both boards: a panic says nothing.
const SILENT: &str = "silent";

/// Configuration of the builds with nightly Rust, in the firmware's folder.
const NIGHTLY: &str = "nightly.toml";

/// What an image's panics leave of themselves in flash.
#[derive(Clone, Copy)]
pub enum Panics {
    /// Words, and locations.
    Told,
    /// Locations.
    Silent,
    /// Nothing. Only nightly Rust builds such an image.
    Immediate,
}

impl Panics {
    /// Returns the beginning of a name for the images.
    const fn name(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Silent => "silent",
            Self::Immediate => "immediate",
        }
    }
}

/// Builds a board's program with these wires, or without the node if `wires` is empty, and returns
/// the path of a copy.
pub fn build(
    firmware: &Path,
    board: &EmulatedBoard,
    image: &str,
    wires: &str,
    panics: Panics,
) -> Result<PathBuf, Box<dyn Error>> {
    // One folder for all: what the variants have in common is built once.
    let target_dir = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| firmware.join("target"), PathBuf::from)
        .join(match panics {
            Panics::Told | Panics::Silent => "cost",
            Panics::Immediate => "cost-nightly",
        });
    let mut cargo = match panics {
        Panics::Told | Panics::Silent => Command::new("cargo"),
        Panics::Immediate => {
            let mut nightly = Command::new("rustup");
            nightly.args(["run", "nightly", "cargo"]);
            nightly
        }
    };
    cargo.current_dir(firmware.join("boards").join(board.folder));
    cargo.args(["build", "--release", "--quiet", "--bin", image, "--target-dir"]).arg(&target_dir);
    cargo.args(["--no-default-features", "--features", wires]);
    match panics {
        Panics::Told => {}
        Panics::Silent => {
            cargo.args(["--features", SILENT]);
        }
        Panics::Immediate => {
            cargo.args(["--features", SILENT, "--config"]).arg(firmware.join(NIGHTLY));
        }
    }
    // The figures are those of the boards' own flags.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    // An image with a part of the program warns of the parts that it has no use for.
    let output = cargo.output()?;
    let needs = match panics {
        Panics::Told | Panics::Silent => "",
        Panics::Immediate => {
            "; is nightly Rust there? `rustup toolchain install nightly -c rust-src`"
        }
    };
    if !output.status.success() {
        return Err(format!(
            "{}{image} does not build{needs}; is the target there? `rustup target add {}`",
            String::from_utf8_lossy(&output.stderr),
            board.target
        )
        .into());
    }
    let built = target_dir.join(board.target).join("release").join(image);
    // The next variant replaces the program.
    let wires = if wires.is_empty() { "without" } else { wires };
    let copy = format!("{image}-{wires}-{}", panics.name());
    let copy = target_dir.join(copy);
    std::fs::copy(built, &copy)?;
    Ok(copy)
}

/// Runs an image that measures itself and returns its output. With a fixed time for each
/// instruction, the board's timer counts instructions.
pub fn measure(board: &EmulatedBoard, image: &Path) -> Result<String, Box<dyn Error>> {
    let output = Command::new("qemu-system-arm")
        .args(board.qemu)
        .args([
            "-display",
            "none",
            "-monitor",
            "none",
            "-serial",
            "null",
            "-icount",
            "shift=6,align=off,sleep=off",
        ])
        .args(["-semihosting-config", "enable=on,target=native", "-kernel"])
        .arg(image)
        .output()
        .map_err(|error| {
            format!("qemu-system-arm: {error}; `sudo apt-get install qemu-system-arm`")
        })?;
    if !output.status.success() {
        return Err(format!(
            "{}: {}\n{}",
            board.image,
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
