//! Go's layouts: `Mon Jan 2 15:04:05 MST 2006` and its parts, for writing and for reading.
//!
//! Source: Go 1.26 `time/format.go`.

use super::time::{Civil, Time, Zone, days_in, is_leap};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// One field of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Year,
    LongYear,
    Month,
    LongMonth,
    /// With a leading zero, or as it is.
    MonthNumber(bool),
    WeekDay,
    LongWeekDay,
    Day(Pad),
    YearDay(Pad),
    Hour,
    Hour12(bool),
    Minute(bool),
    Second(bool),
    /// In capitals, or small.
    HalfDay(bool),
    Offset(OffsetForm),
    ZoneName,
    /// Digits, whether zeros at the end are dropped, and the mark before.
    Fraction(usize, bool, char),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pad {
    None,
    Space,
    Zero,
}

/// How an offset is written: `Z` for none, colons, minutes, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OffsetForm {
    z: bool,
    colon: bool,
    minutes: bool,
    seconds: bool,
}

/// Splits a layout at its first field: what is before, the field as written and as meant, what is behind.
fn next_field(layout: &str) -> Option<(&str, &str, Field, &str)> {
    for (at, _) in layout.char_indices() {
        let rest = &layout[at..];
        if let Some((skipped, len, field)) = field_at(rest) {
            let start = at + skipped;
            return Some((&layout[..start], &layout[start..start + len], field, &layout[start + len..]));
        }
    }
    None
}

/// Returns the field a text begins with: bytes before it that are plain text, its length, its meaning.
fn field_at(rest: &str) -> Option<(usize, usize, Field)> {
    const FIXED: [(&str, Field); 17] = [
        ("January", Field::LongMonth),
        ("Monday", Field::LongWeekDay),
        ("MST", Field::ZoneName),
        ("01", Field::MonthNumber(true)),
        ("02", Field::Day(Pad::Zero)),
        ("03", Field::Hour12(true)),
        ("04", Field::Minute(true)),
        ("05", Field::Second(true)),
        ("06", Field::Year),
        ("002", Field::YearDay(Pad::Zero)),
        ("15", Field::Hour),
        ("2006", Field::LongYear),
        ("__2", Field::YearDay(Pad::Space)),
        ("3", Field::Hour12(false)),
        ("4", Field::Minute(false)),
        ("5", Field::Second(false)),
        ("PM", Field::HalfDay(true)),
    ];
    if let Some((text, field)) = FIXED.iter().find(|(text, _)| rest.starts_with(text)) {
        return Some((0, text.len(), *field));
    }
    // A short name ends where no small letter follows.
    let is_short =
        |name: &str| rest.strip_prefix(name).is_some_and(|after| !after.starts_with(|c: char| c.is_ascii_lowercase()));
    if is_short("Jan") {
        return Some((0, 3, Field::Month));
    }
    if is_short("Mon") {
        return Some((0, 3, Field::WeekDay));
    }
    match rest.as_bytes() {
        [b'_', b'2', b'0', b'0', b'6', ..] => Some((1, 4, Field::LongYear)),
        [b'_', b'2', ..] => Some((0, 2, Field::Day(Pad::Space))),
        [b'1', ..] => Some((0, 1, Field::MonthNumber(false))),
        [b'2', ..] => Some((0, 1, Field::Day(Pad::None))),
        [b'p', b'm', ..] => Some((0, 2, Field::HalfDay(false))),
        [b'-' | b'Z', ..] => offset_at(rest),
        [mark @ (b'.' | b','), digit @ (b'0' | b'9'), ..] => {
            let digits = rest[1..].bytes().take_while(|b| b == digit).count();
            let ends = !rest.as_bytes().get(1 + digits).is_some_and(u8::is_ascii_digit);
            ends.then_some((0, 1 + digits, Field::Fraction(digits, *digit == b'9', char::from(*mark))))
        }
        _ => None,
    }
}

fn offset_at(rest: &str) -> Option<(usize, usize, Field)> {
    let form = |colon, minutes, seconds| OffsetForm { z: rest.starts_with('Z'), colon, minutes, seconds };
    let forms = [
        ("070000", form(false, true, true)),
        ("07:00:00", form(true, true, true)),
        ("0700", form(false, true, false)),
        ("07:00", form(true, true, false)),
        ("07", form(false, false, false)),
    ];
    let (text, form) = forms.into_iter().find(|(text, _)| rest[1..].starts_with(text))?;
    Some((0, 1 + text.len(), Field::Offset(form)))
}

