//! Texts that are committed under `host-tests/snapshots`, so that a diff shows every change of
//! behaviour.

use std::fs;
use std::path::Path;

/// Compares a text with the committed one; `UPDATE_SNAPSHOTS=1` writes it instead.
pub(crate) fn check(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some_and(|value| value == "1") {
        fs::write(&path, actual).expect("the snapshot can be written");
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == actual,
        "{name} differs:\n{}\nIf this is meant: UPDATE_SNAPSHOTS=1",
        diff(&committed, actual)
    );
}

/// Returns the lines from the first to the last that differ, with the section in which they are.
fn diff(committed: &str, actual: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) =
        (committed.lines().collect(), actual.lines().collect());
    let same_before = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - same_before;
    let same_after =
        old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let section =
        old[..same_before].iter().rev().find(|line| !line.starts_with(' ')).unwrap_or(&"");
    let marked = |lines: &[&str], mark: &str| -> String {
        lines.iter().map(|line| format!("{mark} {line}\n")).collect()
    };
    let removed = marked(&old[same_before..old.len() - same_after], "-");
    format!("  {section}\n{removed}{}", marked(&new[same_before..new.len() - same_after], "+"))
}
