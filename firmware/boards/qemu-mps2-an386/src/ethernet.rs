//! Driver of the LAN9118 Ethernet controller for embassy-net.

use core::task::Context;

use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::waitqueue::AtomicWaker;
use static_cell::ConstStaticCell;

use crate::interrupts::{self, Interrupt};
use handfast_bare::register::Register;

const BASE: usize = 0x4020_0000;

const fn register(offset: usize) -> Register {
    // SAFETY: the LAN9118 of the AN386 fills this page, and every offset below lies in it.
    unsafe { Register::at(BASE | (offset & 0xFC)) }
}

const RX_DATA: Register = register(0x00);
const TX_DATA: Register = register(0x20);
const RX_STATUS: Register = register(0x40);
const TX_STATUS: Register = register(0x48);
const IRQ_CFG: Register = register(0x54);
const INT_STS: Register = register(0x58);
const INT_EN: Register = register(0x5C);
const BYTE_TEST: Register = register(0x64);
const FIFO_INT: Register = register(0x68);
const TX_CFG: Register = register(0x70);
const HW_CFG: Register = register(0x74);
const RX_FIFO_INF: Register = register(0x7C);
const TX_FIFO_INF: Register = register(0x80);
const MAC_CSR_CMD: Register = register(0xA4);
const MAC_CSR_DATA: Register = register(0xA8);

const BYTE_TEST_VALUE: u32 = 0x8765_4321;
const HW_CFG_RESET: u32 = 1 << 0;
const HW_CFG_TX_FIFO_5K: u32 = 5 << 16;
const HW_CFG_MUST_BE_ONE: u32 = 1 << 20;
const FIFO_INT_FIRST_FRAME: u32 = 0xFF00_0000; // TX levels at their highest, RX levels at 0
const TX_CFG_ON: u32 = 1 << 1;
const IRQ_PUSH_PULL_HIGH_ON: u32 = 0x111;
const INT_RX_STATUS: u32 = 1 << 3;
const TX_FIRST_AND_LAST: u32 = 1 << 13 | 1 << 12;
const MAC_BUSY: u32 = 1 << 31;
const MAC_READ: u32 = 1 << 30;
const MAC_CR: u32 = 1;
const MAC_ADDRH: u32 = 2;
const MAC_ADDRL: u32 = 3;
const MAC_CR_FULL_DUPLEX_TX_RX: u32 = 1 << 20 | 1 << 3 | 1 << 2;

/// Maximum length of a frame in bytes, without its checksum, which the controller handles.
const MAX_FRAME: usize = 1514;
const MAX_FRAME_WORDS: usize = MAX_FRAME.div_ceil(4);
const CHECK_SUM: usize = 4;

/// Bytes that the largest frame takes in the controller's FIFO, with the two command words before
/// it.
const TX_ROOM: u32 = (MAX_FRAME_WORDS as u32 + 2) * 4;

type Buffer = [u8; MAX_FRAME_WORDS * 4];

static FRAME_WAITS: AtomicWaker = AtomicWaker::new();

/// Handles the interrupt for a received frame. The interrupt follows the level, so it stays off
/// until the driver has emptied the queue.
pub(crate) extern "C" fn on_interrupt() {
    INT_EN.write(0);
    FRAME_WAITS.wake();
}

/// The controller, with a buffer for one frame in each direction.
pub(crate) struct Lan9118 {
    address: [u8; 6],
    rx: &'static mut Buffer,
    tx: &'static mut Buffer,
}

impl Lan9118 {
    /// Initializes the controller. `None` if there is none, or it was initialized before.
    pub(crate) fn start() -> Option<Self> {
        if BYTE_TEST.read() != BYTE_TEST_VALUE {
            return None;
        }
        HW_CFG.write(HW_CFG_RESET);
        // The bit clears itself once the reset is complete.
        while HW_CFG.read() & HW_CFG_RESET != 0 {}
        HW_CFG.write(HW_CFG_TX_FIFO_5K | HW_CFG_MUST_BE_ONE);
        FIFO_INT.write(FIFO_INT_FIRST_FRAME);
        TX_CFG.write(TX_CFG_ON);
        // The controller has read its address from its EEPROM (QEMU: from the command line).
        let [a, b, c, d] = mac_read(MAC_ADDRL).to_le_bytes();
        let [e, f, ..] = mac_read(MAC_ADDRH).to_le_bytes();
        mac_write(MAC_CR, MAC_CR_FULL_DUPLEX_TX_RX);
        IRQ_CFG.write(IRQ_PUSH_PULL_HIGH_ON);
        interrupts::enable(Interrupt::Ethernet);
        static RX: ConstStaticCell<Buffer> = ConstStaticCell::new([0; _]);
        static TX: ConstStaticCell<Buffer> = ConstStaticCell::new([0; _]);
        Some(Self { address: [a, b, c, d, e, f], rx: RX.try_take()?, tx: TX.try_take()? })
    }
}

