//! The driver of every flow's connections: it waits for the next event of a connection, hands it to
//! the flow, and carries out the actions that follow.
//!
//! A flow is a machine of core and a context that implements [`ConnectionFlow`]. What is waited
//! for, in which order, and when a frame is read is decided here, once for all flows.

use std::collections::VecDeque;
use std::future::{Future, pending, ready};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, OptionFuture};
use handfast_core::Machine;
use handfast_core::wire::close::Close;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep_until, timeout};

use crate::clock::GatewayClock;
use crate::connection::action::Action;
use crate::connection::hub::{Mail, Mailbox};
use crate::connection::message_rate::MessageRate;
use crate::connection::slot_state::SlotState;
use crate::connection::transport::{FrameTransport, PATIENCE, PeerEvent, close_within};

/// The actions of a flow's step, in the order in which they are carried out.
pub(crate) type FlowActions<F> =
    Vec<Action<<F as ConnectionFlow>::Frame, <F as ConnectionFlow>::Work>>;

/// The part of the gateway that the driver uses.
#[derive(Clone, Copy)]
pub(crate) struct DriverParts<'g> {
    pub(crate) clock: &'g GatewayClock,
    pub(crate) shutdown: &'g watch::Sender<bool>,
    /// Permits for connections that have sent their close frame and wait for the peer's.
    pub(crate) lingering: &'g Semaphore,
}

/// An event that carries nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// The connection is closed or lost.
    Closed,
    /// The peer has answered a ping of the transport.
    Pong,
    /// The machine's deadline has come.
    Deadline,
    /// The gateway shuts down.
    Shutdown,
    /// The connection has lost its slot.
    Evicted,
}

/// The decision about when a frame is read.
pub(crate) enum FrameTurn<A> {
    Now,
    /// The frame is held, and read once its [turn](ConnectionFlow::turn) has come.
    Later,
    /// The frame is never read. These actions are carried out instead.
    Never(A),
}

/// A flow's side of one connection: the state outside core's machine, and what an event means to
/// the machine.
///
/// Most methods take the machine, run its step and return the step's effects as actions.
pub(crate) trait ConnectionFlow: Send + Sized {
    type Machine: Machine + Send;
    /// A message of the transport.
    type Frame: Send;
    /// Work that needs no transport.
    type Work: Send;

    fn parts(&self) -> DriverParts<'_>;

    fn mailbox(&self) -> &Mailbox;

    fn slot(&mut self) -> &mut SlotState;

    /// Returns `true` once the peer has authenticated and is linked.
    fn is_linked(machine: &Self::Machine) -> bool;

    fn signal(&mut self, machine: &mut Self::Machine, signal: Signal) -> FlowActions<Self>;

    fn mail(&mut self, machine: &mut Self::Machine, mail: Mail) -> FlowActions<Self>;

    /// Reads a frame of the peer.
    fn read(&mut self, machine: &mut Self::Machine, frame: Self::Frame) -> FlowActions<Self>;

    /// Carries out work, and hands its answer, if it has one, to the machine.
    fn carry_out(
        &mut self,
        machine: &mut Self::Machine,
        work: Self::Work,
    ) -> impl Future<Output = FlowActions<Self>> + Send;

    /// Completes when the connection has lost its slot.
    fn evicted(&self) -> impl Future<Output = ()> + Send;

    /// Returns `true` for work that takes long and is given up when the peer leaves.
    fn ends_with_peer(_: &Self::Work) -> bool {
        false
    }

    /// Decides when a frame that has arrived is read.
    fn frame_turn(
        &mut self,
        _: &mut Self::Machine,
        _: &Self::Frame,
    ) -> FrameTurn<FlowActions<Self>> {
        FrameTurn::Now
    }

    /// Completes when the turn of the held frame has come.
    fn turn(&self) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// Is called when the turn of the held frame has come, before it is read.
    fn turn_came(&mut self) {}
}

/// The end of a flow's part in a connection whose first frame belongs to another flow. By default
/// none does.
pub(crate) trait HandOver<T>: ConnectionFlow {
    /// Returns `true` for a frame that belongs to another flow.
    fn is_foreign(&self, _: &Self::Frame) -> bool {
        false
    }

