//! The script of the native wire without a node.

use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::hint::black_box;
use core::pin::pin;
use core::task::Poll;

use embedded_io_async::{Read as _, Write as _};
use embedded_storage_async::nor_flash::{NorFlash as _, ReadNorFlash as _};
use handfast_core::flow::native::node::NativeNodeEvent;
use handfast_core::{Label, NodeId};
use handfast_edge::native::{NativeCommand, NativeOwnerPort as _, NativeReport};
use handfast_edge::ports::{Clock as _, Connector as _, Stream as _};
use rand_core::TryRng as _;

use super::gateway::{NativePlayback, NativeScript, SAID_BYTES, SETUP_CODE};
use super::owner::{NativeTypist, choice};
use super::{CHANCE, Flow};
use crate::props::{Always, PAGE, RamFlash, Still};
use crate::{Gauges, Measured, Notes, drive};

/// The flash of the board.
pub type Flash = RamFlash<{ 4 * PAGE }>;

/// Uses each part of the script as a node would. `None` if the recording was not played to its end.
#[inline(never)]
pub fn script(
    flow: Flow,
    flash: &mut Flash,
    measured: &mut Measured,
    gauges: Gauges,
) -> Option<()> {
    flash.erase_all();
    let stage = NativePlayback::new(flow);
    let notes = RefCell::new(Notes::new(measured, gauges.instructions));
    let gateway = NativeScript { stage: &stage, notes: &notes };
    let owner = NativeTypist { stage: &stage, notes: &notes, next: choice(flow), linked: false };
    let stopped = drive(pin!(play(gateway, owner, flash)))?;
    black_box((stopped, SETUP_CODE));
    let mut notes = notes.try_borrow_mut().ok().filter(|_| stage.heartbeat())?;
    notes.skip();
    notes.note("nothing");
    notes.measured.note("bytes of stack", (gauges.depth)());
    notes.measured.note("bytes of flash for the recordings", SAID_BYTES);
    Some(())
}

async fn play(
    mut gateway: NativeScript<'_>,
    mut owner: NativeTypist<'_>,
    flash: &mut Flash,
) -> Option<bool> {
    let mut room = [0; 64];
    Always(CHANCE).try_fill_bytes(&mut room).ok()?;
    Still.sleep_until(Still.now()).await;
    black_box(owner.command().await);
    for _ in 0..2 {
        let mut stream = gateway.connect().await.ok()?;
        for _ in 0..8 {
            stream.write(black_box(&room)).await.ok()?;
            stream.flush().await.ok()?;
            while let Some(read) = once(stream.read(&mut room)).await {
                black_box(read.ok()?);
            }
        }
        stream.close().await;
    }
    let number = u32::try_from(PAGE).ok()?;
    flash.erase(0, black_box(number)).await.ok()?;
    flash.write(black_box(0), &room).await.ok()?;
    flash.read(black_box(0), &mut room).await.ok()?;
    let node_id = NodeId::from_bytes([1; 16]);
    for news in [
        NativeNodeEvent::TypeThePin { expires_in: 1, attempts: 1 },
        NativeNodeEvent::CodeConfirmed,
        NativeNodeEvent::Granted { node_id, room: Label::UNKNOWN, message: None },
        NativeNodeEvent::Linked(node_id),
    ] {
        owner.tell(NativeReport::News(black_box(news))).await;
    }
    // The PIN was entered when it was awaited.
    black_box(owner.command().await);
    Some(owner.command().await == NativeCommand::Stop)
}

/// Polls a future once. `None` if it is not ready.
async fn once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}
