//! Passes the HAL's linker script to the linker, and refuses any other board's target.

use std::{env, error::Error};

const TARGET: &str = "riscv32imac-unknown-none-elf";

fn main() -> Result<(), Box<dyn Error>> {
    let target = env::var("TARGET")?;
    if target != TARGET {
        return Err(format!(
            "this board is {TARGET}, not {target}: run cargo in the board's own folder"
        )
        .into());
    }
    println!("cargo::rustc-link-arg-bins=-Tlinkall.x");
    Ok(())
}
