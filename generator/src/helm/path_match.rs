//! Go's `filepath.Match`: `*`, `?`, `[a-z]` and `\`, none of which matches a slash.
//!
//! Source: Go 1.26 `path/filepath/match.go`.

const BAD_PATTERN: &str = "syntax error in pattern";

/// Reports whether the whole name matches.
///
/// # Errors
/// Where the pattern is broken at a place that was looked at: Go does not look behind a mismatch either, but for the rest of the pattern
/// after it.
pub(super) fn matches(pattern: &str, name: &str) -> Result<bool, &'static str> {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut pattern, mut name) = (&pattern[..], &name[..]);
    'pattern: while !pattern.is_empty() {
        let (star, chunk, rest) = scan(pattern);
        pattern = rest;
        if star && chunk.is_empty() {
            return Ok(!name.contains(&'/'));
        }
        if let Some(after) = match_chunk(chunk, name)? {
            // A last chunk has to take everything; else a star may still move on.
            if after.is_empty() || !pattern.is_empty() {
                name = after;
                continue;
            }
        }
        if star {
            for skip in 0..name.len() {
                if name[skip] == '/' {
                    break;
                }
                if let Some(after) = match_chunk(chunk, &name[skip + 1..])? {
                    if pattern.is_empty() && !after.is_empty() {
                        continue;
                    }
                    name = after;
                    continue 'pattern;
                }
            }
        }
        while !pattern.is_empty() {
            let (_, chunk, rest) = scan(pattern);
            pattern = rest;
            match_chunk(chunk, &[])?;
        }
        return Ok(false);
    }
    Ok(name.is_empty())
}

/// Splits off leading stars and the chunk up to the next star.
fn scan(pattern: &[char]) -> (bool, &[char], &[char]) {
    let stars = pattern.iter().take_while(|c| **c == '*').count();
    let rest = &pattern[stars..];
    let mut in_range = false;
    let mut at = 0;
    while at < rest.len() {
        match rest[at] {
            '\\' if at + 1 < rest.len() => at += 1,
            '[' => in_range = true,
            ']' => in_range = false,
            '*' if !in_range => break,
            _ => {}
        }
        at += 1;
    }
    (stars > 0, &rest[..at], &rest[at..])
}

/// Matches a chunk at the start of the name and returns what is left. After a failure the chunk is still checked to its end.
fn match_chunk<'n>(mut chunk: &[char], mut name: &'n [char]) -> Result<Option<&'n [char]>, &'static str> {
    let mut failed = false;
    while let Some((&first, after_first)) = chunk.split_first() {
        if !failed && name.is_empty() {
            failed = true;
        }
        match first {
            '[' => {
                let c = if failed { None } else { name.split_first().map(|(c, rest)| (*c, rest)) };
                if let Some((_, rest)) = c {
                    name = rest;
                }
                let (matched, rest) = match_range(after_first, c.map(|(c, _)| c))?;
                failed |= !matched;
                chunk = rest;
            }
            '?' => {
                if !failed {
                    failed = name[0] == '/';
                    name = &name[1..];
                }
                chunk = after_first;
            }
            literal => {
                let (literal, rest) = if literal == '\\' {
                    let (escaped, rest) = after_first.split_first().ok_or(BAD_PATTERN)?;
                    (*escaped, rest)
                } else {
                    (literal, after_first)
                };
                if !failed {
                    failed = name[0] != literal;
                    name = &name[1..];
                }
                chunk = rest;
            }
        }
    }
    Ok((!failed).then_some(name))
}

/// Matches `a-z]` (the bracket is already gone) against a character and returns the rest of the pattern.
fn match_range(mut chunk: &[char], c: Option<char>) -> Result<(bool, &[char]), &'static str> {
    let negated = chunk.first() == Some(&'^');
    if negated {
        chunk = &chunk[1..];
    }
    let mut matched = false;
    let mut ranges = 0;
    loop {
        if chunk.first() == Some(&']') && ranges > 0 {
            chunk = &chunk[1..];
            break;
        }
        let (low, rest) = range_end(chunk)?;
        chunk = rest;
        let mut high = low;
        if chunk.first() == Some(&'-') {
            (high, chunk) = range_end(&chunk[1..])?;
        }
        matched |= c.is_some_and(|c| (low..=high).contains(&c));
        ranges += 1;
    }
    Ok((matched != negated, chunk))
}

fn range_end(chunk: &[char]) -> Result<(char, &[char]), &'static str> {
    let (&first, rest) = chunk.split_first().ok_or(BAD_PATTERN)?;
    if first == '-' || first == ']' {
        return Err(BAD_PATTERN);
    }
    let (c, rest) = if first == '\\' {
        let (&escaped, rest) = rest.split_first().ok_or(BAD_PATTERN)?;
        (escaped, rest)
    } else {
        (first, rest)
    };
    if rest.is_empty() { Err(BAD_PATTERN) } else { Ok((c, rest)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let cases = [
            ("abc", "abc", Ok(true)),
            ("*", "abc", Ok(true)),
            ("*c", "abc", Ok(true)),
            ("a*", "ab/c", Ok(false)),
            ("a*/b", "abc/b", Ok(true)),
            ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", Ok(false)),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", Ok(true)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Ok(true)),
            ("ab[c]", "abc", Ok(true)),
            ("ab[^b-d]", "abc", Ok(false)),
            ("ab[^c]", "abc", Ok(false)),
            ("a\\*b", "a*b", Ok(true)),
            ("a[-]b", "a-b", Err(BAD_PATTERN)),
            ("[a-b-d]", "a", Err(BAD_PATTERN)),
            ("[", "a", Err(BAD_PATTERN)),
            ("a[", "ab", Err(BAD_PATTERN)),
            ("*x", "xxx", Ok(true)),
            ("", "", Ok(true)),
            ("?", "/", Ok(false)),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
