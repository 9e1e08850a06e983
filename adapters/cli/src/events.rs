//! Events of a gateway as text, for the running gateway's output and `handfast watch`.

use handfast_server::admin::{DeviceView, PairedView, PairingView, QuarantineView, Time};
use hyper::Method;
use serde::Deserialize;

use crate::End;
use crate::client::{ask, encoded, read};
use crate::data::DataPlace;
use crate::hints::Next;
use crate::nodes::{in_force_text, millis, offered_text, ways_out};
use crate::print::{in_words, left, quoted, safe};

/// An event as the gateway sends it. The fields that it has depend on its kind.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Happened {
    event: String,
    node_id: String,
    friendly_name: String,
    room: String,
    ip_address: String,
    older_ip_address: String,
    pin: Option<String>,
    #[serde(rename = "expires_in_seconds")]
    expires_in: u64,
    guesses_left: u8,
    closes_at: Option<Time>,
    decision: String,
    fingerprint: String,
    subject: String,
    count: u64,
    times: u32,
    why: String,
    session: String,
    login: String,
    name: String,
    role: String,
    profile: String,
    channel: String,
    account: Option<String>,
    sender: String,
    action: Option<String>,
    address: Option<String>,
    text: Option<String>,
    base64url: String,
    micros: u64,
    id: String,
    state: String,
}

impl Happened {
    pub(crate) fn read(line: &str) -> Result<Self, End> {
        read(line)
    }

    /// Removes the PIN, for a display that is not trusted.
    pub(crate) fn hide_pin(&mut self) {
        self.pin = None;
    }
}

/// Formats events as text, and asks the gateway for missing details.
pub(crate) struct Narrator {
    data: DataPlace,
    /// `true` to include opened and closed links.
    links: bool,
}

impl Narrator {
    pub(crate) fn new(data: &DataPlace, links: bool) -> Self {
        Self { data: data.clone(), links }
    }

    /// Formats an event as whole lines; `None` for one that is not shown.
    pub(crate) async fn tell(&self, happened: &Happened) -> Option<String> {
        let text = match happened.event.as_str() {
            "paired" => self.paired(&happened.node_id).await,
            "asked" => self.asked(happened).await,
            "decided" => {
                format!("{}: {}", self.name(&happened.node_id).await, done(&happened.decision))
            }
            "grant_revoked" => {
                format!("{}: its grant was ended", self.name(&happened.node_id).await)
            }
            "dispatch" if self.links => {
                let name = self.name(&happened.node_id).await;
                let id: String = happened.id.chars().take(8).collect();
                format!("{name}: task {} {}", safe(&id), safe(&happened.state.replace('_', " ")))
            }
            "pinged" if self.links => {
                let name = self.name(&happened.node_id).await;
                format!("{name} answered a ping in {}", millis(happened.micros))
            }
            "linked" if self.links => format!("{} is linked", self.name(&happened.node_id).await),
            "unlinked" if self.links => {
                format!("{} is not linked any more", self.name(&happened.node_id).await)
            }
            // A node that comes back from its own address after a lost connection is no news.
            "replaced" if self.links || happened.ip_address != happened.older_ip_address => {
                format!(
                    "{} linked from {}, which ended its link from {}, {} within the last minute. \
                     If this repeats, two machines share one key: was the node's state copied?",
                    self.name(&happened.node_id).await,
                    safe(&happened.ip_address),
                    safe(&happened.older_ip_address),
                    match happened.times {
                        0 | 1 => "once".to_owned(),
                        times => format!("{times} times"),
                    }
                )
            }
            "gateway_is_older" => "This gateway is older than its nodes: it was restored from a \
                                   backup. Look through who was put out since"
                .to_owned(),
            "clone_alarm" => self.copied(&happened.node_id).await,
            "window_closed" => self.closed().await,
            "message" => self.message(happened).await,
            _ => alone(happened, &self.data, self.links)?,
        };
        Some(text + "\n")
    }

    async fn device(&self, node_id: &str) -> Result<DeviceView, End> {
        read(
            &ask(
                &self.data,
                Method::GET,
                &format!("/api/v1/devices/{}?glance=true", encoded(node_id)),
                None,
            )
            .await?,
        )
    }

