//! The patterns of `.Files.Glob`.
//!
//! `*` and `?` stay within a folder, `**` does not; `[abc]`, `[a-z]`, `[!a]`, `{a,b}` and `\` are known. Source: gobwas/glob v0.2.3.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Glob(Regex);

impl Glob {
    /// Compiles a pattern; `None` for a broken one, which Helm lets match everything.
    pub(super) fn new(pattern: &str) -> Option<Glob> {
        let mut translation =
            Translation { pattern: pattern.chars().peekable(), out: String::from("(?s)^(?:"), depth: 0 };
        translation.run()?;
        let mut out = translation.out;
        out.extend(std::iter::repeat_n(')', translation.depth));
        out.push_str(")$");
        Regex::new(&out).ok().map(Glob)
    }

    /// Reports whether the whole path matches.
    pub(super) fn matches(&self, path: &str) -> bool {
        self.0.is_match(path)
    }
}

struct Translation<'p> {
    pattern: Peekable<Chars<'p>>,
    out: String,
    /// Open braces.
    depth: usize,
}

impl Translation<'_> {
    fn run(&mut self) -> Option<()> {
        while let Some(c) = self.pattern.next() {
            match c {
                '{' => {
                    self.depth += 1;
                    self.out.push_str("(?:");
                }
                '}' if self.depth > 0 => {
                    self.depth -= 1;
                    self.out.push(')');
                }
                ',' if self.depth > 0 => self.out.push('|'),
                '*' if self.pattern.next_if_eq(&'*').is_some() => self.out.push_str(".*"),
                '*' => self.out.push_str("[^/]*"),
                '?' => self.out.push_str("[^/]"),
                '[' => self.range()?,
                '\\' => {
                    // A backslash at the end stands for nothing.
                    if let Some(c) = self.pattern.next() {
                        self.literal(c);
                    }
                }
                c => self.literal(c),
            }
        }
        Some(())
    }

    fn literal(&mut self, c: char) {
        let _ = write!(self.out, "\\x{{{:x}}}", u32::from(c));
    }

    /// A bracket: either one range, or a list of characters in which a dash is itself.
    fn range(&mut self) -> Option<()> {
        self.out.push('[');
        if self.pattern.next_if_eq(&'!').is_some() {
            self.out.push('^');
        }
        let first = *self.pattern.peek()?;
        let mut ahead = self.pattern.clone();
        ahead.next();
        if ahead.next() == Some('-') {
            self.pattern.next();
            self.pattern.next();
            let last = self.pattern.next()?;
            if last < first || self.pattern.next() != Some(']') {
                return None;
            }
            self.literal(first);
            self.out.push('-');
            self.literal(last);
        } else {
            let mut count = 0;
            loop {
                match self.pattern.next()? {
                    ']' => break,
                    '\\' => {
                        let c = self.pattern.next()?;
                        self.literal(c);
                    }
                    c => self.literal(c),
                }
                count += 1;
            }
            if count == 0 {
                return None;
            }
        }
        self.out.push(']');
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let cases = [
            ("files/*", "files/a", true),
            ("files/*", "files/a/b", false),
            ("files/**", "files/a/b", true),
            ("**.yaml", "a/b.yaml", true),
            ("files/**/x", "files/x", false),
            ("{a,b}/*.txt", "b/c.txt", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[a-]", "-", false),
            ("a\\*", "a*", true),
            ("?", "/", false),
            ("a.b", "axb", false),
        ];
        for (pattern, path, expected) in cases {
            let found = Glob::new(pattern).is_some_and(|glob| glob.matches(path));
            assert_eq!(found, expected, "{pattern} {path}");
        }
        assert!(Glob::new("[").is_none() && Glob::new("[]").is_none() && Glob::new("[c-a]").is_none());
    }
}
