//! The output that an operator may switch.

use core::cell::RefCell;

use embedded_hal::digital::StatefulOutputPin;
use handfast_app::Pin;

/// An LED on an output pin.
#[derive(Debug)]
pub struct Led<P> {
    /// Reading the level back takes the pin mutably, but the application reads it shared.
    pin: RefCell<P>,
    lit_when_high: bool,
}

impl<P: StatefulOutputPin> Led<P> {
    /// Takes an LED between the pin and ground.
    pub const fn to_ground(pin: P) -> Self {
        Self { pin: RefCell::new(pin), lit_when_high: true }
    }

    /// Takes an LED between the supply and the pin.
    pub const fn to_supply(pin: P) -> Self {
        Self { pin: RefCell::new(pin), lit_when_high: false }
    }
}

impl<P: StatefulOutputPin> Pin for Led<P> {
    fn set(&mut self, on: bool) {
        // A pin that fails is noticed by the reading back.
        let _ = self.pin.get_mut().set_state((on == self.lit_when_high).into());
    }

    fn is_on(&self) -> bool {
        let Ok(mut pin) = self.pin.try_borrow_mut() else { return false };
        pin.is_set_high().is_ok_and(|high| high == self.lit_when_high)
    }
}

#[cfg(test)]
mod tests {
    use core::convert::Infallible;

    use embedded_hal::digital::{ErrorType, OutputPin};

    use super::*;

    /// The level of a pin.
    struct Level(bool);

    impl ErrorType for Level {
        type Error = Infallible;
    }

    impl OutputPin for Level {
        fn set_low(&mut self) -> Result<(), Infallible> {
            self.0 = false;
            Ok(())
        }

        fn set_high(&mut self) -> Result<(), Infallible> {
            self.0 = true;
            Ok(())
        }
    }

    impl StatefulOutputPin for Level {
        fn is_set_high(&mut self) -> Result<bool, Infallible> {
            Ok(self.0)
        }

        fn is_set_low(&mut self) -> Result<bool, Infallible> {
            Ok(!self.0)
        }
    }

    #[test]
    fn an_led_to_the_supply_is_lit_when_its_pin_is_low() {
        let mut led = Led::to_supply(Level(true));
        assert!(!led.is_on());
        led.set(true);
        assert!(led.is_on() && !led.pin.get_mut().0);
        let mut led = Led::to_ground(Level(false));
        led.set(true);
        assert!(led.is_on() && led.pin.get_mut().0);
    }
}
