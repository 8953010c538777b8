//! Measuring this machine. Reports what was measured, never a constant from elsewhere.

use std::time::Duration;

mod host;
pub mod minds;
pub mod proxy;

/// Microseconds; sorts. Nearest rank: the smallest time that `share` of all do not exceed.
fn percentile(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank within a slice's length")]
    // 0.07 of 100 is 7, whatever floating point makes of it.
    let rank = (times.len() as f64 * share - 1e-9).ceil() as usize;
    times.get(rank.saturating_sub(1)).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ranks() {
        let mut times: Vec<Duration> = (1..=100).rev().map(Duration::from_micros).collect();
        for (share, time) in [(0.5, 50.0), (0.07, 7.0), (0.99, 99.0), (0.991, 100.0), (1.0, 100.0)] {
            assert_eq!(percentile(&mut times, share), time, "{share}");
        }
        assert_eq!(percentile(&mut times[..5], 0.5), 3.0);
        assert!(percentile(&mut [], 0.5).is_nan());
    }
}
