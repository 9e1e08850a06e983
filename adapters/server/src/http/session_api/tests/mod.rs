//! Tests of the API over real sockets.

mod audit;
mod bearers;
mod errors;
mod operators;
mod own;
mod provisioning;
mod reading;

use std::net::IpAddr;

use handfast_core::grant::scope::ScopesBuf;
use handfast_core::limits::Limits;
use handfast_store::MemoryStore;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::flows::setup_code::tests::{ELSEWHERE, HERE, World, settings};
use crate::gateway::Gateway;
use crate::policy::setup_settings::SetupSettings;

/// The answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn code(&self) -> (u16, String) {
        (self.status, self.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// Options of a request besides its method and path.
#[derive(Clone, Copy, Default)]
pub(crate) struct Saying<'a> {
    pub(crate) bearer: Option<&'a str>,
    pub(crate) headers: &'a str,
    pub(crate) body: &'a str,
}

/// Returns the seconds of a time of an answer.
pub(crate) fn secs(time: &Value) -> u64 {
    serde_json::from_value::<crate::http::admin::Time>(time.clone()).unwrap().as_secs()
}

pub(crate) fn by(token: &str) -> Saying<'_> {
    Saying { bearer: Some(token), ..Saying::default() }
}

pub(crate) async fn ask(
    world: &World,
    source: IpAddr,
    method: &str,
    path: &str,
    says: Saying<'_>,
) -> Answer {
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
        says.body.len()
    );
    if !says.headers.contains("Host:") {
        request += &format!("Host: {}\r\n", world.address);
    }
    if let Some(token) = says.bearer {
        request += &format!("Authorization: Bearer {token}\r\n");
    }
    request += &format!("{}\r\n{}", says.headers, says.body);
    let mut stream = world.tcp(source).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

async fn get(world: &World, path: &str, token: &str) -> Answer {
    ask(world, HERE, "GET", path, by(token)).await
}

/// Sessions of the profile `admin` have all permissions at the gateway, those of `reader` may read,
/// those of `none` have none.
fn profiles() -> SetupSettings {
    let profile = |name: &str, scopes| (name.to_owned(), ScopesBuf::parse(scopes).unwrap());
    SetupSettings {
        profiles: vec![
            profile("admin", "admin:/gateway/**\n"),
            profile("reader", "read:/gateway/**\n"),
            profile("one", "read:/gateway/devices\n"),
            profile("none", "read:/lights/**\nwrite:/lights/**\nadmin:/lights/**\n"),
        ],
        origins: vec!["https://console.example".to_owned()],
        ..settings()
    }
}

async fn world() -> World {
    limited(Limits::DEFAULT).await
}

async fn limited(limits: Limits) -> World {
    World::of(Gateway::builder(MemoryStore::default()).setup(profiles()).limits(limits)).await
}
