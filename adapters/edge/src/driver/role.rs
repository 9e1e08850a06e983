//! What the driver takes from a flow: its machine, its storage, its owner and its links.

use handfast_core::wire::close::Close;
use handfast_core::{Instant, Machine};

use super::TimeLimits;
use crate::error::KeepError;
use crate::transport::{Broken, Frame};

/// The input of a machine.
pub(crate) type InputOf<'b, M> = <M as Machine>::Input<'b>;
/// The effect of a machine.
pub(crate) type EffectOf<'b, M> = <M as Machine>::Effect<'b>;

/// The work of a role.
pub(crate) type WorkOf<'b, R> =
    Work<'b, <R as Role>::Kept, <R as Role>::Report<'b>, <R as Role>::TaskOrder<'b>>;

/// One side of a flow: its machine, with the storage and the owner that the effects reach.
pub(crate) trait Role {
    /// The machine that decides.
    type Machine: Machine;
    /// The record that outlives a power cut.
    type Memory;
    /// What an effect that stores carries: the memory, or nothing where the machine has it.
    type Kept;
    /// A message of the gateway about the node's tasks or its certificate.
    type TaskOrder<'b>;
    /// A message about the node's tasks or its certificate that is owed to the gateway.
    type TaskReport;
    /// A command of the owner.
    type Command;
    /// A message for the owner.
    type Report<'b>;

    /// The memory of a node that was never paired.
    const BLANK: Self::Memory;

    /// Makes the machine of a node that has just started.
    fn boot(&self, now: Instant, memory: Self::Memory) -> Self::Machine;

    /// Loads the memory.
    ///
    /// # Errors
    /// [`KeepError`]: the memory cannot be read, which does not make it blank.
    async fn load(&mut self) -> Result<Self::Memory, KeepError>;

    /// Returns the memory that is to be stored.
    fn memory<'m>(machine: &'m Self::Machine, kept: &'m Self::Kept) -> &'m Self::Memory;

    /// Makes the memory durable.
    ///
    /// # Errors
    /// [`KeepError`]: the memory may not be durable.
    async fn keep(&mut self, memory: &Self::Memory) -> Result<(), KeepError>;

    /// Waits for the owner's next command, or with an `output` until a task has something to tell.
    /// Dropping the future loses nothing.
    async fn wake(&mut self, output: Option<&mut [u8]>) -> Wake<Self::Command>;

    /// Shows the owner a report.
    async fn tell(&mut self, report: Self::Report<'_>);

    /// Notes that the link is gone.
    fn left(&mut self);

    /// Decides about a message of the gateway about a task. Returns `true` if the tasks must be
    /// saved and then [`start`](Self::start) called.
    fn take(&mut self, order: &Self::TaskOrder<'_>, output: &mut [u8]) -> bool;

    /// Starts a task, if the tasks were saved.
    fn start(&mut self, order: &Self::TaskOrder<'_>, saved: bool, output: &mut [u8]);

    /// Returns the report of a task that was taken and is durable.
    fn taken<'o>(order: &'o Self::TaskOrder<'_>) -> Option<Self::Report<'o>>;

    /// Returns the report of the task that was saved as ended.
    fn ended(&self) -> Option<Self::Report<'static>>;

    /// Returns `true` if the tasks must be saved before anything of them is told.
    fn unsaved(&self) -> bool;

    /// Makes the tasks durable.
    ///
    /// # Errors
    /// [`KeepError`]: they may not be durable.
    async fn save(&mut self) -> Result<(), KeepError>;

    /// Returns the next message that is owed to the gateway, on a standing link.
    fn report(&mut self, now: Instant) -> Option<Self::TaskReport>;

    /// Makes the input for such a message, whose text is in `output`.
    fn reported<'b>(report: Self::TaskReport, output: &'b [u8]) -> InputOf<'b, Self::Machine>
    where
        Self: 'b;

    /// Returns what a command means to the driver itself.
    fn order(command: &Self::Command) -> Order<Self::Report<'static>>;

    /// Returns `true` if this command needs a link, and there is none.
    fn refuses(&self, _command: &Self::Command) -> bool {
        false
    }

    /// Returns the report of a command that had no effect.
    fn refused(_refused: Refused) -> Option<Self::Report<'static>> {
        None
    }

    /// Puts a failure of the driver into words.
    fn failure(failure: Failure) -> Self::Report<'static>;

    /// Returns the time limits of the board.
    fn limits(&self) -> TimeLimits;

    /// Makes the answer to a request to store: the memory that is durable now.
    fn kept<'b>(&mut self, kept: Self::Kept) -> InputOf<'b, Self::Machine>;

    /// Translates an effect into work of the driver.
    fn work<'b>(effect: EffectOf<'b, Self::Machine>) -> WorkOf<'b, Self>;

    /// Wipes what may hold a secret after a step: the scratch buffer, or the message of that step.
    fn wipe(scratch: &mut [u8], message: &mut [u8]);
}

