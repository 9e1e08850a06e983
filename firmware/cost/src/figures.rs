//! The committed figures of flash, static RAM and stack, and the comparison with them.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Growth that is no failure, in thousandths: compilers and dependencies move the figures a little.
const TOLERANCE: u64 = 20;

/// Bytes by name: the board, the wire, and what is measured.
pub type Figures = BTreeMap<String, u64>;

/// Path of the committed figures.
fn path(firmware: &Path) -> PathBuf {
    firmware.join("cost/figures.txt")
}

/// Reads the committed figures.
pub fn committed(firmware: &Path) -> Result<Figures, Box<dyn Error>> {
    let path = path(firmware);
    let text =
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse(&text).ok_or_else(|| format!("{}: not lines of name, tab, bytes", path.display()).into())
}

fn parse(text: &str) -> Option<Figures> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| Some(line.split_once('\t')?))
        .map(|line| {
            let (name, bytes) = line?;
            Some((name.to_owned(), bytes.parse().ok()?))
        })
        .collect()
}

/// Writes the figures, to be committed.
pub fn renew(firmware: &Path, figures: &Figures) -> Result<(), Box<dyn Error>> {
    let mut text = String::from(
        "# Bytes of each image without its script. Renewed by `cargo run --release -p handfast-cost -- --renew`.\n",
    );
    for (name, bytes) in figures {
        writeln!(text, "{name}\t{bytes}")?;
    }
    Ok(std::fs::write(path(firmware), text)?)
}

/// Returns a line for each figure that grew by more than the tolerance, or that only one side has.
pub fn compare(committed: &Figures, measured: &Figures) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, &bytes) in measured {
        match committed.get(name) {
            Some(&before) if bytes * 1000 > before * (1000 + TOLERANCE) => {
                lines.push(format!("{name} grew from {before} to {bytes} bytes"));
            }
            Some(_) => {}
            None => lines.push(format!("{name} is not among the committed figures: {bytes} bytes")),
        }
    }
    let gone = committed.keys().filter(|name| !measured.contains_key(*name));
    lines.extend(gone.map(|name| format!("{name} was not measured")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(pairs: &[(&str, u64)]) -> Figures {
        pairs.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect()
    }

    #[test]
    fn growth_above_two_percent_is_named_and_less_is_not() {
        let committed = figures(&[("a", 1000), ("b", 1000), ("c", 1000)]);
        let lines = compare(&committed, &figures(&[("a", 1020), ("b", 1021), ("c", 400)]));
        assert_eq!(lines, ["b grew from 1000 to 1021 bytes"]);
    }

    #[test]
    fn a_figure_that_only_one_side_has_is_named() {
        let lines = compare(&figures(&[("old", 1)]), &figures(&[("new", 2)]));
        let new = "new is not among the committed figures: 2 bytes";
        assert_eq!(lines, [new, "old was not measured"]);
    }

    #[test]
    fn the_committed_figures_can_be_read() {
        let firmware = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let committed = committed(&firmware).unwrap();
        assert!(committed.keys().any(|name| name.ends_with("flash")), "{committed:?}");
        assert!(committed.keys().any(|name| name.contains("stack")), "{committed:?}");
    }
}