    /// Hands the transport to the flow that the frame belongs to, and the frame with it.
    fn hand_over(self, _: T, _: Self::Frame) {}
}

/// A transport and the state of its connection.
pub(crate) struct ConnectionDriver<F: ConnectionFlow, T> {
    transport: T,
    machine: F::Machine,
    flow: F,
    /// A frame that was received and waits until it may be read. It is boxed, because it stands in
    /// memory for every connection, and hardly any has one.
    held: Option<Box<F::Frame>>,
    /// `true` if the last event was a delivery to the peer.
    delivered: bool,
    /// The rate at which messages are read once the peer is linked.
    rate: MessageRate,
}

/// The event that ends one wait of the connection.
enum DriverWake<M> {
    Shutdown,
    Deadline,
    Mail(Mail),
    Evicted,
    /// The held frame's turn has come, or the pause between frames is over.
    Turn,
    Received(PeerEvent<M>),
}

impl<T: FrameTransport<F::Frame>, F: HandOver<T>> ConnectionDriver<F, T> {
    pub(crate) fn new(transport: T, machine: F::Machine, flow: F) -> Self {
        let rate = MessageRate::default();
        Self { transport, machine, flow, held: None, delivered: false, rate }
    }

    /// Hands the connection a first frame that was received already.
    pub(crate) fn that_received(mut self: Box<Self>, first: F::Frame) -> Box<Self> {
        self.held = Some(Box::new(first));
        self
    }

    /// Runs until the connection has ended or belongs to another flow. The receiver is boxed,
    /// because the future of an async function stores its arguments twice.
    pub(crate) async fn run(mut self: Box<Self>) {
        let mut shutdown = self.flow.parts().shutdown.subscribe();
        while !self.machine.is_closed() {
            let wake = self.next(&mut shutdown).await;
            if self.is_foreign(&wake)
                && let DriverWake::Received(PeerEvent::Frame(frame)) = wake
            {
                // The first frame has come, so the connection keeps its slot meanwhile.
                self.flow.slot().spoke();
                let Self { flow, transport, .. } = *self;
                return flow.hand_over(transport, frame);
            }
            let actions = self.react(wake);
            if !actions.is_empty() {
                // Boxed, so that the future of an idle connection does not hold the memory of a
                // busy one.
                Box::pin(self.carry_out(actions)).await;
            }
        }
    }

    fn is_foreign(&self, wake: &DriverWake<F::Frame>) -> bool {
        matches!(wake, DriverWake::Received(PeerEvent::Frame(frame)) if self.flow.is_foreign(frame))
    }

    /// Waits for the next event. No frame is read while an answer is due.
    async fn next(&mut self, shutdown: &mut watch::Receiver<bool>) -> DriverWake<F::Frame> {
        let Self { transport, machine, flow, held, delivered, rate } = self;
        let flow = &*flow;
        let deadline = machine.deadline().map(|(at, _)| flow.parts().clock.wake_at(at));
        let reads = !machine.awaits_answer();
        // Boxed, because hardly any connection ever waits: before it is linked for its turn, and
        // from then on for its rate.
        let mut waits: Option<BoxFuture<'_, ()>> = match held {
            Some(_) if reads => Some(flow.turn().boxed()),
            Some(_) => None,
            None => rate.pause(flow.parts().clock).map(|pause| pause as _),
        };
        // A peer that exceeds its rate is read later, so the transport slows it down and no frame
        // is lost.
        let receives = reads && (held.is_some() || waits.is_none());
        // A peer that receives more than its transport carries is still read: one frame after each
        // delivery, if there is one.
        if std::mem::take(delivered) && reads && !flow.mailbox().has_notice() {
            let read = match &mut waits {
                Some(waits) => waits.now_or_never().map(|()| DriverWake::Turn),
                None => transport.recv().now_or_never().map(DriverWake::Received),
            };
            if let Some(read) = read {
                return read;
            }
        }
        tokio::select! {
            // The order is by urgency, so that floods of frames or deliveries delay nothing else.
            biased;
            () = async { let _ = shutdown.wait_for(|down| *down).await; } => DriverWake::Shutdown,
            () = async {
                match deadline {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            } => DriverWake::Deadline,
            mail = flow.mailbox().next() => DriverWake::Mail(mail),
            () = flow.evicted() => DriverWake::Evicted,
            Some(()) = OptionFuture::from(waits) => DriverWake::Turn,
            received = transport.recv(), if receives => DriverWake::Received(received),
        }
    }

