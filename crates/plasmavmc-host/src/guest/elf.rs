//! Reads from an ELF file what the initramfs needs to know: which libraries a program needs, which
//! loader starts it, and which modules a kernel module depends on.
//!
//! Pure, and only for 64-bit little-endian files with section headers, as Debian's are. Never
//! panics, whatever the bytes. The format: System V ABI, chapters 4 and 5; `.modinfo`: the kernel's
//! `include/linux/moduleparam.h`. Tests: below.

/// Why a file cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// The magic, the class or the byte order is another one.
    #[error("it is not a 64-bit little-endian ELF file")]
    Kind,
    /// An offset in it points outside it.
    #[error("it is cut short or damaged")]
    Damaged,
}

/// A file whose sections can be found.
#[derive(Debug)]
pub(super) struct Elf<'a> {
    bytes: &'a [u8],
    sections: Vec<Section>,
}

#[derive(Debug, Clone, Copy)]
struct Section {
    name: usize,
    offset: usize,
    size: usize,
}

/// The first bytes of every file this reads: magic, 64 bits, little endian, version 1.
const IDENT: [u8; 7] = [0x7f, b'E', b'L', b'F', 2, 1, 1];

/// Bytes of a section header.
const SECTION_HEADER: usize = 64;

/// The tag of an entry of `.dynamic` that names a needed library.
const DT_NEEDED: u64 = 1;

impl<'a> Elf<'a> {
    /// Reads the section headers.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, ElfError> {
        if !bytes.starts_with(&IDENT) {
            return Err(ElfError::Kind);
        }
        let table = to_usize(u64_at(bytes, 0x28)?)?;
        let (entry, count) = (usize::from(u16_at(bytes, 0x3a)?), usize::from(u16_at(bytes, 0x3c)?));
        let names_index = usize::from(u16_at(bytes, 0x3e)?);
        if entry != SECTION_HEADER {
            return Err(ElfError::Damaged);
        }
        let mut sections = Vec::new();
        for index in 0..count {
            let at = table.checked_add(index * SECTION_HEADER).ok_or(ElfError::Damaged)?;
            let header = slice(bytes, at, SECTION_HEADER)?;
            sections.push(Section {
                name: to_usize(u64::from(u32_at(header, 0)?))?,
                offset: to_usize(u64_at(header, 0x18)?)?,
                size: to_usize(u64_at(header, 0x20)?)?,
            });
        }
        // Names are resolved once, from offsets into the table of names to offsets into the file.
        if let Some(names) = sections.get(names_index).copied() {
            for section in &mut sections {
                section.name = section.name.checked_add(names.offset).ok_or(ElfError::Damaged)?;
            }
        }
        Ok(Self { bytes, sections })
    }

    /// The bytes of the section `name`; none where there is no such section.
    fn section(&self, name: &str) -> Result<Option<&'a [u8]>, ElfError> {
        for section in &self.sections {
            if string_at(self.bytes, section.name)? == name.as_bytes() {
                return slice(self.bytes, section.offset, section.size).map(Some);
            }
        }
        Ok(None)
    }

    /// The loader that starts the program: an absolute path. None for a library or a static program.
    pub(super) fn interpreter(&self) -> Result<Option<String>, ElfError> {
        let Some(section) = self.section(".interp")? else { return Ok(None) };
        Ok(Some(text(string_at(section, 0)?)))
    }

    /// The libraries it needs, by the names the loader looks for.
    pub(super) fn needed(&self) -> Result<Vec<String>, ElfError> {
        let (Some(dynamic), Some(strings)) = (self.section(".dynamic")?, self.section(".dynstr")?) else {
            return Ok(Vec::new());
        };
        let mut needed = Vec::new();
        for entry in dynamic.chunks_exact(16) {
            if u64_at(entry, 0)? == DT_NEEDED {
                needed.push(text(string_at(strings, to_usize(u64_at(entry, 8)?)?)?));
            }
        }
        Ok(needed)
    }

    /// The kernel modules a module depends on, by name; none for what is not a module.
    pub(super) fn module_depends(&self) -> Result<Vec<String>, ElfError> {
        let Some(info) = self.section(".modinfo")? else { return Ok(Vec::new()) };
        let depends = info.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"depends="));
        let names = depends.unwrap_or_default().split(|byte| *byte == b',');
        Ok(names.filter(|name| !name.is_empty()).map(text).collect())
    }
}