/// The sources of a machine's inputs: `M` is the machine, `Q` the command, `D` the dialer.
pub(crate) trait Senses<M: Machine, Q, D> {
    /// The deadline has come.
    fn tick(&mut self) -> InputOf<'_, M>;

    /// The link is open.
    fn connected(&mut self) -> InputOf<'_, M>;

    /// The link has ended, or could not be opened, so the dialer is free.
    fn disconnected(&mut self, dialer: &mut D) -> InputOf<'_, M>;

    /// Translates the owner's command.
    fn command(&mut self, command: Q) -> Commanded<InputOf<'_, M>>;

    /// Translates a message; `None` if the machine knows none of its kind.
    fn message<'b>(&'b mut self, message: Incoming<'b>) -> Option<InputOf<'b, M>>;
}

/// A source of links to the gateway, one at a time.
pub(crate) trait Dialer {
    /// An open link.
    type Link<'c>: Link
    where
        Self: 'c;

    /// Opens a link. Dropping the future abandons the attempt.
    ///
    /// # Errors
    /// [`Broken`] with the cause of the failure.
    async fn open(&mut self) -> Result<Self::Link<'_>, Broken>;
}

/// An open connection that carries whole messages.
pub(crate) trait Link {
    /// Waits for the next message and puts it into `room`. Dropping the future loses nothing, if
    /// the next call gets the same `room`, unchanged.
    ///
    /// # Errors
    /// [`Broken`]; after it, only [`close`](Self::close) may be called.
    async fn receive<'f>(&mut self, room: &'f mut [u8]) -> Result<Received<'f>, Broken>;

    /// Sends one message. Dropping the future leaves the connection unusable.
    ///
    /// # Errors
    /// [`Broken`] when the connection failed.
    async fn send(&mut self, frame: Frame<'_>) -> Result<(), Broken>;

    /// Closes the connection. The driver bounds the wait.
    async fn close(&mut self, close: Close);

    /// Returns the time of the next [`tick`](Self::tick); `None` if the link needs none, because
    /// the machine itself probes it.
    fn deadline(&mut self, _now: Instant) -> Option<Instant> {
        None
    }

    /// Returns `true` if [`settle`](Self::settle) is due.
    ///
    /// # Errors
    /// [`Broken::Overdue`] if the peer is lost.
    fn tick(&mut self, _now: Instant) -> Result<bool, Broken> {
        Ok(false)
    }

    /// Notes that the peer is alive.
    fn heard(&mut self, _now: Instant) {}

    /// Sends what the link itself owes the peer: a ping, or the answer after [`Received::Due`].
    ///
    /// # Errors
    /// [`Broken`] when the connection failed, or ended with that answer.
    async fn settle(&mut self) -> Result<(), Broken> {
        Ok(())
    }
}

/// Outcome of [`Link::receive`].
pub(crate) enum Received<'f> {
    /// A message for the machine.
    Message(Incoming<'f>),
    /// The link owes the peer an answer: [`Link::settle`] sends it.
    Due,
    /// A sign of life without content for the machine.
    Nothing,
}

/// A message from the peer.
pub(crate) enum Incoming<'f> {
    /// A text message.
    Text(&'f str),
    /// A binary message, which the machine may open in place.
    Bytes(&'f mut [u8]),
}

impl Incoming<'_> {
    /// Returns the number of bytes that the message takes.
    pub(crate) fn length(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

/// Outcome of [`Role::wake`].
pub(crate) enum Wake<C> {
    /// A command of the owner.
    Command(C),
    /// A task has something to tell.
    Task,
}

/// What a command means to a machine: `I` is its input.
pub(crate) enum Commanded<I> {
    /// An input.
    Input(I),
    /// Nothing, because the board does not have what it names.
    Nothing,
    /// The end of the driver.
    Stop,
}

/// The reason for which a command had no effect.
#[derive(Clone, Copy)]
pub(crate) enum Refused {
    /// It needs a link, and there is none.
    NoLink,
    /// It was [nothing](Commanded::Nothing).
    Nothing,
}

/// What the driver does for one effect: `K` is what is kept, `T` the report, `O` an order about a
/// task.
pub(crate) enum Work<'b, K, T, O> {
    /// Open a link.
    Connect,
    /// Send a message.
    Send(Frame<'b>),
    /// Close the link.
    Close(Close),
    /// Store the memory.
    Keep(K),
    /// Tell the owner.
    Tell(T),
    /// Obey the gateway.
    Obey(O),
    /// Nothing: this flow stores none of it.
    Nothing,
}

/// What a command means to the driver while no machine may have it: `T` is a report.
pub(crate) enum Order<T> {
    /// End the driver.
    Stop,
    /// Erase the memory, then report this.
    Forget(T),
    /// For the machine. This is reported, if anything, where there is none yet.
    Other(Option<T>),
}

/// A failure that the driver reports and mends by trying again.
pub(crate) enum Failure {
    /// The memory cannot be read.
    NotLoaded(KeepError),
    /// The memory is not durable yet.
    NotKept(KeepError),
    /// The connection could not be opened, or ended unexpectedly.
    NoConnection(Broken),
}