/// Returns the name of a month, from 1.
pub(super) fn month_name(month: i64) -> &'static str {
    MONTHS[usize::try_from(month - 1).unwrap_or(0)]
}

/// Returns the name of a day of the week, from Sunday as 0.
pub(super) fn day_name(day: i64) -> &'static str {
    DAYS[usize::try_from(day).unwrap_or(0)]
}

/// Writes a time by a layout.
pub(super) fn format(time: &Time, layout: &str) -> String {
    let (civil, offset, zone) = (time.civil(), time.offset(), time.zone_name());
    let mut out = String::new();
    let mut rest = layout;
    while let Some((before, _, field, after)) = next_field(rest) {
        out.push_str(before);
        write_field(&mut out, field, &civil, time.nanosecond(), offset, &zone);
        rest = after;
    }
    out.push_str(rest);
    out
}

fn write_field(out: &mut String, field: Field, civil: &Civil, nanosecond: u32, offset: i64, zone: &str) {
    let number = |n: i64, width: usize| {
        // Go pads the digits, not the sign.
        let sign = if n < 0 { "-" } else { "" };
        format!("{sign}{:0width$}", n.unsigned_abs())
    };
    let padded = |n: i64, pad: Pad, width: usize| match pad {
        Pad::None => n.to_string(),
        Pad::Space => format!("{n:width$}"),
        Pad::Zero => number(n, width),
    };
    let width = |zero: bool| if zero { 2 } else { 0 };
    let hour12 = if civil.hour % 12 == 0 { 12 } else { civil.hour % 12 };
    let (month, day) = (month_name(civil.month), day_name(civil.week_day()));
    let text = match field {
        Field::Year => number(civil.year.abs() % 100, 2),
        Field::LongYear => number(civil.year, 4),
        Field::Month => month[..3].to_owned(),
        Field::LongMonth => month.to_owned(),
        Field::MonthNumber(zero) => number(civil.month, width(zero)),
        Field::WeekDay => day[..3].to_owned(),
        Field::LongWeekDay => day.to_owned(),
        Field::Day(pad) => padded(civil.day, pad, 2),
        Field::YearDay(pad) => padded(civil.year_day(), pad, 3),
        Field::Hour => number(civil.hour, 2),
        Field::Hour12(zero) => number(hour12, width(zero)),
        Field::Minute(zero) => number(civil.minute, width(zero)),
        Field::Second(zero) => number(civil.second, width(zero)),
        Field::HalfDay(capitals) => {
            let text = if civil.hour >= 12 { "PM" } else { "AM" };
            if capitals { text.to_owned() } else { text.to_lowercase() }
        }
        Field::Offset(form) => offset_text(offset, form),
        Field::ZoneName if !zone.is_empty() => zone.to_owned(),
        Field::ZoneName => offset_text(offset, OffsetForm { z: false, colon: false, minutes: true, seconds: false }),
        Field::Fraction(digits, trim, mark) => {
            let all = format!("{nanosecond:09}");
            let kept: String = all.chars().chain(std::iter::repeat('0')).take(digits).collect();
            let kept = if trim { kept.trim_end_matches('0') } else { &kept };
            if kept.is_empty() { String::new() } else { format!("{mark}{kept}") }
        }
    };
    out.push_str(&text);
}

fn offset_text(offset: i64, form: OffsetForm) -> String {
    if form.z && offset == 0 {
        return "Z".to_owned();
    }
    let minutes = offset / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    let colon = if form.colon { ":" } else { "" };
    let mut text = format!("{sign}{:02}", minutes.abs() / 60);
    if form.minutes {
        text.push_str(&format!("{colon}{:02}", minutes.abs() % 60));
    }
    if form.seconds {
        text.push_str(&format!("{colon}{:02}", offset.abs() % 60));
    }
    text
}

/// Reads a time by a layout, in UTC where nothing else is said.
pub(super) fn parse(layout: &str, value: &str) -> Result<Time, String> {
    Parser { layout, whole: value, value, found: Found::default() }.run()
}

#[derive(Debug, Default)]
struct Found {
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanosecond: i64,
    afternoon: Option<bool>,
    utc: bool,
    offset: Option<i64>,
    zone: String,
}

