//! Status, refresh and end of a companion's session.

use handfast_server::admin::PermissionsView;
use handfast_stdio::Hint;
use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

use super::connection::ask;
use super::file::{SessionFile, StoredSession};
use super::place::Endpoint;
use crate::End;
use crate::print::{left, permissions, quoted, safe, show};

const SESSION: &str = "/api/v1/session";

/// The gateway's description of a session.
#[derive(Deserialize)]
struct View {
    id: String,
    profile: String,
    #[serde(default)]
    device_label: Option<String>,
    /// End of the session in Unix seconds.
    expires_at: u64,
    permissions: PermissionsView,
}

pub(super) async fn status(
    way: &Endpoint,
    kept: &StoredSession,
    anew: &Hint,
    json: bool,
) -> Result<(), End> {
    let answer = ask(way, kept, anew, Method::GET, SESSION).await?;
    show(json, &answer, |view: View| told(kept, &view))
}

pub(super) async fn refresh(
    way: &Endpoint,
    kept: &StoredSession,
    anew: &Hint,
    json: bool,
) -> Result<(), End> {
    let answer = ask(way, kept, anew, Method::POST, &format!("{SESSION}/refresh")).await?;
    show(json, &answer, |view: View| format!("the session ends in {}\n", left(view.expires_at)))
}

pub(super) async fn end(
    way: &Endpoint,
    kept: &StoredSession,
    anew: &Hint,
    place: &SessionFile,
    json: bool,
) -> Result<(), End> {
    let answer = ask(way, kept, anew, Method::DELETE, SESSION).await?;
    place.remove()?;
    show(json, &answer, |_: Value| {
        format!(
            "the session has ended for good, and {} is removed\n",
            safe(&place.path().display().to_string())
        )
    })
}

fn told(kept: &StoredSession, view: &View) -> String {
    let device = view.device_label.as_deref().map_or_else(|| "-".to_owned(), quoted);
    let rows = [
        ("gateway", safe(&kept.url)),
        ("session", safe(&view.id)),
        ("profile", safe(&view.profile)),
        ("device", device),
        ("may", permissions(&view.permissions)),
        ("ends", format!("in {}", left(view.expires_at))),
    ];
    rows.into_iter().map(|(label, value)| format!("{label:<9}{value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use handfast_core::grant::session::Token;

    #[test]
    fn nothing_of_a_gateways_answer_moves_the_cursor() {
        let view = r#"{"id":"ab","profile":"p\u001b[2J","device_label":"x\ny","expires_at":1,"permissions":{"read":["/\u202e"],"write":[],"admin":[]}}"#;
        let token = Token::parse("HTrGwLwHno_hwtsvczbQgcFJdi-WS068rgQyr4fD2ZQ").unwrap();
        let kept = StoredSession {
            url: "ws://127.0.0.1:1".to_owned(),
            token,
            ca: None,
            plain_hosts: Vec::new(),
        };
        let shown = told(&kept, &serde_json::from_str(view).unwrap());
        assert_eq!(shown.lines().count(), 6, "{shown}");
        assert!(
            !shown.contains(['\u{1b}', '\u{202e}']) && shown.contains("ends     in 0:00"),
            "{shown}"
        );
    }
}
