//! The WebSocket client against a real server (tungstenite), and against handwritten bytes.

use crate::net::{Chance, Tcp};
use embedded_io_adapters::tokio_1::FromTokio;
use futures_util::{SinkExt, StreamExt};
use handfast_core::wire::close::Close;
use handfast_edge::transport::{Broken, Carrier, Frame, Received};
use handfast_edge::websocket::{Socket, TargetError, UpgradeError, Violation, WebSocketTarget};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, accept_async};

fn target() -> WebSocketTarget<'static> {
    WebSocketTarget::new("gateway.local:8765", "/any?x=1").unwrap()
}

async fn pair(rng: &mut Chance) -> (Socket<'_, Tcp<DuplexStream>>, WebSocketStream<DuplexStream>) {
    let (ours, theirs) = tokio::io::duplex(64);
    let (socket, server) = tokio::join!(
        Socket::upgrade(Tcp(FromTokio::new(ours)), target(), rng),
        accept_async(theirs)
    );
    (socket.unwrap(), server.unwrap())
}

/// Answers the request with `answer` and sends nothing else.
async fn answered(answer: &str) -> Result<(), Broken> {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    theirs.write_all(answer.as_bytes()).await.unwrap();
    theirs.shutdown().await.unwrap();
    let mut rng = Chance(1);
    Socket::upgrade(Tcp(FromTokio::new(ours)), target(), &mut rng).await.map(|_| ())
}

#[tokio::test]
async fn messages_of_every_length_form_arrive_in_both_directions() {
    let mut rng = Chance(1);
    let (mut socket, mut server) = pair(&mut rng).await;
    let mut room = vec![0; 70_000];
    for length in [0, 1, 125, 126, 127, 128, 300, 65_535, 65_536, 70_000] {
        let text: String = "xyz".chars().cycle().take(length).collect();
        let (sent, heard) = tokio::join!(socket.send(Frame::Text(&text)), server.next());
        sent.unwrap();
        assert_eq!(heard.unwrap().unwrap(), Message::text(text.clone()));
        let (sent, heard) =
            tokio::join!(server.send(Message::text(text.clone())), socket.receive(&mut room));
        sent.unwrap();
        assert_eq!(heard, Ok(Received::Frame(Frame::Text(&text))));
    }
    let (sent, heard) = tokio::join!(socket.send(Frame::Binary(&[1, 2])), server.next());
    sent.unwrap();
    assert_eq!(heard.unwrap().unwrap(), Message::binary(vec![1, 2]));
}

#[tokio::test]
async fn a_reader_that_is_dropped_at_every_byte_loses_nothing() {
    let mut rng = Chance(1);
    let (mut socket, mut server) = pair(&mut rng).await;
    let writing = tokio::spawn(async move {
        for n in 0..50 {
            server.send(Message::text(format!("message {n} {}", "·".repeat(n)))).await.unwrap();
            server.send(Message::Ping(Bytes::new())).await.unwrap();
        }
        server
    });
    let mut room = [0; 256];
    let mut n = 0;
    while n < 50 {
        // The future is polled once and dropped, again and again.
        let received = tokio::select! {
            biased;
            received = socket.receive(&mut room) => received.unwrap(),
            () = async {} => { tokio::task::yield_now().await; continue }
        };
        if let Received::Frame(frame) = received {
            assert_eq!(frame, Frame::Text(&format!("message {n} {}", "·".repeat(n))));
            n += 1;
        }
    }
    writing.await.unwrap();
}

#[tokio::test]
async fn a_ping_is_answered_with_what_it_said() {
    let mut rng = Chance(1);
    let (mut socket, mut server) = pair(&mut rng).await;
    server.send(Message::Ping(Bytes::from_static(b"still there?"))).await.unwrap();
    assert_eq!(socket.receive(&mut []).await, Ok(Received::ReplyDue));
    socket.reply().await.unwrap();
    assert_eq!(
        server.next().await.unwrap().unwrap(),
        Message::Pong(Bytes::from_static(b"still there?"))
    );
    socket.ping().await.unwrap();
    assert!(matches!(server.next().await.unwrap().unwrap(), Message::Ping(_)));
    server.flush().await.unwrap();
    assert_eq!(socket.receive(&mut []).await, Ok(Received::Pong));
}

