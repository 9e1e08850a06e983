//! The place of TLS to extensions in a build without the feature `tls`.

use std::io;

use tokio::net::TcpStream;

/// A host that is spoken to over TLS, of which there is none.
pub(super) enum HttpsHost {}

impl HttpsHost {
    /// Refuses.
    ///
    /// # Errors
    /// The reason, as part of a sentence.
    pub(super) fn new(_: &str) -> Result<Self, String> {
        Err("needs TLS, and this gateway was built without handfast-server's feature `tls`"
            .to_owned())
    }

    pub(super) async fn connect(&self, _: TcpStream) -> io::Result<TcpStream> {
        match *self {}
    }
}
