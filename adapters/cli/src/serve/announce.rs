//! Start-up messages of a gateway.

use handfast_cli::config::ServeSettings;
use handfast_server::ca;
use handfast_server::operator::PairingStatus;
use handfast_server::public_url::NotResolved;

use super::Running;
use crate::data::DataPlace;
use crate::hints::Next;
use crate::print::{left, safe};

/// Returns the addresses, the warnings about plain listeners, the fingerprint, and the state of
/// pairing.
pub(super) async fn text(running: &Running, settings: &ServeSettings, data: &DataPlace) -> String {
    let address = running.address;
    let tls = settings.is_tls();
    let scheme = if tls { "wss" } else { "ws" };
    let mut text = format!(
        "handfast gateway: {scheme}://{address} (data in {})\n",
        safe(&data.display().to_string())
    );
    if let Some(fingerprint) = running.gateway.own_tls_fingerprint() {
        let roots = data.join(ca::DIRECTORY).join(ca::CERTIFICATES_FILE);
        text += &format!(
            "certificate of its own: {fingerprint}; a browser warns about it once, and other \
             programs trust it by {}\n",
            safe(&roots.display().to_string())
        );
    }
    for stream in &running.tcp {
        text += &format!("native wire: tcp://{stream}\n");
    }
    for address in &running.mtls {
        text += &format!("nodes with certificates: mtls://{address}\n");
    }
    if !running.mtls.is_empty() {
        let roots = data.join(ca::DIRECTORY).join(ca::CERTIFICATES_FILE);
        text += &format!(
            "certificate authority: {} (in {})\n",
            running.gateway.authority().fingerprint(),
            safe(&roots.display().to_string())
        );
    }
    if let (Some(socket), Some(group)) = (&running.operators, &settings.socket_group) {
        text +=
            &format!("operators of the group {group}: {}\n", safe(&socket.display().to_string()));
    }
    for metrics in &running.metrics {
        text += &format!("metrics: http://{metrics}/metrics, for everybody who can reach it\n");
    }
    for line in &settings.serial {
        text += &format!(
            "native wire: serial line {} at {} baud\n",
            safe(&line.path.display().to_string()),
            line.baud
        );
    }
    if !tls && !address.ip().is_loopback() {
        text += &format!(
            "warning: {address} is not loopback and this listener is not TLS: tokens of companions, and of nodes that do not speak the native wire, cross the network \
             readable. Use --tls-cert and --tls-key, or --tls-own. Over the native wire everything is sealed\n"
        );
    }
    for stream in running.tcp.iter().filter(|stream| !stream.ip().is_loopback()) {
        text += &format!(
            "note: {stream} is not loopback and not TLS; the native wire that is spoken there is sealed without it\n"
        );
    }
    text += &format!("fingerprint: {}\n", running.gateway.fingerprint());
    text += &match &running.announcer {
        Some(Ok(announcer)) => format!(
            "announced on the network as {}, where nodes find it; --no-announce turns that off\n",
            safe(announcer.name())
        ),
        Some(Err(why)) => format!("warning: {}\n", safe(&why.to_string())),
        None => String::new(),
    };
    text += &companions(running, data);
    match running.gateway.pairing_status().await {
        Ok(status) => text += &pairing(&status, data),
        Err(error) => text += &format!("warning: how pairing stands is not known: {error}\n"),
    }
    text + &format!("approve nodes with: {}\n", Next::ApproveOnly.on(data))
}

/// Returns the address that setup codes give to companions.
fn companions(running: &Running, data: &DataPlace) -> String {
    match &running.companions {
        Ok((url, source)) => {
            format!(
                "companions: {} ({source}); bring one with: {}\n",
                safe(url),
                Next::Invite.on(data)
            )
        }
        Err(NotResolved::OnlyLoopback) => format!(
            "companions: none reach this gateway from other machines; name where with --public-url, or listen on the network with --listen 0.0.0.0:{}\n",
            running.address.port()
        ),
        Err(why) => {
            format!("warning: companions do not reach this gateway: {}\n", safe(&why.to_string()))
        }
    }
}

fn pairing(status: &PairingStatus, data: &DataPlace) -> String {
    let open = || Next::OpenPairing.on(data);
    match (status.locked, status.open, status.closes) {
        (true, _, _) => format!(
            "warning: pairing is locked: too many wrong PINs were tried, and starting anew does not change that; open it again with: {}\n",
            open()
        ),
        (false, true, Some(closes)) => {
            format!("pairing is open for {}; nodes that ask are shown here with their PINs\n", left(closes.as_secs()))
        }
        (false, true, None) => {
            "pairing is open as long as the gateway runs; nodes that ask are shown here with their PINs\n".to_owned()
        }
        (false, false, _) => format!("pairing by PIN is closed; open it with: {}\n", open()),
    }
}
