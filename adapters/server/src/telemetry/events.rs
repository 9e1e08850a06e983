//! The kinds of the gateway's events, as label values.

use super::label_values::words;
use crate::events::Event;

/// Declares one kind for each variant of [`Event`], under the same name. A missing or repeated
/// variant does not compile.
macro_rules! kinds {
    ($($variant:ident = $word:literal,)+) => {
        words! {
            /// The kind of an event, as it is counted.
            pub(super) enum EventKind {
                $(#[doc = concat!("`Event::", stringify!($variant), "`.")] $variant = $word,)+
            }
        }

        impl EventKind {
            pub(super) fn of(event: &Event) -> Self {
                match event {
                    $(Event::$variant { .. } => Self::$variant,)+
                }
            }
        }
    };
}

kinds! {
    Asked = "asked",
    AskRefused = "ask_refused",
    LeftOut = "left_out",
    Paired = "paired",
    Decided = "decided",
    Linked = "linked",
    Unlinked = "unlinked",
    Replaced = "replaced",
    Pushed = "pushed",
    Pinged = "pinged",
    Dispatch = "dispatch",
    PairingRequest = "pairing_request",
    CodeWrong = "code_wrong",
    CodeLocked = "code_locked",
    PinsLockedFor = "pins_locked_for",
    WindowOpened = "window_opened",
    WindowClosed = "window_closed",
    SessionOpened = "session_opened",
    SessionRevoked = "session_revoked",
    LoggedIn = "logged_in",
    LoginEnded = "login_ended",
    CompanionLinked = "companion_linked",
    CompanionUnlinked = "companion_unlinked",
    SenderAsked = "sender_asked",
    SenderAllowed = "sender_allowed",
    SenderDecided = "sender_decided",
    SendersSeeded = "senders_seeded",
    WindowLocked = "window_locked",
    GrantOffered = "grant_offered",
    GrantActivated = "grant_activated",
    GrantRevoked = "grant_revoked",
    CertificateIssued = "certificate_issued",
    CertificatesRevoked = "certificates_revoked",
    CloneAlarm = "clone_alarm",
    GatewayIsOlder = "gateway_is_older",
    DelegateLinked = "delegate_linked",
    DelegateUnlinked = "delegate_unlinked",
}

#[cfg(test)]
mod tests {
    use super::super::label_values::LabelValue;
    use super::*;

    #[test]
    fn the_word_of_an_event_is_its_name_in_snake_case() {
        for kind in EventKind::ALL {
            let mut snake = String::new();
            for c in format!("{kind:?}").chars() {
                if c.is_uppercase() && !snake.is_empty() {
                    snake.push('_');
                }
                snake.extend(c.to_lowercase());
            }
            assert_eq!(kind.word(), snake);
        }
    }

    #[test]
    fn an_event_is_counted_under_its_own_name() {
        for (event, kind) in [
            (Event::WindowClosed, EventKind::WindowClosed),
            (Event::WindowOpened { closes: None }, EventKind::WindowOpened),
            (
                Event::CodeWrong { pin: true, left: 2, address: [192, 0, 2, 1].into() },
                EventKind::CodeWrong,
            ),
            (Event::CodeLocked, EventKind::CodeLocked),
        ] {
            assert_eq!(EventKind::of(&event), kind);
            assert!(format!("{event:?}").starts_with(&format!("{kind:?}")));
        }
    }
}
