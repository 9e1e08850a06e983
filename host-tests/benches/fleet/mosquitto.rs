//! mosquitto with the same certificates: client certificates are required, and a revocation list is
//! read again at SIGHUP.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use handfast_core::grant::certificate::Serial;
use handfast_server::ca::Authority;
use rcgen::{CertificateParams, KeyPair};
use rustix::process::{Pid, Signal, kill_process};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::nodes::{Fleet, now};
use crate::process::{Server, cpu, is_program, resident};
use crate::{SAMPLES, link_all, peer, print};

/// The time for which the end of a revoked client's connection is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends the bench with words if mosquitto is not installed.
pub(crate) fn is_there() {
    assert!(
        is_program("mosquitto"),
        "mosquitto is missing: host-tests/benches/fleet.sh installs it (apt-get install mosquitto)"
    );
}

/// A running broker, which ends with this.
pub(crate) struct Broker {
    child: Child,
    pub(crate) address: SocketAddr,
    authority: Authority,
    fleet: Fleet,
    certificate: CertificateDer<'static>,
}

impl Broker {
    /// Starts a broker that lets the nodes of this fleet in.
    pub(crate) fn start(fleet: &Fleet) -> Self {
        Self::named(fleet, "broker")
    }

    /// Starts one of several brokers, which share the revocation list.
    fn named(fleet: &Fleet, name: &str) -> Self {
        let [its_certificate, its_key, its_settings] =
            ["pem", "key", "conf"].map(|ending| format!("{name}.{ending}"));
        let authority = fleet.authority();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = certificate.self_signed(&key).unwrap();
        let write = |name: &str, text: &str| std::fs::write(fleet.file(name), text).unwrap();
        write("nodes.pem", &authority.certificates_pem());
        write(&its_certificate, &certificate.pem());
        write(&its_key, &key.serialize_pem());
        // A port that is free now, and again a moment later.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let file = |name: &str| fleet.file(name).display().to_string();
        write(
            &its_settings,
            &format!(
                "user root\npersistence false\nlog_type none\nlistener {} 127.0.0.1\n\
                 max_connections -1\nallow_anonymous true\nrequire_certificate true\n\
                 tls_version tlsv1.3\ncafile {}\ncertfile {}\nkeyfile {}\ncrlfile {}\n",
                free.port(),
                file("nodes.pem"),
                file(&its_certificate),
                file(&its_key),
                file("revoked.pem")
            ),
        );
        let list = authority.revocation_lists(&[], now()).unwrap().pem();
        write("revoked.pem", &list);
        let child = Command::new("mosquitto")
            .args(["-c", &file(&its_settings)])
            .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()))
            .stdin(Stdio::null())
            .spawn()
            .expect("mosquitto starts");
        while std::net::TcpStream::connect(free).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let certificate = certificate.der().clone();
        Self { child, address: free, authority, fleet: fleet.clone(), certificate }
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        roots
    }

    pub(crate) fn cpu(&self) -> f64 {
        cpu(&self.child.id().to_string())
    }

    /// Revokes certificates, as an operator of a broker does.
    fn revoke(&self, serials: &[Serial]) {
        let revoked: Vec<_> = serials.iter().map(|serial| (*serial, now())).collect();
        let list = self.authority.revocation_lists(&revoked, now()).unwrap().pem();
        std::fs::write(self.fleet.file("revoked.pem"), list).unwrap();
        self.read_the_list_again();
    }

    fn read_the_list_again(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::HUP).unwrap();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the packet by which a client of MQTT 3.1.1 introduces itself.
pub(crate) fn connect_packet() -> Vec<u8> {
    b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00".to_vec()
}

async fn link(
    address: SocketAddr,
    config: Arc<rustls::ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut stream = peer::connect(address, config).await?;
    stream.write_all(&connect_packet()).await?;
    match stream.read(&mut [0; 16]).await? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(stream),
    }
}

