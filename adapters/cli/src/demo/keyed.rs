//! The part of the demo with nodes that have keys: PINs, codes, approval by fingerprint,
//! permissions, delegation, revocation.

use std::path::Path;
use std::time::Duration;

use handfast_core::flow::native::node::PairMethod;
use handfast_core::grant::capability::Holder;
use handfast_core::grant::scope::Action;
use handfast_core::wire::invite::Invite;
use handfast_node::Waits;
use handfast_node::native::{DelegateEvent, DelegateLink, NativeEvent, PairingRefusal, delegate};
use handfast_server::Gateway;
use handfast_server::admin::{
    CodeList, DeviceList, IssuedView, MintedView, PairedList, PairingView, RevokedView,
};
use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::application::heard;
use super::hold;
use super::phone::{PATIENCE, Phone};
use super::stage::Stage;
use super::waits::{await_pin, delivered, not_allowed, other, published, refused, wrong};
use crate::End;
use crate::client::{LineStream, ask, encoded, read};
use crate::serve::Running;

/// The gateway's addresses and directories, and the operator's stream of events.
pub(super) struct Scene<'d> {
    pub(super) home: &'d Path,
    pub(super) data: &'d Path,
    web: String,
    pub(super) tcp: String,
    /// The operator's terminal, which shows PINs.
    events: LineStream,
}

/// Asks to be paired with what a node has scanned.
pub(super) async fn shows(phone: &Phone, invite: Invite<'_>) {
    let gateway = *invite.gateway();
    let code = invite.into_code();
    phone.asks(PairMethod::Code { selector: code.selector, code: code.code }, Some(gateway)).await;
}

impl<'d> Scene<'d> {
    pub(super) async fn open(
        home: &'d Path,
        data: &'d Path,
        gateway: &Running,
    ) -> Result<Self, End> {
        let tcp = gateway
            .tcp
            .first()
            .ok_or_else(|| End::Refused("the gateway listens on no TCP address".to_owned()))?;
        let mut events = LineStream::follow(data, "/api/v1/events").await?;
        events.next().await?;
        Ok(Self {
            home,
            data,
            web: format!("ws://{}", gateway.address),
            tcp: format!("tcp://{tcp}"),
            events,
        })
    }

    fn phone(&self, at: &str, name: &'static str) -> Result<Phone, End> {
        Phone::start(self.home, &[at], name)
    }

    pub(super) async fn window(&self, open: bool) -> Result<PairingView, End> {
        read(&ask(self.data, Method::POST, "/api/v1/pairing", Some(json!({ "open": open }))).await?)
    }

