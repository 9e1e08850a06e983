//! Words for people.

use embedded_io_async::ErrorKind;
use handfast_core::flow::native::node::{NativeNodeEvent, NotAsked};
use handfast_core::flow::registration::node::RegistrationNodeEvent;
use handfast_core::wire::native::ReasonText;
use handfast_core::wire::native::pair::PairRefusal;
use handfast_core::{NodeId, Refusal, Span};
use handfast_edge::native::{NativeReport, NotSent};
use handfast_edge::ports::Report;
use handfast_edge::registration::memory::KeepError;
use handfast_edge::transport::Broken;
use handfast_edge::websocket::{UpgradeError, Violation};

#[test]
fn a_report_reads_as_a_line_that_says_what_happened() {
    let refused = |refusal| NativeReport::News(NativeNodeEvent::PairingRefused(refusal));
    let reason = ReasonText::parse("ask\u{f6} tomorrow");
    for (report, words) in [
        (NativeReport::NotSent(NotSent::NoLink), "not sent: there is no link"),
        (
            NativeReport::NotKept(KeepError::Worn),
            "the pairing cannot be stored yet: the flash is worn out: it holds other bytes than \
             written",
        ),
        (NativeReport::NoConnection(Broken::Eof), "no connection: the connection was lost"),
        (
            NativeReport::News(NativeNodeEvent::RetryIn(Span::from_millis(2560))),
            "tries again in 2.5 s",
        ),
        (
            NativeReport::News(NativeNodeEvent::NotAsked(NotAsked::NoSetupCode)),
            "did not ask to be paired: there is no setup code",
        ),
        (refused(PairRefusal::Busy { retry_in: 7 }), "refused: the gateway is busy for 7 s"),
        // A text of the gateway cannot mislead a terminal.
        (refused(PairRefusal::Denied { reason }), "refused: ask? tomorrow"),
    ] {
        assert_eq!(report.to_string(), words);
    }
}

#[test]
fn a_report_of_the_other_wire_reads_as_a_line_as_well() {
    let id = NodeId::from_bytes([7; 16]);
    for (report, words) in [
        (
            Report::News(RegistrationNodeEvent::WaitsForApproval(id)),
            "waits for approval as 07070707-0707-0707-0707-070707070707",
        ),
        (
            Report::News(RegistrationNodeEvent::Refused(Refusal::Muted)),
            "refused: the operator has muted this node",
        ),
        (
            Report::News(RegistrationNodeEvent::Complaint("\x1b[2J")),
            "the gateway reports an error: ?[2J",
        ),
        (
            Report::NoConnection(Broken::Upgrade(UpgradeError::Status(404))),
            "no connection: what answers is no gateway: the answer has the status 404, not 101",
        ),
        (
            Report::NoConnection(Broken::Violation(Violation::Masked)),
            "no connection: the gateway broke the rules of the connection: a frame of the server \
             is masked",
        ),
        (
            Report::NoConnection(Broken::Io(ErrorKind::TimedOut)),
            "no connection: the stream failed: TimedOut",
        ),
    ] {
        assert_eq!(report.to_string(), words);
    }
}