    fn react(&mut self, wake: DriverWake<F::Frame>) -> FlowActions<F> {
        match wake {
            DriverWake::Shutdown => self.signal(Signal::Shutdown),
            DriverWake::Deadline => self.signal(Signal::Deadline),
            DriverWake::Evicted => self.signal(Signal::Evicted),
            DriverWake::Mail(mail) => {
                self.delivered = matches!(mail, Mail::App(_) | Mail::Frame(_));
                self.flow.mail(&mut self.machine, mail)
            }
            DriverWake::Turn => match self.held.take() {
                Some(frame) => {
                    self.flow.turn_came();
                    self.counts();
                    self.flow.read(&mut self.machine, *frame)
                }
                None => Vec::new(),
            },
            DriverWake::Received(event) => self.received(event),
        }
    }

    fn received(&mut self, event: PeerEvent<F::Frame>) -> FlowActions<F> {
        match event {
            // A peer must not send more before its held frame is answered.
            PeerEvent::Frame(_) if self.held.is_some() => {
                self.closed_then(Action::Close(Close::PROTOCOL_VIOLATION))
            }
            PeerEvent::Frame(frame) => {
                self.flow.slot().spoke();
                self.counts();
                match self.flow.frame_turn(&mut self.machine, &frame) {
                    FrameTurn::Now => self.flow.read(&mut self.machine, frame),
                    FrameTurn::Later => {
                        self.held = Some(Box::new(frame));
                        Vec::new()
                    }
                    FrameTurn::Never(actions) => actions,
                }
            }
            // The transport has answered it.
            PeerEvent::Ping => {
                self.counts();
                Vec::new()
            }
            PeerEvent::Pong => {
                self.counts();
                self.signal(Signal::Pong)
            }
            PeerEvent::Goodbye => self.closed_then(Action::FinishClose),
            PeerEvent::Gone => self.signal(Signal::Closed),
            PeerEvent::Broken(why) => self.closed_then(Action::Close(why)),
        }
    }

    /// Counts a message against the rate of a linked peer.
    fn counts(&mut self) {
        if F::is_linked(&self.machine) {
            self.rate.read(self.flow.parts().clock.now());
        }
    }

    fn signal(&mut self, signal: Signal) -> FlowActions<F> {
        self.flow.signal(&mut self.machine, signal)
    }

    /// Tells the machine that the connection has ended, and appends what is left to do.
    fn closed_then(&mut self, last: Action<F::Frame, F::Work>) -> FlowActions<F> {
        let mut actions = self.signal(Signal::Closed);
        actions.push(last);
        actions
    }

    /// Carries out the actions in order, and those of each answer after them, until none is left.
    async fn carry_out(&mut self, actions: FlowActions<F>) {
        let mut queue = VecDeque::from(actions);
        while let Some(action) = queue.pop_front() {
            match action {
                Action::Send(frame) => {
                    // Frames in a row go out together, because each write costs a packet and wakes
                    // the peer.
                    let mut frames = vec![frame];
                    while let Some(frame) = next_to_send(&mut queue) {
                        frames.push(frame);
                    }
                    let sending = self.transport.send_all(frames);
                    if !matches!(timeout(PATIENCE, sending).await, Ok(Ok(()))) {
                        // What the machine does at the end replaces all that was still to be done.
                        queue.clear();
                        queue.extend(self.signal(Signal::Closed));
                    }
                }
                Action::Close(close) => self.close(Some(close)).await,
                Action::FinishClose => self.close(None).await,
                Action::Break(close) => queue.extend(self.closed_then(Action::Close(close))),
                Action::Work(work) => queue.extend(self.work(work).await),
            }
        }
    }

