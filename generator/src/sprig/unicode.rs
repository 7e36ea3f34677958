//! Letters and cases as Go's `unicode` package sees them: one rune to one rune, by general category.
//!
//! Rust's `char` methods follow other properties (`ß` upper-cases to two letters, `Ⓐ` counts as upper case), so the few differences are
//! settled here. Source: Go 1.26 `unicode`.

use std::sync::LazyLock;

use regex::Regex;

/// `unicode.IsLetter`: category L.
pub(super) fn is_letter(c: char) -> bool {
    static CATEGORY: LazyLock<Regex> = LazyLock::new(|| category("L"));
    if c.is_ascii() { c.is_ascii_alphabetic() } else { of(&CATEGORY, c) }
}

/// `unicode.IsDigit`: category Nd.
pub(super) fn is_digit(c: char) -> bool {
    static CATEGORY: LazyLock<Regex> = LazyLock::new(|| category("Nd"));
    if c.is_ascii() { c.is_ascii_digit() } else { of(&CATEGORY, c) }
}

/// `unicode.IsNumber`: category N.
pub(super) fn is_number(c: char) -> bool {
    static CATEGORY: LazyLock<Regex> = LazyLock::new(|| category("N"));
    if c.is_ascii() { c.is_ascii_digit() } else { of(&CATEGORY, c) }
}

/// `unicode.IsPunct`: category P.
pub(super) fn is_punctuation(c: char) -> bool {
    static CATEGORY: LazyLock<Regex> = LazyLock::new(|| category("P"));
    of(&CATEGORY, c)
}

/// `unicode.IsUpper`: category Lu.
pub(super) fn is_upper(c: char) -> bool {
    static CATEGORY: LazyLock<Regex> = LazyLock::new(|| category("Lu"));
    if c.is_ascii() { c.is_ascii_uppercase() } else { of(&CATEGORY, c) }
}

/// `unicode.IsLower`: category Ll.
pub(super) fn is_lower(c: char) -> bool {
    static CATEGORY: LazyLock<Regex> = LazyLock::new(|| category("Ll"));
    if c.is_ascii() { c.is_ascii_lowercase() } else { of(&CATEGORY, c) }
}

/// `unicode.IsTitle`: category Lt.
pub(super) fn is_title(c: char) -> bool {
    static CATEGORY: LazyLock<Regex> = LazyLock::new(|| category("Lt"));
    !c.is_ascii() && of(&CATEGORY, c)
}

fn category(name: &str) -> Regex {
    Regex::new(&format!("^\\p{{{name}}}$")).expect("a category of Unicode")
}

fn of(category: &Regex, c: char) -> bool {
    category.is_match(c.encode_utf8(&mut [0; 4]))
}

/// `unicode.ToUpper`: the simple mapping.
pub(super) fn to_upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) => single,
        // Greek letters with an iota below have a simple upper case besides the full one of two letters.
        _ => match c {
            '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => shift(c, 8),
            '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => shift(c, 9),
            other => other,
        },
    }
}

/// `unicode.ToLower`: the simple mapping.
pub(super) fn to_lower(c: char) -> char {
    let mut lower = c.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(single), None) => single,
        _ if c == '\u{130}' => 'i',
        _ => c,
    }
}

/// `unicode.ToTitle`: upper case but for the digraphs, and for Georgian, which has no title case.
pub(super) fn to_title(c: char) -> char {
    match c {
        '\u{1c4}'..='\u{1c6}' => '\u{1c5}',
        '\u{1c7}'..='\u{1c9}' => '\u{1c8}',
        '\u{1ca}'..='\u{1cc}' => '\u{1cb}',
        '\u{1f1}'..='\u{1f3}' => '\u{1f2}',
        '\u{10d0}'..='\u{10fa}' | '\u{10fd}'..='\u{10ff}' => c,
        other => to_upper(other),
    }
}

fn shift(c: char, by: u32) -> char {
    char::from_u32(u32::from(c) + by).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rune_stays_one_rune() {
        let upper: String = "straße ǆ ŉ ᾀ ა".chars().map(to_upper).collect();
        assert_eq!(upper, "STRAßE Ǆ ŉ ᾈ Ა");
        let title: String = "ǆ ა é".chars().map(to_title).collect();
        assert_eq!(title, "ǅ ა É");
        let lower: String = "ÀΣ İ".chars().map(to_lower).collect();
        assert_eq!(lower, "àσ i");
        assert!(!is_upper('Ⓐ') && is_upper('Ä') && is_title('ǅ') && !is_letter('Ⅷ') && is_digit('٣') && is_number('Ⅷ'));
    }
}
