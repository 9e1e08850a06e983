//! The images that verify setup codes from Python, on a Cortex-M4F and a Cortex-M0.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Boards: folder, target, program, and QEMU's options.
const BOARDS: [(&str, &str, &str, &[&str]); 2] = [
    ("qemu-mps2-an386", "thumbv7em-none-eabihf", "handfast-cost-mps2-an386", &["-M", "mps2-an386"]),
    (
        "microbit",
        "thumbv6m-none-eabi",
        "handfast-board-microbit",
        &["-M", "microbit", "-global", "nrf51-soc.sram-size=32768"],
    ),
];

fn firmware() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware")
}

#[test]
#[ignore = "needs QEMU and the bare-metal targets"]
fn a_device_takes_a_good_setup_code_and_refuses_a_forged_an_expired_and_a_rotated_out_one() {
    let vectors: Value =
        serde_json::from_str(include_str!("../../interop/setup_codes.json")).unwrap();
    let source = std::fs::read_to_string(firmware().join("replay/src/setup.rs")).unwrap();
    for (kind, name) in [
        ("good", "without a label"),
        ("good", "of the older key"),
        ("bad", "SHA-256 without a key"),
        ("bad", "over now"),
    ] {
        let vector =
            vectors[kind].as_array().unwrap().iter().find(|vector| vector["name"] == name).unwrap();
        assert!(
            source.contains(vector["token"].as_str().unwrap()),
            "{name}: the image has another code than Python made"
        );
    }
    for (folder, target, program, qemu) in BOARDS {
        // `firmware/cost` uses the same folder.
        let built = firmware().join("target/cost");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(firmware().join("boards").join(folder));
        // Settings for the host's compiler do not apply to the board's.
        cargo
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .env_remove("CARGO_TARGET_DIR");
        cargo.args([
            "build",
            "--release",
            "--quiet",
            "--no-default-features",
            "--features",
            "setup",
            "--bin",
            program,
        ]);
        assert!(
            cargo.arg("--target-dir").arg(&built).status().expect("cargo starts").success(),
            "{program} does not build"
        );
        let image = built.join(target).join("release").join(program);
        let mut machine = Command::new("qemu-system-arm");
        machine.args(qemu).args(["-display", "none", "-monitor", "none", "-serial", "null"]);
        machine.args([
            "-icount",
            "shift=6,align=off,sleep=off",
            "-semihosting-config",
            "enable=on,target=native",
            "-kernel",
        ]);
        let ran = machine.arg(image).output().expect("qemu-system-arm starts");
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        // The image exits with an error if one verdict is wrong.
        assert!(
            ran.status.success(),
            "{folder}: {} {said}{}",
            ran.status,
            String::from_utf8_lossy(&ran.stderr)
        );
        for verdict in [
            "setup code, verify",
            "refuse a forged one",
            "refuse one whose time is over",
            "the older of two keys",
        ] {
            assert!(said.contains(verdict), "{folder}: {said}");
        }
    }
}
