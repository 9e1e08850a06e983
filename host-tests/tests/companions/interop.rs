//! Interoperability of companions with a Python implementation (`websockets`) written from the
//! description alone: its companion with this gateway, and its gateway with this companion.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use futures_util::{SinkExt, StreamExt};
use handfast_core::flow::setup_code::companion::{Companion, Effect, Input};
use handfast_core::{Instant, Machine};
use tokio_tungstenite::tungstenite::Message;

use super::{sessions, started};
use crate::conformance::Served;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/companion.py");

async fn python(args: Vec<String>) -> (i32, String) {
    let ended = tokio::task::spawn_blocking(move || {
        Command::new("python3").arg(SCRIPT).args(args).output().expect("python3 starts")
    });
    let ended = ended.await.unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    (ended.status.code().unwrap_or(-1), said + &String::from_utf8_lossy(&ended.stderr))
}

fn words(of: &[&str]) -> Vec<String> {
    of.iter().map(|word| (*word).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python and host-tests/interop/requirements.txt"]
async fn a_companion_that_is_not_ours_gets_a_session_from_us_once() {
    let served = Served::start().await;
    let payload = started(&served).payload;
    let (code, said) = python(words(&["show", "--payload", &payload])).await;
    assert!(
        code == 0
            && said.starts_with(r#"answer {"session_token":""#)
            && said.contains("\nclose 1000"),
        "{said}"
    );
    assert!(!said.contains("more "), "{said}");
    let (code, said) = python(words(&["show", "--payload", &payload])).await;
    assert!(code == 1 && said.starts_with("answer {\"error\":\"already used\"}\n"), "{said}");
    let url = format!("ws://{}/pair", served.address);
    let (code, said) = python(words(&["show", "--url", &url, "--token", "nonsense"])).await;
    assert!(code == 1 && said.starts_with("answer {\"error\":\"unknown code\"}\n"), "{said}");
    assert_eq!(sessions(&served).await, 1);
}

/// Runs Python's gateway with this answer, and returns the companion's outcome.
async fn shows(token: &str, answer: &str) -> String {
    let mut child = Command::new("python3")
        .args([SCRIPT, "serve", "--answer", answer])
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port = lines.next().unwrap().unwrap();
    let url = format!("ws://127.0.0.1:{}/pair", port.strip_prefix("listening ").unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let mut room = [0; 2048];
    let (mut machine, frame) = Companion::begin(Instant::from_millis(0), token, &mut room).unwrap();
    socket.send(Message::text(frame)).await.unwrap();
    let came = socket.next().await.unwrap().unwrap();
    let mut scratch = [0; 2048];
    let text = came.into_text().unwrap();
    let effects = machine.step(Instant::from_millis(1), Input::Text(&text), &mut scratch);
    let outcome = match effects.iter().next() {
        Some(Effect::Keep(token)) => format!("keep {}", token.expose()),
        Some(Effect::Refused(word)) => format!("refused {word}"),
        other => format!("{other:?}"),
    };
    let heard = lines.next().unwrap().unwrap();
    assert_eq!(heard, format!(r#"frame {{"bootstrap_token":"{token}"}}"#));
    // The script waits for this side to close.
    socket.close(None).await.unwrap();
    drop(socket);
    assert!(child.wait().unwrap().success(), "the frame is another than it has to be");
    outcome
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python and host-tests/interop/requirements.txt"]
async fn our_companion_gets_a_session_from_a_gateway_that_is_not_ours() {
    const TOKEN: &str = "HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ";
    let opened = format!(r#"{{"session_token":"{TOKEN}"}}"#);
    assert_eq!(shows("e30.AAAA", &opened).await, format!("keep {TOKEN}"));
    assert_eq!(
        shows("e30.AAAA", &format!(r#"{{ "session_token" : "{TOKEN}" }}"#)).await,
        format!("keep {TOKEN}")
    );
    for word in ["unknown code", "expired", "invalid signature", "expected text frame", "internal"]
    {
        assert_eq!(
            shows("e30.AAAA", &format!(r#"{{"error":"{word}"}}"#)).await,
            format!("refused {word}")
        );
    }
}
