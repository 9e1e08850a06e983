//! The limit of open files, and the connection limits that follow from it.

use handfast_core::limits::Limits;

/// Number of descriptors that are not connections: the database, sockets, the runtime, and sockets
/// that are being accepted or refused.
const OTHER_DESCRIPTORS: u64 = 512;

/// Raises the limit of open files as far as allowed, and lowers the connection limits to fit:
/// without descriptors the operator could not connect either.
pub(super) fn within_descriptors(limits: Limits) -> Limits {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut files = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: files.maximum, maximum: files.maximum };
    if files.current != files.maximum && setrlimit(Resource::Nofile, raised).is_ok() {
        files = getrlimit(Resource::Nofile);
    }
    let wanted =
        u64::from(limits.waiting_total) + u64::from(limits.linked_total) + OTHER_DESCRIPTORS;
    let Some(allowed) = files.current.filter(|allowed| *allowed < wanted) else { return limits };
    // Half of the descriptors stay for connections, however few there are.
    let room = allowed.saturating_sub(OTHER_DESCRIPTORS.min(allowed / 2)).max(2);
    // A quarter is for connections that have not authenticated yet.
    let waiting_total = u64::from(limits.waiting_total).min(room / 4).max(1);
    let fitted = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let lowered = Limits {
        waiting_total: fitted(waiting_total),
        linked_total: fitted(room - waiting_total),
        ..limits
    };
    tracing::warn!(
        "this process may open {allowed} files, too few for the limits: {} connections that have not authenticated and {} that have are let in; \
         raise it with ulimit -n or LimitNOFILE=",
        lowered.waiting_total,
        lowered.linked_total
    );
    lowered
}
