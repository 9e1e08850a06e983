//! QR codes on a terminal, with two modules per character.

use super::{Modules, NoQrCode};

/// Maximum number of columns of a code with its quiet zone: the width of the narrowest usual
/// terminal. A wrapped line would make the code unreadable.
pub const COLUMNS: usize = 80;

/// Renders a text as lines of half blocks, each with a line end, for a terminal with light
/// characters on a dark background; `invert` is for dark characters on a light one. Upper case
/// needs the fewest modules.
///
/// A screen is neither torn nor soiled, so large modules and the visibility of all lines matter
/// more; error correction of level M still compensates for reflections. In upper case, an
/// invitation with one address takes 45 columns and 23 lines, one with two addresses 49 and 25; the
/// longest has 77 and 39.
///
/// If the code would be wider than [`COLUMNS`], level L is used. The largest code within them is 77
/// columns wide and holds 331 bytes at level M, 425 at level L; text in upper case alone may be
/// half as long again.
///
/// # Errors
/// [`NoQrCode`] with the cause.
pub fn render(text: &str, invert: bool) -> Result<String, NoQrCode> {
    render_within(text, invert, COLUMNS)
}

/// Renders a text like [`render`], for a terminal of `columns` columns. Level L holds 520 bytes in
/// 85 columns, 586 in 89 and 718 in 97.
///
/// # Errors
/// [`NoQrCode`] with the cause.
pub fn render_within(text: &str, invert: bool, columns: usize) -> Result<String, NoQrCode> {
    let modules = Modules::of(text, columns)
        .map_err(|why| if why == NoQrCode::TooLong { NoQrCode::TooWide } else { why })?;
    // On a dark background the light modules are drawn.
    let lit = |x: usize, y: usize| modules.is_dark(x, y) == invert;
    let mut out = String::new();
    for y in (0..modules.side()).step_by(2) {
        // Below the last line the rest of a character is light, too.
        out.extend((0..modules.side()).map(|x| match (lit(x, y), lit(x, y + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        }));
        out.push('\n');
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::QUIET;
    use crate::scan::{self, Level};
    use handfast_core::limits::INVITE_BYTES;
    use handfast_core::wire::invite::Invite;

    const ONE: &str = "handfast:1?a=ws://192.168.1.10:8765&k=AAIS-EM2E-KVTH-PCEZ-VK54-ZXPO&c=K7QF-ABCDEFGHJKLMNPQR";
    const TWO: &str = "handfast:1?a=ws://192.168.1.10:8765&a=tcp://192.168.1.10:7331&k=AAIS-EM2E-KVTH-PCEZ-VK54-ZXPO&c=K7QF-ABCDEFGHJKLMNPQR";

    /// Photographs the picture on a terminal, and reads it with a foreign decoder.
    fn photo(shown: &str, characters: u8, ground: u8, columns: usize) -> (Level, String) {
        let lines: Vec<Vec<char>> = shown.lines().map(|line| line.chars().collect()).collect();
        let (width, height) = (lines[0].len(), lines.len() * 2);
        assert!(width <= columns && lines.iter().all(|line| line.len() == width));
        scan::photo(width, height, |x, y| {
            let set = match lines[y / 2][x] {
                '█' => true,
                '▀' => y % 2 == 0,
                '▄' => y % 2 == 1,
                ' ' => false,
                other => panic!("{other:?} is no half block"),
            };
            if set { characters } else { ground }
        })
    }

    fn width(shown: &str) -> usize {
        shown.lines().next().unwrap().chars().count()
    }

    #[test]
    fn what_is_shown_is_scanned_as_the_text_on_dark_and_on_light_terminals() {
        let upper = TWO.to_ascii_uppercase();
        let longest = "handfast:1?".repeat(28);
        let payloads = [350, 425].map(scan::payload);
        for text in
            ["x", ONE, TWO, &upper, &longest[..INVITE_BYTES], "grüße", &payloads[0], &payloads[1]]
        {
            assert_eq!(photo(&render(text, false).unwrap(), 255, 0, COLUMNS).1, text);
            assert_eq!(photo(&render(text, true).unwrap(), 0, 255, COLUMNS).1, text);
        }
    }

    #[test]
    fn an_invitation_is_as_small_as_its_documentation_says() {
        let columns = |text: &str| width(&render(text, false).unwrap());
        let mut out = [0; INVITE_BYTES];
        for (text, as_it_is, upper) in [(ONE, 45, 45), (TWO, 53, 49)] {
            let dense = Invite::parse(text).unwrap().write_for_qr(&mut out).unwrap().to_owned();
            assert_eq!((columns(text), columns(&dense)), (as_it_is, upper));
            assert_eq!(render(&dense, false).unwrap().lines().count(), upper.div_ceil(2));
        }
        // All characters are of the most expensive kind.
        assert_eq!(columns(&"x".repeat(INVITE_BYTES)), 77);
    }

    #[test]
    fn less_is_mended_only_where_the_columns_leave_no_room_for_more() {
        for (columns, length, level, wide) in [
            (COLUMNS, 331, Level::M, 77),
            (COLUMNS, 332, Level::L, 73),
            (COLUMNS, 425, Level::L, 77),
            (85, 520, Level::L, 85),
            (89, 586, Level::L, 89),
            (97, 718, Level::L, 97),
            (200, 718, Level::M, 113),
        ] {
            let text = scan::payload(length);
            let shown = render_within(&text, false, columns).unwrap();
            assert_eq!(
                (photo(&shown, 255, 0, columns), width(&shown)),
                ((level, text), wide),
                "{length}"
            );
            if level == Level::L && length != 332 {
                let longer = scan::payload(length + 1);
                assert_eq!(
                    render_within(&longer, false, columns),
                    Err(NoQrCode::TooWide),
                    "{length}"
                );
            }
        }
    }

    #[test]
    fn every_setup_code_of_425_characters_finds_its_place() {
        for seed in 1..200 {
            let text = scan::seeded(425, seed);
            assert_eq!(width(&render(&text, false).unwrap()), 77, "{text}");
        }
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
                    assert!(
                        *character == light || !(quiet(x, width) || quiet(2 * y, width)),
                        "{x} {y}"
                    );
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
        assert_eq!(render_within("x", false, 10), Err(NoQrCode::TooWide));
    }
}
