//! Packed subcharts: `.tgz` files, unpacked in memory.
//!
//! Source: Helm v4.2.3 `pkg/chart/loader/archive/archive.go`. Invariant: no path leaves the chart, and nothing larger than Helm's
//! limits is unpacked, however small the archive.

use std::io::Read;

use super::package::{FILE_BYTES_MAX, File, without_bom};

/// Bytes of all files of an archive together at most; Helm's own limit.
pub const ARCHIVE_BYTES_MAX: u64 = 100 << 20;

/// Why an archive is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not gzip, not tar, or cut short.
    #[error("not a readable archive: {0}")]
    Unreadable(#[from] std::io::Error),
    /// A file in it is not allowed; in Helm's words.
    #[error("{0}")]
    Refused(String),
}

fn refused<T>(message: impl Into<String>) -> Result<T, Error> {
    Err(Error::Refused(message.into()))
}

/// Unpacks an archive; the first folder of every path is dropped.
///
/// # Errors
/// [`Error`].
pub(super) fn unpack(content: &[u8]) -> Result<Vec<File>, Error> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(content));
    let mut files = Vec::new();
    let mut left = ARCHIVE_BYTES_MAX;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_pax_global_extensions() || kind.is_pax_local_extensions() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = inner_path(&name)?;
        if entry.size() > left {
            return refused(format!("decompressed chart is larger than the maximum size {ARCHIVE_BYTES_MAX}"));
        }
        if entry.size() > FILE_BYTES_MAX as u64 {
            return refused(format!(
                "decompressed chart file {name:?} is larger than the maximum file size {FILE_BYTES_MAX}"
            ));
        }
        left -= entry.size();
        let mut content = Vec::new();
        entry.by_ref().take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut content)?;
        files.push(File { path, content: without_bom(&content).into() });
    }
    if files.is_empty() {
        return refused("no files in chart archive");
    }
    Ok(files)
}

fn inner_path(name: &str) -> Result<String, Error> {
    let delimiter = if name.contains('\\') { '\\' } else { '/' };
    let (first, rest) = name.split_once(delimiter).unwrap_or((name, ""));
    let path = rest.replace(delimiter, "/");
    if path.starts_with('/') {
        return refused("chart illegally contains absolute paths");
    }
    let path = crate::sprig::clean_path(&path);
    if path == "." {
        return refused(format!("chart illegally contains content outside the base directory: {name:?}"));
    }
    if path.starts_with("..") {
        return refused("chart illegally references parent directory");
    }
    let mut chars = path.chars();
    if chars.next().is_some_and(|c| c.is_ascii_alphabetic()) && chars.as_str().starts_with(":/") {
        return refused("chart contains illegally named files");
    }
    if first == "Chart.yaml" {
        return refused("chart yaml not in base directory");
    }
    Ok(path)
}