    async fn work(&mut self, work: F::Work) -> FlowActions<F> {
        let Self { transport, machine, flow, held, .. } = self;
        if !F::ends_with_peer(&work) {
            return flow.carry_out(machine, work).await;
        }
        tokio::select! {
            actions = flow.carry_out(machine, work) => return actions,
            () = gone(transport, held) => {}
        }
        // The peer's close frame, if it sent one, still wants its reply.
        self.closed_then(Action::FinishClose)
    }

    async fn close(&mut self, close: Option<Close>) {
        // A closing connection waits for nothing, so others get its slot before the peer answers.
        *self.flow.slot() = SlotState::Free;
        close_within(&mut self.transport, close, self.flow.parts().lingering).await;
    }
}

/// Takes the frame that is to be sent next, unless something else comes before it.
fn next_to_send<M, W>(queue: &mut VecDeque<Action<M, W>>) -> Option<M> {
    match queue.pop_front()? {
        Action::Send(frame) => Some(frame),
        other @ (Action::Close(_) | Action::FinishClose | Action::Break(_) | Action::Work(_)) => {
            queue.push_front(other);
            None
        }
    }
}

/// Completes when the peer is gone. One frame that the peer sends too early is held, and nothing is
/// read after it.
async fn gone<M>(transport: &mut impl FrameTransport<M>, held: &mut Option<Box<M>>) {
    while held.is_none() {
        match transport.recv().await {
            PeerEvent::Ping | PeerEvent::Pong => {}
            PeerEvent::Frame(frame) => *held = Some(Box::new(frame)),
            PeerEvent::Goodbye | PeerEvent::Gone | PeerEvent::Broken(_) => return,
        }
    }
    pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use handfast_core::flow::native::gateway::NativeConnection;
    use handfast_core::registry::lifecycle::Notice;
    use handfast_store::MemoryStore;

    use super::*;
    use crate::connection::framed::FramedTransport;
    use crate::flows::native::flow;
    use crate::gateway::Gateway;

    // Each event is added to those that wait already, and overtakes all of them.
    #[tokio::test(start_paused = true)]
    async fn of_all_that_waits_the_most_urgent_comes_first() {
        let gateway = Gateway::builder(MemoryStore::default()).start().await.unwrap();
        let (far, near) = tokio::io::duplex(1024);
        let (mut far, near) = (FramedTransport::new(far), FramedTransport::new(near));
        let (address, since) = (Ipv4Addr::LOCALHOST.into(), gateway.inner.clock.now());
        let mut driver = flow::driver(gateway.clone(), near, address, since, SlotState::Free);
        let mut shutdown = gateway.inner.shutdown.subscribe();

        far.send_frame(b"one").await.unwrap();
        let woken = driver.next(&mut shutdown).await;
        assert!(matches!(woken, DriverWake::Received(PeerEvent::Frame(frame)) if frame == b"one"));

        far.send_frame(b"two").await.unwrap();
        driver.held = Some(Box::new(b"held".to_vec()));
        assert!(matches!(driver.next(&mut shutdown).await, DriverWake::Turn));

        *driver.flow.slot() = SlotState::Refused;
        assert!(matches!(driver.next(&mut shutdown).await, DriverWake::Evicted));

        driver.flow.mailbox().notice(Notice::Muted);
        let woken = driver.next(&mut shutdown).await;
        assert!(matches!(woken, DriverWake::Mail(Mail::Notice(Notice::Muted))));

        driver.flow.mailbox().notice(Notice::Muted);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert!(matches!(driver.next(&mut shutdown).await, DriverWake::Deadline));

        gateway.inner.shutdown.send_replace(true);
        assert!(matches!(driver.next(&mut shutdown).await, DriverWake::Shutdown));

        // The deadline costs the notice nothing: it is the next.
        gateway.inner.shutdown.send_replace(false);
        driver.machine =
            NativeConnection::accepted(gateway.inner.clock.now(), gateway.inner.limits);
        let woken = driver.next(&mut shutdown).await;
        assert!(matches!(woken, DriverWake::Mail(Mail::Notice(Notice::Muted))));
    }
}
