//! The body that moves a provisioned node to another network.

use super::body::Reader;
use super::{BodyDefect, Country, SecretText, Ssid};
use crate::limits::{PASSPHRASE_BYTES, SSID_BYTES};

/// The request that gives a provisioned node another network. All else stays as it is.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct NetworkRequest<'b> {
    /// The network to join.
    pub ssid: Ssid,
    /// The network's passphrase; empty for an open network.
    pub passphrase: SecretText<'b>,
    /// The country whose rules hold for the radio.
    pub country: Option<Country>,
}

impl<'b> NetworkRequest<'b> {
    const FIELDS: [&'static str; 3] = ["wifi_ssid", "wifi_password", "wifi_country"];

    /// Reads a body, as [`ProvisionRequest::read`](super::ProvisionRequest::read) does.
    ///
    /// # Errors
    /// [`BodyDefect`], with every field that is wrong.
    pub fn read(body: &'b str, room: &'b mut [u8]) -> Result<Self, BodyDefect> {
        let mut reader = Reader::new(body, &Self::FIELDS, room)?;
        let [ssid, password, country] = Self::FIELDS;
        let request = Self {
            ssid: Ssid::read(&mut reader, ssid),
            passphrase: SecretText(reader.text(password, PASSPHRASE_BYTES)),
            country: reader.country(country),
        };
        reader.finish(request)
    }
}

impl Ssid {
    /// Reads a field. One that is wrong is noted, and the name that is returned is not used.
    pub(super) fn read<const N: usize>(reader: &mut Reader<'_, N>, name: &'static str) -> Self {
        let text = reader.some(name, SSID_BYTES);
        Self(heapless::String::try_from(text).unwrap_or_default())
    }
}
