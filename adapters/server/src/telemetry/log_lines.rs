//! The rate of log lines that a stranger or one node may cause: a limited number of a kind in a
//! minute, and then one line with the number of omitted ones.
//!
//! The operator's decisions are always logged.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use handfast_core::budget::Lines;
use handfast_core::limits::{LOG_LINES, LOG_LINES_OF_STRANGERS};
use handfast_core::registry::sessions::SessionId;
use handfast_core::{Instant, NodeId, Source};

/// The cause of a line, whose budget it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CausedBy {
    /// A peer at this source, known or not. All sources together have [`LOG_LINES_OF_STRANGERS`],
    /// because a stranger may have many.
    Source(Source),
    Node(NodeId),
    Session(SessionId),
    /// The node that the gateway issued a chain to, by its key's fingerprint: it may delegate the
    /// chain to any number of keys.
    Subject([u8; 15]),
    /// An unknown cause, or a failure of the gateway itself.
    Any,
}

impl fmt::Display for CausedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(source) => source.fmt(f),
            Self::Node(node_id) => node_id.fmt(f),
            Self::Session(session) => hex(session.as_bytes(), f),
            Self::Subject(fingerprint) => hex(fingerprint, f),
            Self::Any => f.write_str("anywhere"),
        }
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// The kind of a line, and its cause.
type Key = (&'static str, CausedBy);

/// The omitted lines of one kind.
#[derive(Debug, PartialEq, Eq)]
struct LeftOut {
    key: Key,
    count: u64,
}

/// A pure table of the lines that were written lately.
#[derive(Debug, Default)]
struct RecentLines {
    lines: HashMap<Key, Lines>,
    /// The keys, each once, in the order in which their periods end.
    due: VecDeque<(Instant, Key)>,
}

impl RecentLines {
    /// Counts a line. Returns `true` if it is to be written.
    fn writes(&mut self, kind: &'static str, cause: CausedBy, now: Instant) -> bool {
        if !matches!(cause, CausedBy::Source(_)) {
            return self.of((kind, cause), now).takes(LOG_LINES);
        }
        // Once the strangers' common budget is used up, a further stranger is not remembered. That
        // bounds the table.
        let all = (kind, CausedBy::Any);
        let has_room = self.of(all, now).has_room(LOG_LINES_OF_STRANGERS);
        if !has_room && !self.lines.contains_key(&(kind, cause)) {
            return self.of(all, now).takes(LOG_LINES_OF_STRANGERS);
        }
        self.of((kind, cause), now).takes(LOG_LINES)
            && self.of(all, now).takes(LOG_LINES_OF_STRANGERS)
    }

    fn of(&mut self, key: Key, now: Instant) -> &mut Lines {
        self.lines.entry(key).or_insert_with(|| {
            let lines = Lines::new(now);
            self.due.push_back((lines.over_at(), key));
            lines
        })
    }

    /// Removes the keys whose period has ended, and returns their omitted lines.
    fn over(&mut self, now: Instant) -> Vec<LeftOut> {
        let mut left_out = Vec::new();
        while let Some((over, key)) = self.due.front().copied()
            && over <= now
        {
            self.due.pop_front();
            let count = self.lines.remove(&key).map_or(0, |lines| lines.left_out());
            if count > 0 {
                left_out.push(LeftOut { key, count });
            }
        }
        left_out
    }
}

/// The budgets of one log.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogLines {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    start: std::time::Instant,
    state: Mutex<LogState>,
}

#[derive(Debug, Default)]
struct LogState {
    table: RecentLines,
    /// `true` while a task runs that reports omitted lines.
    tells: bool,
}

impl LogLines {
    /// Returns `true` if a line of this kind may be written now. Earlier omissions are reported
    /// first.
    pub(crate) fn writes(&self, kind: &'static str, cause: CausedBy) -> bool {
        let (writes, left_out, spawns) = {
            let now = self.shared.now();
            let mut state = self.shared.state();
            let left_out = state.table.over(now);
            let writes = state.table.writes(kind, cause, now);
            let spawns = !writes && !state.tells;
            state.tells |= spawns;
            (writes, left_out, spawns)
        };
        // The lines are written without the lock, so that a slow log holds nobody up.
        left_out.iter().for_each(tell);
        if spawns {
            self.have_it_told();
        }
        writes
    }

    /// Starts the task that reports omitted lines at the end of their period, even if no other line
    /// follows. Without a runtime they are reported with the next line.
    fn have_it_told(&self) {
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(teller(Arc::downgrade(&self.shared)))),
            Err(_) => self.shared.state().tells = false,
        }
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self { start: std::time::Instant::now(), state: Mutex::default() }
    }
}

