//! What type go-yaml gives a plain scalar; a string that would be read as another type is written in quotes.
//!
//! Source: go.yaml.in/yaml v2.4.3 and v3.0.4 `resolve.go`, `encode.go`; Go 1.26 `strconv`, `time.Parse`.

use manifest::yaml::go_float;

use super::Version;

/// Reports whether a plain scalar with this text is read back as a string.
pub(super) fn is_plain_string(text: &str, version: Version) -> bool {
    if is_word(text, version) || is_base60(text) {
        return false;
    }
    match text.as_bytes().first() {
        None => false,
        Some(b'.') => go_float(text).is_none(),
        Some(b'+' | b'-' | b'0'..=b'9') => !is_timestamp(text) && !is_number(&text.replace('_', "")),
        Some(_) => true,
    }
}

fn is_word(text: &str, version: Version) -> bool {
    match text {
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" | "~" | "null" | "Null" | "NULL" | ".nan" | ".NaN"
        | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" => true,
        // Version 3 reads these as strings and quotes them all the same, for the sake of other readers.
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off"
        | "OFF" => matches!(version, Version::V2 | Version::V3),
        _ => false,
    }
}

/// Reports whether the text is an integer or a float once underscores are gone.
fn is_number(text: &str) -> bool {
    is_integer(text) || go_float(text).is_some()
}

/// `strconv.ParseInt(text, 0, 64)` or `ParseUint` succeeds.
fn is_integer(text: &str) -> bool {
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (digits, radix) = match unsigned.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (&unsigned[2..], 16),
        Some("0b") => (&unsigned[2..], 2),
        Some("0o") => (&unsigned[2..], 8),
        _ if unsigned.len() > 1 && unsigned.starts_with('0') => (&unsigned[1..], 8),
        _ => (unsigned, 10),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return false;
    }
    let Ok(magnitude) = u64::from_str_radix(digits, radix) else { return false };
    // A sign rules ParseUint out, so with one the number has to fit an int64.
    match (negative, text.starts_with('+')) {
        (true, _) => magnitude <= 1 << 63,
        (false, true) => i64::try_from(magnitude).is_ok(),
        (false, false) => true,
    }
}

/// `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`
fn is_base60(text: &str) -> bool {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut parts = rest.split(':');
    let Some(first) = parts.next() else { return false };
    if !first.starts_with(|c: char| c.is_ascii_digit()) || !first.bytes().all(|b| b.is_ascii_digit() || b == b'_') {
        return false;
    }
    let places: Vec<&str> = parts.collect();
    let Some((last, middle)) = places.split_last() else { return false };
    let is_sixtieth = |s: &str| match s.as_bytes() {
        [ones] => ones.is_ascii_digit(),
        [tens, ones] => (b'0'..=b'5').contains(tens) && ones.is_ascii_digit(),
        _ => false,
    };
    let (last_whole, fraction) = last.split_once('.').unwrap_or((last, ""));
    middle.iter().all(|s| is_sixtieth(s))
        && is_sixtieth(last_whole)
        && fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

/// One of the four layouts go-yaml accepts: date, date and time, with `T`, `t` (and a zone) or a space (without).
fn is_timestamp(text: &str) -> bool {
    let mut scan = Scan { rest: text };
    if text.bytes().take_while(u8::is_ascii_digit).count() != 4 {
        return false;
    }
    let year = text[..4].parse::<u32>().unwrap_or(0);
    scan.rest = &text[4..];
    let Some(day_ok) = scan.date(year) else { return false };
    let time_ok = match scan.rest.as_bytes().first() {
        None => Some(()),
        Some(b'T' | b't') => {
            scan.rest = &scan.rest[1..];
            scan.time().and_then(|()| scan.zone())
        }
        Some(b' ') => {
            scan.rest = &scan.rest[1..];
            scan.time()
        }
        Some(_) => None,
    };
    day_ok && time_ok.is_some() && scan.rest.is_empty()
}

struct Scan<'a> {
    rest: &'a str,
}

impl Scan<'_> {
    fn literal(&mut self, c: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(c)?;
        Some(())
    }

    /// One or two digits.
    fn number(&mut self) -> Option<u32> {
        let len = self.rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
        let value = self.rest[..len].parse().ok()?;
        self.rest = &self.rest[len..];
        Some(value)
    }

    fn date(&mut self, year: u32) -> Option<bool> {
        self.literal('-')?;
        let month = self.number()?;
        self.literal('-')?;
        let day = self.number()?;
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let last = match month {
            2 => 28 + u32::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        Some((1..=12).contains(&month) && (1..=last).contains(&day))
    }

    fn time(&mut self) -> Option<()> {
        let hour = self.number()?;
        self.literal(':')?;
        let minute = self.number()?;
        self.literal(':')?;
        let second = self.number()?;
        if let Some(fraction) = self.rest.strip_prefix(['.', ',']) {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if digits > 0 {
                self.rest = &fraction[digits..];
            }
        }
        (hour < 24 && minute < 60 && second < 60).then_some(())
    }

    fn zone(&mut self) -> Option<()> {
        if self.literal('Z').is_some() {
            return Some(());
        }
        self.rest = self.rest.strip_prefix(['+', '-'])?;
        let bytes = self.rest.as_bytes();
        let digits = |at: usize| bytes.get(at..at + 2).filter(|s| s.iter().all(u8::is_ascii_digit));
        let number = |s: &[u8]| u32::from(s[0] - b'0') * 10 + u32::from(s[1] - b'0');
        let (hour, minute) = (number(digits(0)?), number(digits(3)?));
        if bytes.get(2) != Some(&b':') || hour > 24 || minute > 60 {
            return None;
        }
        self.rest = &self.rest[5..];
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_quotes() {
        let other = [
            "",
            "~",
            "null",
            "true",
            "yes",
            "y",
            "No",
            "1",
            "-1",
            "+1",
            "0644",
            "0o17",
            "0x1F",
            "0b11",
            "1_000",
            "089",
            "1e3",
            ".5",
            "5.",
            "1.5e-7",
            ".inf",
            "-.inf",
            ".nan",
            "12:30:45",
            "1:30",
            "190:20:30.15",
            "2020-01-01",
            "2020-1-1",
            "2001-12-14t21:59:43.10Z",
            "2001-12-14T21:59:43+05:30",
            "2001-12-14 21:59:43.1",
            "18446744073709551615",
        ];
        for text in other {
            assert!(!is_plain_string(text, Version::V2), "{text}");
        }
        let strings = [
            "a",
            "tRue",
            "nO",
            "1.2.3",
            "v1",
            "1_a",
            "_1",
            "0o8",
            "0x",
            "1e400",
            "=",
            "<<",
            "a:b",
            "2020-13-01",
            "2020-02-30",
            "2001-12-14 21:59:43 -5",
            "1:60",
            "-",
            "+",
            ".",
            "1e",
            "12e03x",
            "20-01-01",
        ];
        for text in strings {
            assert!(is_plain_string(text, Version::V2), "{text}");
        }
    }
}
