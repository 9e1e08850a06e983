//! QR codes as images, without a limit on their width.

use std::fmt::Write;

use png::{BitDepth, ColorType, Encoder};

use super::{Modules, NoQrCode};

/// Default number of pixels per side of a module.
pub const SCALE: u32 = 8;
/// Maximum number of pixels per side of a module.
pub const MOST_SCALE: u32 = 32;

/// Encodes a text as a PNG file: black on white, one bit per pixel, with a quiet zone of four
/// modules, and `scale` pixels per side of a module ([`SCALE`] by default). `scale` is clamped to 1
/// to [`MOST_SCALE`]. The capacity is 2331 bytes at error correction level M, and 2953 at level L.
///
/// # Errors
/// [`NoQrCode`], but never [`NoQrCode::TooWide`].
pub fn png(text: &str, scale: u32) -> Result<Vec<u8>, NoQrCode> {
    let modules = Modules::of(text, usize::MAX)?;
    let scale = scale.clamp(1, MOST_SCALE) as usize;
    let pixels = modules.side() * scale;
    let side = u32::try_from(pixels).map_err(|_| NoQrCode::NotDrawn)?;
    let mut rows = Vec::with_capacity(pixels * pixels.div_ceil(8));
    for y in 0..modules.side() {
        let mut row = vec![0_u8; pixels.div_ceil(8)];
        for (byte, first) in row.iter_mut().zip((0..pixels).step_by(8)) {
            // Bits beyond the end of the row are light, too.
            *byte = (first..first + 8)
                .fold(0, |bits, x| bits << 1 | u8::from(!modules.is_dark(x / scale, y)));
        }
        (0..scale).for_each(|_| rows.extend_from_slice(&row));
    }
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, side, side);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::One);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(&rows)?;
        writer.finish()
    });
    written.map(|()| out).map_err(|_| NoQrCode::NotDrawn)
}

