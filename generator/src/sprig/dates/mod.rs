//! Dates and durations.
//!
//! The local time zone is UTC. Whatever asks for the time of day is refused, unless the host allows it. Source: Sprig v3.3.0 `date.go`,
//! Go 1.26 `time`.

mod layout;
mod time;

use std::any::Any;

use super::{Outcome, refuse};
use crate::gotemplate::print::format_duration;
use crate::gotemplate::{Call, FunctionError};
use crate::value::{Kind, Method, Object, Oversized, Str, Type, Value};
use time::{Time, Zone};

/// The type `dateModify` and `unixEpoch` take.
pub(super) const TIME: Type = Type::Object("time.Time");

const CLOCK: &str = "depends on the time of day";
const CLOCK_HINT: &str = "put the date into the values; a render has to give the same text every time";

/// What TOML knows besides full times: the zone that marks them, and how they are written.
const TOML_LOCAL: [(&str, &str); 3] = [
    ("datetime-local", "2006-01-02T15:04:05.999999999"),
    ("date-local", "2006-01-02"),
    ("time-local", "15:04:05.999999999"),
];

/// Returns the time of a TOML document.
pub(super) fn of_toml(text: &str) -> Value {
    let with_zone = layout::parse("2006-01-02T15:04:05Z07:00", text).ok();
    let time = with_zone.or_else(|| {
        TOML_LOCAL.iter().find_map(|(zone, layout)| {
            let time = layout::parse(layout, text).ok()?;
            Some(time.with_zone(Zone::Fixed((*zone).to_owned(), 0)))
        })
    });
    Value::object(time.unwrap_or_else(Time::zero))
}

/// Returns how TOML writes a time; nothing for anything else.
pub(super) fn toml_text(value: &Value) -> Option<String> {
    let time = value.as_object::<Time>()?;
    let zone = time.zone_name();
    let local = TOML_LOCAL.iter().find(|(name, _)| *name == zone);
    Some(layout::format(time, local.map_or(RFC3339, |(_, layout)| layout)))
}

/// `time.Month` or `time.Weekday`: a number that prints as a name.
#[derive(Debug, PartialEq, Eq)]
struct NamedNumber {
    type_name: &'static str,
    number: i64,
    name: &'static str,
}

/// Returns the number of a month or weekday; nothing for anything else.
pub(super) fn named_number(value: &Value) -> Option<i64> {
    value.as_object::<NamedNumber>().map(|named| named.number)
}

impl Object for NamedNumber {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn kind(&self) -> Kind {
        Kind::Int
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    fn text(&self) -> Option<Str> {
        Some(Str::from(self.name))
    }

    fn json(&self) -> Option<Result<serde_json::Value, Oversized>> {
        Some(Ok(self.number.into()))
    }

    fn equals(&self, other: &dyn Object) -> bool {
        other.as_any().downcast_ref::<NamedNumber>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// `now`.
pub(super) fn now(call: &mut Call<'_>, _: &[Value]) -> Outcome {
    refuse(call, "now", CLOCK, CLOCK_HINT)?;
    Ok(Value::object(current()))
}

fn current() -> Time {
    let nanos = now_nanos();
    Time::new(nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000), Zone::Utc)
}

/// Returns the present moment in nanoseconds since 1970.
#[expect(clippy::disallowed_types, reason = "only where the host allows results that differ from run to run")]
pub(super) fn now_nanos() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Returns the moment a value stands for; anything but a time and an integer is the present moment.
fn moment(call: &mut Call<'_>, function: &str, value: &Value) -> Result<Time, FunctionError> {
    match value {
        Value::Int(seconds) | Value::Int64(seconds) => Ok(Time::new(*seconds, 0, Zone::Utc)),
        Value::Sized(crate::value::SizedInt::Int32(seconds)) => Ok(Time::new(i64::from(*seconds), 0, Zone::Utc)),
        Value::Object(_) if value.as_object::<Time>().is_some() => {
            value.as_object::<Time>().cloned().ok_or_else(FunctionError::shape)
        }
        other => {
            let what = format!("takes the present moment for a {}, and that {CLOCK}", other.type_name());
            refuse(
                call,
                function,
                &what,
                "give it a time or seconds since 1970 as an integer, such as `toDate` or `int64` return",
            )?;
            Ok(current())
        }
    }
}

fn formatted(call: &mut Call<'_>, function: &str, layout: &str, date: &Value, zone: &str) -> Outcome {
    let time = moment(call, function, date)?;
    let zone = Zone::load(zone).unwrap_or(Zone::Utc);
    Ok(Value::from(layout::format(&time.with_zone(zone), layout)))
}

pub(super) fn date(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(layout), date] = args else { return Err(FunctionError::shape()) };
    formatted(call, "date", &layout.to_str_lossy(), date, "UTC")
}

/// `dateInZone` and `date_in_zone`.
pub(super) fn date_in_zone(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(layout), date, Value::String(zone)] = args else { return Err(FunctionError::shape()) };
    formatted(call, "dateInZone", &layout.to_str_lossy(), date, &zone.to_str_lossy())
}

