//! The order in which go-yaml writes the keys of a map: numbers inside them by value, letters after everything else.
//!
//! Source: go.yaml.in/yaml v2.4.3 and v3.0.4 `sorter.go`. The rule of version 2 is not a strict order for every set of keys (`unicode`
//! classes mix with number runs); Go's sort then depends on the incoming order, which Go itself randomises, so no order is more right.

use std::cmp::Ordering;

use super::Version;
use crate::sprig::unicode::{is_digit, is_letter};

/// Compares two keys.
pub(super) fn compare(a: &str, b: &str, version: Version) -> Ordering {
    if a.is_ascii() && b.is_ascii() { ascii(a.as_bytes(), b.as_bytes(), version) } else { general(a, b, version) }
}

fn ascii(a: &[u8], b: &[u8], version: Version) -> Ordering {
    let Some(at) = a.iter().zip(b).position(|(x, y)| x != y) else { return a.len().cmp(&b.len()) };
    let at_letters = (a[at].is_ascii_alphabetic(), b[at].is_ascii_alphabetic());
    let after_digit = at > 0 && a[at - 1].is_ascii_digit();
    let digit = |s: &[u8], i: usize| s.get(i).filter(|c| c.is_ascii_digit()).map(|c| i64::from(c - b'0'));
    let a_at = |i: usize| digit(a, i);
    let b_at = |i: usize| digit(b, i);
    decide(at, (u32::from(a[at]), u32::from(b[at])), at_letters, after_digit, &a_at, &b_at, version)
}

fn general(a: &str, b: &str, version: Version) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(x, y)| x != y) else { return a.len().cmp(&b.len()) };
    let at_letters = (is_letter(a[at]), is_letter(b[at]));
    let after_digit = at > 0 && is_digit(a[at - 1]);
    // Go subtracts '0' from any decimal digit of Unicode, wherever its block lies.
    let digit = |s: &[char], i: usize| s.get(i).filter(|c| is_digit(**c)).map(|c| i64::from(u32::from(*c)) - 48);
    let a_at = |i: usize| digit(&a, i);
    let b_at = |i: usize| digit(&b, i);
    decide(at, (u32::from(a[at]), u32::from(b[at])), at_letters, after_digit, &a_at, &b_at, version)
}

/// Decides by what stands at the first difference; `a_at` and `b_at` give the digit at an index, if there is one.
fn decide(
    at: usize,
    (a_rune, b_rune): (u32, u32),
    letters: (bool, bool),
    after_digit: bool,
    a_at: &dyn Fn(usize) -> Option<i64>,
    b_at: &dyn Fn(usize) -> Option<i64>,
    version: Version,
) -> Ordering {
    match letters {
        (true, true) => return a_rune.cmp(&b_rune),
        (a_is_letter, b_is_letter) if a_is_letter || b_is_letter => {
            // The one that is no letter comes first; after a digit version 3 turns this round.
            let a_first = if version == Version::V3 && after_digit { a_is_letter } else { b_is_letter };
            return if a_first { Ordering::Less } else { Ordering::Greater };
        }
        _ => {}
    }
    let mut start = 0;
    if a_rune == 48 || b_rune == 48 {
        // A zero counts as a digit of the number it continues, not as a leading zero.
        start = i64::from((0..at).rev().map_while(a_at).any(|digit| digit != 0));
    }
    let number = |digit_at: &dyn Fn(usize) -> Option<i64>| {
        let (mut value, mut end) = (start, at);
        while let Some(digit) = digit_at(end) {
            value = value.wrapping_mul(10).wrapping_add(digit);
            end += 1;
        }
        (value, end)
    };
    let ((a_number, a_end), (b_number, b_end)) = (number(a_at), number(b_at));
    a_number.cmp(&b_number).then(a_end.cmp(&b_end)).then(a_rune.cmp(&b_rune))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_as_helm_orders_them() {
        let sorted = ["_x", "1", "2", "10", "A", "B", "a", "a-", "a_", "a9", "a10", "a\u{e9}", "b"];
        for pair in sorted.windows(2) {
            assert_eq!(compare(pair[0], pair[1], Version::V2), Ordering::Less, "{pair:?}");
            assert_eq!(compare(pair[1], pair[0], Version::V2), Ordering::Greater, "{pair:?}");
        }
        assert_eq!(compare("a1b", "a1-", Version::V2), Ordering::Greater);
        assert_eq!(compare("a1b", "a1-", Version::V3), Ordering::Less);
    }
}
