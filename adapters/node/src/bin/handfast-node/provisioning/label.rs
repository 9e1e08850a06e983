//! `handfast-node label`

use handfast_node::provisioning::{NodeInfo, NodeLabel};
use serde_json::json;
use zeroize::Zeroizing;

use crate::Failure;
use crate::args::provision::LabelArgs;

/// Columns of a QR on a terminal. That of a label is narrower.
const COLUMNS: usize = 80;

pub(crate) fn label(args: &LabelArgs) -> Result<(), Failure> {
    let label = NodeLabel::of(args.state.dir()?.path())?;
    let info = NodeInfo::of_this_machine(&args.prefix);
    let ssid = info.access_point();
    let wifi = label.wifi(ssid);
    if let Some(path) = &args.qr {
        handfast_qr::write_file(path, &wifi)?;
    }
    let (proof, passphrase) = (label.proof(), label.passphrase());
    let text = match (args.json, &args.qr) {
        (true, _) => {
            let shown = json!({
                "access_point": ssid, "passphrase": passphrase, "wifi_qr": *wifi, "proof": *proof,
            });
            Zeroizing::new(format!("{shown}\n"))
        }
        (false, Some(_)) => Zeroizing::new(facts(ssid, passphrase, &proof)),
        (false, None) => {
            let drawn = Zeroizing::new(handfast_qr::render_within(&wifi, args.invert, COLUMNS)?);
            Zeroizing::new(format!("{}{}", *drawn, facts(ssid, passphrase, &proof)))
        }
    };
    crate::put(&text)
}

fn facts(ssid: &str, passphrase: &str, proof: &str) -> String {
    format!("Wi-Fi     {ssid}\nPassword  {passphrase}\nProof     {proof}\n")
}