fn mac_read(index: u32) -> u32 {
    MAC_CSR_CMD.write(MAC_BUSY | MAC_READ | index);
    while MAC_CSR_CMD.read() & MAC_BUSY != 0 {}
    MAC_CSR_DATA.read()
}

fn mac_write(index: u32, value: u32) {
    MAC_CSR_DATA.write(value);
    MAC_CSR_CMD.write(MAC_BUSY | index);
    while MAC_CSR_CMD.read() & MAC_BUSY != 0 {}
}

/// Returns `true` if a received frame waits; if not, wakes `cx` when one arrives.
fn frame_waits(cx: &Context<'_>) -> bool {
    let waits = || RX_FIFO_INF.read() >> 16 & 0xFF != 0;
    waits() || {
        FRAME_WAITS.register(cx.waker());
        INT_STS.write(INT_RX_STATUS);
        INT_EN.write(INT_RX_STATUS);
        // A frame may have arrived before the interrupt was enabled.
        waits()
    }
}

/// Returns `true` if the controller has room for the largest frame. The status of sent frames is
/// discarded here: TCP retransmits lost data.
fn has_room() -> bool {
    while TX_FIFO_INF.read() >> 16 & 0xFF != 0 {
        TX_STATUS.read();
    }
    TX_FIFO_INF.read() & 0xFFFF >= TX_ROOM
}

impl Driver for Lan9118 {
    type RxToken<'a> = ReceivedFrame<'a>;
    type TxToken<'a> = TransmitSlot<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(ReceivedFrame<'_>, TransmitSlot<'_>)> {
        let ready = frame_waits(cx) && room_or_retry(cx);
        ready.then_some((ReceivedFrame(self.rx), TransmitSlot(self.tx)))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<TransmitSlot<'_>> {
        room_or_retry(cx).then_some(TransmitSlot(self.tx))
    }

    fn link_state(&mut self, _cx: &mut Context<'_>) -> LinkState {
        // QEMU's cable is always connected; real hardware would need a query of the PHY.
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = MAX_FRAME;
        capabilities.max_burst_size = Some(1);
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.address)
    }
}

/// Returns `true` if there is room, and otherwise wakes `cx` at once: a full queue drains within
/// one frame's time, so the stack just tries again.
fn room_or_retry(cx: &Context<'_>) -> bool {
    has_room() || {
        cx.waker().wake_by_ref();
        false
    }
}

/// A frame that waits in the controller.
pub(crate) struct ReceivedFrame<'a>(&'a mut Buffer);

impl RxToken for ReceivedFrame<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, f: F) -> R {
        let with_check_sum = (RX_STATUS.read() >> 16 & 0x3FFF) as usize;
        let (words, _) = self.0.as_chunks_mut::<4>();
        let mut words = words.iter_mut();
        for _ in 0..with_check_sum.div_ceil(4) {
            let word = RX_DATA.read();
            // Words beyond the maximum still have to be read out of the queue.
            if let Some(place) = words.next() {
                *place = word.to_le_bytes();
            }
        }
        let length = with_check_sum.saturating_sub(CHECK_SUM).min(MAX_FRAME);
        f(self.0.get_mut(..length).unwrap_or_default())
    }
}

/// Room for one frame in the controller.
pub(crate) struct TransmitSlot<'a>(&'a mut Buffer);

impl TxToken for TransmitSlot<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let length = length.min(MAX_FRAME);
        let result = f(self.0.get_mut(..length).unwrap_or_default());
        TX_DATA.write(TX_FIRST_AND_LAST | length as u32);
        TX_DATA.write(length as u32);
        let (words, _) = self.0.as_chunks::<4>();
        for word in words.iter().take(length.div_ceil(4)) {
            TX_DATA.write(u32::from_le_bytes(*word));
        }
        result
    }
}
