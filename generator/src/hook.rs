//! The hook that keeps `_gen` current in every commit: what it says, and how it shares a file with others.
//!
//! Works on the text of the hook; where git keeps it, and the disk, are elsewhere. Our part stands between two marks, at the top of the
//! script, because what is there already may end it anywhere. Invariant: installing twice is installing once, uninstalling gives
//! back what was there before, and nothing outside the marks is ever changed.

/// Name of the hook, as git calls it.
pub const NAME: &str = "pre-commit";

const BEGIN: &str = "# >>> generator: keeps _gen current; `generator hook install` writes this part";
const END: &str = "# <<< generator";
/// Shells that read our part.
const SHELLS: [&str; 5] = ["sh", "bash", "dash", "ksh", "zsh"];

/// A hook that is no script of a shell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the hook that is there is no shell script")]
pub struct NotAShellScript;

/// Returns our part, for a repository at `prefix` in git's work tree (empty, or with `/` at its end). `command` runs the generator.
fn part(prefix: &str, command: &str) -> String {
    let root = if prefix.is_empty() { ".".to_owned() } else { quoted(prefix.trim_end_matches('/')) };
    let paths: Vec<String> = ["services", "charts", "crds", "generator.yaml", "_gen"]
        .map(|path| quoted(&format!(":(top){prefix}{path}")))
        .into();
    let paths = paths.join(" ");
    format!(
        "{BEGIN}\n\
         if ! git diff --cached --quiet -- {paths}; then\n  \
           {command} check --root {root} || exit 1\n  \
           if ! git diff --quiet -- {paths} || [ -n \"$(git ls-files --others --exclude-standard -- {paths})\" ]; then\n    \
             echo 'generator: what was checked is not all in this commit: add services, charts, crds, generator.yaml and _gen' >&2\n    \
             exit 1\n  \
           fi\n\
         fi\n\
         {END}\n"
    )
}

/// Quotes for a shell, also where nothing needs it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Returns the hook with our part in it, which replaces an older one.
///
/// # Errors
/// [`NotAShellScript`]: its owner has to decide.
pub fn install(existing: Option<&str>, prefix: &str, command: &str) -> Result<String, NotAShellScript> {
    let part = part(prefix, command);
    let rest = match existing.map(|text| uninstall(text).unwrap_or_default()) {
        None => return Ok(format!("#!/bin/sh\n{part}")),
        Some(rest) if rest.is_empty() => return Ok(format!("#!/bin/sh\n{part}")),
        Some(rest) => rest,
    };
    let (first, after) = rest.split_once('\n').unwrap_or((&rest, ""));
    let Some(interpreter) = first.strip_prefix("#!") else { return Err(NotAShellScript) };
    let is_shell = interpreter.split(['/', ' ']).any(|word| SHELLS.contains(&word));
    if is_shell { Ok(format!("{first}\n{part}{after}")) } else { Err(NotAShellScript) }
}

/// Returns the hook without our part; nothing where there was nothing else in it.
pub fn uninstall(existing: &str) -> Option<String> {
    let Some(start) = existing.find(BEGIN) else { return Some(existing.to_owned()) };
    let end = existing[start..].find(END).map_or(existing.len(), |end| start + end + END.len());
    let after = existing[end..].strip_prefix('\n').unwrap_or(&existing[end..]);
    let rest = format!("{}{after}", &existing[..start]);
    (rest.trim() != "#!/bin/sh").then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_part_comes_and_goes() {
        let own = install(None, "", "generator").expect("a new hook");
        insta::assert_snapshot!(own);
        assert_eq!(install(Some(&own), "", "generator").as_ref(), Ok(&own), "twice is once");
        assert_eq!(uninstall(&own), None, "nothing is left of it");

        let others = "#!/usr/bin/env bash\nset -e\nmake lint\nexit 0\n";
        let both = install(Some(others), "it's/", "cargo gen").expect("a shell");
        assert!(
            both.starts_with("#!/usr/bin/env bash\n# >>> generator") && both.ends_with("make lint\nexit 0\n"),
            "{both}"
        );
        assert!(both.contains(r"cargo gen check --root 'it'\''s' ||"), "{both}");
        assert_eq!(install(Some(&both), "it's/", "cargo gen").as_ref(), Ok(&both));
        assert_eq!(uninstall(&both).as_deref(), Some(others));
        assert_eq!(uninstall(others).as_deref(), Some(others));
    }

    #[test]
    fn what_no_shell_reads_is_left_alone() {
        for text in ["#!/usr/bin/env python3\nprint()\n", "\u{7f}ELF", "echo no interpreter\n"] {
            assert_eq!(install(Some(text), "", "generator"), Err(NotAShellScript), "{text}");
        }
    }
}
