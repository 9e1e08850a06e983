//! The lists of the firmware's boards: their folders, `all.sh` and the READMEs agree.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|_| panic!("{path} reads"))
}

/// The words of a list in `all.sh`.
fn listed(name: &str) -> BTreeSet<String> {
    let script = read("host-tests/all.sh");
    let beginning = format!("{name}=\"");
    let line = script.lines().find_map(|line| line.strip_prefix(&beginning)).expect("a list");
    let (words, _) = line.split_once('"').expect("the end of a list");
    words.split(' ').map(str::to_owned).collect()
}

/// Returns what stands between the two texts for the first time.
fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    Some(text.split_once(before)?.1.split_once(after)?.0)
}

#[test]
fn every_board_is_checked_and_has_its_row_and_no_other_has() {
    let folders = fs::read_dir(root().join("firmware/boards")).expect("the boards read");
    let folders: BTreeSet<String> = folders
        .map(|entry| entry.expect("an entry reads").file_name().to_string_lossy().into_owned())
        .collect();
    let (emulated, hardware) = (listed("EMULATED_BOARDS"), listed("HARDWARE_BOARDS"));
    assert!(emulated.is_disjoint(&hardware), "a board is emulated or it is not");
    assert_eq!(&folders, &(&emulated | &hardware), "host-tests/all.sh");
    let readme = read("firmware/README.md");
    let table = between(&readme, "| board | chip |", "\n\n").expect("the table of boards");
    let rows: BTreeSet<String> = table
        .lines()
        .filter_map(|line| line.trim_start_matches(['|', ' ', '[']).strip_prefix('`'))
        .filter_map(|line| Some(line.split_once('`')?.0.to_owned()))
        .collect();
    assert_eq!(folders, rows, "firmware/README.md");
}

#[test]
fn every_board_has_a_target_that_its_build_script_its_readme_and_the_checks_name() {
    let hardware = listed("HARDWARE_BOARDS");
    let targets = &listed("BARE_TARGETS") | &listed("HARDWARE_TARGETS");
    for board in &hardware | &listed("EMULATED_BOARDS") {
        let file = |name: &str| read(&format!("firmware/boards/{board}/{name}"));
        let config = file(".cargo/config.toml");
        let target = between(&config, "target = \"", "\"").expect("a target").to_owned();
        assert!(targets.contains(&target), "{board}: all.sh does not install {target}");
        let built = format!("const TARGET: &str = \"{target}\";");
        assert!(file("build.rs").contains(&built), "{board}: build.rs has another target");
        if hardware.contains(&board) {
            let readme = file("README.md");
            for line in [
                format!("rustup target add {target}\n"),
                format!("cd firmware/boards/{board}\ncargo build --release\n"),
                format!("../../target/{target}/release/handfast-board-{board}\n"),
            ] {
                assert!(readme.contains(&line), "{board}: its README lacks {line:?}");
            }
        }
    }
}
