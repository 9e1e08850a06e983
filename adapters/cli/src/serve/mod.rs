//! `handfast serve`: the gateway process.

mod addresses;
mod announce;
#[cfg(feature = "nats")]
mod bus;
mod console;
mod descriptors;
mod log;
mod registry;
mod reload;
#[cfg(feature = "postgres")]
mod shared;
mod signals;
#[cfg(not(feature = "postgres"))]
mod unshared;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use handfast_cli::config::{Listener, ServeSettings};
use handfast_core::wire::gateway_address::AddressScheme;
use handfast_server::admin::SharedSocket;
use handfast_server::extension::PendingProgram;
use handfast_server::policy::LoginSettings;
use handfast_server::public_url::{NotResolved, UrlSource, lan_addresses, lan_candidates, resolve};
use handfast_server::{
    Announcer, Gateway, GatewayBuilder, Listening, LocalClock, MtlsListening, NotAnnounced,
    SharingSettings, TlsAcceptor, TlsError, TlsFiles, admin,
};
use handfast_store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::End;
use crate::args::{DataDir, Serve};
use crate::data::SHARED;
use crate::extensions::{tied, tied_command};
use crate::groups;
use crate::hints::hide_file;
use crate::print::put;
use console::StdoutQueue;
use log::Log;
pub(crate) use registry::{in_file, store_key};
use reload::Reloader;
#[cfg(feature = "postgres")]
pub(crate) use shared::postgres;
use signals::{Asked, Signals};
#[cfg(not(feature = "postgres"))]
use unshared as shared;

/// Limit at shutdown for storing decisions that are not stored yet.
const STORE_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

pub(crate) async fn run(args: Serve) -> Result<(), End> {
    let mut settings = args.options.settings().map_err(|error| End::Usage(error.to_string()))?;
    let path = DataDir { data: settings.data.take() }.place()?;
    // Set so that `--print-config` shows the directory and the name in use.
    settings.data = Some(path.to_path_buf());
    registry::complete(&mut settings)?;
    if args.options.print_config {
        return put(&settings.to_toml());
    }
    let log = Log::start(settings.log.as_deref(), settings.log_format);
    let files = match (&settings.tls_cert, &settings.tls_key) {
        (Some(cert), Some(key)) => {
            Some(TlsFiles::open(cert, key).map_err(|error| End::Refused(tls_problem(&error)))?)
        }
        (_, _) => None,
    };
    let tls = files.as_ref().map(TlsFiles::acceptor).transpose().map_err(End::refused)?;
    let certificate = files.clone();
    let mut reloader = Reloader::new(args.options, settings.clone(), files, log);
    settings.limits = descriptors::within_descriptors(settings.limits);
    // Caught before the store is opened, so that an early signal also ends the gateway in order.
    let mut signals = Signals::catch()?;
    let shown = |builder: GatewayBuilder| match certificate {
        Some(files) => builder.certificate_ends(move || files.ends()),
        None => builder,
    };
    let running = match &settings.store {
        Some(_) if args.accept_older_store => return Err(registry::no_older_store()),
        Some(address) => {
            let opened = shared::open(address, &settings, &path, &mut signals).await?;
            let Some(store) = opened else { return Ok(()) };
            Running::start(store, &path, &settings, tls, shown).await?
        }
        None => {
            registry::refuse_key_of_another(&path, &settings)?;
            let store = registry::in_file(&path, args.accept_older_store)?;
            Running::start(store, &path, &settings, tls, shown).await?
        }
    };
    // Operators of the group find this gateway by themselves, and may not enter its data.
    let shared = settings.socket_group.is_some() && settings.socket_dir == Path::new(SHARED);
    let path = if shared { path.served_there() } else { path };
    let mut console = StdoutQueue::open();
    // It subscribes before anybody is told the address, so it misses no request.
    let followed = console.follow(&path).await?;
    console.print(&announce::text(&running, &settings, &path).await);
    let showing = tokio::spawn(console.show(followed));
    loop {
        match signals.next().await {
            Asked::Reload if reloader.has_files() => reloader.reload(&running.gateway),
            Asked::Reload | Asked::End => break,
        }
    }
    running.stop().await;
    // The console ends when the gateway that it follows does.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), showing).await;
    Ok(())
}