    async fn name(&self, node_id: &str) -> String {
        self.device(node_id).await.map_or_else(
            |_| format!("node {}", safe(node_id)),
            |device| quoted(&device.friendly_name),
        )
    }

    /// Formats a pairing: the node, its permissions and their lifetime.
    async fn paired(&self, node_id: &str) -> String {
        let path = format!("/api/v1/paired/{}/permissions", encoded(node_id));
        let answer = ask(&self.data, Method::GET, &path, None).await;
        let view = answer.and_then(|answer| read::<PairedView>(&answer)).ok();
        let told = view.as_ref().and_then(|view| {
            let words = match (&view.in_force, &view.offered) {
                (Some(in_force), Some(offered)) if in_force.permissions != offered.permissions => {
                    format!("{}; offered {}", in_force_text(in_force), offered_text(offered))
                }
                (Some(in_force), _) => in_force_text(in_force),
                // The node was paired just now, and is about to confirm its grant.
                (None, Some(offered)) => offered_text(offered),
                (None, None) => return None,
            };
            Some((quoted(&view.device.friendly_name), words))
        });
        match told {
            Some((name, words)) => format!("Paired {name}: {words}"),
            // The node proves itself with a token, which carries no permissions.
            None => format!("Paired {}", self.name(node_id).await),
        }
    }

    async fn asked(&self, happened: &Happened) -> String {
        let Happened { node_id, friendly_name, room, ip_address, .. } = happened;
        let (name, node_id) = (quoted(friendly_name), safe(node_id));
        let mut text = format!(
            "Pairing request from {name}\nWaits for approval as {node_id} ({}, from {})",
            safe(room),
            safe(ip_address)
        );
        if let Ok(DeviceView { fingerprint: Some(fingerprint), .. }) = self.device(&node_id).await {
            text += &format!("\nFingerprint: {}", safe(&fingerprint));
        }
        text + &format!("\nApprove it with: {}", Next::Approve(&node_id).on(&self.data))
    }

    /// Formats a message of a node, on one line.
    async fn message(&self, happened: &Happened) -> String {
        let from = match happened.node_id.as_str() {
            "" => format!("The delegate with the key {}", safe(&happened.fingerprint)),
            node_id => self.name(node_id).await,
        };
        let place = match (&happened.action, &happened.address) {
            (Some(action), Some(address)) => format!(" {} {}", safe(action), safe(address)),
            (_, _) => String::new(),
        };
        let said = match &happened.text {
            Some(text) => safe(text),
            None => format!("base64url {}", safe(&happened.base64url)),
        };
        format!("{from}{place}: {said}")
    }

    /// Formats the alarm about a node whose state was copied, with both ways out.
    async fn copied(&self, node_id: &str) -> String {
        match self.device(node_id).await {
            Ok(device) => {
                let unknown = QuarantineView { before: None, alarm: None };
                let quarantine = device.quarantine.as_ref().unwrap_or(&unknown);
                let name = quoted(&device.friendly_name);
                let ways = ways_out(&device, quarantine, &self.data);
                format!("{name} is in quarantine: {}", ways.trim_end())
            }
            Err(_) => format!("node {} is in quarantine: its state was copied", safe(node_id)),
        }
    }

    /// Formats the closing of the window. Too many wrong PINs also close it, and then only the
    /// operator can open it again.
    async fn closed(&self) -> String {
        let status = ask(&self.data, Method::GET, "/api/v1/pairing", None).await;
        match status.and_then(|status| read::<PairingView>(&status)) {
            Ok(PairingView { locked: true, .. }) => locked(&self.data),
            Ok(_) | Err(_) => "Pairing is closed".to_owned(),
        }
    }
}

/// Formats the effect of a decision.
fn done(decision: &str) -> String {
    match decision {
        "unpair" => "unpaired, for good".to_owned(),
        "reject" => "rejected".to_owned(),
        "reject_for_good" => "rejected, for good".to_owned(),
        "mute" => "muted".to_owned(),
        "unmute" => "unmuted".to_owned(),
        "rename" => "has a new name".to_owned(),
        "evict" => "evicted".to_owned(),
        "release" => "released from its quarantine".to_owned(),
        "forget" => "forgotten".to_owned(),
        other => safe(other),
    }
}