/// Measures the time from a revocation until new connections of the client are refused, and until
/// its open one ends.
pub(crate) async fn revoke(links: u32) {
    let (_home, fleet) = Fleet::new();
    drop(Server::gateway(&fleet, links, links));
    let broker = Broker::start(&fleet);
    let at = fleet.clone();
    let (address, roots, before) = (broker.address, broker.roots(), resident(broker.child.id()));
    let all = link_all(links, move |number| {
        let config = at.client(number, Some(roots.clone()));
        async move { link(address, config).await.expect("mosquitto lets the client in") }
    })
    .await;
    println!(
        "an idle connection of mosquitto: {:.2} KiB of {links}",
        (resident(broker.child.id()) - before) / f64::from(links)
    );
    let (mut refused, mut serials) = (Vec::new(), Vec::new());
    let samples = SAMPLES.min(links).min(30);
    for number in 0..samples {
        serials.push(serial_of(&fleet, number));
        let config = fleet.client(number, Some(broker.roots()));
        let begun = Instant::now();
        broker.revoke(&serials);
        while begun.elapsed() < PATIENCE && link(address, Arc::clone(&config)).await.is_ok() {}
        refused.push(begun.elapsed());
    }
    let mut alive = all.len();
    let begun = Instant::now();
    for mut stream in all {
        let left = PATIENCE.saturating_sub(begun.elapsed()).max(Duration::from_millis(1));
        let ended = tokio::time::timeout(left / links.max(1), stream.read(&mut [0; 16])).await;
        alive -= usize::from(ended.is_ok());
    }
    println!("mosquitto with {links} links, {samples} revocations (list and SIGHUP):");
    print("from a revocation to the refusal of a new connection", refused);
    println!(
        "  open links of the {samples} revoked clients that have ended {:.0?} later: {}",
        PATIENCE,
        links as usize - alive
    );
}

/// Measures the time from a revocation at one of two brokers, which share the list, until neither
/// lets the client in, and how many of the open connections have ended.
pub(crate) async fn revoke_on_two(links: u32) {
    let (_home, fleet) = Fleet::new();
    drop(Server::gateway(&fleet, 2 * links, 2 * links));
    let brokers = ["north", "south"].map(|name| Broker::named(&fleet, name));
    let (at, addresses) = (fleet.clone(), brokers.each_ref().map(|broker| broker.address));
    let roots = brokers.each_ref().map(Broker::roots);
    let mut all = link_all(2 * links, move |number| {
        let which = number as usize % 2;
        let (config, address) = (at.client(number, Some(roots[which].clone())), addresses[which]);
        async move { (number, link(address, config).await.expect("mosquitto lets the client in")) }
    })
    .await;
    all.sort_unstable_by_key(|(number, _)| *number);
    let (mut refused, mut serials) = (Vec::new(), Vec::new());
    let samples = SAMPLES.min(links).min(30);
    for number in 0..samples {
        serials.push(serial_of(&fleet, number));
        let configs = brokers.each_ref().map(|broker| fleet.client(number, Some(broker.roots())));
        let begun = Instant::now();
        brokers[0].revoke(&serials);
        brokers[1].read_the_list_again();
        for (address, config) in addresses.into_iter().zip(configs) {
            while begun.elapsed() < PATIENCE && link(address, Arc::clone(&config)).await.is_ok() {}
        }
        refused.push(begun.elapsed());
    }
    println!("mosquitto, two brokers with {links} links each, {samples} revocations:");
    print("from a revocation to the refusal of a new connection by both", refused);
    let waited = Instant::now();
    let mut ended = 0;
    for (_, mut stream) in all.into_iter().take(samples as usize) {
        let left = PATIENCE.saturating_sub(waited.elapsed()) / samples;
        let left = left.max(Duration::from_millis(1));
        ended += u32::from(tokio::time::timeout(left, stream.read(&mut [0; 16])).await.is_ok());
    }
    println!("  open connections of these clients that have ended: {ended} of {samples}");
}

/// Reads the serial number of a node's certificate.
fn serial_of(fleet: &Fleet, number: u32) -> Serial {
    let certificate = fleet.certificate(number);
    // After the sequences and the version there is INTEGER, 20 bytes (and a zero before the sign).
    let at = certificate.windows(5).position(|five| five == [0xa0, 3, 2, 1, 2]).unwrap() + 5;
    let length = usize::from(certificate[at + 1]);
    let bytes = &certificate[at + 2..at + 2 + length];
    Serial::from_bytes(bytes).expect("a serial number of ours")
}
