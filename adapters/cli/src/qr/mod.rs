//! QR codes: on a terminal, as PNG and as SVG.

use qrcode::bits::{Bits, encode_auto};
use qrcode::types::QrError;
use qrcode::{Color, EcLevel, QrCode, Version};

mod file;
mod image;
mod terminal;

pub use file::{NotWritten, write_file};
pub use image::{MOST_SCALE, SCALE, png, svg};
pub use terminal::{COLUMNS, render, render_within};

/// Light modules around the code, as many as readers may ask for.
const QUIET: usize = 4;

/// Why a text is not shown as a QR code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoQrCode {
    /// It needs more columns than there are.
    #[error(
        "a QR code of this text would be wider than a terminal of {COLUMNS} columns: carry it over as text, write it to an image file, or name fewer addresses"
    )]
    TooWide,
    /// It is longer than the largest code holds.
    #[error("this text is too long for any QR code: carry it over as text")]
    TooLong,
    /// The encoder fails for a reason that text does not give.
    #[error("the QR code cannot be made: {0}")]
    NotEncoded(QrError),
    /// The image cannot be put together.
    #[error(
        "the image of the QR code cannot be made: carry the text over, or use the other kind of image"
    )]
    NotDrawn,
}

/// The modules of a code with its quiet zone.
struct Modules {
    inner: usize,
    colors: Vec<Color>,
}

impl Modules {
    /// A text as a code of at most `most` modules a side, the quiet zone included: at level M, or
    /// at L where that is too large for M.
    fn of(text: &str, most: usize) -> Result<Self, NoQrCode> {
        let mut too_large = NoQrCode::TooLong;
        for level in [EcLevel::M, EcLevel::L] {
            match encode(text.as_bytes(), level) {
                Ok(bits)
                    if usize::from(bits.version().width().unsigned_abs()) + 2 * QUIET <= most =>
                {
                    let code = QrCode::with_bits(bits, level).map_err(NoQrCode::NotEncoded)?;
                    return Ok(Self { inner: code.width(), colors: code.into_colors() });
                }
                Ok(_) => too_large = NoQrCode::TooWide,
                Err(QrError::DataTooLong) => {}
                Err(error) => return Err(NoQrCode::NotEncoded(error)),
            }
        }
        Err(too_large)
    }

    /// How many modules a side has with the quiet zone.
    const fn side(&self) -> usize {
        self.inner + 2 * QUIET
    }

    /// Whether a module is dark; all around the code none is.
    fn is_dark(&self, x: usize, y: usize) -> bool {
        let inside = x.checked_sub(QUIET).filter(|x| *x < self.inner).zip(y.checked_sub(QUIET));
        inside.and_then(|(x, y)| self.colors.get(y * self.inner + x)) == Some(&Color::Dark)
    }
}

/// The content of the smallest code. The encoder cuts a text into runs of digits, upper case and
/// other bytes, and where runs are short that costs more than it saves: half of the longest setup
/// codes that a terminal has room for would lose their place. Uncut they keep it.
fn encode(text: &[u8], level: EcLevel) -> Result<Bits, QrError> {
    let cut = encode_auto(text, level);
    let smaller = (1..=40).map(Version::Normal).take_while(|version| {
        cut.as_ref().map_or(true, |cut| version.width() < cut.version().width())
    });
    let uncut = smaller.map(Bits::new).find_map(|mut bits| {
        bits.push_byte_data(text).ok()?;
        bits.push_terminator(level).ok()?;
        Some(bits)
    });
    uncut.map_or(cut, Ok)
}

#[cfg(test)]
mod scan;