/// Why a field cannot be read.
enum Wrong {
    /// It is something else.
    Bad,
    /// It is a number out of range.
    Range(&'static str),
}

struct Parser<'p> {
    layout: &'p str,
    whole: &'p str,
    value: &'p str,
    found: Found,
}

impl Parser<'_> {
    fn run(mut self) -> Result<Time, String> {
        let mut layout = self.layout;
        loop {
            let (before, text, field, after) = match next_field(layout) {
                Some((before, text, field, after)) => (before, text, Some(field), after),
                None => (layout, "", None, ""),
            };
            if self.skip(before).is_none() {
                return Err(self.cannot(before, self.value));
            }
            let Some(field) = field else {
                if !self.value.is_empty() {
                    return Err(self.wrong(&format!("extra text: {}", quoted(self.value))));
                }
                break;
            };
            let hold = self.value;
            match self.field(field, after) {
                Ok(()) => {}
                Err(Wrong::Bad) => return Err(self.cannot(text, hold)),
                Err(Wrong::Range(what)) => return Err(self.wrong(&format!("{what} out of range"))),
            }
            layout = after;
        }
        self.finish()
    }

    fn cannot(&self, layout_part: &str, value_part: &str) -> String {
        let (value, layout) = (quoted(self.whole), quoted(self.layout));
        format!("parsing time {value} as {layout}: cannot parse {} as {}", quoted(value_part), quoted(layout_part))
    }

    fn wrong(&self, message: &str) -> String {
        format!("parsing time {}: {message}", quoted(self.whole))
    }

    /// Skips plain text of the layout; blanks match any number of blanks.
    fn skip(&mut self, text: &str) -> Option<()> {
        let mut text = text;
        while let Some(c) = text.chars().next() {
            if c == ' ' {
                if !self.value.is_empty() && !self.value.starts_with(' ') {
                    return None;
                }
                text = text.trim_start_matches(' ');
                self.value = self.value.trim_start_matches(' ');
            } else {
                self.value = self.value.strip_prefix(c)?;
                text = &text[c.len_utf8()..];
            }
        }
        Some(())
    }

    fn take(&mut self, bytes: usize) -> Result<&str, Wrong> {
        let (taken, rest) = self.value.split_at_checked(bytes).ok_or(Wrong::Bad)?;
        self.value = rest;
        Ok(taken)
    }

    /// One or two digits, or exactly two.
    fn number(&mut self, exact: bool) -> Result<i64, Wrong> {
        self.digits(2, exact)
    }

    fn digits(&mut self, max: usize, exact: bool) -> Result<i64, Wrong> {
        let len = self.value.bytes().take(max).take_while(u8::is_ascii_digit).count();
        if len == 0 || (exact && len != max) {
            return Err(Wrong::Bad);
        }
        self.take(len)?.parse().map_err(|_| Wrong::Bad)
    }

    fn ranged(&mut self, exact: bool, limit: i64, what: &'static str) -> Result<i64, Wrong> {
        let n = self.number(exact)?;
        if n < limit { Ok(n) } else { Err(Wrong::Range(what)) }
    }

    fn name(&mut self, names: &[&str], len: Option<usize>) -> Result<i64, Wrong> {
        for (index, name) in names.iter().enumerate() {
            let name = len.map_or(*name, |len| &name[..len]);
            if self.value.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
                self.value = &self.value[name.len()..];
                return Ok(i64::try_from(index).unwrap_or(0));
            }
        }
        Err(Wrong::Bad)
    }

    fn blank(&mut self) {
        self.value = self.value.strip_prefix(' ').unwrap_or(self.value);
    }

    fn field(&mut self, field: Field, after: &str) -> Result<(), Wrong> {
        match field {
            Field::Year => {
                let n: i64 = self.take(2)?.parse().map_err(|_| Wrong::Bad)?;
                self.found.year = if n >= 69 { n + 1900 } else { n + 2000 };
            }
            Field::LongYear => {
                if !self.value.starts_with(|c: char| c.is_ascii_digit()) {
                    return Err(Wrong::Bad);
                }
                self.found.year = self.take(4)?.parse().map_err(|_| Wrong::Bad)?;
            }
            Field::Month => self.found.month = Some(self.name(&MONTHS, Some(3))? + 1),
            Field::LongMonth => self.found.month = Some(self.name(&MONTHS, None)? + 1),
            Field::MonthNumber(zero) => {
                let month = self.number(zero)?;
                if !(1..=12).contains(&month) {
                    return Err(Wrong::Range("month"));
                }
                self.found.month = Some(month);
            }
            Field::WeekDay => drop(self.name(&DAYS, Some(3))?),
            Field::LongWeekDay => drop(self.name(&DAYS, None)?),
            Field::Day(pad) => {
                if pad == Pad::Space {
                    self.blank();
                }
                self.found.day = Some(self.number(pad == Pad::Zero)?);
            }
            Field::YearDay(pad) => {
                if pad == Pad::Space {
                    self.blank();
                    self.blank();
                }
                self.found.year_day = Some(self.digits(3, pad == Pad::Zero)?);
            }
            Field::Hour => self.found.hour = self.ranged(false, 24, "hour")?,
            Field::Hour12(zero) => self.found.hour = self.ranged(zero, 13, "hour")?,
            Field::Minute(zero) => self.found.minute = self.ranged(zero, 60, "minute")?,
            Field::Second(zero) => self.second(zero, after)?,
            Field::HalfDay(capitals) => {
                let text = self.take(2)?;
                self.found.afternoon = Some(match (text, capitals) {
                    ("PM", true) | ("pm", false) => true,
                    ("AM", true) | ("am", false) => false,
                    _ => return Err(Wrong::Bad),
                });
            }
            Field::Offset(form) => self.offset(form)?,
            Field::ZoneName => {
                if let Some(after) = self.value.strip_prefix("UTC") {
                    self.found.utc = true;
                    self.value = after;
                } else {
                    let len = zone_name_len(self.value).ok_or(Wrong::Bad)?;
                    self.found.zone = self.take(len)?.to_owned();
                }
            }
            Field::Fraction(digits, false, _) => {
                if self.value.len() <= digits {
                    return Err(Wrong::Bad);
                }
                self.fraction(digits)?;
            }
            Field::Fraction(..) => self.optional_fraction()?,
        }
        Ok(())
    }

    fn second(&mut self, zero: bool, after: &str) -> Result<(), Wrong> {
        self.found.second = self.ranged(zero, 60, "second")?;
        // A fraction is read even where the layout has none.
        let has_own = matches!(next_field(after), Some((_, _, Field::Fraction(..), _)));
        if !has_own {
            self.optional_fraction()?;
        }
        Ok(())
    }

    fn optional_fraction(&mut self) -> Result<(), Wrong> {
        let Some(rest) = self.value.strip_prefix(['.', ',']) else { return Ok(()) };
        match rest.bytes().take_while(u8::is_ascii_digit).count() {
            0 => Ok(()),
            digits => self.fraction(digits),
        }
    }

    fn fraction(&mut self, digits: usize) -> Result<(), Wrong> {
        let text = self.take(digits + 1)?;
        let text = text.strip_prefix(['.', ',']).ok_or(Wrong::Bad)?;
        let kept = text.get(..text.len().min(9)).ok_or(Wrong::Bad)?;
        if !kept.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Wrong::Bad);
        }
        self.found.nanosecond = format!("{kept:0<9}").parse().map_err(|_| Wrong::Bad)?;
        Ok(())
    }

    fn offset(&mut self, form: OffsetForm) -> Result<(), Wrong> {
        if form.z
            && let Some(after) = self.value.strip_prefix('Z')
        {
            self.found.utc = true;
            self.value = after;
            return Ok(());
        }
        let colon = usize::from(form.colon);
        let mut len = 3;
        len += if form.minutes { 2 + colon } else { 0 };
        len += if form.seconds { 2 + colon } else { 0 };
        let text = self.take(len)?.to_owned();
        let bytes = text.as_bytes();
        let pair = |at: usize| -> Result<i64, Wrong> {
            match bytes.get(at..at + 2) {
                Some([tens, ones]) if tens.is_ascii_digit() && ones.is_ascii_digit() => {
                    Ok(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
                }
                _ => Err(Wrong::Bad),
            }
        };
        let has_colon = |at: usize| !form.colon || bytes.get(at) == Some(&b':');
        if (form.minutes && !has_colon(3)) || (form.seconds && !has_colon(6)) {
            return Err(Wrong::Bad);
        }
        let hours = pair(1)?;
        let minutes = if form.minutes { pair(3 + colon)? } else { 0 };
        let seconds = if form.seconds { pair(5 + 2 * colon)? } else { 0 };
        for (n, limit, what) in [
            (hours, 24, "time zone offset hour"),
            (minutes, 60, "time zone offset minute"),
            (seconds, 60, "time zone offset second"),
        ] {
            if n > limit {
                return Err(Wrong::Range(what));
            }
        }
        let offset = (hours * 60 + minutes) * 60 + seconds;
        self.found.offset = Some(match bytes[0] {
            b'+' => offset,
            b'-' => -offset,
            _ => return Err(Wrong::Bad),
        });
        Ok(())
    }

    fn finish(mut self) -> Result<Time, String> {
        match self.found.afternoon {
            Some(true) if self.found.hour < 12 => self.found.hour += 12,
            Some(false) if self.found.hour == 12 => self.found.hour = 0,
            _ => {}
        }
        self.settle_year_day()?;
        let Found { year, month, day, hour, minute, second, nanosecond, .. } = self.found;
        let (month, day) = (month.unwrap_or(1), day.unwrap_or(1));
        if day < 1 || day > days_in(month, year) {
            return Err(self.wrong("day out of range"));
        }
        let civil = Civil { year, month, day, hour, minute, second };
        let at = |offset: i64, zone: Zone| Time::new(civil.unix_seconds() - offset, nanosecond, zone);
        if self.found.utc {
            return Ok(at(0, Zone::Utc));
        }
        let zone = self.found.zone;
        if let Some(offset) = self.found.offset {
            let is_local = offset == 0 && (zone.is_empty() || zone == "UTC");
            return Ok(at(offset, if is_local { Zone::Utc } else { Zone::Fixed(zone, offset) }));
        }
        if zone.is_empty() {
            return Ok(at(0, Zone::Utc));
        }
        // A zone known by name only: its offset is not known, but for one in the name itself.
        let offset = zone.strip_prefix("GMT").and_then(|hours| hours.parse::<i64>().ok()).unwrap_or(0) * 3600;
        Ok(at(0, Zone::Fixed(zone, offset)))
    }

    /// Turns a day of the year into month and day.
    fn settle_year_day(&mut self) -> Result<(), String> {
        let Some(year_day) = self.found.year_day else { return Ok(()) };
        let days = if is_leap(self.found.year) { 366 } else { 365 };
        if !(1..=days).contains(&year_day) {
            return Err(self.wrong("day-of-year out of range"));
        }
        let (mut month, mut day) = (1, year_day);
        while day > days_in(month, self.found.year) {
            day -= days_in(month, self.found.year);
            month += 1;
        }
        if self.found.month.is_some_and(|seen| seen != month) {
            return Err(self.wrong("day-of-year does not match month"));
        }
        if self.found.day.is_some_and(|seen| seen != day) {
            return Err(self.wrong("day-of-year does not match day"));
        }
        (self.found.month, self.found.day) = (Some(month), Some(day));
        Ok(())
    }
}

