//! Status, refresh and end of a companion's session.

use handfast_node::companion::{self, SessionFile, SessionRequest};
use handfast_server::admin::{PermissionsView, Time};
use handfast_stdio::Waiting;
use serde::Deserialize;
use serde_json::Value;

use super::Used;
use super::errors::{failed, not_kept};
use crate::End;
use crate::print::{left, permissions, quoted, safe, show};

/// The gateway's description of a session.
#[derive(Deserialize)]
struct View {
    id: String,
    profile: String,
    #[serde(default)]
    device_label: Option<String>,
    /// End of the session.
    expires_at: Time,
    permissions: PermissionsView,
}

pub(super) async fn status(used: &Used<'_>) -> Result<(), End> {
    let answer = ask(used, SessionRequest::Status).await?;
    show(used.args.json, &answer, |view: View| told(&used.session.url, &view))
}

pub(super) async fn refresh(used: &Used<'_>) -> Result<(), End> {
    let answer = ask(used, SessionRequest::Refresh).await?;
    show(used.args.json, &answer, |view: View| {
        format!("the session ends in {}\n", left(view.expires_at))
    })
}

pub(super) async fn end(used: &Used<'_>, file: &SessionFile) -> Result<(), End> {
    let answer = ask(used, SessionRequest::End).await?;
    file.remove().map_err(|error| not_kept(error, used.args))?;
    show(used.args.json, &answer, |_: Value| {
        format!(
            "the session has ended for good, and {} is removed\n",
            safe(&file.path().display().to_string())
        )
    })
}

async fn ask(used: &Used<'_>, request: SessionRequest) -> Result<String, End> {
    let _waiting = Waiting::for_(&format!("asking {}", used.endpoint.url()));
    let answer = companion::request(&used.endpoint, &used.session.token, request).await;
    answer.map_err(|error| failed(error, used.args))
}

fn told(url: &str, view: &View) -> String {
    let device = view.device_label.as_deref().map_or_else(|| "-".to_owned(), quoted);
    let rows = [
        ("gateway", safe(url)),
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

    #[test]
    fn nothing_of_a_gateways_answer_moves_the_cursor() {
        let view = r#"{"id":"ab","profile":"p\u001b[2J","device_label":"x\ny","expires_at":"1970-01-01T00:00:01Z","permissions":{"read":["/\u202e"],"write":[],"admin":[]}}"#;
        let shown = told("ws://127.0.0.1:1", &serde_json::from_str(view).unwrap());
        assert_eq!(shown.lines().count(), 6, "{shown}");
        assert!(
            !shown.contains(['\u{1b}', '\u{202e}']) && shown.contains("ends     in 0:00"),
            "{shown}"
        );
    }
}
