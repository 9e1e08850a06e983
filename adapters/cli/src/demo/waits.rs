//! Waits of the demo for a state of the gateway.

use std::future::Future;
use std::time::Duration;

use handfast_core::grant::scope::Address;
use handfast_core::wire::native::Payload;
use handfast_node::native::{DelegateEvent, DelegateLink, NativeEvent, PairingRefusal};
use handfast_server::Gateway;

use super::phone::{PATIENCE, Phone};
use crate::End;

pub(super) async fn refused(
    phone: &mut Phone,
    expected: impl Fn(&PairingRefusal) -> bool,
) -> Result<(), End> {
    phone
        .until("be refused", |event| match event {
            NativeEvent::PairingRefused(why) if expected(why) => Some(()),
            _ => None,
        })
        .await
}

pub(super) async fn await_pin(phone: &mut Phone) -> Result<(), End> {
    phone
        .until("be asked for the PIN", |event| {
            matches!(event, NativeEvent::TypeThePin { .. }).then_some(())
        })
        .await
}

pub(super) async fn wrong(phone: &mut Phone) -> Result<u8, End> {
    phone
        .until("be told that the PIN is wrong", |event| match event {
            NativeEvent::WrongCode { attempts_left } => Some(*attempts_left),
            _ => None,
        })
        .await
}

pub(super) async fn not_allowed(phone: &mut Phone, expected: &str) -> Result<(), End> {
    phone
        .until("be told that it may not", |event| match event {
            NativeEvent::NotAllowed { pattern, .. } if pattern == expected => Some(()),
            _ => None,
        })
        .await
}

pub(super) async fn published(gateway: &Gateway, at: &str, phone: &mut Phone) -> Result<(), End> {
    let arrived = phone.until("hear of it", |event| match event {
        NativeEvent::App(message) if message.address == at => Some(()),
        _ => None,
    });
    until_heard(gateway, at, arrived).await
}

pub(super) async fn delivered(
    gateway: &Gateway,
    at: &str,
    link: &mut DelegateLink,
) -> Result<(), End> {
    let arrived = async {
        loop {
            match link.next().await.map_err(End::refused)? {
                DelegateEvent::App(message) if message.address == at => return Ok(()),
                DelegateEvent::App(_) | DelegateEvent::NotAllowed { .. } => {}
                DelegateEvent::Ended(_) => {
                    return Err(End::Refused("the delegate's link ended too early".to_owned()));
                }
                _ => {}
            }
        }
    };
    let arrived = async { tokio::time::timeout(PATIENCE, arrived).await.map_err(End::refused)? };
    until_heard(gateway, at, arrived).await
}

/// Sends a message until it arrives, because the subscription may still be under way.
async fn until_heard(
    gateway: &Gateway,
    at: &str,
    arrived: impl Future<Output = Result<(), End>>,
) -> Result<(), End> {
    let address = Address::parse(at).map_err(|wrong| End::Refused(wrong.as_str().to_owned()))?;
    let payload = Payload::new(b"dim").ok_or_else(|| End::Refused("too long".to_owned()))?;
    let mut arrived = std::pin::pin!(arrived);
    loop {
        gateway.publish(&address, &payload);
        tokio::select! {
            outcome = &mut arrived => return outcome,
            () = tokio::time::sleep(Duration::from_millis(2)) => {}
        }
    }
}

/// Returns a PIN that differs from this one.
pub(super) fn other(pin: &str) -> String {
    let first = if pin.starts_with('0') { '1' } else { '0' };
    std::iter::once(first).chain(pin.chars().skip(1)).collect()
}
