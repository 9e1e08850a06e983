//! The binary against the reference server: Python, `websockets`, written from the specification
//! alone.

mod support;

use std::process::Stdio;

use rustix::process::Signal;
use support::program::{Home, Program, outcome};
use support::soon;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

struct Reference {
    commands: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Reference {
    fn start() -> Self {
        let script =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../host-tests/interop/reference_server.py");
        let mut child = Command::new("python3")
            .args([script, "--port", "0", "--chatty"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { commands: child.stdin.take().unwrap(), said, _child: child }
    }

    /// Waits for this word and returns the text after it.
    async fn says(&mut self, word: &str) -> String {
        loop {
            let line = soon(word, self.said.next_line()).await.unwrap().expect("the server runs");
            if let Some(rest) = line.strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }

    async fn told(&mut self, command: &str) {
        self.commands.write_all(format!("{command}\n").as_bytes()).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs Python 3.11 and host-tests/interop/requirements.txt"]
async fn a_server_that_is_not_ours_pairs_links_mutes_and_refuses_this_node() {
    let (home, mut server) = (Home::new(), Reference::start());
    let url = format!("ws://127.0.0.1:{}/pair?x=1", server.says("listening").await);
    let state = home.state();
    let profile = r#"{"model":"Pi 5"}"#;
    let pair = [
        "pair",
        "--name",
        "Küche",
        "--room",
        "Kitchen",
        "--profile",
        profile,
        "--gateway",
        &url,
        "--state",
        &state,
    ];
    let done = outcome(&pair).await;
    assert_eq!(done.code, Some(0), "{}", done.said);
    let id = server.says("pending").await;
    assert!(done.said.contains(&id));

    server.told(&format!("approve {id}")).await;
    let token = server.says(&format!("token {id}")).await;
    let file = home.token(&token, 0o600);
    let run = ["run", "--state", &state, "--token-file", &file, "--heartbeat-every-ms", "50"];
    let mut node = Program::start(&run);
    node.says("linked").await;
    for _ in 0..3 {
        server.says(&format!("heartbeat {id}")).await;
    }
    node.signal(Signal::TERM);
    assert_eq!(node.end().await.code, Some(0));
    server.says(&format!("offline {id}")).await;

    for (command, answer, said) in [("mute", "muted", "muted:"), ("unpair", "unpaired", "refused:")]
    {
        server.told(&format!("{command} {id}")).await;
        server.says(answer).await;
        let mut node = Program::start(&run);
        node.says(said).await;
        node.signal(Signal::TERM);
        let ended = node.end().await;
        assert_eq!(ended.code, Some(0));
        assert!(!ended.said.contains(&token));
    }
}
