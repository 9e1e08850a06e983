// What the node of the script is, for the recording and for the replay.

/// Every byte of chance. For measuring only.
const CHANCE: u8 = 0x42;
const PIN: &str = "847291";
const NAME: &str = "Lamp";
const ROOM: &str = "Kitchen";
