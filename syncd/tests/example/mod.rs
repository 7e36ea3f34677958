//! This repository's example, copied and rendered.
//!
//! Invariant: the copy is all that is written to.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Returns a path of this repository.
pub fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join(path)
}

/// Copies a file or a folder of this repository to the same place below `folder`.
pub fn copy(path: &str, folder: &Path) {
    let (from, to) = (project(path), folder.join(path));
    if from.is_file() {
        std::fs::create_dir_all(to.parent().expect("a parent")).expect("a folder");
        std::fs::copy(from, to).expect("a file");
        return;
    }
    for entry in std::fs::read_dir(from).expect("a folder") {
        let name = entry.expect("readable").file_name();
        copy(&format!("{path}/{}", name.to_str().expect("UTF-8")), folder);
    }
}

/// Runs `generator render` over `folder`.
pub fn render(folder: &Path) {
    let arguments = ["generator", "--root"].map(OsString::from).into_iter();
    let arguments = arguments.chain([folder.as_os_str().to_owned(), OsString::from("render")]);
    let exit = generator::cli::run(arguments).expect("it runs");
    assert_eq!(exit, generator::report::Exit::Ok);
}
