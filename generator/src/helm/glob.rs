//! The patterns of `.Files.Glob`.
//!
//! `*` and `?` stay within a folder, `**` does not; `[abc]`, `[a-z]`, `[!a]`, `{a,b}` and `\` are known. Source: gobwas/glob v0.2.3.
//! Charts compile a pattern to match it against a handful of paths, so compiling is a walk over the pattern and no more.
//! Invariant: matching takes no more steps than the pattern has, for every character of the path.

use std::iter::Peekable;
use std::str::Chars;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Glob {
    /// What every path begins with that matches.
    prefix: String,
    /// What comes after it.
    steps: Vec<Step>,
    /// Room for [`Glob::matches`], kept from one path to the next.
    places: [Places; 2],
}

#[derive(Debug)]
enum Step {
    /// Takes one character.
    One(Class),
    /// Takes any number of characters.
    Many(Class),
    /// Goes on at each of these steps.
    Fork(Vec<usize>),
    Jump(usize),
}

/// Characters.
#[derive(Debug)]
enum Class {
    All,
    /// All but `/`.
    InFolder,
    This(char),
    List {
        negated: bool,
        chars: Vec<char>,
    },
    Range {
        negated: bool,
        first: char,
        last: char,
    },
}

impl Class {
    fn has(&self, c: char) -> bool {
        match self {
            Class::All => true,
            Class::InFolder => c != '/',
            Class::This(this) => c == *this,
            Class::List { negated, chars } => chars.contains(&c) != *negated,
            Class::Range { negated, first, last } => (*first..=*last).contains(&c) != *negated,
        }
    }
}

impl Glob {
    /// Compiles a pattern; `None` for a broken one, which Helm lets match everything.
    pub(super) fn new(pattern: &str) -> Option<Glob> {
        let mut compiler = Compiler { pattern: pattern.chars().peekable(), steps: Vec::new(), open: Vec::new() };
        let prefix = compiler.prefix();
        compiler.run()?;
        let places = [(); 2].map(|()| Places::new(compiler.steps.len()));
        Some(Glob { prefix, steps: compiler.steps, places })
    }

    /// Reports whether the whole path matches.
    pub(super) fn matches(&mut self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix(self.prefix.as_str()) else { return false };
        let [here, next] = &mut self.places;
        here.clear();
        here.add(0, &self.steps);
        for c in rest.chars() {
            next.clear();
            for &at in &here.list {
                match self.steps.get(at) {
                    Some(Step::One(class)) if class.has(c) => next.add(at + 1, &self.steps),
                    Some(Step::Many(class)) if class.has(c) => next.add(at, &self.steps),
                    _ => {}
                }
            }
            std::mem::swap(here, next);
            if here.list.is_empty() {
                return false;
            }
        }
        here.known[self.steps.len()]
    }
}

/// The steps that may come next; behind the last one stands the end.
#[derive(Debug)]
struct Places {
    list: Vec<usize>,
    known: Vec<bool>,
    pending: Vec<usize>,
}

impl Places {
    fn new(steps: usize) -> Places {
        Places { list: Vec::new(), known: vec![false; steps + 1], pending: Vec::new() }
    }

    fn clear(&mut self) {
        self.list.drain(..).for_each(|at| self.known[at] = false);
    }

    /// Adds a step, and those that it leads to without a character.
    fn add(&mut self, at: usize, steps: &[Step]) {
        self.pending.push(at);
        while let Some(at) = self.pending.pop() {
            if std::mem::replace(&mut self.known[at], true) {
                continue;
            }
            self.list.push(at);
            match steps.get(at) {
                Some(Step::Many(_)) => self.pending.push(at + 1),
                Some(Step::Fork(targets)) => self.pending.extend(targets),
                Some(Step::Jump(target)) => self.pending.push(*target),
                Some(Step::One(_)) | None => {}
            }
        }
    }
}

