//! Cargo and QEMU.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An image on a board.
pub struct Board {
    /// Under `boards/`.
    pub folder: &'static str,
    pub target: &'static str,
    /// The program that measures itself.
    pub image: &'static str,
    pub qemu: &'static [&'static str],
}

/// Builds a program of a board with these wires, or without the node if there are none, and says
/// where it is.
pub fn build(
    firmware: &Path,
    board: &Board,
    image: &str,
    wires: &str,
) -> Result<PathBuf, Box<dyn Error>> {
    let folder = format!("cost-{}", if wires.is_empty() { "without" } else { wires });
    // Only programs are kept apart: what they share is built once.
    let target_dir = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| firmware.join("target"), PathBuf::from)
        .join(folder);
    let mut cargo = Command::new("cargo");
    cargo.current_dir(firmware.join("boards").join(board.folder));
    cargo.args(["build", "--release", "--quiet", "--bin", image, "--target-dir"]).arg(&target_dir);
    cargo.args(["--no-default-features", "--features", wires]);
    if !cargo.status()?.success() {
        return Err(format!(
            "{image} does not build; is the target there? `rustup target add {}`",
            board.target
        )
        .into());
    }
    Ok(target_dir.join(board.target).join("release").join(image))
}

/// Runs an image that measures itself. With a fixed time for each instruction, the board's timer
/// counts them.
pub fn measure(board: &Board, image: &Path) -> Result<String, Box<dyn Error>> {
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
