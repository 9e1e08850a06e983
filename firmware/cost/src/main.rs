//! Builds the images, runs those that measure themselves, and prints their costs: flash, static
//! RAM, stack, instructions, and the locations that can panic. Run in `firmware/`: `cargo run
//! --release -p handfast-cost`. With `--check` it fails if flash, RAM or stack has grown by more than
//! 2 % over the committed figures, and with `--renew` it writes them. `--nightly` prints the flash of
//! the sealed wire as nightly Rust builds it.

mod elf;
mod figures;
mod run;

use std::error::Error;
use std::path::Path;

use elf::{Elf, SourceLocation};
use figures::Figures;
use run::{EmulatedBoard, Panics, build, measure};

const BOARDS: [EmulatedBoard; 2] = [
    EmulatedBoard {
        folder: "qemu-mps2-an386",
        target: "thumbv7em-none-eabihf",
        image: "handfast-cost-mps2-an386",
        qemu: &["-M", "mps2-an386"],
    },
    EmulatedBoard {
        folder: "microbit",
        target: "thumbv6m-none-eabi",
        image: "handfast-board-microbit",
        qemu: &["-M", "microbit", "-global", "nrf51-soc.sram-size=32768"],
    },
];

/// Folders of the crates that must not panic, from the root of the repository.
const OURS: [&str; 2] = ["core/src", "adapters/edge/src"];

/// The wires, each with the features that it is measured with.
const WIRES: [&str; 5] = ["native", "native,dispatch", "native,identity", "missy", "setup"];

fn main() -> Result<(), Box<dyn Error>> {
    let firmware = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    match std::env::args().nth(1).as_deref() {
        None => print_all(&firmware),
        Some("--check") => check(&firmware),
        Some("--renew") => figures::renew(&firmware, &measure_figures(&firmware)?),
        Some("--nightly") => print_nightly(&firmware),
        Some(other) => {
            Err(format!("{other}: only --check, --renew and --nightly are known").into())
        }
    }
}

/// Compares the figures with the committed ones.
fn check(firmware: &Path) -> Result<(), Box<dyn Error>> {
    let committed = figures::committed(firmware)?;
    let lines = figures::compare(&committed, &measure_figures(firmware)?);
    if lines.is_empty() {
        println!("{} figures are at most 2 % over the committed ones", committed.len());
        return Ok(());
    }
    let lines = lines.join("\n");
    Err(format!("{lines}\nIf that is meant: `cargo run --release -p handfast-cost -- --renew`, and say why in the commit").into())
}

/// Measures every figure that is committed.
fn measure_figures(firmware: &Path) -> Result<Figures, Box<dyn Error>> {
    let mut figures = Figures::new();
    for board in &BOARDS {
        for wire in WIRES {
            let path = build(firmware, board, board.image, wire, Panics::Silent)?;
            let base = Base::of(firmware, board, wire, Panics::Silent)?;
            let silent = Elf::read(&path)?;
            let name = |what: &str| format!("{}, {wire}: {what}", board.folder);
            figures.insert(name("flash"), silent.flash.saturating_sub(base.flash));
            figures.insert(name("static RAM"), silent.ram.saturating_sub(base.ram));
            for line in measure(board, &path)?.lines() {
                let Some((bytes, what)) = line.split_once('\t') else { continue };
                if what.contains("stack at most") || what.contains("stack more") {
                    figures.insert(name(what), bytes.parse()?);
                }
            }
        }
    }
    Ok(figures)
}

/// What an image weighs without the node.
struct Base {
    name: &'static str,
    flash: u64,
    ram: u64,
}

impl Base {
    /// Weighs what surrounds the node in an image with this wire. The compiler inlines the script
    /// into the node, so no symbol separates the two; an image of the script alone does.
    fn of(
        firmware: &Path,
        board: &EmulatedBoard,
        wire: &str,
        panics: Panics,
    ) -> Result<Self, Box<dyn Error>> {
        let (features, name) = match wire.starts_with("native") {
            true => ("script", "the script without the node"),
            false => ("", "that without the node"),
        };
        let elf = Elf::read(&build(firmware, board, board.image, features, panics)?)?;
        // The node needs the compiler's support as well, so it is the node's.
        let flash = elf.flash.saturating_sub(elf.support());
        Ok(Self { name, flash, ram: elf.ram })
    }
}

