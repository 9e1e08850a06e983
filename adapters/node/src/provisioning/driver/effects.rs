//! Carrying out the machine's effects.

use handfast_core::flow::provisioning::contract::{AccessPoint, Effect, Network, NotStored};
use zeroize::Zeroizing;

use super::Provisioner;
use crate::provisioning::invited::{Invited, label, pair};
use crate::provisioning::radio_task::RadioRequest;
use crate::provisioning::register::{RegisterBody, RegisterReply, register};

impl Provisioner {
    pub(super) fn carry_out(&mut self, effect: Effect<'_>) {
        match effect {
            Effect::StartAccessPoint(access_point) => {
                let mut network = self.access_point.clone();
                match access_point {
                    AccessPoint::Protected => {}
                    AccessPoint::Open => network.passphrase.clear(),
                }
                self.ask_radio(RadioRequest::StartAccessPoint(network));
            }
            Effect::SetCountry(country) => self.ask_radio(RadioRequest::SetCountry(country)),
            Effect::StopAccessPoint => self.ask_radio(RadioRequest::StopAccessPoint),
            Effect::Join(network) => self.join(network),
            Effect::Abandon => {
                self.attempt += 1;
                if let Some(registering) = self.registering.take() {
                    registering.abort();
                }
                self.ask_radio(RadioRequest::Leave);
            }
            Effect::CheckNetwork => {
                self.ask_radio(RadioRequest::Check { number: self.attempt });
            }
            Effect::KeepNetwork => self.ask_radio(RadioRequest::Keep),
            Effect::ForgetNetworks => self.ask_radio(RadioRequest::Forget),
            Effect::Register => self.register(),
            Effect::Store(change) => {
                let stored = self.files.store(&change).and_then(|()| {
                    self.assigned = self.files.config()?.map(|config| config.node_id.clone());
                    Ok(())
                });
                self.stored.push_back(stored.map_err(|why| {
                    tracing::error!("the settings cannot be stored: {why}");
                    NotStored
                }));
            }
            Effect::RenewKey => self.renew_key(),
            Effect::Answer(answer) => {
                if let Some(place) = self.answer.take() {
                    let _ = place.send(answer);
                }
            }
            Effect::Operate => {
                self.operates.send_if_modified(|before| !std::mem::replace(before, true));
            }
            Effect::Rest => {
                self.operates.send_if_modified(|before| std::mem::replace(before, false));
            }
        }
    }

    fn renew_key(&self) {
        let key = self.files.keys().map(|keys| keys.channel);
        let key = key.inspect_err(|why| tracing::error!("the node has no keys: {why}")).ok();
        self.exchanges.renew(key);
    }

    fn ask_radio(&self, request: RadioRequest) {
        // The radio's task ends only together with this driver.
        let _ = self.radio.send(request);
    }

    fn join(&mut self, network: Network) {
        self.attempt += 1;
        let (credentials, known) = match network {
            Network::Requested => (self.files.requested_wifi(), false),
            Network::Known => (self.files.wifi(), true),
        };
        match credentials {
            Ok(Some(network)) => {
                self.ask_radio(RadioRequest::Join { network, known, number: self.attempt });
            }
            // The machine's own limit ends the attempt, and the access point comes back.
            Ok(None) => tracing::error!("the network's name and passphrase are gone"),
            Err(why) => tracing::error!("the network's name and passphrase cannot be read: {why}"),
        }
    }

    fn register(&mut self) {
        let ca = self.ca.clone();
        let request = self.files.request();
        let native_key = self.files.native_key();
        let (state, folder) = self.files.folders();
        self.registering = Some(tokio::spawn(async move {
            let (mut request, native_key) = match (request, native_key) {
                (Ok(Some(request)), Ok(key)) => (request, key),
                (Ok(None), _) => {
                    tracing::error!("the request is gone");
                    return RegisterReply::NoUrl;
                }
                (Err(why), _) | (Ok(Some(_)), Err(why)) => {
                    tracing::error!("the node cannot register: {why}");
                    return RegisterReply::NoUrl;
                }
            };
            if let Some(invitation) = request.invitation.take().map(Zeroizing::new) {
                let (name, room) = (label(&request.node_id), label(&request.room));
                let invited = Invited { invitation, name, room, ca };
                return pair(&state, &folder, invited).await;
            }
            let body = RegisterBody {
                node_id: &request.node_id,
                provisioning_token: &request.token,
                room: &request.room,
                native_key: &native_key,
            };
            register(&request.command_center_url, &body, ca).await
        }));
    }
}