/// Returns how many bytes look like the abbreviation of a zone.
fn zone_name_len(text: &str) -> Option<usize> {
    if text.len() < 3 {
        return None;
    }
    if text.starts_with("ChST") || text.starts_with("MeST") {
        return Some(4);
    }
    if let Some(after) = text.strip_prefix("GMT") {
        return Some(3 + signed_offset_len(after));
    }
    if text.starts_with(['+', '-']) {
        return Some(signed_offset_len(text)).filter(|len| *len > 0);
    }
    let capitals = text.bytes().take(6).take_while(u8::is_ascii_uppercase).count();
    match capitals {
        3 => Some(3),
        4 if text.as_bytes()[3] == b'T' || text.starts_with("WITA") => Some(4),
        5 if text.as_bytes()[4] == b'T' => Some(5),
        _ => None,
    }
}

fn signed_offset_len(text: &str) -> usize {
    let Some(digits) = text.strip_prefix(['+', '-']) else { return 0 };
    let len = digits.bytes().take_while(u8::is_ascii_digit).count();
    let hours: u32 = digits[..len].parse().unwrap_or(99);
    if len == 0 || hours > 23 { 0 } else { 1 + len }
}

/// Quotes as Go's `time` does: what is not plain ASCII goes byte by byte.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            0..=0x1f | 0x80.. => out.push_str(&format!("\\x{byte:02x}")),
            _ => out.push(char::from(byte)),
        }
    }
    out.push('"');
    out
}
