//! The calls of the API, alike for the plain routes and for sealed exchanges.

use axum::http::StatusCode;
use handfast_core::flow::provisioning::contract::Answer;
use handfast_core::flow::provisioning::status::{OPEN_INSTEAD, PublicState};
use handfast_core::wire::provisioning::{BodyDefect, K2Request, NetworkRequest, ProvisionRequest};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::{ApiState, answers, defects};
use crate::provisioning::api::{ApiRequest, RequestForm, StatusSnapshot};

/// The answer to a call, as HTTP has it.
pub(super) type CallAnswer = (StatusCode, Value);

impl ApiState {
    pub(super) fn info(&self) -> Value {
        let (info, status) = (&self.0.info, self.snapshot());
        let mut body = json!({
            "node_id": status.node_id.as_ref().unwrap_or(&info.node_id),
            "firmware_version": info.firmware_version,
            "hardware": info.hardware,
            "mac_address": info.mac_address,
            "capabilities": info.capabilities,
            "state": status.state.as_str(),
            "previously_provisioned": status.previously_provisioned,
        });
        if status.open_instead {
            body["access_point"] = "open".into();
            body["access_point_note"] = OPEN_INSTEAD.into();
        }
        body
    }

    pub(super) async fn scan(&self) -> Value {
        let networks = self.0.scanner.scan().await;
        let networks: Vec<_> = networks
            .iter()
            .map(|network| {
                json!({
                    "ssid": network.ssid,
                    "signal_strength": network.signal,
                    "security": network.security.as_str(),
                })
            })
            .collect();
        json!({ "networks": networks })
    }

    pub(super) fn status(&self) -> Value {
        let status = self.snapshot();
        if status.state == PublicState::Error {
            // Nobody waits for the driver here; it needs the news only some seconds later.
            let _ = self.0.requests.try_send((ApiRequest::StatusRead, None));
        }
        answers::status(&status)
    }

    pub(super) async fn provision(&self, body: &[u8], form: RequestForm) -> CallAnswer {
        let Some(body) = text(body) else { return unprocessable(defects::no_text(body)) };
        let mut room = Zeroizing::new(vec![0; body.len()]);
        if let Err(defect) = form.read(&body, &mut room) {
            return defective(&defect);
        }
        let answer = self.ask(ApiRequest::Provision(body, form)).await;
        (StatusCode::OK, answers::provision(answer))
    }

    pub(super) async fn network(&self, body: &[u8]) -> CallAnswer {
        let Some(body) = text(body) else { return unprocessable(defects::no_text(body)) };
        let mut room = Zeroizing::new(vec![0; body.len()]);
        if let Err(defect) = NetworkRequest::read(&body, &mut room) {
            return defective(&defect);
        }
        let answer = self.ask(ApiRequest::Network(body)).await;
        (StatusCode::OK, answers::provision(answer))
    }

    pub(super) async fn k2(&self, body: &[u8]) -> CallAnswer {
        let Some(body) = text(body) else { return unprocessable(defects::no_text(body)) };
        let mut room = Zeroizing::new(vec![0; body.len()]);
        let (node_id, kid) = match K2Request::read(&body, &mut room) {
            Ok(request) => (request.node_id.to_owned(), request.kid.to_owned()),
            Err(defect) => return defective(&defect),
        };
        let answer = self.ask(ApiRequest::K2(body)).await;
        (StatusCode::OK, answers::k2(answer, &node_id, &kid))
    }

    pub(super) async fn factory_reset(&self) -> Value {
        answers::factory_reset(self.ask(ApiRequest::FactoryReset).await)
    }

    pub(super) fn snapshot(&self) -> StatusSnapshot {
        self.0.status.borrow().clone()
    }

    /// Hands a request to the driver, and waits for core's answer. A driver that has ended, or
    /// could not read the body again, counts as busy.
    async fn ask(&self, request: ApiRequest) -> Answer {
        let (place, answer) = oneshot::channel();
        if self.0.requests.send((request, Some(place))).await.is_err() {
            return Answer::Busy;
        }
        answer.await.unwrap_or(Answer::Busy)
    }
}

impl RequestForm {
    /// Reads the body of a request in this form.
    pub(in crate::provisioning) fn read<'b>(
        self,
        body: &'b str,
        room: &'b mut [u8],
    ) -> Result<ProvisionRequest<'b>, BodyDefect> {
        match self {
            Self::Plain => ProvisionRequest::read(body, room),
            Self::Sealed => ProvisionRequest::read_sealed(body, room),
        }
    }
}

fn defective(defect: &BodyDefect) -> CallAnswer {
    unprocessable(defects::detail(defect))
}

fn unprocessable(detail: Value) -> CallAnswer {
    (StatusCode::UNPROCESSABLE_ENTITY, json!({ "detail": detail }))
}

/// Returns a body as text that is wiped after use; `None` if it is none.
fn text(body: &[u8]) -> Option<Zeroizing<String>> {
    let text = std::str::from_utf8(body).ok().filter(|text| !text.is_empty())?;
    Some(Zeroizing::new(text.to_owned()))
}
