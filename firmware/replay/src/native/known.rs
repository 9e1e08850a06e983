// Constants of the scripted node, shared by the recording and the playback.

/// Every random byte of the node. For measurements only.
const CHANCE: u8 = 0x42;
const PIN: &str = "847291";
const NAME: &str = "Lamp";
const ROOM: &str = "Kitchen";
