//! Text for people that peers may send: bounded, and without characters that move a cursor or
//! reorder a line.

use crate::limits::{LABEL_BYTES, LABEL_CHARS};
use crate::serial::serial_text;

/// A name or a room: 1 to 64 characters, none of them a control character or one that changes the
/// direction or the line of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Label<'b>(&'b str);

impl<'b> Label<'b> {
    /// The label of a device that has none: `unknown`.
    pub const UNKNOWN: Label<'static> = Label("unknown");

    /// Returns `true` for control characters, line and paragraph separators, bidirectional controls
    /// and invisible characters, which can make one text look like another. The joiners U+200C and
    /// U+200D are allowed, because scripts and emoji need them.
    #[must_use]
    pub fn forbids(c: char) -> bool {
        c.is_control()
            || matches!(c,
                '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    }

    /// Checks a text. Empty or blank text becomes [`UNKNOWN`](Self::UNKNOWN); the result is `None`
    /// if the text is too long or holds a [forbidden](Self::forbids) character.
    #[must_use]
    pub fn parse(text: &'b str) -> Option<Self> {
        // Byte length first: it bounds the walk over the characters.
        if text.len() > LABEL_BYTES {
            return None;
        }
        // One walk with no table of Unicode, which a device would have to hold in flash.
        let (mut characters, mut blank) = (0usize, true);
        for c in text.chars() {
            if Label::forbids(c) {
                return None;
            }
            characters = characters.saturating_add(1);
            blank &= is_blank(c);
        }
        match (blank, characters <= LABEL_CHARS) {
            (true, _) => Some(Label::UNKNOWN),
            (false, true) => Some(Self(text)),
            (false, false) => None,
        }
    }

    /// Returns the longest displayable beginning of a text from another system. It ends before the
    /// 65th character or the first forbidden one; `None` if nothing but white space is left.
    #[must_use]
    pub fn beginning(text: &'b str) -> Option<Self> {
        let shown = text.char_indices().take(LABEL_CHARS).take_while(|(_, c)| !Label::forbids(*c));
        let end = shown.last().map_or(0, |(at, c)| at.saturating_add(c.len_utf8()));
        let beginning = text.get(..end)?;
        (!beginning.trim().is_empty()).then_some(Self(beginning))
    }

    /// Returns the text.
    #[must_use]
    pub const fn as_str(&self) -> &'b str {
        self.0
    }
}

/// Returns `true` for the white space that a label may hold; the rest of it is
/// [forbidden](Label::forbids).
fn is_blank(c: char) -> bool {
    matches!(
        c,
        ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}

// `Label::parse` turns blank text into `unknown`; a format holds it only as written out.
serial_text!(Label, |text| Label::parse(text).filter(|label| label.as_str() == text), as_str);

impl core::fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.0)
    }
}

/// A [`Label`] that owns its text.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(heapless::String<LABEL_BYTES>);

impl Name {
    /// Borrows the text as a label.
    #[must_use]
    pub fn label(&self) -> Label<'_> {
        Label(&self.0)
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Label<'_>> for Name {
    fn from(label: Label<'_>) -> Self {
        let mut text = heapless::String::new();
        // A label is at most LABEL_BYTES long, so this cannot fail.
        let _ = text.push_str(label.0);
        Self(text)
    }
}

impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::fmt::Debug for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Name {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=str}", self.as_str());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    #[test]
    fn a_longer_text_is_shown_up_to_the_bound_and_never_cut_within_a_character() {
        let wide: std::string::String = core::iter::repeat_n('𐍈', 65).collect();
        let shown = Label::beginning(&wide).unwrap();
        assert_eq!(shown.as_str().chars().count(), LABEL_CHARS);
        assert_eq!(Label::parse(shown.as_str()), Some(shown));
        assert_eq!(
            Label::beginning("Ana's phone\u{202e}x").map(|label| label.0),
            Some("Ana's phone")
        );
        assert_eq!(Label::beginning("Küche").map(|label| label.0), Some("Küche"));
        for nothing in ["", "  ", "\nAna", " \u{7}"] {
            assert_eq!(Label::beginning(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn every_white_space_that_is_allowed_makes_a_blank_label() {
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let allowed = !Label::forbids(c);
            assert_eq!(allowed && c.is_whitespace(), allowed && is_blank(c), "{c:?}");
        }
        assert_eq!(Label::parse("\u{3000} \u{a0}"), Some(Label::UNKNOWN));
    }

    #[test]
    fn sixty_four_characters_of_any_script_fit() {
        let longest: String = core::iter::repeat_n('𐍈', 64).collect();
        assert_eq!(Label::parse(&longest).unwrap().as_str(), longest);
        assert_eq!(Name::from(Label::parse(&longest).unwrap()).as_str(), longest);
        let longer: String = core::iter::repeat_n('a', 65).collect();
        assert_eq!(Label::parse(&longer), None);
    }

    #[test]
    fn an_empty_name_is_unknown() {
        assert_eq!(Label::parse("").unwrap().as_str(), "unknown");
        assert_eq!(Label::parse("  ").unwrap().as_str(), "unknown");
    }

    #[test]
    fn characters_that_fool_a_terminal_are_refused() {
        for bad in [
            "\u{1b}[2J",
            "a\nb",
            "\u{7f}",
            "\u{9b}1m",
            "\u{202e}txt",
            "a\u{2066}b",
            "\u{2028}",
            "a\u{200b}b",
            "\u{61c}",
        ] {
            assert_eq!(Label::parse(bad), None, "{bad:?}");
        }
    }
}
