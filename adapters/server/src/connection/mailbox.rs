//! What waits for one connection until its task comes to it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::ws::Message;
use handfast_core::grant::scope::Action;
use handfast_core::registry::lifecycle::Notice;
use tokio::sync::Notify;

/// Most bytes that wait for one slow peer.
pub(crate) const MOST_QUEUED: usize = 64 * 1024;
/// What a letter counts beside its bytes, so that empty ones count, too: room for the frame and for
/// its place in the queue.
const LETTER: usize = 64;

/// What waits for one connection. It stands in memory for each, so it is one small allocation.
#[derive(Debug)]
pub(crate) struct Mailbox {
    dialect: Dialect,
    letters: Mutex<Letters>,
    arrived: Notify,
}

/// What the connection speaks, and so which letters it can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Missy,
    Native,
}

#[derive(Debug, Default)]
struct Letters {
    /// The first one ends the link, so one is enough.
    end: Option<Notice>,
    /// Somebody else needs its place.
    displaced: bool,
    /// It has been displaced, whether or not the connection knows.
    was_displaced: bool,
    /// What it rests on may be gone.
    cut: bool,
    /// Muted or not: only the last one counts.
    mute: Option<Notice>,
    decided: bool,
    permissions: bool,
    queue: VecDeque<Letter>,
    bytes: usize,
}

/// One thing that was in a mailbox.
#[derive(Debug)]
pub(crate) enum Letter {
    Notice(Notice),
    /// Somebody else needs the place of this link.
    Displaced,
    /// What the peer's link rests on has changed: a block or a holder of its chain was revoked, or
    /// its grant replaced. It is to be looked at again.
    Cut,
    /// A frame of the `missy` dialect.
    Frame(Message),
    /// Something of the application's, over the native wire.
    App(Delivery),
}

/// What an application sends. Many connections may share it.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) action: Action,
    pub(crate) address: Arc<str>,
    pub(crate) bytes: Bytes,
    /// To whoever subscribed, rather than to this peer: only scopes let it through.
    pub(crate) published: bool,
}

impl Letters {
    fn has_notice(&self) -> bool {
        let told = self.mute.is_some() || self.decided || self.permissions;
        self.end.is_some() || self.displaced || self.cut || told
    }

    /// What ends the link comes first, and frames last.
    fn take(&mut self) -> Option<Letter> {
        if let Some(end) = self.end.take() {
            return Some(Letter::Notice(end));
        }
        if std::mem::take(&mut self.displaced) {
            return Some(Letter::Displaced);
        }
        if std::mem::take(&mut self.cut) {
            return Some(Letter::Cut);
        }
        if let Some(mute) = self.mute.take() {
            return Some(Letter::Notice(mute));
        }
        if std::mem::take(&mut self.decided) {
            return Some(Letter::Notice(Notice::Decided));
        }
        // Behind the cut that takes away what is not in force any more.
        if std::mem::take(&mut self.permissions) {
            return Some(Letter::Notice(Notice::Permissions));
        }
        let letter = self.queue.pop_front()?;
        self.bytes -= size(&letter);
        if self.queue.is_empty() {
            // A queue that once was long need not keep its room for an idle connection.
            self.queue = VecDeque::new();
        }
        Some(letter)
    }
}

impl Mailbox {
    pub(crate) fn new(dialect: Dialect) -> Arc<Self> {
        Arc::new(Self { dialect, letters: Mutex::default(), arrived: Notify::new() })
    }

    /// The next letter.
    pub(crate) async fn next(&self) -> Letter {
        loop {
            let letter =
                self.letters.lock().expect("no thread panics while it holds a mailbox").take();
            if let Some(letter) = letter {
                return letter;
            }
            self.arrived.notified().await;
        }
    }

    /// Whether a notice waits.
    pub(crate) fn has_notice(&self) -> bool {
        self.letters.lock().expect("no thread panics while it holds a mailbox").has_notice()
    }

