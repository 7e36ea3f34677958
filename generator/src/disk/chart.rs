//! Charts and files of values that stand anywhere: what a command line names, not a repository.
//!
//! Helm follows every link; here one that leads out of the chart is refused, so that a chart is all that it renders from. What
//! `.helmignore` leaves out is not read at all. Knows no template.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{At, DEPTH_MAX, DiskError, FILE_BYTES_MAX};
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::helm::{self, IgnoreRules};
use crate::source::SourceTree;

/// Largest packed chart; what is in it has limits of its own.
pub const PACKED_BYTES_MAX: u64 = 100 << 20;

/// A chart as it lies on the disk.
#[derive(Debug)]
pub struct ChartFiles {
    /// Its files, below `folder`.
    pub tree: SourceTree,
    /// What the chart is called in messages.
    pub folder: String,
    /// Whether it was packed.
    pub packed: bool,
}

/// Reads the chart in the folder or archive `path`; messages call it `folder`.
///
/// # Errors
/// Everything that is not let in.
pub fn read_chart(path: &Path, folder: &str) -> Result<ChartFiles, Diagnostics> {
    let place = || Place::file(folder);
    let Ok(real) = fs::canonicalize(path) else {
        let hint = "CHART is a folder or a packed chart (.tgz) on this disk: nothing is downloaded";
        let message = format!("path \"{}\" not found", path.display());
        return Err(Diagnostic::error("chart-missing", message).hint(hint).into());
    };
    if real.is_dir() {
        // A file that is no list of rules is reported by who reads the chart.
        let text = fs::read(real.join(".helmignore")).unwrap_or_default();
        let rules = IgnoreRules::parse(&String::from_utf8_lossy(&text)).ok();
        let mut walk = Walk { root: &real, folder, rules, tree: SourceTree::default(), wrong: Diagnostics::new() };
        walk.folder("", &real, 1);
        return if walk.wrong.is_empty() {
            Ok(ChartFiles { tree: walk.tree, folder: folder.to_owned(), packed: false })
        } else {
            Err(walk.wrong)
        };
    }
    let content =
        read_file(&real, PACKED_BYTES_MAX).map_err(|message| Diagnostic::error("bad-archive", message).at(place()))?;
    if !content.starts_with(b"\x1f\x8b\x08") {
        let what = if real.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") {
            "seems to be a YAML file, but expected a gzipped archive"
        } else {
            "does not appear to be a gzipped archive"
        };
        let message = format!("file '{}' {what}", path.display());
        return Err(Diagnostic::error("bad-archive", message).into());
    }
    let files = helm::unpack(&content).map_err(|error| {
        Diagnostic::error("bad-archive", format!("unable to load chart archive: {error}")).at(place())
    })?;
    let tree = files.into_iter().map(|(path, content)| (format!("{folder}/{path}"), content)).collect();
    Ok(ChartFiles { tree, folder: folder.to_owned(), packed: true })
}

struct Walk<'w> {
    root: &'w Path,
    folder: &'w str,
    rules: Option<IgnoreRules>,
    tree: SourceTree,
    wrong: Diagnostics,
}

impl Walk<'_> {
    fn refuse(&mut self, path: &str, code: &'static str, message: impl Into<String>) {
        let place =
            Place::file(if path.is_empty() { self.folder.to_owned() } else { format!("{}/{path}", self.folder) });
        self.wrong.push(Diagnostic::error(code, message).at(place));
    }

    fn folder(&mut self, path: &str, real: &Path, depth: usize) {
        if depth > DEPTH_MAX {
            return self.refuse(path, "too-deep", format!("the folder is more than {DEPTH_MAX} levels deep"));
        }
        let entries = fs::read_dir(real).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.refuse(path, "unreadable", format!("cannot list the folder: {error}")),
        };
        for entry in entries {
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| !name.contains(char::is_control)) else {
                self.refuse(path, "bad-file-name", "a name in this folder is not plain UTF-8 text");
                continue;
            };
            let below = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            self.entry(&below, &entry.path(), depth + 1);
        }
    }

    /// Reads what stands at `real` under the name `path`, which may differ where links were followed.
    fn entry(&mut self, path: &str, real: &Path, depth: usize) {
        let Ok(target) = fs::canonicalize(real) else {
            if !self.is_ignored(path, false) {
                self.refuse(path, "bad-link", "the link leads nowhere");
            }
            return;
        };
        let is_folder = target.is_dir();
        if self.is_ignored(path, is_folder) {
            return;
        }
        if !target.starts_with(self.root) {
            return self.refuse(path, "bad-link", "the link leads out of the chart");
        }
        if is_folder {
            if real
                .parent()
                .and_then(|parent| fs::canonicalize(parent).ok())
                .is_some_and(|parent| parent.starts_with(&target))
            {
                return self.refuse(path, "bad-link", "the link leads to a folder that contains it");
            }
            return self.folder(path, &target, depth);
        }
        match read_file(&target, FILE_BYTES_MAX) {
            Ok(content) => self.tree.insert(format!("{}/{path}", self.folder), content),
            Err(message) => self.refuse(path, "unreadable", message),
        }
    }

    fn is_ignored(&self, path: &str, is_folder: bool) -> bool {
        self.rules.as_ref().is_some_and(|rules| if is_folder { rules.ignore_folder(path) } else { rules.ignore(path) })
    }
}

/// Reads a file.
///
/// # Errors
/// Why it was not read.
pub fn read_file(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let named = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => format!("open {}: no such file or directory", path.display()),
        _ => format!("cannot read {}: {error}", path.display()),
    };
    let metadata = fs::metadata(path).map_err(named)?;
    if metadata.is_dir() {
        return Err(format!("read {}: is a directory", path.display()));
    }
    if !metadata.is_file() {
        return Err(format!("{} is not a regular file", path.display()));
    }
    let mut content = Vec::new();
    let file = File::open(path).map_err(named)?;
    file.take(bytes_max + 1).read_to_end(&mut content).map_err(named)?;
    if u64::try_from(content.len()).is_ok_and(|length| length > bytes_max) {
        return Err(format!("{} is larger than the maximum file size {bytes_max}", path.display()));
    }
    Ok(content)
}

/// Returns the last name of a path, links followed.
pub fn real_name(path: &Path) -> Option<String> {
    Some(fs::canonicalize(path).ok()?.file_name()?.to_string_lossy().into_owned())
}

/// Writes files, each in the place of one that is there.
///
/// # Errors
/// [`DiskError::Io`]; files written before stay.
pub fn write_files(files: &BTreeMap<PathBuf, String>) -> Result<(), DiskError> {
    for (path, text) in files {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).at("make", folder)?;
        }
        fs::write(path, text).at("write", path)?;
    }
    Ok(())
}
