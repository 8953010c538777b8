//! What a count says about the rate behind it: exact (Clopper-Pearson) intervals, which
//! stay honest where a bootstrap says "0 to 0" because nothing was seen.

/// Mass left out at each end of a 95 % interval.
const TAIL: f64 = 0.025;

/// Halvings of an interval of rates: below the precision of what is reported.
const HALVINGS: usize = 60;

/// The 95 % interval of the rate behind `hits` of `trials`; `None` for no trials.
pub fn interval(hits: usize, trials: usize) -> Option<(f64, f64)> {
    if trials == 0 || hits > trials {
        return None;
    }
    let low = match hits.checked_sub(1) {
        None => 0.0,
        Some(fewer) => rate(|rate| at_most(fewer, trials, rate) > 1.0 - TAIL),
    };
    let high = if hits == trials { 1.0 } else { rate(|rate| at_most(hits, trials, rate) > TAIL) };
    Some((low, high))
}

/// Whether `hits` of `trials` put the interval's upper end at `rate` or below.
pub fn shows(hits: usize, trials: usize, rate: f64) -> bool {
    hits < trials && at_most(hits, trials, rate) <= TAIL
}

/// The fewest trials that, without a single hit, put the interval's upper end at `rate` or below.
pub fn trials_to_show(rate: f64) -> f64 {
    (TAIL.ln() / (-rate).ln_1p()).ceil()
}

/// The rate up to which `holds` is true; it is true for low rates.
fn rate(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if holds(middle) { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// P(at most `hits` of `trials`), summed in logarithms: large counts do not underflow.
fn at_most(hits: usize, trials: usize, rate: f64) -> f64 {
    let odds = rate.ln() - (-rate).ln_1p();
    let mut term = trials as f64 * (-rate).ln_1p();
    let (mut highest, mut sum) = (term, 1.0);
    for hit in 1..=hits {
        term += ((trials - hit + 1) as f64 / hit as f64).ln() + odds;
        if term > highest {
            sum = sum * (highest - term).exp() + 1.0;
            highest = term;
        } else {
            sum += (term - highest).exp();
        }
    }
    (highest + sum.ln()).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values: bisection over sums of `math.comb` in Python.
    #[test]
    fn known_intervals() {
        for (hits, trials, low, high) in [
            (0, 10, 0.0, 0.308_497),
            (10, 10, 0.691_503, 1.0),
            (2, 20, 0.012_349, 0.316_983),
            (3, 400, 0.001_549, 0.021_761),
            (50, 100, 0.398_321, 0.601_679),
        ] {
            let found = interval(hits, trials).unwrap();
            assert!((found.0 - low).abs() < 1e-5 && (found.1 - high).abs() < 1e-5, "{hits}/{trials}: {found:?}");
        }
        assert_eq!(interval(0, 0), None);
        let (low, high) = interval(500, 100_000).unwrap();
        assert!((0.0045..0.005).contains(&low) && (0.005..0.0055).contains(&high), "{low} {high}");
    }

    #[test]
    fn the_fewest_trials_are_the_fewest() {
        let enough = trials_to_show(0.005) as usize;
        assert_eq!(enough, 736);
        assert!(shows(0, enough, 0.005) && !shows(0, enough - 1, 0.005) && !shows(1, enough, 0.005));
        assert!(!shows(0, 0, 0.5) && !shows(3, 3, 0.5));
        assert!(interval(0, enough).unwrap().1 <= 0.005 && interval(0, enough - 1).unwrap().1 > 0.005);
    }
}
