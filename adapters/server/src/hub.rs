//! The live connections, by node: where decisions are pushed to, and where the newest connection wins.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::extract::ws::Message;
use handfast_core::error::Refusal;
use handfast_core::id::NodeId;
use handfast_core::registry::lifecycle::Notice;
use tokio::sync::Notify;

/// Most bytes that wait for one slow node.
pub(crate) const MOST_QUEUED: usize = 64 * 1024;

/// What waits for one connection. It stands in memory for each, so it is one small allocation.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    letters: Mutex<Letters>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Letters {
    /// The first notice ends the link, so one is enough.
    notice: Option<Notice>,
    frames: VecDeque<Message>,
    bytes: usize,
}

/// One thing that was in a mailbox.
#[derive(Debug)]
pub(crate) enum Letter {
    Notice(Notice),
    Frame(Message),
}

impl Mailbox {
    /// The next letter; notices come before frames.
    pub(crate) async fn next(&self) -> Letter {
        loop {
            {
                let mut letters = self.letters.lock().expect("no thread panics while it holds a mailbox");
                if let Some(notice) = letters.notice.take() {
                    return Letter::Notice(notice);
                }
                if let Some(frame) = letters.frames.pop_front() {
                    letters.bytes -= size(&frame);
                    return Letter::Frame(frame);
                }
            }
            self.arrived.notified().await;
        }
    }

    /// Ends once a notice waits; takes nothing.
    pub(crate) async fn noticed(&self) {
        while self.letters.lock().expect("no thread panics while it holds a mailbox").notice.is_none() {
            self.arrived.notified().await;
        }
    }

    fn notice(&self, notice: Notice) {
        let mut letters = self.letters.lock().expect("no thread panics while it holds a mailbox");
        letters.notice.get_or_insert(notice);
        drop(letters);
        self.arrived.notify_one();
    }

    fn frame(&self, frame: Message) -> bool {
        let mut letters = self.letters.lock().expect("no thread panics while it holds a mailbox");
        let bytes = letters.bytes.saturating_add(size(&frame));
        if bytes > MOST_QUEUED {
            return false;
        }
        letters.bytes = bytes;
        letters.frames.push_back(frame);
        drop(letters);
        self.arrived.notify_one();
        true
    }
}

fn size(message: &Message) -> usize {
    let payload = match message {
        Message::Text(text) => text.len(),
        Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
        Message::Close(_) => 0,
    };
    // Room for the frame and the queue's own place, so that empty frames count, too.
    payload.saturating_add(64)
}

/// The table of live connections.
#[derive(Debug)]
pub(crate) struct Hub {
    most: usize,
    live: Mutex<HashMap<NodeId, Arc<Mailbox>>>,
}

impl Hub {
    pub(crate) fn new(most: u32) -> Self {
        Self { most: usize::try_from(most).unwrap_or(usize::MAX), live: Mutex::default() }
    }

    /// Makes this the node's connection; an older one hears that it was replaced.
    pub(crate) fn attach(&self, node_id: NodeId, mailbox: &Arc<Mailbox>) -> Result<(), Refusal> {
        let mut live = self.live.lock().expect("no thread panics while it holds the hub");
        if live.len() >= self.most && !live.contains_key(&node_id) {
            return Err(Refusal::AtCapacity);
        }
        if let Some(older) = live.insert(node_id, Arc::clone(mailbox)) {
            older.notice(Notice::Replaced);
        }
        Ok(())
    }

    /// Takes a connection out, unless a newer one has its place. Says whether it was still the node's.
    pub(crate) fn detach(&self, node_id: NodeId, mailbox: &Arc<Mailbox>) -> bool {
        let mut live = self.live.lock().expect("no thread panics while it holds the hub");
        let mine = live.get(&node_id).is_some_and(|current| Arc::ptr_eq(current, mailbox));
        if mine {
            live.remove(&node_id);
            // A table that once held a crowd need not keep its size for a few.
            if live.capacity() > 1024 && live.len() < live.capacity() / 8 {
                live.shrink_to_fit();
            }
        }
        mine
    }

    /// Pushes a notice to the node's connection; `false` if it has none.
    pub(crate) fn push(&self, node_id: NodeId, notice: Notice) -> bool {
        self.mailbox(node_id).map(|mailbox| mailbox.notice(notice)).is_some()
    }

    /// Queues a frame for a node; `false` if it is not linked or has too much queued.
    pub(crate) fn send(&self, node_id: NodeId, frame: Message) -> bool {
        self.mailbox(node_id).is_some_and(|mailbox| mailbox.frame(frame))
    }

    pub(crate) fn is_live(&self, node_id: NodeId) -> bool {
        self.live.lock().expect("no thread panics while it holds the hub").contains_key(&node_id)
    }

    pub(crate) fn count(&self) -> usize {
        self.live.lock().expect("no thread panics while it holds the hub").len()
    }

    fn mailbox(&self, node_id: NodeId) -> Option<Arc<Mailbox>> {
        self.live.lock().expect("no thread panics while it holds the hub").get(&node_id).cloned()
    }
}
