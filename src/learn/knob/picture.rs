//! The curve as an SVG: cost against quality, with what it has to beat.

use std::fmt::Write;

use super::{Advice, Place, Point};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 170.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 60.0;

/// Bounds of both axes.
struct Frame {
    cost: (f64, f64),
    quality: (f64, f64),
}

impl Frame {
    fn around(places: impl Iterator<Item = Place> + Clone) -> Self {
        let bounds = |of: fn(&Place) -> f64| {
            let (low, high) =
                places.clone().fold((f64::MAX, f64::MIN), |(low, high), at| (low.min(of(&at)), high.max(of(&at))));
            let margin = ((high - low) * 0.06).max(1e-9);
            (low - margin, high + margin)
        };
        Self { cost: bounds(|at| at.cost), quality: bounds(|at| at.quality) }
    }

    fn x(&self, cost: f64) -> f64 {
        LEFT + (cost - self.cost.0) / (self.cost.1 - self.cost.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, quality: f64) -> f64 {
        HEIGHT - BOTTOM - (quality - self.quality.0) / (self.quality.1 - self.quality.0) * (HEIGHT - TOP - BOTTOM)
    }
}

/// `names` and `fixed` by backend.
pub fn svg(title: &str, names: &[String], fixed: &[Place], oracle: Place, curve: &[Point], advice: &Advice) -> String {
    let chosen = advice.point.place;
    let frame =
        Frame::around(curve.iter().map(|point| point.place).chain(fixed.iter().copied()).chain([oracle, chosen]));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
    );
    let mut text = |x: f64, y: f64, anchor: &str, text: &str| {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>");
    };
    text(LEFT, TOP - 16.0, "start", title);
    text((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 14.0, "middle", "USD for 1,000 requests");
    for step in 0..=4 {
        let share = f64::from(step) / 4.0;
        let cost = frame.cost.0 + share * (frame.cost.1 - frame.cost.0);
        let quality = frame.quality.0 + share * (frame.quality.1 - frame.quality.0);
        text(frame.x(cost), HEIGHT - BOTTOM + 18.0, "middle", &format!("{:.2}", cost.max(0.0) * 1000.0));
        text(LEFT - 8.0, frame.y(quality) + 4.0, "end", &format!("{quality:.3}"));
    }
    for (name, at) in names.iter().zip(fixed) {
        text(frame.x(at.cost) + 9.0, frame.y(at.quality) + 4.0, "start", &format!("always {name}"));
    }
    text(frame.x(oracle.cost) + 9.0, frame.y(oracle.quality) + 4.0, "start", "oracle");
    text(frame.x(chosen.cost) + 9.0, frame.y(chosen.quality) + 16.0, "start", "chosen");
    let line = |places: &[Place], style: &str| {
        let points: Vec<String> =
            places.iter().map(|at| format!("{:.1},{:.1}", frame.x(at.cost), frame.y(at.quality))).collect();
        format!("<polyline points=\"{}\" fill=\"none\" {style}/>\n", points.join(" "))
    };
    let corner = [
        Place { cost: frame.cost.0, quality: frame.quality.1 },
        Place { cost: frame.cost.0, quality: frame.quality.0 },
        Place { cost: frame.cost.1, quality: frame.quality.0 },
    ];
    out += &line(&corner, "stroke=\"#888\"");
    let mut curve: Vec<Place> = curve.iter().map(|point| point.place).collect();
    curve.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    out += &line(&[fixed[advice.cheap], fixed[advice.premium]], "stroke=\"#999\" stroke-dasharray=\"5 4\"");
    out += &line(&curve, "stroke=\"#1565c0\" stroke-width=\"2\"");
    let mut dot = |at: Place, colour: &str| {
        let (x, y) = (frame.x(at.cost), frame.y(at.quality));
        let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\" fill=\"{colour}\"/>");
    };
    fixed.iter().for_each(|at| dot(*at, "#555"));
    dot(oracle, "#2e7d32");
    dot(chosen, "#c62828");
    out + "</svg>\n"
}
