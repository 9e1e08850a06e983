//! A chat over TCP, for the demo of the gate. The first line of a connection is a name; each later
//! line is said to the room if the gate admits it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use handfast_server::Gateway;
use handfast_server::inbound::channels::{Outbox, ReadyMade};
use handfast_server::inbound::{Admitted, Incoming};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::phone::PATIENCE;
use crate::End;

/// Name of the channel. `ROOM` is the gateway's account on it.
pub(super) const CHANNEL: &str = "chat";
pub(super) const ROOM: &str = "lobby";
/// Maximum length of a line in bytes.
const LINE: u64 = 1024;
/// Maximum number of lines that wait for a slow reader.
const WAITING: usize = 64;

/// The guests by name, each with the queue of its lines.
#[derive(Clone, Default)]
struct Participants(Arc<Mutex<HashMap<String, mpsc::Sender<String>>>>);

impl Participants {
    fn of(&self, name: &str) -> Option<mpsc::Sender<String>> {
        self.0.lock().ok()?.get(name).cloned()
    }

    fn all(&self) -> Vec<mpsc::Sender<String>> {
        self.0.lock().map(|present| present.values().cloned().collect()).unwrap_or_default()
    }
}

#[async_trait]
impl Outbox for Participants {
    async fn send_reply(&self, _: &str, to: &str, text: &str) -> Result<(), String> {
        let line = self.of(to).ok_or_else(|| format!("{to:?} is not here"))?;
        line.try_send(text.replace('\n', " ")).map_err(|_| format!("{to:?} reads too slowly"))
    }

    async fn send_qr(&self, _: &str, _: &str, _: &[u8]) -> Result<(), String> {
        Err("a chat of lines shows no pictures".to_owned())
    }
}

/// The chat's server.
pub(super) struct Chat {
    pub(super) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Chat {
    /// Opens the room and registers it with the gateway's gate.
    pub(super) async fn open(gateway: &Gateway) -> Result<Self, End> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(End::refused)?;
        let address = listener.local_addr().map_err(End::refused)?;
        let present = Participants::default();
        gateway.gate().channels().register(Arc::new(ReadyMade::named(CHANNEL, present.clone())));
        let gateway = gateway.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, gateway.clone(), present.clone()));
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves one connection until it ends.
async fn serve(stream: TcpStream, gateway: Gateway, present: Participants) {
    // Answers are single lines, so Nagle's algorithm would only delay them.
    let _ = stream.set_nodelay(true);
    let (reading, mut writing) = stream.into_split();
    let mut lines = BufReader::new(reading.take(LINE));
    let Some(name) = line(&mut lines).await else { return };
    let (say, mut said) = mpsc::channel::<String>(WAITING);
    if let Ok(mut present) = present.0.lock() {
        present.insert(name.clone(), say);
    }
    let writer = tokio::spawn(async move {
        while let Some(line) = said.recv().await {
            if writing.write_all(format!("{line}\n").as_bytes()).await.is_err() {
                return;
            }
        }
    });
    while let Some(text) = line(&mut lines).await {
        // A message that is challenged, dropped or of unknown standing reaches nobody.
        if let Ok(Some(admitted)) =
            gateway.gate().receive(Incoming::new(CHANNEL, ROOM, &name)).await
        {
            hear(&present, admitted, &text);
        }
    }
    if let Ok(mut present) = present.0.lock() {
        present.remove(&name);
    }
    writer.abort();
}

/// Says a line to the room. `from` proves that the gate admitted its sender.
fn hear(present: &Participants, from: Admitted, text: &str) {
    let line = format!("{}: {text}", from.sender().unwrap_or("somebody"));
    for reader in present.all() {
        // A reader that is too slow misses the line.
        let _ = reader.try_send(line.clone());
    }
}

async fn line(lines: &mut BufReader<tokio::io::Take<OwnedReadHalf>>) -> Option<String> {
    let mut line = String::new();
    lines.get_mut().set_limit(LINE);
    lines.read_line(&mut line).await.ok().filter(|length| *length > 0)?;
    line.ends_with('\n').then(|| line.trim().to_owned())
}

/// A guest in the room.
pub(super) struct Guest {
    lines: BufReader<OwnedReadHalf>,
    writing: tokio::net::tcp::OwnedWriteHalf,
}

impl Guest {
    pub(super) async fn enter(chat: &Chat, name: &str) -> Result<Self, End> {
        let stream = TcpStream::connect(chat.address).await.map_err(End::refused)?;
        stream.set_nodelay(true).map_err(End::refused)?;
        let (reading, writing) = stream.into_split();
        let mut guest = Self { lines: BufReader::new(reading), writing };
        guest.says(name).await?;
        Ok(guest)
    }

    pub(super) async fn says(&mut self, text: &str) -> Result<(), End> {
        self.writing.write_all(format!("{text}\n").as_bytes()).await.map_err(End::refused)
    }

    /// Returns the next line that the guest is shown.
    pub(super) async fn hears(&mut self) -> Result<String, End> {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, self.lines.read_line(&mut line)).await;
        read.map_err(|_| End::Refused("nothing was said in the chat in time".to_owned()))?
            .map_err(End::refused)?;
        Ok(line.trim().to_owned())
    }
}
