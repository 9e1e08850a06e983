//! The country whose rules hold for a radio.

use core::fmt;

/// The assigned codes of ISO 3166-1 alpha-2, one behind the other.
const CODES: &str = "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCD\
      CFCGCHCICKCLCMCNCOCRCUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGF\
      GGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJPKEKGKHKIKMKN\
      KPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNA\
      NCNENFNGNINLNONPNRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSI\
      SJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTLTMTNTOTRTTTVTWTZUAUGUMUSUYUZVAVCVEVGVI\
      VNVUWFWSYEYTZAZMZW";

/// A country, by its code of ISO 3166-1 alpha-2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Country([u8; 2]);

impl Country {
    /// Reads a code, such as `DE` or `de`; `None` if it is not assigned to a country.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let &[first, second] = text.as_bytes() else { return None };
        let code = [first.to_ascii_uppercase(), second.to_ascii_uppercase()];
        CODES.as_bytes().chunks_exact(2).any(|known| known == code).then_some(Self(code))
    }

    /// Returns the code, in capital letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only two letters of ASCII are ever parsed.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_one_of_249_assigned_codes_in_letters_of_either_case() {
        for (text, code) in [("DE", "DE"), ("de", "DE"), ("zW", "ZW"), ("AD", "AD")] {
            assert_eq!(Country::parse(text).unwrap().as_str(), code);
        }
        // Two neighbours in the list make no third code, and a line of a file stays one.
        let none = ["", "D", "DEU", "EA", "XX", "ZZ", "00", "D\n", "D=", "\u{e4}", "\u{212a}Y"];
        for text in none {
            assert_eq!(Country::parse(text), None, "{text:?}");
        }
        let letters = || b'A'..=b'Z';
        let pairs = letters().flat_map(|a| letters().map(move |b| [a, b]));
        let known =
            pairs.filter(|pair| Country::parse(core::str::from_utf8(pair).unwrap()).is_some());
        assert_eq!(known.count(), 249);
    }
}