fn slice(bytes: &[u8], at: usize, size: usize) -> Result<&[u8], ElfError> {
    at.checked_add(size).and_then(|end| bytes.get(at..end)).ok_or(ElfError::Damaged)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], ElfError> {
    slice(bytes, at, N)?.try_into().map_err(|_| ElfError::Damaged)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, ElfError> {
    array(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, ElfError> {
    array(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, ElfError> {
    array(bytes, at).map(u64::from_le_bytes)
}

fn to_usize(value: u64) -> Result<usize, ElfError> {
    usize::try_from(value).map_err(|_| ElfError::Damaged)
}

/// The bytes from `at` to the next NUL.
fn string_at(bytes: &[u8], at: usize) -> Result<&[u8], ElfError> {
    let rest = bytes.get(at..).ok_or(ElfError::Damaged)?;
    rest.iter().position(|byte| *byte == 0).map(|end| &rest[..end]).ok_or(ElfError::Damaged)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file with the given sections after its header, and the table of names last.
    fn file_with(sections: &[(&str, &[u8])]) -> Vec<u8> {
        let mut names = vec![0];
        let mut data = Vec::new();
        let mut headers = Vec::new();
        let mut header = |name: usize, offset: usize, size: usize| {
            let mut header = [0; SECTION_HEADER];
            header[..4].copy_from_slice(&u32::try_from(name).unwrap().to_le_bytes());
            header[0x18..0x20].copy_from_slice(&(offset as u64).to_le_bytes());
            header[0x20..0x28].copy_from_slice(&(size as u64).to_le_bytes());
            headers.extend_from_slice(&header);
        };
        for (name, bytes) in sections {
            header(names.len(), 64 + data.len(), bytes.len());
            names.extend_from_slice(name.as_bytes());
            names.push(0);
            data.extend_from_slice(bytes);
        }
        header(0, 64 + data.len(), names.len());
        let mut file = vec![0; 64];
        file[..7].copy_from_slice(&IDENT);
        let table = 64 + data.len() + names.len();
        file[0x28..0x30].copy_from_slice(&(table as u64).to_le_bytes());
        for (at, value) in [(0x3a, SECTION_HEADER), (0x3c, sections.len() + 1), (0x3e, sections.len())] {
            file[at..at + 2].copy_from_slice(&u16::try_from(value).unwrap().to_le_bytes());
        }
        [file, data, names, headers].concat()
    }

    #[test]
    fn a_module_names_what_it_depends_on() {
        let info = b"license=GPL\0depends=virtio,virtio_ring\0name=virtio_blk\0";
        let file = file_with(&[(".text", b"code"), (".modinfo", info)]);
        let elf = Elf::parse(&file).unwrap();
        assert_eq!(elf.module_depends().unwrap(), ["virtio", "virtio_ring"]);
        assert_eq!(elf.needed().unwrap(), [""; 0]);
        let alone = file_with(&[(".modinfo", b"depends=\0")]);
        assert_eq!(Elf::parse(&alone).unwrap().module_depends().unwrap(), [""; 0]);
    }

    #[test]
    fn a_program_names_its_libraries_and_its_loader() {
        let strings = b"\0libz.so.1\0libc.so.6\0";
        let dynamic: Vec<u8> =
            [1_u64, 1, 5, 0, 1, 11, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
        let interp = b"/lib64/ld-linux-x86-64.so.2\0";
        let file = file_with(&[(".interp", interp), (".dynstr", strings), (".dynamic", &dynamic)]);
        let elf = Elf::parse(&file).unwrap();
        assert_eq!(elf.needed().unwrap(), ["libz.so.1", "libc.so.6"]);
        assert_eq!(elf.interpreter().unwrap().as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
    }

    #[test]
    fn this_test_needs_the_c_library() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let needed = Elf::parse(&own).unwrap().needed().unwrap();
        assert!(needed.iter().any(|name| name == "libc.so.6"), "{needed:?}");
    }

    #[test]
    fn other_files_are_refused() {
        assert_eq!(Elf::parse(b"#!/bin/sh\n").unwrap_err(), ElfError::Kind);
        assert_eq!(Elf::parse(&IDENT).unwrap_err(), ElfError::Damaged);
    }

    proptest! {
        #[test]
        fn damaged_files_never_panic(at in 0_usize..400, byte in any::<u8>(), cut in 0_usize..400) {
            let mut file = file_with(&[(".modinfo", b"depends=a,b\0"), (".dynamic", &[1; 32]), (".dynstr", b"x\0")]);
            let index = at % file.len();
            file[index] = byte;
            file.truncate(file.len().saturating_sub(cut % 50));
            if let Ok(elf) = Elf::parse(&file) {
                let _ = (elf.interpreter(), elf.needed(), elf.module_depends());
            }
        }
    }
}
