//! The messages that wait for one connection until its task reads them.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::Message;
use handfast_core::grant::scope::Action;
use handfast_core::registry::codes::NoGuess;
use handfast_core::registry::lifecycle::Notice;
use handfast_core::wire::native::link::DispatchId;
use tokio::sync::{Notify, oneshot};

/// The maximum number of bytes that wait for one slow peer.
pub(crate) const MOST_QUEUED: usize = 64 * 1024;
/// The size in bytes that a letter counts in addition to its content, for the frame and its place
/// in the queue. It bounds the number of empty letters, too.
const LETTER: usize = 64;

/// The messages for one connection. One exists for each connection, so it is one small allocation.
#[derive(Debug)]
pub(crate) struct Mailbox {
    dialect: Dialect,
    address: IpAddr,
    letters: Mutex<Letters>,
    arrived: Notify,
}

/// The dialect of the connection, which determines the letters that it can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Missy,
    Native,
}

#[derive(Debug, Default)]
struct Letters {
    /// The notice that ends the link. The first one is enough.
    end: Option<Notice>,
    /// `true` until the connection has read that its peer is to go to another gateway.
    elsewhere: bool,
    /// `true` until the connection has read that another one took its place.
    displaced: bool,
    /// `true` once the connection was displaced, even after it has read so.
    was_displaced: bool,
    /// `true` if the link's rights may have been revoked.
    cut: bool,
    /// The latest notice of muting or unmuting; earlier ones are obsolete.
    mute: Option<Notice>,
    quarantine: Option<Notice>,
    decided: bool,
    permissions: bool,
    /// `true` if tasks may wait in the registry.
    tasks: bool,
    /// `true` if the node is to be told other addresses of the gateway.
    addresses: bool,
    /// The reason for which the PIN that the connection waits for has ended.
    pin_ended: Option<NoGuess>,
    queue: VecDeque<Mail>,
    bytes: usize,
}

/// A message from a mailbox.
#[derive(Debug)]
pub(crate) enum Mail {
    Notice(Notice),
    /// Another link needs the place of this one.
    Displaced,
    /// The gateway has lost its registry, so the peer is to go to another one.
    GoElsewhere,
    /// The base of the peer's rights has changed: a block or a holder of its chain was revoked, or
    /// its grant was replaced. The connection has to look it up again.
    Cut,
    /// A frame of the `missy` dialect.
    Frame(Message),
    /// An application message, over the native wire.
    App(AppDelivery),
    /// A ping, over the native wire.
    Ping(PingRequest),
    /// Tasks for the node may wait in the registry.
    Tasks,
    /// The node is to be told other addresses of the gateway, which are in the registry.
    Addresses,
    /// The node is to stop this task, over the native wire.
    CancelTask(DispatchId),
}

/// A ping that an operator waits for.
#[derive(Debug)]
pub(crate) struct PingRequest {
    pub(crate) sent: std::time::Instant,
    /// Takes the time until the answer; `None` if the node takes no pings.
    pub(crate) answer: oneshot::Sender<Option<Duration>>,
}

/// An application message. Many connections may share it.
#[derive(Clone, Debug)]
pub(crate) struct AppDelivery {
    pub(crate) action: Action,
    pub(crate) address: Arc<str>,
    pub(crate) bytes: Bytes,
    /// `true` for a message to all subscribers, which must lie within the peer's scopes; `false`
    /// for one to this peer alone.
    pub(crate) published: bool,
}

impl Letters {
    fn has_notice(&self) -> bool {
        let told = self.mute.is_some()
            || self.quarantine.is_some()
            || self.decided
            || self.permissions
            || self.pin_ended.is_some();
        self.end.is_some() || self.elsewhere || self.displaced || self.cut || told
    }

    /// Takes the next letter: notices that end the link first, and frames last.
    fn take(&mut self) -> Option<Mail> {
        if let Some(end) = self.end.take() {
            return Some(Mail::Notice(end));
        }
        if std::mem::take(&mut self.elsewhere) {
            return Some(Mail::GoElsewhere);
        }
        if std::mem::take(&mut self.displaced) {
            return Some(Mail::Displaced);
        }
        if std::mem::take(&mut self.cut) {
            return Some(Mail::Cut);
        }
        if let Some(mute) = self.mute.take() {
            return Some(Mail::Notice(mute));
        }
        if let Some(quarantine) = self.quarantine.take() {
            return Some(Mail::Notice(quarantine));
        }
        if std::mem::take(&mut self.decided) {
            return Some(Mail::Notice(Notice::Decided));
        }
        // The notice of new permissions follows the cut that removes old ones.
        if std::mem::take(&mut self.permissions) {
            return Some(Mail::Notice(Notice::Permissions));
        }
        if let Some(no) = self.pin_ended.take() {
            return Some(Mail::Notice(Notice::PinEnded(no)));
        }
        if std::mem::take(&mut self.tasks) {
            return Some(Mail::Tasks);
        }
        if std::mem::take(&mut self.addresses) {
            return Some(Mail::Addresses);
        }
        let letter = self.queue.pop_front()?;
        self.bytes -= size(&letter);
        if self.queue.is_empty() {
            // A long queue gives its memory back once it is empty.
            self.queue = VecDeque::new();
        }
        Some(letter)
    }
}

impl Mailbox {
    pub(crate) fn new(dialect: Dialect, address: IpAddr) -> Arc<Self> {
        Arc::new(Self { dialect, address, letters: Mutex::default(), arrived: Notify::new() })
    }

