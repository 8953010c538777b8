//! Days, weeks and months of the UTC calendar.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::Per;

const DAY: u64 = 24 * 60 * 60;

/// From one day's beginning up to another's, in days since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    per: Per,
    start: u64,
    end: u64,
}

impl Window {
    /// The one that holds this moment. A clock from before 1970 counts as 1970.
    pub(super) fn at(per: Per, wall: SystemTime) -> Self {
        Self::holding(per, wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / DAY)
    }

    pub(super) fn next(self) -> Self {
        Self::holding(self.per, self.end)
    }

    pub(super) fn start(self) -> SystemTime {
        midnight(self.start)
    }

    pub(super) fn end(self) -> SystemTime {
        midnight(self.end)
    }

    /// How long it still lasts.
    pub(super) fn left(self, wall: SystemTime) -> Duration {
        self.end().duration_since(wall.max(self.start())).unwrap_or_default()
    }

    fn holding(per: Per, day: u64) -> Self {
        let (start, end) = match per {
            Per::Day => (day, day + 1),
            Per::Week => {
                // 1970 began on a Thursday.
                let weekday = (day + 3) % 7;
                (day.saturating_sub(weekday), day + 7 - weekday)
            }
            Per::Month => month(day),
        };
        Self { per, start, end }
    }
}

fn midnight(day: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(day.saturating_mul(DAY))).unwrap_or(UNIX_EPOCH)
}

/// First day of the month that holds this day, and of the one after it.
fn month(day: u64) -> (u64, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    // The Gregorian calendar repeats every 400 years.
    const CYCLE: u64 = 146_097;
    let mut start = day / CYCLE * CYCLE;
    let mut year = 1970 + day / CYCLE * 400;
    loop {
        let days = if leap(year) { 366 } else { 365 };
        if start + days > day {
            break;
        }
        start += days;
        year += 1;
    }
    let february = if leap(year) { 29 } else { 28 };
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if start + days > day {
            return (start, start + days);
        }
        start += days;
    }
    (day, day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(per: Per, day: u64) -> (u64, u64) {
        let window = Window::holding(per, day);
        (window.start, window.end)
    }

    #[test]
    fn windows_are_those_of_the_calendar() {
        // `date -u -d 2026-11-30 +%s` / 86400 is 20787, a Monday; 2024-02-29 is 19782, 2000-02-29 11016.
        assert_eq!(days(Per::Day, 20_787), (20_787, 20_788));
        assert_eq!(days(Per::Week, 20_787), (20_787, 20_794));
        assert_eq!(days(Per::Week, 20_786), (20_780, 20_787));
        assert_eq!(days(Per::Month, 20_787), (20_758, 20_788));
        assert_eq!(days(Per::Month, 20_788), (20_788, 20_819));
        assert_eq!(days(Per::Month, 19_782), (19_754, 19_783));
        assert_eq!(days(Per::Month, 11_016), (10_988, 11_017));
        assert_eq!(days(Per::Month, 0), (0, 31));
        assert_eq!(days(Per::Week, 0), (0, 4));
        // Each ends where the next begins, for a thousand years.
        for per in [Per::Day, Per::Week, Per::Month] {
            let mut window = Window::holding(per, 0);
            while window.end < 365_250 {
                let next = window.next();
                assert!(next.start == window.end && next.end > next.start && next.end - next.start <= per.days());
                window = next;
            }
        }
    }

    #[test]
    fn odd_clocks_have_a_window() {
        let before = UNIX_EPOCH - Duration::from_secs(5 * DAY);
        assert_eq!(Window::at(Per::Month, before), Window::holding(Per::Month, 0));
        assert_eq!(Window::at(Per::Day, before).left(before), Duration::from_secs(DAY));
        let far = UNIX_EPOCH + Duration::from_secs(DAY * 1_000_000_000);
        assert!(Window::at(Per::Month, far).left(far) <= Duration::from_secs(31 * DAY));
    }
}
