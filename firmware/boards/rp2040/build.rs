//! Passes the linker scripts to the linker, and refuses any other board's target.

use std::{env, error::Error, fs, path::PathBuf};

const TARGET: &str = "thumbv6m-none-eabi";

fn main() -> Result<(), Box<dyn Error>> {
    let target = env::var("TARGET")?;
    if target != TARGET {
        return Err(format!(
            "this board is {TARGET}, not {target}: run cargo in the board's own folder"
        )
        .into());
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::copy("memory.x", out.join("memory.x"))?;
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=-Tlink-rp.x");
    println!("cargo::rustc-link-arg-bins=--nmagic");
    println!("cargo::rerun-if-changed=memory.x");
    Ok(())
}
