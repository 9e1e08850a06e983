// Constants of the scripted node, shared by the recording and the playback.

/// Every random byte of the node. For measurements only.
const CHANCE: u8 = 0x42;
const PIN: &str = "847291";
const SELECTOR: &str = "K7QF";
const NAME: &str = "Lamp";
const ROOM: &str = "Kitchen";

/// One way to pair, with the link after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// By a PIN that the gateway shows.
    Pin,
    /// By a code that was minted beforehand.
    Code,
    /// By a setup code.
    Setup,
    /// By the operator's approval.
    Approval,
}

impl Flow {
    /// The flows, in the order in which they are recorded and played.
    pub const ALL: [Self; 4] = [Self::Pin, Self::Code, Self::Setup, Self::Approval];
}
