//! When to try again: what the answer says, a jittered backoff, and a budget that keeps an
//! outage from being multiplied.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use rand::RngExt as _;

/// Retries left, in thousandths: each request deposits `ratio`, each retry takes one.
#[derive(Debug)]
pub(super) struct Budget {
    deposit: i64,
    balance: AtomicI64,
}

const ONE: i64 = 1000;
/// Enough for a handful of retries on an idle gateway.
const CAP: i64 = 10 * ONE;

impl Budget {
    pub(super) fn new(ratio: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the ratio is a small validated number")]
        let deposit = (ratio * ONE as f64) as i64;
        Self { deposit, balance: AtomicI64::new(if deposit > 0 { CAP } else { 0 }) }
    }

    pub(super) fn deposit(&self) {
        let add = |balance: i64| Some((balance + self.deposit).min(CAP));
        // Err is unreachable: the closure always answers.
        let _ = self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    pub(super) fn withdraw(&self) -> bool {
        let take = |balance: i64| (balance >= ONE).then_some(balance - ONE);
        self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// Statuses that another try may mend.
pub(super) fn retryable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 409 | 429 | 500 | 502 | 503 | 504 | 529)
}

/// Whether the backend itself wants this answer retried; `x-should-retry` decides where given.
pub(super) fn wanted(status: StatusCode, headers: &HeaderMap) -> bool {
    match headers.get("x-should-retry").map(http::HeaderValue::as_bytes) {
        Some(b"true") => true,
        Some(b"false") => false,
        _ => retryable(status),
    }
}

/// How long to wait before try number `retry` (1-based): what the backend asks for, else an
/// exponential backoff with jitter. `None` when it asks for more than `max_wait`.
pub(super) fn wait(retry: u32, headers: Option<&HeaderMap>, max_wait: Duration) -> Option<Duration> {
    if let Some(asked) = headers.and_then(retry_after) {
        return (asked <= max_wait).then_some(asked);
    }
    let ceiling = Duration::from_millis(100).saturating_mul(1 << retry.min(6)).min(max_wait);
    Some(ceiling.mul_f64(rand::rng().random_range(0.5..1.0)))
}

/// `retry-after-ms`, then `retry-after` in seconds or as an HTTP date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    if let Some(millis) = text("retry-after-ms").and_then(|text| text.trim().parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(millis / 1000.0).ok();
    }
    let text = text("retry-after")?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn the_backend_decides_where_it_says() {
        assert!(wanted(StatusCode::TOO_MANY_REQUESTS, &headers(&[])));
        assert!(!wanted(StatusCode::TOO_MANY_REQUESTS, &headers(&[("x-should-retry", "false")])));
        assert!(wanted(StatusCode::BAD_REQUEST, &headers(&[("x-should-retry", "true")])));
        assert!(!wanted(StatusCode::BAD_REQUEST, &headers(&[])));
    }

    #[test]
    fn waits_as_asked_or_not_at_all() {
        let max = Duration::from_secs(2);
        assert_eq!(wait(1, Some(&headers(&[("retry-after", "1")])), max), Some(Duration::from_secs(1)));
        assert_eq!(wait(1, Some(&headers(&[("retry-after", "60")])), max), None);
        assert_eq!(
            wait(1, Some(&headers(&[("retry-after-ms", "50"), ("retry-after", "60")])), max),
            Some(Duration::from_millis(50))
        );
        assert_eq!(
            wait(1, Some(&headers(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")])), max),
            Some(Duration::ZERO)
        );
        for retry in 1..40 {
            assert!(wait(retry, None, max).unwrap() <= max);
        }
    }

    #[test]
    fn an_outage_is_not_multiplied() {
        let budget = Budget::new(0.2);
        let retries = (0..1000)
            .filter(|_| {
                budget.deposit();
                budget.withdraw()
            })
            .count();
        assert!((200..=215).contains(&retries), "{retries}");
        assert!(!Budget::new(0.0).withdraw());
    }
}
