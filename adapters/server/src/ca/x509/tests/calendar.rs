//! Ten years of certificates under a virtual clock, decided by the real verification of chains.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use handfast_core::Instant;
use handfast_core::registry::trusted_time::{RELEASED, Reading, TrustedTime};
use rustls::{CertificateError, Error};

use super::*;

const YEAR: u64 = 365 * 86_400;
/// The time after which nodes renew a certificate that lives for a day.
const STEP: u64 = 16 * 3600;

/// A gateway with its clocks.
struct World {
    _outer: tempfile::TempDir,
    path: std::path::PathBuf,
    wall: u64,
    elapsed: u64,
    trusted: TrustedTime,
    mark: UnixTime,
    authority: Arc<Authority>,
    server: ServerCertificate,
    /// The time that the listener's certificate sees.
    shown: Arc<AtomicU64>,
    rotations: usize,
}

/// A node with its certificate and the roots that came with it.
struct Node {
    key: KeyPair,
    issued: IssuedCertificate,
}

fn settings(path: &Path) -> CertificateSettings {
    CertificateSettings {
        directory: Some(path.to_owned()),
        root_life: Span::from_secs(YEAR),
        ..CertificateSettings::default()
    }
}

fn reading(wall: u64, elapsed: u64) -> Reading {
    Reading {
        wall: UnixTime::from_secs(wall),
        elapsed: Instant::from_millis(elapsed * 1000),
        synchronised: true,
    }
}

impl World {
    fn start(wall: u64) -> Self {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join(DIRECTORY);
        let trusted = TrustedTime::begin(None, RELEASED, reading(wall, 0));
        let now = trusted.now(Instant::from_millis(0));
        let (authority, server, shown) = Self::open(&path, now);
        Self {
            _outer: outer,
            path,
            wall,
            elapsed: 0,
            trusted,
            mark: now,
            authority,
            server,
            shown,
            rotations: 0,
        }
    }

    fn open(path: &Path, now: UnixTime) -> (Arc<Authority>, ServerCertificate, Arc<AtomicU64>) {
        let authority = Arc::new(Authority::open(settings(path), &store_key(), now).unwrap());
        let shown = Arc::new(AtomicU64::new(now.as_secs()));
        let clock = Arc::clone(&shown);
        let clock = move || UnixTime::from_secs(clock.load(Ordering::Relaxed));
        let server = ServerCertificate::new(Arc::clone(&authority), clock).unwrap();
        (authority, server, shown)
    }

    fn now(&self) -> UnixTime {
        self.trusted.now(Instant::from_millis(self.elapsed * 1000))
    }

    /// Lets time pass while the gateway runs.
    fn pass(&mut self, secs: u64) {
        self.wall += secs;
        self.elapsed += secs;
        self.look();
    }

    /// Sets the wall clock.
    fn jump(&mut self, to: u64) {
        self.wall = to;
        self.look();
    }

    /// Switches the gateway off for a time, and starts it with the wall clock at `wall`.
    fn restart(&mut self, wall: u64) {
        (self.wall, self.elapsed) = (wall, 0);
        self.trusted = TrustedTime::begin(Some(self.mark), RELEASED, reading(wall, 0));
        (self.authority, self.server, self.shown) = Self::open(&self.path, self.now());
        self.look();
    }

    fn look(&mut self) {
        let due = self.trusted.observe(reading(self.wall, self.elapsed));
        if let Some(step) = due.step {
            self.trusted.taken(step);
        }
        self.mark = self.trusted.mark();
        let now = self.now();
        self.shown.store(now.as_secs(), Ordering::Relaxed);
        let newest = self.authority.fingerprint();
        // As the gateway does: only under a clock that is good.
        if self.trusted.is_good() {
            self.authority.tend(now).unwrap();
        }
        self.rotations += usize::from(self.authority.fingerprint() != newest);
    }

    fn issue(&self, key: KeyPair) -> Node {
        let issued = self.authority.issue(NODE, &requested(&key), self.now()).unwrap();
        Node { key, issued }
    }

    /// A handshake of both sides by the real verification, under the time of the gateway.
    fn handshake(&self, node: &Node) -> Result<(), Error> {
        let server = self.server.pair();
        node_accepts(&node.issued.roots, &server.cert[0], "localhost", self.now())?;
        accepts(&self.authority, &node.issued.certificate, self.now())
    }

    /// Renews as a node does: over mTLS while its certificate counts, else over the native link.
    fn renew(&self, node: Node) -> Node {
        let newer = self.issue(node.key);
        assert_eq!(self.handshake(&newer), Ok(()), "at {:?}", self.now());
        newer
    }
}

/// Returns `true` if the certificate has ended, or its root has.
fn has_ended(judged: &Result<(), Error>) -> bool {
    matches!(
        judged,
        Err(Error::InvalidCertificate(
            CertificateError::ExpiredContext { .. } | CertificateError::UnknownIssuer
        ))
    )
}

