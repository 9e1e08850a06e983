//! The examples for programs that embed Handfast, run together.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdout, Stdio};

use crate::binaries::{Running, program};

/// Reads lines until one begins so, and returns the rest of it.
fn after(lines: &mut BufReader<ChildStdout>, beginning: &str) -> String {
    let mut seen = String::new();
    loop {
        let mut line = String::new();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "{beginning} never came: {seen}");
        if let Some(rest) = line.strip_prefix(beginning) {
            return rest.trim().to_owned();
        }
        seen += &line;
    }
}

#[test]
fn the_node_of_the_examples_pairs_with_the_gateway_of_the_examples_and_links() {
    let mut command = program("examples/embed_gateway");
    command.arg("127.0.0.1:0").stdout(Stdio::piped());
    let mut gateway = Running(command.spawn().unwrap());
    let mut gateway_says = BufReader::new(gateway.0.stdout.take().unwrap());
    let url = after(&mut gateway_says, "Listening on ");

    let state = tempfile::tempdir().unwrap();
    let mut command = program("examples/node");
    command.arg(url).arg(state.path().join("lamp")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut node = Running(command.spawn().unwrap());
    let mut node_says = BufReader::new(node.0.stdout.take().unwrap());
    after(&mut node_says, "Type the PIN");
    let pin = after(&mut gateway_says, "PIN for Lamp: ");
    writeln!(node.0.stdin.take().unwrap(), "{pin}").unwrap();

    let paired = after(&mut gateway_says, "Paired ");
    assert_eq!(after(&mut gateway_says, "Linked "), paired);
    assert_eq!(after(&mut node_says, "Linked as "), format!("{paired}."));
}
