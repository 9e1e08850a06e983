//! QR codes on a terminal, two modules to a character.

use qrcode::types::QrError;
use qrcode::{Color, EcLevel, QrCode};

/// Most columns of a code with its quiet zone: what the narrowest usual terminal has. A line that wraps would spoil all of it.
pub const COLUMNS: usize = 80;
/// Light modules around the code, as many as readers may ask for.
const QUIET: usize = 4;

/// Why a text is not shown as a QR code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoQrCode {
    /// It needs more columns than [`COLUMNS`].
    #[error("a QR code of this text would be wider than {COLUMNS} columns: carry it over as text, or name fewer addresses")]
    TooWide,
    /// The encoder fails for a reason that text does not give.
    #[error("the QR code cannot be made: {0}")]
    NotEncoded(QrError),
}

/// A text as lines of half blocks, each ended, for a terminal with light characters on a dark ground; `invert` is for one with dark characters on a
/// light ground. Upper case takes the fewest modules.
///
/// A screen is neither torn nor soiled, so what matters is that modules are large and all lines are seen at once; error correction of level M still mends
/// what a reflection hides. In upper case, an invitation with one address takes 45 columns and 23 lines, one with two addresses 49 and 25; the longest
/// has 77 and 39.
///
/// # Errors
/// [`NoQrCode`].
pub fn render(text: &str, invert: bool) -> Result<String, NoQrCode> {
    let code = encode(text)?;
    let width = code.width();
    let modules = code.into_colors();
    let lit = |x: usize, y: usize| {
        let inside = x.checked_sub(QUIET).filter(|x| *x < width).zip(y.checked_sub(QUIET));
        let color = inside.and_then(|(x, y)| modules.get(y * width + x)).copied();
        // All around it is light, below the last line too, where half a character remains.
        (color.unwrap_or(Color::Light) == Color::Light) != invert
    };
    let mut out = String::new();
    for y in (0..width + 2 * QUIET).step_by(2) {
        out.extend((0..width + 2 * QUIET).map(|x| match (lit(x, y), lit(x, y + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        }));
        out.push('\n');
    }
    Ok(out)
}

fn encode(text: &str) -> Result<QrCode, NoQrCode> {
    match QrCode::with_error_correction_level(text, EcLevel::M) {
        Ok(code) if code.width() + 2 * QUIET <= COLUMNS => Ok(code),
        Ok(_) | Err(QrError::DataTooLong) => Err(NoQrCode::TooWide),
        Err(error) => Err(NoQrCode::NotEncoded(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use handfast_core::limits::INVITE_BYTES;
    use handfast_core::wire::invite::Invite;

    const ONE: &str = "handfast:1?a=ws://192.168.1.10:8765&k=AAIS-EM2E-KVTH-PCEZ-VK54-ZXPO&c=K7QF-ABCDEFGHJKLMNPQR";
    const TWO: &str =
        "handfast:1?a=ws://192.168.1.10:8765&a=tcp://192.168.1.10:7331&k=AAIS-EM2E-KVTH-PCEZ-VK54-ZXPO&c=K7QF-ABCDEFGHJKLMNPQR";

    /// Photographs what a terminal shows, and reads it with a decoder that we did not write.
    fn scan(shown: &str, characters: u8, ground: u8) -> String {
        const SIDE: usize = 4;
        let lines: Vec<Vec<char>> = shown.lines().map(|line| line.chars().collect()).collect();
        let (width, height) = (lines[0].len(), lines.len() * 2);
        assert!(width <= COLUMNS && lines.iter().all(|line| line.len() == width));
        let pixel = |x: usize, y: usize| {
            let (x, y) = (x / SIDE, y / SIDE);
            let set = match lines[y / 2][x] {
                '█' => true,
                '▀' => y % 2 == 0,
                '▄' => y % 2 == 1,
                ' ' => false,
                other => panic!("{other:?} is no half block"),
            };
            if set { characters } else { ground }
        };
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(width * SIDE, height * SIDE, pixel);
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1);
        grids[0].decode().unwrap().1
    }

    #[test]
    fn what_is_shown_is_scanned_as_the_text_on_dark_and_on_light_terminals() {
        let upper = TWO.to_ascii_uppercase();
        let longest = "handfast:1?".repeat(28);
        for text in ["x", ONE, TWO, &upper, &longest[..INVITE_BYTES], "grüße"] {
            assert_eq!(scan(&render(text, false).unwrap(), 255, 0), text);
            assert_eq!(scan(&render(text, true).unwrap(), 0, 255), text);
        }
    }

    #[test]
    fn an_invitation_is_as_small_as_its_documentation_says() {
        let columns = |text: &str| render(text, false).unwrap().lines().next().unwrap().chars().count();
        let mut out = [0; INVITE_BYTES];
        for (text, as_it_is, upper) in [(ONE, 45, 45), (TWO, 53, 49)] {
            let dense = Invite::parse(text).unwrap().write_for_qr(&mut out).unwrap().to_owned();
            assert_eq!((columns(text), columns(&dense)), (as_it_is, upper));
            assert_eq!(render(&dense, false).unwrap().lines().count(), upper.div_ceil(2));
        }
        // Of characters that are as dear as any.
        assert_eq!(columns(&"x".repeat(INVITE_BYTES)), 77);
    }

    #[test]
    fn the_quiet_zone_is_four_modules_wide_on_every_side() {
        for (invert, light) in [(false, '█'), (true, ' ')] {
            let shown = render(ONE, invert).unwrap();
            let lines: Vec<Vec<char>> = shown.lines().map(|line| line.chars().collect()).collect();
            let width = lines[0].len();
            let quiet = |at: usize, end: usize| at < QUIET || at >= end - QUIET;
            for (y, line) in lines.iter().enumerate() {
                for (x, character) in line.iter().enumerate() {
                    assert!(*character == light || !(quiet(x, width) || quiet(2 * y, width)), "{x} {y}");
                }
            }
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_refused_in_words() {
        for length in [500, 3000, 10_000] {
            let error = render(&"x".repeat(length), false).unwrap_err();
            assert_eq!(error, NoQrCode::TooWide);
            assert!(error.to_string().contains("as text"));
        }
    }
}
