//! Analysis of ELF images: sizes, code by crate, and panic locations.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;

use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, SectionFlags, SectionKind, SymbolKind, elf,
};

/// A section that goes to flash: its address and its bytes.
struct LoadedSection {
    address: u64,
    bytes: Vec<u8>,
}

/// An analyzed image.
pub struct Elf {
    /// Bytes of flash: code, constants, and initial values of variables.
    pub flash: u64,
    /// Bytes of static RAM.
    pub ram: u64,
    loaded: Vec<LoadedSection>,
    /// Name and size of each function, in bytes.
    functions: Vec<(String, u64)>,
}

impl Elf {
    pub fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let file = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let object = object::File::parse(&*file)?;
        let mut elf = Self { flash: 0, ram: 0, loaded: Vec::new(), functions: Vec::new() };
        for section in object.sections() {
            let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
            if sh_flags & u64::from(elf::SHF_ALLOC) == 0 {
                continue;
            }
            // Uninitialized data takes RAM only.
            let kept =
                section.kind() != SectionKind::UninitializedData && !section.data()?.is_empty();
            if kept {
                elf.flash += section.size();
                elf.loaded.push(LoadedSection {
                    address: section.address(),
                    bytes: section.data()?.to_vec(),
                });
            }
            if sh_flags & u64::from(elf::SHF_WRITE) != 0 {
                elf.ram += section.size();
            }
        }
        let functions = object
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0);
        // Identical functions are merged: one address has several names.
        let by_address: BTreeMap<u64, _> =
            functions.map(|symbol| (symbol.address(), symbol)).collect();
        for symbol in by_address.values() {
            elf.functions
                .push((format!("{:#}", rustc_demangle::demangle(symbol.name()?)), symbol.size()));
        }
        Ok(elf)
    }

    /// Returns the bytes of code that support the compiler: copying, filling, division. An image has
    /// them once, whoever needs them.
    pub fn support(&self) -> u64 {
        let marks = ["compiler_builtins::", "__aeabi_", "mem"];
        let is_support = |name: &str| marks.iter().any(|mark| name.starts_with(mark));
        self.functions.iter().filter(|(name, _)| is_support(name)).map(|(_, size)| size).sum()
    }

    /// Returns the bytes of code by crate, largest first.
    pub fn code_by_crate(&self) -> Vec<(String, u64)> {
        let mut sizes = BTreeMap::<String, u64>::new();
        for (name, size) in &self.functions {
            *sizes.entry(crate_of(name)).or_default() += size;
        }
        let mut sizes: Vec<_> = sizes.into_iter().collect();
        sizes.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        sizes
    }

    /// Returns every source location that a panic of this image can report: each has a record
    /// (text, line, column) among the constants.
    pub fn panic_places(&self) -> BTreeSet<SourceLocation> {
        let mut places = BTreeSet::new();
        for section in &self.loaded {
            for record in section.bytes.windows(16).step_by(4) {
                let word = |at: usize| {
                    u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]])
                };
                let (line, column) = (word(8), word(12));
                // Other constants may look like a record, so implausible ones are skipped.
                if !(1..100_000).contains(&line) || !(1..1_000).contains(&column) || word(4) > 300 {
                    continue;
                }
                if let Some(file) =
                    self.text(word(0).into(), word(4) as usize).filter(|file| file.ends_with(".rs"))
                {
                    places.insert(SourceLocation {
                        file: file.to_owned(),
                        line: line as usize,
                        column: column as usize,
                    });
                }
            }
        }
        places
    }

    fn text(&self, address: u64, length: usize) -> Option<&str> {
        let section = self
            .loaded
            .iter()
            .find(|s| (s.address..s.address + s.bytes.len() as u64).contains(&address))?;
        let start = (address - section.address) as usize;
        std::str::from_utf8(section.bytes.get(start..start + length)?).ok()
    }
}

/// Returns the first crate that occurs in a function's name: the one that wrote it, or the one of
/// the type it was written for.
pub fn crate_of(name: &str) -> String {
    let name = name.trim_start_matches(['<', '&', '*', '(', '[', ' ']);
    let word: String = name
        .trim_start_matches("mut ")
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    match name.contains("::") {
        true => word,
        false => "(no crate: runtime and compiler support)".to_owned(),
    }
}

/// A location in the source.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceLocation {
    pub file: String,
    line: usize,
    column: usize,
}

impl SourceLocation {
    /// Returns `true` if this is the body of an async function: the compiler makes it panic when it
    /// is polled after its end, which no executor does. Relative paths start at `firmware`.
    pub fn is_async_body(&self, firmware: &Path) -> bool {
        let source = std::fs::read_to_string(firmware.join(&self.file)).unwrap_or_default();
        let line = source.lines().nth(self.line - 1).unwrap_or_default();
        let here = line.chars().nth(self.column - 1);
        here == Some('{')
            || line.chars().skip(self.column - 1).collect::<String>().starts_with("async")
    }
}

impl std::fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let marks = ["/library/", "/registry/src/", "/adapters/"];
        let short = marks
            .iter()
            .find_map(|mark| self.file.split_once(mark).map(|(_, rest)| rest))
            .unwrap_or(&self.file);
        write!(f, "{short}:{}", self.line)
    }
}
