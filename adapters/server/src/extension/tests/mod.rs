//! Extensions as real programs in Python, and as servers that lie.

mod admin;
mod attacks;
mod channel;
mod config;
mod example;
mod floods;
mod http;
mod items;
mod poll;
mod proxy;
mod scrape;
mod stdio;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::routing::post;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::handle::{Extension, Problem};
use super::host::{ExtensionHost, NoHost};
use super::rules::ExtensionTimes;
use super::{ExtensionConfig, Transport};

/// Limit for everything that must happen.
const LONG: Duration = Duration::from_secs(60);
/// Wait for everything that must not happen.
const SHORT: Duration = Duration::from_millis(200);

/// The beginning of every program of these tests.
const PRELUDE: &str = r#"
import json, os, sys, time
def say(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
def answer(request, result=None):
    say({"id": request["id"], "ok": True, "result": result})
def asked():
    for line in iter(sys.stdin.readline, ""):
        yield json.loads(line)
"#;
/// A program that returns the parameters of each call.
const HONEST: &str = "for r in asked(): answer(r, r['params'])";

/// Rules with a second where a gateway waits a minute.
const HASTY: ExtensionTimes = ExtensionTimes {
    restart: Duration::from_millis(20),
    restart_most: Duration::from_millis(100),
    lived: LONG,
    write: Duration::from_secs(1),
    farewell: Duration::from_secs(1),
};

/// A directory for programs.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Waits until a file has a whole line, and returns it.
    async fn line(&self, name: &str) -> String {
        let path = self.path(name);
        let whole = || std::fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n'));
        until(|| whole().is_some()).await;
        whole().unwrap().trim().to_owned()
    }

    /// Returns an extension that runs this Python code, whose first argument is its folder.
    fn config(&self, name: &str, python: &str) -> ExtensionConfig {
        let script = self.path(&format!("{name}.py"));
        std::fs::write(&script, format!("{PRELUDE}\n{python}\n")).unwrap();
        ExtensionConfig::stdio(
            name,
            name,
            &["python3", script.to_str().unwrap(), self.0.path().to_str().unwrap()],
        )
    }

    fn start(&self, name: &str, python: &str) -> Extension {
        self.start_with(name, python, HASTY, Arc::new(NoHost))
    }

    fn start_with(
        &self,
        name: &str,
        python: &str,
        rules: ExtensionTimes,
        host: Arc<dyn ExtensionHost>,
    ) -> Extension {
        let extension = Extension::with_rules(self.config(name, python), host, rules).unwrap();
        extension.start();
        extension
    }
}

/// Waits until a condition holds.
async fn until(mut so: impl FnMut() -> bool) {
    let wait = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.expect("it comes to be so");
}

/// Retries a call until it succeeds.
async fn answers(extension: &Extension) {
    let wait = async {
        while extension.call("x.ping", json!(1), LONG).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, wait).await.expect("it answers at last");
}

async fn problem(extension: &Extension, within: Duration) -> Problem {
    extension.call("x.ping", json!(1), within).await.unwrap_err().problem
}

/// Returns `true` if a process is gone, or is a zombie of another parent.
fn gone(pid: &str) -> bool {
    match std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")) {
        Err(_) => true,
        Ok(stat) => {
            stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with(['Z', 'X']))
        }
    }
}

/// Starts an HTTP extension in this process. Its answer is the result, or the whole body if it is
/// text that begins with `RAW`.
async fn served(
    mut config: ExtensionConfig,
    answer: impl Fn(&str, &Value) -> Value + Clone + Send + Sync + 'static,
) -> ExtensionConfig {
    let handler = move |body: Bytes| {
        let answer = answer.clone();
        async move {
            let request: Value = serde_json::from_slice(&body).unwrap();
            let result = answer(request["method"].as_str().unwrap(), &request["params"]);
            match result.as_str().and_then(|text| text.strip_prefix("RAW")) {
                Some(raw) => raw.to_owned(),
                None => json!({"id": request["id"], "ok": true, "result": result}).to_string(),
            }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    config.transport =
        Transport::Http { url: format!("http://{}/rpc", listener.local_addr().unwrap()) };
    tokio::spawn(async move {
        axum::serve(listener, axum::Router::new().route("/rpc", post(handler))).await
    });
    config
}

fn bare(name: &str) -> ExtensionConfig {
    ExtensionConfig::http(name, name, "http://127.0.0.1:1/")
}

fn extension(config: ExtensionConfig) -> Extension {
    Extension::new(config, Arc::new(NoHost)).unwrap()
}
