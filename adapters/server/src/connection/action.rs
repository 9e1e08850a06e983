//! The work that a step of a machine leaves to the driver of its connection.

use handfast_core::wire::close::Close;

/// A step's effect in owned form, so that it can be carried out across awaits: the part that every
/// flow has in common, and its own work `W`. `M` is a message of the transport.
pub(crate) enum Action<M, W> {
    /// Send a message.
    Send(M),
    /// Close the connection with this close frame.
    Close(Close),
    /// The peer has sent a close frame: let the reply go out.
    FinishClose,
    /// The connection cannot go on: the machine is told of its end, then it is closed with this
    /// frame.
    Break(Close),
    /// Carry out work that needs no transport.
    Work(W),
}
