//! Builds the images, runs those that measure themselves, and prints their costs: flash, static
//! RAM, stack, instructions, and the locations that can panic. Run in `firmware/`: `cargo run
//! --release -p handfast-cost`.

mod elf;
mod run;

use std::error::Error;
use std::path::Path;

use elf::{Elf, SourceLocation};
use run::{EmulatedBoard, build, measure};

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

fn main() -> Result<(), Box<dyn Error>> {
    let firmware = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let mut ours = 0;
    for board in &BOARDS {
        println!("\n## {} ({})", board.folder, board.target);
        let without = Elf::read(&build(&firmware, board, board.image, "", true)?)?;
        for wire in ["native", "native,dispatch", "native,identity", "missy", "setup"] {
            println!(
                "\n### {}\n\n| | flash | static RAM |\n|---|---|---|",
                if wire == "setup" { "setup codes" } else { wire }
            );
            let path = build(&firmware, board, board.image, wire, false)?;
            let (with, measured) = (Elf::read(&path)?, measure(board, &path)?);
            println!("| the image that measures | {} | {} |", with.flash, with.ram);
            let silent = Elf::read(&build(&firmware, board, board.image, wire, true)?)?;
            println!(
                "| the same with panics that say nothing | {} | {} |",
                silent.flash, silent.ram
            );
            println!("| that without the node | {} | {} |", without.flash, without.ram);
            let measured: Vec<_> =
                measured.lines().map(|line| line.split_once('\t').unwrap_or(("", line))).collect();
            // The compiler inlines one into the other, so no symbol separates the two.
            println!(
                "| {} | {} | {} |",
                if wire == "setup" {
                    "verifying, and the codes"
                } else {
                    "the node and the script that is played to it"
                },
                silent.flash - without.flash,
                silent.ram - without.ram
            );
            println!();
            print_crates(&with);
            ours += print_panics(&with, &firmware);
            println!("\n| measured | |\n|---|---|");
            for (number, name) in measured {
                println!("| {name} | {number} |");
            }
        }
        if board.folder == "qemu-mps2-an386" {
            for wires in ["native", "missy", "missy,native", "missy,native,identity"] {
                let whole = Elf::read(&build(
                    &firmware,
                    board,
                    "handfast-board-mps2-an386",
                    wires,
                    false,
                )?)?;
                println!(
                    "\n### The whole node ({wires}) with network and console: {} bytes of flash, {} of static RAM\n",
                    whole.flash, whole.ram
                );
                print_crates(&whole);
                ours += print_panics(&whole, &firmware);
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