struct Compiler<'p> {
    pattern: Peekable<Chars<'p>>,
    steps: Vec<Step>,
    /// Open braces: where each forks, and the jumps behind its alternatives.
    open: Vec<(usize, Vec<usize>)>,
}

impl Compiler<'_> {
    /// Takes the characters that stand for themselves.
    fn prefix(&mut self) -> String {
        let is_plain = |c: &char| !matches!(c, '{' | '}' | ',' | '*' | '?' | '[' | '\\');
        std::iter::from_fn(|| self.pattern.next_if(is_plain)).collect()
    }

    fn run(&mut self) -> Option<()> {
        while let Some(c) = self.pattern.next() {
            let step = match c {
                '{' => {
                    self.open.push((self.steps.len(), Vec::new()));
                    Step::Fork(vec![self.steps.len() + 1])
                }
                '}' if !self.open.is_empty() => {
                    self.close();
                    continue;
                }
                ',' if !self.open.is_empty() => {
                    self.alternative();
                    continue;
                }
                '*' if self.pattern.next_if_eq(&'*').is_some() => Step::Many(Class::All),
                '*' => Step::Many(Class::InFolder),
                '?' => Step::One(Class::InFolder),
                '[' => Step::One(self.class()?),
                // A backslash at the end stands for nothing.
                '\\' => match self.pattern.next() {
                    Some(c) => Step::One(Class::This(c)),
                    None => break,
                },
                c => Step::One(Class::This(c)),
            };
            self.steps.push(step);
        }
        while !self.open.is_empty() {
            self.close();
        }
        Some(())
    }

    /// Ends an alternative and begins the next.
    fn alternative(&mut self) {
        let Some((fork, jumps)) = self.open.last_mut() else { return };
        jumps.push(self.steps.len());
        self.steps.push(Step::Jump(0));
        let next = self.steps.len();
        if let Step::Fork(targets) = &mut self.steps[*fork] {
            targets.push(next);
        }
    }

    fn close(&mut self) {
        let Some((_, jumps)) = self.open.pop() else { return };
        let end = self.steps.len();
        for jump in jumps {
            self.steps[jump] = Step::Jump(end);
        }
    }

    /// A bracket: either one range, or a list of characters in which a dash is itself.
    fn class(&mut self) -> Option<Class> {
        let negated = self.pattern.next_if_eq(&'!').is_some();
        let first = *self.pattern.peek()?;
        let mut ahead = self.pattern.clone();
        ahead.next();
        if ahead.next() == Some('-') {
            self.pattern.next();
            self.pattern.next();
            let last = self.pattern.next()?;
            let is_range = last >= first && self.pattern.next() == Some(']');
            return is_range.then_some(Class::Range { negated, first, last });
        }
        let mut chars = Vec::new();
        loop {
            match self.pattern.next()? {
                ']' => break,
                '\\' => chars.push(self.pattern.next()?),
                c => chars.push(c),
            }
        }
        (!chars.is_empty()).then_some(Class::List { negated, chars })
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
            ("{a,{b,c*}d}e", "cxxde", true),
            ("{a,{b,c*}d}e", "cx/de", false),
            ("{a,b", "b", true),
            ("{,x}y", "y", true),
            ("a}b,c", "a}b,c", true),
            ("***", "a/b", true),
            ("", "", true),
            ("", "a", false),
            ("a\\", "a", true),
        ];
        for (pattern, path, expected) in cases {
            let found = Glob::new(pattern).is_some_and(|mut glob| glob.matches(path));
            assert_eq!(found, expected, "{pattern} {path}");
        }
        let deep = "{".repeat(10_000) + "a";
        assert!(Glob::new(&deep).is_some_and(|mut glob| glob.matches("a") && !glob.matches("b")));
        let mut wide = Glob::new(&"{*,**}".repeat(1_000)).expect("a pattern");
        assert!(wide.matches(&"a/".repeat(20)));
        assert!(Glob::new("[").is_none() && Glob::new("[]").is_none() && Glob::new("[c-a]").is_none());
    }
}
