//! Backends that a mind foresees, and budgets.

use super::*;
use crate::minds::quality::{Foreseen, Foresight};

/// P(cheap answers well), P(premium does), and how near known outcomes are.
fn foreseen(models: &[(&str, f32)], near: f32) -> Judgement {
    let models = models.iter().map(|(model, quality)| Foreseen {
        model: Arc::from(*model),
        quality: *quality,
        near,
        by_difficulty: *quality,
        usual: *quality,
        output_tokens: (*model == "premium").then_some(1000.0),
    });
    let foresight = Foresight { mind: "mom-quality-flash".into(), models: models.collect(), difficulty: 0.0, near };
    Judgement { foresight: Some(foresight), ..hard() }
}

#[test]
fn outcomes_of_prompts_like_this_one_come_before_the_table() {
    let config = config(FLOOR);
    assert_eq!(auto(&config, &hard()).order[0], "premium");
    // A backend is known by its model.
    let known = auto(&config, &foreseen(&[("small-1", 0.8), ("premium", 0.9)], 1.0));
    assert_eq!(known.order[0], "cheap");
    assert!(known.reasons.contains(&"foreseen_quality") && !known.reasons.contains(&"far_from_outcomes"));
    // Longer answers cost more.
    assert!(known.candidates[1].predicted_cost_usd > auto(&config, &hard()).candidates[1].predicted_cost_usd * 2.0);
    // Of one without outcomes the table tells.
    let half = auto(&config, &foreseen(&[("small-1", 0.8)], 0.2));
    assert_eq!((half.order[0].as_str(), half.candidates[1].predicted_quality.is_some()), ("cheap", true));
    assert!(half.reasons.contains(&"far_from_outcomes"));
    // None of them is a candidate: the table alone.
    assert_eq!(auto(&config, &foreseen(&[("other", 0.8)], 1.0)).order, auto(&config, &hard()).order);
}

#[test]
fn a_budget_buys_the_best_within_it() {
    let policy = |policy: &str| config(&FLOOR.replace("min_quality = 0.75", policy));
    let costs: Vec<f64> =
        auto(&policy("prefer = \"cost\""), &hard()).candidates.iter().map(|c| c.predicted_cost_usd).collect();
    let budget = |usd: f64| policy(&format!("max_usd_per_1k_requests = {usd}"));
    let rich = auto(&budget(costs[1] * 1001.0), &hard());
    assert_eq!((rich.order[0].as_str(), rich.reasons.last()), ("premium", Some(&"best_quality")));
    let tight = auto(&budget(costs[1] * 999.0), &hard());
    assert_eq!(tight.order[..2], ["cheap", "premium"]);
    assert!(tight.candidates[1].why.starts_with("over the budget of $"));
    let poor = auto(&budget(costs[0] * 1.0), &hard());
    assert_eq!(poor.order[0], "cheap");
    assert!(poor.reasons.contains(&"budget_unmet") && poor.sentence.contains("beyond the budget"), "{}", poor.sentence);
    // With a floor it is the cheapest that reaches it, and never one beyond the budget while another is able.
    let both = policy(&format!("min_quality = 0.75, max_usd_per_1k_requests = {}", costs[1] * 999.0));
    assert_eq!(auto(&both, &hard()).order[0], "cheap");
}
