//! A NATS server of the tests' own.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A NATS server on a loopback port of its own.
///
/// Needs the server's program (`apt-get install nats-server`), and no service. It stops when this
/// value is dropped. Each method panics where the server does not do what it should.
#[derive(Debug)]
pub struct NatsServer {
    port: u16,
    settings: PathBuf,
    running: Mutex<Option<Child>>,
}

impl NatsServer {
    /// Starts a server that asks for no login.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts a server with these lines in its settings.
    #[must_use]
    pub fn start_with(lines: &str) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = free.local_addr().expect("it has an address").port();
        drop(free);
        let name = format!("handfast-nats-{}-{port}.conf", std::process::id());
        let settings = std::env::temp_dir().join(name);
        let text = format!("listen: \"127.0.0.1:{port}\"\n{lines}\n");
        std::fs::write(&settings, text).expect("it can be written");
        let server = Self { port, settings, running: Mutex::new(None) };
        server.start_again();
        server
    }

    /// Returns the address of the server, without a login.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Stops the server as a crash would.
    pub fn stop(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut server) = running.take() {
            server.kill().expect("it runs");
            server.wait().expect("it ends");
        }
    }

    /// Starts the server again, at the same port.
    pub fn start_again(&self) {
        let mut command = Command::new(program());
        command.arg("--config").arg(&self.settings);
        let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = server.spawn().expect("nats-server starts");
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "nats-server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.stop();
        // It is gone already where somebody cleans up.
        let _ = std::fs::remove_file(&self.settings);
    }
}

fn program() -> &'static Path {
    // Debian keeps it out of the search path.
    let places = ["/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"];
    let found = places.into_iter().map(Path::new).find(|path| path.exists());
    found.expect("nats-server is missing: apt-get install nats-server")
}
