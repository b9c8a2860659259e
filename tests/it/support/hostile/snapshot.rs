//! A snapshot that was pushed honestly and is then made to lie: its manifest fits what is put in place of its files.

use std::fs;
use std::path::{Path, PathBuf};

use envsyncd::archive::manifest::{File, Manifest};

/// A snapshot in a directory.
pub(crate) struct Snapshot {
    folder: PathBuf,
    pub(crate) manifest: Manifest,
}

impl Snapshot {
    /// The only one in an archive.
    pub(crate) fn of(archive: &Path) -> Self {
        let mut folders = fs::read_dir(archive).expect("an archive").map(|entry| {
            let entry = entry.expect("an entry");
            entry.path()
        });
        let folder = folders
            .find(|path| path.join("manifest.json").exists())
            .expect("a snapshot");
        let json = fs::read(folder.join("manifest.json")).expect("a manifest");
        Self {
            folder,
            manifest: Manifest::parse(&json).expect("an honest manifest"),
        }
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its name.
    pub(crate) fn name(&self) -> String {
        let name = self.folder.file_name().expect("a name");
        name.to_str().expect("text").to_owned()
    }

    /// Puts this in place of the definitions, in blocks of this length.
    pub(crate) fn definitions(&mut self, content: &[u8], block: usize) -> PathBuf {
        let file = self
            .manifest
            .definitions
            .iter_mut()
            .find(|file| file.path.starts_with("definitions/envsyncd.json"))
            .expect("definitions");
        replace(&self.folder, file, content, block)
    }

    /// Puts this in place of the first table's rows.
    pub(crate) fn rows(&mut self, content: &[u8]) -> PathBuf {
        let file = &mut self.manifest.parts[0].files[0];
        replace(&self.folder, file, content, 4 << 20)
    }

    /// Writes the manifest as it is now.
    pub(crate) fn write(&self) {
        let json = self.manifest.to_json().expect("JSON");
        fs::write(self.folder.join("manifest.json"), json).expect("a file");
    }
}

fn replace(folder: &Path, file: &mut File, content: &[u8], block: usize) -> PathBuf {
    file.size = content.len() as u64;
    file.block = block as u64;
    file.blocks = content
        .chunks(block)
        .map(|block| blake3::hash(block).to_hex().to_string())
        .collect();
    let path = folder.join(&file.path);
    fs::write(&path, content).expect("a file");
    path
}

/// So many zeros as one frame of Zstandard, with a window of so many bits.
pub(crate) fn zeros(length: u64, window_log: u32) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("an encoder");
    encoder.window_log(window_log).expect("a window");
    encoder.include_contentsize(false).expect("a frame");
    std::io::copy(
        &mut std::io::Read::take(std::io::repeat(0), length),
        &mut encoder,
    )
    .expect("memory");
    encoder.finish().expect("a frame")
}