/// A gateway that serves its listeners and its operator's socket.
pub(crate) struct Running {
    /// Address of the main listener.
    pub(crate) address: SocketAddr,
    /// Addresses of the native wire over TCP.
    pub(crate) tcp: Vec<SocketAddr>,
    /// Addresses of the listeners for nodes with certificates.
    pub(crate) mtls: Vec<SocketAddr>,
    /// Addresses that serve only the metrics.
    pub(crate) metrics: Vec<SocketAddr>,
    /// Path of the socket of the operators' group.
    pub(crate) operators: Option<PathBuf>,
    /// URL for companions and its source, or the reason for which there is none.
    pub(crate) companions: Result<(String, UrlSource), NotResolved>,
    /// The handle of the gateway.
    pub(crate) gateway: Gateway,
    /// The gateway's announcement on its network, or the reason for which there is none; `None` on
    /// loopback and where it is not wanted.
    announcer: Option<Result<Announcer, NotAnnounced>>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// Opens all resources before it serves anything, so that a gateway that cannot run reports
    /// that and serves nothing.
    pub(crate) async fn start(
        store: impl Store,
        path: &Path,
        settings: &ServeSettings,
        tls: Option<TlsAcceptor>,
        more: impl FnOnce(GatewayBuilder) -> GatewayBuilder,
    ) -> Result<Self, End> {
        let (listener, address) = listen(settings.listen, "--listen").await?;
        let (streams, tcp) = listen_all(&settings.listen_tcp, "--listen-tcp").await?;
        let (certified, mtls) = listen_all(&settings.listen_mtls, "--listen-mtls").await?;
        let mut scraped = Vec::new();
        for wanted in &settings.listen_metrics {
            scraped.push(listen(*wanted, "--listen-metrics").await?);
        }
        let metrics = scraped.iter().map(|(_, address)| *address).collect();
        // Bound before the gateway starts, so that a taken or unusable socket ends it with nothing
        // served.
        let socket = admin::bind(path).map_err(End::refused)?;
        let shared = groups::shared_socket(path, settings)?;
        let operators = shared.as_ref().map(SharedSocket::path);
        let lan = lan_addresses();
        let mut pairing = settings.pairing.clone();
        // Only addresses that somebody named are told: a guess from the interfaces may be of use to
        // an invitation on this network, and of none to a node elsewhere.
        for address in &pairing.addresses {
            if !pairing.told_addresses.contains(address) {
                pairing.told_addresses.push(address.clone());
            }
        }
        if pairing.addresses.is_empty() {
            pairing.addresses = addresses::reached(address, settings.is_tls(), &tcp);
        }
        let mut setup =
            settings.setup.settings(path, lan_candidates(address, &lan), settings.is_tls());
        if settings.store.is_some() {
            // The registry has the key, unless a file is named, which is refused.
            setup.key_file.clone_from(&settings.setup.key_file);
        }
        let url = addresses::for_browsers(address, settings.is_tls(), settings.operators.plain);
        let sharing = SharingSettings {
            cut_off_grace: settings.cut_off_grace,
            address: Some(url.clone()),
            #[cfg(feature = "nats")]
            bus: bus::settings(settings)?,
        };
        let logins = LoginSettings { url: Some(url), ..settings.operators.clone() };
        let companions = resolve(&setup.addresses, &setup.plain_hosts)
            .map(|(url, source)| (url.to_string(), source));
        let reached = addresses::certified(&mtls, &lan);
        let builder = Gateway::builder(store)
            .name(settings.name.clone())
            .limits(settings.limits)
            .setup(setup)
            .sharing(sharing)
            .logins(logins)
            .certificates(settings.mtls.certificates(path, reached))
            .inbound(settings.inbound.clone())
            .proxies(settings.proxies.clone())
            .extensions(tied(&settings.extensions))
            .pending_program(PendingProgram {
                command: tied_command(&settings.on_pending),
                ..PendingProgram::default()
            })
            .links(!settings.no_links);
        let builder = match &settings.store {
            Some(_) => builder,
            None => builder.data_directory(path),
        };
        let builder = match &settings.clock_synchronised_file {
            Some(file) => builder.clock(LocalClock::with_file(file)),
            None => builder,
        };
        let gateway = registry::with_key(path, settings, more(builder), pairing).await?;
        let tls = match settings.tls_own {
            true => {
                let names = addresses::named(address, &lan, settings);
                Some(gateway.own_tls(names).await.map_err(End::refused)?)
            }
            false => tls,
        };

        let (stop, stopped) = watch::channel(false);
        let until = |mut stopped: watch::Receiver<bool>| async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let web = Listening { listener, proxy_protocol: settings.proxy_protocol };
        let mut tasks = vec![
            tokio::spawn(handfast_server::serve(gateway.clone(), web, tls, until(stopped.clone()))),
            tokio::spawn(admin::serve_admin(gateway.clone(), socket, until(stopped.clone()))),
        ];
        if let Some(shared) = shared {
            let until = until(stopped.clone());
            tasks.push(tokio::spawn(admin::serve_shared_admin(gateway.clone(), shared, until)));
        }
        for listening in certified {
            let require = settings.mtls.require_mtls;
            let listening =
                MtlsListening::new(&gateway, listening, require).map_err(End::refused)?;
            let until = until(stopped.clone());
            tasks.push(tokio::spawn(handfast_server::serve_mtls(
                gateway.clone(),
                listening,
                until,
            )));
        }
        for listener in streams {
            tasks.push(tokio::spawn(handfast_server::serve_tcp(
                gateway.clone(),
                listener,
                until(stopped.clone()),
            )));
        }
        for (listener, _) in scraped {
            tasks.push(tokio::spawn(handfast_server::serve_metrics(
                gateway.clone(),
                listener,
                until(stopped.clone()),
            )));
        }
        for line in &settings.serial {
            let (gateway, path, until) =
                (gateway.clone(), line.path.clone(), until(stopped.clone()));
            tasks
                .push(tokio::spawn(handfast_server::serve_serial(gateway, path, line.baud, until)));
        }
        // The listeners serve by now, so nobody is sent to one that does not.
        let announcer = match settings.no_announce {
            true => None,
            false => {
                let web = (addresses::scheme(settings), address);
                let streams = tcp.iter().map(|at| (AddressScheme::Stream, *at));
                let listeners: Vec<_> = std::iter::once(web).chain(streams).collect();
                let name = settings.name.as_deref();
                let started = Announcer::start(name, gateway.fingerprint(), &listeners);
                if let Ok(Some(announcer)) = &started {
                    announcer.follow(&gateway);
                }
                started.transpose()
            }
        };
        Ok(Self {
            address,
            tcp,
            mtls,
            metrics,
            operators,
            companions,
            gateway,
            announcer,
            stop,
            tasks,
        })
    }

