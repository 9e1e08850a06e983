//! The part of the demo with an operator in a browser: a login link, the page, decisions with a
//! session, and the log that tells who decided.

use std::net::SocketAddr;
use std::path::Path;

use handfast_server::admin::{LoginLinkView, OperatorView};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, COOKIE, HOST, ORIGIN, SET_COOKIE};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::hold;
use super::stage::Stage;
use crate::End;
use crate::client::{ask, read};

/// An answer over HTTP.
struct Answer {
    status: StatusCode,
    /// The cookie that it sets, as a browser sends it back.
    cookie: Option<String>,
    body: String,
}

/// Plays an operator who logs in, decides, and logs out.
pub(super) async fn play(stage: &mut Stage, data: &Path, at: SocketAddr) -> Result<(), End> {
    stage.chapter("An operator logs in, and the log tells who decided");
    let wish = json!({ "name": "anna", "role": "operator" });
    let link: LoginLinkView = read(&ask(data, Method::POST, "/api/v1/logins", Some(wish)).await?)?;
    let secret = link.url.split_once('#').map(|(_, secret)| secret.to_owned());
    let secret = secret.ok_or_else(|| End::Refused("the link has no secret".to_owned()))?;
    stage
        .step("operator", "makes a login link for anna: its secret opens one session, once".into());

    let spend = Some(json!({ "secret": secret }));
    let opened = http(at, Method::POST, "/login", "", "", spend.clone()).await?;
    let cookie = opened.cookie.filter(|_| opened.status.is_success());
    let cookie = cookie.ok_or_else(|| End::Refused("the link opens no session".to_owned()))?;
    let again = http(at, Method::POST, "/login", "", "", spend).await?;
    hold(again.status == StatusCode::UNAUTHORIZED, "a link opens one session only")?;
    let page = http(at, Method::GET, "/admin", &cookie, "", None).await?;
    hold(page.status.is_success() && page.body.contains("Pairing by PIN"), "the page is shown")?;
    stage.step("browser", "spends the link and shows the page: what waits, live".into());

    let me = http(at, Method::GET, "/api/v1/operator", &cookie, "", None).await?;
    let me: OperatorView = read(&me.body)?;
    let open = Some(json!({ "open": true, "for_seconds": 60 }));
    let foreign = http(at, Method::POST, "/api/v1/pairing", &cookie, "", open.clone()).await?;
    hold(foreign.status == StatusCode::FORBIDDEN, "a request without the page's token is refused")?;
    let decided = http(at, Method::POST, "/api/v1/pairing", &cookie, &me.csrf, open).await?;
    hold(decided.status.is_success(), "the operator decides with the session")?;
    stage.step("browser", "opens pairing by PIN; without the page's token it is refused".into());

    let log: Value = read(&ask(data, Method::GET, "/api/v1/audit?limit=5", None).await?)?;
    let entries = log["items"].as_array().cloned().unwrap_or_default();
    let told = entries.iter().any(|entry| {
        entry["what"] == "open-pairing" && entry["who"] == "login" && entry["by"] == *me.id
    });
    hold(told, "the log tells who opened pairing")?;
    let checkpoint: Value = read(&ask(data, Method::GET, "/api/v1/audit/checkpoint", None).await?)?;
    hold(checkpoint["size"] == log["total"], "the checkpoint covers every entry")?;
    let size = checkpoint["size"].as_u64().unwrap_or_default();
    stage.step(
        "operator",
        format!("reads in the log that anna did it; a signed checkpoint covers its {size} entries"),
    );

    let left = http(at, Method::POST, "/logout", &cookie, &me.csrf, Some(json!({}))).await?;
    hold(left.status.is_success(), "the operator logs out")?;
    let over = http(at, Method::GET, "/api/v1/operator", &cookie, "", None).await?;
    hold(over.status == StatusCode::UNAUTHORIZED, "a session that ended opens nothing")?;
    let close = Some(json!({ "open": false }));
    ask(data, Method::POST, "/api/v1/pairing", close).await?;
    stage.step("browser", "logs out: the cookie opens nothing any more".into());
    Ok(())
}

/// Sends a request as a browser on the gateway's own page does.
async fn http(
    at: SocketAddr,
    method: Method,
    path: &str,
    cookie: &str,
    csrf: &str,
    body: Option<Value>,
) -> Result<Answer, End> {
    let stream = TcpStream::connect(at).await.map_err(End::refused)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(End::refused)?;
    let driver = tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, at.to_string())
        .header(ORIGIN, format!("http://{at}"))
        .header(CONTENT_TYPE, "application/json");
    if !cookie.is_empty() {
        request = request.header(COOKIE, cookie);
    }
    if !csrf.is_empty() {
        request = request.header("X-Handfast-CSRF", csrf);
    }
    let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
    let request = request.body(Full::new(body)).map_err(End::refused)?;
    let answer = sender.send_request(request).await.map_err(End::refused)?;
    let status = answer.status();
    let set = answer.headers().get(SET_COOKIE).and_then(|set| set.to_str().ok());
    let cookie = set.and_then(|set| set.split(';').next()).map(str::to_owned);
    let body = answer.into_body().collect().await.map_err(End::refused)?.to_bytes();
    driver.abort();
    Ok(Answer { status, cookie, body: String::from_utf8_lossy(&body).into_owned() })
}
