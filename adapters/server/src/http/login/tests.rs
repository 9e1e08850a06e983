//! Attacks on operators' sessions, over real sockets.

mod attacks;
mod rights;

use std::net::IpAddr;
use std::time::Duration;

use handfast_core::limits::Limits;
use handfast_core::registry::authority::Role;
use handfast_core::registry::logins::LoginId;
use handfast_store::MemoryStore;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::flows::setup_code::tests::{ELSEWHERE, HERE, World, settings};
use crate::gateway::Gateway;
use crate::policy::{LoginSettings, SetupSettings};
use crate::proxies::ProxySettings;
use crate::public_url::Candidates;

/// An answer with its head as it was sent.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn code(&self) -> (u16, String) {
        (self.status, self.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
    }

    /// The headers of this name.
    fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// The cookie that is set, as a browser sends it back.
    fn cookie(&self) -> String {
        let set = self.headers("set-cookie");
        set.first().and_then(|set| set.split(';').next()).unwrap_or_default().to_owned()
    }
}

async fn open(
    world: &World,
    from: IpAddr,
    method: &str,
    path: &str,
    says: (&str, &str),
) -> TcpStream {
    let (headers, body) = says;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        world.address,
        body.len()
    );
    let mut stream = world.tcp(from).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn ask(world: &World, from: IpAddr, method: &str, path: &str, says: (&str, &str)) -> Answer {
    let mut stream = open(world, from, method, path, says).await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8(answer).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

fn own(world: &World) -> String {
    format!("Origin: http://{}\r\nContent-Type: application/json\r\n", world.address)
}

fn with(secret: &str) -> String {
    json!({ "secret": secret }).to_string()
}

fn link(world: &World, role: Role) -> String {
    let made = world.gateway.make_login_link(Some("Ana"), role).unwrap();
    made.url.split_once('#').unwrap().1.to_owned()
}

async fn spend(world: &World, from: IpAddr, secret: &str) -> Answer {
    ask(world, from, "POST", "/login", (&own(world), &with(secret))).await
}

/// A browser with a session.
struct Browser {
    cookie: String,
    csrf: String,
    id: LoginId,
}

impl Browser {
    async fn of(world: &World, role: Role) -> Self {
        let answer = spend(world, HERE, &link(world, role)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let cookie = format!("Cookie: {}\r\n", answer.cookie());
        let me = ask(world, HERE, "GET", "/api/v1/operator", (&cookie, "")).await.json();
        let id = u128::from_str_radix(me["id"].as_str().unwrap(), 16).unwrap();
        let csrf = me["csrf"].as_str().unwrap().to_owned();
        Self { cookie, csrf, id: LoginId::from_bytes(id.to_be_bytes()) }
    }

    async fn get(&self, world: &World, path: &str) -> Answer {
        ask(world, HERE, "GET", path, (&self.cookie, "")).await
    }

    async fn post(&self, world: &World, path: &str, body: &str) -> Answer {
        let headers = format!("{}{}X-Handfast-CSRF: {}\r\n", self.cookie, own(world), self.csrf);
        ask(world, HERE, "POST", path, (&headers, body)).await
    }
}

fn logins() -> LoginSettings {
    LoginSettings { url: Some("http://127.0.0.1:1".to_owned()), ..LoginSettings::default() }
}

/// A gateway without a public URL.
async fn world() -> World {
    let setup = SetupSettings { addresses: Candidates::default(), ..settings() };
    World::of(Gateway::builder(MemoryStore::default()).setup(setup).logins(logins())).await
}

/// A gateway whose public URL is encrypted, reached from its own machine.
async fn public_world() -> World {
    World::of(Gateway::builder(MemoryStore::default()).setup(settings()).logins(logins())).await
}
