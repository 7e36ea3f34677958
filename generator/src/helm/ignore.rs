//! `.helmignore`: which files of a chart's folder are not part of the chart.
//!
//! Not git's rules: no `**`, a pattern without a slash looks at the last part of a path only, and a negated pattern ignores whatever it
//! does not match. Source: Helm v4.2.3 `pkg/ignore/rules.go`.

use super::path_match;

/// The rules of one chart, in order; the first that decides, decides.
#[derive(Debug)]
pub struct Rules {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    pattern: String,
    scope: RuleScope,
    negate: bool,
    directories_only: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum RuleScope {
    /// The whole path.
    Path,
    /// Its last part.
    Name,
}

/// A line that is no rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRule {
    /// Line in the file, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: &'static str,
}

impl Rules {
    /// Reads a `.helmignore`; the rule that every chart has is added.
    ///
    /// # Errors
    /// The first line that is no rule.
    pub fn parse(text: &str) -> Result<Rules, BadRule> {
        let mut rules = Vec::new();
        for (n, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
            rules.extend(rule(line).map_err(|message| BadRule { line: n + 1, message })?);
        }
        rules.extend(rule("templates/.?*").ok().flatten());
        Ok(Rules { rules })
    }

    /// Reports whether a path is left out, itself or with the folder it is in.
    pub fn ignore(&self, path: &str) -> bool {
        let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
        folders.into_iter().any(|folder| self.ignores(folder, true)) || self.ignores(path, false)
    }

    /// Reports whether a folder is left out, and with it all that is in it.
    pub fn ignore_folder(&self, path: &str) -> bool {
        self.ignores(path, true)
    }

    fn ignores(&self, path: &str, is_directory: bool) -> bool {
        for rule in &self.rules {
            if rule.negate {
                if (rule.directories_only && !is_directory) || !rule.matches(path) {
                    return true;
                }
            } else if (is_directory || !rule.directories_only) && rule.matches(path) {
                return true;
            }
        }
        false
    }
}

impl Rule {
    fn matches(&self, path: &str) -> bool {
        let subject = match self.scope {
            RuleScope::Path => path,
            RuleScope::Name => path.rsplit('/').next().unwrap_or(path),
        };
        path_match::matches(&self.pattern, subject).unwrap_or(false)
    }
}

fn rule(line: &str) -> Result<Option<Rule>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    if line.contains("**") {
        return Err("double-star (**) syntax is not supported");
    }
    path_match::matches(line, "abc")?;
    let (negate, pattern) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
    let (directories_only, pattern) = pattern.strip_suffix('/').map_or((false, pattern), |rest| (true, rest));
    let (scope, pattern) = match pattern.strip_prefix('/') {
        Some(rooted) => (RuleScope::Path, rooted),
        None if pattern.contains('/') => (RuleScope::Path, pattern),
        None => (RuleScope::Name, pattern),
    };
    Ok(Some(Rule { pattern: pattern.to_owned(), scope, negate, directories_only }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_as_helm_reads_them() {
        let rules = Rules::parse("# comment\n*.md\n/top.txt\nfoo/bar.*\nbuild/\n").expect("rules");
        for path in [
            "README.md",
            "a/b.md",
            "top.txt",
            "foo/bar.x",
            "build/a",
            "x/build/y",
            "templates/.hidden",
            "templates/.d/x",
        ] {
            assert!(rules.ignore(path), "{path}");
        }
        for path in ["a/top.txt", "x/foo/bar.x", "build", "templates/a.yaml", "charts/x/templates/.hidden", "md"] {
            assert!(!rules.ignore(path), "{path}");
        }
        let negated = Rules::parse("!Chart.yaml").expect("rules");
        assert!(negated.ignore("values.yaml") && !negated.ignore("Chart.yaml"));
        assert_eq!(Rules::parse("a\nb/**\n").expect_err("double star").line, 2);
    }
}
