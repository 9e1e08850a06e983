//! The light at [`ADDRESS`]: a message switches the board's pin, and the board answers with the
//! level that it reads back. The answer passes where the board may write to that address.
//!
//! | message | then |
//! |---|---|
//! | write `on` or `true`, `off` or `false` | switches the pin, and answers |
//! | read, whatever the bytes | answers |
//! | another one | is shown at the console, and not answered |

use core::cell::RefCell;

use handfast_core::wire::native::Payload;
use handfast_core::wire::native::link::App;
use handfast_core::wire::path::{Action, Address, Pattern};
use handfast_core::wire::registration::Heartbeat;
use handfast_edge::ports::Sensors;

use crate::board::Pin;
use crate::readings::FromConsole;

/// The address of the light.
pub(crate) const ADDRESS: &str = "/light";
/// The number of the message that tells the level.
pub(crate) const LEVEL: u16 = 1;

/// The board's pin, which tasks and messages switch. No borrow outlives a call, so none fails.
pub(crate) struct SharedPin<'p, P>(RefCell<&'p mut P>);

impl<'p, P: Pin> SharedPin<'p, P> {
    pub(crate) const fn new(pin: &'p mut P) -> Self {
        Self(RefCell::new(pin))
    }
}

impl<P: Pin> Pin for &SharedPin<'_, P> {
    fn set(&mut self, on: bool) {
        if let Ok(mut pin) = self.0.try_borrow_mut() {
            pin.set(on);
        }
    }

    fn is_on(&self) -> bool {
        self.0.try_borrow().is_ok_and(|pin| pin.is_on())
    }
}

/// Obeys a message for the light. Returns its level, which is to be told; `None` for another message.
pub(crate) fn obey(app: &App<'_>, pin: &mut impl Pin) -> Option<bool> {
    if app.address.as_str() != ADDRESS {
        return None;
    }
    match (app.action, app.bytes.as_bytes().trim_ascii()) {
        (Action::Write, b"on" | b"true") => pin.set(true),
        (Action::Write, b"off" | b"false") => pin.set(false),
        (Action::Read, _) => {}
        (Action::Write | Action::Admin, _) => return None,
    }
    Some(pin.is_on())
}

/// Returns the word for a level, as messages have it.
pub(crate) const fn word(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

/// The readings of the console, and the level of the light.
pub(crate) struct BoardSensors<'r, P> {
    pub(crate) console: FromConsole<'r>,
    pub(crate) pin: P,
}

impl<P: Pin> Sensors for BoardSensors<'_, P> {
    fn heartbeat(&mut self) -> Heartbeat<'_> {
        self.console.heartbeat()
    }

    fn message(&mut self, number: u16) -> Option<App<'_>> {
        let address = Address::parse(ADDRESS).ok().filter(|_| number == LEVEL)?;
        let bytes = Payload::new(word(self.pin.is_on()).as_bytes())?;
        Some(App { action: Action::Write, address, bytes })
    }

    fn pattern(&mut self, _number: u16) -> Option<Pattern<'_>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;
    use crate::readings::Readings;

    struct Lamp(bool);

    impl Pin for Lamp {
        fn set(&mut self, on: bool) {
            self.0 = on;
        }

        fn is_on(&self) -> bool {
            self.0
        }
    }

    fn message(action: Action, address: &'static str, bytes: &'static str) -> App<'static> {
        let address = Address::parse(address).unwrap();
        App { action, address, bytes: Payload::new(bytes.as_bytes()).unwrap() }
    }

    #[test]
    fn a_message_switches_the_light_and_its_level_is_told() {
        let mut lamp = Lamp(false);
        let shared = SharedPin::new(&mut lamp);
        let readings = Cell::new(Readings::default());
        let mut sensors = BoardSensors { console: FromConsole::new(&readings), pin: &shared };
        for (action, bytes, level) in [
            (Action::Write, "on", true),
            (Action::Read, "", true),
            (Action::Write, "false\n", false),
        ] {
            assert_eq!(obey(&message(action, ADDRESS, bytes), &mut &shared), Some(level));
            let told = sensors.message(LEVEL).unwrap();
            assert_eq!(told, message(Action::Write, ADDRESS, word(level)));
        }
        assert!(sensors.message(LEVEL + 1).is_none());
    }

    #[test]
    fn another_message_switches_nothing() {
        let mut lamp = Lamp(true);
        for other in [
            message(Action::Write, "/lights", "off"),
            message(Action::Write, ADDRESS, "dim"),
            message(Action::Admin, ADDRESS, "off"),
        ] {
            assert_eq!(obey(&other, &mut lamp), None);
        }
        assert!(lamp.is_on());
    }
}
