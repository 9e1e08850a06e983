//! QR codes on a terminal, as PNG and as SVG.

use qrcode::bits::{Bits, encode_auto};
use qrcode::types::QrError;
use qrcode::{Color, EcLevel, QrCode, Version};

mod file;
mod image;
mod terminal;

pub use file::{ImageNotWritten, write_file};
pub use image::{MOST_SCALE, SCALE, png, svg};
pub use terminal::{COLUMNS, render, render_within};

/// Width of the quiet zone in modules: the most that readers may require.
const QUIET: usize = 4;

/// The reason for which a text is not shown as a QR code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoQrCode {
    /// The code needs more columns than there are.
    #[error(
        "a QR code of this text would be wider than a terminal of {COLUMNS} columns: carry it over as text, write it to an image file, or name fewer addresses"
    )]
    TooWide,
    /// The text exceeds the capacity of the largest code.
    #[error("this text is too long for any QR code: carry it over as text")]
    TooLong,
    /// The encoder failed for a reason other than the text's length.
    #[error("the QR code cannot be made: {0}")]
    NotEncoded(QrError),
    /// The image could not be encoded.
    #[error(
        "the image of the QR code cannot be made: carry the text over, or use the other kind of image"
    )]
    NotDrawn,
}

/// The modules of a code, with access to its quiet zone.
struct Modules {
    inner: usize,
    colors: Vec<Color>,
}

impl Modules {
    /// Encodes a text as a code of at most `most` modules per side, including the quiet zone: at
    /// level M, or at L if it is too large at M.
    fn of(text: &str, most: usize) -> Result<Self, NoQrCode> {
        let mut too_large = NoQrCode::TooLong;
        // The higher level of correction is tried first.
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

    /// Returns the number of modules per side, including the quiet zone.
    const fn side(&self) -> usize {
        self.inner + 2 * QUIET
    }

    /// Returns `true` for a dark module; the quiet zone is light.
    fn is_dark(&self, x: usize, y: usize) -> bool {
        let inside = x.checked_sub(QUIET).filter(|x| *x < self.inner).zip(y.checked_sub(QUIET));
        inside.and_then(|(x, y)| self.colors.get(y * self.inner + x)) == Some(&Color::Dark)
    }
}

/// Returns the content of the smallest code. The encoder splits a text into segments of digits,
/// upper case and other bytes, and short segments cost more than they save: half of the longest
/// setup codes that fit a terminal would not fit any more. A single byte segment keeps them.
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
