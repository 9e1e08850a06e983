//! The examples for programs that embed Handfast, run together.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{ChildStdout, Stdio};
use std::sync::mpsc;

use handfast_core::link::dispatch::DispatchState;
use handfast_core::registry::sessions::Maker;
use handfast_core::{NodeId, Span};
use handfast_server::operator::NewDispatch;
use handfast_server::{Event, Gateway, Observer};
use handfast_store::{DispatchReport, MemoryStore};

use crate::binaries::{Running, program};
use crate::conformance::{PATIENCE, eventually};

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

/// A gateway of the examples, and the node of the examples, which has paired with it and is linked.
struct Met {
    _gateway: Running,
    _gateway_says: BufReader<ChildStdout>,
    _node: Running,
    _node_says: BufReader<ChildStdout>,
    _state: tempfile::TempDir,
    /// The address of the gateway.
    url: String,
    node_id: NodeId,
}

fn the_node_meets(gateway: &str) -> Met {
    let mut command = program(gateway);
    command.arg("127.0.0.1:0").stdout(Stdio::piped());
    let mut gateway = Running(command.spawn().unwrap());
    let mut gateway_says = BufReader::new(gateway.0.stdout.take().unwrap());
    let url = after(&mut gateway_says, "Listening on ");

    let state = tempfile::tempdir().unwrap();
    let mut command = program("examples/node");
    command.arg(&url).arg(state.path().join("lamp")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut node = Running(command.spawn().unwrap());
    let mut node_says = BufReader::new(node.0.stdout.take().unwrap());
    after(&mut node_says, "Type the PIN");
    let pin = after(&mut gateway_says, "PIN for Lamp: ");
    writeln!(node.0.stdin.take().unwrap(), "{pin}").unwrap();

    let paired = after(&mut gateway_says, "Paired ");
    assert_eq!(after(&mut gateway_says, "Linked "), paired);
    assert_eq!(after(&mut node_says, "Linked as "), format!("{paired}."));
    Met {
        _gateway: gateway,
        _gateway_says: gateway_says,
        _node: node,
        _node_says: node_says,
        _state: state,
        url,
        node_id: paired.parse().unwrap(),
    }
}

#[test]
fn the_node_of_the_examples_pairs_with_the_gateway_of_the_examples_and_links() {
    the_node_meets("examples/embed_gateway");
}

#[test]
fn the_server_of_the_examples_pairs_the_node_by_its_own_decision_and_answers_at_its_own_route() {
    let met = the_node_meets("examples/own_server");
    let get = |path: &str| {
        let mut server = TcpStream::connect(met.url.trim_start_matches("ws://")).unwrap();
        write!(server, "GET {path} HTTP/1.1\r\nHost: lamps\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        server.read_to_string(&mut answer).unwrap();
        answer
    };
    let lamp = get(&format!("/lamps/{}", met.node_id));
    assert!(lamp.ends_with("\r\n\r\nLamp is linked\n"), "{lamp}");
    assert!(get("/lamps/kitchen").starts_with("HTTP/1.1 400 "));
    assert!(get("/health").ends_with(r#"{"status":"ok"}"#));
}

/// The display that only trusted people see.
struct Display(mpsc::Sender<String>);

impl Observer for Display {
    fn event(&self, event: &Event) {
        if let Event::PairingRequest { pin, .. } = event {
            let _ = self.0.send(pin.expose().to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_board_of_the_example_does_what_it_is_given_to_do() {
    let (show, shown) = mpsc::channel();
    let builder = Gateway::builder(MemoryStore::default()).observer(Display(show));
    let gateway = builder.start().await.unwrap();
    gateway.open_pairing(None).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(handfast_server::serve_tcp(gateway.clone(), listener, std::future::pending()));

    let pairs = tokio::task::spawn_blocking(move || {
        let mut command = program("examples/dispatch");
        command.arg(address).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut board = Running(command.spawn().unwrap());
        let mut says = BufReader::new(board.0.stdout.take().unwrap());
        after(&mut says, "Type the PIN");
        let mut typed = board.0.stdin.take().unwrap();
        writeln!(typed, "{}", shown.recv().unwrap()).unwrap();
        let linked = after(&mut says, "Linked as ");
        // The end of either stream would stop the board.
        (board, (typed, says), NodeId::parse(linked.trim_end_matches('.')).unwrap())
    });
    let (_board, _streams, node_id) = pairs.await.unwrap();
    eventually(async || gateway.capabilities(node_id).await.unwrap().len() == 2).await;
    for (capability, expected) in [("thermometer", "21.5"), ("valve.close", "\"closed\"")] {
        let new = NewDispatch {
            id: None,
            capability: capability.to_owned(),
            input: b"null".to_vec(),
            within: Span::from_secs(60),
            max_payload: 100,
        };
        let mut task = gateway.invoke(node_id, new, Maker::Operator).await.unwrap();
        while !task.stored.life.state.is_over() {
            task = gateway.await_dispatch(&task, PATIENCE).await.unwrap();
        }
        assert_eq!(task.stored.life.state, DispatchState::Succeeded, "{task:?}");
        let result = DispatchReport::Result(expected.as_bytes().to_vec());
        assert_eq!(task.stored.report, Some(result));
    }
}
