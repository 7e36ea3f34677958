//! The name of a release: what may be one, and what a template for one renders to.
//!
//! Source: Helm v4.2.3 `pkg/chart/v2/util/validate_name.go`, `pkg/action/install.go` (`TemplateName`).

use std::sync::Arc;

use super::render;
use crate::diagnostic::Diagnostic;
use crate::gotemplate::{Executor, Options, TemplateSet};
use crate::sprig::Host;
use crate::value::Value;

/// Longest name of a release; Helm's own limit.
pub const RELEASE_NAME_BYTES_MAX: usize = 53;

/// Checks the name of a release as Helm does before it renders.
///
/// # Errors
/// What is wrong with it, in Helm's words.
pub fn check_release_name(name: &str) -> Result<(), String> {
    let is_label = |label: &str| {
        let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.chars().all(is_inner)
    };
    if name.is_empty() {
        return Err("no name provided".to_owned());
    }
    if name.len() > RELEASE_NAME_BYTES_MAX || !name.split('.').all(is_label) {
        let pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
        let most = RELEASE_NAME_BYTES_MAX;
        return Err(format!(
            "invalid release name, must match regex {pattern} and the length must not be longer than {most}"
        ));
    }
    Ok(())
}

/// Renders the template for the name of a release, which sees no data.
///
/// # Errors
/// What is wrong with the template; functions that ask chance, the clock or the environment are refused.
pub fn release_name(template: &str) -> Result<String, Box<Diagnostic>> {
    const NAME: &str = "name-template";
    let nowhere = |_: &str| None;
    let mut set = TemplateSet::new(NAME, render::functions());
    set.parse(NAME, template).map_err(|error| Box::new(error.diagnostic(&nowhere)))?;
    let mut host = Host::new(false);
    let mut executor = Executor::new(Arc::new(set), &mut host, Options::default());
    let rendered = executor.execute(NAME, Value::Nil).map_err(|error| Box::new(error.diagnostic(&nowhere)))?;
    Ok(rendered.text.into_string().unwrap_or_else(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_helm_takes_them() {
        for name in ["a", "a-b.c", "0", &"x".repeat(RELEASE_NAME_BYTES_MAX)] {
            assert_eq!(check_release_name(name), Ok(()), "{name}");
        }
        for name in ["", "A", "-a", "a-", "a..b", "a_b", &"x".repeat(RELEASE_NAME_BYTES_MAX + 1)] {
            assert!(check_release_name(name).is_err(), "{name}");
        }
        assert_eq!(release_name("{{ printf \"a-%d\" 3 | upper | lower }}").expect("a template"), "a-3");
        assert!(release_name("{{ now }}").is_err());
    }
}