    /// Returns the address of the peer; 0.0.0.0 for a serial line.
    pub(crate) const fn address(&self) -> IpAddr {
        self.address
    }

    /// Waits for the next letter.
    pub(crate) async fn next(&self) -> Mail {
        loop {
            let letter =
                self.letters.lock().expect("no thread panics while it holds a mailbox").take();
            if let Some(letter) = letter {
                return letter;
            }
            self.arrived.notified().await;
        }
    }

    /// Returns `true` if a notice waits.
    pub(crate) fn has_notice(&self) -> bool {
        self.letters.lock().expect("no thread panics while it holds a mailbox").has_notice()
    }

    /// Completes once a notice waits, without taking it.
    pub(crate) async fn noticed(&self) {
        while !self.has_notice() {
            self.arrived.notified().await;
        }
    }

    pub(crate) fn notice(&self, notice: Notice) {
        self.put(|letters| match notice {
            Notice::Unpaired | Notice::Replaced | Notice::Evicted => {
                // The first reason is the one that the peer is told.
                letters.end.get_or_insert(notice);
            }
            // Of a pair only the last counts, so a slow peer does not hear of each change.
            Notice::Muted | Notice::Unmuted => letters.mute = Some(notice),
            Notice::Quarantined | Notice::Released => letters.quarantine = Some(notice),
            Notice::Decided => letters.decided = true,
            Notice::Permissions => letters.permissions = true,
            Notice::PinEnded(no) => letters.pin_ended = Some(no),
        });
    }

    pub(crate) fn displace(&self) {
        self.put(|letters| (letters.displaced, letters.was_displaced) = (true, true));
    }

    /// Tells the peer to go to another gateway.
    pub(crate) fn go_elsewhere(&self) {
        self.put(|letters| letters.elsewhere = true);
    }

    /// Returns `true` if another link has taken the place of this one.
    pub(crate) fn was_displaced(&self) -> bool {
        self.letters.lock().expect("no thread panics while it holds a mailbox").was_displaced
    }

    pub(crate) fn cut(&self) {
        self.put(|letters| letters.cut = true);
    }

    /// Tells the connection that tasks may wait in the registry.
    pub(crate) fn has_tasks(&self) {
        if self.dialect == Dialect::Native {
            self.put(|letters| letters.tasks = true);
        }
    }

    /// Tells the connection that the node is to be told other addresses of the gateway.
    pub(crate) fn has_addresses(&self) {
        if self.dialect == Dialect::Native {
            self.put(|letters| letters.addresses = true);
        }
    }

    /// Queues a frame or an application message. Returns `false` if the dialect has no such letter
    /// or too much waits already.
    pub(crate) fn queue(&self, letter: Mail) -> bool {
        let fits = match letter {
            Mail::Frame(_) => self.dialect == Dialect::Missy,
            Mail::App(_) | Mail::Ping(_) | Mail::CancelTask(_) => self.dialect == Dialect::Native,
            // These have no content and are never queued: a flag stands for each.
            Mail::Notice(_)
            | Mail::GoElsewhere
            | Mail::Displaced
            | Mail::Cut
            | Mail::Tasks
            | Mail::Addresses => false,
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
        // If nobody waits now, the next one that does is woken at once: no letter is missed between
        // looking and waiting.
        self.arrived.notify_one();
        outcome
    }
}

fn size(letter: &Mail) -> usize {
    let payload = match letter {
        Mail::Notice(_)
        | Mail::GoElsewhere
        | Mail::Displaced
        | Mail::Cut
        | Mail::Ping(_)
        | Mail::Tasks
        | Mail::Addresses
        | Mail::CancelTask(_) => 0,
        Mail::App(delivery) => delivery.bytes.len().saturating_add(delivery.address.len()),
        Mail::Frame(Message::Text(text)) => text.len(),
        Mail::Frame(Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes)) => {
            bytes.len()
        }
        Mail::Frame(Message::Close(_)) => 0,
    };
    payload.saturating_add(LETTER)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn delivery(bytes: usize) -> Mail {
        Mail::App(AppDelivery {
            action: Action::Read,
            address: "/a".into(),
            bytes: vec![0; bytes].into(),
            published: false,
        })
    }

    #[tokio::test]
    async fn what_ends_the_link_overtakes_everything_and_of_muting_only_the_last_word_counts() {
        let mailbox = Mailbox::new(Dialect::Native, Ipv4Addr::UNSPECIFIED.into());
        assert!(mailbox.queue(delivery(1)));
        for notice in
            [Notice::Muted, Notice::Decided, Notice::Unmuted, Notice::Replaced, Notice::Unpaired]
        {
            mailbox.notice(notice);
        }
        assert!(matches!(mailbox.next().await, Mail::Notice(Notice::Replaced)));
        assert!(matches!(mailbox.next().await, Mail::Notice(Notice::Unmuted)));
        assert!(matches!(mailbox.next().await, Mail::Notice(Notice::Decided)));
        assert!(matches!(mailbox.next().await, Mail::App(_)));
    }

    #[test]
    fn a_mailbox_takes_only_what_its_connection_can_say_and_only_so_much() {
        let mailbox = Mailbox::new(Dialect::Native, Ipv4Addr::UNSPECIFIED.into());
        assert!(!mailbox.queue(Mail::Frame(Message::Text("{}".into()))));
        assert!(!Mailbox::new(Dialect::Missy, Ipv4Addr::UNSPECIFIED.into()).queue(delivery(1)));
        let most = (0..).take_while(|_| mailbox.queue(delivery(1000 - LETTER - 2))).count();
        assert_eq!(most, MOST_QUEUED / 1000);
    }
}