/// Encodes a text as an SVG file: black on white with a quiet zone of four modules, one unit per
/// side of a module and [`SCALE`] pixels per unit. The capacity is that of [`png()`].
///
/// # Errors
/// [`NoQrCode`], but never [`NoQrCode::TooWide`].
pub fn svg(text: &str) -> Result<String, NoQrCode> {
    let modules = Modules::of(text, usize::MAX)?;
    let side = modules.side();
    let pixels = side * SCALE as usize;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{pixels}\" height=\"{pixels}\" viewBox=\"0 0 {side} {side}\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{side}v{side}h-{side}z\"/><path fill=\"#000\" d=\""
    );
    for y in 0..side {
        let mut x = 0;
        while x < side {
            let dark = (x..side).take_while(|x| modules.is_dark(*x, y)).count();
            if dark > 0 {
                write!(out, "M{x} {y}h{dark}v1h-{dark}z").map_err(|_| NoQrCode::NotDrawn)?;
            }
            x += dark + 1;
        }
    }
    out.push_str("\"/></svg>\n");
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::QUIET;
    use crate::scan::{self, Level};

    /// Returns a PNG's pixels, and the number of pixels per side.
    fn pixels(png: &[u8]) -> (usize, Vec<u8>) {
        let mut reader = png::Decoder::new(Cursor::new(png)).read_info().unwrap();
        let mut packed = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut packed).unwrap();
        reader.finish().unwrap();
        assert_eq!(
            (info.color_type, info.bit_depth, info.width),
            (ColorType::Grayscale, BitDepth::One, info.height)
        );
        let side = info.width as usize;
        let bit = |x: usize, y: usize| packed[y * info.line_size + x / 8] >> (7 - x % 8) & 1;
        (side, (0..side * side).map(|at| bit(at % side, at / side) * 255).collect())
    }

    /// Draws the paths of an SVG, which are rectangles, with one pixel per unit.
    fn drawn(svg: &str) -> (usize, Vec<u8>) {
        let attribute = |element: &str, name: &str| {
            let start = element.find(&format!(" {name}=\"")).unwrap_or_else(|| panic!("{name}"))
                + name.len()
                + 3;
            element[start..].split('"').next().unwrap().to_owned()
        };
        let elements: Vec<&str> = svg
            .trim_end()
            .strip_prefix('<')
            .unwrap()
            .strip_suffix('>')
            .unwrap()
            .split("><")
            .collect();
        let [head, paths @ .., "/svg"] = &elements[..] else { panic!("{elements:?}") };
        assert_eq!(attribute(head, "shape-rendering"), "crispEdges");
        let view: Vec<usize> =
            attribute(head, "viewBox").split(' ').map(|n| n.parse().unwrap()).collect();
        let side = view[2];
        assert_eq!(view, [0, 0, side, side]);
        assert_eq!(attribute(head, "width"), (side * SCALE as usize).to_string());
        assert_eq!(attribute(head, "height"), attribute(head, "width"));
        // Unpainted pixels show the background.
        let mut out = vec![128; side * side];
        for path in paths {
            let color = match attribute(path, "fill").as_str() {
                "#fff" => 255,
                "#000" => 0,
                other => panic!("{other}"),
            };
            for rectangle in attribute(path, "d").split_terminator('z') {
                let numbers: Vec<i64> = rectangle
                    .split(['M', ' ', 'h', 'v'])
                    .skip(1)
                    .map(|n| n.parse().unwrap())
                    .collect();
                let [x, y, right, down, left] = numbers[..] else { panic!("{rectangle}") };
                assert_eq!(
                    (rectangle.to_owned(), left),
                    (format!("M{x} {y}h{right}v{down}h{left}"), -right)
                );
                for (x, y) in (y..y + down).flat_map(|y| (x..x + right).map(move |x| (x, y))) {
                    out[y as usize * side + x as usize] = color;
                }
            }
        }
        assert!(out.iter().all(|pixel| *pixel != 128));
        (side, out)
    }

    fn photo((side, pixels): &(usize, Vec<u8>)) -> (Level, String) {
        scan::photo(*side, *side, |x, y| pixels[y * side + x])
    }

    #[test]
    fn an_image_is_scanned_as_the_text() {
        for text in [
            "x",
            "grüße",
            "HANDFAST:1?A=WS://PI.LOCAL:8765",
            &scan::payload(350),
            &scan::payload(520),
            &scan::payload(820),
        ] {
            for scale in [1, 3, SCALE] {
                assert_eq!(
                    photo(&pixels(&png(text, scale).unwrap())),
                    (Level::M, text.to_owned()),
                    "{scale}"
                );
            }
            assert_eq!(photo(&drawn(&svg(text).unwrap())), (Level::M, text.to_owned()));
        }
    }

    #[test]
    fn the_largest_code_holds_as_much_as_its_documentation_says() {
        for (length, level, modules) in
            [(2331, Level::M, 177), (2332, Level::L, 161), (2953, Level::L, 177)]
        {
            let text = scan::payload(length);
            let (side, of_png) = pixels(&png(&text, 1).unwrap());
            // The modules are read directly: a photograph of so large a code would test the reader.
            let inner = side - 2 * QUIET;
            assert_eq!((inner, drawn(&svg(&text).unwrap())), (modules, (side, of_png.clone())));
            let read = scan::modules(inner, |x, y| of_png[(y + QUIET) * side + x + QUIET] == 0);
            assert_eq!(read, (level, text));
        }
        for length in [2954, 10_000] {
            let text = scan::payload(length);
            assert_eq!(
                (png(&text, 1), svg(&text)),
                (Err(NoQrCode::TooLong), Err(NoQrCode::TooLong))
            );
        }
    }

    #[test]
    fn a_scale_is_bounded_and_the_quiet_zone_is_four_modules_on_every_side() {
        for (scale, taken) in [(0, 1), (1, 1), (SCALE, 8), (MOST_SCALE, 32), (u32::MAX, 32)] {
            let (side, pixels) = pixels(&png("x", scale).unwrap());
            assert_eq!(side, (21 + 2 * QUIET) * taken);
            let quiet = |at: usize| at < QUIET * taken || at >= side - QUIET * taken;
            for (at, pixel) in pixels.iter().enumerate() {
                assert!(*pixel == 255 || !(quiet(at % side) || quiet(at / side)), "{at}");
            }
            // The corner of a finder pattern is dark.
            assert_eq!(pixels[QUIET * taken * (side + 1)], 0);
        }
    }
}