    /// Ends once a notice waits; takes nothing.
    pub(crate) async fn noticed(&self) {
        while !self.has_notice() {
            self.arrived.notified().await;
        }
    }

    pub(crate) fn notice(&self, notice: Notice) {
        self.put(|letters| match notice {
            Notice::Unpaired | Notice::Replaced => {
                letters.end.get_or_insert(notice);
            }
            Notice::Muted | Notice::Unmuted => letters.mute = Some(notice),
            Notice::Decided => letters.decided = true,
            Notice::Permissions => letters.permissions = true,
        });
    }

    pub(crate) fn displace(&self) {
        self.put(|letters| (letters.displaced, letters.was_displaced) = (true, true));
    }

    /// Whether somebody else has taken the place of this link.
    pub(crate) fn was_displaced(&self) -> bool {
        self.letters.lock().expect("no thread panics while it holds a mailbox").was_displaced
    }

    pub(crate) fn cut(&self) {
        self.put(|letters| letters.cut = true);
    }

    /// Queues a letter with content; `false` if it is none for this dialect, or too much waits
    /// already.
    pub(crate) fn queue(&self, letter: Letter) -> bool {
        let fits = match letter {
            Letter::Frame(_) => self.dialect == Dialect::Missy,
            Letter::App(_) => self.dialect == Dialect::Native,
            Letter::Notice(_) | Letter::Displaced | Letter::Cut => false,
        };
        fits && self.put(|letters| {
            let bytes = letters.bytes.saturating_add(size(&letter));
            let room = bytes <= MOST_QUEUED;
            if room {
                letters.bytes = bytes;
                letters.queue.push_back(letter);
            }
            room
        })
    }

    fn put<T>(&self, change: impl FnOnce(&mut Letters) -> T) -> T {
        let outcome =
            change(&mut self.letters.lock().expect("no thread panics while it holds a mailbox"));
        self.arrived.notify_one();
        outcome
    }
}

fn size(letter: &Letter) -> usize {
    let payload = match letter {
        Letter::Notice(_) | Letter::Displaced | Letter::Cut => 0,
        Letter::App(delivery) => delivery.bytes.len().saturating_add(delivery.address.len()),
        Letter::Frame(Message::Text(text)) => text.len(),
        Letter::Frame(Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes)) => {
            bytes.len()
        }
        Letter::Frame(Message::Close(_)) => 0,
    };
    payload.saturating_add(LETTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(bytes: usize) -> Letter {
        Letter::App(Delivery {
            action: Action::Read,
            address: "/a".into(),
            bytes: vec![0; bytes].into(),
            published: false,
        })
    }

    #[tokio::test]
    async fn what_ends_the_link_overtakes_everything_and_of_muting_only_the_last_word_counts() {
        let mailbox = Mailbox::new(Dialect::Native);
        assert!(mailbox.queue(delivery(1)));
        for notice in
            [Notice::Muted, Notice::Decided, Notice::Unmuted, Notice::Replaced, Notice::Unpaired]
        {
            mailbox.notice(notice);
        }
        assert!(matches!(mailbox.next().await, Letter::Notice(Notice::Replaced)));
        assert!(matches!(mailbox.next().await, Letter::Notice(Notice::Unmuted)));
        assert!(matches!(mailbox.next().await, Letter::Notice(Notice::Decided)));
        assert!(matches!(mailbox.next().await, Letter::App(_)));
    }

    #[test]
    fn a_mailbox_takes_only_what_its_connection_can_say_and_only_so_much() {
        let mailbox = Mailbox::new(Dialect::Native);
        assert!(!mailbox.queue(Letter::Frame(Message::Text("{}".into()))));
        assert!(!Mailbox::new(Dialect::Missy).queue(delivery(1)));
        let most = (0..).take_while(|_| mailbox.queue(delivery(1000 - LETTER - 2))).count();
        assert_eq!(most, MOST_QUEUED / 1000);
    }
}
