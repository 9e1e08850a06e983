//! Over a pseudo-terminal, which is a serial line as far as the gateway can tell.

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use tokio::net::unix::pipe;

use super::*;

impl World {
    /// The node's end of a line that the gateway serves, and what keeps the other one from going
    /// away.
    fn serial(&self) -> (Wire, std::fs::File) {
        let (wire, other, path) = line();
        tokio::spawn(crate::serve_serial(
            self.gateway.clone(),
            path,
            115_200,
            std::future::pending(),
        ));
        (wire, other)
    }
}

/// The node's end of a line, what keeps the other one from going away, and where that is.
fn line() -> (Wire, std::fs::File, String) {
    let own = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    unlockpt(&own).unwrap();
    let mut raw = tcgetattr(&own).unwrap();
    raw.make_raw();
    tcsetattr(&own, OptionalActions::Now, &raw).unwrap();
    let path = ptsname(&own, Vec::new()).unwrap().into_string().unwrap();
    let other = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    fcntl_setfl(&own, OFlags::NONBLOCK).unwrap();
    let receiver = pipe::Receiver::from_owned_fd_unchecked(own.try_clone().unwrap()).unwrap();
    let sender = pipe::Sender::from_owned_fd_unchecked(own).unwrap();
    (Wire::Serial(FramedTransport::new(tokio::io::join(receiver, sender))), other, path)
}

#[tokio::test]
async fn a_node_links_over_a_serial_line_with_noise_on_it() {
    let world = World::new().await;
    let (mut wire, _other) = world.serial();
    let Wire::Serial(line) = &mut wire else { unreachable!() };
    line.send_raw(b"U-Boot 2026.01\r\n\x00 garbage").await;
    works(world, wire).await;
}

#[tokio::test]
async fn a_node_that_reboots_begins_anew_on_its_serial_line() {
    let mut world = World::new().await;
    let (wire, _other) = world.serial();
    let mut client = world.linked(wire).await;
    client.app("/lights/a", b"1").await;
    assert_eq!(world.heard.recv().await.unwrap().2, b"1");
    for _ in 0..3 {
        client = world.linked(client.wire).await;
        client.app("/lights/a", b"2").await;
        assert_eq!(world.heard.recv().await.unwrap().2, b"2");
    }
    assert!(world.gateway.inner.hub.is_live(world.node_id));
}

#[tokio::test]
async fn a_serial_line_that_went_away_is_served_again_when_it_is_back() {
    let mut world = World::new().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tty");
    let served =
        crate::serve_serial(world.gateway.clone(), path.clone(), 115_200, std::future::pending());
    let (wire, other, at) = line();
    std::os::unix::fs::symlink(at, &path).unwrap();
    tokio::spawn(served);
    let mut client = world.linked(wire).await;
    client.app("/lights/a", b"1").await;
    assert_eq!(world.heard.recv().await.unwrap().2, b"1");
    drop((client, other));
    while world.gateway.inner.hub.is_live(world.node_id) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    std::fs::remove_file(&path).unwrap();
    let (wire, _other, at) = line();
    std::os::unix::fs::symlink(at, &path).unwrap();
    let mut client = world.linked(wire).await;
    client.app("/lights/a", b"2").await;
    assert_eq!(world.heard.recv().await.unwrap().2, b"2");
}
