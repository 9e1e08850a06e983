//! Secrets that are shown once: printed first, and only then confirmed to the gateway.

use std::path::Path;
use std::time::Duration;

use handfast_qr as qr;
use handfast_stdio::{Waiting, note_line};
use hyper::Method;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::End;
use crate::client::{Unanswered, ask, try_ask};

/// Maximum wait for a gateway that restarts before it has the confirmation.
const CONFIRM_FOR: Duration = Duration::from_secs(15);
const TRY_AGAIN: Duration = Duration::from_millis(250);

/// Returns an answer for printing, without its delivery, which has no use once this command has
/// ended.
pub(crate) fn printed(view: &impl Serialize) -> Result<String, End> {
    serde_json::to_string(view).map_err(End::refused)
}

/// Writes image files, and then shows a secret. If the secret could not be shown everywhere, no
/// file is left.
pub(crate) fn with_images(
    images: &[(&Path, &str)],
    show: impl FnOnce() -> Result<(), End>,
) -> Result<(), End> {
    let mut files = Vec::new();
    let all = || {
        for (path, text) in images {
            qr::write_file(path, text).map_err(End::refused)?;
            files.push(path);
        }
        show()
    };
    let outcome = all();
    if outcome.is_err() {
        for file in files {
            if let Err(error) = std::fs::remove_file(file) {
                note_line(&format!(
                    "warning: {}: the image of a code that is worth nothing cannot be removed: {error}",
                    file.display()
                ));
            }
        }
    }
    outcome
}

/// A secret in the gateway's answer.
pub(crate) struct SecretDelivery<'a> {
    pub(crate) data: &'a Path,
    /// Ids of the deliveries; none for a secret that needs no confirmation, several for secrets that
    /// are shown together.
    pub(crate) ids: &'a [&'a str],
    /// Name of the secret in messages, as in "the token".
    pub(crate) what: &'a str,
    /// The state once the decision is undone, as in "the node waits for approval as before".
    pub(crate) undone: &'a str,
}

impl SecretDelivery<'_> {
    /// Shows the secret and confirms it. If it cannot be shown, the decision behind it is undone.
    pub(crate) async fn show(self, show: impl FnOnce() -> Result<(), End>) -> Result<(), End> {
        if self.ids.iter().all(|id| id.is_empty()) {
            return show();
        }
        match show() {
            Ok(()) => self.confirm().await,
            Err(failed) => Err(self.cancel(&failed).await),
        }
    }

    /// Returns the call that ends the deliveries in this way: its path and its body.
    fn call(&self, how: &str) -> (String, Option<Value>) {
        match self.ids {
            [id] => (format!("/api/v1/deliveries/{id}/{how}"), None),
            ids => (format!("/api/v1/deliveries/{how}"), Some(json!({ "deliveries": ids }))),
        }
    }

    async fn confirm(&self) -> Result<(), End> {
        let begun = Instant::now();
        let _waiting = Waiting::at_most("telling the gateway that it was shown", CONFIRM_FOR);
        let (path, body) = self.call("confirm");
        let why = loop {
            match try_ask(self.data, Method::POST, &path, body.clone()).await {
                Ok(_) => return Ok(()),
                // The gateway has answered, so another attempt would get the same answer.
                Err(
                    Unanswered::Refused(end) | Unanswered::Changed(end) | Unanswered::Missing(end),
                ) => break end,
                Err(Unanswered::Broken(end)) if begun.elapsed() > CONFIRM_FOR => break end,
                Err(Unanswered::Broken(_)) => sleep(TRY_AGAIN).await,
            }
        };
        Err(End::Refused(format!(
            "{what} was shown, but the gateway does not know that: {why}. If {what} is not used within a minute of its making, it is worth nothing and {undone}",
            what = self.what,
            why = said(&why),
            undone = self.undone
        )))
    }

    async fn cancel(&self, failed: &End) -> End {
        let (what, undone, failed) = (self.what, self.undone, said(failed));
        let (path, body) = self.call("cancel");
        match ask(self.data, Method::POST, &path, body).await {
            Ok(_) => End::Refused(format!("{failed}; {what} is worth nothing now: {undone}")),
            Err(error) => End::Refused(format!(
                "{failed}; {what} could not be taken back at once ({}): if it is not used, that happens by itself within a minute, and {undone}",
                said(&error)
            )),
        }
    }
}

fn said(end: &End) -> String {
    match end {
        End::Refused(message) | End::Usage(message) => message.clone(),
        End::Unwritten(unwritten) => unwritten.to_string(),
    }
}
