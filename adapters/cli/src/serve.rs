//! `handfast serve`.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::Path;

use handfast_core::limits::Limits;
use handfast_core::time::Span;
use handfast_server::{Gateway, acceptor, admin};
use handfast_store::SqliteStore;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::End;
use crate::args::{LimitArgs, Serve};
use crate::data;

/// The registry's file in the data directory.
const DATABASE: &str = "handfast.db";

pub(crate) async fn run(args: Serve) -> Result<(), End> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    // Log lines wait in a bounded queue and are dropped rather than waited for: whoever reads them, or stopped reading, cannot hold up the gateway.
    let (writer, _flush_at_exit) = tracing_appender::non_blocking(std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(std::io::stderr().is_terminal())
        .log_internal_errors(false)
        .init();

    let path = args.data.path()?;
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(cert), Some(key)) => Some(acceptor(cert, key).map_err(End::refused)?),
        (_, _) => None,
    };
    let limits = within_descriptors(args.limits.limits());
    let signals = Signals::catch()?;
    let running = Running::start(&path, args.listen, tls, limits).await?;
    let scheme = if args.tls_cert.is_some() { "wss" } else { "ws" };
    announce(&running, scheme, &path);
    signals.wait().await;
    running.stop().await;
    Ok(())
}

/// A gateway that serves its listener and its operator's socket.
pub(crate) struct Running {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Running {
    /// Opens everything first, so that a gateway that cannot run says so and serves nothing.
    pub(crate) async fn start(
        path: &Path,
        listen: SocketAddr,
        tls: Option<handfast_server::TlsAcceptor>,
        limits: Limits,
    ) -> Result<Self, End> {
        admin::socket_path(path).map_err(End::refused)?;
        data::prepare(path)?;
        let store = SqliteStore::open(&path.join(DATABASE)).map_err(End::refused)?;
        let listener = TcpListener::bind(listen).await.map_err(|error| {
            End::Refused(format!("{listen}: cannot listen there: {error}; choose another address with --listen"))
        })?;
        let address = listener.local_addr().map_err(End::refused)?;
        let socket = admin::bind(path).map_err(End::refused)?;
        let gateway = Gateway::builder(store).limits(limits).start().map_err(End::refused)?;

        let (stop, stopped) = watch::channel(false);
        let until = |mut stopped: watch::Receiver<bool>| async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let tasks = vec![
            tokio::spawn(handfast_server::serve(gateway.clone(), listener, tls, until(stopped.clone()))),
            tokio::spawn(admin::serve_admin(gateway, socket, until(stopped))),
        ];
        Ok(Self { address, stop, tasks })
    }

    /// Ends every connection and waits for them.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            let _ = task.await;
        }
    }
}

impl LimitArgs {
    fn limits(&self) -> Limits {
        Limits {
            first_message: Span::from_millis(self.first_message),
            ping_every: Span::from_millis(self.ping_every),
            pong_within: Span::from_millis(self.pong_within),
            pending_for: Span::from_millis(self.pending_for),
            pending_total: self.pending_total,
            pending_per_source: self.pending_per_source,
            waiting_total: self.waiting_total,
            waiting_per_source: self.waiting_per_source,
            linked_total: self.linked_total,
            failures_per_minute: self.failures_per_minute,
            hash_queue: self.hash_queue,
        }
    }
}

/// Says where it serves. Whoever started it may have closed the pipe already; that ends no gateway.
fn announce(running: &Running, scheme: &str, data: &Path) {
    use std::io::Write;
    let (address, data) = (running.address, data.display());
    let mut text = format!("handfast gateway: {scheme}://{address} (data in {data})\n");
    if scheme == "ws" && !address.ip().is_loopback() {
        text += &format!(
            "warning: {address} is not loopback and this listener is plain: tokens cross the network readable. Use --tls-cert and --tls-key.\n"
        );
    }
    text += &format!("approve nodes with: handfast devices pair --data {data}\n");
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// The signals that end the gateway, caught from the moment this is made.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn catch() -> Result<Self, End> {
        let caught = |kind| signal(kind).map_err(End::refused);
        Ok(Self { terminate: caught(SignalKind::terminate())?, interrupt: caught(SignalKind::interrupt())? })
    }

    async fn wait(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Descriptors that are not connections: the database, sockets, the runtime, and those being accepted or refused.
const OTHER_DESCRIPTORS: u64 = 512;

/// Raises the limit of open files as far as it may be raised, and lowers the connection limits to what then fits: running out of descriptors would
/// lock out the operator, too.
fn within_descriptors(limits: Limits) -> Limits {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut files = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: files.maximum, maximum: files.maximum };
    if files.current != files.maximum && setrlimit(Resource::Nofile, raised).is_ok() {
        files = getrlimit(Resource::Nofile);
    }
    let wanted = u64::from(limits.waiting_total) + u64::from(limits.linked_total) + OTHER_DESCRIPTORS;
    let Some(allowed) = files.current.filter(|allowed| *allowed < wanted) else { return limits };
    let room = allowed.saturating_sub(OTHER_DESCRIPTORS.min(allowed / 2)).max(2);
    let waiting_total = u64::from(limits.waiting_total).min(room / 4).max(1);
    let fitted = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    let lowered = Limits { waiting_total: fitted(waiting_total), linked_total: fitted(room - waiting_total), ..limits };
    tracing::warn!(
        "this process may open {allowed} files, too few for the limits: {} connections that have not authenticated and {} that have are let in; \
         raise it with ulimit -n or LimitNOFILE=",
        lowered.waiting_total,
        lowered.linked_total
    );
    lowered
}
