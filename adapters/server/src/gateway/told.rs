//! The rate at which the operator's displays show events that strangers cause. Without a limit, a
//! stranger could scroll a neighbour's PIN out of sight, or make a slow display miss it.

use std::net::IpAddr;

use handfast_core::limits::{TOLD_A_MINUTE, TOLD_A_MINUTE_OF_ALL};
use handfast_core::{Instant, Source};

use crate::connection::rate_limit::Failures;
use crate::events::Event;

/// Reports a minute that more comes from one source.
const LEFT_OUT_A_MINUTE: u32 = 1;
/// Such reports a minute for all sources together.
const LEFT_OUT_A_MINUTE_OF_ALL: u32 = 8;

/// The part of an event that the displays show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tells {
    /// The event itself.
    It,
    /// A report that more comes from this address than is shown.
    LeftOut(IpAddr),
    /// No part, because a report about this source was shown lately.
    Nothing,
}

/// The budgets of shown events, by source and in total.
#[derive(Debug)]
pub(crate) struct Told {
    each: Failures,
    all: Failures<()>,
    left_out: Failures,
    left_out_of_all: Failures<()>,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            each: Failures::new(TOLD_A_MINUTE),
            all: Failures::new(TOLD_A_MINUTE_OF_ALL),
            left_out: Failures::new(LEFT_OUT_A_MINUTE),
            left_out_of_all: Failures::new(LEFT_OUT_A_MINUTE_OF_ALL),
        }
    }
}

impl Told {
    pub(crate) fn of(&self, event: &Event, now: Instant) -> Tells {
        let Some(address) = by_a_stranger(event) else { return Tells::It };
        if takes(&self.each, &self.all, address, now) {
            return Tells::It;
        }
        match takes(&self.left_out, &self.left_out_of_all, address, now) {
            true => Tells::LeftOut(address),
            false => Tells::Nothing,
        }
    }
}

/// Takes one event from the budget of the source and one from that of all. A source without budget
/// takes nothing from the others.
fn takes(each: &Failures, all: &Failures<()>, address: IpAddr, now: Instant) -> bool {
    each.permit(Source::of(address), now).is_some() && all.permit((), now).is_some()
}

/// Returns the source of an event that a stranger can cause without limit. A shown PIN is not among
/// them, because it has a rate of its own.
fn by_a_stranger(event: &Event) -> Option<IpAddr> {
    match event {
        Event::Asked { address, .. }
        | Event::AskRefused { address, .. }
        | Event::CodeWrong { address, .. } => Some(*address),
        Event::Paired(..)
        | Event::Decided { .. }
        | Event::Linked(..)
        | Event::Unlinked(..)
        | Event::Replaced { .. }
        | Event::Pushed(..)
        | Event::Pinged { .. }
        | Event::Dispatch { .. }
        | Event::LeftOut { .. }
        | Event::PairingRequest { .. }
        | Event::CodeLocked
        | Event::PinsLockedFor { .. }
        | Event::WindowOpened { .. }
        | Event::SessionOpened { .. }
        | Event::SessionRevoked { .. }
        | Event::LoggedIn { .. }
        | Event::LoginEnded { .. }
        | Event::CompanionLinked { .. }
        | Event::CompanionUnlinked { .. }
        | Event::SenderAsked { .. }
        | Event::SenderAllowed { .. }
        | Event::SenderDecided { .. }
        | Event::SendersSeeded { .. }
        | Event::WindowClosed
        | Event::WindowLocked
        | Event::CertificateIssued { .. }
        | Event::CertificatesRevoked { .. }
        | Event::CloneAlarm { .. }
        | Event::GatewayIsOlder { .. }
        | Event::GrantOffered { .. }
        | Event::GrantActivated { .. }
        | Event::GrantRevoked { .. }
        | Event::DelegateLinked { .. }
        | Event::DelegateUnlinked { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use handfast_core::Refusal;

    use super::*;

    fn refused(address: [u8; 4]) -> Event {
        Event::AskRefused { address: address.into(), refusal: Refusal::TooManyPending }
    }

    #[test]
    fn one_source_is_told_of_so_often_then_that_there_is_more_and_others_as_before() {
        let (told, now) = (Told::default(), Instant::from_millis(0));
        let (noisy, other) = (refused([192, 0, 2, 1]), refused([192, 0, 2, 2]));
        for _ in 0..TOLD_A_MINUTE {
            assert_eq!(told.of(&noisy, now), Tells::It);
        }
        assert_eq!(told.of(&noisy, now), Tells::LeftOut([192, 0, 2, 1].into()));
        for _ in 0..1000 {
            assert_eq!(told.of(&noisy, now), Tells::Nothing);
        }
        assert_eq!(told.of(&other, now), Tells::It);
        assert_eq!(told.of(&Event::WindowLocked, now), Tells::It);
        assert_eq!(told.of(&noisy, Instant::from_millis(60_000)), Tells::It);
    }

    #[test]
    fn however_many_sources_there_are_all_together_are_told_of_so_often() {
        let (told, now) = (Told::default(), Instant::from_millis(0));
        let all = (0..1000_u16).map(|number| {
            let [high, low] = number.to_be_bytes();
            told.of(&refused([10, 0, high, low]), now)
        });
        let all: Vec<_> = all.collect();
        assert_eq!(
            all.iter().filter(|tells| **tells == Tells::It).count(),
            TOLD_A_MINUTE_OF_ALL as usize
        );
        assert_eq!(
            all.iter().filter(|tells| matches!(tells, Tells::LeftOut(_))).count(),
            LEFT_OUT_A_MINUTE_OF_ALL as usize
        );
    }
}