/// Prints the flash and static RAM of the sealed wire as nightly Rust builds it.
fn print_nightly(firmware: &Path) -> Result<(), Box<dyn Error>> {
    println!("| the sealed wire, built by nightly Rust | flash | static RAM |\n|---|---|---|");
    for board in &BOARDS {
        let path = build(firmware, board, board.image, "native", Panics::Immediate)?;
        let (node, base) =
            (Elf::read(&path)?, Base::of(firmware, board, "native", Panics::Immediate)?);
        // It must still pair and link.
        measure(board, &path)?;
        println!(
            "| {} | {} | {} |",
            board.folder,
            node.flash.saturating_sub(base.flash),
            node.ram.saturating_sub(base.ram)
        );
    }
    Ok(())
}

/// Prints every table.
fn print_all(firmware: &Path) -> Result<(), Box<dyn Error>> {
    let mut ours = 0;
    for board in &BOARDS {
        println!("\n## {} ({})", board.folder, board.target);
        for wire in WIRES {
            let base = Base::of(firmware, board, wire, Panics::Silent)?;
            println!(
                "\n### {}\n\n| | flash | static RAM |\n|---|---|---|",
                if wire == "setup" { "setup codes" } else { wire }
            );
            let path = build(firmware, board, board.image, wire, Panics::Told)?;
            let (with, measured) = (Elf::read(&path)?, measure(board, &path)?);
            println!("| the image that measures | {} | {} |", with.flash, with.ram);
            let silent = build(firmware, board, board.image, wire, Panics::Silent)?;
            let silent = Elf::read(&silent)?;
            println!(
                "| the same with panics that say nothing | {} | {} |",
                silent.flash, silent.ram
            );
            println!("| {} | {} | {} |", base.name, base.flash, base.ram);
            let measured: Vec<_> =
                measured.lines().map(|line| line.split_once('\t').unwrap_or(("", line))).collect();
            println!(
                "| {} | {} | {} |",
                match wire {
                    "setup" => "verifying, and the codes",
                    "missy" => "the node and the script that is played to it",
                    _ => "the node",
                },
                silent.flash - base.flash,
                silent.ram - base.ram
            );
            println!();
            print_crates(&with);
            ours += print_panics(&with, firmware);
            println!("\n| measured | |\n|---|---|");
            for (number, name) in measured {
                println!("| {name} | {number} |");
            }
        }
        if board.folder == "qemu-mps2-an386" {
            for wires in ["native", "missy", "missy,native", "missy,native,identity"] {
                let image = "handfast-board-mps2-an386";
                let whole = Elf::read(&build(firmware, board, image, wires, Panics::Told)?)?;
                println!(
                    "\n### The whole node ({wires}) with network and console: {} bytes of flash, {} of static RAM\n",
                    whole.flash, whole.ram
                );
                print_crates(&whole);
                ours += print_panics(&whole, firmware);
            }
        }
    }
    match ours {
        0 => Ok(()),
        _ => Err(format!("{ours} places in core and edge can panic").into()),
    }
}

/// Prints the code size by crate. A generic function counts for the crate that wrote it, and
/// inlined code counts for its caller.
fn print_crates(elf: &Elf) {
    println!("| crate | bytes of code |\n|---|---|");
    for (name, size) in elf.code_by_crate().into_iter().filter(|(_, size)| *size >= 200) {
        println!("| {name} | {size} |");
    }
}

/// Prints the locations that can panic and returns the number of those in our crates.
fn print_panics(elf: &Elf, firmware: &Path) -> usize {
    let (ends, places): (Vec<_>, Vec<_>) =
        elf.panic_places().into_iter().partition(|place| place.is_async_body(firmware));
    println!(
        "\n{} places that can panic (and {} async bodies, if they were polled after their end):",
        places.len(),
        ends.len()
    );
    for place in &places {
        println!("- {place}");
    }
    // Relative paths start at `firmware`.
    let ours = OURS.map(|folder| firmware.join("..").join(folder).canonicalize());
    let is_ours = |place: &SourceLocation| {
        firmware
            .join(&place.file)
            .canonicalize()
            .is_ok_and(|file| ours.iter().flatten().any(|folder| file.starts_with(folder)))
    };
    places.iter().filter(|place| is_ours(place)).count()
}