#[test]
fn for_ten_years_no_node_that_renews_is_ever_refused_and_one_that_was_off_comes_back() {
    let begin = 1_800_000_000;
    let mut world = World::start(begin);
    let mut steady = world.issue(KeyPair::generate().unwrap());
    let mut sleeper = world.issue(KeyPair::generate().unwrap());
    let (mut listeners, mut seen) = (0, world.server.pair());
    let mut steps = 0u64;
    while world.wall < begin + 10 * YEAR {
        steps += 1;
        world.pass(STEP);
        // The certificate from 16 hours ago counts when the node renews with it, and still after.
        assert_eq!(world.handshake(&steady), Ok(()), "step {steps}");
        let old = steady.issued.certificate.clone();
        steady = world.renew(steady);
        assert_eq!(accepts(&world.authority, &old, world.now()), Ok(()), "step {steps}");
        let roots = world.authority.certificates().len();
        assert!(roots <= 2, "{roots} roots at step {steps}");
        if world.server.pair().cert != seen.cert {
            (listeners, seen) = (listeners + 1, world.server.pair());
        }
        // A node that is switched on every 7 months or so, longer than a root is in use.
        if steps.is_multiple_of(400) {
            assert!(has_ended(&world.handshake(&sleeper)));
            sleeper = world.renew(sleeper);
        }
        if steps.is_multiple_of(731) {
            world.restart(world.wall);
            assert_eq!(world.handshake(&steady), Ok(()), "a restart changes nothing");
        }
    }
    // A root is in use for two thirds of a year, and the listener's certificate for 20 days.
    assert!((14..=16).contains(&world.rotations), "{} rotations", world.rotations);
    assert!((170..=220).contains(&listeners), "{listeners} certificates of the listener");
}

#[test]
fn a_gateway_whose_clock_starts_in_1970_issues_what_counts_now_and_after_the_clock_is_right() {
    let mut world = World::start(0);
    let node = world.issue(KeyPair::generate().unwrap());
    assert_eq!(world.handshake(&node), Ok(()));
    world.pass(60);
    // The network time arrives: years later than the release.
    world.jump(RELEASED.as_secs() + 400 * 86_400);
    world.pass(25 * 3600);
    world.pass(60);
    assert_eq!(world.now().as_secs(), world.wall, "the clock is believed after a day");
    assert!(has_ended(&world.handshake(&node)));
    let node = world.renew(node);
    world.pass(STEP);
    assert_eq!(world.handshake(&node), Ok(()));
}

#[test]
fn jumps_of_the_clock_and_a_battery_that_is_empty_cost_a_renewal_and_nothing_else() {
    let begin = 1_800_000_000;
    let mut world = World::start(begin);
    let mut node = world.issue(KeyPair::generate().unwrap());
    let mut to = begin;
    for (count, jump) in [2, -2, 20, -20, 2, 2, -1].into_iter().cycle().take(70).enumerate() {
        world.pass(STEP);
        to = (world.wall.cast_signed() + jump * 86_400).cast_unsigned().max(to - 40 * 86_400);
        world.jump(to);
        node = world.renew(node);
        if count % 5 == 4 {
            // The battery of the clock is empty: it starts in 1970, until the network has the time.
            world.restart(0);
            assert!(world.now() >= world.mark.moved(-60), "the time does not fall behind the mark");
            node = world.renew(node);
            world.jump(to);
            node = world.renew(node);
        }
    }
    assert!(world.rotations <= 2, "{} rotations by jumps alone", world.rotations);
}

#[test]
fn a_gateway_that_was_off_for_months_waits_for_a_good_clock_before_it_drops_a_root() {
    let begin = 1_800_000_000;
    let mut world = World::start(begin);
    let node = world.issue(KeyPair::generate().unwrap());
    let first = node.issued.roots[0].clone();
    world.authority.rotate(Overlap::UntilLeavesEnd, world.now()).unwrap();
    world.restart(begin + YEAR);
    assert_eq!(world.authority.certificates().len(), 2, "the clock is in doubt");
    // By the time that is known to have passed, hardly any has.
    assert_eq!(world.handshake(&node), Ok(()));
    for _ in 0..3 {
        world.pass(STEP);
    }
    assert_eq!(world.now().as_secs(), world.wall, "the clock is believed after a day");
    assert!(has_ended(&world.handshake(&node)));
    let node = world.renew(node);
    assert!(!node.issued.roots.contains(&first), "its last certificate has ended long ago");
    assert_eq!(world.rotations, 1, "the second root was as old by then");
}

#[test]
fn a_node_whose_clock_says_1970_refuses_the_listener_and_is_itself_accepted() {
    let world = World::start(1_800_000_000);
    let node = world.issue(KeyPair::generate().unwrap());
    let server = world.server.pair();
    let at = UnixTime::from_secs(3600);
    let judged = node_accepts(&node.issued.roots, &server.cert[0], "localhost", at);
    assert!(matches!(
        judged,
        Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { .. }))
    ));
    // The gateway goes by its own time, so what such a node renews over the native link counts.
    assert_eq!(world.handshake(&node), Ok(()));
    // The beginning of its own certificate is a time that has been: with it the listener counts.
    let known = node.issued.validity.not_before.after(Span::from_secs(300));
    assert_eq!(node_accepts(&node.issued.roots, &server.cert[0], "localhost", known), Ok(()));
}

#[test]
fn without_an_overlap_everything_of_the_old_root_ends_at_once() {
    let world = World::start(1_800_000_000);
    let node = world.issue(KeyPair::generate().unwrap());
    world.authority.rotate(Overlap::None, world.now()).unwrap();
    assert!(accepts(&world.authority, &node.issued.certificate, world.now()).is_err());
    assert!(world.handshake(&node).is_err(), "the node does not know the listener's new root");
    let node = world.renew(node);
    assert_eq!(node.issued.roots.len(), 1);
}