impl Shared {
    fn now(&self) -> Instant {
        Instant::from_millis(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn state(&self) -> MutexGuard<'_, LogState> {
        // No holder can panic half way through a change, so a poisoned lock is still consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.state().table.over(Instant::from_millis(u64::MAX)).iter().for_each(tell);
    }
}

/// Reports omitted lines until none is left.
async fn teller(shared: Weak<Shared>) {
    loop {
        let wait = {
            // The task must not keep the budgets alive.
            let Some(shared) = shared.upgrade() else { return };
            let now = shared.now();
            let mut state = shared.state();
            let left_out = state.table.over(now);
            let next = state.table.due.front().map(|(over, _)| over.since(now));
            state.tells = next.is_some();
            drop(state);
            left_out.iter().for_each(tell);
            next
        };
        let Some(wait) = wait else { return };
        tokio::time::sleep(Duration::from_millis(wait.as_millis())).await;
    }
}

fn tell(left_out: &LeftOut) {
    let LeftOut { key: (kind, cause), count } = left_out;
    tracing::warn!(lines = kind, from = %cause, left_out = count, "more lines of one kind in a minute than are written; the others were left out");
}

/// Returns the budgets of lines that are written in place, rather than for an event.
pub(crate) fn of_process() -> &'static LogLines {
    static LINES: LazyLock<LogLines> = LazyLock::new(LogLines::default);
    &LINES
}

/// Writes a line that a stranger, a node or a failing store can cause at will, unless its budget is
/// used up.
macro_rules! limited {
    ($level:ident, $cause:expr, { $($fields:tt)* } $text:literal) => {
        if $crate::telemetry::log_lines::of_process().writes($text, $cause) {
            tracing::$level!($($fields)* $text);
        }
    };
}
pub(crate) use limited;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    fn source(number: u32) -> CausedBy {
        CausedBy::Source(Source::of(std::net::Ipv4Addr::from_bits(number).into()))
    }

    fn node(number: u8) -> CausedBy {
        CausedBy::Node(NodeId::from_bytes([number; 16]))
    }

    #[test]
    fn a_flood_of_one_node_is_a_few_lines_a_minute_and_one_that_says_how_many_there_were() {
        let mut table = RecentLines::default();
        assert_eq!(
            (0..59_999).filter(|millis| table.writes("linked", node(1), at(*millis))).count(),
            LOG_LINES as usize
        );
        assert!(table.writes("linked", node(2), at(0)) && table.writes("unlinked", node(1), at(0)));
        assert!(table.over(at(59_999)).is_empty());
        let left_out = LeftOut { key: ("linked", node(1)), count: 59_999 - u64::from(LOG_LINES) };
        assert_eq!(table.over(at(60_000)), [left_out]);
        assert!(table.writes("linked", node(1), at(60_000)), "another minute, other lines");
    }

    #[test]
    fn strangers_with_any_number_of_addresses_have_so_many_lines_together_and_take_none_of_the_nodes()
     {
        let mut table = RecentLines::default();
        let written =
            (0..100_000).filter(|number| table.writes("asks", source(*number), at(0))).count();
        assert_eq!(written, LOG_LINES_OF_STRANGERS as usize);
        assert!(table.lines.len() <= written + 1, "{} are remembered", table.lines.len());
        assert!((1..=255).all(|number| table.writes("linked", node(number), at(0))));
        let left_out = LeftOut {
            key: ("asks", CausedBy::Any),
            count: 100_000 - u64::from(LOG_LINES_OF_STRANGERS),
        };
        assert_eq!(table.over(at(60_000)), [left_out]);
        assert!(table.lines.is_empty() && table.due.is_empty());
    }

    #[test]
    fn one_source_that_floods_leaves_lines_for_others() {
        let mut table = RecentLines::default();
        assert_eq!(
            (0..1_000).filter(|_| table.writes("asks", source(1), at(0))).count(),
            LOG_LINES as usize
        );
        assert!(table.writes("asks", source(2), at(0)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_left_out_is_forgotten_when_it_was_told_though_nothing_else_happens() {
        let lines = LogLines::default();
        assert_eq!(
            (0..100).filter(|_| lines.writes("linked", node(1))).count(),
            LOG_LINES as usize
        );
        assert!(lines.shared.state().tells);
        // The clock of the lines is the machine's, which does not pass with that of the runtime.
        lines.shared.state().table.due[0].0 = at(0);
        while lines.shared.state().tells {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(lines.shared.state().table.lines.is_empty());
    }
}
