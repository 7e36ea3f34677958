//! Paths, by their text alone. Slashes separate on every system, so the `os` functions are the plain ones.
//!
//! Source: Go 1.26 `path`.

use super::Outcome;
use crate::gotemplate::{Call, FunctionError};
use crate::value::{Str, Value};

/// Returns the last part of a path: `.` for an empty one, `/` for one of slashes only.
pub(crate) fn base_name(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" if path.is_empty() => ".",
        "" => "/",
        path => path.rsplit('/').next().unwrap_or(path),
    }
}

/// Returns the shortest path that means the same: no empty parts, no `.`, and `..` only in front.
pub(crate) fn clean_path(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

fn text(args: &[Value]) -> Result<&Str, FunctionError> {
    match args {
        [Value::String(path)] => Ok(path),
        _ => Err(FunctionError::shape()),
    }
}

/// `base` and `osBase`.
pub(super) fn base(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    Ok(Value::from(base_name(&text(args)?.to_str_lossy())))
}

/// `dir` and `osDir`.
pub(super) fn dir(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let path = text(args)?.to_str_lossy();
    let folder = path.rfind('/').map_or("", |at| &path[..=at]);
    Ok(Value::from(clean_path(folder)))
}

/// `clean` and `osClean`.
pub(super) fn clean(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    Ok(Value::from(clean_path(&text(args)?.to_str_lossy())))
}

/// `ext` and `osExt`.
pub(super) fn ext(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let path = text(args)?.to_str_lossy();
    let name = path.rsplit('/').next().unwrap_or(&path);
    Ok(Value::from(name.rfind('.').map_or("", |at| &name[at..])))
}

/// `isAbs` and `osIsAbs`.
pub(super) fn is_abs(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    Ok(Value::Bool(text(args)?.as_bytes().starts_with(b"/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning() {
        let cases = [
            ("", "."),
            ("a//b/./c/..", "a/b"),
            ("/../a", "/a"),
            ("../../a", "../../a"),
            ("a/..", "."),
            ("/", "/"),
            ("a/../..", ".."),
        ];
        for (path, expected) in cases {
            assert_eq!(clean_path(path), expected, "{path}");
        }
        assert_eq!((base_name(""), base_name("//"), base_name("a/b/")), (".", "/", "b"));
    }
}