const HTML: &str = "2006-01-02";

pub(super) fn html_date(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [date] = args else { return Err(FunctionError::shape()) };
    formatted(call, "htmlDate", HTML, date, "UTC")
}

pub(super) fn html_date_in_zone(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [date, Value::String(zone)] = args else { return Err(FunctionError::shape()) };
    formatted(call, "htmlDateInZone", HTML, date, &zone.to_str_lossy())
}

/// `dateModify` and `date_modify`: a duration that cannot be read changes nothing.
pub(super) fn date_modify(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(duration), time] = args else { return Err(FunctionError::shape()) };
    let moment = time.as_object::<Time>().ok_or_else(FunctionError::shape)?;
    Ok(match parse_duration(&duration.to_str_lossy()) {
        Ok(nanoseconds) => Value::object(moment.add(nanoseconds)),
        Err(_) => time.clone(),
    })
}

pub(super) fn must_date_modify(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(duration), time] = args else { return Err(FunctionError::shape()) };
    let moment = time.as_object::<Time>().ok_or_else(FunctionError::shape)?;
    Ok(Value::object(moment.add(parse_duration(&duration.to_str_lossy())?)))
}

pub(super) fn ago(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [date] = args else { return Err(FunctionError::shape()) };
    refuse(call, "ago", CLOCK, CLOCK_HINT)?;
    let age = current().since(&moment(call, "ago", date)?);
    let seconds = (i128::from(age) + i128::from(age.signum()) * 500_000_000) / 1_000_000_000;
    Ok(Value::from(format_duration(i64::try_from(seconds * 1_000_000_000).unwrap_or(i64::MAX))))
}

/// `toDate`: Go's zero time for a text that does not fit.
pub(super) fn to_date(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(layout), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(Value::object(layout::parse(&layout.to_str_lossy(), &text.to_str_lossy()).unwrap_or_else(|_| Time::zero())))
}

pub(super) fn must_to_date(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(layout), Value::String(text)] = args else { return Err(FunctionError::shape()) };
    Ok(Value::object(layout::parse(&layout.to_str_lossy(), &text.to_str_lossy())?))
}

pub(super) fn unix_epoch(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [time] = args else { return Err(FunctionError::shape()) };
    let time = time.as_object::<Time>().ok_or_else(FunctionError::shape)?;
    Ok(Value::from(time.unix().to_string()))
}

/// `duration`: of seconds as `int64` or text; of anything else none.
pub(super) fn duration(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [seconds] = args else { return Err(FunctionError::shape()) };
    let seconds = match seconds {
        Value::Int64(seconds) => *seconds,
        Value::String(text) => text.as_str().map_or(0, |text| super::cast::parse_int_clamped(text, 10)),
        _ => 0,
    };
    Ok(Value::from(format_duration(seconds.wrapping_mul(1_000_000_000))))
}

/// `durationRound`: the largest unit only.
pub(super) fn duration_round(call: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [duration] = args else { return Err(FunctionError::shape()) };
    let nanoseconds = match duration {
        Value::String(text) => parse_duration(&text.to_str_lossy()).unwrap_or(0),
        Value::Int64(nanoseconds) => *nanoseconds,
        other => match other.as_object::<Time>() {
            Some(time) => {
                refuse(call, "durationRound", "of a time depends on the time of day", CLOCK_HINT)?;
                current().since(time)
            }
            None => 0,
        },
    };
    const SECOND: u64 = 1_000_000_000;
    const DAY: u64 = 86_400 * SECOND;
    let total = nanoseconds.unsigned_abs();
    let units =
        [(365 * DAY, "y"), (30 * DAY, "mo"), (DAY, "d"), (3600 * SECOND, "h"), (60 * SECOND, "m"), (SECOND, "s")];
    let text = units.into_iter().find(|(unit, _)| total > *unit).map(|(unit, name)| format!("{}{name}", total / unit));
    Ok(Value::from(text.unwrap_or_else(|| "0s".to_owned())))
}

