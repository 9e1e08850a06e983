//! What a program builds that embeds the gateway.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Returns how many crates the server is with these features, itself included.
fn crates(features: &[&str]) -> usize {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args(["tree", "--offline", "-p", "handfast-server"]);
    cargo.args(["--edges", "normal,build", "--prefix", "none", "--format", "{p}"]).args(features);
    let told = cargo.output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told = String::from_utf8(told.stdout).unwrap();
    told.lines().map(|line| line.trim_end_matches(" (*)")).collect::<BTreeSet<_>>().len()
}

#[test]
fn the_readmes_say_how_many_crates_the_server_is_with_each_feature() {
    let table = include_str!("../../adapters/server/README.md");
    let says = |feature: &str, number: usize| {
        let row = table.lines().find(|line| line.starts_with(&format!("| {feature} |"))).unwrap();
        assert!(row.ends_with(&format!("| {number} |")), "{number} crates with {feature}: {row}");
    };
    let (all, none) = (crates(&[]), crates(&["--no-default-features"]));
    says("all by default", all);
    says("none", none);
    for feature in ["sqlite", "tls", "serial", "metrics", "extensions", "announce", "nats"] {
        let alone = crates(&["--no-default-features", "--features", feature]);
        says(&format!("`{feature}`"), alone);
    }
    let words = format!("without them it is {none} crates instead of {all}");
    assert!(include_str!("../../README.md").contains(&words), "{words}");
}
