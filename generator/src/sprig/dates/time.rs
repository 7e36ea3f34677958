//! A moment in a time zone: Go's `time.Time`, as far as templates reach it.
//!
//! The calendar goes beyond the years a library covers, so it is counted here; the zone database is the one built into the program.
//! Source: Go 1.26 `time`.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Time {
    /// Seconds since 1970 in UTC.
    seconds: i64,
    nanosecond: u32,
    zone: Zone,
}

/// The zone a moment is shown in.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Zone {
    Utc,
    /// A zone of the database.
    Named(TimeZone),
    /// A name, possibly empty, and an offset in seconds.
    Fixed(String, i64),
}

/// A moment as a calendar and a clock show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
}

/// Seconds from the beginning of year 1 to 1970: Go's zero time is there.
const ZERO_SECONDS: i64 = -62_135_596_800;

impl Time {
    pub(super) fn new(seconds: i64, nanosecond: i64, zone: Zone) -> Time {
        let carry = nanosecond.div_euclid(1_000_000_000);
        let nanosecond = u32::try_from(nanosecond.rem_euclid(1_000_000_000)).unwrap_or(0);
        Time { seconds: seconds.wrapping_add(carry), nanosecond, zone }
    }

    /// Go's zero time.
    pub(super) fn zero() -> Time {
        Time::new(ZERO_SECONDS, 0, Zone::Utc)
    }

    pub(super) fn is_zero(&self) -> bool {
        self.seconds == ZERO_SECONDS && self.nanosecond == 0
    }

    pub(super) fn unix(&self) -> i64 {
        self.seconds
    }

    pub(super) fn nanosecond(&self) -> u32 {
        self.nanosecond
    }

    pub(super) fn is_same_instant(&self, other: &Time) -> bool {
        self.instant() == other.instant()
    }

    pub(super) fn instant(&self) -> (i64, u32) {
        (self.seconds, self.nanosecond)
    }

    pub(super) fn with_zone(&self, zone: Zone) -> Time {
        Time { zone, ..self.clone() }
    }

    /// Adds nanoseconds.
    pub(super) fn add(&self, nanoseconds: i64) -> Time {
        let total = i64::from(self.nanosecond) + nanoseconds % 1_000_000_000;
        Time::new(self.seconds.wrapping_add(nanoseconds / 1_000_000_000), total, self.zone.clone())
    }

    /// Adds years, months and days; what overflows a month spills into the next.
    pub(super) fn add_date(&self, years: i64, months: i64, days: i64) -> Time {
        let civil = self.civil();
        let month = civil.month - 1 + months;
        let civil = Civil {
            year: civil.year + years + month.div_euclid(12),
            month: month.rem_euclid(12) + 1,
            day: civil.day + days,
            ..civil
        };
        let local = civil.unix_seconds();
        let offset = self.zone.offset_at(local - self.offset());
        Time::new(local - offset, i64::from(self.nanosecond), self.zone.clone())
    }

    /// Returns the nanoseconds from another moment to this one, at the ends of the range where they do not fit.
    pub(super) fn since(&self, other: &Time) -> i64 {
        let seconds = i128::from(self.seconds) - i128::from(other.seconds);
        let nanoseconds = seconds * 1_000_000_000 + i128::from(self.nanosecond) - i128::from(other.nanosecond);
        i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
    }

    pub(super) fn offset(&self) -> i64 {
        self.zone.offset_at(self.seconds)
    }

    pub(super) fn zone_name(&self) -> String {
        match &self.zone {
            Zone::Utc => "UTC".to_owned(),
            Zone::Fixed(name, _) => name.clone(),
            Zone::Named(zone) => zone.to_offset_info(timestamp(self.seconds)).abbreviation().to_owned(),
        }
    }

    pub(super) fn civil(&self) -> Civil {
        // Go counts from 1 March of the year -292277022400, in 64 bits without a sign.
        const FIRST: i128 = -(719_468 + 730_692_556 * 146_097) * 86_400;
        let seconds = i128::from(self.seconds) + i128::from(self.offset());
        Civil::of_unix_seconds((seconds - FIRST).rem_euclid(1 << 64) + FIRST)
    }
}

impl Zone {
    /// Finds a zone as `time.LoadLocation` does; `None` for what it does not know. The local zone is UTC here.
    pub(super) fn load(name: &str) -> Option<Zone> {
        if matches!(name, "" | "UTC" | "Local") {
            return Some(Zone::Utc);
        }
        let zone = jiff::tz::TimeZoneDatabase::bundled().get(name).ok()?;
        // Go reads a file of that name, so case counts.
        (zone.iana_name() == Some(name)).then_some(Zone::Named(zone))
    }

    fn offset_at(&self, seconds: i64) -> i64 {
        match self {
            Zone::Utc => 0,
            Zone::Fixed(_, offset) => *offset,
            Zone::Named(zone) => i64::from(zone.to_offset(timestamp(seconds)).seconds()),
        }
    }
}

fn timestamp(seconds: i64) -> Timestamp {
    let nearest = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(seconds).unwrap_or(nearest)
}

pub(super) fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub(super) fn days_in(month: i64, year: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01; the day may lie outside of its month.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day comes last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

impl Civil {
    pub(super) fn unix_seconds(&self) -> i64 {
        let days = days_from_epoch(self.year, self.month, self.day);
        days * 86_400 + self.hour * 3600 + self.minute * 60 + self.second
    }

    fn of_unix_seconds(seconds: i128) -> Civil {
        let [days, rest] = [seconds.div_euclid(86_400), seconds.rem_euclid(86_400)].map(|part| part as i64);
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Civil {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
        }
    }

    /// Day of the week, from Sunday as 0.
    pub(super) fn week_day(&self) -> i64 {
        (days_from_epoch(self.year, self.month, self.day) + 4).rem_euclid(7)
    }

    /// Day of the year, from 1.
    pub(super) fn year_day(&self) -> i64 {
        days_from_epoch(self.year, self.month, self.day) - days_from_epoch(self.year, 1, 1) + 1
    }
}
