//! Files that people write for `syncd`: YAML, bounded, with a place for every mistake in it.
//!
//! Knows not what is in them. Invariant: nothing is parsed of a text that is too long.

use manifest::yaml;
use serde_json::Value;

/// Bytes of a file.
const BYTES_MAX: usize = 1 << 20;

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum YamlFileError {
    /// Too long.
    #[error("{subject} {bytes} bytes; the limit is {BYTES_MAX}")]
    TooLarge {
        /// What has so many: `the file has`.
        subject: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// Not YAML.
    #[error("line {line}, column {column}: {message}")]
    Yaml {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
}

/// Reads a file: its documents. `subject` begins the sentence about one that is too long.
///
/// # Errors
/// See [`YamlFileError`].
pub fn read(text: &str, subject: &'static str) -> Result<Vec<Value>, YamlFileError> {
    if text.len() > BYTES_MAX {
        return Err(YamlFileError::TooLarge { subject, bytes: text.len() });
    }
    let documents = yaml::read(text, &yaml::Settings::default()).map_err(|error| YamlFileError::Yaml {
        line: error.at.line,
        column: error.at.column,
        message: error.message,
    })?;
    Ok(documents.into_iter().map(|document| document.value).collect())
}
