//! Properties of the readers of byte streams: the way in which the bytes are divided makes no
//! difference.

use handfast_core::limits::{MESSAGE_BYTES, STREAM_BUFFER, STREAM_FRAME};
use handfast_core::wire::frame;
use handfast_edge::websocket::{DecodedEvent, Decoder, HandshakeKey, Response, Violation};

/// Checks the frames of a byte stream: reading at once or byte by byte gives the same, and a
/// message that was read is framed and read again as itself.
///
/// # Panics
/// If one of these does not hold.
pub fn stream_frames(data: &[u8]) {
    let whole = read_frames([data]);
    let single = read_frames(data.chunks(1));
    assert_eq!(whole, single);
    for message in whole.into_iter().flatten() {
        let mut out = [0; STREAM_FRAME];
        let framed =
            frame::encode(&message, &mut out).expect("what was read can be framed").to_vec();
        assert_eq!(read_frames([framed.as_slice()]), [Ok(message)]);
    }
}

fn read_frames<'b>(
    pieces: impl IntoIterator<Item = &'b [u8]>,
) -> Vec<Result<Vec<u8>, frame::FrameError>> {
    let mut decoder = frame::FrameDecoder::new([0; STREAM_BUFFER]);
    let mut seen = Vec::new();
    for mut piece in pieces {
        while let Some(frame) = decoder.read(&mut piece) {
            seen.push(frame.map(<[u8]>::to_vec));
        }
    }
    assert!(seen.iter().flatten().all(|message| message.len() <= MESSAGE_BYTES));
    seen
}

/// Checks the reader of a WebSocket server's bytes: reading at once or byte by byte gives the same
/// events, and no message exceeds its buffer.
///
/// # Panics
/// If one of these does not hold.
pub fn websocket_frames(data: &[u8]) {
    assert_eq!(read_events(data, usize::MAX), read_events(data, 1));
    let mut response = Response::to(&HandshakeKey::new([7; 16]));
    let _ = data.iter().try_for_each(|byte| match response.feed(*byte) {
        Ok(false) => Ok(()),
        Ok(true) | Err(_) => Err(()),
    });
}

type Seen = (Vec<(DecodedEvent, Vec<u8>)>, Option<Violation>);

fn read_events(data: &[u8], at_once: usize) -> Seen {
    let mut decoder = Decoder::default();
    let mut room = [0; 256];
    let mut events = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let piece = rest.get(..at_once.min(rest.len())).unwrap_or(rest);
        match decoder.feed(piece, &mut room) {
            Err(violation) => return (events, Some(violation)),
            Ok((read, event)) => {
                if let Some(event) = event {
                    let content = match event {
                        DecodedEvent::Text(length) | DecodedEvent::Binary(length) => {
                            room.get(..length).expect("it fits the room").to_vec()
                        }
                        DecodedEvent::Ping | DecodedEvent::Pong | DecodedEvent::Close(_) => {
                            decoder.control().to_vec()
                        }
                    };
                    events.push((event, content));
                    if matches!(event, DecodedEvent::Close(_)) {
                        return (events, None);
                    }
                } else {
                    assert!(read > 0, "a decoder that has no event has read something");
                }
                rest = rest.get(read..).expect("no more is read than there is");
            }
        }
    }
    (events, None)
}