    /// Returns the next PIN that the gateway shows.
    pub(super) async fn shown_pin(&mut self) -> Result<String, End> {
        let waiting = async {
            while let Some(line) = self.events.next().await? {
                let event: Value = read(&line)?;
                if let Some(pin) = event["pin"].as_str() {
                    return Ok(pin.to_owned());
                }
            }
            Err(End::Refused("the gateway showed no PIN".to_owned()))
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .map_err(|_| End::Refused("no PIN was shown in time".to_owned()))?
    }

    /// Plays pairing by PIN: closed, wrong, right, locked.
    pub(super) async fn pins(&mut self, stage: &mut Stage) -> Result<Phone, End> {
        stage.chapter(
            "A node with keys is paired with a PIN, over a channel that is sealed without TLS",
        );
        let mut phone = self.phone(&self.web, "My Phone")?;
        phone.asks(PairMethod::Pin, None).await;
        refused(&mut phone, |why| *why == PairingRefusal::Closed).await?;
        stage.step(
            "node",
            "My Phone asks while pairing is closed: refused, and no PIN is shown".to_owned(),
        );

        let view = self.window(true).await?;
        hold(view.open && view.closes_at.is_some(), "pairing is open and closes by itself")?;
        stage.step("operator", "opens pairing for five minutes".to_owned());

        phone.asks(PairMethod::Pin, None).await;
        let pin = self.shown_pin().await?;
        stage.step(
            "gateway",
            format!("shows: Pairing request from \"My Phone\" / PIN: {pin} / Expires in 5:00"),
        );
        await_pin(&mut phone).await?;
        phone.types(&other(&pin)).await?;
        let left = wrong(&mut phone).await?;
        hold(left == 4, "four attempts are left")?;
        stage.step("node", format!("a wrong PIN is typed: refused, {left} attempts left; neither side learned the other's"));
        phone.types(&pin).await?;
        phone.is_paired().await?;
        stage.step("node", "the right one is typed: both sides prove it, a capability is kept, and the link is open".to_owned());

        let mut stranger = self.phone(&self.tcp, "Stranger")?;
        stranger.asks(PairMethod::Pin, None).await;
        let pin = self.shown_pin().await?;
        await_pin(&mut stranger).await?;
        for _ in 0..4 {
            stranger.types(&other(&pin)).await?;
            wrong(&mut stranger).await?;
        }
        stranger.types(&other(&pin)).await?;
        refused(&mut stranger, |why| {
            matches!(why, PairingRefusal::Locked | PairingRefusal::WrongCode)
        })
        .await?;
        let live: CodeList =
            read(&ask(self.data, Method::GET, "/api/v1/pairing/codes", None).await?)?;
        hold(
            live.codes.iter().all(|code| code.guesses_left == 0),
            "no PIN is left that may be guessed",
        )?;
        stage.step(
            "node",
            "Stranger guesses five times over TCP: its PIN is dead, whatever it types next"
                .to_owned(),
        );

        let view = self.window(false).await?;
        hold(!view.open, "pairing is closed")?;
        stranger.asks(PairMethod::Pin, None).await;
        refused(&mut stranger, |why| *why == PairingRefusal::Closed).await?;
        stage.step("operator", "closes pairing: Stranger asks once more and is refused".to_owned());
        Ok(phone)
    }

    /// Plays a code in a QR code, for one node.
    pub(super) async fn code(&mut self, stage: &mut Stage) -> Result<Phone, End> {
        stage.chapter("A code that is scanned, for one node, with what it may do");
        let body = json!({ "kind": "qr", "permissions": { "read": ["/sensors/**"] }, "expires_seconds": 300, "uses": 1, "label": "demo" });
        let answer = ask(self.data, Method::POST, "/api/v1/pairing/codes", Some(body)).await?;
        let view: MintedView = read(&answer)?;
        let text =
            view.invitation.ok_or_else(|| End::Refused("there is no invitation".to_owned()))?;
        let columns =
            handfast_qr::render(&text.to_ascii_uppercase(), false).map_err(End::refused)?;
        let columns = columns.lines().next().map_or(0, |line| line.chars().count());
        stage.step(
            "operator",
            format!(
                "makes a QR code of {columns} columns, with two addresses, the gateway's fingerprint and a secret of 130 bits"
            ),
        );

        let mut tablet = self.scan(&text, "Tablet").await?;
        tablet.is_paired().await?;
        let may = self.may("Tablet").await?;
        hold(
            may == json!({ "read": ["/sensors/**"], "write": [] }),
            "it may do what the code says",
        )?;
        stage.step(
            "node",
            "Tablet scans it while pairing is closed: paired, and may read /sensors/** and nothing else".to_owned(),
        );

        let mut second = self.scan(&text, "Second Tablet").await?;
        second
            .until("be refused", |event| {
                matches!(
                    event,
                    NativeEvent::WrongCode { .. }
                        | NativeEvent::PairingRefused(_)
                        | NativeEvent::GatewayUnproven
                )
                .then_some(())
            })
            .await?;
        stage.step(
            "node",
            "Second Tablet scans it, too: refused like a wrong code, for it is spent".to_owned(),
        );
        Ok(tablet)
    }

    pub(super) async fn scan(&self, text: &str, name: &'static str) -> Result<Phone, End> {
        let invite = Invite::parse(text).map_err(End::refused)?;
        let addresses: Vec<String> = invite.addresses().iter().map(ToString::to_string).collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let phone = Phone::start(self.home, &addresses, name)?;
        shows(&phone, invite).await;
        Ok(phone)
    }

    async fn may(&self, name: &str) -> Result<Value, End> {
        let list: PairedList = read(&ask(self.data, Method::GET, "/api/v1/paired", None).await?)?;
        let found = list.paired.into_iter().find(|view| view.device.friendly_name == name);
        let in_force = found.and_then(|view| view.in_force);
        serde_json::to_value(in_force.map(|in_force| in_force.permissions)).map_err(End::refused)
    }

    /// Plays approval by fingerprint.
    pub(super) async fn approval(&mut self, stage: &mut Stage) -> Result<Phone, End> {
        stage.chapter("Without PIN or code, people compare fingerprints");
        let mut desk = self.phone(&self.tcp, "Mixing Desk")?;
        desk.asks(PairMethod::Approval, None).await;
        let seen = desk.until("see the gateway", |event| match event {
            NativeEvent::Gateway { fingerprint, .. } => Some(*fingerprint),
            _ => None,
        });
        let seen = seen.await?.to_string();
        desk.until("wait", |event| {
            matches!(event, NativeEvent::WaitsForApproval { .. }).then_some(())
        })
        .await?;
        let own = desk.fingerprint()?.to_string();
        let list: DeviceList =
            read(&ask(self.data, Method::GET, "/api/v1/devices?filter=pending", None).await?)?;
        let waiting =
            list.devices.iter().find(|device| device.fingerprint.as_deref() == Some(&own));
        let waiting = waiting.ok_or_else(|| {
            End::Refused("no node waits with the fingerprint that the node shows".to_owned())
        })?;
        let gateway: PairingView =
            read(&ask(self.data, Method::GET, "/api/v1/pairing", None).await?)?;
        hold(gateway.fingerprint == seen, "the node shows the gateway's fingerprint")?;
        stage.step(
            "operator",
            format!("sees Mixing Desk wait with the fingerprint {own}, as the node shows it"),
        );
        stage.step(
            "node",
            format!("shows the gateway's fingerprint {seen}, as the gateway says it"),
        );

        let body = json!({ "permissions": { "read": ["/lights/**"], "write": ["/lights/room1"] }, "expires_seconds": 30 * 86_400 });
        let path = format!("/api/v1/devices/{}/pair", waiting.node_id);
        let issued: IssuedView = read(&ask(self.data, Method::POST, &path, Some(body)).await?)?;
        hold(
            issued.token.is_none() && issued.fingerprint.as_deref() == Some(&own),
            "there is no token to carry",
        )?;
        desk.is_paired().await?;
        stage.step(
            "operator",
            "approves it for /lights/** to read and /lights/room1 to write: it is linked, and nothing was carried".to_owned(),
        );
        Ok(desk)
    }

    /// Plays permissions of a grant, their delegation, and the end of both.
    pub(super) async fn permissions(
        &mut self,
        stage: &mut Stage,
        gateway: &Gateway,
        mut desk: Phone,
        done: &mut mpsc::UnboundedReceiver<String>,
    ) -> Result<(), End> {
        stage.chapter(
            "A capability allows what it says, can be passed on narrower, and ends at once",
        );
        desk.owner
            .send_app(Action::Write, "/lights/room1", b"on".to_vec())
            .await
            .map_err(End::refused)?;
        hold(heard(done).await? == "write /lights/room1", "what is allowed arrives")?;
        stage.step(
            "node",
            "Mixing Desk writes to /lights/room1: it arrives at the gateway's application"
                .to_owned(),
        );
        desk.owner
            .send_app(Action::Write, "/lights/room2", b"on".to_vec())
            .await
            .map_err(End::refused)?;
        not_allowed(&mut desk, "/lights/room2").await?;
        hold(done.try_recv().is_err(), "what is refused does not reach the application")?;
        stage.step(
            "node",
            "writes to /lights/room2: refused, and the application hears nothing".to_owned(),
        );
        desk.owner.subscribe("/**").await.map_err(End::refused)?;
        not_allowed(&mut desk, "/**").await?;
        stage.step(
            "node",
            "subscribes to /**: refused, for that is wider than /lights/**".to_owned(),
        );
        desk.owner.subscribe("/lights/**").await.map_err(End::refused)?;
        published(gateway, "/lights/room7", &mut desk).await?;
        stage.step(
            "node",
            "subscribes to /lights/**: what the application says at /lights/room7 arrives"
                .to_owned(),
        );

        let helper = Phone::start(self.home, &[&self.tcp], "Helper")?;
        let keys = helper.keys()?;
        let scopes = ["read:/lights/room1".to_owned()];
        let wider = delegate(
            &desk.keys()?,
            &desk.token()?,
            &Holder::of(&keys),
            &["read:/**".to_owned()],
            Duration::from_secs(600),
            None,
        );
        hold(wider.is_err(), "nothing wider can be passed on")?;
        let token = delegate(
            &desk.keys()?,
            &desk.token()?,
            &Holder::of(&keys),
            &scopes,
            Duration::from_secs(600),
            None,
        )
        .map_err(End::refused)?;
        let at = vec![self.tcp.parse().map_err(End::refused)?];
        let mut link = DelegateLink::open(at.clone(), &keys, &token, None, None, Waits::DEFAULT)
            .await
            .map_err(End::refused)?;
        link.subscribe("/lights/room2").await.map_err(End::refused)?;
        let answer = tokio::time::timeout(PATIENCE, link.next())
            .await
            .map_err(End::refused)?
            .map_err(End::refused)?;
        hold(
            matches!(answer, DelegateEvent::NotAllowed { .. }),
            "the delegate may not do all that its delegator may",
        )?;
        link.subscribe("/lights/room1").await.map_err(End::refused)?;
        delivered(gateway, "/lights/room1", &mut link).await?;
        stage.step(
            "node",
            "passes on reading /lights/room1 for ten minutes, offline: its delegate links, hears that, and nothing else"
                .to_owned(),
        );

        let path = format!("/api/v1/paired/{}/revoke", encoded("Mixing Desk"));
        let revoked: RevokedView = read(&ask(self.data, Method::POST, &path, None).await?)?;
        hold(revoked.revoked == "node", "the node is revoked")?;
        desk.until("be cut off", |event| matches!(event, NativeEvent::Unpaired).then_some(()))
            .await?;
        let ended = tokio::time::timeout(PATIENCE, async {
            while !matches!(link.next().await, Ok(DelegateEvent::Ended(_)) | Err(_)) {}
        });
        ended.await.map_err(|_| {
            End::Refused("the delegate's link outlived that of its delegator".to_owned())
        })?;
        stage.step(
            "operator",
            "revokes Mixing Desk: its link and its delegate's are cut at once".to_owned(),
        );
        let again = DelegateLink::open(at, &keys, &token, None, None, Waits::DEFAULT).await;
        hold(again.is_err(), "what was passed on opens nothing any more")?;
        desk.asks(PairMethod::Approval, None).await;
        refused(&mut desk, |why| *why == PairingRefusal::Revoked).await?;
        stage.step(
            "node",
            "neither gets in again: the delegated capability is dead, and the key is out for good"
                .to_owned(),
        );
        Ok(())
    }
}
