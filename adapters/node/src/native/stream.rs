//! Messages as frames on a byte stream: TCP or a serial line.

use std::path::Path;
use std::time::Duration;

use handfast_core::limits::{STREAM_BUFFER, STREAM_FRAME};
use handfast_core::wire::frame::{FrameDecoder, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::connection::SocketStream;
use crate::event::{Lost, presentable};

/// A byte stream that carries frames.
pub(super) struct FramedStream {
    stream: Box<dyn SocketStream>,
    decoder: FrameDecoder<Box<[u8]>>,
    read: Box<[u8]>,
    /// Range of `read` that is not decoded yet.
    left: std::ops::Range<usize>,
    /// The first bytes that came, until a message does; `None` from then on.
    begun: Option<Vec<u8>>,
}

/// A record of TLS that reports an error, as a listener for TLS sends it to who speaks no TLS.
const TLS_ALERT: [u8; 2] = [21, 3];

impl FramedStream {
    pub(super) fn new(stream: Box<dyn SocketStream>) -> Self {
        let decoder = FrameDecoder::new(vec![0; STREAM_BUFFER].into_boxed_slice());
        Self {
            stream,
            decoder,
            read: vec![0; 1024].into_boxed_slice(),
            left: 0..0,
            begun: Some(Vec::new()),
        }
    }

    /// Waits for the next message. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Vec<u8>, Lost> {
        loop {
            let mut rest = &self.read[self.left.clone()];
            while let Some(framed) = self.decoder.read(&mut rest) {
                match framed {
                    Ok(message) => {
                        self.begun = None;
                        self.left.start = self.left.end - rest.len();
                        return Ok(message.to_vec());
                    }
                    // Line noise. If it was a message, the sealed channel notices that one is
                    // missing.
                    Err(error) => tracing::debug!(?error, "a broken frame was skipped"),
                }
            }
            self.left = 0..0;
            match self.stream.read(&mut self.read).await {
                Ok(0) => return Err(Lost::Broken(self.no_word().to_owned())),
                Ok(length) => {
                    let missing = self
                        .begun
                        .as_ref()
                        .map_or(0, |begun| TLS_ALERT.len().saturating_sub(begun.len()).min(length));
                    if let Some(begun) = &mut self.begun {
                        begun.extend_from_slice(&self.read[..missing]);
                    }
                    self.left = 0..length;
                }
                Err(error) => return Err(Lost::Broken(presentable(&error.to_string()))),
            }
        }
    }

    /// Returns the words for an end at this point.
    fn no_word(&self) -> &'static str {
        match self.begun.as_deref() {
            Some(begun) if *begun == TLS_ALERT => {
                "TLS is spoken there: write wss:// before the address, or mtls:// where the node \
                 shows its certificate"
            }
            Some(_) => {
                "it ended without a word; if another wire is spoken there, write its scheme before \
                 the address: wss:// or ws://"
            }
            None => "it ended without a word",
        }
    }

    pub(super) async fn send(&mut self, message: &[u8]) -> Result<(), Lost> {
        let mut room = [0; STREAM_FRAME];
        let frame = encode(message, &mut room)
            .map_err(|_| Lost::Broken("a message was too long to be sent".to_owned()))?;
        let sent = async {
            self.stream.write_all(frame).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|error| Lost::Broken(presentable(&error.to_string())))
    }

    /// Closes the sending side.
    pub(super) async fn end(&mut self) {
        // The peer may be gone already.
        let _ = self.stream.shutdown().await;
    }
}

/// A message that is invalid in every state of a gateway.
const WAKE: [u8; 1] = [0xff];
/// Time of silence after which a line counts as idle.
const QUIET: Duration = Duration::from_millis(150);

/// Opens a serial line. A line does not end with a program, so the gateway may still be in the
/// middle of an earlier conversation: an invalid message makes it start over, and the answer to it
/// is discarded.
pub(super) async fn open_line(
    path: &Path,
    baud: u32,
    within: Duration,
) -> Result<FramedStream, Lost> {
    let failed = |why: &dyn std::fmt::Display| {
        Lost::NotOpened(format!(
            "cannot open the serial line {}: {why}; check that the device is there and that this user may use it (group dialout)",
            path.display()
        ))
    };
    let port = serial2_tokio::SerialPort::open(path, baud).map_err(|error| failed(&error))?;
    // Bytes for an earlier program must not count as an answer.
    port.discard_buffers().map_err(|error| failed(&error))?;
    let mut line = FramedStream::new(Box::new(port));
    let begin = async {
        line.send(&WAKE).await?;
        let mut passed = [0; 256];
        while let Ok(Ok(1..)) = timeout(QUIET, line.stream.read(&mut passed)).await {}
        Ok(())
    };
    match timeout(within, begin).await {
        Ok(Ok(())) => Ok(line),
        Ok(Err(lost)) => Err(lost),
        Err(_) => Err(failed(&"it takes nothing, or never falls silent")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_come_whole_however_the_stream_cuts_them_and_noise_is_skipped() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut framed = FramedStream::new(Box::new(ours));
        let mut bytes = vec![7, 7, 0];
        let mut room = [0; STREAM_FRAME];
        for message in [&[1, 2, 0, 3][..], &[9; 600]] {
            bytes.extend_from_slice(encode(message, &mut room).unwrap());
        }
        tokio::spawn(async move {
            for piece in bytes.chunks(7) {
                theirs.write_all(piece).await.unwrap();
            }
        });
        assert_eq!(framed.next().await, Ok(vec![1, 2, 0, 3]));
        assert_eq!(framed.next().await, Ok(vec![9; 600]));
        assert!(matches!(framed.next().await, Err(Lost::Broken(_))));
    }

    #[tokio::test]
    async fn a_listener_for_tls_is_named_by_the_scheme_that_reaches_it() {
        let alert = [21, 3, 3, 0, 2, 2, 10];
        for (answers, says) in [(&alert[..], "TLS is spoken there: write wss://"), (&[], "wss://")]
        {
            let (ours, mut theirs) = tokio::io::duplex(64);
            theirs.write_all(answers).await.unwrap();
            drop(theirs);
            let Err(Lost::Broken(said)) = FramedStream::new(Box::new(ours)).next().await else {
                panic!("it ended")
            };
            assert!(said.contains(says), "{said}");
        }
    }
}