    /// Ends every connection and waits for them.
    pub(crate) async fn stop(self) {
        // First, so that nobody new is sent here.
        if let Some(Ok(announcer)) = self.announcer {
            announcer.stop().await;
        }
        self.stop.send_replace(true);
        for task in self.tasks {
            let _ = task.await;
            // A panic is reported where it happens; the other tasks still have to end.
        }
        let lost = self.gateway.store_the_rest(STORE_WITHIN).await;
        for one in &lost {
            tracing::error!(
                "{}: the decision could not be stored and ends with this gateway; decide it again after the next start",
                one.what
            );
        }
    }
}

/// Returns the words for files that TLS cannot use, with what mends it.
pub(crate) fn tls_problem(error: &TlsError) -> String {
    match error {
        TlsError::Exposed { path } => format!("{error}; mend it with: {}", hide_file(path)),
        TlsError::File { .. } | TlsError::Pair { .. } => error.to_string(),
    }
}

/// Binds listeners, and returns their addresses with them.
async fn listen_all(
    wanted: &[Listener],
    option: &str,
) -> Result<(Vec<Listening>, Vec<SocketAddr>), End> {
    let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
    for Listener { address, proxy_protocol } in wanted {
        let (listener, address) = listen(*address, option).await?;
        listeners.push(Listening { listener, proxy_protocol: *proxy_protocol });
        addresses.push(address);
    }
    Ok((listeners, addresses))
}

async fn listen(wanted: SocketAddr, option: &str) -> Result<(TcpListener, SocketAddr), End> {
    let listener = TcpListener::bind(wanted).await.map_err(|error| {
        End::Refused(format!(
            "{wanted}: cannot listen there: {error}; choose another address with {option}"
        ))
    })?;
    let address = listener.local_addr().map_err(End::refused)?;
    Ok((listener, address))
}