fn attempts(left: u8) -> String {
    if left == 1 { "1 attempt left".to_owned() } else { format!("{left} attempts left") }
}

/// Formats an event that needs no further details.
fn alone(happened: &Happened, data: &DataPlace, links: bool) -> Option<String> {
    Some(match happened.event.as_str() {
        "pairing_request" => {
            let name = quoted(&happened.friendly_name);
            let pin = match &happened.pin {
                Some(pin) => format!("PIN: {}", safe(pin)),
                None => format!("PIN: not shown here, because others may read it; see it with: {}", Next::Watch.on(data)),
            };
            format!("Pairing request from {name}\n{pin}\nExpires in {}", in_words(happened.expires_in))
        }
        "pin_wrong" => format!("Wrong PIN from {} ({})", safe(&happened.ip_address), attempts(happened.guesses_left)),
        "code_wrong" => format!("Wrong code from {} ({})", safe(&happened.ip_address), attempts(happened.guesses_left)),
        "pins_locked_for" => format!(
            "Too many wrong PINs from {}: they are locked for it until pairing is opened anew; others may go on\n{}",
            safe(&happened.ip_address),
            beforehand(data)
        ),
        "code_locked" => "PIN locked: it was tried wrong too often and is dead; whoever asks again is shown a new one".to_owned(),
        "window_opened" => match happened.closes_at {
            Some(at) => format!("Pairing is open for {}", left(at)),
            None => "Pairing is open as long as the gateway runs".to_owned(),
        },
        "window_locked" => locked(data),
        "session_opened" => {
            format!(
                "A companion has a session now: {} as {}\nSee it with: {}",
                short(&happened.session),
                safe(&happened.profile),
                Next::Companions.on(data)
            )
        }
        "logged_in" => format!(
            "{} logged in as {} from {}\nSee who is logged in with: {}",
            quoted(&happened.name),
            safe(&happened.role),
            safe(&happened.ip_address),
            Next::Operators.on(data)
        ),
        "login_ended" => {
            format!("The operator's session or token {} was ended", short(&happened.login))
        }
        "session_revoked" => format!("The session {} was ended", short(&happened.session)),
        "companion_linked" if links => format!("The companion of session {} is linked", short(&happened.session)),
        "companion_unlinked" if links => format!("The companion of session {} is not linked any more", short(&happened.session)),
        // The sender's code is not shown here, because others may read this output.
        "sender_asked" => format!(
            "{} writes over {} to {} and waits to be let in\nSee who waits, with the codes, with: {}",
            quoted(&happened.sender),
            safe(&happened.channel),
            account(happened),
            Next::Senders.on(data)
        ),
        "sender_allowed" => {
            format!("{} may write over {} to {}", quoted(&happened.sender), safe(&happened.channel), account(happened))
        }
        "sender_decided" => {
            let (sender, channel, decision) =
                (quoted(&happened.sender), safe(&happened.channel), sender_decision(&happened.decision));
            format!("{sender} over {channel} to {}: {decision}", account(happened))
        }
        "left_out" => format!(
            "More comes from {} than is shown here; see all that waits with: {}",
            safe(&happened.ip_address),
            Next::Pending.on(data)
        ),
        "missed" => format!("{} events were missed here", happened.count),
        "ask_refused" if links => {
            format!("A request from {} was turned away: {}", safe(&happened.ip_address), safe(&happened.why))
        }
        "delegate_linked" if links => {
            format!(
                "A delegate with the key {} is linked, under the key {}",
                safe(&happened.fingerprint),
                safe(&happened.subject)
            )
        }
        "delegate_unlinked" if links => {
            format!("The delegate with the key {} is not linked any more", safe(&happened.fingerprint))
        }
        _ => return None,
    })
}

/// Returns the beginning of a session's id, which distinguishes it in lists.
fn short(id: &str) -> String {
    safe(id).chars().take(8).collect()
}

/// Formats the account of a channel.
fn account(happened: &Happened) -> String {
    happened.account.as_deref().map_or_else(|| "all accounts".to_owned(), safe)
}

fn sender_decision(decision: &str) -> String {
    match decision {
        "allow" => "let in".to_owned(),
        "reject" => "rejected".to_owned(),
        "block" => "blocked".to_owned(),
        "unblock" => "not blocked any more".to_owned(),
        "revoke" => "not let in any more".to_owned(),
        other => safe(other),
    }
}