#[tokio::test]
async fn both_ends_can_say_goodbye_first() {
    let mut rng = Chance(1);
    let (mut socket, mut server) = pair(&mut rng).await;
    let waiting = tokio::spawn(async move { (server.next().await, server.next().await.is_none()) });
    socket.close(Close::GOODBYE).await;
    let (closed, ended) = waiting.await.unwrap();
    assert!(
        matches!(closed, Some(Ok(Message::Close(Some(frame)))) if frame.code == CloseCode::Normal)
            && ended
    );

    let mut rng = Chance(2);
    let (mut socket, mut server) = pair(&mut rng).await;
    let closing = tokio::spawn(async move {
        server.close(None).await.unwrap();
        while let Some(message) = server.next().await {
            message.unwrap();
        }
    });
    assert_eq!(socket.receive(&mut []).await, Ok(Received::ReplyDue));
    assert_eq!(socket.reply().await, Err(Broken::ByPeer(None)));
    closing.await.unwrap();
}

#[tokio::test]
async fn a_message_over_the_room_ends_the_connection_with_1009() {
    let mut rng = Chance(1);
    let (mut socket, mut server) = pair(&mut rng).await;
    server.send(Message::text("12345")).await.unwrap();
    let broken = socket.receive(&mut [0; 4]).await.unwrap_err();
    assert_eq!(broken, Broken::Violation(Violation::TooBig));
    let heard = tokio::spawn(async move { server.next().await });
    socket.close(broken.farewell().unwrap()).await;
    assert!(
        matches!(heard.await.unwrap(), Some(Ok(Message::Close(Some(frame)))) if frame.code == CloseCode::Size)
    );
}

#[tokio::test]
async fn every_frame_has_its_own_mask_and_no_frame_is_in_clear() {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let mut rng = Chance(1);
    let text = "the same words";
    let client = async {
        let mut socket =
            Socket::upgrade(Tcp(FromTokio::new(ours)), target(), &mut rng).await.unwrap();
        for _ in 0..2 {
            socket.send(Frame::Text(text)).await.unwrap();
        }
    };
    let server = async {
        let mut server = tokio_tungstenite::accept_async(&mut theirs).await.unwrap();
        let _ = server.flush().await;
        let raw = server.get_mut();
        let mut bytes = vec![0; 2 * (2 + 4 + text.len())];
        raw.read_exact(&mut bytes).await.unwrap();
        bytes
    };
    let ((), bytes) = tokio::join!(client, server);
    let (first, second) = bytes.split_at(bytes.len() / 2);
    assert_ne!(first[2..6], second[2..6]);
    for frame in [first, second] {
        assert_eq!(frame[1], 0x80 | text.len() as u8);
        let clear: Vec<u8> = frame[6..]
            .iter()
            .zip(frame[2..6].iter().cycle())
            .map(|(byte, mask)| byte ^ mask)
            .collect();
        assert_eq!(clear, text.as_bytes());
    }
}

#[tokio::test]
async fn a_server_that_does_not_speak_websocket_is_refused() {
    assert_eq!(
        answered("HTTP/1.1 404 Not Found\r\n\r\n").await,
        Err(Broken::Upgrade(UpgradeError::Status(404)))
    );
    assert_eq!(answered("SSH-2.0-x\r\n").await, Err(Broken::Upgrade(UpgradeError::NotHttp)));
    assert_eq!(answered("HTTP/1.1 101 Switching").await, Err(Broken::Eof));
    // An answer to another request's key.
    let other = "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    assert_eq!(answered(other).await, Err(Broken::Upgrade(UpgradeError::WrongAccept)));
}

#[test]
fn a_target_cannot_smuggle_a_header() {
    assert!(WebSocketTarget::new("host", "/").is_ok());
    for host in ["", "h\r\nX: y"] {
        assert_eq!(WebSocketTarget::new(host, "/"), Err(TargetError::Host), "{host:?}");
    }
    for path in ["", "x", "/ HTTP/1.1", "/ä"] {
        assert_eq!(WebSocketTarget::new("h", path), Err(TargetError::Path), "{path:?}");
    }
}