/// `time.ParseDuration`, in nanoseconds.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "Go computes so"
)]
fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", layout::quoted(text));
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = after.strip_prefix('.').map_or(("", after), split_digits);
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let unit_end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let unit: u64 = match unit {
            "" => return Err(format!("time: missing unit in duration {}", layout::quoted(text))),
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            unknown => {
                let unknown = layout::quoted(unknown);
                return Err(format!("time: unknown unit {unknown} in duration {}", layout::quoted(text)));
            }
        };
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        let mut part = whole.checked_mul(unit).filter(|part| *part <= 1 << 63).ok_or_else(invalid)?;
        // Digits past what a 64-bit integer holds are dropped.
        let digits = &fraction[..fraction.len().min(18)];
        if let Ok(numerator) = digits.parse::<u64>() {
            let scale = 10_f64.powi(i32::try_from(digits.len()).unwrap_or(0));
            part += (numerator as f64 * (unit as f64 / scale)) as u64;
        }
        total = total.checked_add(part).filter(|total| *total <= 1 << 63).ok_or_else(invalid)?;
        rest = next;
    }
    if negative {
        return Ok(0_i64.wrapping_sub_unsigned(total));
    }
    i64::try_from(total).map_err(|_| invalid())
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

impl Object for Time {
    fn type_name(&self) -> &'static str {
        "time.Time"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    fn methods(&self) -> &'static [Method] {
        METHODS
    }

    fn text(&self) -> Option<Str> {
        Some(Str::from(layout::format(self, "2006-01-02 15:04:05.999999999 -0700 MST")))
    }

    fn json(&self) -> Option<Result<serde_json::Value, Oversized>> {
        Some(Ok(layout::format(self, RFC3339).into()))
    }

    fn unfit_for_json(&self) -> Option<&'static str> {
        const OUTSIDE: &str =
            "error calling MarshalJSON for type time.Time: Time.MarshalJSON: year outside of range [0,9999]";
        (!(0..=9999).contains(&self.civil().year)).then_some(OUTSIDE)
    }

    fn equals(&self, other: &dyn Object) -> bool {
        other.as_any().downcast_ref::<Time>() == Some(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

const RFC3339: &str = "2006-01-02T15:04:05.999999999Z07:00";

static METHODS: &[Method] = &[
    Method::new("Format", &[Type::String], |time, args| {
        let layout = args.first().and_then(Value::as_string).map(Str::to_str_lossy).unwrap_or_default();
        of(time, |time| Value::from(layout::format(time, &layout)))
    }),
    Method::new("String", &[], |time, _| of(time, |time| time.text().map_or(Value::Nil, Value::from))),
    Method::new("Unix", &[], |time, _| of(time, |time| Value::Int64(time.unix()))),
    Method::new("UnixMilli", &[], |time, _| of(time, |time| Value::Int64(unix_in(time, 1_000)))),
    Method::new("UnixMicro", &[], |time, _| of(time, |time| Value::Int64(unix_in(time, 1_000_000)))),
    Method::new("UnixNano", &[], |time, _| of(time, |time| Value::Int64(unix_in(time, 1_000_000_000)))),
    Method::new("Year", &[], |time, _| of(time, |time| Value::Int(time.civil().year))),
    Method::new("Day", &[], |time, _| of(time, |time| Value::Int(time.civil().day))),
    Method::new("Hour", &[], |time, _| of(time, |time| Value::Int(time.civil().hour))),
    Method::new("Minute", &[], |time, _| of(time, |time| Value::Int(time.civil().minute))),
    Method::new("Second", &[], |time, _| of(time, |time| Value::Int(time.civil().second))),
    Method::new("Nanosecond", &[], |time, _| of(time, |time| Value::Int(i64::from(time.nanosecond())))),
    Method::new("YearDay", &[], |time, _| of(time, |time| Value::Int(time.civil().year_day()))),
    Method::new("Month", &[], |time, _| {
        of(time, |time| {
            let number = time.civil().month;
            Value::object(NamedNumber { type_name: "time.Month", number, name: layout::month_name(number) })
        })
    }),
    Method::new("Weekday", &[], |time, _| {
        of(time, |time| {
            let number = time.civil().week_day();
            Value::object(NamedNumber { type_name: "time.Weekday", number, name: layout::day_name(number) })
        })
    }),
    Method::new("IsZero", &[], |time, _| of(time, |time| Value::Bool(time.is_zero()))),
    Method::new("UTC", &[], |time, _| of(time, |time| Value::object(time.with_zone(Zone::Utc)))),
    Method::new("Local", &[], |time, _| of(time, |time| Value::object(time.with_zone(Zone::Utc)))),
    Method::new("Add", &[Type::Duration], |time, args| {
        let Some(Value::Duration(nanoseconds)) = args.first() else { return Err("not a duration".to_owned()) };
        of(time, |time| Value::object(time.add(*nanoseconds)))
    }),
    Method::new("AddDate", &[Type::Int, Type::Int, Type::Int], |time, args| {
        let [Value::Int(years), Value::Int(months), Value::Int(days)] = args else {
            return Err("not a date".to_owned());
        };
        of(time, |time| Value::object(time.add_date(*years, *months, *days)))
    }),
    Method::new("Sub", &[TIME], |time, args| with(time, args, |a, b| Value::Duration(a.since(b)))),
    Method::new("Before", &[TIME], |time, args| with(time, args, |a, b| Value::Bool(a.instant() < b.instant()))),
    Method::new("After", &[TIME], |time, args| with(time, args, |a, b| Value::Bool(a.instant() > b.instant()))),
    Method::new("Equal", &[TIME], |time, args| with(time, args, |a, b| Value::Bool(a.is_same_instant(b)))),
    Method::new("Compare", &[TIME], |time, args| {
        with(time, args, |a, b| Value::Int(a.instant().cmp(&b.instant()) as i64))
    }),
];

fn of(value: &Value, get: impl Fn(&Time) -> Value) -> Result<Value, String> {
    value.as_object::<Time>().map(get).ok_or_else(|| "not a time".to_owned())
}

fn with(value: &Value, args: &[Value], get: impl Fn(&Time, &Time) -> Value) -> Result<Value, String> {
    let other = args.first().and_then(Value::as_object::<Time>).ok_or("not a time")?;
    of(value, |time| get(time, other))
}

fn unix_in(time: &Time, per_second: i64) -> i64 {
    let fraction = i64::from(time.nanosecond()) / (1_000_000_000 / per_second);
    time.unix().wrapping_mul(per_second).wrapping_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_read_and_write() {
        let time = layout::parse("2006-01-02 15:04:05", "2024-02-29 13:04:05.678").expect("a time");
        let cases = [
            ("Mon Jan _2 15:04:05 2006", "Thu Feb 29 13:04:05 2024"),
            ("Monday, January 2 2006, 3:04 PM", "Thursday, February 29 2024, 1:04 PM"),
            ("06-1-2 03:4:5pm .000 ,999 002 __2", "24-2-29 01:4:5pm .678 ,678 060  60"),
            ("-0700 Z07:00 MST Z070000", "+0000 Z UTC Z"),
            ("January_2006 Janet", "February_2024 Janet"),
        ];
        for (layout, expected) in cases {
            assert_eq!(layout::format(&time, layout), expected, "{layout}");
        }
        let berlin = time.with_zone(Zone::load("Europe/Berlin").expect("a zone"));
        assert_eq!(layout::format(&berlin, "15:04 MST -07:00"), "14:04 CET +01:00");
        assert!(Zone::load("europe/berlin").is_none() && Zone::load("Mars/Base").is_none());
        assert_eq!(
            layout::parse("2006-01-02", "2024-13-01"),
            Err("parsing time \"2024-13-01\": month out of range".to_owned())
        );
        assert_eq!(
            layout::parse("2006-01-02", "x"),
            Err("parsing time \"x\" as \"2006-01-02\": cannot parse \"x\" as \"2006\"".to_owned())
        );
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("1h30m"), Ok(5_400_000_000_000));
        assert_eq!(parse_duration("-1.5s"), Ok(-1_500_000_000));
        assert_eq!(parse_duration("1"), Err("time: missing unit in duration \"1\"".to_owned()));
        assert_eq!(parse_duration("1x"), Err("time: unknown unit \"x\" in duration \"1x\"".to_owned()));
        assert_eq!(Time::zero().civil().year, 1);
    }
}