/// Returns advice for the case that somebody guesses PINs.
pub(crate) fn beforehand(data: &DataPlace) -> String {
    format!(
        "A code made beforehand needs no open pairing, and nobody can use it up without knowing it: {}",
        Next::CreateCode.on(data)
    )
}

fn locked(data: &DataPlace) -> String {
    format!(
        "Pairing is locked: too many wrong PINs; open it again with: {}\n{}",
        Next::OpenPairing.on(data),
        beforehand(data)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> DataPlace {
        DataPlace::named(std::path::Path::new("/d"))
    }

    fn words(line: &str) -> Option<String> {
        alone(&Happened::read(line).unwrap(), &place(), false)
    }

    #[test]
    fn a_request_with_a_pin_reads_as_the_documentation_says() {
        let line = r#"{"event":"pairing_request","friendly_name":"My Phone","pin":"847291","expires_in_seconds":300,"unknown":1}"#;
        assert_eq!(
            words(line).unwrap(),
            "Pairing request from \"My Phone\"\nPIN: 847291\nExpires in 5:00"
        );
    }

    #[test]
    fn a_name_cannot_add_lines_of_its_own() {
        let line = r#"{"event":"pairing_request","friendly_name":"x\"\nPIN: 000000","pin":"847291","expires_in_seconds":61}"#;
        assert_eq!(
            words(line).unwrap(),
            "Pairing request from \"x\\\"\\u{a}PIN: 000000\"\nPIN: 847291\nExpires in 1:01"
        );
    }

    #[test]
    fn a_display_that_is_not_trusted_shows_no_pin() {
        let mut happened =
            Happened::read(r#"{"event":"pairing_request","friendly_name":"x","pin":"847291"}"#)
                .unwrap();
        happened.hide_pin();
        let shown = alone(&happened, &place(), false).unwrap();
        assert!(!shown.contains("847291") && shown.contains("handfast watch"), "{shown}");
    }

    #[test]
    fn wrong_tries_say_how_many_are_left() {
        let wrong = |kind| {
            words(&format!(r#"{{"event":"{kind}","guesses_left":1,"ip_address":"192.0.2.7"}}"#))
                .unwrap()
        };
        assert_eq!(wrong("pin_wrong"), "Wrong PIN from 192.0.2.7 (1 attempt left)");
        assert_eq!(wrong("code_wrong"), "Wrong code from 192.0.2.7 (1 attempt left)");
        let locked = words(r#"{"event":"pins_locked_for","ip_address":"192.0.2.7"}"#).unwrap();
        assert!(
            locked.contains("192.0.2.7") && locked.contains("handfast codes create --data /d"),
            "{locked}"
        );
        assert!(
            words(r#"{"event":"window_locked"}"#)
                .unwrap()
                .contains("handfast pairing open --data /d")
        );
        assert_eq!(words(r#"{"event":"something new"}"#), None);
    }

    #[test]
    fn companions_and_strangers_are_told_with_what_to_do_about_them() {
        let opened =
            words(r#"{"event":"session_opened","session":"0123456789abcdef","profile":"p"}"#)
                .unwrap();
        assert!(
            opened.starts_with("A companion has a session now: 01234567 as p\n")
                && opened.contains("handfast companions list --data /d"),
            "{opened}"
        );
        let asked = words(
            r#"{"event":"sender_asked","channel":"telegram","account":"a","sender":"x\"\ny"}"#,
        )
        .unwrap();
        assert!(
            asked.starts_with("\"x\\\"\\u{a}y\" writes over telegram to a and waits")
                && asked.contains("handfast senders list --data /d"),
            "{asked}"
        );
        let decided = r#"{"event":"sender_decided","channel":"telegram","account":null,"sender":"x","decision":"block"}"#;
        assert_eq!(words(decided).unwrap(), "\"x\" over telegram to all accounts: blocked");
        let linked =
            Happened::read(r#"{"event":"companion_linked","session":"0123456789abcdef"}"#).unwrap();
        assert_eq!(alone(&linked, &place(), false), None, "links are told to whoever watches");
        assert_eq!(
            alone(&linked, &place(), true).unwrap(),
            "The companion of session 01234567 is linked"
        );
    }
}
