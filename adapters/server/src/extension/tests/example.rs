//! The example extension as it is shipped, over both transports.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::super::host::{Cursors, ExtensionHost, Items};
use super::super::{ExtensionConfig, Extensions, Services};
use super::{Folder, LONG, until};
use crate::inbound::adapter::Normalised;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/extension.py");

/// A gateway that has one method and one cursor, and collects items.
#[derive(Default)]
struct Gateway {
    cursor: Mutex<Option<String>>,
    items: Mutex<Vec<Value>>,
}

#[async_trait]
impl ExtensionHost for Gateway {
    async fn call(&self, extension: &str, method: &str, params: Value) -> Result<Value, String> {
        match method {
            "pairing.should_admit" => Ok(json!({"extension": extension, "asked": params})),
            other => Err(format!("{other} is not answered here")),
        }
    }
}

#[async_trait]
impl Cursors for Gateway {
    async fn load(&self, _: &str) -> Result<Option<String>, String> {
        Ok(self.cursor.lock().unwrap().clone())
    }

    async fn keep(&self, _: &str, cursor: String) -> Result<(), String> {
        *self.cursor.lock().unwrap() = Some(cursor);
        Ok(())
    }
}

#[async_trait]
impl Items for Gateway {
    async fn take(&self, _: &str, items: Vec<Value>) -> Result<(), String> {
        self.items.lock().unwrap().extend(items);
        Ok(())
    }
}

fn full(mut config: ExtensionConfig) -> ExtensionConfig {
    config.channels = vec!["echo".to_owned()];
    config.admin = vec!["echo".to_owned()];
    config.mounts = vec!["/echo".to_owned()];
    config.metrics = true;
    config.poll = Some(Duration::from_millis(100));
    config
}

async fn does_all_it_should(config: ExtensionConfig, folder: &Folder) -> Extensions {
    let gateway = Arc::new(Gateway::default());
    let services =
        Services { host: gateway.clone(), cursors: gateway.clone(), items: gateway.clone() };
    let extensions = Extensions::new(vec![full(config)], services).unwrap();
    extensions.start();

    let channel = &extensions.channels()[0];
    assert_eq!(
        channel.normalise("  Zoë@Example ").await,
        Ok(Normalised::Sender("zoë@example".to_owned()))
    );
    assert_eq!(channel.normalise("#group").await, Ok(Normalised::NotASender));
    channel.send_reply("acc", "zoë", &channel.challenge_text("ABCD2345")).await.unwrap();
    channel.send_qr("acc", "zoë", &[1; 300_000]).await.unwrap();
    let refused = channel.send_reply("acc", "nobody", "hello").await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "channel echo: extension echo: it refused: nobody has no mailbox"
    );
    let recorded = std::fs::read_to_string(folder.path("record")).unwrap();
    let recorded: Vec<Value> =
        recorded.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(recorded[0]["to"], "zoë");
    assert!(recorded[0]["text"].as_str().unwrap().contains("ABCD2345"));
    assert_eq!(recorded[1], json!({"account": "acc", "to": "zoë", "png_bytes": 300_000}));

    let stats = extensions.router().call("echo.stats", Value::Null).await;
    assert_eq!(stats.result, Some(json!({"sent": 2})));
    assert!(!extensions.router().call("echo.nonsense", Value::Null).await.ok);

    let request = Request::post("/echo/a%20b?q=1").body(Body::from("12345")).unwrap();
    let response = extensions.proxy().serve(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(to_bytes(response.into_body(), 1000).await.unwrap(), "POST /echo/a%20b?q=1 5\n");

    let metrics = "# HELP echo_messages What was sent.\n# TYPE echo_messages counter\necho_messages_total 2\n";
    assert_eq!(extensions.scrape(LONG).await.text(), metrics);
    assert_eq!(extensions.status()[0].metrics_dropped, 0);

    until(|| gateway.cursor.lock().unwrap().as_deref() == Some("3")).await;
    assert_eq!(
        *gateway.items.lock().unwrap(),
        [json!({"number": 1}), json!({"number": 2}), json!({"number": 3})]
    );
    let unknown = extensions
        .get("echo")
        .unwrap()
        .call("echo.unheard.of", Value::Null, LONG)
        .await
        .unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "extension echo: it refused: there is no method echo.unheard.of"
    );
    extensions
}

#[tokio::test]
#[ignore = "needs Python"]
async fn over_its_standard_streams_the_example_does_all_it_should_and_asks_the_gateway() {
    let folder = Folder::new();
    let record = folder.path("record");
    let config = ExtensionConfig::stdio(
        "echo",
        "echo",
        &["python3", SCRIPT, "--record", record.to_str().unwrap()],
    );
    let extensions = does_all_it_should(config, &folder).await;
    let asked = json!({"method": "pairing.should_admit", "params": {"sender": "zoë"}});
    let answer = extensions.router().call("echo.ask", asked).await;
    assert_eq!(answer.result, Some(json!({"extension": "echo", "asked": {"sender": "zoë"}})));
    let refused = extensions
        .router()
        .call("echo.ask", json!({"method": "devices.revoke", "params": {}}))
        .await;
    assert_eq!(
        refused.error.as_deref(),
        Some("extension echo: it refused: devices.revoke is not answered here")
    );
    extensions.shut_down().await;
    let status = &extensions.status()[0];
    assert_eq!((status.alive, status.restarts, status.ignored), (false, 0, 0));
}

/// Starts the example as a server of its own, and returns its port.
async fn listening(folder: &Folder) -> (Child, String) {
    let mut child = Command::new("python3")
        .args([
            SCRIPT,
            "--http",
            "127.0.0.1:0",
            "--record",
            folder.path("record").to_str().unwrap(),
        ])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).await.unwrap();
    (child, said.trim().strip_prefix("listening ").unwrap().to_owned())
}

#[tokio::test]
#[ignore = "needs Python"]
async fn over_http_the_example_does_all_it_should() {
    let folder = Folder::new();
    let (mut server, port) = listening(&folder).await;
    let config = ExtensionConfig::http("echo", "echo", &format!("http://127.0.0.1:{port}/"));
    let extensions = does_all_it_should(config, &folder).await;
    assert!(extensions.status()[0].alive);
    server.kill().await.unwrap();
    assert!(extensions.channels()[0].normalise("x").await.is_err());
    assert!(!extensions.status()[0].alive);
    extensions.shut_down().await;
}

#[test]
#[ignore = "needs Python"]
fn without_a_file_the_example_keeps_what_it_sends_to_itself() {
    let mut child = std::process::Command::new("python3")
        .arg(SCRIPT)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let request = json!({"id": 1, "method": "echo.pairing.send_reply", "params": {"account": "a", "to": "ann", "text": "code ABCD2345"}});
    std::io::Write::write_all(&mut stdin, format!("{request}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(child.stdout.as_mut().unwrap()),
        &mut answer,
    )
    .unwrap();
    assert_eq!(answer, "{\"id\":1,\"ok\":true,\"result\":{\"ok\":true}}\n");
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "sent\n");
}
